//! Pages in a real browser: our own, and those of a built frontend where there is one.
//!
//! They need Node.js, the packages of `tests/browser` and Chromium; `make test` gets them where it
//! may. `KOMANDORR_FRONTEND` names the directory of a built frontend of 3.3.0, which is not part of
//! this repository. What is missing is said, and the test skipped.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{Server, plex};

/// Endpoints that do not exist yet; the frontend's side bar asks for some of them on every page.
const NOT_YET: [&str; 7] = [
    "/api/arr-activity",
    "/api/invites",
    "/api/oauth",
    "/api/overseerr",
    "/api/posterizarr",
    "/api/uploader",
    "/api/vpn-proxy",
];

/// Pages of the frontend whose own endpoints exist.
const PAGES: [&str; 11] = [
    "/",
    "/services",
    "/monitor",
    "/traffic",
    "/storage",
    "/vod-streams",
    "/vod-activity",
    "/settings",
    "/settings?tab=notifications",
    "/external-apps",
    "/about",
];

/// On every page of the frontend once its splash screen is over.
const SIDE_BAR: &str = "a[href='/services']";

/// What was found on one page.
#[derive(Debug, Deserialize)]
struct Visit {
    path: String,
    findings: Vec<String>,
}

/// The browser, if everything that it takes is here.
fn chromium() -> Option<&'static str> {
    let browsers = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];
    let browser = browsers.into_iter().find(|path| Path::new(path).exists());
    let missing = if browser.is_none() {
        "Chromium"
    } else if !has_node() {
        "Node.js 20 or later"
    } else if !directory().join("node_modules/playwright-core").is_dir() {
        "what tests/browser/package.json lists"
    } else {
        return browser;
    };
    say(&format!(
        "skipped: {missing} is not installed (make browser)"
    ));
    None
}

/// Whether Node.js is new enough for Playwright.
fn has_node() -> bool {
    let version = std::process::Command::new("node").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let major = version.ok().and_then(|text| {
        let (major, _) = text.trim().strip_prefix('v')?.split_once('.')?;
        major.parse::<u32>().ok()
    });
    major.is_some_and(|major| major >= 20)
}

#[expect(clippy::print_stderr, reason = "nobody reads a test's log")]
fn say(line: &str) {
    eprintln!("{line}");
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

/// A built frontend.
#[expect(clippy::disallowed_methods, reason = "of the test, not of the program")]
fn frontend() -> Option<String> {
    let directory = std::env::var("KOMANDORR_FRONTEND").ok();
    if directory.is_none() {
        say("skipped: KOMANDORR_FRONTEND names no built frontend");
    }
    directory
}

/// Opens `pages` one after the other and fails with all that is wrong with any of them.
async fn visit(server: &Server, chromium: &str, pages: &[&str], more: Value) {
    let mut job = json!({
        "chromium": chromium, "base": server.url, "pages": pages,
        "credentials": null, "allowed": [],
    });
    for (name, value) in more.as_object().unwrap() {
        job[name] = value.clone();
    }
    let output = Command::new("node")
        .arg(directory().join("visit.mjs"))
        .arg(job.to_string())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let visits: Vec<Visit> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(visits.len(), pages.len());
    let wrong: Vec<_> = visits.iter().filter(|v| !v.findings.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for visit in &visits {
        say(&format!("{}: as it should be", visit.path));
    }
}

#[tokio::test]
async fn our_own_pages_have_no_errors() {
    let Some(chromium) = chromium() else { return };
    let plex = plex(3).await;
    let server = Server::builder().plex(&plex).start().await;
    let more = json!({"landmark": "h1, h2"});
    visit(&server, chromium, &["/", "/docs"], more).await;
}

#[tokio::test]
async fn the_pages_of_the_frontend_have_no_errors() {
    let (Some(chromium), Some(frontend)) = (chromium(), frontend()) else {
        return;
    };
    let plex = plex(3).await;
    let server = Server::builder()
        .plex(&plex)
        .env("FRONTEND_DIR", &frontend)
        .start()
        .await;
    visit(
        &server,
        chromium,
        &PAGES,
        json!({"allowed": NOT_YET, "landmark": SIDE_BAR}),
    )
    .await;
}

#[tokio::test]
async fn the_pages_of_the_frontend_have_no_errors_for_who_has_logged_in() {
    let (Some(chromium), Some(frontend)) = (chromium(), frontend()) else {
        return;
    };
    let plex = plex(3).await;
    let auth = json!({"enabled": true, "username": "jürgen", "password": "pässword"});
    let server = Server::builder()
        .plex(&plex)
        .config(&json!({"auth": auth}))
        .env("FRONTEND_DIR", &frontend)
        .start()
        .await;
    let more = json!({
        "allowed": NOT_YET,
        "landmark": SIDE_BAR,
        "credentials": {"user": "jürgen", "password": "pässword"},
    });
    visit(&server, chromium, &PAGES, more).await;
}

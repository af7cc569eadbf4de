//! Pages in a real browser: our own, and those of a built frontend where there is one.
//!
//! They need Node.js, the packages of `tests/browser` and Chromium; `make browser` gets them where
//! it may. `KOMANDORR_FRONTEND` names the directory of a built frontend of 3.3.0, which is not part
//! of this repository. What is missing is said, and the test skipped.

mod pages;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Server, plex};
use pages::Page;

/// No run takes this long, unless it never ends.
const DEADLINE: Duration = Duration::from_secs(400);

/// What was found on one page, or while doing one thing.
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

/// Opens `pages` and fails with all that is wrong with any of them. `more` goes into the job that
/// the script is given.
async fn visit(server: &Server, chromium: &str, pages: &[Page], more: Value) {
    let mut job = json!({"pages": pages, "credentials": null, "allowed": []});
    for (name, value) in more.as_object().unwrap() {
        job[name] = value.clone();
    }
    let visits = run(server, chromium, "visit.mjs", job).await;
    assert_eq!(visits.len(), pages.len());
}

/// Runs one of the scripts and fails with all that it found.
async fn run(server: &Server, chromium: &str, script: &str, job: Value) -> Vec<Visit> {
    let visits = look(server, chromium, script, job).await;
    let wrong: Vec<_> = visits.iter().filter(|v| !v.findings.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for visit in &visits {
        say(&format!("{}: as it should be", visit.path));
    }
    visits
}

/// Runs one of the scripts.
async fn look(server: &Server, chromium: &str, script: &str, mut job: Value) -> Vec<Visit> {
    job["chromium"] = chromium.into();
    job["base"] = server.url.as_str().into();
    let mut command = Command::new("node");
    command.arg(directory().join(script)).arg(job.to_string());
    let output = command.kill_on_drop(true).output();
    let output = timeout(DEADLINE, output).await.expect("an end");
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn our_own_pages_have_no_errors() {
    let Some(chromium) = chromium() else { return };
    let plex = plex(3).await;
    let server = Server::builder().plex(&plex).start().await;
    let own = ["/", "/docs"].map(|path| Page::showing(path, "h1, h2"));
    visit(&server, chromium, &own, json!({})).await;
}

/// What the scripts are there to find, on one page that has it all.
#[tokio::test]
async fn what_is_wrong_with_a_page_is_found() {
    let Some(chromium) = chromium() else { return };
    let script = "console.error('said');
        setTimeout(() => { throw new Error('thrown') });
        fetch('/api/nowhere');
        fetch('/api/services/x').then(() => console.error('because of /services/x'));";
    let server = Server::builder()
        .file(
            "frontend/dist/index.html",
            "<body><script src=/assets/x.js></script>",
        )
        .file("frontend/dist/assets/x.js", script);
    let server = server.start().await;
    let job = json!({
        "pages": [Page::showing("/", "h1")], "patience": 500,
        "credentials": null, "allowed": ["404 /api/services/x"],
    });
    let visits = look(&server, chromium, "visit.mjs", job).await;
    let mut found = visits[0].findings.clone();
    found.sort();
    let expected = [
        "404: /api/nowhere",
        "blank: \"\"",
        "console: Failed to load resource",
        "console: said",
        "exception: thrown",
        "nothing matches h1",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} is not {expected}");
    }
}

/// The demonstration, with this frontend: every other service is simulated.
async fn demo(frontend: &str) -> Server {
    let demo = Server::builder().argument("demo");
    let demo = demo.argument("--frontend-dir").argument(frontend);
    demo.start().await
}

/// An invitation to show on the public pages.
async fn invite(server: &Server) {
    let invite = json!({"custom_code": pages::CODE, "libraries": "all"});
    let created = server.post("/api/invites/", &invite).await;
    assert_eq!(created.status, 200, "{created:?}");
}

/// Somebody to show who has used it.
async fn befriend(server: &Server) {
    let friend = json!({"code": pages::CODE, "email": "somebody@example.com"});
    let redeemed = server.post("/api/invites/redeem", &friend).await;
    assert_eq!(redeemed.status, 200, "{redeemed:?}");
}

#[tokio::test]
async fn the_pages_of_the_frontend_have_no_errors() {
    let (Some(chromium), Some(frontend)) = (chromium(), frontend()) else {
        return;
    };
    let server = demo(&frontend).await;
    invite(&server).await;
    befriend(&server).await;
    visit(&server, chromium, &pages::simulated(), json!({})).await;
}

#[tokio::test]
async fn the_pages_of_the_frontend_have_no_errors_where_nothing_is_configured() {
    let (Some(chromium), Some(frontend)) = (chromium(), frontend()) else {
        return;
    };
    let server = Server::builder();
    let server = server.argument("--frontend-dir").argument(&frontend);
    let server = server.start().await;
    invite(&server).await;
    let more = json!({"allowed": pages::ALLOWED_UNCONFIGURED});
    visit(&server, chromium, &pages::unconfigured(), more).await;
}

#[tokio::test]
async fn the_pages_of_the_frontend_have_no_errors_for_who_has_logged_in() {
    let (Some(chromium), Some(frontend)) = (chromium(), frontend()) else {
        return;
    };
    let server = demo(&frontend).await;
    invite(&server).await;
    befriend(&server).await;
    let login = json!({"username": "jürgen", "current_password": "", "new_password": "pässword"});
    let changed = server.post("/api/auth/update", &login).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let on = json!({"enabled": true});
    assert_eq!(server.post("/api/auth/toggle", &on).await.status, 200);
    let credentials = json!({"user": "jürgen", "password": "pässword"});
    let more = json!({"credentials": credentials});
    visit(&server, chromium, &pages::simulated(), more).await;
}

#[tokio::test]
async fn what_people_do_on_the_pages_works() {
    let (Some(chromium), Some(frontend)) = (chromium(), frontend()) else {
        return;
    };
    let server = demo(&frontend).await;
    let job = json!({"credentials": null, "allowed": []});
    run(&server, chromium, "act.mjs", job).await;
}

/// Every other service answers everything with a web page. Endpoints may fail, but the side bar
/// asks for most of them on every page, and one uncaught error would take the whole tree away.
#[tokio::test]
async fn no_page_of_the_frontend_goes_blank_where_every_service_answers_nonsense() {
    let (Some(chromium), Some(frontend)) = (chromium(), frontend()) else {
        return;
    };
    let server = Server::builder();
    let server = server.argument("--frontend-dir").argument(&frontend);
    let server = server.start().await;
    invite(&server).await;
    let nonsense = format!("{}/no/such/service", server.url);
    let service = json!({"url": nonsense, "api_key": "key"});
    let arr = |kind: &str| {
        json!({"id": kind, "name": kind, "type": kind, "url": nonsense, "api_key": "key",
               "access_url": ""})
    };
    let settings = json!({
        "plex": {"server_url": nonsense, "server_token": "token", "server_name": "Plex"},
        "overseerr": {"url": nonsense, "api_key": "key", "email_domain": "example.org"},
        "vpn_proxy": service, "posterizarr": service,
        "uploader": {"base_url": nonsense},
        "arr": {"instances": [arr("sonarr"), arr("radarr")]},
    });
    let saved = server.post("/api/settings", &settings).await;
    assert_eq!(saved.status, 200, "{saved:?}");
    let job = json!({"pages": pages::unconfigured(), "credentials": null, "allowed": []});
    let mut visits = look(&server, chromium, "visit.mjs", job).await;
    let failed = |visit: &Visit| visit.findings.iter().any(|f| f.starts_with("502: "));
    assert!(visits.iter().any(failed), "nothing failed: {visits:#?}");
    let fatal = [
        "exception: ",
        "blank: ",
        "nothing matches ",
        "never loaded: ",
    ];
    for visit in &mut visits {
        let is_fatal = |finding: &String| fatal.iter().any(|start| finding.starts_with(start));
        visit.findings.retain(is_fatal);
    }
    visits.retain(|visit| !visit.findings.is_empty());
    assert!(visits.is_empty(), "{visits:#?}");
}

//! `/api/version`, `/api/version/debug` and `/api/releases`: what is installed, and what GitHub has.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use komandorr::demo::{Fault, Simulator};
use serde_json::{Value, json};

use crate::harness::{Builder, Server, plex};

const LATEST: &str = "/repos/cyb3rgh05t/komandorr/releases/latest";
const LIST: &str = "/repos/cyb3rgh05t/komandorr/releases";

fn builder(github: &Simulator) -> Builder {
    Server::builder().env("GITHUB_API_URL", &github.url())
}

async fn version(server: &Server) -> Value {
    let answer = server.get("/api/version").await;
    assert_eq!(answer.status, 200);
    answer.json()
}

#[tokio::test]
async fn an_update_is_a_newer_version_and_nothing_else() {
    let github = plex(0).await;
    for (installed, local, update) in [
        ("v3.3.0\n", "3.3.0", true),
        ("3.3.1", "3.3.1", false),
        ("v3.10.0", "3.10.0", false),
        ("v3.3.1-beta.1", "3.3.1-beta.1", true),
        ("", "unknown", false),
        ("mine", "mine", false),
    ] {
        let server = builder(&github).file("frontend/dist/release.txt", installed);
        let server = server.start().await;
        let expected = json!({"local": local, "remote": "3.3.1", "is_update_available": update});
        assert_eq!(version(&server).await, expected, "{installed:?}");
    }
}

#[tokio::test]
async fn the_installed_version_is_looked_for_in_two_places() {
    let server = Server::builder().start().await;
    let put = |path: &str, text: &str| {
        let path = server.directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let unreachable = json!({"local": "unknown", "remote": null, "is_update_available": false});
    assert_eq!(version(&server).await, unreachable);
    put("frontend/public/release.txt", "v1.0.0");
    assert_eq!(version(&server).await["local"], "1.0.0");
    put("frontend/dist/release.txt", "v2.0.0\n");
    assert_eq!(version(&server).await["local"], "2.0.0");

    let debug = server.get("/api/version/debug").await;
    let directory = server.directory.path().to_str().unwrap();
    assert!(!debug.text.contains(directory), "{}", debug.text);
    let mut debug = debug.json();
    let environment = debug["environment"].take();
    assert!(environment == "local" || environment == "docker");
    assert_eq!(
        debug,
        json!({
            "environment": null, "current_file": "komandorr", "root_dir": ".",
            "paths_checked": {
                "dist": {"path": "frontend/dist/release.txt", "exists": true, "content": "v2.0.0"},
                "public": {"path": "frontend/public/release.txt", "exists": true, "content": "v1.0.0"},
            },
        })
    );
}

#[tokio::test]
async fn github_is_asked_once_for_all() {
    let github = plex(0).await;
    github.set_fault("*", Fault::Delay(Duration::from_millis(200)));
    let server = builder(&github).start().await;
    let asked = join_all((0..20).map(async |n| {
        let path = ["/api/version", "/api/releases"][n % 2];
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200);
        assert!(answer.headers.contains_key("cache-status"), "{path}");
    }));
    asked.await;
    let again = server.get("/api/releases").await;
    assert!(again.headers.contains_key("age"));
    assert_eq!((github.calls(LATEST), github.calls(LIST)), (1, 1));
    let caches = server.get("/api/plex/cache/stats").await.text;
    assert!(!caches.contains("github"));
}

#[tokio::test]
async fn ten_releases_are_listed() {
    let github = plex(0).await;
    let server = builder(&github).start().await;
    let body = server.get("/api/releases").await.json();
    assert_eq!(body["success"], true);
    let releases = body["releases"].as_array().unwrap();
    assert_eq!(releases.len(), 10);
    let first = releases[0].as_object().unwrap();
    let keys: Vec<&String> = first.keys().collect();
    assert_eq!(
        keys,
        [
            "version",
            "html_url",
            "days_ago",
            "is_prerelease",
            "published_at"
        ]
    );
    let published = first["published_at"].as_str().unwrap();
    assert!(published.ends_with('Z'), "{published}");
    assert_eq!(
        (
            &first["version"],
            &first["days_ago"],
            &first["is_prerelease"]
        ),
        (&json!("v4.0.0-beta.1"), &json!(2), &json!(true))
    );
    assert_eq!(releases[1]["is_prerelease"], false);
}

#[tokio::test]
async fn whatever_github_does_the_answer_is_one() {
    let fetch = json!({"success": false, "error": "Failed to fetch releases from GitHub"});
    let processing = json!({"success": false, "error": "Error processing releases"});
    let github = plex(0).await;
    let body = |text: &str| Fault::Body(text.to_owned());
    for (fault, error) in [
        (Fault::Status(403), &fetch),
        (Fault::Status(404), &fetch),
        (Fault::Status(500), &fetch),
        (Fault::Redirect(github.url()), &fetch),
        (Fault::Huge(5 * 1024 * 1024), &fetch),
        (Fault::Cut, &fetch),
        (Fault::Html, &processing),
        (Fault::BrokenJson, &processing),
        (body("{}"), &processing),
        (body("null"), &processing),
        (body(r#"{"tag_name":7}"#), &processing),
        (body(r#"{"tag_name":"v"}"#), &processing),
    ] {
        github.set_fault("*", fault.clone());
        let server = builder(&github).start().await;
        assert_eq!(
            server.get("/api/releases").await.json(),
            *error,
            "{fault:?}"
        );
        assert_eq!(version(&server).await["remote"], Value::Null, "{fault:?}");
        github.forget_calls();
        for path in ["/api/releases", "/api/version"] {
            assert_eq!(server.get(path).await.status, 200);
        }
        assert_eq!(github.calls_by_path().len(), 0, "{fault:?}: left alone");
        github.clear_faults();
    }
    github.set_fault("*", body("[]"));
    let server = builder(&github).start().await;
    let empty = json!({"success": true, "releases": []});
    assert_eq!(server.get("/api/releases").await.json(), empty);
}

#[tokio::test]
async fn nobody_waits_longer_than_five_and_ten_seconds() {
    let github = plex(0).await;
    github.set_fault("*", Fault::Hang);
    let server = builder(&github).start().await;
    let timed = async |path: &str| {
        let started = Instant::now();
        assert_eq!(server.get(path).await.status, 200);
        started.elapsed().as_secs()
    };
    let (version, releases) = tokio::join!(timed("/api/version"), timed("/api/releases"));
    assert!((4..7).contains(&version), "{version}");
    assert!((9..12).contains(&releases), "{releases}");
}

#[tokio::test]
async fn the_token_is_sent_and_never_shown() {
    let github = plex(0).await;
    let token = github.github_token();
    let server = builder(&github).env("GITHUB_TOKEN", token).start().await;
    assert_eq!(version(&server).await["remote"], "3.3.1");
    let seen = server.get("/api/releases").await.text;
    assert!(!seen.contains(token) && !server.log().contains(token));

    // GitHub refuses a wrong one, which proves that one is sent; and a right one helps at once.
    let config = |token: &str| json!({"api": {"github_token": token}});
    let server = builder(&github).config(&config("wrong-one")).start().await;
    assert_eq!(version(&server).await["remote"], Value::Null);
    assert!(!server.log().contains("wrong-one"));
    let path = server.directory.path().join("data/config.json");
    std::fs::write(path, config(token).to_string()).unwrap();
    let helped = async || version(&server).await["remote"] == "3.3.1";
    crate::harness::until_asked("the new token", helped).await;
    let odd = builder(&github).config(&config("a\nb")).start().await;
    assert_eq!(version(&odd).await["remote"], Value::Null);
}

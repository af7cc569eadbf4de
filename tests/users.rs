//! `/api/plex/users/count` and `/api/plex/debug/raw-activities`.

use futures_util::future::join_all;
use komandorr::demo::{Fault, Simulator};
use serde_json::{Value, json};

use crate::harness::{Builder, Server, plex};

const COUNT: &str = "/api/plex/users/count";
const RAW: &str = "/api/plex/debug/raw-activities";

fn builder(plex: &Simulator) -> Builder {
    Server::builder().plex(plex).env("PLEX_TV_URL", &plex.url())
}

async fn count(server: &Server) -> Value {
    let answer = server.get(COUNT).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

/// The path on plex.tv that was asked for.
fn shared_servers(plex: &Simulator) -> String {
    let calls = plex.calls_by_path();
    let mut paths = calls
        .into_keys()
        .filter(|path| path.ends_with("/shared_servers"));
    paths.next().expect("plex.tv was asked")
}

#[tokio::test]
async fn the_people_a_server_is_shared_with_are_counted_every_five_minutes() {
    let plex = plex(1).await;
    let server = builder(&plex).start().await;
    for answer in join_all((0..20).map(|_| server.get(COUNT))).await {
        assert_eq!(answer.text, r#"{"count":17}"#);
        assert!(answer.headers.contains_key("age"));
        assert!(answer.headers.contains_key("cache-status"));
    }
    assert_eq!(plex.calls("/identity"), 1);
    assert_eq!(plex.calls(&shared_servers(&plex)), 1);
    assert_eq!(plex.tokens_in_queries(), 0);
    assert!(!server.log().contains(plex.token()));
    let caches = server.get("/api/plex/cache/stats").await.text;
    assert!(!caches.contains("plex_users_count"));
}

#[tokio::test]
async fn what_can_not_be_counted_is_0_and_not_kept() {
    let server = Server::builder().start().await;
    assert_eq!(count(&server).await, json!({"count": 0}), "not configured");

    let plex = plex(1).await;
    let path = {
        let server = builder(&plex).start().await;
        count(&server).await;
        shared_servers(&plex)
    };
    for (path, fault) in [
        ("/identity", Fault::Status(500)),
        (
            "/identity",
            Fault::Body(r#"{"MediaContainer":{"machineIdentifier":null}}"#.to_owned()),
        ),
        (
            "/identity",
            Fault::Body(r#"{"MediaContainer":{"machineIdentifier":"../../x"}}"#.to_owned()),
        ),
        (path.as_str(), Fault::Status(401)),
        (path.as_str(), Fault::Html),
        (path.as_str(), Fault::BrokenJson),
        (path.as_str(), Fault::Huge(5 * 1024 * 1024)),
        (path.as_str(), Fault::Redirect(plex.url())),
        (
            path.as_str(),
            Fault::Body("<MediaContainer><SharedServer/>".to_owned()),
        ),
    ] {
        plex.set_fault(path, fault.clone());
        let server = builder(&plex).start().await;
        assert_eq!(count(&server).await, json!({"count": 0}), "{fault:?}");
        plex.clear_faults();
        // A successful check of the settings ends the waiting after the failure.
        server.choose(&plex).await;
        assert_eq!(count(&server).await, json!({"count": 17}), "{fault:?}");
    }
}

#[tokio::test]
async fn plex_tv_that_asks_for_quiet_is_left_alone() {
    let plex = plex(1).await;
    let server = builder(&plex).start().await;
    count(&server).await;
    let path = shared_servers(&plex);
    plex.forget_calls();
    plex.set_fault(
        &path,
        Fault::StatusWith {
            status: 429,
            header: ("retry-after", "600".to_owned()),
        },
    );
    let server = builder(&plex).start().await;
    for _ in 0..3 {
        assert_eq!(count(&server).await, json!({"count": 0}));
    }
    assert_eq!(plex.calls(&path), 1);
    let log = server.log();
    assert!(
        log.contains("Failed to fetch Plex shared users from plex.tv: (429) too_many_requests;"),
        "{log}"
    );
}

#[tokio::test]
async fn another_server_has_other_people() {
    let (first, second) = (plex(1).await, plex(1).await);
    let server = builder(&first).start().await;
    assert_eq!(count(&server).await, json!({"count": 17}));
    second.set_fault("/identity", Fault::Status(500));
    server.choose(&second).await;
    assert_eq!(count(&server).await, json!({"count": 0}));
}

#[tokio::test]
async fn raw_activities_are_what_plex_sends() {
    let plex = plex(2).await;
    let server = Server::builder().plex(&plex).start().await;
    let raw = server.get(RAW).await.json();
    assert_eq!(raw["activities_endpoint"]["status"], 200);
    assert_eq!(
        raw["activities_endpoint"]["data"]["MediaContainer"]["size"],
        4
    );
    assert_eq!(
        raw["sessions_endpoint"]["data"]["MediaContainer"]["size"],
        2
    );
    plex.set_fault("/activities", Fault::Status(403));
    plex.set_fault("/status/sessions", Fault::Html);
    let raw = server.get(RAW).await.json();
    assert_eq!(raw["activities_endpoint"]["status"], 403);
    let page = raw["activities_endpoint"]["data"].as_str().unwrap();
    assert!(page.contains("<h1>403 Forbidden</h1>"), "{page}");
    let error = json!({"error": "The server's answer is not what a Plex server sends"});
    assert_eq!(raw["sessions_endpoint"], error);
    plex.refuse().await;
    let answer = server.get(RAW).await;
    assert_eq!(answer.status, 200);
    let error = answer.json()["activities_endpoint"]["error"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        error.starts_with("Could not connect") || error.starts_with("The server broke"),
        "{error}"
    );
    let server = Server::builder().start().await;
    assert_eq!(
        server.get(RAW).await.json(),
        json!({"error": "No config found"})
    );
}

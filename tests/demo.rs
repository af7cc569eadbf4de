//! `komandorr demo`: the whole product without a Plex server.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Server, command, until_asked};

#[tokio::test]
async fn the_demo_shows_moving_activities_and_touches_nothing_real() {
    // Neither is a file `.env`, and this one would even stop a server.
    let server = Server::builder()
        .file(".env", "HOST=192.0.2.1\nno pair\n")
        .env("PLEX_SERVER_URL", "http://192.0.2.1:32400")
        .env("PLEX_SERVER_TOKEN", "real")
        .env("AUTH_PASSWORD", "real")
        .env("ENABLE_AUTH", "true")
        .argument("demo")
        .start()
        .await;
    let body = server.get("/api/plex/activities").await.json();
    assert_eq!(body["error"], false);
    let progress = |body: &Value| -> Vec<(Value, Value)> {
        let list = body["activities"].as_array().unwrap().iter();
        list.map(|activity| (activity["uuid"].clone(), activity["progress"].clone()))
            .collect()
    };
    let first = progress(&body);
    assert!(first.len() >= 5, "{first:?}");
    let config = server.get("/api/plex/config").await.json();
    assert!(
        config["url"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    assert_eq!(config["server_name"], "Demo Plex");

    until_asked("movement", async || {
        server.post("/api/plex/cache/clear", &json!({})).await;
        progress(&server.get("/api/plex/activities").await.json()) != first
    })
    .await;
    let files: Vec<_> = std::fs::read_dir(server.directory.path())
        .unwrap()
        .collect();
    assert_eq!(files.len(), 1, "the demo left files: {files:?}");
}

#[tokio::test]
async fn the_demo_has_services_in_every_state_and_finds_them_again() {
    let mut server = Server::builder()
        .argument("demo")
        .argument("--data-dir")
        .argument("d")
        .start()
        .await;
    for start in 0..2 {
        let services = server.check_all().await;
        let states: Vec<&str> = services
            .iter()
            .map(|service| service["status"].as_str().unwrap())
            .collect();
        let expected = "online online online problem offline online online";
        assert_eq!(states.join(" "), expected, "{start}");
        let history = services[0]["response_history"].as_array().unwrap();
        assert!(history.len() > start, "{history:?}");
        server = server.stop().await.start().await;
    }
}

#[tokio::test]
async fn agents_report_what_two_machines_transfer_and_store() {
    let server = Server::builder().argument("demo").start().await;
    let mut summary = Value::Null;
    until_asked("both machines", async || {
        summary = server.get("/api/traffic/summary").await.json();
        summary["services_with_traffic"] == 2
    })
    .await;
    let names = [
        &summary["services"][0]["name"],
        &summary["services"][1]["name"],
    ];
    assert_eq!(names, ["Nordlicht", "Südwind"]);
    until_asked("movement", async || {
        server.get("/api/traffic/summary").await.json()["services"] != summary["services"]
    })
    .await;
    until_asked("their disks", async || {
        let storage = server.get("/api/storage/summary").await.json();
        storage["services_with_storage"] == 2 && storage["total_raid_arrays"] == 3
    })
    .await;
}

#[tokio::test]
async fn the_demo_has_invites_and_friends_with_pictures() {
    let server = Server::builder().argument("demo").start().await;
    let invites = server.get("/api/invites/").await.json();
    let codes: Vec<&str> = invites
        .as_array()
        .unwrap()
        .iter()
        .map(|invite| invite["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["FULLHOUSE", "LAST-SUMMER", "CARTOONS", "CREW2026"]);
    let thumb = invites[3]["users"][0]["thumb"].as_str().unwrap();
    let encoded: String = url::form_urlencoded::byte_serialize(thumb.as_bytes()).collect();
    let picture = server
        .get(&format!("/api/plex/proxy/image?url={encoded}"))
        .await;
    assert_eq!(picture.status, 200);
}

#[tokio::test]
async fn the_services_beside_plex_have_something_to_show() {
    let server = Server::builder().argument("demo").start().await;
    let queue = server.get("/api/arr-activity/queue").await.json();
    for id in ["1", "2"] {
        assert_eq!(queue[id]["totalRecords"], 6, "{queue}");
    }
    let users = server.get("/api/overseerr/users").await.json();
    assert_eq!(users["total"], 18, "{users}");
    let left = |queue: &Value| queue["1"]["records"][0]["sizeleft"].as_u64().unwrap();
    until_asked("movement", async || {
        let now = server.get("/api/arr-activity/queue").await.json();
        left(&now) < left(&queue)
    })
    .await;
}

#[tokio::test]
async fn a_page_stands_in_for_the_frontend() {
    let server = Server::builder().argument("demo").start().await;
    let page = server
        .request(&Method::GET, "/")
        .header("accept", "text/html,*/*;q=0.8");
    let page = server.send(page).await;
    assert!(
        page.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'sha256-"), "{policy}");
    let endpoints = page.text.match_indices("href=\"/").map(|(at, _)| {
        let rest = &page.text[at + 6..];
        rest.split('"').next().unwrap()
    });
    let endpoints: Vec<&str> = endpoints.collect();
    assert!(endpoints.contains(&"/api/plex/activities"), "{endpoints:?}");
    for endpoint in endpoints {
        assert_eq!(server.get(endpoint).await.status, 200, "{endpoint}");
    }
    let greeting = server.get("/").await.json();
    assert_eq!(greeting["message"], "Komandorr Dashboard API");
}

#[tokio::test]
async fn the_demo_leaves_a_real_data_directory_alone() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    std::fs::write(directory.path().join("data/komandorr.db"), "precious").unwrap();
    let mut demo = command(directory.path());
    let output = demo
        .args(["demo", "--port", "0", "--data-dir", "data"])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("data: not made by a demonstration"), "{said}");
    assert_eq!(
        std::fs::read_dir(directory.path().join("data"))
            .unwrap()
            .count(),
        1
    );
}

#[tokio::test]
async fn two_demos_in_one_directory_do_not_disturb_each_other() {
    let first = Server::builder()
        .argument("demo")
        .argument("--data-dir")
        .argument("d")
        .start()
        .await;
    let before = first.get("/api/plex/config").await.json();
    let mut second = command(first.directory.path());
    let output = second
        .args(["demo", "--port", "0", "--data-dir", "d"])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stored = std::fs::read_to_string(first.directory.path().join("d/config.json")).unwrap();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    assert_eq!(stored["plex"]["server_url"], before["url"]);
}

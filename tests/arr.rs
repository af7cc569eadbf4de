//! `/api/arr-activity/*`: what Sonarr and Radarr are doing, and whatever becomes of asking them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use komandorr::demo::{Address, Fault, Simulator};
use serde_json::{Value, json};

use crate::harness::{Builder, Server, nowhere, plex};

const PATHS: [&str; 4] = [
    "/api/arr-activity/queue",
    "/api/arr-activity/queue/status",
    "/api/arr-activity/history",
    "/api/arr-activity/system/status",
];

fn instance(id: &str, kind: &str, url: &str, key: &str) -> Value {
    json!({"id": id, "name": id.to_uppercase(), "type": kind, "url": url, "api_key": key,
           "access_url": "http://home/arr"})
}

fn at(id: &str, kind: &str, address: &Address) -> Value {
    instance(id, kind, &address.url, address.key)
}

/// A server with the simulated Sonarr and Radarr and, before them, these.
fn builder(simulator: &Simulator, before: Vec<Value>) -> Builder {
    let mut instances = before;
    instances.push(at("s", "sonarr", &simulator.sonarr()));
    instances.push(at("r", "radarr", &simulator.radarr()));
    Server::builder().config(&json!({"arr": {"instances": instances}}))
}

/// The answer, which is always one.
async fn get(server: &Server, path: &str) -> Value {
    let answer = server.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    answer.json()
}

fn keys(object: &Value) -> Vec<&String> {
    object.as_object().unwrap().keys().collect()
}

#[tokio::test]
async fn without_servers_there_is_nothing() {
    let server = Server::builder().start().await;
    for path in PATHS {
        let nothing = match path {
            "/api/arr-activity/queue/status" => json!({"instances": {}, "combined":
                {"totalCount": 0, "errors": false, "warnings": false}}),
            _ => json!({}),
        };
        assert_eq!(get(&server, path).await, nothing, "{path}");
    }
}

#[tokio::test]
async fn all_servers_are_asked_once_however_many_ask_us() {
    let simulator = plex(0).await;
    let none = json!({"id": "e", "type": "lidarr", "url": "http://lidarr", "api_key": " "});
    let server = builder(&simulator, vec![none]).start().await;
    for path in PATHS {
        let all = join_all((0..10).map(|_| get(&server, path))).await;
        assert!(all.iter().all(|one| one == &all[0]), "{path}");
    }
    let asked = simulator.calls_by_path();
    assert_eq!(asked.len(), 8, "{asked:?}");
    assert!(asked.values().all(|calls| *calls == 1), "{asked:?}");

    let queue = get(&server, PATHS[0]).await;
    assert_eq!(keys(&queue), ["e", "s", "r"]);
    let none = json!({"name": "", "type": "lidarr", "enabled": false, "access_url": "",
                      "records": [], "totalRecords": 0, "error": "Service not configured"});
    assert_eq!(queue["e"], none);
    for (id, name, kind) in [("s", "S", "sonarr"), ("r", "R", "radarr")] {
        let one = &queue[id];
        assert_eq!(
            keys(one),
            [
                "name",
                "type",
                "enabled",
                "access_url",
                "records",
                "totalRecords",
                "error"
            ]
        );
        assert_eq!((&one["name"], &one["type"]), (&json!(name), &json!(kind)));
        assert_eq!(
            (&one["enabled"], &one["error"]),
            (&json!(true), &json!(null))
        );
        assert_eq!(one["access_url"], "http://home/arr");
        assert_eq!(one["records"].as_array().unwrap().len(), 6);
        assert_eq!(one["totalRecords"], 6);
    }
    let status = get(&server, PATHS[1]).await;
    let combined = json!({"totalCount": 12, "errors": false, "warnings": true});
    assert_eq!(status["combined"], combined);
    assert_eq!(status["instances"]["r"]["totalCount"], 6);
    assert_eq!(status["instances"]["r"]["name"], "R");
    assert_eq!(
        status["instances"]["e"],
        json!({"name": "", "type": "lidarr", "records": [], "totalRecords": 0,
               "error": "Service not configured"})
    );
    let history = get(&server, PATHS[2]).await;
    assert_eq!(
        keys(&history["s"]),
        [
            "name",
            "type",
            "enabled",
            "records",
            "totalRecords",
            "error"
        ]
    );
    assert_eq!(history["s"]["records"].as_array().unwrap().len(), 50);
    assert_eq!(history["s"]["totalRecords"], 130);
    let next = get(&server, "/api/arr-activity/history?page=3&page_size=60").await;
    assert_eq!(next["r"]["records"].as_array().unwrap().len(), 10);
    let wrong = server.get("/api/arr-activity/history?page_size=many").await;
    assert_eq!(wrong.status, 422);
    assert_eq!(
        wrong.json()["detail"][0]["loc"],
        json!(["query", "page_size"])
    );
    let system = get(&server, PATHS[3]).await;
    assert_eq!(
        keys(&system["s"]),
        ["name", "type", "enabled", "configured_url", "status"]
    );
    assert_eq!(system["s"]["status"]["branch"], "main");
    assert_eq!(system["s"]["configured_url"], simulator.sonarr().url);
    assert_eq!(system["e"]["status"]["error"], "Service not configured");
}

#[tokio::test]
async fn what_one_server_does_wrong_is_said_beside_its_name() {
    let simulator = plex(0).await;
    let nobody = nowhere().await;
    let body = |text: &str| Fault::Body(text.to_owned());
    let key = "key-of-a-broken-one";
    // What it does, what is said then, and whether queue and history have room for it.
    let cases = [
        (Fault::Html, "the answer is not JSON"),
        (Fault::BrokenJson, "the answer is not JSON"),
        (body("[]"), "the answer is not of the expected shape"),
        (body("7"), "the answer is not of the expected shape"),
        (Fault::Cut, "broke off its answer"),
        (Fault::Huge(65 * 1024 * 1024), "its answer is too large"),
        (Fault::Redirect(simulator.url()), "API returned status 302"),
        (Fault::Status(401), "API returned status 401"),
        (Fault::Status(500), "API returned status 500"),
    ];
    let mut instances = Vec::new();
    for (number, (fault, _)) in cases.iter().enumerate() {
        for path in ["queue", "queue/status", "history", "system/status"] {
            let huge = matches!(fault, Fault::Huge(_)) && path != "queue";
            let fault = if huge { Fault::Huge(0) } else { fault.clone() };
            simulator.set_fault(&format!("/{number}/api/v3/{path}"), fault);
        }
        let url = format!("{}/{number}/", simulator.url());
        instances.push(instance(&number.to_string(), "sonarr", &url, key));
    }
    let expected = cases.iter().map(|(_, text)| *text);
    let mut expected: Vec<&str> = expected.collect();
    for (id, url, text) in [
        ("nobody", nobody.as_str(), "can't be reached"),
        ("mail", "sonarr:8989", "the address is not a valid URL"),
        (
            "wrong",
            simulator.sonarr().url.as_str(),
            "API returned status 401",
        ),
    ] {
        instances.push(instance(id, "sonarr", url, key));
        expected.push(text);
    }
    let server = builder(&simulator, instances).start().await;
    for path in PATHS {
        let answer = get(&server, path).await;
        let all = answer.get("instances").unwrap_or(&answer);
        let all: Vec<(&String, &Value)> = all.as_object().unwrap().iter().collect();
        assert_eq!(all.len(), expected.len() + 2, "{path}");
        for ((id, one), expected) in all.iter().zip(&expected) {
            let one = one.get("status").unwrap_or(one);
            let huge = *expected == "its answer is too large" && path != PATHS[0];
            let expected = if huge {
                "the answer is not JSON"
            } else {
                expected
            };
            assert_eq!(one["error"], expected, "{path} {id}");
            assert_eq!(
                (&one["records"], &one["totalRecords"]),
                (&json!([]), &json!(0))
            );
        }
        for (id, one) in &all[expected.len()..] {
            let one = one.get("status").unwrap_or(one);
            assert!(
                one.get("error").is_none_or(Value::is_null),
                "{path} {id}: {one}"
            );
        }
        let text = answer.to_string();
        assert!(!text.contains(key) && !text.contains(simulator.sonarr().key));
    }
    let log = server.log();
    assert!(!log.contains(key) && !log.contains(simulator.sonarr().key));
}

#[tokio::test]
async fn servers_of_one_id_are_both_shown() {
    let simulator = plex(0).await;
    let server = builder(&simulator, vec![at("s", "sonarr", &simulator.sonarr())]);
    let server = server.start().await;
    let queue = get(&server, PATHS[0]).await;
    assert_eq!(keys(&queue), ["s", "s-2", "r"]);
    assert!(queue["s-2"]["error"].is_null());
}

#[tokio::test]
async fn nobody_waits_longer_than_ten_seconds_for_one_that_hangs() {
    let simulator = plex(0).await;
    simulator.set_fault("/sonarr/api/v3/queue", Fault::Hang);
    simulator.set_fault("/overseerr/api/v1/status", Fault::Hang);
    let wishes = simulator.overseerr();
    let server = builder(&simulator, Vec::new())
        .env("OVERSEERR_URL", &wishes.url)
        .env("OVERSEERR_API_KEY", wishes.key)
        .start()
        .await;
    let started = Instant::now();
    let (queue, status) = tokio::join!(
        get(&server, PATHS[0]),
        get(&server, "/api/overseerr/status")
    );
    let waited = started.elapsed();
    let limits = Duration::from_secs(9)..Duration::from_secs(14);
    assert!(limits.contains(&waited), "{waited:?}");
    assert_eq!(queue["s"]["error"], "Request timeout");
    assert_eq!(queue["r"]["records"].as_array().unwrap().len(), 6);
    let message = "Failed to connect: no answer in time";
    let silent = json!({"configured": true, "reachable": false, "message": message});
    assert_eq!(status, silent);
}

//! `/api/plex/config` and `/api/plex/validate`.

use std::time::Duration;

use komandorr::demo::{Fault, Simulator};
use serde_json::{Value, json};

use crate::harness::{Server, plex};

fn body(plex: &Simulator) -> Value {
    json!({"url": format!(" {}/ ", plex.url()), "token": plex.token()})
}

#[tokio::test]
async fn an_unconfigured_server_has_an_empty_form() {
    let server = Server::builder()
        .env("PLEX_SERVER_URL", "http://half")
        .start()
        .await;
    assert_eq!(
        server.get("/api/plex/config").await.json(),
        json!({"url": "", "token": "", "server_name": "", "total_users": 0, "total_movies": 0,
               "total_tv_shows": 0})
    );
}

#[tokio::test]
async fn a_working_configuration_is_saved_and_in_force() {
    let plex = plex(1).await;
    let server = Server::builder()
        .config(&json!({"zebra": 1, "plex": {"later": true}, "alpha": {"ä": null}}))
        .start()
        .await;
    let answer = server.post("/api/plex/config", &body(&plex)).await;
    assert_eq!(answer.status, 200);
    let saved = answer.json();
    assert_eq!(saved["status"], "success");
    assert_eq!(saved["message"], "Configuration saved");
    assert_eq!(saved["server_name"], "Demo Plex");
    for total in ["total_users", "total_movies", "total_tv_shows"] {
        assert!(saved[total].as_u64().unwrap() > 0, "{total}");
    }
    let stored = server.config();
    let keys: Vec<&String> = stored.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["zebra", "plex", "alpha"],
        "nothing lost, nothing moved"
    );
    assert_eq!(
        stored["plex"],
        json!({"later": true, "server_url": plex.url(), "server_token": plex.token(),
               "server_name": "Demo Plex"})
    );
    let form = server.get("/api/plex/config").await.json();
    assert_eq!(
        (&form["url"], &form["token"]),
        (&json!(plex.url()), &json!(plex.token()))
    );
    assert_eq!(server.get("/api/plex/activities").await.titles().len(), 5);
    assert!(!server.log().contains(plex.token()));
}

#[tokio::test]
async fn a_configuration_that_does_not_work_is_refused_and_not_saved() {
    let plex = plex(1).await;
    let server = Server::builder().start().await;
    let wrong = json!({"url": plex.url(), "token": "wrong"});
    let answer = server.post("/api/plex/config", &wrong).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json(), json!({"detail": "Invalid Plex token"}));
    assert!(!server.directory.path().join("data/config.json").exists());
}

#[tokio::test]
async fn validation_says_what_is_wrong() {
    let plex = plex(1).await;
    let server = Server::builder().env("PLEX_TIMEOUT", "0.5").start().await;
    let gone = self::plex(0).await;
    gone.refuse().await;
    let verdict = async |url: String, token: &str| {
        let answer = server
            .post("/api/plex/validate", &json!({"url": url, "token": token}))
            .await;
        assert_eq!(answer.status, 200);
        let verdict = answer.json();
        assert_eq!(
            (&verdict["valid"], &verdict["server_name"]),
            (&json!(false), &Value::Null)
        );
        verdict["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(verdict(plex.url(), "wrong").await, "Invalid Plex token");
    assert_eq!(verdict(plex.url(), "tok\nen").await, "Invalid Plex token");
    assert_eq!(
        verdict(gone.url(), "t").await,
        "Could not connect to server - check URL"
    );
    assert_eq!(
        verdict("plex:32400".to_owned(), "t").await,
        "Request URL is missing an 'http://' or 'https://' protocol."
    );
    for (fault, message) in [
        (Fault::Status(503), "Server returned status code: 503"),
        (Fault::Hang, "Connection timeout - server not reachable"),
        (
            Fault::Html,
            "The server's answer is not what a Plex server sends",
        ),
        (
            Fault::Redirect(gone.url()),
            "Server returned status code: 302",
        ),
    ] {
        plex.set_fault("/", fault);
        assert_eq!(verdict(plex.url(), plex.token()).await, message);
    }
}

#[tokio::test]
async fn validation_of_a_working_server_names_and_stores_it() {
    let plex = plex(1).await;
    let server = Server::builder().start().await;
    let verdict = server.post("/api/plex/validate", &body(&plex)).await.json();
    assert_eq!(
        (&verdict["valid"], &verdict["server_name"]),
        (&json!(true), &json!("Demo Plex"))
    );
    let message = verdict["message"].as_str().unwrap();
    assert!(
        message.starts_with("Successfully connected to Demo Plex ("),
        "{message}"
    );
    assert!(message.ends_with(" TV shows)"), "{message}");
    assert_eq!(server.config()["plex"]["server_token"], plex.token());

    let path = server.directory.path().join("data/config.json");
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    server.post("/api/plex/validate", &body(&plex)).await;
    let after = std::fs::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(before, after, "the settings page validates on every load");
}

#[tokio::test]
async fn counting_keeps_to_two_calls_at_a_time_and_survives_failures() {
    let plex = plex(1).await;
    let server = Server::builder().start().await;
    plex.set_fault("*", Fault::Delay(Duration::from_millis(50)));
    plex.set_fault("/accounts", Fault::Status(500));
    let saved = server.post("/api/plex/config", &body(&plex)).await.json();
    assert_eq!(
        saved["total_users"], 0,
        "what can't be counted is shown as none"
    );
    assert!(saved["total_movies"].as_u64().unwrap() > 0);
    assert_eq!(plex.most_at_once(), 2);
    assert!(
        server
            .log()
            .contains("WARNING - Could not fetch user count: Server returned")
    );
}

#[tokio::test]
async fn a_configuration_that_cannot_be_written_is_an_error_and_not_in_force() {
    let plex = plex(1).await;
    let server = Server::builder().start().await;
    // A file that can't be understood must not be overwritten.
    let path = server.directory.path().join("data/config.json");
    std::fs::write(&path, "{\"half\":").unwrap();
    let answer = server.post("/api/plex/config", &body(&plex)).await;
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.json(),
        json!({"detail": "Failed to save configuration: data/config.json:1:8: \
                          EOF while parsing a value"})
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"half\":");
    let log = server.log();
    assert!(log.contains(" failed: data/config.json:1:8: "), "{log}");
    assert_eq!(
        server.get("/api/plex/activities").await.json()["message"],
        "Plex not configured"
    );
}

#[tokio::test]
async fn a_server_cannot_write_lines_into_the_log_or_fill_the_memory() {
    let plex = plex(1).await;
    let named = json!({"MediaContainer": {"friendlyName": "x\nERROR - forged"}});
    plex.set_fault("/", Fault::Body(named.to_string()));
    let sections: Vec<Value> = (0..5000)
        .map(|n| json!({"key": n, "type": "movie"}))
        .collect();
    let sections = json!({"MediaContainer": {"Directory": sections}});
    plex.set_fault("/library/sections", Fault::Body(sections.to_string()));
    let server = Server::builder().start().await;
    plex.forget_calls();
    let verdict = server.post("/api/plex/validate", &body(&plex)).await.json();
    assert_eq!(verdict["valid"], true);
    let counted = plex.calls_by_path();
    assert!(counted.keys().filter(|path| path.ends_with("/all")).count() <= 500);
    assert!(
        !server
            .log()
            .lines()
            .any(|line| line.starts_with("ERROR - forged"))
    );
    assert!(server.log().contains("x ERROR - forged"));
}

#[tokio::test]
async fn one_hanging_count_does_not_cost_the_others() {
    let plex = plex(1).await;
    plex.set_fault("/library/sections/1/all", Fault::Hang);
    let server = Server::builder().env("PLEX_TIMEOUT", "1").start().await;
    let saved = server.post("/api/plex/config", &body(&plex)).await.json();
    assert!(saved["total_users"].as_u64().unwrap() > 0, "{saved}");
    assert!(saved["total_tv_shows"].as_u64().unwrap() > 0, "{saved}");
    assert!(
        saved["total_movies"].as_u64().unwrap() > 0,
        "the other library of films: {saved}"
    );
}

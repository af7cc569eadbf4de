//! Messages by Telegram: the form, and how they are sent.

use std::time::{Duration, Instant};

use komandorr::demo::{Fault, Simulator};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Builder, Server, plex, until};

const FORM: &str = "/api/notifications/telegram";
const TEST: &str = "/api/notifications/telegram/test";
const BOT: &str = "123456:geheim";
const SEND: &str = "/telegram/bot123456:geheim/sendMessage";

fn with(telegram: &Value) -> Builder {
    Server::builder().config(&json!({"notifications": {"telegram": telegram}}))
}

/// A server that may send to the Telegram of `simulator`.
async fn sending(simulator: &Simulator) -> Server {
    with(&json!({"enabled": true, "bot_token": BOT, "chat_id": "-100"}))
        .env("TELEGRAM_API_URL", &simulator.telegram_url())
        .start()
        .await
}

async fn put(server: &Server, body: Value) -> Answer {
    let request = server.request(&Method::PUT, FORM).body(body.to_string());
    server
        .send(request.header("content-type", "application/json"))
        .await
}

async fn test(server: &Server) -> (Value, String) {
    let answer = server.send(server.request(&Method::POST, TEST)).await;
    assert_eq!(answer.status, 200, "always");
    let body = answer.json();
    assert_eq!(body.as_object().unwrap().len(), 2);
    let message = body["message"].as_str().unwrap().to_owned();
    (body["success"].clone(), message)
}

#[tokio::test]
async fn the_form_has_its_defaults_and_hides_the_token() {
    let server = Server::builder().start().await;
    assert_eq!(
        server.get(FORM).await.text,
        r#"{"telegram":{"enabled":false,"bot_token":"","chat_id":"","notify_offline":true,"notify_problem":true,"notify_recovery":true}}"#
    );
    let answer = put(&server, json!({"bot_token": BOT, "enabled": "yes"})).await;
    let shown = &answer.json()["telegram"];
    assert_eq!(shown["bot_token"], "*********heim");
    assert_eq!(shown["enabled"], true);
    assert_eq!(server.get(FORM).await.text, answer.text);
    assert_eq!(
        server.config()["notifications"]["telegram"]["bot_token"],
        BOT
    );
}

#[tokio::test]
async fn what_is_missing_stays_and_so_does_a_masked_token() {
    let stored = json!({"enabled": true, "bot_token": BOT, "chat_id": 7, "notify_problem": false,
                        "own": [1]});
    let server = with(&stored).start().await;
    let before = server.get(FORM).await.json();
    assert_eq!(before["telegram"]["chat_id"], "7", "a text");
    assert_eq!(put(&server, json!({})).await.json(), before);
    assert_eq!(server.config()["notifications"]["telegram"], stored);
    // As the page saves.
    let mut form = before["telegram"].clone();
    form["notify_recovery"] = json!(false);
    let answer = put(&server, form).await.json();
    assert_eq!(answer["telegram"]["notify_recovery"], false);
    let config = server.config()["notifications"]["telegram"].clone();
    assert_eq!(
        (&config["bot_token"], &config["own"]),
        (&json!(BOT), &json!([1]))
    );
    assert_eq!(put(&server, json!({"bot_token": ""})).await.status, 200);
    assert_eq!(
        server.config()["notifications"]["telegram"]["bot_token"],
        ""
    );
    let server = server.stop().await.start().await;
    let form = server.get(FORM).await.json();
    assert_eq!(form["telegram"]["notify_recovery"], false, "restarted");
}

#[tokio::test]
async fn wrong_types_are_422_and_a_broken_section_is_replaced() {
    let server = Server::builder()
        .config(&json!({"notifications": "none"}))
        .start()
        .await;
    let answer = put(&server, json!({"chat_id": 7, "enabled": null})).await;
    assert_eq!(answer.status, 422);
    let found: Vec<Value> = answer.json()["detail"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| json!([problem["type"], problem["loc"]]))
        .collect();
    assert_eq!(
        found,
        [
            json!(["bool_type", ["body", "enabled"]]),
            json!(["string_type", ["body", "chat_id"]])
        ]
    );
    assert_eq!(put(&server, json!({"chat_id": "7"})).await.status, 200);
    assert_eq!(
        server.config()["notifications"],
        json!({"telegram": {"chat_id": "7"}})
    );
}

#[tokio::test]
async fn the_status_tells_enabled_from_configured() {
    for (telegram, enabled, configured) in [
        (json!({}), false, false),
        (json!({"enabled": true, "chat_id": "1"}), false, false),
        (json!({"enabled": true, "bot_token": "1:a"}), false, true),
        (json!({"bot_token": "1:a", "chat_id": "1"}), false, true),
        (
            json!({"enabled": true, "bot_token": "1:a", "chat_id": "1"}),
            true,
            true,
        ),
    ] {
        let server = with(&telegram).start().await;
        assert_eq!(
            server.get("/api/notifications/status").await.json(),
            json!({"telegram": {"enabled": enabled, "configured": configured}}),
            "{telegram}"
        );
    }
}

#[tokio::test]
async fn a_test_message_arrives_as_telegram_wants_it() {
    let simulator = plex(0).await;
    let server = sending(&simulator).await;
    let (success, message) = test(&server).await;
    assert_eq!(success, true);
    assert_eq!(
        message,
        "Test notification sent successfully! Check your Telegram."
    );
    let [sent] = &simulator.messages()[..] else {
        panic!("one message: {:?}", simulator.messages())
    };
    assert_eq!((&*sent.token, &*sent.chat_id), (BOT, "-100"));
    let (start, at) = sent.text.split_once("<i>Sent at ").unwrap();
    assert_eq!(
        start,
        "🔔 <b>Komandorr Test Notification</b>\n\n\
         ✅ Your Telegram notifications are configured correctly!\n\n"
    );
    let at = at.strip_suffix(" UTC</i>").unwrap();
    assert!(chrono::NaiveDateTime::parse_from_str(at, "%Y-%m-%d %H:%M:%S").is_ok());
    let keys: Vec<&String> = sent.body.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["chat_id", "text", "parse_mode", "disable_web_page_preview"]
    );
    assert_eq!(sent.body["parse_mode"], "HTML");
    assert_eq!(sent.body["disable_web_page_preview"], true);
}

#[tokio::test]
async fn a_test_that_fails_is_tried_once_and_told() {
    let simulator = plex(0).await;
    let server = sending(&simulator).await;
    let failed = "Failed to send notification. Check your bot token and chat ID.";
    simulator.refuse_messages(1, 429, Some(30));
    assert_eq!(test(&server).await, (json!(false), failed.to_owned()));
    assert_eq!(simulator.calls(SEND), 1);
    until("the reason", || {
        server
            .log()
            .contains("Telegram API error: 429 - Told to refuse")
    })
    .await;
    simulator.refuse().await;
    assert_eq!(test(&server).await, (json!(false), failed.to_owned()));
    until("the reason", || {
        let told = "Failed to send Telegram notification: can't be reached";
        server.log().contains(told)
    })
    .await;
    let off = put(&server, json!({"enabled": false})).await;
    assert_eq!(off.status, 200);
    assert_eq!(
        test(&server).await,
        (
            json!(false),
            "Telegram notifications are not enabled or not configured properly".to_owned()
        )
    );
    assert!(!server.log().contains("geheim"), "{}", server.log());
}

#[tokio::test]
async fn a_telegram_that_hangs_ends_a_test_and_delays_nobody_else() {
    let simulator = plex(0).await;
    let server = sending(&simulator).await;
    simulator.set_fault(SEND, Fault::Hang);
    let started = Instant::now();
    let others = async {
        for _ in 0..20 {
            assert_eq!(server.get("/api/health").await.status, 200);
        }
        started.elapsed()
    };
    let ((success, _), others) = tokio::join!(test(&server), others);
    assert_eq!(success, false);
    let took = started.elapsed();
    assert!(
        (Duration::from_secs(9)..Duration::from_secs(25)).contains(&took),
        "{took:?}"
    );
    assert!(others < Duration::from_secs(8), "{others:?}");
    assert!(!server.log().contains("geheim"), "{}", server.log());
}

#[tokio::test]
async fn the_demo_talks_to_its_own_telegram() {
    let server = Server::builder().argument("demo").start().await;
    let form = json!({"enabled": true, "bot_token": "1:demo", "chat_id": "1"});
    assert_eq!(put(&server, form).await.status, 200);
    assert_eq!(test(&server).await.0, true);
}

//! The settings page: what it gets, what it stores, and that it takes effect at once.

use std::fs;

use komandorr::demo::Options;
use komandorr::demo::{Fault, Scene, Simulator};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Server, plex, until, until_asked};

const PATH: &str = "/api/settings";

/// Everything that the page can hold, each value unlike its default.
fn everything() -> Value {
    json!({
        "logging": {"level": "WARNING", "enable_file": false},
        "general": {"timezone": "Asia/Tokyo"},
        "api": {"github_token": "geheim-1", "tmdb_api_key": "geheim-2"},
        "plex": {"server_url": "http://127.0.0.1:1", "server_token": "geheim-3",
                 "server_name": "Kino"},
        "overseerr": {"url": "http://o/api/v1/user", "api_key": "geheim-4",
                      "email_domain": "example.org"},
        "uploader": {"base_url": "http://u"},
        "vpn_proxy": {"url": "http://v", "api_key": "geheim-5"},
        "posterizarr": {"url": "http://p", "api_key": "geheim-6"},
        "arr": {"instances": [{"id": "1", "name": "Serien", "type": "sonarr", "url": "http://s",
                               "api_key": "geheim-7", "access_url": "https://s.example.org"}]},
        "external_apps": {"apps": [{"id": "1", "name": "Ä", "url": "http://a", "icon": "/icons/a.png"}]},
    })
}

async fn save(server: &Server, body: &Value) -> Value {
    let answer = server.post(PATH, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn without_any_configuration_all_keys_are_there_in_their_order() {
    let server = Server::builder().env("LOG_LEVEL", "").start().await;
    let expected = r#"{"logging":{"level":"INFO","enable_file":true},"general":{"timezone":"UTC"},"api":{"github_token":"","tmdb_api_key":""},"plex":{"server_url":"","server_token":"","server_name":"Plex Server"},"overseerr":null,"uploader":{"base_url":""},"vpn_proxy":{"url":"","api_key":""},"posterizarr":{"url":"","api_key":""},"arr":null,"external_apps":{"apps":[]}}"#;
    assert_eq!(server.get(PATH).await.text, expected);
    assert_eq!(server.get("/api/settings/").await.text, expected);
}

#[tokio::test]
async fn what_the_page_gets_it_can_send_back_without_changing_anything() {
    let mut stored = everything();
    stored["auth"] = json!({"enabled": false, "username": "me", "password": "geheim-8"});
    stored["notifications"] = json!({"telegram": {"bot_token": "geheim-9"}});
    stored["of somebody else"] = json!([1, {"ü": null}]);
    let server = Server::builder().config(&stored).start().await;
    let shown = server.get(PATH).await.json();
    assert_eq!(shown, everything(), "secrets in clear");
    assert_eq!(save(&server, &shown).await, shown);
    assert_eq!(server.config(), stored);

    let changed = json!({"plex": {"server_url": "http://127.0.0.1:2/", "server_token": "t",
                                  "server_name": "N"}});
    save(&server, &changed).await;
    stored["plex"] = changed["plex"].clone();
    stored["plex"]["server_url"] = json!("http://127.0.0.1:2");
    assert_eq!(server.config(), stored, "and the rest is kept");
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&server.config()), keys(&stored), "in its order");
    let again = server.stop().await.start().await;
    assert_eq!(
        again.get(PATH).await.json()["plex"]["server_name"],
        "N",
        "after a restart too"
    );
}

#[tokio::test]
async fn a_null_or_missing_section_stays_and_a_given_one_is_replaced_as_a_whole() {
    let stored = json!({
        "uploader": {"base_url": "http://u", "note": "mine"},
        "vpn_proxy": {"url": "http://v", "api_key": "k"},
        "instances": [{"id": "old", "name": "O", "type": "radarr", "url": "", "api_key": ""}],
    });
    let server = Server::builder().config(&stored).start().await;
    let shown = server.get(PATH).await.json();
    assert_eq!(shown["arr"]["instances"][0]["id"], "old");
    assert_eq!(shown["arr"]["instances"][0]["access_url"], "");
    let answer = save(
        &server,
        &json!({
            "vpn_proxy": null,
            "uploader": {"base_url": "http://w"},
            "external_apps": {"apps": [{"id": "1", "name": "A", "url": "http://a"}]},
            "what is this": 1,
        }),
    )
    .await;
    assert_eq!(answer["vpn_proxy"]["url"], "http://v");
    assert_eq!(answer["external_apps"]["apps"][0]["icon"], "");
    let config = server.config();
    assert_eq!(config["uploader"], json!({"base_url": "http://w"}));
    assert!(config["instances"].is_array() && config["what is this"].is_null());
    let answer = save(&server, &json!({"arr": {}})).await;
    assert_eq!(answer["arr"], json!({"instances": []}));
    assert!(server.config()["instances"].is_null());
    let before = server.config();
    save(&server, &json!({})).await;
    assert_eq!(server.config(), before);
}

#[tokio::test]
async fn environment_shows_until_the_page_stores_something_else() {
    let server = Server::builder()
        .env("OVERSEERR_URL", "http://env")
        .env("GITHUB_TOKEN", "from env")
        .env("TZ", "Europe/Berlin")
        .start()
        .await;
    let shown = server.get(PATH).await.json();
    assert_eq!(
        shown["overseerr"],
        json!({"url": "http://env", "api_key": "", "email_domain": ""})
    );
    assert_eq!(shown["api"]["github_token"], "from env");
    assert_eq!(shown["general"]["timezone"], "Europe/Berlin");
    let keys = json!({"api": {"github_token": "", "tmdb_api_key": ""}});
    assert_eq!(
        save(&server, &keys).await["api"]["github_token"],
        "",
        "empty is a choice"
    );
}

#[tokio::test]
async fn older_forms_and_broken_entries_do_not_break_the_page() {
    let stored = json!({
        "logging": "loud",
        "general": {"timezone": 5},
        "plex": {"server_url": ["geheim"]},
        "arr": {"sonarr": {"url": "http://s", "api_key": "k"}, "radarr": {"url": "", "api_key": ""}},
        "external_apps": {"apps": [{"id": "1"}, {"id": "2", "name": "B", "url": "http://b"}]},
    });
    let server = Server::builder()
        .env("LOG_LEVEL", "DEBUG")
        .config(&stored)
        .start()
        .await;
    let shown = server.get(PATH).await.json();
    assert_eq!(
        shown["arr"]["instances"],
        json!([{"id": "sonarr-default", "name": "Sonarr", "type": "sonarr", "url": "http://s",
                "api_key": "k", "access_url": ""}])
    );
    assert_eq!(shown["external_apps"]["apps"].as_array().unwrap().len(), 1);
    assert_eq!(
        shown["logging"],
        json!({"level": "DEBUG", "enable_file": true})
    );
    assert_eq!(shown["general"]["timezone"], "UTC");
    assert_eq!(shown["plex"]["server_url"], "");
    let told = "external_apps.apps[0] lacks a value";
    until("the warning", || server.log().contains(told)).await;
    assert!(!server.log().contains("geheim"));
}

async fn refused(server: &Server, body: Value) -> Value {
    let answer: Answer = server.post(PATH, &body).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    answer.json()["detail"].clone()
}

#[tokio::test]
async fn wrong_types_are_named_with_their_place_and_nothing_is_stored() {
    let server = Server::builder().start().await;
    let instance = json!({"id": "1", "name": "N", "type": "sonarr", "url": 5, "api_key": "k",
                          "access_url": null});
    let detail = refused(
        &server,
        json!({
            "general": {"timezone": "Asia/Tokyo"},
            "logging": {"level": null, "enable_file": "maybe"},
            "plex": [],
            "arr": {"instances": [instance]},
            "external_apps": {"apps": null},
        }),
    )
    .await;
    let found: Vec<(&str, &Value)> = detail
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| (problem["type"].as_str().unwrap(), &problem["loc"]))
        .collect();
    assert_eq!(
        found,
        [
            ("string_type", &json!(["body", "logging", "level"])),
            ("bool_parsing", &json!(["body", "logging", "enable_file"])),
            ("model_attributes_type", &json!(["body", "plex"])),
            (
                "string_type",
                &json!(["body", "arr", "instances", 0, "url"])
            ),
            (
                "string_type",
                &json!(["body", "arr", "instances", 0, "access_url"])
            ),
            ("list_type", &json!(["body", "external_apps", "apps"])),
        ]
    );
    let detail = refused(&server, json!({"general": {}})).await;
    assert_eq!(
        detail,
        json!([{"type": "missing", "loc": ["body", "general", "timezone"],
                "msg": "Field required", "input": {}}])
    );
    assert_eq!(
        server.get("/api/config").await.json(),
        json!({"timezone": "UTC"})
    );
    assert!(!server.directory.path().join("data/config.json").exists());
}

#[tokio::test]
async fn a_time_zone_is_in_force_with_the_answer_and_an_unknown_one_only_shown() {
    let server = Server::builder().start().await;
    let zone = |name: &str| json!({"general": {"timezone": name}});
    save(&server, &zone("Asia/Tokyo")).await;
    let config = server.get("/api/config").await.json();
    assert_eq!(config, json!({"timezone": "Asia/Tokyo"}));
    let answer = save(&server, &zone("Mars/X")).await;
    assert_eq!(answer["general"]["timezone"], "Mars/X");
    let config = server.get("/api/config").await.json();
    assert_eq!(config, json!({"timezone": "UTC"}), "a valid name always");
    until("the warning", || server.log().contains("\"Mars/X\"")).await;
}

#[tokio::test]
async fn a_log_level_is_in_force_with_the_answer_and_an_unknown_one_only_shown() {
    let server = Server::builder().start().await;
    let level = |level: &str| json!({"logging": {"level": level, "enable_file": true}});
    save(&server, &level("ERROR")).await;
    server.get("/api/config?quiet").await;
    let answer = save(&server, &level("bogus")).await;
    assert_eq!(answer["logging"]["level"], "bogus");
    save(&server, &level("DEBUG")).await;
    server.get("/api/auth/status").await;
    until("the line", || server.log().contains("/api/auth/status")).await;
    let log = server.log();
    assert!(!log.contains("GET /api/config"), "{log}");
    assert!(log.contains("Log level is now DEBUG"), "{log}");
}

#[tokio::test]
async fn the_log_file_can_be_switched_off_and_on() {
    let server = Server::builder().start().await;
    let path = server.directory.path().join("logs/komandorr.log");
    let read = || fs::read_to_string(&path).unwrap();
    let file = |on: bool| json!({"logging": {"level": "DEBUG", "enable_file": on}});
    save(&server, &file(false)).await;
    let before = read();
    assert!(
        before.ends_with("The log file is switched off\n"),
        "all of it, with the answer: {before}"
    );
    server.get("/api/auth/status").await;
    until("the line", || server.log().contains("/api/auth/status")).await;
    assert_eq!(read(), before);

    fs::remove_file(&path).unwrap();
    save(&server, &file(true)).await;
    server.get("/api/config").await;
    until("the line", || read().contains("GET /api/config")).await;
    let first = read();
    let first = first.lines().next().unwrap();
    assert!(
        first.contains(" - INFO     - [komandorr:logging:"),
        "in the same form: {first}"
    );
    let running = server.stop().await;
    let text = fs::read_to_string(running.directory().join("logs/komandorr.log")).unwrap();
    assert!(text.contains("Shutting down Komandorr"), "to the end");
}

#[tokio::test]
async fn a_log_file_that_cannot_be_had_is_no_failure() {
    let server = Server::builder()
        .env("LOG_ENABLE_FILE", "false")
        .env("LOG_FILE", "data/config.json/log")
        .start()
        .await;
    let on = json!({"logging": {"level": "DEBUG", "enable_file": true}});
    assert_eq!(save(&server, &on).await["logging"], on["logging"]);
    until("the warning", || server.log().contains("No log file: ")).await;
    server.get("/api/config").await;
    until("a line", || server.log().contains("GET /api/config")).await;
    assert_eq!(server.log().matches("No log file: ").count(), 1);
}

#[tokio::test]
async fn another_plex_server_is_shown_at_once() {
    let (old, new) = (plex(1).await, plex(3).await);
    let server = Server::builder()
        .plex(&old)
        .env("STATS_REFRESH_INTERVAL", "3600")
        .start()
        .await;
    let list = server.get("/api/plex/sessions").await.json();
    assert_eq!(list["sessions"].as_array().unwrap().len(), 1);
    until_asked("the first figures", async || {
        server.get("/api/plex/stats/dashboard").await.json()["cached"] == true
    })
    .await;
    let body = json!({"plex": {"server_url": new.url(), "server_token": new.token(),
                               "server_name": "New"}});
    save(&server, &body).await;
    let figures = || new.calls("/library/sections") > 0;
    until("figures of the new one, though nobody asks", figures).await;
    let list = server.get("/api/plex/sessions").await.json();
    assert_eq!(list["sessions"].as_array().unwrap().len(), 3);
    assert_eq!(
        server.get("/api/plex/stats").await.json()["server_name"],
        "New"
    );
    let none = json!({"plex": {"server_url": "", "server_token": "", "server_name": ""}});
    save(&server, &none).await;
    let list = server.get("/api/plex/sessions").await.json();
    assert_eq!(list["sessions"], json!([]));
}

#[tokio::test]
async fn saves_at_the_same_time_lose_nothing() {
    let server = Server::builder().start().await;
    for round in 0..10 {
        let text = format!("http://{round}");
        let vpn = json!({"vpn_proxy": {"url": text, "api_key": ""}});
        let rest = json!({"posterizarr": {"url": text, "api_key": ""},
                          "uploader": {"base_url": text}});
        let telegram = server
            .request(&Method::PUT, "/api/notifications/telegram")
            .header("content-type", "application/json")
            .body(json!({"chat_id": text}).to_string());
        let (_, _, telegram) = tokio::join!(
            save(&server, &vpn),
            save(&server, &rest),
            server.send(telegram)
        );
        assert_eq!(telegram.status, 200);
        let config = server.config();
        for (section, key) in [
            ("vpn_proxy", "url"),
            ("posterizarr", "url"),
            ("uploader", "base_url"),
        ] {
            assert_eq!(config[section][key], text, "{section}");
        }
        assert_eq!(config["notifications"]["telegram"]["chat_id"], text);
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_a_500_that_says_where() {
    let server = Server::builder()
        .config(&json!({"uploader": {"base_url": "http://u"}}))
        .start()
        .await;
    let path = server.directory.path().join("data/config.json");
    let broken = "{\"plex\": {\"server_token\": \"geheim\",}}";
    fs::write(&path, broken).unwrap();
    let body = json!({"uploader": {"base_url": "http://w"}});
    let answer = server.post(PATH, &body).await;
    assert_eq!(answer.status, 500);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    let expected = "Failed to save settings: data/config.json:1:36: ";
    assert!(detail.starts_with(expected), "{detail}");
    assert_eq!(
        server.get(PATH).await.json()["uploader"]["base_url"],
        "http://u",
        "what is in force stays"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), broken);
    assert!(!server.log().contains("geheim"));
}

#[tokio::test]
async fn the_log_names_sections_and_never_a_value() {
    let server = Server::builder().env("LOG_LEVEL", "DEBUG").start().await;
    let mut body = everything();
    body["logging"]["level"] = json!("DEBUG");
    save(&server, &body).await;
    body["api"]["tmdb_api_key"] = json!("geheim-10");
    save(&server, &body).await;
    let telegram = server
        .request(&Method::PUT, "/api/notifications/telegram")
        .header("content-type", "application/json")
        .body(json!({"bot_token": "geheim-11"}).to_string());
    assert!(!server.send(telegram).await.text.contains("geheim"));
    let named = "Settings changed: logging, general, api, plex, overseerr, uploader, vpn_proxy, \
                 posterizarr, arr, external_apps\n";
    until("all sections", || server.log().contains(named)).await;
    let named = "Settings changed: api\n";
    until("the one that differs", || server.log().contains(named)).await;
    let named = "Settings changed: notifications\n";
    until("messages", || server.log().contains(named)).await;
    assert!(!server.log().contains("geheim"), "{}", server.log());
}

#[tokio::test]
async fn a_slow_plex_does_not_delay_the_answer() {
    let slow = Simulator::start(Options {
        scene: Scene::Fixed { sessions: 1 },
        ..Options::default()
    })
    .await
    .unwrap();
    slow.set_fault("*", Fault::Hang);
    let server = Server::builder()
        .env("STATS_REFRESH_INTERVAL", "3600")
        .start()
        .await;
    let body = json!({"plex": {"server_url": slow.url(), "server_token": "t", "server_name": ""}});
    let started = std::time::Instant::now();
    save(&server, &body).await;
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

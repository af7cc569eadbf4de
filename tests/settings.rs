//! Where settings come from, and what happens to those that make no sense.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Server, plex, until, until_asked};

/// What a server that does not start says, and its exit code.
async fn refusal(builder: crate::harness::Builder) -> (String, i32) {
    let output = builder.command().output();
    let output = tokio::time::timeout(Duration::from_secs(10), output)
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (said, output.status.code().expect("an exit code"))
}

#[tokio::test]
async fn a_value_that_does_not_parse_is_one_clear_line_and_exit_code_2() {
    for (name, value, allowed) in [
        ("PORT", "http", "a port number, 0 to 65535"),
        ("APP_PORT", "70000", "a port number, 0 to 65535"),
        (
            "DEBUG",
            "perhaps",
            "true or false (also 1/0, yes/no, on/off)",
        ),
        (
            "CACHE_SESSIONS_TTL",
            "-3",
            "seconds, 0 or more (fractions allowed)",
        ),
        (
            "HISTORY_SYNC_INTERVAL",
            "0",
            "seconds, 0.001 or more (fractions allowed)",
        ),
        ("REDIS_DB", "x", "the number of a database, 0 or more"),
        (
            "REDIS_TLS",
            "tls",
            "true or false (also 1/0, yes/no, on/off)",
        ),
        ("REDIS_TIMEOUT_MS", "0", "milliseconds, 1 to 10000"),
        (
            "CACHE_WARM",
            "activities,films",
            "none, or some of activities, watch_history, sessions, stats, stats_live, \
             recent_media, libraries, separated by commas",
        ),
        (
            "IMAGE_HOSTS",
            "img.example.org,https://cdn.example.org",
            "names of hosts (no scheme, port or path), separated by commas",
        ),
        ("IMAGE_CACHE_MB", "lots", "mebibytes, 0 to 65535"),
        ("PLEX_TV_URL", "plex", "an address such as https://plex.tv"),
    ] {
        let (said, code) = refusal(Server::builder().env(name, value)).await;
        assert_eq!(
            said,
            format!("komandorr: {name}={value:?}: expected {allowed}\n")
        );
        assert_eq!(code, 2);
    }
}

#[tokio::test]
async fn a_corrupt_config_stops_the_start_and_is_left_as_it_is() {
    let corrupt = "{\n  \"auth\": {\"enabled\": true,}\n}";
    let builder = Server::builder().file("data/config.json", corrupt);
    let path = builder.directory().join("data/config.json");
    let mut command = builder.command();
    let output = command.output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "komandorr: data/config.json:2:28: trailing comma\n");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read_to_string(path).unwrap(), corrupt);
}

#[tokio::test]
async fn an_auth_section_that_is_not_understood_stops_the_start() {
    let (said, code) = refusal(Server::builder().config(&json!({"auth": []}))).await;
    assert!(said.contains("refusing to run without log-in"), "{said}");
    assert_eq!(code, 2);
}

#[tokio::test]
async fn values_that_were_always_tolerated_are_a_warning() {
    let server = Server::builder()
        .env("LOG_LEVEL", "loud")
        .env("TZ", "Mars/Olympus")
        .env("CORS_ORIGINS", "nonsense")
        .start()
        .await;
    assert_eq!(
        server.get("/api/config").await.json(),
        json!({"timezone": "UTC"})
    );
    let log = server.log();
    for told in [
        "Log level \"loud\"",
        "TZ: \"Mars/Olympus\"",
        "CORS_ORIGINS: \"nonsense\"",
    ] {
        assert!(log.contains(told), "{told} in {log}");
    }
}

/// All that a server says at its start.
async fn said_at_start(builder: crate::harness::Builder) -> String {
    let server = builder.start().await;
    server.get("/healthz").await;
    until("a later line", || server.log().contains("GET /healthz")).await;
    server.log()
}

#[tokio::test]
async fn redis_is_off_for_anything_but_true() {
    let with = |value: &str| said_at_start(Server::builder().env("REDIS_ENABLED", value));
    let tried = |log: &str| log.contains("Redis");
    assert!(!tried(&with("disabled").await));
    assert!(tried(&with("True").await));
}

#[tokio::test]
async fn a_redis_url_that_is_not_understood_is_refused_without_being_shown() {
    let with = |url: &str| Server::builder().env("REDIS_URL", url);
    for (builder, allowed) in [
        (
            with("redis://ada:geheim@cache:port"),
            "each host as name, name:port or [IPv6]:port",
        ),
        (
            with("rediss://ada:ge/geheim@cache").env("REDIS_ENABLED", "true"),
            "user:password@host with all other special characters percent-encoded as UTF-8 \
             (%40 for @)",
        ),
        (
            with("redis-cluster://ada:geheim@a,b/1"),
            "no database but 0 with redis-cluster://",
        ),
        (
            with("http://ada:geheim@cache"),
            "redis://host:port/db or rediss://…, redis+unix:///path?db=0, \
             redis-sentinel://host:port,host:port/master/db or \
             redis-cluster://host:port,host:port",
        ),
    ] {
        let directory = builder.directory().to_owned();
        let output = builder.command().output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            said,
            format!("komandorr: REDIS_URL=\"***\": expected {allowed}\n")
        );
        assert!(!String::from_utf8_lossy(&output.stdout).contains("geheim"));
        assert_eq!(output.status.code(), Some(2));
        assert!(!directory.join("logs").exists(), "nothing has started");
    }
    let cluster = with("redis-cluster://a,b").env("REDIS_DB", "3");
    let (said, code) = refusal(cluster).await;
    assert!(
        said.starts_with("komandorr: REDIS_DB=\"3\": expected 0"),
        "{said}"
    );
    assert_eq!(code, 2);
}

#[tokio::test]
async fn a_redis_url_alone_does_not_switch_redis_on() {
    let url = "redis://:geheim@127.0.0.1:1";
    let log = said_at_start(Server::builder().env("REDIS_URL", url)).await;
    assert!(
        log.contains("REDIS_URL is set, but Redis is not used"),
        "{log}"
    );
    assert!(!log.contains("geheim"), "{log}");
}

#[tokio::test]
async fn a_missing_log_in_or_a_default_password_is_a_warning() {
    let default = "Log-in is on with the default password";
    let open = "Without log-in, everybody on this network can read the settings";
    let on = json!({"auth": {"enabled": true}});
    let log = said_at_start(Server::builder().config(&on)).await;
    assert!(log.contains(default) && !log.contains(open), "{log}");
    let own = Server::builder().config(&on).env("AUTH_PASSWORD", "own");
    assert!(!said_at_start(own).await.contains(default));
    assert!(said_at_start(Server::builder()).await.contains(open));
}

#[tokio::test]
async fn a_config_that_disappears_does_not_open_the_server() {
    let server = Server::builder()
        .config(&json!({"auth": {"enabled": true}}))
        .start()
        .await;
    let path = server.directory.path().join("data/config.json");
    fs::remove_file(&path).unwrap();
    until("the warning", || {
        server.log().contains("config.json is gone")
    })
    .await;
    assert_eq!(server.get("/api/health").await.status, 401);
    fs::write(&path, "{\"auth\":{\"enabled\":false}}").unwrap();
    let open = async || server.get("/api/health").await.status == 200;
    until_asked("the new file", open).await;
}

#[tokio::test]
async fn what_is_odd_about_a_hand_edit_is_logged() {
    let server = Server::builder().start().await;
    let path = server.directory.path().join("data/config.json");
    let plex = json!({"plex": {"server_url": "plex:32400", "server_token": "t"}});
    fs::write(path, plex.to_string()).unwrap();
    until("the warning", || {
        server.log().contains("The Plex server can't be used")
    })
    .await;
    let form = server.get("/api/plex/config").await.json();
    assert_eq!(form["url"], "plex:32400", "shown for correction");
}

#[tokio::test]
async fn a_dotenv_file_is_read_and_real_variables_win() {
    let dotenv = "TZ=Asia/Tokyo\nCACHE_ACTIVITIES_TTL=1.5\nCACHE_MAX_WAIT=\n";
    let server = Server::builder()
        .file(".env", dotenv)
        .env("CACHE_ACTIVITIES_TTL", "7")
        .start()
        .await;
    assert_eq!(
        server.get("/api/config").await.json(),
        json!({"timezone": "Asia/Tokyo"})
    );
    assert_eq!(server.cache().await["ttl_seconds"], 7);
    let (said, code) = refusal(Server::builder().file(".env", "AUTH_PASSWORD='geheim\n")).await;
    assert!(
        said.starts_with("komandorr: .env: ") && !said.contains("geheim"),
        "{said}"
    );
    assert_eq!(code, 2);
}

#[tokio::test]
async fn config_json_wins_over_the_environment_and_becomes_private() {
    let server = Server::builder()
        .env("TZ", "Asia/Tokyo")
        .config(&json!({"general": {"timezone": "Europe/Berlin"}}))
        .start()
        .await;
    assert_eq!(
        server.get("/api/config").await.json(),
        json!({"timezone": "Europe/Berlin"})
    );
    let meta = fs::metadata(server.directory.path().join("data/config.json")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn the_log_level_can_be_changed_while_running() {
    let server = Server::builder().env("LOG_LEVEL", "WARNING").start().await;
    let path = server.directory.path().join("data/config.json");
    server.get("/healthz").await;
    assert!(!server.log().contains("/healthz"));
    fs::write(path, json!({"logging": {"level": "DEBUG"}}).to_string()).unwrap();
    until("the new level", || {
        server.log().contains("Log level is now DEBUG")
    })
    .await;
    server.get("/healthz").await;
    until("the line", || server.log().contains("GET /healthz -> 200")).await;
}

#[tokio::test]
async fn a_broken_hand_edit_is_reported_once_and_the_old_settings_stay() {
    let plex = plex(1).await;
    let server = Server::builder().plex(&plex).start().await;
    let path = server.directory.path().join("data/config.json");
    fs::write(&path, "{\"plex\": ").unwrap();
    until("the report", || {
        server.log().contains("data/config.json:1:9: ")
    })
    .await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(server.log().matches("data/config.json:1:9: ").count(), 1);
    assert_eq!(
        server.get("/api/plex/activities").await.json()["error"],
        false
    );
    fs::write(&path, "{}").unwrap();
}

#[tokio::test]
async fn the_log_file_has_the_known_format_and_is_appended_to() {
    let server = Server::builder()
        .file("logs/komandorr.log", "an earlier line\n")
        .start()
        .await;
    let path = server.directory.path().join("logs/komandorr.log");
    let read = || fs::read_to_string(&path).unwrap();
    until("a line", || {
        read().contains("Authentication enabled: false")
    })
    .await;
    let text = read();
    assert!(text.starts_with("an earlier line\n"));
    let line = text
        .lines()
        .find(|line| line.ends_with(" - Debug mode: false"))
        .unwrap();
    let fields: Vec<&str> = line.split(" - ").collect();
    assert_eq!(
        (fields[0].len(), fields[1]),
        ("2026-11-22 13:09:07".len(), "INFO    ")
    );
    assert!(
        fields[2].starts_with("[komandorr:") && fields[2].ends_with(']'),
        "{line}"
    );
    assert!(
        !text.contains('\u{1b}') && !server.log().contains('\u{1b}'),
        "colour without a terminal"
    );
}

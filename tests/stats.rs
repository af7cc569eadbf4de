//! `/api/plex/stats`, `/stats/live`, `/stats/peak`, `/stats/reset`.

use std::time::Duration;

use futures_util::future::join_all;
use komandorr::demo::{Fault, Simulator};
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::harness::{Builder, Server, plex, until_asked};

const STATS: &str = "/api/plex/stats";
const LIVE: &str = "/api/plex/stats/live";
const PEAK: &str = "/api/plex/stats/peak";
const RESET: &str = "/api/plex/stats/reset";

/// A server whose values are old at once, so that every reader leads to a fetch.
fn forgetful(plex: &Simulator) -> Builder {
    Server::builder()
        .plex(plex)
        .env("CACHE_STATS_TTL", "0.02")
        .env("CACHE_STATS_LIVE_TTL", "0.02")
        .env("CACHE_LIBRARY_TTL", "0.02")
}

async fn stats(server: &Server) -> Value {
    let answer = server.get(STATS).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn live(server: &Server) -> Value {
    let answer = server.get(LIVE).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Waits until the value is old and Plex is not left alone after a failure, and reads it.
async fn read_again(server: &Server, plex: &Simulator, path: &str, counted: &str) {
    let before = plex.calls(counted);
    until_asked("the next fetch", async || {
        server.get(path).await;
        plex.calls(counted) > before
    })
    .await;
}

fn counts(plex: &Simulator) -> u64 {
    let calls = plex.calls_by_path();
    let counted = |path: &str| path.ends_with("/all") || path.ends_with("/allLeaves");
    calls
        .iter()
        .filter(|(path, _)| counted(path))
        .map(|(_, calls)| calls)
        .sum()
}

#[tokio::test]
async fn stats_have_exactly_their_eight_fields() {
    let plex = plex(1).await;
    let server = Server::builder()
        .plex(&plex)
        .env("PLEX_SERVER_NAME", "Mine <b>🦊</b>")
        .start()
        .await;
    let answer = server.get(STATS).await;
    assert_eq!(
        answer.text,
        format!(
            "{{\"peak_concurrent\":0,\"last_updated\":null,\"server_url\":\"{}\",\
             \"server_name\":\"Mine <b>🦊</b>\",\"token_configured\":true,\"total_users\":19,\
             \"total_movies\":64,\"total_tv_shows\":12}}",
            plex.url()
        )
    );
    assert_eq!(answer.headers["cache-status"], "komandorr; fwd=miss");
    let again = server.get(STATS).await;
    assert_eq!(again.json(), answer.json());
    let status = again.headers["cache-status"].to_str().unwrap();
    assert!(status.starts_with("komandorr; hit; ttl="), "{status}");
    assert_eq!(again.headers["age"], "0");
    assert_eq!(plex.calls("/accounts"), 1);
    assert_eq!(counts(&plex), 4, "no episodes, no seasons, no music");
    assert_eq!(plex.tokens_in_queries(), 0);
    assert!(!server.log().contains(plex.token()));
}

#[tokio::test]
async fn live_stats_count_episodes_too() {
    let plex = plex(1).await;
    let server = Server::builder().plex(&plex).start().await;
    let first = live(&server).await;
    let keys: Vec<&String> = first.as_object().unwrap().keys().collect();
    let fields = [
        "total_users",
        "total_movies",
        "total_tv_shows",
        "total_episodes",
        "server_name",
    ];
    assert_eq!(keys[..5], fields);
    assert_eq!(keys[5..], ["cached"]);
    assert_eq!(
        (&first["total_users"], &first["total_movies"]),
        (&json!(19), &json!(64))
    );
    assert!(first["total_episodes"].as_u64().unwrap() > 50, "{first}");
    assert_eq!(first["server_name"], "Plex Server");
    let second = live(&server).await;
    assert_eq!(second["cached"], true);
    assert!(second["cache_age"].is_f64());
    assert_eq!(second["total_episodes"], first["total_episodes"]);
    // Films and shows were counted already, for the same contentChangedAt.
    plex.forget_calls();
    assert_eq!(stats(&server).await["total_tv_shows"], 12);
    assert_eq!(counts(&plex), 0);
}

#[tokio::test]
async fn unconfigured_there_is_nothing_and_nothing_is_cached() {
    let plex = plex(1).await;
    let server = Server::builder().start().await;
    let nothing = json!({"peak_concurrent": 0, "last_updated": null, "server_url": "",
        "server_name": "Plex Server", "token_configured": false, "total_users": 0,
        "total_movies": 0, "total_tv_shows": 0});
    assert_eq!(stats(&server).await, nothing);
    let nothing = json!({"total_users": 0, "total_movies": 0, "total_tv_shows": 0,
        "total_episodes": 0, "server_name": "Plex Server", "error": "Plex not configured"});
    assert_eq!(live(&server).await, nothing);
    server.choose(&plex).await;
    assert_eq!(stats(&server).await["total_movies"], 64);
    assert_eq!(live(&server).await["server_name"], "Demo Plex");
}

#[tokio::test]
async fn without_plex_there_are_zeros_which_are_not_kept() {
    let plex = plex(1).await;
    plex.set_fault("*", Fault::Status(503));
    let server = Server::builder().plex(&plex).start().await;
    assert_eq!(stats(&server).await["total_movies"], 0);
    assert_eq!(stats(&server).await["token_configured"], true);
    let failed = json!({"total_users": 0, "total_movies": 0, "total_tv_shows": 0,
        "total_episodes": 0, "server_name": "Plex Server",
        "error": "Server returned status code: 503"});
    assert_eq!(live(&server).await, failed);
    plex.clear_faults();
    // The end of the back-off comes by itself.
    until_asked("news", async || stats(&server).await["total_movies"] == 64).await;
    until_asked("news", async || live(&server).await["total_movies"] == 64).await;
}

#[tokio::test]
async fn a_part_that_fails_never_makes_a_smaller_total() {
    for broken in ["/library/sections", "/library/sections/4/all"] {
        let plex = plex(1).await;
        let server = forgetful(&plex).start().await;
        let whole = stats(&server).await;
        let whole_live = live(&server).await;
        // Whatever is remembered must not hide the failure.
        plex.change_library(4);
        plex.set_fault(broken, Fault::Status(500));
        read_again(&server, &plex, LIVE, broken).await;
        let mut stale = live(&server).await;
        assert_eq!(stale["stale"], true, "{broken}: {stale}");
        assert!(
            stale["message"]
                .as_str()
                .unwrap()
                .contains("status code: 500")
        );
        for extra in ["cached", "cache_age", "stale", "message"] {
            stale.as_object_mut().unwrap().remove(extra);
        }
        let mut expected = whole_live.clone();
        expected.as_object_mut().unwrap().remove("cached");
        assert_eq!(stale, expected, "{broken}");
        assert_eq!(stats(&server).await, whole, "{broken}");
        plex.clear_faults();
        until_asked("the new show", async || {
            stats(&server).await["total_tv_shows"] == 13
        })
        .await;
    }
}

#[tokio::test]
async fn a_part_that_was_never_counted_leaves_no_total() {
    for broken in [
        "/accounts",
        "/library/sections",
        "/library/sections/2/all",
        "/library/sections/4/allLeaves",
    ] {
        let plex = plex(1).await;
        plex.set_fault(broken, Fault::Status(500));
        let server = Server::builder().plex(&plex).start().await;
        let answer = live(&server).await;
        assert_eq!(answer["error"], "Server returned status code: 500");
        for total in ["users", "movies", "tv_shows", "episodes"] {
            assert_eq!(answer[format!("total_{total}")], 0, "{broken}");
        }
    }
}

#[tokio::test]
async fn libraries_are_counted_again_only_when_they_have_changed() {
    let plex = plex(1).await;
    let server = forgetful(&plex).start().await;
    stats(&server).await;
    assert_eq!(counts(&plex), 4);
    for _ in 0..3 {
        read_again(&server, &plex, STATS, "/library/sections").await;
    }
    assert_eq!(counts(&plex), 4, "{:?}", plex.calls_by_path());
    assert_eq!(plex.calls("/accounts"), 1);
    plex.change_library(1);
    until_asked("the new film", async || {
        stats(&server).await["total_movies"] == 65
    })
    .await;
    assert_eq!(counts(&plex), 5);
    assert_eq!(plex.calls("/library/sections/1/all"), 2);
}

#[tokio::test]
async fn old_servers_that_do_not_tell_changes_are_counted_whenever_asked() {
    let plex = plex(1).await;
    let sections = json!({"MediaContainer": {"Directory": [
        {"key": 1, "type": "movie"}, {"key": "3", "type": "show", "title": null},
        {"key": "5", "type": "artist"}, {"type": "movie"}, null, "junk", 7, {"key": {}},
    ]}});
    plex.set_fault("/library/sections", Fault::Body(sections.to_string()));
    let server = forgetful(&plex).start().await;
    let first = stats(&server).await;
    assert_eq!(
        (&first["total_movies"], &first["total_tv_shows"]),
        (&json!(48), &json!(8))
    );
    read_again(&server, &plex, STATS, "/library/sections").await;
    until_asked("another count", async || {
        stats(&server).await;
        plex.calls("/library/sections/1/all") > 1
    })
    .await;
}

#[tokio::test]
async fn hostile_counts_are_failures_not_numbers() {
    let plex = plex(1).await;
    let path = "/library/sections/1/all";
    for body in [
        json!({"MediaContainer": {"totalSize": "many"}}),
        json!({"MediaContainer": {"totalSize": "1e300"}}),
        json!({"MediaContainer": {"totalSize": -1}}),
        json!({"MediaContainer": {"size": 0}}),
        json!({"MediaContainer": null}),
        json!([]),
    ] {
        plex.set_fault(path, Fault::Body(body.to_string()));
        let server = Server::builder().plex(&plex).start().await;
        let stats = live(&server).await;
        assert_eq!(
            stats["error"], "The server's answer is not what a Plex server sends",
            "{body}"
        );
        assert_eq!(stats["total_movies"], 0);
    }
}

#[tokio::test]
async fn twenty_cold_readers_cost_one_count() {
    let plex = plex(1).await;
    plex.set_fault("/accounts", Fault::Delay(Duration::from_millis(200)));
    let server = Server::builder().plex(&plex).start().await;
    let answers = join_all((0..20).map(|_| server.get(STATS))).await;
    for answer in answers {
        assert_eq!(answer.json()["total_movies"], 64);
    }
    assert_eq!(
        (plex.calls("/accounts"), plex.calls("/library/sections")),
        (1, 1)
    );
    assert_eq!(counts(&plex), 4);
    assert!(plex.most_at_once() <= 4);
}

#[tokio::test]
async fn after_a_change_of_server_its_figures_count() {
    let (first, second) = (plex(1).await, plex(1).await);
    second.change_library(1);
    let server = Server::builder().plex(&first).start().await;
    assert_eq!(stats(&server).await["total_movies"], 64);
    server.choose(&second).await;
    let changed = stats(&server).await;
    assert_eq!(
        (&changed["total_movies"], &changed["server_url"]),
        (&json!(65), &json!(second.url()))
    );
    let third = plex(1).await;
    server.choose(&third).await;
    third.refuse().await;
    assert_eq!(
        stats(&server).await["total_movies"],
        0,
        "not those of another server"
    );
}

#[tokio::test]
async fn a_refused_token_is_named() {
    let plex = plex(1).await;
    let server = Server::builder()
        .env("PLEX_SERVER_URL", &plex.url())
        .env("PLEX_SERVER_TOKEN", "wrong")
        .start()
        .await;
    assert_eq!(live(&server).await["error"], "Invalid Plex token");
}

#[tokio::test]
async fn the_peak_only_rises_until_it_is_reset() {
    let server = Server::builder().start().await;
    let report = async |peak: Value| {
        let answer = server.post(PEAK, &json!({"peak_concurrent": peak})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let reset = async || {
        server
            .send(server.request(&reqwest::Method::POST, RESET))
            .await
            .json()
    };
    assert_eq!(
        reset().await,
        json!({"success": true, "peak_concurrent": 0, "last_updated": null}),
        "without a row there is nothing to reset"
    );
    let first = report(json!(5)).await;
    assert_eq!(
        (&first["success"], &first["peak_concurrent"]),
        (&json!(true), &json!(5))
    );
    let at = first["last_updated"].as_str().unwrap();
    assert!(
        chrono::NaiveDateTime::parse_from_str(at, "%Y-%m-%dT%H:%M:%S%.f").is_ok(),
        "{at}"
    );
    for less in [json!(5), json!(3), json!(-9), json!("4"), json!(true)] {
        assert_eq!(report(less).await, first);
    }
    for (more, peak) in [(json!("6"), 6), (json!(7.0), 7), (json!(" 8.0 "), 8)] {
        assert_eq!(report(more).await["peak_concurrent"], peak);
    }
    let shown = stats(&server).await;
    assert_eq!(shown["peak_concurrent"], 8);
    assert!(shown["last_updated"].as_str().unwrap() > at);
    let after = reset().await;
    assert_eq!(
        (&after["success"], &after["peak_concurrent"]),
        (&json!(true), &json!(0))
    );
    assert!(after["last_updated"].is_string());
    assert_eq!(stats(&server).await["peak_concurrent"], 0);
    assert_eq!(report(json!(2)).await["peak_concurrent"], 2);
}

#[tokio::test]
async fn what_is_no_peak_is_422() {
    let server = Server::builder().start().await;
    for (body, kind) in [
        (json!({}), "missing"),
        (json!({"peak_concurrent": null}), "int_type"),
        (json!({"peak_concurrent": [1]}), "int_type"),
        (json!({"peak_concurrent": "many"}), "int_parsing"),
        (json!({"peak_concurrent": 3.5}), "int_from_float"),
        (
            json!({"peak_concurrent": "99999999999999999999"}),
            "int_parsing_size",
        ),
        (json!({"peak_concurrent": 1e30}), "int_parsing_size"),
    ] {
        let answer = server.post(PEAK, &body).await;
        assert_eq!(answer.status, 422, "{body}");
        assert_eq!(answer.json()["detail"][0]["type"], kind, "{body}");
    }
    assert_eq!(
        stats(&server).await["last_updated"],
        Value::Null,
        "nothing was stored"
    );
}

#[tokio::test]
async fn parallel_reports_leave_the_greatest_and_a_restart_keeps_it() {
    let data = tempfile::tempdir().unwrap();
    let builder = || Server::builder().env("DATA_DIR", data.path().to_str().unwrap());
    let mut server = builder().start().await;
    let bodies: Vec<Value> = (0..40)
        .map(|n| json!({"peak_concurrent": n * 7 % 41}))
        .collect();
    let answers = join_all(bodies.iter().map(|body| server.post(PEAK, body))).await;
    for (body, answer) in bodies.iter().zip(answers) {
        let stored = answer.json()["peak_concurrent"].as_i64().unwrap();
        assert!(stored >= body["peak_concurrent"].as_i64().unwrap());
    }
    let before = stats(&server).await;
    assert_eq!(before["peak_concurrent"], 40);
    server.signal("TERM").await;
    server.end().await;
    let server = builder().start().await;
    assert_eq!(stats(&server).await, before);
    assert_eq!(
        server
            .post(PEAK, &json!({"peak_concurrent": 39}))
            .await
            .json()["peak_concurrent"],
        40
    );
}

#[tokio::test]
async fn a_peak_that_can_not_be_stored_is_an_error_and_not_shown() {
    let server = Server::builder().start().await;
    server.post(PEAK, &json!({"peak_concurrent": 4})).await;
    let path = server.directory.path().join("data/komandorr.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut database = sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    sqlx::query("DROP TABLE plex_stats")
        .execute(&mut database)
        .await
        .unwrap();
    for (path, what) in [(PEAK, "updating"), (RESET, "resetting")] {
        let answer = server.post(path, &json!({"peak_concurrent": 9})).await;
        assert!(answer.status.is_server_error(), "{answer:?}");
        let body = answer.json();
        let detail = body["detail"].as_str().unwrap();
        let expected = format!("Error {what} peak concurrent: ");
        assert!(detail.starts_with(&expected), "{detail}");
    }
    assert_eq!(stats(&server).await["peak_concurrent"], 4);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_the_peak_shown_as_it_is_stored() {
    let server = Server::builder().start().await;
    server.post(PEAK, &json!({"peak_concurrent": 4})).await;
    let path = server.directory.path().join("data/komandorr.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut other = sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    // A connection of its own, whose end is the end of its client.
    let client = reqwest::Client::new();
    let request = client
        .post(format!("{}{PEAK}", server.url))
        .header("content-type", "application/json")
        .body(r#"{"peak_concurrent":9}"#)
        .timeout(Duration::from_millis(300));
    request.send().await.unwrap_err();
    drop(client);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    let stored = async || {
        let row = sqlx::query_scalar::<_, i64>("SELECT peak_concurrent FROM plex_stats");
        row.fetch_one(&mut other).await.unwrap() == 9
    };
    until_asked("the write", stored).await;
    let shown = async || stats(&server).await["peak_concurrent"] == 9;
    until_asked("the stored peak", shown).await;
}

#[tokio::test]
async fn with_log_in_only_the_live_figures_are_public() {
    let server = Server::builder().env("ENABLE_AUTH", "true").start().await;
    for public in [LIVE, "/api/plex/media/recent"] {
        assert_eq!(server.get(public).await.status, 200, "{public}");
    }
    for path in [STATS, "/api/plex/stats/dashboard", "/api/plex/users/count"] {
        assert_eq!(server.get(path).await.status, 401, "{path}");
    }
    for path in [PEAK, RESET] {
        let answer = server.post(path, &json!({"peak_concurrent": 9})).await;
        assert_eq!(answer.status, 401, "{path}");
    }
}

//! `/api/plex/stats/dashboard` and what counts for it in the background.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use komandorr::demo::{Fault, Simulator};
use komandorr::store::Store;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::harness::{Builder, Server, plex, until, until_asked};

const DASHBOARD: &str = "/api/plex/stats/dashboard";

fn counting(plex: &Simulator, interval: &str) -> Builder {
    Server::builder()
        .plex(plex)
        .env("STATS_REFRESH_INTERVAL", interval)
}

async fn dashboard(server: &Server) -> Value {
    let answer = server.get(DASHBOARD).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

/// Waits for the first run to end.
async fn counted(server: &Server) -> Value {
    until_asked("the first run", async || {
        dashboard(server).await["cached"] == true
    })
    .await;
    dashboard(server).await
}

/// Three services in each state that differs, and traffic of today, of this month and before.
async fn seed(data: &Path) {
    let store = Store::open(data).await.unwrap();
    let hour = |hours| {
        (Utc::now() - TimeDelta::hours(hours))
            .format("%Y-%m-%dT%H")
            .to_string()
    };
    let rows = [
        (hour(1), 1, 10),
        (hour(100), 200, 2000),
        (hour(24 * 40), 30000, 300_000),
    ];
    let job = store.write(move |connection| {
        Box::pin(async move {
            for (id, status) in [("a", "online"), ("b", "online"), ("c", "problem"), ("d", "offline")] {
                sqlx::query("INSERT INTO services (id, name, url, type, status) VALUES (?, 'n', 'u', 'app', ?)")
                    .bind(id)
                    .bind(status)
                    .execute(&mut *connection)
                    .await?;
            }
            for (hour, down, up) in rows {
                sqlx::query("INSERT INTO traffic_hours VALUES ('a', ?, ?, ?)")
                    .bind(hour)
                    .bind(down)
                    .bind(up)
                    .execute(&mut *connection)
                    .await?;
            }
            Ok(())
        })
    });
    job.await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn all_parts_are_counted_from_the_start_on() {
    let plex = plex(3).await;
    let data = tempfile::tempdir().unwrap();
    seed(data.path()).await;
    let server = counting(&plex, "3600")
        .env("DATA_DIR", data.path().to_str().unwrap())
        .start()
        .await;
    until_asked("the peak", async || {
        dashboard(&server).await["plex"]["peak_concurrent"] == 3
    })
    .await;
    let mut shown = counted(&server).await;
    let timestamp = shown["timestamp"].take();
    let timestamp = timestamp.as_str().unwrap();
    assert!(timestamp.ends_with("+00:00"), "{timestamp}");
    assert!(chrono::DateTime::parse_from_rfc3339(timestamp).is_ok());
    let (seasons, episodes) = (
        shown["plex"]["total_seasons"].take(),
        shown["plex"]["total_episodes"].take(),
    );
    assert!(seasons.as_u64().unwrap() >= 12 && episodes.as_u64() > seasons.as_u64());
    assert_eq!(
        shown,
        json!({"services": {"total": 4, "online": 2, "offline": 1, "problem": 1},
               "plex": {"configured": true, "peak_concurrent": 3, "total_users": 19,
                        "total_movies": 64, "total_tv_shows": 12, "total_seasons": null,
                        "total_episodes": null},
               "traffic": {"last_24h_download_bytes": 1, "last_24h_upload_bytes": 10,
                           "last_24h_total_bytes": 11, "last_30d_download_bytes": 201,
                           "last_30d_upload_bytes": 2010, "last_30d_total_bytes": 2211},
               "timestamp": null, "cached": true})
    );
    let background = server.background().await;
    assert_eq!(
        (&background["enabled"], &background["update_interval"]),
        (&json!(true), &json!(3600))
    );
    assert_eq!(background["last_update"], timestamp);
    let first: Vec<u64> = vec![
        plex.calls("/accounts"),
        plex.calls("/library/sections"),
        plex.calls("/status/sessions"),
    ];
    assert_eq!(first, [1, 1, 1]);
    for _ in 0..20 {
        dashboard(&server).await;
    }
    let headers = server.get(DASHBOARD).await.headers;
    assert_eq!(headers["cache-status"], "komandorr; hit");
    let age: u64 = headers["age"].to_str().unwrap().parse().unwrap();
    assert!(age < 60, "{age}");
    assert_eq!(
        plex.calls("/library/sections"),
        1,
        "reading leads to nothing"
    );
    assert!(
        server
            .log()
            .contains("INFO - Background stats updated successfully")
    );
    assert_eq!(plex.tokens_in_queries(), 0);
}

#[tokio::test]
async fn before_the_first_run_ends_there_are_zeros_and_nobody_waits() {
    let plex = plex(1).await;
    plex.set_fault("*", Fault::Hang);
    let server = counting(&plex, "3600").start().await;
    until("the first run", || plex.calls("/library/sections") == 1).await;
    let started = Instant::now();
    let shown = dashboard(&server).await;
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(shown["cached"], false);
    assert_eq!(
        shown["services"],
        json!({"total": 0, "online": 0, "offline": 0, "problem": 0})
    );
    assert_eq!(shown["plex"]["total_movies"], 0);
    assert_eq!(shown["traffic"]["last_30d_total_bytes"], 0);
    assert!(shown["timestamp"].is_string());
    assert_eq!(server.background().await["last_update"], Value::Null);
}

#[tokio::test]
async fn unconfigured_plex_has_zeros_and_the_rest_is_counted() {
    let server = Server::builder()
        .env("STATS_REFRESH_INTERVAL", "3600")
        .start()
        .await;
    let shown = counted(&server).await;
    assert_eq!(
        shown["plex"],
        json!({"configured": false, "peak_concurrent": 0, "total_users": 0, "total_movies": 0,
               "total_tv_shows": 0, "total_seasons": 0, "total_episodes": 0})
    );
}

#[tokio::test]
async fn a_failing_plex_keeps_its_figures_but_not_those_of_another_server() {
    let (first, second) = (plex(1).await, plex(1).await);
    let server = counting(&first, "0.05").start().await;
    // The peak is stored behind the count.
    let peak = async || dashboard(&server).await["plex"]["peak_concurrent"] == 1;
    until_asked("the peak", peak).await;
    let before = counted(&server).await["plex"].clone();
    assert_eq!(before["total_movies"], 64);
    first.set_fault("*", Fault::Status(500));
    let calls = first.calls("/library/sections");
    until("failing runs", || {
        first.calls("/library/sections") > calls + 2
    })
    .await;
    assert_eq!(dashboard(&server).await["plex"], before);
    first.clear_faults();
    first.change_library(3);
    until_asked("the new show", async || {
        dashboard(&server).await["plex"]["total_tv_shows"] == 13
    })
    .await;

    server.choose(&second).await;
    let shown = dashboard(&server).await["plex"].clone();
    assert_eq!(shown["configured"], true);
    assert_ne!(shown["total_tv_shows"], 13, "those of the first");
    until_asked("the new server", async || {
        dashboard(&server).await["plex"]["total_tv_shows"] == 12
    })
    .await;
}

#[tokio::test]
async fn the_peak_is_counted_without_a_browser_and_survives_a_reset_of_none() {
    let plex = plex(4).await;
    let server = counting(&plex, "0.05").start().await;
    let peak = async || server.get("/api/plex/stats").await.json()["peak_concurrent"].clone();
    until_asked("four", async || peak().await == 4).await;
    plex.set_sessions(7);
    until_asked("seven", async || peak().await == 7).await;
    plex.set_sessions(2);
    let calls = plex.calls("/status/sessions");
    until("two more looks", || {
        plex.calls("/status/sessions") > calls + 2
    })
    .await;
    assert_eq!(peak().await, 7);
    server.post("/api/plex/stats/reset", &json!({})).await;
    until_asked("what plays now", async || peak().await == 2).await;
}

#[tokio::test]
async fn streams_that_readers_have_just_counted_are_not_counted_again() {
    let plex = plex(2).await;
    let server = counting(&plex, "2")
        .env("CACHE_ACTIVITIES_TTL", "0.2")
        .start()
        .await;
    counted(&server).await;
    until("the refresher's own look", || {
        plex.calls("/status/sessions") == 1
    })
    .await;
    let first = server.background().await["last_update"].clone();
    let mut asked = 1;
    until_asked("the next run", async || {
        server.get("/api/plex/activities").await;
        asked = plex.calls("/activities");
        server.background().await["last_update"] != first
    })
    .await;
    assert_eq!(plex.calls("/status/sessions"), asked + 1);
}

#[tokio::test]
async fn a_clear_starts_a_run_and_the_old_figures_stay_until_it_ends() {
    let plex = plex(1).await;
    let server = counting(&plex, "3600").start().await;
    counted(&server).await;
    plex.forget_calls();
    plex.set_fault("/library/sections/1/all", Fault::Hold);
    for _ in 0..5 {
        server.post("/api/plex/cache/clear", &json!({})).await;
    }
    until("the count", || plex.calls("/library/sections/1/all") == 1).await;
    assert_eq!(dashboard(&server).await["plex"]["total_movies"], 64);
    assert_eq!(server.background().await["enabled"], true);
    let before = server.background().await["last_update"].clone();
    plex.clear_faults();
    plex.release_holds();
    until_asked("its end", async || {
        server.background().await["last_update"] != before
    })
    .await;
    // Five requests at once are served by the run that had begun and by one more.
    let runs = plex.calls("/library/sections");
    assert!((1..=2).contains(&runs), "{runs}");
}

#[tokio::test]
async fn while_nobody_looks_a_run_makes_two_calls() {
    let plex = plex(1).await;
    let server = counting(&plex, "0.05")
        .env("CACHE_WARM_IDLE", "0.2")
        .start()
        .await;
    until("the first count", || plex.calls("/accounts") == 1).await;
    // Users are kept for five minutes, so that only what is counted tells the difference.
    let calls = plex.calls("/library/sections");
    until("quiet runs", || plex.calls("/library/sections") > calls + 6).await;
    plex.forget_calls();
    until("two quiet runs", || {
        let calls = ["/library/sections", "/status/sessions"].map(|path| plex.calls(path));
        calls.iter().all(|calls| *calls >= 2)
    })
    .await;
    let paths: Vec<String> = plex.calls_by_path().into_keys().collect();
    assert_eq!(paths, ["/library/sections", "/status/sessions"]);
    plex.change_library(1);
    until("a count", || plex.calls("/library/sections/1/all") == 1).await;
    assert_eq!(plex.calls("/library/sections/2/all"), 0);
    until_asked("the new film", async || {
        dashboard(&server).await["plex"]["total_movies"] == 65
    })
    .await;
}

#[tokio::test]
async fn a_part_of_our_own_that_fails_keeps_its_figures_too() {
    let plex = plex(1).await;
    let data = tempfile::tempdir().unwrap();
    seed(data.path()).await;
    let server = counting(&plex, "0.05")
        .env("DATA_DIR", data.path().to_str().unwrap())
        .start()
        .await;
    let before = counted(&server).await;
    let file = data.path().join(komandorr::store::FILE_NAME);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut database = sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    sqlx::query("DROP TABLE traffic_hours")
        .execute(&mut database)
        .await
        .unwrap();
    plex.change_library(1);
    until_asked("a run in part", async || {
        dashboard(&server).await["plex"]["total_movies"] == 65
    })
    .await;
    let after = dashboard(&server).await;
    assert_eq!(after["traffic"], before["traffic"]);
    let said = "Could not count traffic: ";
    until(said, || server.log().contains(said)).await;
}

#[tokio::test]
async fn a_new_server_is_counted_at_once() {
    let plex = plex(1).await;
    let server = Server::builder()
        .env("STATS_REFRESH_INTERVAL", "3600")
        .start()
        .await;
    counted(&server).await;
    server.choose(&plex).await;
    until_asked("its figures", async || {
        dashboard(&server).await["plex"]["total_movies"] == 64
    })
    .await;
    let runs = plex.calls("/status/sessions");
    server.choose(&plex).await;
    assert_eq!(plex.calls("/status/sessions"), runs, "the same again");
}

#[tokio::test]
async fn switched_off_nothing_is_counted() {
    let plex = plex(1).await;
    let server = counting(&plex, "0").start().await;
    server.post("/api/plex/cache/clear", &json!({})).await;
    assert_eq!(dashboard(&server).await["cached"], false);
    assert!(plex.calls_by_path().is_empty());
    assert_eq!(server.background().await["enabled"], false);
}

#[tokio::test]
async fn a_night_without_readers_costs_two_calls_a_run_and_the_morning_wakes_all() {
    let plex = plex(2).await;
    let server = counting(&plex, "0.25")
        .env("CACHE_ACTIVITIES_TTL", "0.5")
        .env(
            "CACHE_WARM",
            "activities,watch_history,sessions,stats,stats_live,libraries",
        )
        .env("CACHE_WARM_IDLE", "0.7")
        .env("CACHE_STATS_TTL", "0.5")
        .env("CACHE_STATS_LIVE_TTL", "0.5")
        .env("CACHE_LIBRARY_TTL", "0.5")
        .start()
        .await;
    let tab = async || {
        for path in [
            "activities",
            "sessions",
            "stats",
            "stats/live",
            "stats/dashboard",
            "media/recent",
        ] {
            server.get(&format!("/api/plex/{path}")).await;
        }
    };
    tab().await;
    until_asked("the first figures", async || {
        dashboard(&server).await["plex"]["total_movies"] == 64
    })
    .await;
    // Until the readers are forgotten and what had begun has ended.
    tokio::time::sleep(Duration::from_millis(2000)).await;
    plex.forget_calls();
    until("four runs", || plex.calls("/status/sessions") >= 4).await;
    let calls = plex.calls_by_path();
    let paths: Vec<&String> = calls.keys().collect();
    assert_eq!(paths, ["/library/sections", "/status/sessions"]);
    assert!(
        calls["/library/sections"] <= calls["/status/sessions"] + 1,
        "{calls:?}"
    );
    assert!(!server.log().contains("panicked"));
    let calls = plex.calls("/activities");
    tab().await;
    until("warming to go on", || {
        plex.calls("/activities") >= calls + 2
    })
    .await;
}

#[tokio::test]
async fn users_that_can_not_be_counted_are_not_asked_for_all_night() {
    let plex = plex(1).await;
    plex.set_fault("/accounts", Fault::Status(403));
    let server = counting(&plex, "0.1")
        .env("CACHE_WARM_IDLE", "0.5")
        .start()
        .await;
    until("the first count", || plex.calls("/accounts") >= 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    plex.forget_calls();
    until("quiet runs", || plex.calls("/status/sessions") >= 4).await;
    assert_eq!(plex.calls("/accounts"), 0);
    plex.clear_faults();
    until_asked("figures once somebody looks", async || {
        dashboard(&server).await["plex"]["total_users"] == 19
    })
    .await;
}

#[tokio::test]
async fn slow_counts_do_not_hold_up_what_people_look_at() {
    let plex = plex(2).await;
    for section in 1..=4 {
        for list in ["all", "allLeaves", "recentlyAdded"] {
            plex.set_fault(&format!("/library/sections/{section}/{list}"), Fault::Hang);
        }
    }
    let server = counting(&plex, "3600").start().await;
    let counts = || {
        let calls = plex.calls_by_path();
        calls.keys().filter(|path| path.contains("/all")).count()
    };
    until("the counts", || counts() >= 2).await;
    let readers = [
        "/api/plex/stats",
        "/api/plex/stats/live",
        "/api/plex/media/recent",
    ];
    let requests = readers.map(|path| server.request(&reqwest::Method::GET, path));
    let slow = requests.map(|request| tokio::spawn(request.send()));
    until_asked("their readers", async || {
        let stats = server.get("/api/plex/cache/stats").await.json();
        let misses = |cache: &Value| cache["misses"] == 1;
        stats["caches"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|cache| misses(cache))
            .count()
            == 3
    })
    .await;
    let started = Instant::now();
    assert_eq!(
        server.get("/api/plex/activities").await.json()["error"],
        false
    );
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert!(plex.most_at_once() <= 4, "{}", plex.most_at_once());
    slow.iter().for_each(tokio::task::JoinHandle::abort);
}

//! Many readers, one Plex: single flight, clear and change of server over real connections.

use std::time::Duration;

use futures_util::future::join_all;
use komandorr::demo::Fault;
use reqwest::{Client, Method};
use serde_json::json;

use crate::harness::{Answer, Server, plex, until, until_asked};

const ACTIVITIES: &str = "/api/plex/activities";
const BOTH: [&str; 2] = ["/activities", "/status/sessions"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_cold_requests_cost_one_call_of_each_kind() {
    // Both ends of a thousand connections; the usual limit is just about that.
    rlimit::increase_nofile_limit(8192).unwrap();
    let plex = plex(10).await;
    plex.set_fault("*", Fault::Delay(Duration::from_millis(500)));
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_ACTIVITIES_TTL", "60")
        .start()
        .await;
    let answers: Vec<Answer> = join_all((0..1000).map(|_| server.get(ACTIVITIES))).await;
    for path in BOTH {
        assert_eq!(plex.calls(path), 1, "{path}");
    }
    let first = answers[0].json()["activities"].clone();
    assert_eq!(
        first.as_array().unwrap().len(),
        14,
        "four of work, ten streams"
    );
    for answer in &answers {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["activities"], first);
    }
    let cache = server.cache().await;
    assert_eq!(cache["total_requests"], 1000);
    assert_eq!(cache["fetch_errors"], 0);
}

#[tokio::test]
async fn clients_that_hang_up_change_nothing_for_the_others() {
    let plex = plex(3).await;
    plex.set_fault("/status/sessions", Fault::Hold);
    let server = Server::builder().plex(&plex).start().await;
    // A connection each, so that the end of one is the end of its client.
    let leaving = Client::new();
    let url = format!("{}{ACTIVITIES}", server.url);
    let left = tokio::spawn(async move { leaving.get(url).send().await });
    until("the first client's fetch", || {
        plex.calls("/status/sessions") == 1
    })
    .await;
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    let (answer, ()) = tokio::join!(server.get(ACTIVITIES), async {
        let joined = async || server.cache().await["shared_waits"] == 1;
        until_asked("the second client", joined).await;
        plex.clear_faults();
        plex.release_holds();
    });
    assert_eq!(answer.json()["activities"].as_array().unwrap().len(), 7);
    assert_eq!(plex.calls("/status/sessions"), 1);
}

#[tokio::test]
async fn within_the_ttl_plex_is_left_alone_and_after_it_asked_again() {
    let plex = plex(2).await;
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_ACTIVITIES_TTL", "2.5")
        .start()
        .await;
    let fresh = server.get(ACTIVITIES).await;
    assert_eq!(fresh.json()["cached"], false);
    assert_eq!(fresh.headers["cache-status"], "komandorr; fwd=miss");
    let mut seen_cached = false;
    while plex.calls("/status/sessions") == 1 {
        let answer = server.get(ACTIVITIES).await.json();
        if answer["cached"] == true {
            seen_cached = true;
            assert_eq!(answer["timestamp"], fresh.json()["timestamp"]);
            assert!(answer["cache_age"].as_f64().unwrap() < 2.5);
        }
    }
    assert!(seen_cached);
    assert_eq!(server.cache().await["ttl_seconds"], 2.5);
}

#[tokio::test]
async fn a_clear_in_the_middle_of_a_fetch_leaves_nothing_stored() {
    let plex = plex(2).await;
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_ACTIVITIES_TTL", "60")
        .start()
        .await;
    plex.set_fault("/status/sessions", Fault::Hold);
    let (answer, cleared) = tokio::join!(server.get(ACTIVITIES), async {
        until("the fetch", || plex.calls("/status/sessions") == 1).await;
        let cleared = server.post("/api/plex/cache/clear", &json!({})).await;
        plex.clear_faults();
        plex.release_holds();
        cleared
    });
    assert_eq!(
        cleared.json(),
        json!({"success": true, "message": "All caches cleared successfully",
               "redis_cleared": true})
    );
    assert_eq!(
        answer.json()["activities"].as_array().unwrap().len(),
        6,
        "its waiter is served"
    );
    let cache = server.cache().await;
    assert_eq!(
        (&cache["cached"], &cache["misses"]),
        (&json!(false), &json!(0))
    );
    server.get(ACTIVITIES).await;
    assert_eq!(plex.calls("/status/sessions"), 2);
}

#[tokio::test]
async fn a_change_of_server_in_the_middle_of_a_fetch_shows_nothing_of_the_first() {
    let (first, second) = (plex(2).await, plex(5).await);
    let marked = r#"{"MediaContainer":{"Metadata":[{"title":"FROM THE FIRST"}]}}"#;
    first.set_fault("/activities", Fault::Hold);
    first.set_fault("/status/sessions", Fault::Body(marked.to_owned()));
    let server = Server::builder()
        .plex(&first)
        .env("CACHE_ACTIVITIES_TTL", "60")
        .start()
        .await;
    let (answers, ()) = tokio::join!(join_all((0..20).map(|_| server.get(ACTIVITIES))), async {
        until("the fetch", || first.calls("/status/sessions") == 1).await;
        server.choose(&second).await;
        first.clear_faults();
        first.release_holds();
    });
    for answer in answers.iter().chain([&server.get(ACTIVITIES).await]) {
        assert!(!answer.text.contains("FROM THE FIRST"));
        assert_eq!(answer.json()["activities"].as_array().unwrap().len(), 9);
    }
    assert_eq!(second.calls("/status/sessions"), 1);
}

#[tokio::test]
async fn after_a_change_of_server_the_old_data_is_no_fall_back_either() {
    let (first, second) = (plex(2).await, plex(5).await);
    let server = Server::builder().plex(&first).start().await;
    let before = server.get(ACTIVITIES).await.text;
    server.choose(&second).await;
    second.refuse().await;
    let after = server.get(ACTIVITIES).await.json();
    assert_eq!(after["error"], true);
    assert_eq!(after["activities"], json!([]));
    assert!(before.contains("\"error\":false"));
    assert_eq!(server.cache().await["cached"], false);
}

#[tokio::test]
async fn a_hand_edit_of_the_server_is_noticed_and_shows_nothing_of_the_first() {
    let (first, second) = (plex(2).await, plex(5).await);
    let config = |plex: &komandorr::demo::Simulator| json!({"plex": {"server_url": plex.url(), "server_token": plex.token()}});
    let server = Server::builder()
        .config(&config(&first))
        .env("CACHE_ACTIVITIES_TTL", "60")
        .start()
        .await;
    assert_eq!(server.get(ACTIVITIES).await.titles().len(), 6);
    let path = server.directory.path().join("data/config.json");
    std::fs::write(path, config(&second).to_string()).unwrap();
    until_asked("the new server", async || {
        let titles = server.get(ACTIVITIES).await.titles().len();
        assert!(matches!(titles, 6 | 9), "all of one server: {titles}");
        titles == 9
    })
    .await;
}

#[tokio::test]
async fn counters_are_those_of_readers() {
    let plex = plex(1).await;
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_ACTIVITIES_TTL", "60")
        .start()
        .await;
    for _ in 0..4 {
        server.get(ACTIVITIES).await;
    }
    server.get("/api/downloads").await;
    let stats = server.get("/api/plex/cache/stats").await.json();
    let cache = &stats["caches"][0];
    assert_eq!(cache["name"], "plex_activities");
    assert_eq!((&cache["hits"], &cache["misses"]), (&json!(4), &json!(1)));
    assert_eq!(cache["hit_rate"], "80.0%");
    assert_eq!(cache["cached"], true);
    assert!(cache["cache_age_seconds"].is_number() && cache["fetch_ms_avg"].is_number());
    assert_eq!(stats["caches"][1]["name"], "watch_history");
    assert_eq!(stats["caches"][1]["ttl_seconds"].to_string(), "300");
    let background = json!({"name": "background_stats", "enabled": false, "last_update": null,
                            "update_interval": 0});
    assert_eq!(stats["caches"][2], background);
    let redis = json!({"type": "memory", "enabled": false, "connected": false, "total_keys": 1,
                       "state": "disabled", "since": stats["redis"]["since"], "last_error": null});
    assert_eq!(stats["redis"], redis);
    assert_eq!(stats["redis_keys_expected"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn every_cache_has_its_documented_ttl() {
    let server = Server::builder()
        .env("STATS_REFRESH_INTERVAL", "60")
        .start()
        .await;
    let stats = server.get("/api/plex/cache/stats").await.json();
    let caches = stats["caches"].as_array().unwrap();
    let listed: Vec<_> = caches
        .iter()
        .map(|cache| {
            let seconds = cache.get("ttl_seconds").or(cache.get("update_interval"));
            (
                cache["name"].as_str().unwrap(),
                seconds.unwrap().to_string(),
            )
        })
        .collect();
    // The first three are 3.3.0's, in its order.
    let expected = [
        ("plex_activities", "5"),
        ("watch_history", "300"),
        ("background_stats", "60"),
        ("plex_sessions", "10"),
        ("plex_stats", "60"),
        ("plex_stats_live", "30"),
        ("plex_recent_media", "300"),
        ("plex_libraries", "300"),
    ];
    assert_eq!(listed, expected.map(|(name, ttl)| (name, ttl.to_owned())));
}

#[tokio::test]
async fn a_browser_that_has_the_answer_is_not_sent_it_again() {
    let plex = plex(4).await;
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_ACTIVITIES_TTL", "60")
        .start()
        .await;
    let first = server.get(ACTIVITIES).await;
    let request = server
        .request(&Method::GET, ACTIVITIES)
        .header("if-none-match", first.headers["etag"].clone());
    let second = server.send(request).await;
    assert_eq!((second.status.as_u16(), second.text.as_str()), (304, ""));
    // The client unpacks what it was sent compressed, as browsers do.
    let packed = Client::builder().gzip(true).build().unwrap();
    let request = packed.get(format!("{}{ACTIVITIES}", server.url));
    let third = server.send(request).await.json();
    assert_eq!(third["activities"], first.json()["activities"]);
    assert_eq!(third["cached"], true);
}

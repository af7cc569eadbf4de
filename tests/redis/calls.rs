//! Plex sees one client however many instances run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use super::{ACTIVITIES, SHARED, WORK};
use super::{instance, start_all};
use crate::harness::redis::Redis;
use crate::harness::{Builder, Server, plex, soak};

/// Calls by path.
type Calls = BTreeMap<String, u64>;

/// What Plex is asked in `time` by so many instances on one Redis, each of which is asked for
/// `paths` all the time.
async fn calls(
    instances: usize,
    make: impl Fn(Builder) -> Builder,
    paths: &[&str],
    pause: Duration,
    time: Duration,
) -> Calls {
    let (plex, redis) = (plex(4).await, Redis::start().await);
    let builders = (0..instances).map(|_| make(instance(&plex, &redis)));
    let servers = start_all(builders).await;
    poll(&servers, paths, pause, time).await;
    plex.calls_by_path()
}

async fn poll(servers: &[Server], paths: &[&str], pause: Duration, time: Duration) {
    let began = Instant::now();
    let tabs = servers.iter().map(async |server| {
        while began.elapsed() < time {
            for path in paths {
                assert_eq!(server.get(path).await.status, 200, "{path}");
            }
            sleep(pause).await;
        }
    });
    join_all(tabs).await;
}

#[tokio::test]
async fn warmers_of_several_instances_ask_plex_as_often_as_one() {
    let make = |builder: Builder| {
        builder
            .env("CACHE_WARM", "activities")
            .env("CACHE_ACTIVITIES_TTL", "1")
    };
    let (pause, time) = (Duration::from_millis(100), Duration::from_secs(5));
    let (one, five) = tokio::join!(
        calls(1, make, &[ACTIVITIES], pause, time),
        calls(5, make, &[ACTIVITIES], pause, time)
    );
    assert!(one[WORK] >= 4, "{one:?}");
    assert!(five[WORK] <= one[WORK] + 2, "{five:?} instead of {one:?}");
}

#[tokio::test]
async fn refreshers_of_several_instances_ask_plex_as_often_as_one() {
    let make = |builder: Builder| builder.env("STATS_REFRESH_INTERVAL", "1");
    let (pause, time) = (Duration::from_millis(200), Duration::from_secs(5));
    let dashboard = ["/api/plex/stats/dashboard"];
    let (one, five) = tokio::join!(
        calls(1, make, &dashboard, pause, time),
        calls(5, make, &dashboard, pause, time)
    );
    assert!(one["/library/sections"] >= 4, "{one:?}");
    assert_no_more(&one, &five);
}

/// The caches' own times, `scale` times as fast as they are.
fn as_shipped(builder: Builder, scale: f64) -> Builder {
    let times = [
        ("CACHE_ACTIVITIES_TTL", 5.0),
        ("CACHE_SESSIONS_TTL", 10.0),
        ("CACHE_STATS_TTL", 60.0),
        ("CACHE_STATS_LIVE_TTL", 30.0),
        ("CACHE_RECENT_MEDIA_TTL", 300.0),
        ("CACHE_WATCH_HISTORY_TTL", 300.0),
        ("CACHE_LIBRARY_TTL", 300.0),
        ("STATS_REFRESH_INTERVAL", 60.0),
        ("HISTORY_SYNC_INTERVAL", 900.0),
    ];
    let builder = builder.env("CACHE_WARM", "activities,watch_history");
    times.into_iter().fold(builder, |builder, (name, seconds)| {
        builder.env(name, &(seconds / scale).to_string())
    })
}

/// With `KOMANDORR_SOAK=1` a minute with the times as shipped, else 12 s five times as fast.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_instances_ask_plex_as_often_as_one() {
    let (scale, seconds) = if soak() { (1.0, 60) } else { (5.0, 12) };
    let mut paths = SHARED.to_vec();
    paths.extend(["/api/downloads", "/api/plex/stats/dashboard"]);
    let make = |builder| as_shipped(builder, scale);
    let (pause, time) = (Duration::from_millis(250), Duration::from_secs(seconds));
    let (one, two, five) = tokio::join!(
        calls(1, make, &paths, pause, time),
        calls(2, make, &paths, pause, time),
        calls(5, make, &paths, pause, time)
    );
    println!("{:>5}{:>5}{:>5}  calls in {seconds} s", 1, 2, 5);
    for path in five.keys() {
        let count = |calls: &Calls| calls.get(path).copied().unwrap_or_default();
        let (one, two, five) = (count(&one), count(&two), count(&five));
        println!("{one:>5}{two:>5}{five:>5}  {path:.60}");
    }
    assert!(one[WORK] >= 10, "{one:?}");
    assert_no_more(&one, &two);
    assert_no_more(&one, &five);
}

fn assert_no_more(one: &Calls, several: &Calls) {
    for (path, count) in several {
        let alone = one.get(path).copied().unwrap_or_default();
        assert!(*count <= alone + 2, "{path}: {count} instead of {alone}");
    }
}

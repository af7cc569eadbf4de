//! What stands in Redis, for how long, and who takes it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use komandorr::demo::{Fault, Options, Scene, Simulator};
use serde_json::{Value, json};

use super::{ACTIVITIES, HISTORY, SHARED, STREAMS, SYNC, WORK};
use super::{instance, published, start, tier};
use crate::harness::redis::Redis;
use crate::harness::{plex, until, until_asked};

/// The six names of 3.3.0: path, name, variable of the TTL, a TTL in milliseconds.
const VALUES: [(&str, &str, &str, i64); 6] = [
    (ACTIVITIES, "activities", "CACHE_ACTIVITIES_TTL", 1_500),
    (
        "/api/plex/sessions",
        "sessions",
        "CACHE_SESSIONS_TTL",
        11_000,
    ),
    ("/api/plex/stats", "stats", "CACHE_STATS_TTL", 61_000),
    (
        "/api/plex/stats/live",
        "stats_live",
        "CACHE_STATS_LIVE_TTL",
        31_250,
    ),
    (
        "/api/plex/media/recent",
        "recent_media",
        "CACHE_RECENT_MEDIA_TTL",
        301_000,
    ),
    (HISTORY, "watch_history", "CACHE_WATCH_HISTORY_TTL", 302_000),
];

/// The fields of an object, as 3.3.0 and the contract name them.
fn keys(value: &Value) -> Vec<&str> {
    let object = value.as_object().expect("an object");
    let mut keys: Vec<_> = object.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn assert_form(name: &str, value: &Value) {
    let listed = |list: &str| value[list].as_array().expect(list)[0].clone();
    match name {
        "activities" => {
            assert_eq!(keys(value), ["activities", "error", "timestamp"]);
            let expected = ["progress", "raw_data", "subtitle", "title", "type", "uuid"];
            assert_eq!(keys(&listed("activities")), expected);
        }
        "sessions" => {
            assert_eq!(keys(value), ["error", "sessions", "total"]);
            let expected = [
                "device",
                "media",
                "playback",
                "session_id",
                "stream",
                "transcode",
                "user",
            ];
            assert_eq!(keys(&listed("sessions")), expected);
        }
        "stats" => assert_eq!(
            keys(value),
            [
                "last_updated",
                "peak_concurrent",
                "server_name",
                "server_url",
                "token_configured",
                "total_movies",
                "total_tv_shows",
                "total_users"
            ]
        ),
        "stats_live" => assert_eq!(
            keys(value),
            [
                "server_name",
                "total_episodes",
                "total_movies",
                "total_tv_shows",
                "total_users"
            ]
        ),
        "recent_media" => {
            assert_eq!(keys(value), ["media"]);
            let expected = ["poster", "rating", "title", "type", "year"];
            assert_eq!(keys(&listed("media")), expected);
        }
        _ => {
            let play = &value.as_array().expect("a bare array")[0];
            assert_eq!(play.as_object().unwrap().len(), 19, "{play}");
            assert!(play["genres"].is_array() && play["viewed_at"].is_string());
        }
    }
}

/// Everything in Redis, by key.
async fn dump(redis: &Redis) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for key in redis.keys("*").await {
        let kind: String = redis.run(&["TYPE", &key]).await;
        let content = match kind.as_str() {
            "hash" => redis.run::<Vec<String>>(&["HGETALL", &key]).await.join(" "),
            // It may have expired since.
            _ => redis
                .run::<Option<String>>(&["GET", &key])
                .await
                .unwrap_or_default(),
        };
        all.insert(key, content);
    }
    all
}

fn assert_no_secrets(all: &BTreeMap<String, String>, plex: &Simulator) {
    let address = plex.url().replace("http://", "");
    for (key, content) in all {
        assert!(
            !key.contains(plex.token()) && !content.contains(plex.token()),
            "{key}"
        );
        let is_value = key.starts_with("komandorr:plex:");
        assert!(!key.contains(&address), "{key}");
        assert!(is_value || !content.contains(&address), "{key}: {content}");
    }
}

#[tokio::test]
async fn values_stand_under_the_keys_and_in_the_form_of_3_3_0() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let mut builder = instance(&plex, &redis);
    for (_, _, variable, ms) in VALUES {
        let seconds = format!("{}.{:03}", ms / 1000, ms % 1000);
        builder = builder.env(variable, &seconds);
    }
    let server = start(builder).await;
    assert_eq!(server.post(SYNC, &json!({})).await.json()["success"], true);
    for (path, name, _, longest) in VALUES {
        let (name, key) = (format!("plex:{name}"), format!("komandorr:plex:{name}"));
        let mut answer = server.get(path).await.json();
        published(&redis, &name).await;
        let ttl: i64 = redis.run(&["PTTL", &key]).await;
        assert!((longest - 2000..=longest).contains(&ttl), "{name}: {ttl}");

        let value: String = redis.run(&["GET", &key]).await;
        let value: Value = serde_json::from_str(&value).unwrap();
        assert_form(&name["plex:".len()..], &value);
        // What it was served with belongs to that request.
        if let Some(object) = answer.as_object_mut() {
            object.remove("cached");
            object.remove("cache_age");
        }
        assert_eq!(value, answer, "{name}");

        let sibling = format!("komandorr:meta:{name}");
        let meta: String = redis.run(&["GET", &sibling]).await;
        let meta: Value = serde_json::from_str(&meta).unwrap();
        let epoch: String = redis.run(&["HGET", "komandorr:generation", "epoch"]).await;
        assert_eq!(meta["generation"], epoch, "{name}");
        assert!(!meta["server"].as_str().unwrap().is_empty());
        assert!(redis.run::<i64>(&["PTTL", &sibling]).await <= longest);
    }
    assert_no_secrets(&dump(&redis).await, &plex);
}

#[tokio::test]
async fn a_lease_tells_neither_address_nor_token_and_ends_by_itself() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let server = start(instance(&plex, &redis)).await;
    plex.set_fault(STREAMS, Fault::Hold);
    let (answer, ()) = tokio::join!(server.get(ACTIVITIES), async {
        until("the fetch", || plex.calls(STREAMS) == 1).await;
        let lease = "komandorr:lease:plex:activities";
        let ttl: i64 = redis.run(&["PTTL", lease]).await;
        assert!((1..=3000).contains(&ttl), "{ttl}");
        let all = dump(&redis).await;
        assert!(all.contains_key(lease));
        assert_no_secrets(&all, &plex);
        plex.clear_faults();
        plex.release_holds();
    });
    assert_eq!(answer.titles().len(), 7);
    published(&redis, "plex:activities").await;
    assert!(redis.keys("komandorr:lease:*").await.is_empty());
}

/// How often Redis was asked for a value, or to keep one, since the last reset.
async fn looks(redis: &Redis) -> u64 {
    let stats: String = redis.run(&["INFO", "commandstats"]).await;
    let of_values = ["get", "mget", "pttl", "set", "setex", "exists"];
    let calls = stats.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let calls = rest.split(',').next()?.parse::<u64>().ok()?;
        of_values.contains(&name).then_some(calls)
    });
    calls.sum()
}

#[tokio::test]
async fn what_is_fresh_in_memory_is_not_looked_for_in_redis() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let server = instance(&plex, &redis)
        .env("CACHE_ACTIVITIES_TTL", "60")
        .env("CACHE_SESSIONS_TTL", "60");
    let server = start(server).await;
    for path in SHARED {
        server.get(path).await;
    }
    assert!(looks(&redis).await > 0, "a miss is looked for");
    published(&redis, "plex:users_count").await;
    // The first periodic sync, 10 s after the start, may come in between once.
    let mut seen = 0;
    for _ in 0..3 {
        let _: () = redis.run(&["CONFIG", "RESETSTAT"]).await;
        for _ in 0..30 {
            for path in SHARED {
                server.get(path).await;
            }
        }
        seen = looks(&redis).await;
        if seen == 0 {
            break;
        }
    }
    assert_eq!(seen, 0, "looks for 210 requests");
}

#[tokio::test]
async fn a_value_that_was_taken_is_as_old_as_it_is_and_expires_with_the_others() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let make = || instance(&plex, &redis).env("CACHE_ACTIVITIES_TTL", "3");
    let (one, two) = (start(make()).await, start(make()).await);
    let fetched = one.get(ACTIVITIES).await;
    published(&redis, "plex:activities").await;
    let mut left = 0;
    until_asked("some age", async || {
        left = redis.run(&["PTTL", "komandorr:plex:activities"]).await;
        left < 1500
    })
    .await;
    let taken_at = Instant::now();
    let taken = two.get(ACTIVITIES).await;
    let age = taken.json()["cache_age"].as_f64().unwrap();
    assert!((1.5..3.0).contains(&age), "{age}");
    let seconds = format!("{:.0}", age.floor());
    assert_eq!(taken.headers["age"], seconds.as_str());
    assert_eq!(taken.json()["timestamp"], fetched.json()["timestamp"]);
    until_asked("its end", async || {
        let answer = two.get(ACTIVITIES).await.json();
        answer["timestamp"] != fetched.json()["timestamp"]
    })
    .await;
    let kept = taken_at.elapsed();
    let left = Duration::from_millis(u64::try_from(left).unwrap());
    assert!(kept < left + Duration::from_secs(1), "{kept:?} of {left:?}");
    assert_eq!(plex.calls(WORK), 2);
}

#[tokio::test]
async fn installations_in_different_databases_do_not_disturb_each_other() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let make = |db: &str| {
        instance(&plex, &redis)
            .env("CACHE_ACTIVITIES_TTL", "60")
            .env("REDIS_DB", db)
    };
    let (one, same) = (start(make("0")).await, start(make("0")).await);
    let other = start(make("1")).await;
    for server in [&one, &same, &other] {
        server.get(ACTIVITIES).await;
    }
    assert_eq!(plex.calls(WORK), 2, "one for each database");
    let cleared = one.post("/api/plex/cache/clear", &json!({})).await.json();
    assert_eq!(cleared["redis_cleared"], true);
    until_asked("the one beside it hears", async || {
        same.cache().await["cached"] == false
    })
    .await;
    assert_eq!(other.get(ACTIVITIES).await.json()["cached"], true);
    let mut connection = redis.connection().await;
    let mut in_other = ::redis::pipe();
    in_other.cmd("SELECT").arg(1).ignore();
    in_other.cmd("EXISTS").arg("komandorr:plex:activities");
    let (exists,): (u8,) = in_other.query_async(&mut connection).await.unwrap();
    assert_eq!(exists, 1);
}

#[tokio::test]
async fn instances_with_other_tokens_take_nothing_of_each_other() {
    let redis = Redis::start().await;
    let few = plex(1).await;
    let options = Options {
        token: "another-token-77aa".to_owned(),
        scene: Scene::Fixed { sessions: 5 },
        ..Options::default()
    };
    let many = Simulator::start(options).await.unwrap();
    let one = start(instance(&few, &redis)).await;
    let two = start(instance(&many, &redis)).await;
    let wrong = instance(&few, &redis).env("PLEX_SERVER_TOKEN", "no-such-token");
    let wrong = start(wrong).await;
    for path in SHARED {
        let of_one = one.get(path).await.text;
        let of_two = two.get(path).await;
        if path == ACTIVITIES {
            assert_eq!(of_two.titles().len(), 9);
        }
        let of_three = wrong.get(path).await;
        let answer = of_three.json();
        match path {
            ACTIVITIES | "/api/plex/sessions" => assert_eq!(answer["error"], true, "{path}"),
            "/api/plex/users/count" => assert_eq!(answer["count"], 0),
            // Each has a history of its own, and none has read it yet.
            HISTORY => assert_eq!(answer, json!([])),
            _ => assert_ne!(of_three.text, of_one, "{path}"),
        }
    }
    for server in [&one, &two, &wrong] {
        assert_eq!(tier(server).await["hits"], 0);
    }
}

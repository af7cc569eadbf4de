//! What others have put under our names is as good as nothing.

use std::time::Instant;

use komandorr::demo::{Options, Scene, Simulator};

use super::{ACTIVITIES, QUICK, connected, lasting, quick, streams, tier, told};
use crate::harness::redis::Redis;
use crate::harness::{self, Server, until_asked};

const VALUE: &str = "komandorr:plex:activities";
const RECORD: &str = "komandorr:meta:plex:activities";
const LEASE: &str = "komandorr:lease:plex:activities";
const GENERATION: &str = "komandorr:generation";
const RANDOM: &str = "\u{0}\u{7f}\u{1}junk\u{fffd}\"{[";

async fn put(redis: &Redis, commands: &[&[&str]]) {
    for words in commands {
        redis.run::<redis::Value>(words).await;
    }
}

async fn sharing(plex: &Simulator, redis: &Redis) -> Server {
    let server = lasting(plex, "300").redis(redis).start().await;
    connected(&server).await;
    server
}

/// A server whose memory is empty asks Plex although this is in Redis, in time, and shares the
/// answer; Redis stays in use.
async fn is_nothing(plex: &Simulator, redis: &Redis, what: &[&[&str]]) {
    put(redis, &[&["FLUSHALL"]]).await;
    let one = sharing(plex, redis).await;
    let two = sharing(plex, redis).await;
    let before = plex.calls("/status/sessions");
    put(redis, what).await;
    assert_eq!(streams(&quick(&one, ACTIVITIES).await), 3, "{what:?}");
    assert_eq!(plex.calls("/status/sessions"), before + 1, "{what:?}");
    until_asked(&format!("the answer replaces {what:?}"), async || {
        redis.try_run::<i64>(&["STRLEN", VALUE]).await.unwrap_or(0) > 100
            && redis.try_run::<i64>(&["STRLEN", RECORD]).await.unwrap_or(0) > 100
    })
    .await;
    assert_eq!(streams(&quick(&two, ACTIVITIES).await), 3, "{what:?}");
    assert_eq!(plex.calls("/status/sessions"), before + 1, "{what:?}");
    for server in [&one, &two] {
        assert_eq!(tier(server).await["state"], "connected", "{what:?}");
        assert_eq!(told(server), [0, 0], "{what:?}\n{}", server.log());
    }
}

#[tokio::test]
async fn under_the_value() {
    let (plex, redis) = (harness::plex(3).await, Redis::start().await);
    for what in [
        &["SET", VALUE, RANDOM][..],
        &["SET", VALUE, ""],
        &["SET", VALUE, "{\"activities\":[]}", "PX", "60000"],
        &["SET", VALUE, "[1,2,3]", "PX", "60000"],
        &["RPUSH", VALUE, "a", "b"],
        &["HSET", VALUE, "a", "b"],
    ] {
        is_nothing(&plex, &redis, &[what]).await;
    }
}

#[tokio::test]
async fn under_the_record() {
    let (plex, redis) = (harness::plex(3).await, Redis::start().await);
    let value: &[&str] = &["SET", VALUE, "{\"activities\":[]}", "PX", "60000"];
    let forged = "{\"server\":\"a\",\"generation\":\"b\",\"ttl_ms\":300000,\"seal\":\"c\"}";
    for what in [
        &["SET", RECORD, RANDOM, "PX", "60000"][..],
        &["SET", RECORD, ""],
        &["SET", RECORD, forged, "PX", "60000"],
        &["SET", RECORD, "\"ttl_ms\":99999999999999999999999999999"],
        &["LPUSH", RECORD, "a"],
        &["HSET", RECORD, "ttl_ms", "5"],
    ] {
        is_nothing(&plex, &redis, &[value, what]).await;
    }
}

#[tokio::test]
async fn under_the_lease() {
    let (plex, redis) = (harness::plex(3).await, Redis::start().await);
    for what in [
        &[&["SET", LEASE, RANDOM][..]][..],
        &[&["SET", LEASE, "{}", "EX", "100000"]],
        &[&["RPUSH", LEASE, "a"]],
        &[&["RPUSH", LEASE, "a"], &["PEXPIRE", LEASE, "2000"]],
        &[&["HSET", LEASE, "a", "b"]],
    ] {
        is_nothing(&plex, &redis, what).await;
    }
    // What ends soon may be somebody's: it is respected, but nobody waits for it.
    put(&redis, &[&["FLUSHALL"]]).await;
    let server = sharing(&plex, &redis).await;
    put(&redis, &[&["SET", LEASE, RANDOM, "PX", "20000"]]).await;
    assert_eq!(streams(&quick(&server, ACTIVITIES).await), 3);
    assert_eq!(told(&server), [0, 0], "{}", server.log());
}

#[tokio::test]
async fn under_a_lease_that_is_held() {
    let (plex, redis) = (harness::plex(3).await, Redis::start().await);
    let server = sharing(&plex, &redis).await;
    plex.set_fault("/status/sessions", komandorr::demo::Fault::Hold);
    let url = format!("{}{ACTIVITIES}", server.url);
    let fetching = tokio::spawn(server.client.get(url).send());
    until_asked("the lease is held", async || {
        redis.run::<bool>(&["EXISTS", LEASE]).await
    })
    .await;
    put(&redis, &[&["DEL", LEASE], &["RPUSH", LEASE, "a"]]).await;
    // Long enough for the lease to be extended.
    tokio::time::sleep(std::time::Duration::from_millis(1300)).await;
    plex.release_holds();
    assert_eq!(fetching.await.unwrap().unwrap().status(), 200);
    assert_eq!(streams(&quick(&server, ACTIVITIES).await), 3);
    // Later than what is sent in the background.
    tier(&server).await;
    assert_eq!(told(&server), [0, 0], "{}", server.log());
    assert_eq!(redis.run::<String>(&["TYPE", LEASE]).await, "list");
    assert!(!redis.run::<bool>(&["EXISTS", VALUE]).await, "it was lost");
}

#[tokio::test]
async fn under_the_generation() {
    let (plex, redis) = (harness::plex(3).await, Redis::start().await);
    let server = sharing(&plex, &redis).await;
    for (number, what) in [
        &["SET", GENERATION, RANDOM][..],
        &["RPUSH", GENERATION, "a"],
        &["HSET", GENERATION, "epoch", "BINARY"],
        &["HSET", GENERATION, "events", "-5"],
        &["HSET", GENERATION, "events", "9223372036854775807"],
        &["DEL", GENERATION],
    ]
    .into_iter()
    .enumerate()
    {
        let sessions = number + 1;
        plex.set_sessions(sessions);
        // In one step, or a probe gets in between.
        let both = r"
            redis.call('DEL', KEYS[1])
            ARGV[#ARGV] = string.gsub(ARGV[#ARGV], 'BINARY', '\255')
            return redis.call(unpack(ARGV))
        ";
        let words = [&["EVAL", both, "1", GENERATION], what].concat();
        put(&redis, &[&words]).await;
        let started = Instant::now();
        until_asked(&format!("everything has expired: {what:?}"), async || {
            streams(&quick(&server, ACTIVITIES).await) == sessions
        })
        .await;
        assert!(started.elapsed() < super::SOON, "{what:?}");
    }
    assert_eq!(tier(&server).await["state"], "connected");
    assert_eq!(told(&server), [0, 0], "{}", server.log());
    assert!(
        server
            .post("/api/plex/cache/clear", &().into())
            .await
            .json()["redis_cleared"]
            == true
    );
}

/// A value that an instance of another time, kind or server has written, as it stands in Redis.
async fn written(redis: &Redis, plex: &Simulator) -> (String, String) {
    // Nothing else: the generation stays in force.
    put(redis, &[&["DEL", VALUE, RECORD, LEASE]]).await;
    let other = sharing(plex, redis).await;
    other.get(ACTIVITIES).await;
    until_asked("it is written", async || {
        redis.run::<bool>(&["EXISTS", VALUE]).await
    })
    .await;
    let value = redis.run(&["GET", VALUE]).await;
    (value, redis.run(&["GET", RECORD]).await)
}

async fn other_server(token: &str, sessions: usize) -> Simulator {
    let options = Options {
        scene: Scene::Fixed { sessions },
        token: token.to_owned(),
        ..Options::default()
    };
    Simulator::start(options).await.unwrap()
}

#[tokio::test]
async fn a_value_of_a_container_of_3_3_0() {
    let (plex, redis) = (harness::plex(1).await, Redis::start().await);
    let theirs = "{\"error\": false, \"activities\": [], \"timestamp\": \"2025-11-22T08:26:40\"}";
    let one = sharing(&plex, &redis).await;
    put(&redis, &[&["SETEX", VALUE, "300", theirs]]).await;
    assert_eq!(streams(&quick(&one, ACTIVITIES).await), 1, "no sibling");
    until_asked("ours replaces it", async || {
        redis.run::<bool>(&["EXISTS", RECORD]).await
    })
    .await;
    // Our sibling survives, their value is newer.
    put(&redis, &[&["SETEX", VALUE, "300", theirs]]).await;
    let two = sharing(&plex, &redis).await;
    assert_eq!(
        streams(&quick(&two, ACTIVITIES).await),
        1,
        "a sibling of ours"
    );
    until_asked("ours replaces it", async || {
        redis.run::<String>(&["GET", VALUE]).await != theirs
    })
    .await;
}

#[tokio::test]
async fn a_value_of_another_plex_server_or_token() {
    let redis = Redis::start().await;
    let theirs = other_server("theirs", 1).await;
    let (value, record) = written(&redis, &theirs).await;
    let ours = other_server("ours", 2).await;
    let (_, ours_written) = written(&redis, &ours).await;
    let id = |record: &str| {
        let record: serde_json::Value = serde_json::from_str(record).unwrap();
        record["server"].as_str().unwrap().to_owned()
    };
    // As it is, and as somebody forges it who knows the name of ours but not the token.
    let renamed = record.replace(&id(&record), &id(&ours_written));
    assert_ne!(renamed, record);
    for copied in [&record, &renamed] {
        put(
            &redis,
            &[
                &["SET", VALUE, &value, "PX", "250000"],
                &["SET", RECORD, copied, "PX", "250000"],
            ],
        )
        .await;
        let fresh = sharing(&ours, &redis).await;
        let started = Instant::now();
        assert_eq!(streams(&quick(&fresh, ACTIVITIES).await), 2);
        assert!(started.elapsed() < QUICK);
        until_asked("ours replaces it", async || {
            redis.run::<String>(&["GET", VALUE]).await != value
        })
        .await;
    }
}

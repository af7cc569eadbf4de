//! No fault of Redis is ever felt: requests go on from memory, operators are told once, and Redis
//! is in use again within five seconds of its recovery.

mod cleared;
mod foreign;
mod late;

use std::time::{Duration, Instant};

use chrono::DateTime;
use futures_util::future::join_all;
use komandorr::demo::{Fault, Simulator};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::redis::{Redis, Slow};
use crate::harness::{self, Answer, Builder, Server, database, until, until_asked};

const ACTIVITIES: &str = "/api/plex/activities";
const SESSIONS: &str = "/api/plex/sessions";
const HISTORY: &str = "/api/plex/watch-history";
const STATS: &str = "/api/plex/stats";

/// No request takes longer. Redis may cost a tenth of a second (`REDIS_TIMEOUT_MS`), Plex is quick;
/// whoever waited for something else would wait two seconds or more.
const QUICK: Duration = Duration::from_millis(1500);
/// From the recovery of Redis until it is in use again.
const SOON: Duration = Duration::from_secs(5);

/// A server that finds nothing fresh in memory most of the time: its values last for so long.
fn lasting(plex: &Simulator, seconds: &str) -> Builder {
    let caches = [
        "ACTIVITIES",
        "SESSIONS",
        "STATS",
        "WATCH_HISTORY",
        "LIBRARY",
    ];
    let server = Server::builder().plex(plex).env("PLEX_TV_URL", &plex.url());
    caches.iter().fold(server, |server, cache| {
        server.env(&format!("CACHE_{cache}_TTL"), seconds)
    })
}

fn forgetful(plex: &Simulator) -> Builder {
    lasting(plex, "0.2")
}

/// One that has something of its own to show, and whose database is behind nobody's: readers would
/// wait for it to catch up.
async fn started(server: Builder) -> Server {
    let server = server.start().await;
    let synced = server
        .post("/api/plex/watch-history/sync", &json!({}))
        .await;
    assert_eq!(synced.json()["success"], true);
    let columns = "type, title, viewed_at, duration, created_at";
    let play = "'movie', 'Seen', '2025-01-01 00:00:00.000000', 0, ''";
    let sql = format!("INSERT INTO watch_history ({columns}) VALUES ({play})");
    database::execute(server.directory.path(), &sql).await;
    server
}

/// What operators see of Redis.
async fn tier(server: &Server) -> Value {
    server.get("/api/plex/cache/stats").await.json()["redis"].clone()
}

async fn connected(server: &Server) {
    until_asked("Redis is in use", async || {
        tier(server).await["state"] == "connected"
    })
    .await;
}

/// Waits until operators are told that Redis is down, and why.
async fn down(server: &Server, class: &str) {
    until_asked(&format!("Redis is down: {class}"), async || {
        let tier = tier(server).await;
        tier["state"] == "down" && tier["last_error"] == class
    })
    .await;
    let tier = tier(server).await;
    assert_eq!(tier["type"], "redis");
    assert_eq!(tier["enabled"], true);
    assert_eq!(tier["connected"], false);
    let since = tier["since"].as_str().unwrap();
    assert!(since.ends_with('Z'), "{since}");
    DateTime::parse_from_rfc3339(since).unwrap();
}

/// Waits until Redis, which has just recovered, is in use again.
async fn back(server: &Server) {
    let recovered = Instant::now();
    connected(server).await;
    let took = recovered.elapsed();
    assert!(took <= SOON, "back after {took:?}");
}

/// How many lines of the log tell that Redis went down, and that it came back.
fn told(server: &Server) -> [usize; 2] {
    let log = server.log();
    let count = |words: &[&str]| {
        let lines = log.lines();
        lines
            .filter(|line| words.iter().any(|word| line.contains(word)))
            .count()
    };
    [
        count(&["Redis fails", "Failed to connect to Redis"]),
        count(&["Redis is back"]),
    ]
}

/// Waits for the log to tell so much, which is all that it tells.
async fn has_told(server: &Server, expected: [usize; 2]) {
    until("the log tells it", || {
        told(server).iter().sum::<usize>() >= expected.iter().sum()
    })
    .await;
    assert_eq!(told(server), expected, "{}", server.log());
}

/// An answer that came in time.
async fn quick(server: &Server, path: &str) -> Answer {
    let started = Instant::now();
    let answer = server.get(path).await;
    let took = started.elapsed();
    assert!(took < QUICK, "{path} took {took:?}");
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer
}

/// How many of the listed activities are streams.
fn streams(answer: &Answer) -> usize {
    let kinds = ["stream", "transcode", "pause"];
    let list = answer.json()["activities"].as_array().unwrap().clone();
    let streams = list
        .iter()
        .filter(|one| kinds.iter().any(|&kind| one["type"] == kind));
    streams.count()
}

/// All requests are answered in time, with what Plex has now.
async fn goes_on(server: &Server, plex: &Simulator, sessions: usize) {
    plex.set_sessions(sessions);
    quick(server, "/healthz").await;
    quick(server, "/api/health").await;
    until_asked("activities as they are now", async || {
        streams(&quick(server, ACTIVITIES).await) == sessions
    })
    .await;
    until_asked("sessions as they are now", async || {
        quick(server, SESSIONS).await.json()["total"] == sessions
    })
    .await;
    let stats = quick(server, STATS).await.json();
    assert!(stats["total_movies"].as_u64() > Some(0), "{stats}");
    until_asked("the history of what was watched", async || {
        let history = quick(server, HISTORY).await.json();
        !history.as_array().unwrap().is_empty()
    })
    .await;
}

/// A second instance takes what the first one has put into Redis.
async fn in_use(one: &Server, another: Builder) {
    let two = another.start().await;
    connected(&two).await;
    until_asked("the second instance takes something", async || {
        quick(one, ACTIVITIES).await;
        quick(&two, ACTIVITIES).await;
        tier(&two).await["hits"].as_u64() > Some(0)
    })
    .await;
}

/// People who keep asking, whatever happens.
struct Crowd {
    stop: CancellationToken,
    people: Vec<JoinHandle<Vec<String>>>,
}

impl Crowd {
    fn before(server: &Server) -> Self {
        let stop = CancellationToken::new();
        let paths = [ACTIVITIES, SESSIONS, HISTORY, STATS, "/api/health"];
        let people = paths.map(|path| {
            let (client, url) = (server.client.clone(), format!("{}{path}", server.url));
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut complaints = Vec::new();
                while !stop.is_cancelled() {
                    let started = Instant::now();
                    let answer = client.get(&url).timeout(Duration::from_secs(10)).send();
                    let status = answer.await.map(|answer| answer.status());
                    let took = started.elapsed();
                    if took >= QUICK || !matches!(status, Ok(status) if status == 200) {
                        complaints.push(format!("{url}: {status:?} after {took:?}"));
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                complaints
            })
        });
        Self {
            stop,
            people: people.into(),
        }
    }

    /// Sends them home; none of them has noticed anything.
    async fn was_content(self) {
        self.stop.cancel();
        for complaints in join_all(self.people).await {
            assert_eq!(complaints.unwrap(), Vec::<String>::new());
        }
    }
}

/// A server that shares its caches lives through `fault`, which operators read as `class`, and
/// shares them again after `mend`.
async fn endures(
    fault: impl AsyncFnOnce(&mut Redis),
    class: &str,
    mend: impl AsyncFnOnce(&mut Redis),
) {
    let plex = harness::plex(3).await;
    let mut redis = Redis::start().await;
    let server = started(forgetful(&plex).redis(&redis)).await;
    connected(&server).await;
    goes_on(&server, &plex, 4).await;
    let crowd = Crowd::before(&server);

    fault(&mut redis).await;
    goes_on(&server, &plex, 2).await;
    down(&server, class).await;
    goes_on(&server, &plex, 5).await;
    has_told(&server, [1, 0]).await;

    mend(&mut redis).await;
    back(&server).await;
    in_use(&server, forgetful(&plex).redis(&redis)).await;
    goes_on(&server, &plex, 1).await;
    has_told(&server, [1, 1]).await;
    crowd.was_content().await;
}

#[tokio::test]
async fn frozen() {
    let freeze = async |redis: &mut Redis| redis.freeze();
    let thaw = async |redis: &mut Redis| redis.thaw();
    endures(freeze, "timeout", thaw).await;
}

#[tokio::test]
async fn killed_and_restarted_empty() {
    let kill = async |redis: &mut Redis| redis.kill();
    let start = async |redis: &mut Redis| redis.start_again().await;
    endures(kill, "refused", start).await;
}

#[tokio::test]
async fn out_of_memory() {
    let set = async |redis: &Redis, limit: &str| {
        redis
            .run::<()>(&["CONFIG", "SET", "maxmemory", limit])
            .await;
    };
    let fill = async |redis: &mut Redis| set(redis, "1").await;
    let widen = async |redis: &mut Redis| set(redis, "0").await;
    endures(fill, "out_of_memory", widen).await;
}

#[tokio::test]
async fn a_replica_that_takes_no_writes() {
    let nobody = Redis::nowhere();
    let port = nobody.port().to_string();
    let demote = async |redis: &mut Redis| {
        redis.run::<()>(&["REPLICAOF", "127.0.0.1", &port]).await;
    };
    let promote = async |redis: &mut Redis| redis.run::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    endures(demote, "read_only", promote).await;
}

#[tokio::test]
async fn refused_from_the_start() {
    let plex = harness::plex(3).await;
    let mut redis = Redis::nowhere();
    let server = started(forgetful(&plex).redis(&redis)).await;
    let crowd = Crowd::before(&server);
    goes_on(&server, &plex, 2).await;
    down(&server, "refused").await;
    has_told(&server, [1, 0]).await;

    redis.start_again().await;
    back(&server).await;
    in_use(&server, forgetful(&plex).redis(&redis)).await;
    goes_on(&server, &plex, 1).await;
    has_told(&server, [1, 1]).await;
    crowd.was_content().await;
}

#[tokio::test]
async fn frozen_from_the_start() {
    let plex = harness::plex(3).await;
    let redis = Redis::start().await;
    redis.freeze();
    let server = started(forgetful(&plex).redis(&redis)).await;
    let crowd = Crowd::before(&server);
    goes_on(&server, &plex, 2).await;
    down(&server, "timeout").await;
    has_told(&server, [1, 0]).await;

    redis.thaw();
    back(&server).await;
    goes_on(&server, &plex, 1).await;
    has_told(&server, [1, 1]).await;
    crowd.was_content().await;
}

#[tokio::test]
async fn a_wrong_password_which_nobody_gets_to_read() {
    const OURS: &str = "what-we-say";
    const THEIRS: &str = "what-they-want";
    let plex = harness::plex(3).await;
    let redis = Redis::builder().password(THEIRS).start().await;
    let sharing = || forgetful(&plex).redis(&redis).env("REDIS_PASSWORD", OURS);
    let server = started(sharing()).await;
    let crowd = Crowd::before(&server);
    goes_on(&server, &plex, 2).await;
    down(&server, "auth").await;
    has_told(&server, [1, 0]).await;

    redis
        .run::<()>(&["CONFIG", "SET", "requirepass", OURS])
        .await;
    back(&server).await;
    in_use(&server, sharing()).await;
    goes_on(&server, &plex, 1).await;
    has_told(&server, [1, 1]).await;
    crowd.was_content().await;
    let url = format!("redis://:{OURS}@127.0.0.1:{}", redis.port());
    let by_url = forgetful(&plex).redis(&redis).env("REDIS_URL", &url);
    let by_url = by_url.start().await;
    connected(&by_url).await;
    for server in [&server, &by_url] {
        let stats = server.get("/api/plex/cache/stats").await.text;
        for text in [server.log(), stats] {
            assert!(!text.contains(OURS), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_slow_to_be_of_use() {
    // Slow enough to connect in time, and too slow for requests.
    const SLOW: Duration = Duration::from_millis(400);
    let plex = harness::plex(3).await;
    let redis = Redis::start().await;
    let slow = Slow::in_front_of(&redis, SLOW);
    let server = forgetful(&plex).redis(&slow).env("REDIS_TIMEOUT_MS", "200");
    let server = started(server).await;
    let stays_down = async |lines: [usize; 2], sessions: usize| {
        let crowd = Crowd::before(&server);
        goes_on(&server, &plex, sessions).await;
        down(&server, "timeout").await;
        let before = slow.accepted();
        until("it is tried once more, in vain", || {
            slow.accepted() > before + 2
        })
        .await;
        has_told(&server, lines).await;
        crowd.was_content().await;
    };
    stays_down([1, 0], 2).await;
    slow.delay(Duration::ZERO);
    back(&server).await;
    in_use(&server, forgetful(&plex).redis(&redis)).await;
    has_told(&server, [1, 1]).await;

    // It is no better when it becomes slow while it is in use.
    slow.delay(SLOW);
    stays_down([2, 1], 5).await;
    slow.delay(Duration::ZERO);
    back(&server).await;
    has_told(&server, [2, 2]).await;
}

#[tokio::test]
async fn a_request_that_needs_many_values_waits_no_longer_than_one_that_needs_one() {
    let plex = harness::plex(3).await;
    let redis = Redis::start().await;
    let slow = Slow::in_front_of(&redis, Duration::from_millis(300));
    let server = lasting(&plex, "300").redis(&slow);
    let server = server.env("REDIS_TIMEOUT_MS", "1000").start().await;
    connected(&server).await;
    let started = Instant::now();
    let stats = server.get("/api/plex/stats").await.json();
    let took = started.elapsed();
    assert!(stats["total_movies"].as_u64().unwrap() > 0);
    // Each of six libraries and more would be asked for, two at a time.
    assert!(took < Duration::from_millis(1200), "{took:?}");
    assert_eq!(tier(&server).await["state"], "connected", "it answers");
}

#[tokio::test]
async fn flushed_while_in_use() {
    let plex = harness::plex(3).await;
    let redis = Redis::start().await;
    let server = lasting(&plex, "300").redis(&redis).start().await;
    connected(&server).await;
    assert_eq!(streams(&server.get(ACTIVITIES).await), 3);
    let flushed = async || redis.run::<()>(&["FLUSHALL"]).await;

    plex.set_sessions(2);
    flushed().await;
    let started = Instant::now();
    until_asked("activities are asked for anew", async || {
        streams(&quick(&server, ACTIVITIES).await) == 2
    })
    .await;
    assert!(started.elapsed() < SOON);

    plex.set_fault("*", Fault::Status(500));
    flushed().await;
    until_asked("the old value has expired", async || {
        quick(&server, ACTIVITIES).await.json()["stale"] == true
    })
    .await;
    let fall_back = quick(&server, ACTIVITIES).await;
    assert_eq!(streams(&fall_back), 2, "it stays as a fall-back");

    plex.clear_faults();
    plex.set_sessions(4);
    until_asked("activities are asked for anew", async || {
        streams(&quick(&server, ACTIVITIES).await) == 4
    })
    .await;
    let two = lasting(&plex, "300").redis(&redis).start().await;
    connected(&two).await;
    let before = plex.calls_by_path();
    until_asked("the second instance takes it", async || {
        streams(&quick(&two, ACTIVITIES).await) == 4
    })
    .await;
    assert_eq!(plex.calls_by_path(), before);
    assert_eq!(tier(&server).await["state"], "connected");
    assert_eq!(told(&server), [0, 0], "{}", server.log());
}

#[tokio::test]
async fn health_does_not_wait_where_a_request_does() {
    let plex = harness::plex(3).await;
    let redis = Redis::start().await;
    let server = forgetful(&plex)
        .redis(&redis)
        .env("REDIS_TIMEOUT_MS", "10000");
    let server = server.start().await;
    connected(&server).await;
    redis.freeze();
    let url = format!("{}{ACTIVITIES}", server.url);
    let waiting = tokio::spawn(server.client.get(url).send());
    let mut asked = 0;
    while asked < 20 {
        let started = Instant::now();
        for path in ["/healthz", "/api/health"] {
            assert_eq!(server.get(path).await.status, 200);
        }
        let took = started.elapsed();
        assert!(took < Duration::from_millis(800), "{took:?}");
        asked += 1;
    }
    assert!(!waiting.is_finished(), "nobody waited: this shows nothing");
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_frozen_redis_holds_up_no_end() {
    let plex = harness::plex(3).await;
    let redis = Redis::start().await;
    let timed = async |server: Server| {
        let started = Instant::now();
        server.stop().await;
        started.elapsed()
    };
    let alone = forgetful(&plex).start().await;
    alone.get(ACTIVITIES).await;
    let bound = timed(alone).await + Duration::from_millis(700);

    let noticed = forgetful(&plex).redis(&redis).start().await;
    let unnoticed = forgetful(&plex).redis(&redis).start().await;
    for server in [&noticed, &unnoticed] {
        connected(server).await;
        server.get(ACTIVITIES).await;
    }
    redis.freeze();
    let took = timed(unnoticed).await;
    assert!(took < bound, "{took:?}, without Redis {bound:?}");
    down(&noticed, "timeout").await;
    let took = timed(noticed).await;
    assert!(took < bound, "{took:?}, without Redis {bound:?}");
}

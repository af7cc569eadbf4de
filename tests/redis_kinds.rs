//! Every kind of Redis can be used, and what is wrong with one is named.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use komandorr::demo::Simulator;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::redis::{Cluster, Reachable, Redis, Sentinels};
use crate::harness::{Builder, Server, plex, until_asked};

const PATHS: [&str; 6] = [
    "/api/plex/activities",
    "/api/plex/sessions",
    "/api/plex/stats",
    "/api/plex/stats/live",
    "/api/plex/media/recent",
    "/api/plex/watch-history",
];

/// What `docs/operations.md` names, without what only some kinds need.
const RIGHTS: [&str; 20] = [
    "ping",
    "subscribe",
    "publish",
    "eval",
    "exists",
    "scan",
    "unlink",
    "get",
    "set",
    "del",
    "pttl",
    "strlen",
    "time",
    "pexpire",
    "type",
    "hset",
    "hget",
    "hincrby",
    "hmget",
    "select",
];

#[test]
fn the_documents_name_the_rights_that_are_tested() {
    let document = include_str!("../docs/operations.md");
    let rule = document.split("SETUSER komandorr on").nth(1).unwrap();
    let rule = rule.split("```").next().unwrap();
    let named: Vec<&str> = rule
        .split_whitespace()
        .filter_map(|word| word.strip_prefix('+'))
        .collect();
    assert_eq!(named, RIGHTS);
}

fn instance(plex: &Simulator, redis: &impl Reachable) -> Builder {
    let builder = Server::builder()
        .plex(plex)
        .env("PLEX_TV_URL", &plex.url())
        // Tests share a busy machine.
        .env("REDIS_TIMEOUT_MS", "1000");
    let lasting = ["ACTIVITIES", "SESSIONS", "STATS", "STATS_LIVE"];
    let builder = lasting.iter().fold(builder, |builder, cache| {
        builder.env(&format!("CACHE_{cache}_TTL"), "60")
    });
    builder.redis(redis)
}

async fn redis_of(server: &Server) -> Value {
    server.get("/api/plex/cache/stats").await.json()["redis"].clone()
}

async fn connected(server: &Server) {
    until_asked("Redis is in use", async || {
        redis_of(server).await["connected"] == true
    })
    .await;
}

/// Waits until Redis is given up for this reason. Requests go on.
async fn down(server: &Server, trouble: &str) {
    until_asked(trouble, async || {
        let redis = redis_of(server).await;
        redis["state"] == "down" && redis["last_error"] == trouble
    })
    .await;
    answers(server).await;
}

async fn answers(server: &Server) {
    let answer = server.get("/api/plex/activities").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

/// What `one` has fetched `two` takes.
async fn share(plex: &Simulator, one: &Server, two: &Server) {
    for path in PATHS {
        assert_eq!(one.get(path).await.status, StatusCode::OK, "{path}");
        let calls = plex.calls_by_path();
        // It is published after it was answered.
        let taken = two.get(path).await;
        let status = taken.headers["cache-status"].to_str().unwrap();
        assert!(status.starts_with("komandorr; hit"), "{path}: {status}");
        assert_eq!(plex.calls_by_path(), calls, "{path}");
    }
}

/// Starts an instance and reads by it; then its values are in Redis.
async fn comes_in(plex: &Simulator, builder: Builder) -> Server {
    let server = builder.start().await;
    connected(&server).await;
    for path in PATHS {
        assert_eq!(server.get(path).await.status, StatusCode::OK, "{path}");
    }
    assert!(!plex.calls_by_path().is_empty());
    until_asked("all values are in Redis", async || {
        redis_of(&server).await["total_keys"].as_u64() >= Some(6)
    })
    .await;
    server
}

#[tokio::test]
async fn a_socket_a_password_and_a_database_of_its_own() {
    let plex = plex(1).await;
    let socket = Redis::builder().socket().start().await;
    comes_in(&plex, instance(&plex, &socket)).await;
    assert!(socket.keys("komandorr:plex:*").await.len() >= 6);

    let guarded = Redis::builder().password("p:w/dü").start().await;
    let server = comes_in(&plex, instance(&plex, &guarded).env("REDIS_DB", "3")).await;
    assert!(guarded.keys("*").await.is_empty(), "nothing in database 0");
    let look = "redis.call('SELECT', 3) return redis.call('KEYS', 'komandorr:plex:activities')";
    let found: Vec<String> = guarded.run(&["EVAL", look, "0"]).await;
    assert_eq!(found, ["komandorr:plex:activities"]);
    let mut channels: Vec<String> = guarded.run(&["PUBSUB", "CHANNELS"]).await;
    channels.sort();
    let named = ["ended", "invalidated", "published"].map(|name| format!("komandorr:3:{name}"));
    assert_eq!(channels, named);
    assert!(!server.log().contains("p:w/d"));

    let wrong = instance(&plex, &guarded).env("REDIS_PASSWORD", "wrong");
    let wrong = wrong.start().await;
    down(&wrong, "auth").await;
    let none = instance(&plex, &guarded).env("REDIS_PASSWORD", "");
    down(&none.start().await, "auth").await;
    assert!(!wrong.log().contains("wrong"), "{}", wrong.log());
}

#[tokio::test]
async fn an_address_of_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let plex = plex(1).await;
    let redis = Redis::builder().config("bind", "127.0.0.1 ::1");
    let redis = redis.start().await;
    let url = format!("redis://[::1]:{}", redis.port());
    let server = comes_in(&plex, instance(&plex, &redis).env("REDIS_URL", &url)).await;
    let clients: String = redis.run(&["CLIENT", "LIST"]).await;
    assert!(clients.contains(" addr=[::1]:"), "{clients}");
    drop(server);
}

fn user(rights: &[&str]) -> String {
    let rights: Vec<String> = rights.iter().map(|right| format!("+{right}")).collect();
    format!(
        "komandorr on >geheim ~komandorr:* &komandorr:* {}",
        rights.join(" ")
    )
}

/// Everybody else has to log in, too.
async fn with_user() -> Redis {
    let redis = Redis::builder().password("root");
    redis.config("user", &user(&RIGHTS)).start().await
}

fn as_user(builder: Builder) -> Builder {
    builder
        .env("REDIS_DB", "1")
        .env("REDIS_USERNAME", "komandorr")
        .env("REDIS_PASSWORD", "geheim")
}

#[tokio::test]
async fn a_user_with_no_more_rights_than_the_documents_name() {
    let plex = plex(1).await;
    let redis = with_user().await;
    let one = comes_in(&plex, as_user(instance(&plex, &redis))).await;
    let two = as_user(instance(&plex, &redis)).start().await;
    connected(&two).await;
    let cleared = one.post("/api/plex/cache/clear", &json!({})).await.json();
    assert_eq!(cleared["redis_cleared"], true);
    share(&plex, &one, &two).await;
    // The probe of every second needs its rights, too.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(redis_of(&one).await["last_error"], Value::Null);
    let refused: Vec<redis::Value> = redis.run(&["ACL", "LOG"]).await;
    assert!(refused.is_empty(), "{refused:?}");

    // A user that needs no password is still one of its own.
    let free: [&str; 4] = ["ACL", "SETUSER", "komandorr", "nopass"];
    let _: () = redis.run(&free).await;
    let three = as_user(instance(&plex, &redis)).env("REDIS_PASSWORD", "");
    connected(&three.start().await).await;
}

#[tokio::test]
async fn a_missing_right_is_named_and_keeps_redis_out_of_use_until_it_is_given() {
    let plex = plex(1).await;
    let redis = with_user().await;
    for right in RIGHTS {
        let (taken, given) = (format!("-{right}"), format!("+{right}"));
        let _: () = redis.run(&["ACL", "SETUSER", "komandorr", &taken]).await;
        let check = as_user(instance(&plex, &redis)).argument("check");
        let said = said(check).await;
        assert!(said.ends_with("(DB: 1): permission\n"), "{right}: {said}");
        let _: () = redis.run(&["ACL", "SETUSER", "komandorr", &given]).await;
    }
    for rule in ["resetkeys", "resetchannels"] {
        let _: () = redis.run(&["ACL", "SETUSER", "komandorr", rule]).await;
        let check = as_user(instance(&plex, &redis)).argument("check");
        let said = said(check).await;
        assert!(said.ends_with("(DB: 1): permission\n"), "{rule}: {said}");
        let back = [
            "ACL",
            "SETUSER",
            "komandorr",
            "~komandorr:*",
            "&komandorr:*",
        ];
        let _: () = redis.run(&back).await;
    }

    let _: () = redis.run(&["ACL", "SETUSER", "komandorr", "-set"]).await;
    let server = as_user(instance(&plex, &redis)).start().await;
    down(&server, "permission").await;
    // Several attempts later it is still the same trouble, told once.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    down(&server, "permission").await;
    let told = server.log().matches("Redis").count();
    assert_eq!(told, 1, "{}", server.log());
    let _: () = redis.run(&["ACL", "SETUSER", "komandorr", "+set"]).await;
    connected(&server).await;
}

/// What goes to standard error.
async fn said(check: Builder) -> String {
    String::from_utf8(check.command().output().await.unwrap().stderr).unwrap()
}

#[tokio::test]
async fn tls_with_an_authority_that_is_known_and_with_one_that_is_not() {
    let plex = plex(1).await;
    let redis = Redis::builder().tls().password("geheim").start().await;
    comes_in(&plex, instance(&plex, &redis)).await;

    let other = Redis::builder().tls().nowhere();
    let other = other.authority().unwrap().to_str().unwrap();
    let stranger = instance(&plex, &redis).env("SSL_CERT_FILE", other);
    down(&stranger.start().await, "tls").await;
    let unknown = instance(&plex, &redis).env("REDIS_HOST", "redis.invalid");
    down(&unknown.start().await, "unreachable").await;
}

/// Clears the caches by `one`; the other learns of it.
async fn clear_reaches(one: &Server, two: &Server) {
    for path in PATHS {
        two.get(path).await;
    }
    assert_eq!(two.cache().await["cached"], true);
    let cleared = one.post("/api/plex/cache/clear", &json!({})).await.json();
    assert_eq!(cleared["redis_cleared"], true, "{cleared}");
    let began = Instant::now();
    until_asked("the other has cleared, too", async || {
        two.cache().await["cached"] == false
    })
    .await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_cluster_is_shared_cleared_lost_and_found() {
    let plex = plex(1).await;
    let mut cluster = Cluster::start().await;
    let one = instance(&plex, &cluster).start().await;
    let two = instance(&plex, &cluster).start().await;
    connected(&one).await;
    connected(&two).await;
    share(&plex, &one, &two).await;
    assert!(redis_of(&one).await["total_keys"].as_u64() >= Some(6));
    for node in &cluster.nodes {
        assert!(!node.keys("komandorr:*").await.is_empty(), "spread");
    }

    let others = ["komandorr:note:x", "komandorr", "other:a", "other:b"];
    for key in others {
        let _: () = cluster.run(key, &["SET", key, "1"]).await;
    }
    clear_reaches(&one, &two).await;
    let mut left = cluster.keys("*").await;
    // Which values are fetched again by themselves is another matter.
    left.retain(|key| !key.starts_with("komandorr:lease:"));
    let mut expected = [&others[..], &["komandorr:generation"]].concat();
    expected.sort_unstable();
    assert_eq!(left, expected);

    share(&plex, &one, &two).await;
    for node in 0..3 {
        cluster.kill(node);
        // Each answers at any time, whichever half of the keys is gone.
        until_asked("the loss is noticed", async || {
            answers(&one).await;
            answers(&two).await;
            redis_of(&one).await["state"] == "down" && redis_of(&two).await["state"] == "down"
        })
        .await;
        let trouble = redis_of(&one).await["last_error"].clone();
        let sensible = ["cluster_down", "refused", "lost"];
        assert!(sensible.iter().any(|one| trouble == *one), "{trouble}");
        if node == 0 {
            down(&one, "cluster_down").await;
        }
        cluster.restart(node).await;
        let began = Instant::now();
        connected(&one).await;
        connected(&two).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    clear_reaches(&one, &two).await;
    share(&plex, &one, &two).await;
}

#[tokio::test]
async fn why_no_node_of_a_cluster_lets_us_in() {
    let plex = plex(0).await;
    let nowhere = Redis::nowhere();
    let guarded = Redis::builder().cluster().password("root");
    let guarded = guarded.start().await;
    // No slots are given to anybody yet.
    let lone = Redis::builder().cluster().start().await;
    for (redis, trouble) in [
        (&nowhere, "refused"),
        (&guarded, "auth"),
        (&lone, "cluster_down"),
    ] {
        let url = format!("redis-cluster://127.0.0.1:{}", redis.port());
        let check = instance(&plex, &nowhere).env("REDIS_URL", &url);
        let check = check.env("REDIS_PASSWORD", "");
        let said = said(check.argument("check")).await;
        let end = format!("cluster 127.0.0.1:{}: {trouble}\n", redis.port());
        assert!(said.ends_with(&end), "{said}");
    }
}

/// Asks with the rights of the documents and this one more, and then without this one.
async fn needs(redis: &Redis, right: &str, url: &str) {
    let rule = user(&RIGHTS);
    let mut words = vec!["ACL", "SETUSER"];
    words.extend(rule.split(' '));
    let given = format!("+{right}");
    words.push(&given);
    let _: () = redis.run(&words).await;
    let plex = plex(0).await;
    let check = async || {
        let check = as_user(instance(&plex, redis));
        let check = check.env("REDIS_URL", url).env("REDIS_DB", "0");
        said(check.argument("check")).await
    };
    assert_eq!(check().await, "", "{right}");
    let taken = format!("-{right}");
    let _: () = redis.run(&["ACL", "SETUSER", "komandorr", &taken]).await;
    let said = check().await;
    assert!(said.ends_with(": permission\n"), "{right}: {said}");
}

#[tokio::test]
async fn a_user_of_a_cluster_may_ask_who_has_which_keys() {
    let node = Redis::builder().cluster().start().await;
    let all = ["CLUSTER", "ADDSLOTSRANGE", "0", "16383"];
    let _: () = node.run(&all).await;
    until_asked("it has all keys", async || {
        let info: String = node.run(&["CLUSTER", "INFO"]).await;
        info.contains("cluster_state:ok")
    })
    .await;
    let url = format!("redis-cluster://127.0.0.1:{}", node.port());
    needs(&node, "cluster|slots", &url).await;
}

#[tokio::test]
async fn a_new_master_takes_the_place_of_the_old_one() {
    let plex = plex(1).await;
    let mut sentinels = Sentinels::start().await;
    let one = instance(&plex, &sentinels).start().await;
    let two = instance(&plex, &sentinels).start().await;
    connected(&one).await;
    connected(&two).await;
    share(&plex, &one, &two).await;

    sentinels.kill_master().await;
    let (replaced, asked) = (sentinels.master(), async {
        loop {
            answers(&one).await;
            answers(&two).await;
        }
    });
    let successor = tokio::select! {
        successor = replaced => successor,
        never = asked => never,
    };
    let began = Instant::now();
    until_asked("both use the new master", async || {
        answers(&one).await;
        answers(&two).await;
        redis_of(&one).await["connected"] == true && redis_of(&two).await["connected"] == true
    })
    .await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    clear_reaches(&one, &two).await;
    share(&plex, &one, &two).await;
    assert!(!successor.keys("komandorr:plex:*").await.is_empty());

    needs(successor, "role", &sentinels.url()).await;
    let unknown = sentinels.url().replace("mymaster", "other");
    let lost = instance(&plex, &sentinels).env("REDIS_URL", &unknown);
    down(&lost.start().await, "no_master").await;
}

//! The Redis servers of the other tests do what those tests rely on.

use std::time::{Duration, Instant};

use redis::cluster::ClusterClient;
use tokio::time::timeout;

use crate::harness::redis::{Cluster, Reachable, Redis, Sentinels, Slow};
use crate::harness::{Server, until, until_asked};

/// Long enough for a server that runs to answer, even on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// For what is not going to happen.
const NEVER: Duration = Duration::from_millis(200);

async fn answers(redis: &Redis, within: Duration) -> bool {
    let asked = redis.try_run::<String>(&["PING"]);
    matches!(timeout(within, asked).await, Ok(Ok(answer)) if answer == "PONG")
}

#[tokio::test]
async fn a_redis_freezes_thaws_dies_and_comes_back_empty() {
    let mut redis = Redis::start().await;
    let mut connection = redis.connection().await;
    let _: () = redis.run(&["SET", "komandorr:a", "1"]).await;
    let _: () = redis.run(&["SET", "other", "2"]).await;
    assert_eq!(redis.keys("komandorr:*").await, ["komandorr:a"]);

    redis.freeze();
    redis.freeze();
    assert!(!answers(&redis, NEVER).await);
    redis.thaw();
    assert!(answers(&redis, SOON).await);
    let alive: String = redis::cmd("PING")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(alive, "PONG");

    let url = redis.url();
    redis.freeze();
    redis.kill();
    assert!(redis.try_run::<()>(&["PING"]).await.is_err());
    redis.start_again().await;
    assert_eq!(redis.url(), url);
    assert!(redis.keys("*").await.is_empty());
}

#[tokio::test]
async fn nobody_listens_where_a_redis_will_be_started() {
    let mut redis = Redis::nowhere();
    let refused = redis.try_run::<()>(&["PING"]).await.unwrap_err();
    assert!(refused.is_connection_refusal(), "{refused}");
    redis.start_again().await;
    assert!(answers(&redis, SOON).await);
}

#[tokio::test]
async fn a_redis_has_the_options_it_was_given() {
    let redis = Redis::builder()
        .password("p:w/d")
        .config("maxmemory", "1mb")
        .config("client-output-buffer-limit", "pubsub 1mb 0 0")
        .start()
        .await;
    let (_, limit): (String, String) = redis.run(&["CONFIG", "GET", "maxmemory"]).await;
    assert_eq!(limit, "1048576");
    let stranger = redis::Client::open(redis.url().replace(":p%3Aw%2Fd@", "")).unwrap();
    let mut stranger = stranger.get_multiplexed_async_connection().await.unwrap();
    let refused = redis::cmd("PING").query_async::<()>(&mut stranger).await;
    assert_eq!(refused.unwrap_err().code(), Some("NOAUTH"));
}

#[tokio::test]
async fn a_redis_is_reached_by_a_socket_or_by_tls() {
    let socket = Redis::builder().socket().password("x").start().await;
    assert!(answers(&socket, SOON).await);
    assert!(socket.url().starts_with("redis+unix:///"));

    let tls = Redis::builder().tls().start().await;
    assert!(answers(&tls, SOON).await);
    assert!(tls.authority().unwrap().exists());
    let stranger = redis::Client::open(tls.url()).unwrap();
    let unknown = stranger.get_multiplexed_async_connection().await;
    assert!(unknown.is_err(), "a certificate that nobody vouches for");
}

#[tokio::test]
async fn a_server_is_told_where_redis_is() {
    let redis = Redis::builder().password("x").nowhere();
    let command = Server::builder().redis(&redis).command();
    let given = |name: &str| {
        let mut all = command.as_std().get_envs();
        let (_, value) = all.find(|(one, _)| *one == name).expect("it is set");
        value.unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(given("REDIS_ENABLED"), "true");
    assert_eq!(given("REDIS_HOST"), "127.0.0.1");
    assert_eq!(given("REDIS_PORT"), redis.port().to_string());
    assert_eq!(given("REDIS_PASSWORD"), "x");
}

#[tokio::test]
async fn a_cluster_has_keys_on_each_node_and_survives_the_loss_of_one() {
    let mut cluster = Cluster::start().await;
    let nodes = cluster.nodes.iter().map(Redis::url).collect::<Vec<_>>();
    let client = ClusterClient::new(nodes).unwrap();
    let mut connection = client.get_async_connection().await.unwrap();
    for key in ["a", "b", "c"] {
        let mut set = redis::cmd("SET");
        let () = set
            .arg(key)
            .arg(1)
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(cluster.run::<u32>(key, &["GET", key]).await, 1);
    }
    // Slots 15495, 3300 and 7365.
    assert_eq!(cluster.keys("*").await, ["a", "b", "c"]);
    for node in &cluster.nodes {
        assert_eq!(node.keys("*").await.len(), 1);
    }

    cluster.kill(0);
    until_asked("the others notice", async || {
        let info: String = cluster.nodes[1].run(&["CLUSTER", "INFO"]).await;
        info.contains("cluster_state:fail")
    })
    .await;
    cluster.restart(0).await;
    assert_eq!(cluster.keys("*").await, ["a", "c"]);
    assert!(cluster.url().starts_with("redis-cluster://127.0.0.1:"));
}

#[tokio::test]
async fn sentinels_put_the_replica_in_the_place_of_a_dead_master() {
    let mut sentinels = Sentinels::start().await;
    let first = sentinels.master().await.port();
    assert_eq!(first, sentinels.servers[0].port());
    assert!(sentinels.url().ends_with("/mymaster/0"));
    sentinels.kill_master().await;
    let second = sentinels.master().await;
    assert_ne!(second.port(), first);
    let _: () = second.run(&["SET", "a", "1"]).await;
}

#[tokio::test]
async fn a_proxy_delays_answers_and_cuts_or_refuses_connections() {
    let redis = Redis::start().await;
    let delay = Duration::from_millis(100);
    let mut slow = Slow::in_front_of(&redis, delay);
    let address = format!("redis://127.0.0.1:{}", slow.port());
    let client = redis::Client::open(address).unwrap();
    let ping = async |connection: &mut redis::aio::MultiplexedConnection| {
        let started = Instant::now();
        let answer = redis::cmd("PING").query_async::<()>(connection).await;
        answer.map(|()| started.elapsed())
    };

    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    assert!(ping(&mut connection).await.unwrap() >= delay);
    slow.delay(Duration::ZERO);
    assert!(ping(&mut connection).await.unwrap() < SOON);
    assert_eq!((slow.accepted(), slow.open()), (1, 1));

    slow.cut().await;
    assert!(ping(&mut connection).await.is_err());
    assert_eq!(slow.open(), 0);
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    ping(&mut connection).await.unwrap();
    assert_eq!(slow.accepted(), 2);

    slow.refuse().await;
    assert!(ping(&mut connection).await.is_err());
    let refused = client.get_multiplexed_async_connection().await;
    assert!(refused.unwrap_err().is_connection_refusal());
    slow.admit();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    ping(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_proxy_treats_subscribers_apart() {
    let redis = Redis::start().await;
    let mut slow = Slow::in_front_of(&redis, Duration::ZERO);
    assert!(
        slow.env()
            .contains(&("REDIS_PORT".to_owned(), slow.port().to_string()))
    );
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", slow.port())).unwrap();
    let mut other = client.get_multiplexed_async_connection().await.unwrap();
    let mut other_answers = async || redis::cmd("PING").query_async::<()>(&mut other).await;

    let mut channel = client.get_async_pubsub().await.unwrap();
    channel.subscribe("news").await.unwrap();
    assert_eq!((slow.open(), slow.subscribers()), (2, 1));
    slow.delay_subscribers(Duration::from_secs(3600));
    let _: () = redis.run(&["PUBLISH", "news", "1"]).await;
    let mut messages = channel.into_on_message();
    let next = futures_util::StreamExt::next(&mut messages);
    assert!(timeout(NEVER, next).await.is_err(), "not yet");
    slow.delay_subscribers(Duration::ZERO);
    let next = futures_util::StreamExt::next(&mut messages);
    assert!(timeout(SOON, next).await.unwrap().is_some());

    slow.cut_subscribers().await;
    let next = futures_util::StreamExt::next(&mut messages);
    assert!(timeout(SOON, next).await.unwrap().is_none());
    other_answers().await.unwrap();
    slow.refuse_subscribers().await;
    let mut channel = client.get_async_pubsub().await.unwrap();
    assert!(channel.subscribe("news").await.is_err());
    slow.admit();
    let mut channel = client.get_async_pubsub().await.unwrap();
    channel.subscribe("news").await.unwrap();
    drop(channel);
    until("it is gone", || slow.subscribers() == 0).await;
    other_answers().await.unwrap();
}

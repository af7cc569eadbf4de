//! Notes that instances share: two that could be two processes, and a Redis between them.

use std::time::Duration;

use futures_util::future::join_all;
use komandorr::cache::shared::Shared;
use komandorr::settings::{RedisNode, RedisNodes, RedisPlace, RedisSettings, Secret};
use komandorr::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use crate::harness::redis::{Cluster, Redis, Slow};
use crate::harness::{until, until_asked};

const TTL: Duration = Duration::from_secs(60);

fn node(port: u16) -> RedisNode {
    let host = "127.0.0.1".to_owned();
    RedisNode { host, port }
}

/// An instance that has Redis in use.
async fn instance(nodes: RedisNodes) -> Shared {
    let shared = Shared::new(RedisSettings {
        enabled: true,
        place: RedisPlace {
            nodes,
            db: 0,
            username: String::new(),
            password: Secret::default(),
            tls: false,
        },
        timeout: Duration::from_secs(1),
    });
    shared.keep(&Tasks::new(CancellationToken::new()), |_| {});
    until("it is in use", || shared.is_connected()).await;
    shared
}

async fn on(port: u16) -> Shared {
    instance(RedisNodes::Server(node(port))).await
}

async fn down(shared: &Shared) {
    until("it is given up", || !shared.is_connected()).await;
}

async fn back(shared: &Shared) {
    until("it is in use again", || shared.is_connected()).await;
}

#[tokio::test]
async fn what_one_puts_all_can_read_and_one_can_take() {
    let redis = Redis::start().await;
    let (one, two) = (on(redis.port()).await, on(redis.port()).await);
    one.put("a", "text", TTL).await;
    assert_eq!(one.get("a").await.as_deref(), Some("text"));
    assert_eq!(two.get("a").await.as_deref(), Some("text"));
    let left: u64 = redis.run(&["PTTL", "komandorr:note:a"]).await;
    assert!((30_000..=60_000).contains(&left), "{left}");

    assert!(one.clear().await, "which is about cached values");
    assert_eq!(two.take("a").await.as_deref(), Some("text"));
    for shared in [&one, &two] {
        assert_eq!(shared.get("a").await, None);
        assert_eq!(shared.take("a").await, None);
    }

    one.put("b c", "once", TTL).await;
    let takers = (0..20).map(|n| if n % 2 == 0 { &one } else { &two });
    let taken = join_all(takers.map(|shared| shared.take("b c"))).await;
    assert_eq!(taken.into_iter().flatten().collect::<Vec<_>>(), ["once"]);

    one.put("brief", "text", Duration::from_millis(50)).await;
    until_asked("it expires everywhere", async || {
        one.get("brief").await.is_none() && two.get("brief").await.is_none()
    })
    .await;
}

#[tokio::test]
async fn what_is_no_note_is_none_and_does_no_harm() {
    let redis = Redis::start().await;
    let shared = on(redis.port()).await;
    let _: () = redis.run(&["HSET", "komandorr:note:a", "x", "1"]).await;
    assert_eq!(shared.get("a").await, None);
    assert_eq!(shared.take("a").await, None);
    let no_text = "redis.call('SET', 'komandorr:note:a', '\\255')";
    let _: () = redis.run(&["EVAL", no_text, "0"]).await;
    assert_eq!(shared.get("a").await, None);
    shared.put("a", "text", Duration::ZERO).await;
    shared.put("b", "text", Duration::MAX).await;
    assert_eq!(shared.get("b").await.as_deref(), Some("text"));
    assert_eq!(shared.status().last_error, None);
}

#[tokio::test]
async fn while_redis_is_away_each_has_what_was_put_there() {
    let mut redis = Redis::start().await;
    let (one, two) = (on(redis.port()).await, on(redis.port()).await);
    one.put("before", "1", TTL).await;
    one.put("lost", "2", TTL).await;
    redis.kill();
    down(&one).await;
    down(&two).await;
    assert_eq!(one.get("before").await.as_deref(), Some("1"));
    assert_eq!(two.get("before").await, None);
    assert_eq!(one.take("before").await.as_deref(), Some("1"));
    assert_eq!(one.take("before").await, None);
    one.put("meanwhile", "3", TTL).await;
    assert_eq!(one.get("meanwhile").await.as_deref(), Some("3"));

    redis.start_again().await;
    back(&one).await;
    back(&two).await;
    assert_eq!(one.get("meanwhile").await.as_deref(), Some("3"));
    assert_eq!(two.get("meanwhile").await, None);
    assert_eq!(one.take("meanwhile").await.as_deref(), Some("3"));
    assert_eq!(one.take("meanwhile").await, None);
    // Nobody can tell whether somebody has taken it.
    assert_eq!(one.take("lost").await, None);
}

#[tokio::test]
async fn what_was_taken_here_is_taken_here_although_redis_has_not_heard_of_it() {
    let redis = Redis::start().await;
    let mut proxy = Slow::in_front_of(&redis, Duration::ZERO);
    let (one, two) = (on(proxy.port()).await, on(redis.port()).await);
    one.put("a", "1", TTL).await;
    one.put("b", "2", TTL).await;
    assert_eq!(two.take("b").await.as_deref(), Some("2"));
    proxy.refuse().await;
    down(&one).await;
    assert_eq!(one.take("a").await.as_deref(), Some("1"));
    assert_eq!(
        one.get("b").await.as_deref(),
        Some("2"),
        "the price of the copy"
    );
    proxy.admit();
    back(&one).await;
    assert_eq!(one.get("a").await, None);
    assert_eq!(one.take("a").await, None);
    assert_eq!(one.take("b").await, None, "the other has taken it");
    assert_eq!(
        two.take("a").await.as_deref(),
        Some("1"),
        "the price of the copy"
    );
}

#[tokio::test]
async fn a_cluster_has_notes_on_all_its_nodes() {
    let cluster = Cluster::start().await;
    let nodes = cluster.nodes.iter().map(|one| node(one.port())).collect();
    let nodes = RedisNodes::Cluster(nodes);
    let (one, two) = (instance(nodes.clone()).await, instance(nodes).await);
    let keys: Vec<String> = (0..20).map(|number| format!("key-{number}")).collect();
    for key in &keys {
        one.put(key, key, TTL).await;
    }
    for redis in &cluster.nodes {
        assert!(!redis.keys("komandorr:note:*").await.is_empty());
    }
    for key in &keys {
        assert_eq!(two.get(key).await.as_ref(), Some(key));
        assert_eq!(two.take(key).await.as_ref(), Some(key));
        assert_eq!(one.take(key).await, None);
    }
}

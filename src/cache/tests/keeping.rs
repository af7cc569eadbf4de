//! Expiring, warming, and values that survive a restart.

use super::*;

/// What the warmer is told at the moment.
fn due(upstream: &Upstream, idle: Option<Duration>) -> Option<Duration> {
    CacheAdmin::due_in(upstream.cache, idle)
}

#[tokio::test(start_paused = true)]
async fn an_expired_value_is_fetched_anew_however_young_and_stays_a_fall_back() {
    let upstream = Upstream::new(POLICY)
        .will(at_once(1))
        .will(failure())
        .will(at_once(2));
    upstream.read().await.unwrap();
    CacheAdmin::expire(upstream.cache);
    assert!(upstream.stats().stale);
    let stale = upstream.read().await;
    assert_eq!(value(&stale), 1);
    assert!(matches!(stale.unwrap().freshness, Freshness::Stale { .. }));
    advance(secs(2)).await;
    upstream.refresh().await.unwrap();
    assert_eq!(upstream.read().await.unwrap().freshness, Freshness::Fresh);
    assert_eq!(upstream.stats().hits, 1, "counters go on");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_began_before_the_value_expired_stores_nothing() {
    let upstream = Upstream::new(POLICY)
        .will(Act::Whole(1, secs(1)))
        .will(at_once(2));
    let early = upstream.reader().await;
    CacheAdmin::expire(upstream.cache);
    assert_eq!(
        value(&upstream.read().await),
        2,
        "it does not join the old one"
    );
    assert_eq!(value(&early.await.unwrap()), 1);
    assert_eq!(value(&upstream.read().await), 2);
}

#[tokio::test(start_paused = true)]
async fn no_change_of_server_touches_what_comes_from_our_own_database() {
    let upstream = Upstream::new(POLICY).will(at_once(1));
    upstream.origin.store(Origin::LOCAL.0, Ordering::SeqCst);
    upstream.read().await.unwrap();
    CacheAdmin::adopt(upstream.cache, Origin(7));
    assert_eq!(upstream.read().await.unwrap().freshness, Freshness::Fresh);
    assert!(CacheAdmin::stats(upstream.cache, Origin(8)).cached);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_due_at_four_fifths_of_the_ttl() {
    let upstream = Upstream::new(POLICY)
        .will(at_once(1))
        .will(Act::Whole(2, secs(1)));
    assert_eq!(due(&upstream, None), None, "nothing to keep warm");
    upstream.read().await.unwrap();
    assert_eq!(due(&upstream, None), Some(secs(4)));
    advance(secs(3)).await;
    assert_eq!(due(&upstream, None), Some(secs(1)));
    advance(secs(3)).await;
    assert_eq!(due(&upstream, None), Some(Duration::ZERO));
    let refreshing = tokio::spawn({
        let upstream = upstream.clone();
        async move { upstream.refresh().await }
    });
    tokio::task::yield_now().await;
    assert_eq!(due(&upstream, None), None, "it is being fetched");
    refreshing.await.unwrap().unwrap();
    assert_eq!(due(&upstream, None), Some(secs(4)));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_nobody_reads_is_not_kept_warm_until_somebody_does() {
    let upstream = Upstream::new(POLICY).will(at_once(1)).will(at_once(2));
    let idle = Some(secs(60));
    upstream.read().await.unwrap();
    advance(secs(59)).await;
    assert_eq!(due(&upstream, idle), Some(Duration::ZERO));
    advance(secs(1)).await;
    assert_eq!(due(&upstream, idle), None);
    assert_eq!(
        due(&upstream, None),
        Some(Duration::ZERO),
        "without a limit it is"
    );
    upstream.read().await.unwrap();
    assert_eq!(due(&upstream, idle), Some(secs(4)));
}

#[tokio::test(start_paused = true)]
async fn the_warmer_obeys_the_back_off() {
    let upstream = Upstream::new(POLICY).will(at_once(1)).will(failure());
    upstream.read().await.unwrap();
    advance(secs(4)).await;
    upstream.refresh().await.unwrap_err();
    assert_eq!(due(&upstream, None), None);
    advance(secs(2)).await;
    assert_eq!(due(&upstream, None), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_ttl_of_zero_is_never_warmed() {
    let none = Policy {
        ttl: Duration::ZERO,
        ..POLICY
    };
    let upstream = Upstream::new(none).will(at_once(1));
    upstream.read().await.unwrap();
    assert_eq!(due(&upstream, None), None);
}

#[tokio::test(start_paused = true)]
async fn a_value_of_an_earlier_run_is_served_stale_until_the_first_fetch_is_in() {
    let before = Upstream::new(POLICY).will(at_once(1));
    before.read().await.unwrap();
    advance(secs(3)).await;
    let (json, age) = before.cache.export(Origin(1)).unwrap();
    assert_eq!((json.get(), age), ("1", secs(3)));

    let after = Upstream::new(POLICY).will(failure()).will(at_once(2));
    assert!(after.cache.import(Origin(1), &json, age));
    let first = after.read().await.unwrap();
    assert_eq!((first.stored.value, first.age), (1, secs(3)));
    assert!(
        matches!(first.freshness, Freshness::Stale { .. }),
        "younger than the TTL, but of another run"
    );
    advance(secs(2)).await;
    after.refresh().await.unwrap();
    assert_eq!(value(&after.read().await), 2);
}

#[tokio::test(start_paused = true)]
async fn a_value_of_an_earlier_run_replaces_nothing_and_is_of_one_origin() {
    let json = serde_json::value::to_raw_value(&9).unwrap();
    let upstream = Upstream::new(POLICY).will(at_once(1));
    upstream.read().await.unwrap();
    assert!(!upstream.cache.import(Origin(1), &json, secs(1)));
    assert!(upstream.cache.export(Origin(2)).is_none());

    let other = Upstream::new(POLICY).will(at_once(1));
    let odd = serde_json::value::to_raw_value("no number").unwrap();
    assert!(!other.cache.import(Origin(1), &odd, secs(1)));
    assert!(other.cache.import(Origin(1), &json, secs(1)));
    other.origin.store(2, Ordering::SeqCst);
    assert_eq!(
        value(&other.read().await),
        1,
        "another server has no use for it"
    );
}

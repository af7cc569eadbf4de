//! What another instance has fetched.

use super::*;

const fn taken(value: u32, age: u64, missing: Option<FetchError>) -> Act {
    Act::Taken(value, secs(age), missing, Duration::ZERO)
}

#[tokio::test(start_paused = true)]
async fn a_value_of_another_instance_keeps_its_age_and_counts_as_a_hit() {
    let upstream = Upstream::new(POLICY).will(taken(7, 3, None));
    let cached = upstream.read().await.unwrap();
    assert_eq!((cached.stored.value, cached.age), (7, secs(3)));
    assert_eq!(cached.fresh_for, secs(2));
    assert_eq!(cached.freshness, Freshness::Fresh);
    let stats = upstream.stats();
    assert_eq!((stats.hits, stats.misses, stats.fetch_ms_avg), (1, 0, None));

    advance(secs(1)).await;
    assert_eq!(value(&upstream.read().await), 7);
    advance(secs(1)).await;
    upstream.then(at_once(8));
    assert_eq!(
        value(&upstream.read().await),
        8,
        "it expires for all at once"
    );
    assert_eq!((upstream.stats().hits, upstream.stats().misses), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_for_it_are_hits() {
    let upstream = Upstream::new(POLICY).will(taken(7, 0, None));
    let readers = [upstream.reader().await, upstream.reader().await];
    for reader in readers {
        assert_eq!(value(&reader.await.unwrap()), 7);
    }
    assert_eq!((upstream.stats().hits, upstream.stats().misses), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_part_of_another_instance_is_a_part_here_too() {
    let missing = Some(FetchError::new("half"));
    let upstream = Upstream::new(POLICY).will(at_once(1));
    assert_eq!(value(&upstream.read().await), 1);
    advance(secs(10)).await;
    upstream.then(taken(2, 1, missing.clone()));
    let whole = upstream.read().await;
    assert_eq!(value(&whole), 1, "a young whole value is preferred");
    assert!(is_stale(&whole));

    let alone = Upstream::new(POLICY).will(taken(3, 1, missing));
    assert_eq!(
        value(&alone.read().await),
        3,
        "a part is better than nothing"
    );
    advance(secs(4)).await;
    alone.then(at_once(4));
    assert_eq!(
        value(&alone.read().await),
        3,
        "nobody waits after a failure"
    );
    assert!(alone.stats().stale);
}

#[tokio::test(start_paused = true)]
async fn a_value_of_another_instance_overtaken_by_a_clear_is_not_stored() {
    let upstream = Upstream::new(POLICY).will(Act::Taken(7, secs(0), None, secs(1)));
    let reader = upstream.reader().await;
    upstream.cache.clear();
    assert_eq!(value(&reader.await.unwrap()), 7);
    upstream.then(at_once(8));
    assert_eq!(value(&upstream.read().await), 8);
    assert_eq!(upstream.fetches(), 2);
}

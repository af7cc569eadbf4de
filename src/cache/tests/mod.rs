//! The promises of the cache, one test each, on a paused clock.

mod keeping;
mod random;
mod taken;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep};

use super::*;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const POLICY: Policy = Policy {
    ttl: secs(5),
    max_stale: secs(3600),
    max_wait: secs(2),
};

type Answered = Result<Cached<u32>, SharedError>;

/// What the next fetch does, and how long it takes.
enum Act {
    Whole(u32, Duration),
    /// A half, the other one failing in this way and after this time.
    Part(u32, FetchError, Duration),
    Fail(FetchError, Duration),
    /// What another instance fetched so long ago, and why it is only a part.
    Taken(u32, Duration, Option<FetchError>, Duration),
    Panic,
}

/// A cache of its own for one test, and an upstream that follows a script.
#[derive(Clone)]
struct Upstream {
    cache: &'static Mutex<CacheEntry<u32>>,
    origin: Arc<AtomicU64>,
    script: Arc<Mutex<VecDeque<Act>>>,
    /// The origins that were fetched from, in order.
    fetched: Arc<Mutex<Vec<u64>>>,
}

impl Upstream {
    fn new(policy: Policy) -> Self {
        Self {
            cache: Box::leak(Box::new(Mutex::new(CacheEntry::new("test", policy)))),
            origin: Arc::new(AtomicU64::new(1)),
            script: Arc::default(),
            fetched: Arc::default(),
        }
    }

    fn will(self, act: Act) -> Self {
        self.script.lock().unwrap().push_back(act);
        self
    }

    fn then(&self, act: Act) {
        self.script.lock().unwrap().push_back(act);
    }

    fn source(
        &self,
    ) -> (
        Origin,
        impl Future<Output = Result<Fetched<u32>, FetchError>> + use<>,
    ) {
        let origin = self.origin.load(Ordering::SeqCst);
        let (script, fetched) = (Arc::clone(&self.script), Arc::clone(&self.fetched));
        (Origin(origin), async move {
            fetched.lock().unwrap().push(origin);
            let act = script.lock().unwrap().pop_front();
            match act.expect("no further fetch was expected") {
                Act::Whole(value, delay) => {
                    sleep(delay).await;
                    Ok(Fetched::Whole(value))
                }
                Act::Part(value, error, delay) => {
                    sleep(delay).await;
                    Ok(Fetched::Partial(value, error))
                }
                Act::Fail(error, delay) => {
                    sleep(delay).await;
                    Err(error)
                }
                Act::Taken(value, age, missing, delay) => {
                    sleep(delay).await;
                    Ok(Fetched::Taken {
                        value,
                        age,
                        missing,
                    })
                }
                Act::Panic => panic!("as scripted"),
            }
        })
    }

    async fn read(&self) -> Answered {
        read(self.cache, || self.source()).await
    }

    /// A reader that goes on by itself, already waiting when this returns.
    async fn reader(&self) -> JoinHandle<Answered> {
        let upstream = self.clone();
        let reader = tokio::spawn(async move { upstream.read().await });
        tokio::task::yield_now().await;
        reader
    }

    async fn refresh(&self) -> Result<(), SharedError> {
        refresh(self.cache, || self.source()).await
    }

    fn fetches(&self) -> usize {
        self.fetched.lock().unwrap().len()
    }

    fn stats(&self) -> Stats {
        self.cache.stats(Origin(self.origin.load(Ordering::SeqCst)))
    }

    fn change_server(&self) {
        self.origin.fetch_add(1, Ordering::SeqCst);
    }
}

fn at_once(value: u32) -> Act {
    Act::Whole(value, Duration::ZERO)
}

fn half(value: u32) -> Act {
    Act::Part(value, FetchError::new("half is down"), Duration::ZERO)
}

fn failure() -> Act {
    Act::Fail(FetchError::new("down"), Duration::ZERO)
}

fn value(answered: &Answered) -> u32 {
    answered.as_ref().unwrap().stored.value
}

fn is_stale(answered: &Answered) -> bool {
    matches!(
        answered.as_ref().unwrap().freshness,
        Freshness::Stale { .. }
    )
}

fn error(answered: Answered) -> String {
    answered.unwrap_err().message.clone()
}

/// The answer, and that it came without waiting.
async fn at_once_from(upstream: &Upstream) -> Answered {
    let started = Instant::now();
    let answered = upstream.read().await;
    assert_eq!(started.elapsed(), Duration::ZERO, "nobody waits here");
    answered
}

#[tokio::test(start_paused = true)]
async fn a_value_is_fresh_while_its_age_is_below_the_ttl() {
    let upstream = Upstream::new(POLICY).will(at_once(1)).will(at_once(2));
    let first = upstream.read().await;
    assert_eq!(
        first.unwrap().freshness,
        Freshness::Fetched { shared: false }
    );
    advance(Duration::from_millis(4999)).await;
    let second = upstream.read().await.unwrap();
    assert_eq!(
        (second.stored.value, &second.freshness),
        (1, &Freshness::Fresh)
    );
    assert_eq!(second.age, Duration::from_millis(4999));
    assert_eq!(second.fresh_for, Duration::from_millis(1));
    advance(Duration::from_millis(1)).await;
    assert_eq!(
        value(&upstream.read().await),
        2,
        "at the TTL it is not fresh any more"
    );
    assert_eq!(upstream.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_ttl_of_zero_caches_nothing_but_shares_fetches() {
    let none = Policy {
        ttl: Duration::ZERO,
        ..POLICY
    };
    let upstream = Upstream::new(none)
        .will(Act::Whole(1, secs(1)))
        .will(at_once(2))
        .will(failure());
    let (a, b) = tokio::join!(upstream.read(), upstream.read());
    assert_eq!((value(&a), value(&b), upstream.fetches()), (1, 1, 1));
    assert_eq!(value(&upstream.read().await), 2);
    assert!(!upstream.stats().cached);
    assert_eq!(
        error(upstream.read().await),
        "down",
        "nothing is kept for bad times either"
    );
}

#[tokio::test(start_paused = true)]
async fn any_number_of_concurrent_misses_cause_one_fetch() {
    let upstream = Upstream::new(POLICY).will(Act::Whole(7, secs(1)));
    let mut readers = Vec::new();
    for _ in 0..1000 {
        readers.push(upstream.reader().await);
    }
    for reader in readers {
        assert_eq!(value(&reader.await.unwrap()), 7);
    }
    assert_eq!(upstream.fetches(), 1);
    let stats = upstream.stats();
    assert_eq!(
        (stats.hits, stats.misses, stats.shared_waits),
        (0, 1000, 999)
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_hangs_up_changes_nothing_for_the_others() {
    let upstream = Upstream::new(POLICY).will(Act::Whole(7, secs(1)));
    let first = upstream.reader().await;
    let second = upstream.reader().await;
    let third = upstream.reader().await;
    first.abort();
    second.abort();
    assert_eq!(value(&third.await.unwrap()), 7);

    let alone = Upstream::new(POLICY).will(Act::Whole(8, secs(1)));
    alone.reader().await.abort();
    advance(secs(2)).await;
    tokio::task::yield_now().await;
    assert_eq!(
        value(&at_once_from(&alone).await),
        8,
        "the fetch went on for nobody"
    );
    assert_eq!(alone.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_wakes_the_waiters_and_the_next_reader_tries_again() {
    let upstream = Upstream::new(POLICY).will(Act::Panic).will(at_once(1));
    let (first, second) = tokio::join!(upstream.read(), upstream.read());
    for answered in [first, second] {
        assert_eq!(error(answered), "Internal error while fetching");
    }
    assert_eq!(value(&upstream.read().await), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_never_ends_is_given_up() {
    let upstream = Upstream::new(POLICY).will(Act::Whole(1, secs(3600)));
    let started = Instant::now();
    assert_eq!(error(upstream.read().await), "The fetch took too long");
    assert!(
        started.elapsed() < secs(60),
        "before its request is given up"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fetch_overtaken_by_a_clear_answers_its_waiters_and_stores_nothing() {
    let upstream = Upstream::new(POLICY)
        .will(Act::Whole(1, secs(3)))
        .will(Act::Whole(2, secs(3)));
    let early = upstream.reader().await;
    advance(secs(1)).await;
    upstream.cache.clear();
    let late = upstream.reader().await;
    assert_eq!(
        upstream.fetches(),
        2,
        "whoever comes after the clear gets a new fetch"
    );
    assert_eq!(value(&early.await.unwrap()), 1);
    assert!(
        !upstream.stats().cached,
        "the overtaken fetch stored nothing"
    );
    assert_eq!(value(&late.await.unwrap()), 2);
    assert_eq!(value(&at_once_from(&upstream).await), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_overtaken_by_a_clear_leaves_no_back_off() {
    let upstream = Upstream::new(POLICY)
        .will(Act::Fail(FetchError::new("down"), secs(1)))
        .will(at_once(2));
    let early = upstream.reader().await;
    upstream.cache.clear();
    assert!(early.await.unwrap().is_err());
    assert_eq!(value(&upstream.read().await), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_overtaken_by_a_change_of_server_answers_nobody() {
    let upstream = Upstream::new(POLICY)
        .will(Act::Whole(1, secs(3)))
        .will(Act::Whole(2, secs(3)));
    let early = upstream.reader().await;
    advance(secs(1)).await;
    upstream.change_server();
    assert_eq!(
        value(&early.await.unwrap()),
        2,
        "its waiter went over to the new server"
    );
    assert_eq!(*upstream.fetched.lock().unwrap(), [1, 2]);
    assert_eq!(value(&at_once_from(&upstream).await), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_old_server_is_not_reported_for_the_new_one() {
    let upstream = Upstream::new(POLICY)
        .will(Act::Fail(FetchError::new("old server"), secs(3)))
        .will(at_once(2));
    let early = upstream.reader().await;
    upstream.change_server();
    assert_eq!(value(&early.await.unwrap()), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stored_value_is_never_served_for_another_server() {
    let upstream = Upstream::new(POLICY).will(at_once(1)).will(failure());
    upstream.read().await.unwrap();
    upstream.change_server();
    assert!(!upstream.stats().cached);
    assert_eq!(
        error(upstream.read().await),
        "down",
        "not even as a stale one"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_with_an_outdated_server_does_not_turn_the_cache_back() {
    let upstream = Upstream::new(POLICY).will(at_once(2));
    upstream.change_server();
    upstream.read().await.unwrap();
    // Looked the server up just before the change, and reads only now.
    let outdated = AtomicU64::new(1);
    let answered = read(upstream.cache, || {
        let origin = outdated.swap(2, Ordering::SeqCst);
        (Origin(origin), async move {
            panic!("nothing is fetched from server {origin}")
        })
    });
    assert_eq!(value(&answered.await), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_serves_the_old_value_with_its_age() {
    let upstream = Upstream::new(POLICY).will(at_once(1)).will(failure());
    upstream.read().await.unwrap();
    advance(secs(60)).await;
    let answered = upstream.read().await.unwrap();
    assert_eq!((answered.stored.value, answered.age), (1, secs(60)));
    let Freshness::Stale {
        error: Some(error), ..
    } = answered.freshness
    else {
        panic!("stale")
    };
    assert_eq!(error.message, "down");
    let stats = upstream.stats();
    assert_eq!((stats.stale_served, stats.fetch_errors), (1, 1));
    assert!(stats.cached && stats.stale);
}

#[tokio::test(start_paused = true)]
async fn an_old_value_is_served_up_to_the_limit_and_not_beyond() {
    let upstream = Upstream::new(POLICY)
        .will(at_once(1))
        .will(failure())
        .will(failure());
    upstream.read().await.unwrap();
    advance(secs(3600)).await;
    assert!(is_stale(&upstream.read().await));
    advance(Duration::from_millis(1)).await;
    assert_eq!(error(at_once_from(&upstream).await), "down");
    assert!(!upstream.stats().cached);
}

#[tokio::test(start_paused = true)]
async fn retries_are_spaced_and_nobody_waits_for_them() {
    let upstream = Upstream::new(POLICY).will(at_once(1)).will(failure());
    upstream.read().await.unwrap();
    advance(secs(5)).await;
    upstream.read().await.unwrap();
    for _ in 0..20 {
        upstream.then(Act::Fail(FetchError::new("down"), secs(10)));
    }
    // A client that asks ten times a second for a minute, each retry hanging for ten seconds.
    for _ in 0..600 {
        assert!(is_stale(&at_once_from(&upstream).await));
        advance(Duration::from_millis(100)).await;
    }
    let retries = upstream.fetches() - 2;
    assert!((3..=5).contains(&retries), "{retries} retries in a minute");
}

#[tokio::test(start_paused = true)]
async fn the_first_success_ends_the_trouble() {
    let upstream = Upstream::new(POLICY)
        .will(at_once(1))
        .will(failure())
        .will(at_once(2));
    upstream.read().await.unwrap();
    advance(secs(5)).await;
    assert!(is_stale(&upstream.read().await));
    advance(secs(1)).await;
    assert!(
        is_stale(&upstream.read().await),
        "this reader starts the retry"
    );
    tokio::task::yield_now().await;
    assert_eq!(value(&at_once_from(&upstream).await), 2);
    upstream.then(at_once(3));
    advance(secs(5)).await;
    let answered = upstream.read().await;
    assert_eq!(
        (value(&answered), is_stale(&answered)),
        (3, false),
        "waited for, as at first"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refresh_overtaken_by_a_change_of_server_is_made_again() {
    let upstream = Upstream::new(POLICY)
        .will(Act::Whole(1, secs(3)))
        .will(at_once(2));
    let refreshing = upstream.clone();
    let refreshed = tokio::spawn(async move { refreshing.refresh().await });
    tokio::task::yield_now().await;
    upstream.change_server();
    assert!(!upstream.stats().cached);
    refreshed.await.unwrap().unwrap();
    assert_eq!(*upstream.fetched.lock().unwrap(), [1, 2]);
    assert_eq!(value(&at_once_from(&upstream).await), 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_refresh_costs_the_first_reader_two_seconds_and_the_next_ones_nothing() {
    let upstream = Upstream::new(POLICY)
        .will(at_once(1))
        .will(Act::Whole(2, secs(9)));
    upstream.read().await.unwrap();
    advance(secs(5)).await;
    let started = Instant::now();
    let answered = upstream.read().await;
    assert_eq!((value(&answered), started.elapsed()), (1, secs(2)));
    assert!(matches!(
        answered.unwrap().freshness,
        Freshness::Stale { error: None, .. }
    ));
    assert!(is_stale(&at_once_from(&upstream).await));
    advance(secs(7)).await;
    tokio::task::yield_now().await;
    assert_eq!(
        value(&at_once_from(&upstream).await),
        2,
        "the refresh went on"
    );
    assert_eq!(upstream.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_any_value_the_remembered_error_is_answered_at_once() {
    let upstream = Upstream::new(POLICY)
        .will(Act::Fail(FetchError::new("down"), secs(10)))
        .will(Act::Fail(FetchError::new("still down"), secs(10)));
    assert_eq!(error(upstream.read().await), "down", "the one time-out");
    assert_eq!(error(at_once_from(&upstream).await), "down");
    assert_eq!(upstream.fetches(), 1);
    advance(secs(2)).await;
    let started = Instant::now();
    assert_eq!(
        error(upstream.read().await),
        "down",
        "a retry runs, but not on this reader's time"
    );
    assert_eq!(started.elapsed(), secs(2));
    assert_eq!(upstream.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed_until_it_is_forgiven() {
    let busy = FetchError {
        retry_after: Some(secs(120)),
        ..FetchError::new("busy")
    };
    let upstream = Upstream::new(POLICY)
        .will(Act::Fail(busy, Duration::ZERO))
        .will(at_once(1));
    assert_eq!(error(upstream.read().await), "busy");
    advance(secs(119)).await;
    assert_eq!(error(at_once_from(&upstream).await), "busy");
    upstream.cache.forgive();
    assert_eq!(value(&upstream.read().await), 1);
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_end_stale_answers_after_a_minute() {
    let upstream = Upstream::new(POLICY).will(at_once(1));
    upstream.read().await.unwrap();
    for _ in 0..9 {
        let refused = FetchError {
            refused: true,
            ..FetchError::new("Invalid Plex token")
        };
        upstream.then(Act::Fail(refused, Duration::ZERO));
    }
    advance(secs(5)).await;
    for _ in 0..60 {
        assert!(is_stale(&upstream.read().await));
        advance(secs(1)).await;
    }
    advance(secs(1)).await;
    assert_eq!(error(upstream.read().await), "Invalid Plex token");
}

#[tokio::test(start_paused = true)]
async fn a_later_failure_of_another_kind_does_not_bring_refused_data_back() {
    let upstream = Upstream::new(POLICY).will(at_once(1));
    upstream.read().await.unwrap();
    let refused = FetchError {
        refused: true,
        ..FetchError::new("Invalid Plex token")
    };
    upstream.then(Act::Fail(refused, Duration::ZERO));
    upstream.then(failure());
    advance(secs(5)).await;
    assert!(is_stale(&upstream.read().await));
    advance(secs(61)).await;
    upstream.read().await.unwrap_err();
    tokio::task::yield_now().await;
    assert_eq!(error(at_once_from(&upstream).await), "down");
}

#[tokio::test(start_paused = true)]
async fn a_part_is_answered_for_one_ttl_when_there_is_nothing_whole() {
    let upstream = Upstream::new(POLICY).will(half(1)).will(failure());
    assert_eq!(value(&upstream.read().await), 1);
    advance(secs(4)).await;
    let answered = at_once_from(&upstream).await;
    assert_eq!((value(&answered), is_stale(&answered)), (1, false));
    advance(secs(1)).await;
    assert!(
        is_stale(&at_once_from(&upstream).await),
        "while the next fetch runs"
    );
    tokio::task::yield_now().await;
    assert_eq!(
        error(at_once_from(&upstream).await),
        "down",
        "a part is no lasting fall-back"
    );
}

#[tokio::test(start_paused = true)]
async fn a_young_whole_value_wins_over_a_part_and_an_old_one_does_not() {
    let upstream = Upstream::new(POLICY)
        .will(at_once(1))
        .will(half(2))
        .will(half(3));
    upstream.read().await.unwrap();
    advance(secs(5)).await;
    let answered = upstream.read().await;
    assert_eq!((value(&answered), is_stale(&answered)), (1, true));
    advance(secs(4)).await;
    let Freshness::Stale { failing_for, error } = at_once_from(&upstream).await.unwrap().freshness
    else {
        panic!("stale")
    };
    assert_eq!(
        (failing_for, error.unwrap().message.as_str()),
        (secs(4), "half is down")
    );
    assert_eq!(
        upstream.fetches(),
        2,
        "parts are not fetched more often than the TTL says"
    );

    advance(secs(21)).await;
    let answered = at_once_from(&upstream).await;
    assert_eq!(
        (value(&answered), is_stale(&answered)),
        (2, true),
        "the whole is 30 s old"
    );
    tokio::task::yield_now().await;
    let answered = at_once_from(&upstream).await;
    assert_eq!(
        (value(&answered), is_stale(&answered)),
        (3, false),
        "the next half is in"
    );
}

#[tokio::test(start_paused = true)]
async fn when_all_fails_an_old_whole_value_is_better_than_a_part() {
    let upstream = Upstream::new(POLICY)
        .will(at_once(1))
        .will(half(2))
        .will(failure());
    upstream.read().await.unwrap();
    advance(secs(40)).await;
    assert_eq!(value(&upstream.read().await), 2);
    advance(secs(5)).await;
    assert_eq!(value(&at_once_from(&upstream).await), 2);
    tokio::task::yield_now().await;
    let answered = at_once_from(&upstream).await;
    assert_eq!((value(&answered), is_stale(&answered)), (1, true));
}

#[tokio::test(start_paused = true)]
async fn a_half_that_hangs_costs_one_wait_once() {
    let slow = || Act::Part(1, FetchError::new("half hangs"), secs(10));
    let upstream = Upstream::new(POLICY).will(slow());
    assert_eq!(value(&upstream.read().await), 1, "the one wait");
    for _ in 0..20 {
        upstream.then(slow());
    }
    for _ in 0..600 {
        assert_eq!(value(&at_once_from(&upstream).await), 1);
        advance(Duration::from_millis(100)).await;
    }
    let retries = upstream.fetches() - 1;
    assert!((2..=4).contains(&retries), "{retries} retries in a minute");
}

#[tokio::test(start_paused = true)]
async fn retry_after_of_one_half_is_obeyed() {
    let busy = FetchError {
        retry_after: Some(secs(60)),
        ..FetchError::new("busy")
    };
    let upstream = Upstream::new(POLICY)
        .will(Act::Part(1, busy, Duration::ZERO))
        .will(at_once(2));
    upstream.read().await.unwrap();
    advance(secs(59)).await;
    assert_eq!(value(&at_once_from(&upstream).await), 1);
    assert_eq!(upstream.fetches(), 1);
    advance(secs(1)).await;
    at_once_from(&upstream).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(value(&at_once_from(&upstream).await), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_a_cleared_fetch_that_fails_gets_what_has_come_in_since() {
    let upstream = Upstream::new(POLICY)
        .will(Act::Fail(FetchError::new("down"), secs(3)))
        .will(Act::Whole(2, secs(1)));
    let early = upstream.reader().await;
    upstream.cache.clear();
    assert_eq!(value(&upstream.read().await), 2);
    let answered = early.await.unwrap();
    assert_eq!((value(&answered), is_stale(&answered)), (2, false));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_fetches_anew_and_moves_neither_hits_nor_misses() {
    let upstream = Upstream::new(POLICY)
        .will(at_once(1))
        .will(at_once(2))
        .will(failure());
    upstream.refresh().await.unwrap();
    upstream.refresh().await.unwrap();
    assert_eq!(upstream.refresh().await.unwrap_err().message, "down");
    let stats = upstream.stats();
    assert_eq!((stats.hits, stats.misses, stats.shared_waits), (0, 0, 0));
    assert_eq!((stats.fetch_errors, upstream.fetches()), (1, 3));
    assert_eq!(
        value(&at_once_from(&upstream).await),
        2,
        "a failed refresh keeps the value"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refresh_joins_a_running_fetch() {
    let upstream = Upstream::new(POLICY).will(Act::Whole(1, secs(1)));
    let reader = upstream.reader().await;
    upstream.refresh().await.unwrap();
    assert_eq!(value(&reader.await.unwrap()), 1);
    assert_eq!(upstream.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn counters_count_and_a_clear_sets_them_to_zero() {
    let upstream = Upstream::new(POLICY).will(Act::Whole(1, Duration::from_millis(20)));
    upstream.read().await.unwrap();
    upstream.read().await.unwrap();
    upstream.read().await.unwrap();
    let stats = upstream.stats();
    assert_eq!((stats.hits, stats.misses), (2, 1));
    assert_eq!(stats.fetch_ms_avg, Some(20.0));
    assert_eq!(stats.age, Some(Duration::ZERO));
    upstream.cache.clear();
    assert_eq!(upstream.stats(), Stats::empty("test", POLICY.ttl));
}

#[tokio::test(start_paused = true)]
async fn the_policy_can_be_set_at_start() {
    let upstream = Upstream::new(POLICY).will(at_once(1));
    upstream.cache.configure(Policy {
        ttl: secs(60),
        ..POLICY
    });
    upstream.read().await.unwrap();
    advance(secs(59)).await;
    assert_eq!(value(&at_once_from(&upstream).await), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_made_from_a_value_gets_it_young_enough_or_not_at_all() {
    let upstream = Upstream::new(POLICY)
        .will(at_once(1))
        .will(at_once(2))
        .will(Act::Fail(FetchError::new("no"), secs(0)));
    let recent = async |oldest| recent(upstream.cache, oldest, || upstream.source()).await;
    assert_eq!(value(&recent(secs(3)).await), 1);
    advance(secs(3)).await;
    assert_eq!(value(&recent(secs(3)).await), 1);
    advance(secs(1)).await;
    assert_eq!(value(&recent(secs(3)).await), 2, "4 s are too old");
    advance(secs(4)).await;
    assert_eq!(recent(secs(3)).await.unwrap_err().message, "no");
    let stats = upstream.stats();
    assert_eq!((stats.hits, stats.misses), (0, 0), "it is no reader");
    assert_eq!(upstream.cache.last_read(), None);

    let quiet = FetchError {
        retry_after: Some(secs(600)),
        ..FetchError::new("later")
    };
    upstream.then(Act::Fail(quiet, secs(0)));
    for _ in 0..3 {
        assert_eq!(recent(secs(3)).await.unwrap_err().message, "later");
    }
    assert_eq!(upstream.fetches(), 4, "left alone, as it asked");
    upstream.cache.forgive();
    upstream.then(at_once(3));
    assert_eq!(value(&recent(secs(3)).await), 3);
}

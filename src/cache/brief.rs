//! [`Brief`]: answers of other services, shared for a moment by all who ask the same.
//!
//! Open tabs ask for the same things every few seconds. Whoever asks while the answer is on its way
//! waits for it, and for a moment afterwards gets it again. There is no name, no counter and no
//! second tier: what is kept here is too young to be worth any of it.

use std::collections::HashMap;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::{Instant, sleep_until, timeout};

/// For how long an answer is given again.
const FRESH: Duration = Duration::from_secs(2);
/// Who has an answer no older than this waits for a newer one …
const KEPT: Duration = Duration::from_secs(60);
/// … only so long.
const PATIENCE: Duration = Duration::from_secs(3);
/// What is larger, in bytes, is kept only while it is fresh.
const LARGE: usize = 1024 * 1024;
/// Questions that are remembered; one more costs the oldest.
const MOST: usize = 256;

type Flight<T, E> = Shared<BoxFuture<'static, Result<T, E>>>;

/// Answers by question.
pub(crate) struct Brief<K: 'static, T: 'static, E: 'static> {
    entries: LazyLock<Mutex<HashMap<K, Entry<T, E>>>>,
    worth: fn(&T) -> Option<usize>,
    lost: E,
}

/// An answer, when it came, and for how long it may stand in for a newer one.
struct Last<T, E> {
    at: Instant,
    kept: Duration,
    answer: Result<T, E>,
}

struct Entry<T, E> {
    /// What came last.
    last: Option<Last<T, E>>,
    /// What is on its way.
    flight: Option<Flight<T, E>>,
}

impl<K, T, E> Brief<K, T, E>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Knows nothing yet. `worth` tells how many bytes an answer has that may stand in for a newer one,
    /// `None` for one that is a failure in all but name; `lost` is the failure of a call that has
    /// panicked.
    pub(crate) const fn new(worth: fn(&T) -> Option<usize>, lost: E) -> Self {
        Self {
            entries: LazyLock::new(Mutex::default),
            worth,
            lost,
        }
    }

    /// The answer to `question`: one that is at most 2 s old, a failure included; else what `call`
    /// brings. While that takes longer than 3 s, a success of the last minute has to do.
    ///
    /// `call` has a deadline of its own, and goes on if nobody waits for it any more.
    ///
    /// # Errors
    /// Those of `call`.
    pub(crate) async fn get(
        &'static self,
        question: K,
        call: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E> {
        let (flight, older) = match self.look(&question, call) {
            Look::Known(answer) => return answer,
            Look::Wait { flight, older } => (flight, older),
        };
        match older {
            None => flight.await,
            Some(older) => timeout(PATIENCE, flight).await.unwrap_or(Ok(older)),
        }
    }

    /// Forgets every answer to questions that `concerned` names: something has been changed.
    pub(crate) fn forget(&self, concerned: impl Fn(&K) -> bool) {
        self.lock().retain(|question, _| !concerned(question));
    }

    fn look(
        &'static self,
        question: &K,
        call: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Look<T, E> {
        let now = Instant::now();
        let mut entries = self.lock();
        if let Some(entry) = entries.get(question) {
            if let Some(last) = &entry.last
                && now.duration_since(last.at) < FRESH
            {
                return Look::Known(last.answer.clone());
            }
            if let Some(flight) = &entry.flight {
                return Look::Wait {
                    flight: flight.clone(),
                    older: entry.older(now),
                };
            }
        }
        let lost = self.lost.clone();
        let call = AssertUnwindSafe(call).catch_unwind();
        let flight = call
            .map(|ended| ended.unwrap_or(Err(lost)))
            .boxed()
            .shared();
        if !entries.contains_key(question) {
            make_room(&mut entries);
        }
        let entry = entries.entry(question.clone()).or_default();
        entry.flight = Some(flight.clone());
        let older = entry.older(now);
        drop(entries);
        tokio::spawn(self.follow(question.clone(), flight.clone()));
        Look::Wait { flight, older }
    }

    /// Sees to it that `flight` ends whoever waits for it, and that its answer is forgotten.
    async fn follow(&'static self, question: K, flight: Flight<T, E>) {
        let Some((at, kept)) = self.land(&question, flight).await else {
            return;
        };
        sleep_until(at + kept).await;
        let mut entries = self.lock();
        if entries
            .get(&question)
            .is_some_and(|entry| entry.ends_at(at))
        {
            entries.remove(&question);
        }
    }

    /// Keeps the answer, unless it was forgotten while it was on its way: since when, and for how
    /// long.
    async fn land(&self, question: &K, flight: Flight<T, E>) -> Option<(Instant, Duration)> {
        let answer = flight.clone().await;
        let at = Instant::now();
        let bytes = answer.as_ref().ok().and_then(self.worth);
        let is_kept = bytes.is_some_and(|bytes| bytes <= LARGE);
        let kept = if is_kept { KEPT } else { FRESH };
        let mut entries = self.lock();
        let entry = entries.get_mut(question)?;
        if !entry.awaits(&flight) {
            return None;
        }
        *entry = Entry {
            last: Some(Last { at, kept, answer }),
            flight: None,
        };
        drop(entries);
        Some((at, kept))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Entry<T, E>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, T, E> std::fmt::Debug for Brief<K, T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Brief")
    }
}

enum Look<T, E> {
    Known(Result<T, E>),
    Wait {
        flight: Flight<T, E>,
        older: Option<T>,
    },
}

impl<T, E> Default for Entry<T, E> {
    fn default() -> Self {
        Self {
            last: None,
            flight: None,
        }
    }
}

impl<T: Clone, E> Entry<T, E> {
    fn older(&self, now: Instant) -> Option<T> {
        let last = self.last.as_ref()?;
        let answer = last.answer.as_ref().ok()?;
        (now.duration_since(last.at) < last.kept).then(|| answer.clone())
    }

    fn awaits(&self, flight: &Flight<T, E>) -> bool {
        self.flight.as_ref().is_some_and(|own| own.ptr_eq(flight))
    }

    /// Whether nothing has come, or is on its way, since the answer of that moment.
    fn ends_at(&self, at: Instant) -> bool {
        let is_last = self.last.as_ref().is_some_and(|last| last.at == at);
        is_last && self.flight.is_none()
    }
}

/// Takes away the oldest, one that is on its way if there are only such: it goes on for those who
/// wait for it.
fn make_room<K: Clone + Eq + Hash, T, E>(entries: &mut HashMap<K, Entry<T, E>>) {
    if entries.len() < MOST {
        return;
    }
    let age = |entry: &Entry<T, E>| {
        (
            entry.flight.is_some(),
            entry.last.as_ref().map(|last| last.at),
        )
    };
    let oldest = entries.iter().min_by_key(|(_, entry)| age(entry));
    if let Some(question) = oldest.map(|(question, _)| question.clone()) {
        entries.remove(&question);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    type Numbers = Brief<&'static str, u32, &'static str>;

    /// A call that takes so long, and answers with how many there have been.
    async fn call(calls: &AtomicU32, takes: Duration) -> Result<u32, &'static str> {
        let number = calls.fetch_add(1, Ordering::Relaxed) + 1;
        sleep(takes).await;
        Ok(number)
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_ask_within_two_seconds_share_one_call() {
        static NUMBERS: Numbers = Brief::new(|_| Some(8), "lost");
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let ask = || NUMBERS.get("x", call(&CALLS, Duration::from_secs(1)));
        let all = join_all([ask(), ask(), ask()]).await;
        assert_eq!(all, [Ok(1); 3]);
        sleep(Duration::from_millis(1900)).await;
        assert_eq!(ask().await, Ok(1));
        sleep(Duration::from_millis(200)).await;
        assert_eq!(ask().await, Ok(2));
        assert_eq!(
            NUMBERS.get("y", call(&CALLS, Duration::ZERO)).await,
            Ok(3),
            "another question"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_goes_on_without_those_who_asked() {
        static NUMBERS: Numbers = Brief::new(|_| Some(8), "lost");
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let ask = || NUMBERS.get("x", call(&CALLS, Duration::from_secs(5)));
        assert!(timeout(Duration::from_secs(1), ask()).await.is_err());
        sleep(Duration::from_secs(5)).await;
        assert_eq!(ask().await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_call_is_not_waited_for_while_there_is_an_answer_of_the_last_minute() {
        static NUMBERS: Numbers = Brief::new(|_| Some(8), "lost");
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let ask = |takes| NUMBERS.get("x", call(&CALLS, Duration::from_secs(takes)));
        assert_eq!(ask(0).await, Ok(1));
        sleep(Duration::from_secs(5)).await;
        let asked = Instant::now();
        assert_eq!(ask(20).await, Ok(1));
        assert_eq!(asked.elapsed(), PATIENCE);
        sleep(Duration::from_secs(18)).await;
        assert_eq!(ask(20).await, Ok(2), "it has come since");
        sleep(KEPT + Duration::from_secs(1)).await;
        assert_eq!(ask(20).await, Ok(3), "too old to do");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_to_all_but_does_not_pass_for_an_older_answer() {
        static NUMBERS: Numbers = Brief::new(|_| Some(8), "lost");
        let fail = async || {
            sleep(Duration::from_millis(1)).await;
            Err("down")
        };
        assert_eq!(NUMBERS.get("x", fail()).await, Err("down"));
        assert_eq!(NUMBERS.get("x", async { Ok(1) }).await, Err("down"));
        sleep(FRESH).await;
        let slow = async {
            sleep(Duration::from_secs(10)).await;
            Ok(2)
        };
        assert_eq!(NUMBERS.get("x", slow).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_no_success_does_not_stand_in_for_a_newer_one() {
        static NUMBERS: Numbers = Brief::new(|number| (*number != 500).then_some(8), "lost");
        assert_eq!(NUMBERS.get("x", async { Ok(500) }).await, Ok(500));
        sleep(FRESH).await;
        let slow = async {
            sleep(Duration::from_secs(10)).await;
            Ok(2)
        };
        assert_eq!(NUMBERS.get("x", slow).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_forgotten_is_asked_anew_even_while_it_is_asked() {
        static NUMBERS: Numbers = Brief::new(|_| Some(8), "lost");
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let ask = || NUMBERS.get("x", call(&CALLS, Duration::from_secs(1)));
        let mut before = Box::pin(ask());
        assert!(
            timeout(Duration::from_millis(1), &mut before)
                .await
                .is_err()
        );
        NUMBERS.forget(|question| *question == "x");
        assert_eq!(ask().await, Ok(2));
        assert_eq!(before.await, Ok(1));
        assert_eq!(ask().await, Ok(2), "the overtaken answer is not kept");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_panics_has_failed_and_nothing_stays_for_ever() {
        static NUMBERS: Numbers = Brief::new(|_| Some(8), "lost");
        let panics = async {
            sleep(Duration::from_millis(1)).await;
            panic!("of the test")
        };
        assert_eq!(NUMBERS.get("x", panics).await, Err("lost"));
        sleep(FRESH).await;
        assert_eq!(NUMBERS.get("x", async { Ok(1) }).await, Ok(1));
        sleep(KEPT + FRESH).await;
        assert!(NUMBERS.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_question_too_many_costs_the_oldest() {
        static NUMBERS: Brief<usize, u32, &str> = Brief::new(|_| Some(8), "lost");
        for question in 0..=MOST {
            assert_eq!(NUMBERS.get(question, async { Ok(7) }).await, Ok(7));
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(NUMBERS.lock().len(), MOST);
        assert_eq!(NUMBERS.get(MOST, async { Ok(8) }).await, Ok(7));
        assert_eq!(NUMBERS.get(0, async { Ok(8) }).await, Ok(8));
    }

    #[tokio::test(start_paused = true)]
    async fn of_each_question_one_answer_is_in_memory_and_a_large_one_not_for_long() {
        static BODIES: Brief<&str, Arc<[u8]>, &str> = Brief::new(|body| Some(body.len()), "lost");
        for (length, seconds) in [(10, KEPT), (LARGE + 1, FRESH)] {
            let old: Arc<[u8]> = vec![0; length].into();
            let new = Arc::clone(&old);
            BODIES.get("x", async move { Ok(new) }).await.unwrap();
            sleep(seconds.saturating_sub(Duration::from_millis(100))).await;
            assert_eq!(Arc::strong_count(&old), 2);
            sleep(Duration::from_millis(200)).await;
            assert_eq!(Arc::strong_count(&old), 1);
        }
        let old: Arc<[u8]> = vec![0; 10].into();
        let new = Arc::clone(&old);
        BODIES.get("x", async move { Ok(new) }).await.unwrap();
        sleep(FRESH).await;
        BODIES.get("x", async { Ok([1].into()) }).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        assert_eq!(Arc::strong_count(&old), 1, "a newer one has come");
    }
}

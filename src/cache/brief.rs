//! [`Brief`]: answers of other services, shared for a moment by all who ask the same.
//!
//! Open tabs ask for the same things every few seconds. Whoever asks while the answer is on its way
//! waits for it, and for a moment afterwards gets it again. There is no name, no counter and no
//! second tier: what is kept here is too young to be worth any of it.

use std::collections::HashMap;
use std::hash::Hash;
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
/// Questions that are remembered; further ones are asked and forgotten.
const MOST: usize = 256;

type Flight<T, E> = Shared<BoxFuture<'static, Result<T, E>>>;

/// Answers by question.
pub(crate) struct Brief<K: 'static, T: 'static, E: 'static> {
    entries: LazyLock<Mutex<HashMap<K, Entry<T, E>>>>,
}

struct Entry<T, E> {
    /// What came last, and when.
    last: Option<(Instant, Result<T, E>)>,
    /// What is on its way.
    flight: Option<Flight<T, E>>,
}

impl<K, T, E> Brief<K, T, E>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Knows nothing yet.
    pub(crate) const fn new() -> Self {
        Self {
            entries: LazyLock::new(Mutex::default),
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
            if let Some((at, answer)) = &entry.last
                && now.duration_since(*at) < FRESH
            {
                return Look::Known(answer.clone());
            }
            if let Some(flight) = &entry.flight {
                return Look::Wait {
                    flight: flight.clone(),
                    older: entry.older(now),
                };
            }
        }
        let flight = call.boxed().shared();
        let is_known = entries.contains_key(question);
        if is_known || entries.len() < MOST {
            let entry = entries.entry(question.clone()).or_default();
            entry.flight = Some(flight.clone());
        }
        let older = entries.get(question).and_then(|entry| entry.older(now));
        drop(entries);
        tokio::spawn(self.follow(question.clone(), flight.clone()));
        Look::Wait { flight, older }
    }

    /// Sees to it that `flight` ends whoever waits for it, and that its answer is forgotten.
    async fn follow(&'static self, question: K, flight: Flight<T, E>) {
        let landing = Landing {
            all: self,
            question: &question,
            flight: &flight,
        };
        let answer = flight.clone().await;
        let at = Instant::now();
        if let Some(entry) = self.lock().get_mut(&question).filter(|e| e.awaits(&flight)) {
            entry.last = Some((at, answer));
        }
        drop(landing);
        sleep_until(at + KEPT).await;
        let mut entries = self.lock();
        let is_last = |entry: &Entry<T, E>| entry.last.as_ref().is_some_and(|last| last.0 == at);
        if entries
            .get(&question)
            .is_some_and(|e| is_last(e) && e.flight.is_none())
        {
            entries.remove(&question);
        }
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
        let (at, answer) = self.last.as_ref()?;
        let answer = answer.as_ref().ok()?;
        (now.duration_since(*at) < KEPT).then(|| answer.clone())
    }

    fn awaits(&self, flight: &Flight<T, E>) -> bool {
        self.flight.as_ref().is_some_and(|own| own.ptr_eq(flight))
    }
}

/// Makes room for the next flight, also if this one panics.
struct Landing<'a, K, T, E>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    all: &'static Brief<K, T, E>,
    question: &'a K,
    flight: &'a Flight<T, E>,
}

impl<K, T, E> Drop for Landing<'_, K, T, E>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        let mut entries = self.all.lock();
        if let Some(entry) = entries.get_mut(self.question)
            && entry.awaits(self.flight)
        {
            entry.flight = None;
            if entry.last.is_none() {
                entries.remove(self.question);
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
        static NUMBERS: Numbers = Brief::new();
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
        static NUMBERS: Numbers = Brief::new();
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let ask = || NUMBERS.get("x", call(&CALLS, Duration::from_secs(5)));
        assert!(timeout(Duration::from_secs(1), ask()).await.is_err());
        sleep(Duration::from_secs(5)).await;
        assert_eq!(ask().await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_call_is_not_waited_for_while_there_is_an_answer_of_the_last_minute() {
        static NUMBERS: Numbers = Brief::new();
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
        static NUMBERS: Numbers = Brief::new();
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
    async fn what_is_forgotten_is_asked_anew_even_while_it_is_asked() {
        static NUMBERS: Numbers = Brief::new();
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
    async fn a_call_that_panics_makes_room_and_nothing_stays_for_ever() {
        static NUMBERS: Numbers = Brief::new();
        let panics = async {
            sleep(Duration::from_millis(1)).await;
            panic!("of the test")
        };
        let asked = tokio::spawn(NUMBERS.get("x", panics));
        assert!(asked.await.is_err());
        assert_eq!(NUMBERS.get("x", async { Ok(1) }).await, Ok(1));
        sleep(KEPT + FRESH).await;
        assert!(NUMBERS.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_a_bound_beyond_which_nothing_is_kept() {
        static NUMBERS: Brief<usize, u32, &str> = Brief::new();
        for question in 0..MOST + 10 {
            assert_eq!(NUMBERS.get(question, async { Ok(7) }).await, Ok(7));
        }
        assert_eq!(NUMBERS.lock().len(), MOST);
        assert_eq!(NUMBERS.get(MOST + 9, async { Ok(8) }).await, Ok(8));
    }
}

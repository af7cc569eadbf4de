//! Background loops: started by name, kept alive, stopped together.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// All background loops of one server.
#[derive(Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// No loops yet; `stop` ends those to come.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop,
        }
    }

    /// Runs `step` every `period`, first after one period ([`Self::every_from_now`]: at once). A
    /// step that fails or panics is logged and the loop goes on; one that takes longer than the
    /// period delays the next, so that two never run at once.
    pub fn every<F, E>(
        &self,
        name: &'static str,
        period: Duration,
        step: impl FnMut() -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), E>> + Send,
        E: std::fmt::Display,
    {
        self.repeat(name, Instant::now() + period, period, step);
    }

    /// As [`Self::every`], but the first step is taken at once.
    pub fn every_from_now<F, E>(
        &self,
        name: &'static str,
        period: Duration,
        step: impl FnMut() -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), E>> + Send,
        E: std::fmt::Display,
    {
        self.repeat(name, Instant::now(), period, step);
    }

    /// As [`Self::every`], but the first step is taken after `first`.
    pub fn every_after<F, E>(
        &self,
        name: &'static str,
        first: Duration,
        period: Duration,
        step: impl FnMut() -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), E>> + Send,
        E: std::fmt::Display,
    {
        self.repeat(name, Instant::now() + first, period, step);
    }

    fn repeat<F, E>(
        &self,
        name: &'static str,
        first: Instant,
        period: Duration,
        mut step: impl FnMut() -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), E>> + Send,
        E: std::fmt::Display,
    {
        let stopped = self.stop.clone();
        self.tracker.spawn(async move {
            let mut ticks = interval_at(first, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    () = stopped.cancelled() => break,
                    _ = ticks.tick() => {}
                }
                let step = AssertUnwindSafe(async { step().await }).catch_unwind();
                let ended = tokio::select! {
                    biased;
                    () = stopped.cancelled() => break,
                    ended = step => ended,
                };
                match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::error!("{name}: {error}"),
                    Err(_panic) => tracing::error!("{name}: a step panicked"),
                }
            }
            tracing::debug!("{name}: stopped");
        });
    }

    /// Runs a loop that keeps its own time. It must end soon after its token is cancelled; a panic
    /// ends it, which is logged.
    pub fn run<F>(&self, name: &'static str, work: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work = AssertUnwindSafe(work(self.stop.clone())).catch_unwind();
        self.tracker.spawn(async move {
            match work.await {
                Ok(()) => tracing::debug!("{name}: stopped"),
                Err(_panic) => tracing::error!("{name}: panicked"),
            }
        });
    }

    /// Ends all loops and waits for them, `grace` at most.
    pub async fn stop(self, grace: Duration) {
        self.stop.cancel();
        self.tracker.close();
        if timeout(grace, self.tracker.wait()).await.is_err() {
            tracing::warn!(
                "{} background tasks did not stop in time",
                self.tracker.len()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_survives_errors_and_panics_and_stops() {
        let tasks = Tasks::new(CancellationToken::new());
        let steps = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&steps);
        tasks.every("test", Duration::from_secs(2), move || {
            let step = counted.fetch_add(1, Ordering::Relaxed);
            async move {
                assert_ne!(step, 1, "the second step panics");
                if step == 0 {
                    Err("the first step fails")
                } else {
                    Ok(())
                }
            }
        });
        tokio::time::sleep(Duration::from_millis(9_000)).await;
        assert_eq!(steps.load(Ordering::Relaxed), 4, "at 2, 4, 6 and 8 s");
        tasks.stop(Duration::from_secs(1)).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(steps.load(Ordering::Relaxed), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_may_begin_at_once() {
        let tasks = Tasks::new(CancellationToken::new());
        let steps = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&steps);
        tasks.every_from_now("test", Duration::from_secs(60), move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok::<(), &str>(()) }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(steps.load(Ordering::Relaxed), 1);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(steps.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_of_its_own_making_is_told_to_stop_and_waited_for() {
        let tasks = Tasks::new(CancellationToken::new());
        let ended = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&ended);
        tasks.run("test", |stop| async move {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            counted.fetch_add(1, Ordering::Relaxed);
        });
        tasks.run("broken", |_stop| async { panic!("as it may happen") });
        tasks.stop(Duration::from_secs(1)).await;
        assert_eq!(ended.load(Ordering::Relaxed), 1);
    }
}

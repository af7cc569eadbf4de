//! Telegram: messages to people.
//!
//! Whoever has something to tell puts it into a queue and goes on; one task sends what is in there,
//! one message after the other.

mod call;
mod notifications;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::call::{Failure, send};
use crate::app::AppState;
use crate::tasks::Tasks;

pub(super) use notifications::router;

/// Messages that wait. More than that is an outage of everything, of which the newest news counts.
const MOST_WAITING: usize = 256;
/// How often a message is tried.
const TRIES: u32 = 3;
/// Before the second try; twice as long before the third. As much again may come by chance.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that Telegram can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// From the stop of the server to the end of all trying. Less than what background tasks get.
const LAST_CHANCE: Duration = Duration::from_millis(1800);

/// Messages that wait to be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<String>,
    /// How many were given up for want of room since one was last taken out.
    given_up: usize,
}

impl Outbox {
    /// Has `html` sent to the chat of the settings, soon; waits for nothing. Does nothing where
    /// messages are switched off.
    pub fn tell(&self, html: String) {
        let mut waiting = self.lock();
        if waiting.messages.len() == MOST_WAITING {
            waiting.messages.pop_front();
            waiting.given_up += 1;
            if waiting.given_up == 1 {
                tracing::warn!(
                    "{MOST_WAITING} Telegram messages are waiting: the oldest are given up"
                );
            }
        }
        waiting.messages.push_back(html);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// The message that has waited longest. Waits for one; `None` when there is none at the stop.
    async fn next(&self, stop: &CancellationToken) -> Option<String> {
        loop {
            if let Some(message) = self.take() {
                return Some(message);
            }
            tokio::select! {
                biased;
                () = self.arrived.notified() => {}
                () = stop.cancelled() => return self.take(),
            }
        }
    }

    fn take(&self) -> Option<String> {
        let mut waiting = self.lock();
        let message = waiting.messages.pop_front();
        let given_up = std::mem::take(&mut waiting.given_up);
        drop(waiting);
        if given_up > 0 {
            tracing::warn!("{given_up} Telegram messages were given up");
        }
        message
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what is in [`Outbox`], until the stop.
pub fn start_sending(app: &AppState, tasks: &Tasks) {
    let app = app.clone();
    tasks.run("Telegram", move |stop| async move {
        let last_chance = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_CHANCE).await;
        };
        let sending = async {
            while let Some(message) = app.telegram.next(&stop).await {
                deliver(&app, &message, &stop).await;
            }
        };
        tokio::select! {
            () = sending => {}
            () = last_chance => {
                let unsent = app.telegram.lock().messages.len() + 1;
                tracing::warn!("Telegram messages that were not sent before the stop: {unsent}");
            }
        }
    });
}

/// Tries a message until it is sent, refused for good, or tried often enough. After `stop` there
/// are no pauses.
async fn deliver(app: &AppState, html: &str, stop: &CancellationToken) {
    for attempt in 1..=TRIES {
        // Those of this moment: somebody may have switched it off, or put it right.
        let settings = app.settings.current();
        let telegram = &settings.integrations.telegram;
        if !telegram.is_active() {
            tracing::debug!("A Telegram message is dropped: they are switched off");
            return;
        }
        match send(&app.outside, telegram, html).await {
            Ok(()) => {
                tracing::info!("Telegram notification sent successfully");
                return;
            }
            Err(failure) if attempt == TRIES || failure.is_final() => {
                tracing::error!("{failure}");
                return;
            }
            Err(failure) => {
                let pause = pause(attempt, &failure, rand::random());
                tracing::warn!("{failure}; trying again in {:.1} s", pause.as_secs_f64());
                // Whether it was the stop that ended it does not matter.
                let _ = tokio::time::timeout(pause, stop.cancelled()).await;
            }
        }
    }
}

/// How long to wait after the try of this number, with `chance` in 0..1.
fn pause(attempt: u32, failure: &Failure, chance: f64) -> Duration {
    let own = PAUSE * 2_u32.saturating_pow(attempt.saturating_sub(1));
    let own = own.mul_f64(1.0 + chance);
    let asked = failure.retry_after().unwrap_or_default();
    own.max(asked).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{Options, Simulator};
    use crate::settings::Environment;

    #[test]
    fn pauses_double_and_telegram_may_ask_for_more() {
        let down = Failure::refused(500, None);
        assert_eq!(pause(1, &down, 0.0), Duration::from_secs(1));
        assert_eq!(pause(2, &down, 0.5), Duration::from_secs(3));
        let asked = |seconds| Failure::refused(429, Some(Duration::from_secs(seconds)));
        assert_eq!(pause(1, &asked(20), 1.0), Duration::from_secs(20));
        assert_eq!(pause(1, &asked(86_400), 0.0), LONGEST_PAUSE);
    }

    #[tokio::test]
    async fn the_oldest_message_goes_when_too_many_wait() {
        let outbox = Outbox::default();
        for number in 0..MOST_WAITING + 3 {
            outbox.tell(number.to_string());
        }
        let stop = CancellationToken::new();
        assert_eq!(outbox.next(&stop).await.as_deref(), Some("3"));
        assert_eq!(outbox.lock().given_up, 0);
        let mut last = None;
        stop.cancel();
        while let Some(message) = outbox.next(&stop).await {
            last = Some(message);
        }
        assert_eq!(last, Some((MOST_WAITING + 2).to_string()));
    }

    #[tokio::test]
    async fn who_waits_is_told_of_a_message_and_of_the_stop() {
        let outbox = Outbox::default();
        let stop = CancellationToken::new();
        let (got, ()) = tokio::join!(outbox.next(&stop), async { outbox.tell("a".to_owned()) });
        assert_eq!(got.as_deref(), Some("a"));
        let (got, ()) = tokio::join!(outbox.next(&stop), async { stop.cancel() });
        assert_eq!(got, None);
    }

    /// A server's parts that talk to the Telegram of `simulator`, and the directory they live in.
    async fn talking_to(simulator: &Simulator) -> (AppState, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let url = simulator.telegram_url();
        let env = Environment::from_pairs([("TELEGRAM_API_URL", url.as_str())]);
        let config =
            r#"{"notifications":{"telegram":{"enabled":true,"bot_token":"1:a","chat_id":"7"}}}"#;
        std::fs::write(directory.path().join("config.json"), config).unwrap();
        let app = AppState::for_test(directory.path(), env).await;
        (app, directory)
    }

    #[tokio::test]
    async fn a_stop_sends_what_waits_and_skips_the_pauses() {
        let simulator = Simulator::start(Options::default()).await.unwrap();
        let (app, _directory) = talking_to(&simulator).await;
        // With their pauses, the tries would take longer than the last chance lasts.
        simulator.refuse_messages(2, 500, None);
        let tasks = Tasks::new(CancellationToken::new());
        start_sending(&app, &tasks);
        for text in ["first", "second"] {
            app.telegram.tell(text.to_owned());
        }
        tasks.stop(Duration::from_secs(2)).await;
        let texts: Vec<_> = simulator.messages().into_iter().map(|m| m.text).collect();
        assert_eq!(texts, ["first", "second"]);
    }

    const SEND: &str = "/telegram/bot1:a/sendMessage";

    #[tokio::test]
    async fn what_passes_is_tried_three_times_and_what_does_not_once() {
        let simulator = Simulator::start(Options::default()).await.unwrap();
        let (app, _directory) = talking_to(&simulator).await;
        let stop = CancellationToken::new();
        simulator.refuse_messages(1, 401, None);
        deliver(&app, "refused", &stop).await;
        assert_eq!((simulator.calls(SEND), simulator.messages().len()), (1, 0));
        simulator.refuse_messages(1, 429, Some(2));
        let started = tokio::time::Instant::now();
        deliver(&app, "late", &stop).await;
        assert!(started.elapsed() >= Duration::from_secs(2), "as asked");
        assert_eq!((simulator.calls(SEND), simulator.messages().len()), (3, 1));
        stop.cancel();
        simulator.refuse_messages(9, 500, None);
        deliver(&app, "given up", &stop).await;
        assert_eq!((simulator.calls(SEND), simulator.messages().len()), (6, 1));
    }

    #[tokio::test]
    async fn what_waits_is_dropped_when_messages_are_switched_off() {
        let simulator = Simulator::start(Options::default()).await.unwrap();
        let (app, _directory) = talking_to(&simulator).await;
        let stop = CancellationToken::new();
        simulator.refuse_messages(1, 500, None);
        let off = async {
            while simulator.calls(SEND) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let change = |section: &mut serde_json::Map<String, serde_json::Value>| {
                section.insert("telegram".to_owned(), serde_json::json!({"enabled": false}));
            };
            app.settings.save_section("notifications", change).await
        };
        let ((), saved) = tokio::join!(deliver(&app, "too late", &stop), off);
        saved.unwrap();
        assert_eq!(simulator.calls(SEND), 1);
    }

    #[tokio::test]
    async fn a_telegram_that_hangs_does_not_hold_up_the_stop() {
        let simulator = Simulator::start(Options::default()).await.unwrap();
        let (app, _directory) = talking_to(&simulator).await;
        simulator.set_fault(SEND, crate::demo::Fault::Hang);
        let tasks = Tasks::new(CancellationToken::new());
        start_sending(&app, &tasks);
        app.telegram.tell("lost".to_owned());
        let stopping =
            tokio::time::timeout(Duration::from_secs(10), tasks.stop(Duration::from_secs(9)));
        let started = tokio::time::Instant::now();
        stopping.await.unwrap();
        let took = started.elapsed();
        assert!((LAST_CHANCE..LAST_CHANCE * 3).contains(&took), "{took:?}");
    }
}

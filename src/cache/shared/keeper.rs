//! The task that keeps the connection: connects, listens, probes, and tries again.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use chrono::Utc;
use futures_util::{FutureExt as _, StreamExt as _};
use redis::aio::{PubSub, PubSubSink, PubSubStream};
use redis::{Msg, Value};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::Shared;
use super::generation::{self, Channels, Generation, Heard};
use super::link::{self, Commands};
use super::rights;
use super::state::Link;
use super::trouble::Trouble;
use crate::settings::RedisSettings;
use crate::tasks::Tasks;

/// An attempt to connect is given up after this time.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(2);
/// Time between two attempts, doubled from the first to the last of these: after a recovery
/// nobody does without Redis for long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A connection that lasted for less is no recovery yet: attempts stay rare.
const LASTING: Duration = Duration::from_secs(10);
/// Time between two looks at a connection that works.
const PROBE: Duration = Duration::from_secs(1);
/// A probe without an answer for so long: the connection is of no use.
const LONGEST_PROBE: Duration = Duration::from_secs(1);

/// A message may come so much later than the answer to a probe that saw its effect.
const LATE: Duration = Duration::from_millis(50);

/// What a connection works with until it breaks.
struct Session {
    link: Link,
    ping: PubSubSink,
    messages: PubSubStream,
}

/// Connects for commands and for messages, and does once what will be done.
///
/// # Errors
/// Redis can't be used.
pub(super) async fn open(
    settings: &RedisSettings,
    channels: &Channels,
) -> Result<(Commands, PubSub), Trouble> {
    let (commands, mut messages) = link::connect(&settings.place).await?;
    messages
        .subscribe(&[&*channels.ended, &channels.published, &channels.invalidated])
        .await?;
    // As patient as requests will be: a Redis that is too slow for them is not put to use.
    generation::look(&commands, settings.timeout).await?;
    rights::rehearse(&commands, channels, settings.timeout).await?;
    Ok((commands, messages))
}

impl Shared {
    /// Connects and stays connected, and calls `heard` for what other instances do. Does
    /// nothing if Redis is not wanted.
    pub fn keep(&self, tasks: &Tasks, heard: impl Fn(Heard) + Send + Sync + 'static) {
        if self.0.settings.enabled {
            let shared = self.clone();
            tasks.run("Redis", |stop| async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = shared.stay_connected(&heard) => {}
                }
            });
        }
    }

    async fn stay_connected(&self, heard: &(impl Fn(Heard) + Sync)) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let session = AssertUnwindSafe(self.session(heard)).catch_unwind();
            let trouble = session.await.unwrap_or_else(|_panic| {
                tracing::error!("Redis: the keeper of the connection panicked");
                Trouble::Protocol
            });
            self.report_down(trouble);
            if began.elapsed() >= LASTING {
                pause = FIRST_PAUSE;
            }
            sleep(pause.mul_f64(0.75 + rand::random::<f64>() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// From an attempt to connect to the end of the connection; returns why it ended.
    async fn session(&self, heard: &(impl Fn(Heard) + Sync)) -> Trouble {
        let attempt = timeout(LONGEST_ATTEMPT, self.connect(heard)).await;
        match attempt.map_err(Trouble::from).flatten() {
            Ok(session) => {
                let link = session.link.clone();
                let trouble = self.listen(session, heard).await;
                self.fail(&link, trouble);
                trouble
            }
            Err(trouble) => trouble,
        }
    }

    /// Connects; from then on nothing goes unheard. What may have been missed until then is
    /// reported as expired.
    async fn connect(&self, heard: &(impl Fn(Heard) + Sync)) -> Result<Session, Trouble> {
        let settings = &self.0.settings;
        let (commands, messages) = open(settings, &self.0.channels).await?;
        let (link, down_since) = loop {
            let mut now = generation::look(&commands, settings.timeout).await?;
            let (before, missed) = {
                let state = self.state();
                let missed = state.missed || state.may_have_missed(&now);
                (state.generation.clone(), missed)
            };
            if missed {
                heard(Heard::Expired);
            }
            now = self.pay(&commands).await?.unwrap_or(now);
            let orphans = std::mem::take(&mut self.state().orphans);
            self.release_all(&commands, &orphans).await;
            let mut state = self.state();
            // Requests of before may just have found that they could not say something.
            if state.owed == 0 && state.orphans.is_empty() && state.generation == before {
                state.generation = Some(now);
                state.missed = false;
                break state.connected(commands);
            }
        };
        self.0.settled.notify_waiters();
        match down_since {
            None => tracing::info!("Redis cache initialized: {}", settings.place),
            Some(since) => {
                let seconds = (Utc::now() - since).num_seconds();
                tracing::info!("Redis is back after {seconds} s: {}", settings.place);
            }
        }
        let (ping, messages) = messages.split();
        Ok(Session {
            link,
            ping,
            messages,
        })
    }

    /// Makes good what was invalidated while nobody could be told; returns what is in force since.
    async fn pay(&self, commands: &Commands) -> Result<Option<Generation>, Trouble> {
        let owed = self.state().owed;
        if owed == 0 {
            return Ok(None);
        }
        let now = self.tell_all(commands, &Heard::Expired).await?;
        // Only now: this task may be given up at any time.
        self.state().owed -= owed;
        Ok(Some(now))
    }

    /// Listens until the connection is of no use any more; returns why.
    async fn listen(&self, mut session: Session, heard: &(impl Fn(Heard) + Sync)) -> Trouble {
        let mut probes = interval(PROBE);
        probes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                message = session.messages.next() => match message {
                    Some(message) => self.hear(&message, heard),
                    None => return Trouble::Lost,
                },
                // A request has found out first.
                () = self.0.failed.notified() => {}
                _ = probes.tick() => {
                    let probe = self.probe(&mut session, heard).await;
                    if let Err(trouble) = probe {
                        return trouble;
                    }
                }
            }
            let current = self
                .link()
                .is_some_and(|link| link.number == session.link.number);
            if !current {
                return self.state().last_error().unwrap_or(Trouble::Lost);
            }
        }
    }

    /// Whether both connections work, and whether all that has happened was heard.
    async fn probe(
        &self,
        session: &mut Session,
        heard: &(impl Fn(Heard) + Sync),
    ) -> Result<(), Trouble> {
        let commands = &session.link.commands;
        if let Some(now) = self.pay(commands).await? {
            let mut state = self.state();
            state.missed |= state.follow(now, &Heard::Expired);
        }
        let before = self.state().generation.clone();
        let now = generation::look(commands, LONGEST_PROBE).await?;
        let missed = std::mem::take(&mut self.state().missed);
        if missed || before.as_ref() != Some(&now) {
            // Word of it may still be on its way.
            let late = async {
                while let Some(message) = session.messages.next().await {
                    self.hear(&message, heard);
                }
            };
            let _elapsed = timeout(LATE, late).await;
            self.compare(before.as_ref(), now, missed, heard);
        }
        timeout(LONGEST_PROBE, session.ping.ping::<Value>()).await??;
        Ok(())
    }

    /// Reports everything as expired if nobody has told what made `now` of `before`.
    fn compare(
        &self,
        before: Option<&Generation>,
        now: Generation,
        missed: bool,
        heard: &(impl Fn(Heard) + Sync),
    ) {
        let unheard = {
            let mut state = self.state();
            let unheard = state.generation.as_ref() == before && before != Some(&now);
            if unheard {
                state.generation = Some(now);
            }
            unheard
        };
        if unheard || missed {
            tracing::debug!("Redis: something was invalidated unheard");
            heard(Heard::Expired);
        }
    }

    /// What another instance has done.
    fn hear(&self, message: &Msg, heard: &(impl Fn(Heard) + Sync)) {
        let Ok(text) = message.get_payload::<String>() else {
            return;
        };
        let channels = &self.0.channels;
        let channel = message.get_channel_name();
        if channel == channels.ended || channel == channels.published {
            // Nobody may be waiting.
            let _ = self.0.news.send(Some(text.clone()));
            if channel == channels.published {
                heard(Heard::Published { name: text });
            }
            return;
        }
        // Whatever else is said on this channel is not for us.
        let Some((now, message)) = generation::read_message(&text) else {
            return;
        };
        if message.from == self.0.instance {
            return;
        }
        let missed = self.state().follow(now, &message.heard);
        if missed {
            heard(Heard::Expired);
        }
        heard(message.heard);
    }

    /// There is no connection, and none can be had.
    pub(super) fn report_down(&self, trouble: Trouble) {
        let news = self.state().down(trouble);
        self.0.settled.notify_waiters();
        if news {
            self.wake();
            tracing::warn!("Failed to connect to Redis: {trouble}. Using in-memory cache.");
        }
    }
}

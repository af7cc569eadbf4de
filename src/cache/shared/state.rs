//! Whether Redis can be used: the breaker between requests and a Redis that fails.

use chrono::{DateTime, Utc};

use super::generation::{Generation, Heard};
use super::held::Orphan;
use super::link::Commands;
use super::trouble::Trouble;

/// How things are with Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is not wanted.
    Disabled,
    /// The first attempt since the start has not ended yet.
    Connecting,
    /// It is in use.
    Connected,
    /// It is left alone but for probes.
    Down,
}

impl Stage {
    /// Its name for operators.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Down => "down",
        }
    }
}

/// What operators see of the second tier.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// How things are.
    pub stage: Stage,
    /// Since when.
    pub since: DateTime<Utc>,
    /// What was wrong last, if anything ever was.
    pub last_error: Option<Trouble>,
    /// How often another instance had what was missing here.
    pub hits: u64,
    /// How often none had.
    pub misses: u64,
}

/// A connection that works, until somebody finds that it does not.
#[derive(Clone)]
pub(super) struct Link {
    /// Tells it from the connections before and after it.
    pub(super) number: u64,
    pub(super) commands: Commands,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link {}", self.number)
    }
}

#[derive(Debug)]
pub(super) struct State {
    stage: Stage,
    since: DateTime<Utc>,
    last_error: Option<Trouble>,
    link: Option<Link>,
    links: u64,
    /// What all instances had in common at the last look.
    pub(super) generation: Option<Generation>,
    /// How much was invalidated here while nobody could be told.
    pub(super) owed: u64,
    /// Something was invalidated elsewhere, and its message may have been lost.
    pub(super) missed: bool,
    /// Leases that could not be given back.
    pub(super) orphans: Vec<Orphan>,
}

impl State {
    pub(super) fn new(enabled: bool) -> Self {
        Self {
            stage: if enabled {
                Stage::Connecting
            } else {
                Stage::Disabled
            },
            since: Utc::now(),
            last_error: None,
            link: None,
            links: 0,
            generation: None,
            owed: 0,
            missed: false,
            orphans: Vec::new(),
        }
    }

    pub(super) const fn stage(&self) -> Stage {
        self.stage
    }

    pub(super) const fn since(&self) -> DateTime<Utc> {
        self.since
    }

    pub(super) const fn last_error(&self) -> Option<Trouble> {
        self.last_error
    }

    pub(super) fn link(&self) -> Option<Link> {
        self.link.clone()
    }

    /// The epoch at the last look. None while it does not outdate what was invalidated here, for
    /// then nothing in Redis can be trusted.
    pub(super) fn epoch(&self) -> Option<String> {
        let known = self.generation.as_ref().filter(|_| self.owed == 0);
        known.map(|now| now.epoch.clone())
    }

    /// A new connection works. Returns it, and when the trouble before it began, if there was any.
    pub(super) fn connected(&mut self, commands: Commands) -> (Link, Option<DateTime<Utc>>) {
        let trouble_since = (self.stage == Stage::Down).then_some(self.since);
        self.links += 1;
        let link = Link {
            number: self.links,
            commands,
        };
        self.link = Some(link.clone());
        self.enter(Stage::Connected);
        (link, trouble_since)
    }

    /// Whether something may have been invalidated since the last connection, or, if there was
    /// none yet, since the start.
    pub(super) fn may_have_missed(&self, now: &Generation) -> bool {
        match &self.generation {
            Some(before) => before != now,
            None => self.stage == Stage::Down,
        }
    }

    /// Somebody has told what led to `now`: `heard`. True if something before that was not told:
    /// another invalidation, or the loss of the epoch, which is then another one.
    pub(super) fn follow(&mut self, now: Generation, heard: &Heard) -> bool {
        let (known, same) = match &self.generation {
            Some(known) => (known.events, known.epoch == now.epoch),
            None => (0, true),
        };
        if now.events <= known {
            return false;
        }
        let missed = now.events > known + 1 || !(same || heard.outdates_all());
        self.generation = Some(now);
        missed
    }

    /// The connection of this number does not work. False if that was known.
    pub(super) fn fail(&mut self, number: u64, trouble: Trouble) -> bool {
        let current = self.link.as_ref().is_some_and(|link| link.number == number);
        if current {
            self.down(trouble);
        }
        current
    }

    /// There is no connection. True if that is news.
    pub(super) fn down(&mut self, trouble: Trouble) -> bool {
        let news = self.stage != Stage::Down;
        self.last_error = Some(trouble);
        self.link = None;
        if news {
            self.enter(Stage::Down);
        }
        news
    }

    /// Once, however often its holder tries to extend it in vain.
    pub(super) fn remember(&mut self, orphan: Orphan) {
        if !self.orphans.contains(&orphan) {
            self.orphans.push(orphan);
        }
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.since = Utc::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(epoch: &str, events: u64) -> Generation {
        let epoch = epoch.to_owned();
        Generation { epoch, events }
    }

    #[test]
    fn a_lease_that_is_given_up_again_and_again_is_remembered_once() {
        let mut state = State::new(true);
        for token in ["a", "b", "a", "b"] {
            state.remember(Orphan::of("plex:activities", token));
        }
        assert_eq!(state.orphans.len(), 2);
    }

    #[test]
    fn what_was_not_told_is_missed() {
        let mut state = State::new(true);
        state.generation = Some(generation("a", 5));
        let name = "plex:activities".to_owned();
        let one = Heard::Replaced { name };
        assert!(!state.follow(generation("a", 6), &one));
        assert!(!state.follow(generation("a", 4), &one), "late");
        assert!(state.follow(generation("a", 8), &one), "7 is missing");
        assert!(!state.follow(generation("b", 9), &Heard::Cleared));
        assert!(state.follow(generation("c", 10), &one), "b was lost");
        assert_eq!(state.generation, Some(generation("c", 10)));
    }
}

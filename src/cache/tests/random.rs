//! Any order of readers, fetches, clearings, expiries and changes of server.

use proptest::prelude::*;

use super::super::entry::{Launch, Outcome, Verdict};
use super::*;

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    Look,
    Refresh,
    Offer,
    /// One of the fetches that run, whether or not the entry still knows it, ends.
    Settle(usize, End),
    Expire,
    Clear,
    NextServer,
    Forgive,
    Wait(u64),
}

#[derive(Clone, Debug)]
enum End {
    Whole,
    Part,
    Failure,
}

fn event() -> impl Strategy<Value = Event> {
    let end = prop_oneof![
        4 => Just(End::Whole),
        1 => Just(End::Part),
        1 => Just(End::Failure)
    ];
    prop_oneof![
        6 => Just(Event::Look),
        2 => Just(Event::Refresh),
        2 => Just(Event::Offer),
        6 => (0..4_usize, end).prop_map(|(which, end)| Event::Settle(which, end)),
        1 => Just(Event::Expire),
        1 => Just(Event::Clear),
        1 => Just(Event::NextServer),
        1 => Just(Event::Forgive),
        3 => (1..8_u64).prop_map(Event::Wait),
    ]
}

/// A value that tells what it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Made {
    origin: u64,
    /// How many clearings there had been when its fetch began.
    clears: u32,
    /// The number of its fetch: later ones have greater ones.
    number: u32,
}

/// An entry, and what has to be true of it.
struct Model {
    entry: CacheEntry<Made>,
    now: Instant,
    origin: u64,
    clears: u32,
    fetches: u32,
    /// No value of a fetch before this one is fresh any more.
    expired_before: u32,
    running: Vec<(Launch<Made>, Made)>,
}

impl Model {
    fn new() -> Self {
        Self {
            entry: CacheEntry::new("test", POLICY),
            now: Instant::now(),
            origin: 1,
            clears: 0,
            fetches: 0,
            expired_before: 0,
            running: Vec::new(),
        }
    }

    fn launched(&mut self, launch: Option<Launch<Made>>) {
        let Some(launch) = launch else { return };
        self.fetches += 1;
        let made = Made {
            origin: self.origin,
            clears: self.clears,
            number: self.fetches,
        };
        self.running.push((launch, made));
    }

    /// What a reader may be given from memory.
    fn check(&self, cached: &Cached<Made>) {
        let made = cached.stored.value;
        assert_eq!(made.origin, self.origin, "of the current server");
        assert_eq!(made.clears, self.clears, "nothing from before a clearing");
        match cached.freshness {
            Freshness::Fresh => {
                assert!(cached.age < POLICY.ttl);
                assert!(made.number > self.expired_before, "it has expired");
            }
            Freshness::Stale { .. } => assert!(cached.age <= POLICY.max_stale),
            Freshness::Fetched { .. } => panic!("it was in memory"),
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Look => {
                let look = self.entry.look(Origin(self.origin), self.now, true);
                match &look.verdict {
                    Verdict::Answer(cached) => self.check(cached),
                    Verdict::Wait { done, .. } => {
                        // Nobody waits for a fetch that is none.
                        assert!(look.launch.is_some() || done.has_changed().is_ok());
                    }
                    Verdict::Failed(_) => {}
                    Verdict::Outdated => panic!("it is the current server"),
                }
                self.launched(look.launch);
            }
            Event::Refresh => {
                let begun = self.entry.begin_refresh(Origin(self.origin), self.now);
                self.launched(begun.unwrap().0);
            }
            Event::Offer => {
                let launch = self.entry.begin_offered(Origin(self.origin), self.now);
                assert!(launch.is_some(), "an offer is always taken");
                self.expired_before = self.fetches;
                self.launched(launch);
            }
            Event::Settle(which, end) => self.settle(which, &end),
            Event::Expire => {
                self.entry.expire();
                self.expired_before = self.fetches;
            }
            Event::Clear => {
                self.entry.clear();
                self.clears += 1;
                assert!(!self.entry.stats(self.now).cached);
            }
            Event::NextServer => {
                self.origin += 1;
                self.entry.adopt(Origin(self.origin));
                assert!(!self.entry.stats(self.now).cached);
            }
            Event::Forgive => self.entry.forgive(),
            Event::Wait(seconds) => self.now += secs(seconds),
        }
    }

    fn settle(&mut self, which: usize, end: &End) {
        if self.running.is_empty() {
            return;
        }
        let (launch, made) = self.running.remove(which % self.running.len());
        let down = || FetchError::new("down");
        let result = match end {
            End::Whole => Ok(Fetched::Whole(made)),
            End::Part => Ok(Fetched::Partial(made, down())),
            End::Failure => Err(Arc::new(down())),
        };
        let outcome = self
            .entry
            .settle(launch.ticket, result, secs(1), self.now, 0.5);
        if let Outcome::Value(cached) = &outcome {
            assert_eq!(cached.stored.value.origin, self.origin);
        }
        let _ = launch.publish.send(Some(outcome));
    }
}

proptest! {
    #[test]
    fn no_order_of_events_shows_what_is_gone(events in proptest::collection::vec(event(), 1..80)) {
        let mut model = Model::new();
        for event in events {
            model.step(event);
            let running = model.running.iter().map(|(launch, _)| launch.ticket);
            let known = running.filter(|ticket| model.entry.is_current(*ticket)).count();
            assert_eq!(known, usize::from(model.entry.fetching()), "one flight at a time, and it runs");
        }
    }
}

//! What arrived at the simulator, counted for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::locked;

/// Paths remembered. A demo may run for weeks with strangers inventing picture addresses;
/// beyond this many, requests for further paths are served but not counted.
const MOST_PATHS: usize = 10_000;

#[derive(Debug, Default)]
struct Counts {
    by_path: BTreeMap<String, u64>,
    serving: usize,
    most_at_once: usize,
    tokens_in_queries: u64,
}

/// Counters shared by all connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<Mutex<Counts>>);

/// A request being served; dropped when its answer begins or its client has gone.
pub(super) struct Serving(Calls);

impl Calls {
    pub(super) fn arrive(&self, path: &str, token_in_query: bool) -> Serving {
        let mut counts = locked(&self.0);
        counts.serving += 1;
        counts.most_at_once = counts.most_at_once.max(counts.serving);
        counts.tokens_in_queries += u64::from(token_in_query);
        if let Some(count) = counts.by_path.get_mut(path) {
            *count += 1;
        } else if counts.by_path.len() < MOST_PATHS {
            counts.by_path.insert(path.to_owned(), 1);
        }
        drop(counts);
        Serving(self.clone())
    }

    pub(super) fn of(&self, path: &str) -> u64 {
        locked(&self.0).by_path.get(path).copied().unwrap_or(0)
    }

    pub(super) fn by_path(&self) -> BTreeMap<String, u64> {
        locked(&self.0).by_path.clone()
    }

    pub(super) fn most_at_once(&self) -> usize {
        locked(&self.0).most_at_once
    }

    pub(super) fn tokens_in_queries(&self) -> u64 {
        locked(&self.0).tokens_in_queries
    }

    /// Forgets the calls, but not tokens seen: no test may lose those by accident.
    pub(super) fn forget(&self) {
        let mut counts = locked(&self.0);
        counts.by_path.clear();
        counts.most_at_once = counts.serving;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        locked(&self.0.0).serving -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_path_and_at_once() {
        let calls = Calls::default();
        let first = calls.arrive("/a", false);
        let second = calls.arrive("/a", true);
        drop(first);
        let third = calls.arrive("/b", false);
        assert_eq!(calls.of("/a"), 2);
        assert_eq!(calls.of("/c"), 0);
        assert_eq!(calls.most_at_once(), 2);
        assert_eq!(calls.tokens_in_queries(), 1);
        drop(third);

        calls.forget();
        assert!(calls.by_path().is_empty());
        assert_eq!(calls.most_at_once(), 1, "one is still being served");
        assert_eq!(calls.tokens_in_queries(), 1);
        drop(second);
    }
}

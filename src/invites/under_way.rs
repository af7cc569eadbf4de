//! Redemptions that this process works on. What else has a note was cut off.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The numbers of their notes. Each waits for plex.tv, whose callers are few at a time.
static ALL: Mutex<BTreeSet<i64>> = Mutex::new(BTreeSet::new());

/// From the reservation to the outcome, also if that is a panic.
#[derive(Debug)]
pub(super) struct UnderWay(i64);

impl UnderWay {
    /// Work on the redemption of this number begins.
    pub(super) fn with(id: i64) -> Self {
        all().insert(id);
        Self(id)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        all().remove(&self.0);
    }
}

/// Whether somebody works on the redemption of this number. Not yet for a moment after its
/// reservation.
pub(super) fn is_under_way(id: i64) -> bool {
    all().contains(&id)
}

fn all() -> MutexGuard<'static, BTreeSet<i64>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_the_work() {
        assert!(!is_under_way(i64::MIN));
        let work = UnderWay::with(i64::MIN);
        assert!(is_under_way(i64::MIN) && !is_under_way(i64::MIN + 1));
        drop(work);
        assert!(!is_under_way(i64::MIN));
    }
}

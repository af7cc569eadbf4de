//! Redemptions that this process works on. What else has a note was cut off.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::redemption::Redemption;
use crate::compat::Stamp;

/// The database gives the number of a note that is gone to another one; with its time it is unique.
type Note = (i64, Stamp);

/// Theirs. As many as there are requests at a time.
static ALL: Mutex<BTreeSet<Note>> = Mutex::new(BTreeSet::new());

/// From the reservation to the outcome, also if that is a panic.
#[derive(Debug)]
pub(super) struct UnderWay(Note);

impl UnderWay {
    /// Work on `redemption` begins.
    pub(super) fn with(redemption: &Redemption) -> Self {
        all().insert(note(redemption));
        Self(note(redemption))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        all().remove(&self.0);
    }
}

/// Whether somebody works on `redemption`. Not yet for a moment after its reservation.
pub(super) fn is_under_way(redemption: &Redemption) -> bool {
    all().contains(&note(redemption))
}

fn note(redemption: &Redemption) -> Note {
    (redemption.id, redemption.started_at)
}

fn all() -> MutexGuard<'static, BTreeSet<Note>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::redemption::Redeemer;
    use super::*;

    #[test]
    fn it_ends_with_the_work_and_is_of_one_note() {
        let first = Redemption {
            id: i64::MIN,
            invite_id: 1,
            redeemer: Redeemer {
                email: "a@b.c".to_owned(),
                account: None,
            },
            machine: "m".to_owned(),
            home: false,
            started_at: Stamp::EPOCH,
        };
        let mut second = first.clone();
        second.started_at = Stamp::EPOCH + Duration::from_micros(1);
        let work = UnderWay::with(&first);
        assert!(is_under_way(&first) && !is_under_way(&second));
        let more = UnderWay::with(&second);
        drop(work);
        assert!(!is_under_way(&first) && is_under_way(&second));
        drop(more);
        assert!(!is_under_way(&second));
    }
}

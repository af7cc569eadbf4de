//! What the log says of how readers came by their values.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::cache::{Cached, Freshness};

/// Logs hits at DEBUG, and a warning when staleness begins: not with every poll of every tab.
pub(super) struct FreshnessLog {
    /// What is cached, in the words of the log.
    what: &'static str,
    warned: AtomicBool,
}

impl FreshnessLog {
    pub(super) const fn of(what: &'static str) -> Self {
        Self {
            what,
            warned: AtomicBool::new(false),
        }
    }

    /// A reader has been given `cached`.
    pub(super) fn note<T>(&self, cached: &Cached<T>) {
        let what = self.what;
        let age = cached.age.as_secs_f64();
        match &cached.freshness {
            Freshness::Fresh => {
                self.warned.store(false, Ordering::Relaxed);
                tracing::debug!("Cache hit - returning cached {what} (age: {age:.1}s)");
            }
            Freshness::Fetched { .. } => self.warned.store(false, Ordering::Relaxed),
            Freshness::Stale { error: Some(_), .. }
                if !self.warned.swap(true, Ordering::Relaxed) =>
            {
                tracing::warn!("Plex does not answer - returning stale {what} (age: {age:.1}s)");
            }
            Freshness::Stale { .. } => {
                tracing::debug!("Returning stale {what} (age: {age:.1}s)");
            }
        }
    }
}

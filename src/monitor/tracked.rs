//! [`Tracked`]: a service that notices when it is changed.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::model::Service;

/// A service that notices when it is changed, so that what was made of it is made anew: nobody
/// who changes one has to think of that.
#[derive(Debug)]
pub(super) struct Tracked {
    service: Service,
    /// Rises with every change.
    revision: u64,
    /// Rises with every change of any service.
    of_all: Arc<AtomicU64>,
}

impl Tracked {
    /// One that has not been changed yet.
    pub(super) const fn new(service: Service, of_all: Arc<AtomicU64>) -> Self {
        Self {
            service,
            revision: 0,
            of_all,
        }
    }

    /// A number that rises with every change.
    pub(super) const fn revision(&self) -> u64 {
        self.revision
    }
}

impl Deref for Tracked {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

/// Whoever takes hold of a service in this way is taken to change it. They hold its lock, so
/// whoever sees the new number and wants to know more waits for the change.
impl DerefMut for Tracked {
    fn deref_mut(&mut self) -> &mut Service {
        self.revision += 1;
        self.of_all.fetch_add(1, Ordering::Release);
        &mut self.service
    }
}

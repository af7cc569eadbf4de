//! [`Monitor`]: all services, in memory. The database is written behind it (`record`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use indexmap::IndexMap;
use tokio::sync::{Notify, watch};

use super::model::{ResponsePoint, STORED_POINTS, Service, StoragePoint, TrafficPoint};

/// All services, in the order in which they were created.
#[derive(Debug, Default)]
pub struct Monitor {
    services: RwLock<IndexMap<String, Arc<Watched>>>,
    /// Something waits to be written.
    pub(super) unsaved: Notify,
    /// Rises when traffic that is shown has changed: reports, and services that come and go.
    pub(super) traffic: watch::Sender<u64>,
}

/// One service. Its lock is held for a few loads and stores, or for writing it as JSON; never
/// across an await.
#[derive(Debug)]
pub(super) struct Watched {
    state: Mutex<State>,
}

/// A service and what has still to be done about it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) service: Service,
    pub(super) unsaved: Unsaved,
}

/// What the database does not have yet.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    /// Status, time and duration of the last check.
    pub(super) check: bool,
    /// The last report of traffic.
    pub(super) traffic: bool,
    /// The last report of storage.
    pub(super) storage: bool,
    pub(super) responses: Vec<ResponsePoint>,
    pub(super) traffic_points: Vec<TrafficPoint>,
    pub(super) storage_points: Vec<StoragePoint>,
}

impl Unsaved {
    /// Adds a point to be written. More than the database keeps need not be written at all.
    pub(super) fn keep<T>(points: &mut Vec<T>, point: T) {
        if points.len() >= 2 * STORED_POINTS {
            points.drain(..STORED_POINTS);
        }
        points.push(point);
    }
}

impl Monitor {
    /// These services, in this order.
    pub fn of(services: Vec<Service>) -> Self {
        let monitor = Self::default();
        for service in services {
            monitor.insert(service);
        }
        monitor
    }

    /// The services of this moment.
    pub(super) fn all(&self) -> Vec<Arc<Watched>> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        services.values().map(Arc::clone).collect()
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Watched>> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        services.get(id).map(Arc::clone)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        services.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a service behind all others.
    pub(super) fn insert(&self, service: Service) -> Arc<Watched> {
        let watched = Arc::new(Watched {
            state: Mutex::new(State {
                service: service.clone(),
                unsaved: Unsaved::default(),
            }),
        });
        let mut services = self
            .services
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        services.insert(service.id, Arc::clone(&watched));
        watched
    }

    /// Removes a service; the others keep their order. What still holds it changes nothing that
    /// anybody sees.
    pub(super) fn remove(&self, id: &str) -> Option<Arc<Watched>> {
        let mut services = self
            .services
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        services.shift_remove(id)
    }

    /// Traffic that is shown has changed.
    pub(super) fn traffic_changed(&self) {
        self.traffic.send_modify(|version| *version += 1);
    }
}

impl Watched {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

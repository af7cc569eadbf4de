//! [`Monitor`]: all services, in memory. The database is written behind it (`record`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use indexmap::IndexMap;
use tokio::sync::Notify;

use super::check::Running;
use super::model::{ResponsePoint, STORED_POINTS, Service, Status, StoragePoint, TrafficPoint};
use super::record::Recorder;
use super::rendered::{Fragment, Kept};
use super::reports::Strangers;
use super::tracked::Tracked;
use super::traffic_ws::Sockets;
use crate::web::error::{ApiError, ApiResult};

/// What is said of a service that is not there (contract 03, section 2).
pub(super) const NOT_FOUND: &str = "Service not found";

/// All services, in the order in which they were created.
#[derive(Debug, Default)]
pub struct Monitor {
    services: RwLock<IndexMap<String, Arc<Watched>>>,
    /// Rises with every change of a service, and when one comes or goes.
    revision: Arc<AtomicU64>,
    /// Something waits to be written.
    pub(super) unsaved: Notify,
    /// The list of all of them.
    pub(super) list: Kept,
    /// What they transfer.
    pub(super) summary: Kept,
    /// Who wants to be told what they transfer.
    pub(super) sockets: Sockets,
    /// Agents that report for services which are not there.
    pub(super) strangers: Strangers,
    /// What is being written. Held while it is; only the recorder waits for it.
    pub(super) recorder: tokio::sync::Mutex<Recorder>,
    /// Held by who adds, changes or removes a service, so that memory and database do it in the
    /// same order.
    pub(super) editing: tokio::sync::Mutex<()>,
}

/// How many services there are, and in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceCounts {
    /// All of them.
    pub total: u64,
    /// Those that answer as they should.
    pub online: u64,
    /// Those that do not answer, and those that were never checked.
    pub offline: u64,
    /// Those that answer with an error, or too late.
    pub problem: u64,
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
    pub(super) service: Tracked,
    pub(super) unsaved: Unsaved,
    /// Itself in the list of all services.
    pub(super) listed: Fragment,
    /// Itself in the summary of traffic.
    pub(super) summed: Fragment,
    /// The check that was started last.
    pub(super) running: Option<Running>,
    /// What the log was told last about a check that did not go well.
    pub(super) complaint: Option<String>,
}

/// What the database does not have yet.
#[derive(Debug, Default, PartialEq)]
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

    /// How many points.
    pub(super) fn len(&self) -> usize {
        self.responses.len() + self.traffic_points.len() + self.storage_points.len()
    }

    /// Whether the database has everything.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
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

    /// As [`Self::find`], for who was asked for it.
    ///
    /// # Errors
    /// There is no such service.
    pub(super) fn known(&self, id: &str) -> ApiResult<Arc<Watched>> {
        self.find(id).ok_or_else(|| {
            tracing::warn!("Service not found: {id}");
            ApiError::missing(NOT_FOUND)
        })
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

    /// How many there are in each state.
    pub fn count(&self) -> ServiceCounts {
        let mut counts = ServiceCounts::default();
        for watched in self.all() {
            counts.total += 1;
            let status = watched.lock().service.status;
            match status {
                Status::Online => counts.online += 1,
                Status::Offline => counts.offline += 1,
                Status::Problem => counts.problem += 1,
            }
        }
        counts
    }

    /// Whether this service is one of them still.
    pub(super) fn holds(&self, watched: &Arc<Watched>) -> bool {
        let id = watched.lock().service.id.clone();
        self.find(&id)
            .is_some_and(|known| Arc::ptr_eq(&known, watched))
    }

    /// Adds a service behind all others.
    pub(super) fn insert(&self, service: Service) -> Arc<Watched> {
        let id = service.id.clone();
        let watched = Arc::new(Watched {
            state: Mutex::new(State {
                service: Tracked::new(service, Arc::clone(&self.revision)),
                unsaved: Unsaved::default(),
                listed: Fragment::default(),
                summed: Fragment::default(),
                running: None,
                complaint: None,
            }),
        });
        let mut services = self
            .services
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        services.insert(id, Arc::clone(&watched));
        drop(services);
        self.revision.fetch_add(1, Ordering::Release);
        watched
    }

    /// Removes a service; the others keep their order. What still holds it changes nothing that
    /// anybody sees.
    pub(super) fn remove(&self, id: &str) -> Option<Arc<Watched>> {
        let mut services = self
            .services
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let removed = services.shift_remove(id);
        drop(services);
        self.revision.fetch_add(1, Ordering::Release);
        removed
    }

    /// A number that rises with every change of what can be shown.
    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }
}

impl Watched {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The monitored services: whether they are up, and what their agents report.
//!
//! All of it lives in memory ([`Monitor`]); the database is written behind it, in batches.

mod check;
mod edit;
mod list;
mod load;
pub mod model;
mod notify;
mod probe;
mod record;
mod registry;
mod rendered;
mod reports;
mod rounds;
mod rows;
mod services;
mod shown;
mod storage;
mod storage_report;
mod summary;
mod tracked;
mod traffic;
pub mod traffic_hours;
mod traffic_ws;

use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;

pub use load::load;
pub use probe::Checker;
pub use record::{save_rest, start_recorder};
pub use registry::{Monitor, ServiceCounts};
pub use rounds::start_rounds;
pub use traffic_hours::TrafficTotals;
pub use traffic_ws::start_sockets;

/// All routes of the domain.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(services::router())
        .merge(list::router())
        .merge(traffic::router())
        .merge(summary::router())
        .merge(traffic_ws::router())
        .merge(storage::router())
}

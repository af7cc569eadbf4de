//! The monitored services: whether they are up, and what their agents report.
//!
//! All of it lives in memory ([`Monitor`]); the database is written behind it, in batches.

mod check;
mod edit;
mod load;
pub mod model;
mod notify;
mod probe;
mod record;
mod registry;
mod rounds;
mod rows;
mod services;
mod shown;
pub mod stamp;
pub mod traffic_hours;

use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;

pub use load::load;
pub use probe::Checker;
pub use record::{save_rest, start_recorder};
pub use registry::{Monitor, ServiceCounts};
pub use rounds::start_rounds;
pub use traffic_hours::TrafficTotals;

/// All routes of the domain.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(services::router())
}

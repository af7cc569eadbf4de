//! The monitored services: whether they are up, and what their agents report.
//!
//! All of it lives in memory ([`Monitor`]); the database is written behind it, in batches.

pub mod model;
mod registry;
mod services;
mod shown;
pub mod stamp;
pub mod traffic_hours;

use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;

pub use registry::Monitor;
pub use services::{ServiceCounts, count_services};
pub use traffic_hours::TrafficTotals;

/// All routes of the domain.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
}

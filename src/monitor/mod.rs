//! The monitored services: how many are up, and what they transfer.
//!
//! Services are not checked by this version yet; their state is what 3.3.0 left in the database.

mod services;
pub mod traffic_hours;

pub use services::{ServiceCounts, count_services};
pub use traffic_hours::TrafficTotals;

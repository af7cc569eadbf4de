//! The monitored services: what the statistics need of them.

pub mod services;
pub mod traffic_hours;

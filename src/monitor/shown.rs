//! A service as the API shows it.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::model::{
    ResponsePoint, Service, Status, StorageMetrics, StoragePoint, TrafficMetrics, TrafficPoint,
};
use crate::compat::Stamp;

/// Traffic that was reported this long ago is not shown beside that of others: its agent is gone
/// (contract 03, section 9).
const TRAFFIC_STALE: Duration = Duration::from_secs(30);

/// A service, all its keys always present and in 3.3.0's order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Service)]
pub(super) struct Shown<'a> {
    id: &'a str,
    name: &'a str,
    url: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    status: Status,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_check: Option<Stamp>,
    /// Milliseconds.
    response_time: Option<f64>,
    description: Option<&'a str>,
    icon: Option<&'a str>,
    group: Option<&'a str>,
    traffic: Option<&'a TrafficMetrics>,
    #[schema(value_type = Vec<TrafficPoint>)]
    traffic_history: &'a VecDeque<TrafficPoint>,
    #[schema(value_type = Vec<ResponsePoint>)]
    response_history: &'a VecDeque<ResponsePoint>,
    storage: Option<&'a StorageMetrics>,
    #[schema(value_type = Vec<StoragePoint>)]
    storage_history: &'a VecDeque<StoragePoint>,
}

impl<'a> Shown<'a> {
    /// As it is.
    pub(super) fn whole(service: &'a Service) -> Self {
        let form = &service.form;
        Self {
            id: &service.id,
            name: &form.name,
            url: &form.url,
            kind: &form.kind,
            status: service.status,
            last_check: service.last_check,
            response_time: service.response_time,
            description: form.description.as_deref(),
            icon: form.icon.as_deref(),
            group: form.group.as_deref(),
            traffic: service.traffic.as_ref(),
            traffic_history: &service.traffic_history,
            response_history: &service.response_history,
            storage: service.storage.as_ref(),
            storage_history: &service.storage_history,
        }
    }

    /// Without traffic that is too old: so lists show it, and the frontend relies on it
    /// (contract 03, section 2).
    pub(super) fn listed(service: &'a Service, now: Stamp) -> Self {
        static NONE: VecDeque<TrafficPoint> = VecDeque::new();
        let whole = Self::whole(service);
        if live_until(service, now).is_some() {
            return whole;
        }
        Self {
            traffic: None,
            traffic_history: &NONE,
            ..whole
        }
    }
}

/// Whether the agent of `service` has reported its traffic lately, and when it will be too long
/// ago.
pub(super) fn live_until(service: &Service, now: Stamp) -> Option<Stamp> {
    let traffic = service.traffic.as_ref()?;
    let until = traffic.last_updated? + TRAFFIC_STALE;
    (now < until).then_some(until)
}

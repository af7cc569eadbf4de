//! What agents report of a machine's network every two seconds, and what is known of one machine
//! (contract 03, section 5). All of it is answered from memory; `record` writes it down.

use axum::Json;
use axum::extract::Path;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::{TrafficMetrics, TrafficPoint, push};
use super::registry::{State, Unsaved};
use super::reports::{Done, Limit};
use crate::app::AppState;
use crate::compat::Stamp;
use crate::compat::validation::{Fields, FromFields, JsonBody, ValidationError};
use crate::web::error::{ApiResult, Detail};

/// What an agent sends. Gigabytes and megabytes per second, as in [`TrafficMetrics`].
#[derive(Debug, ToSchema)]
struct TrafficReport {
    service_id: String,
    bandwidth_up: f64,
    bandwidth_down: f64,
    total_up: f64,
    total_down: f64,
    /// These three keep their values where they are null or missing.
    max_bandwidth: Option<f64>,
    cpu_percent: Option<f64>,
    memory_percent: Option<f64>,
}

impl FromFields for TrafficReport {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            service_id: fields.string("service_id"),
            bandwidth_up: fields.number("bandwidth_up"),
            bandwidth_down: fields.number("bandwidth_down"),
            total_up: fields.number("total_up"),
            total_down: fields.number("total_down"),
            max_bandwidth: fields.optional_number("max_bandwidth"),
            cpu_percent: fields.optional_number("cpu_percent"),
            memory_percent: fields.optional_number("memory_percent"),
        }
    }
}

/// Takes an agent's report.
#[utoipa::path(post, path = "/api/traffic/update", tag = "traffic",
    request_body = TrafficReport,
    responses(
        (status = 200, body = Done),
        (status = 404, body = Detail, description = "No such service"),
        (status = 422, body = ValidationError),
    ))]
async fn update_traffic(
    app: AppState,
    JsonBody(report): JsonBody<TrafficReport>,
) -> ApiResult<Json<Done>> {
    let id = &report.service_id;
    let stranger = || app.monitor.strangers.refuse(id, "traffic");
    let watched = app.monitor.find(id).ok_or_else(stranger)?;
    watched.lock().report_traffic(&report, Stamp::now());
    app.monitor.unsaved.notify_one();
    Ok(Json(Done::saying("Traffic data updated")))
}

impl State {
    fn report_traffic(&mut self, report: &TrafficReport, now: Stamp) {
        let before = self.service.traffic.take().unwrap_or_default();
        self.service.traffic = Some(TrafficMetrics {
            bandwidth_up: report.bandwidth_up,
            bandwidth_down: report.bandwidth_down,
            total_up: report.total_up,
            total_down: report.total_down,
            max_bandwidth: report.max_bandwidth.or(before.max_bandwidth),
            cpu_percent: report.cpu_percent.or(before.cpu_percent),
            memory_percent: report.memory_percent.or(before.memory_percent),
            last_updated: Some(now),
        });
        let point = TrafficPoint {
            timestamp: now,
            bandwidth_up: report.bandwidth_up,
            bandwidth_down: report.bandwidth_down,
            total_up: report.total_up,
            total_down: report.total_down,
        };
        push(&mut self.service.traffic_history, point);
        self.unsaved.traffic = true;
        Unsaved::keep(&mut self.unsaved.traffic_points, point);
    }
}

/// The last points of one machine, oldest first; 100 at most are kept.
#[utoipa::path(get, path = "/api/traffic/{service_id}/history", tag = "traffic",
    params(
        ("service_id" = String, Path),
        ("limit" = Option<u64>, Query, description = "how many, 100 if it is not given"),
    ),
    responses(
        (status = 200, body = Vec<TrafficPoint>),
        (status = 404, body = Detail, description = "No such service"),
        (status = 422, body = ValidationError),
    ))]
async fn traffic_history(
    app: AppState,
    Path(id): Path<String>,
    limit: Limit,
) -> ApiResult<Json<Vec<TrafficPoint>>> {
    let watched = app.monitor.known(&id)?;
    let points = limit.newest(&watched.lock().service.traffic_history);
    Ok(Json(points))
}

/// What was reported last.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum CurrentTraffic {
    Reported(TrafficMetrics),
    Never(NoTraffic),
}

/// In place of [`TrafficMetrics`] before the first report.
#[derive(Debug, Default, Serialize, ToSchema)]
struct NoTraffic {
    bandwidth_up: f64,
    bandwidth_down: f64,
    total_up: f64,
    total_down: f64,
    #[schema(value_type = Option<String>)]
    last_updated: Option<Stamp>,
}

/// What the agent of one machine reported last, however long ago.
#[utoipa::path(get, path = "/api/traffic/{service_id}/current", tag = "traffic",
    params(("service_id" = String, Path)),
    responses(
        (status = 200, body = CurrentTraffic),
        (status = 404, body = Detail, description = "No such service"),
    ))]
async fn current_traffic(app: AppState, Path(id): Path<String>) -> ApiResult<Json<CurrentTraffic>> {
    let traffic = app.monitor.known(&id)?.lock().service.traffic.clone();
    let never = || CurrentTraffic::Never(NoTraffic::default());
    Ok(Json(traffic.map_or_else(never, CurrentTraffic::Reported)))
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(update_traffic))
        .routes(routes!(traffic_history))
        .routes(routes!(current_traffic))
}

#[cfg(test)]
impl State {
    /// Takes a report of this bandwidth, which everything else in it follows.
    pub(super) fn report_for_test(&mut self, bandwidth: f64, now: Stamp) {
        let report = TrafficReport {
            service_id: String::new(),
            bandwidth_up: bandwidth,
            bandwidth_down: 2.0 * bandwidth,
            total_up: 100.0 * bandwidth,
            total_down: 200.0 * bandwidth,
            max_bandwidth: None,
            cpu_percent: None,
            memory_percent: None,
        };
        self.report_traffic(&report, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Monitor;
    use crate::monitor::model::Service;

    #[test]
    fn what_a_report_leaves_out_keeps_its_value() {
        let monitor = Monitor::of(vec![Service::for_test("a")]);
        let watched = monitor.find("a").unwrap();
        let mut state = watched.lock();
        let full = TrafficReport {
            service_id: "a".to_owned(),
            bandwidth_up: 1.0,
            bandwidth_down: 2.0,
            total_up: 3.0,
            total_down: 4.0,
            max_bandwidth: Some(250.0),
            cpu_percent: Some(12.5),
            memory_percent: None,
        };
        let (first, second) = (Stamp::now(), Stamp::now());
        state.report_traffic(&full, first);
        let partly = TrafficReport {
            bandwidth_up: 5.0,
            max_bandwidth: None,
            cpu_percent: Some(20.0),
            ..full
        };
        state.report_traffic(&partly, second);
        let expected = TrafficMetrics {
            bandwidth_up: 5.0,
            bandwidth_down: 2.0,
            total_up: 3.0,
            total_down: 4.0,
            max_bandwidth: Some(250.0),
            cpu_percent: Some(20.0),
            memory_percent: None,
            last_updated: Some(second),
        };
        assert_eq!(state.service.traffic, Some(expected));
        assert_eq!(state.service.traffic_history.len(), 2);
        assert!(state.unsaved.traffic, "the database has to learn of it");
        assert_eq!(state.service.traffic_history, state.unsaved.traffic_points);
        drop(state);
    }

    #[test]
    fn a_hundred_points_are_kept() {
        let monitor = Monitor::of(vec![Service::for_test("a")]);
        let watched = monitor.find("a").unwrap();
        let mut state = watched.lock();
        for n in 0..130 {
            state.report_for_test(f64::from(n), Stamp::now());
        }
        let history = &state.service.traffic_history;
        assert_eq!((history.len(), history[0].bandwidth_up), (100, 30.0));
        drop(state);
    }
}

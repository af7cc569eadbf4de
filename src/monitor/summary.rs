//! `GET /api/traffic/summary`: what the machines transfer now. The frames of the WebSocket are the
//! same (contract 03, sections 5 and 6).

use std::collections::VecDeque;

use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::{Service, TrafficMetrics, TrafficPoint, sum};
use super::registry::{Monitor, State};
use super::rendered::{NotRendered, Rendered};
use super::shown::live_until;
use crate::app::AppState;
use crate::compat::Stamp;
use crate::web::error::ApiResult;

/// Points of each history that are shown here.
const POINTS: usize = 60;

/// The answer, but for its list of services.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Totals {
    /// All that are watched.
    total_services: usize,
    /// Those whose agents have reported in the last 30 s; the sums are of these.
    services_with_traffic: usize,
    /// Megabytes per second, sent.
    total_bandwidth_up: f64,
    /// Megabytes per second, received.
    total_bandwidth_down: f64,
    /// Gigabytes sent since the agents' counters began.
    total_traffic_up: f64,
    /// Gigabytes received since the agents' counters began.
    total_traffic_down: f64,
}

/// The answer.
#[derive(ToSchema)]
#[schema(as = TrafficSummary)]
#[expect(dead_code, reason = "describes what is put together from pieces")]
struct Summary {
    #[schema(inline)]
    #[serde(flatten)]
    totals: Totals,
    services: Vec<Entry<'static>>,
}

/// One service in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ServiceTraffic)]
struct Entry<'a> {
    id: &'a str,
    name: &'a str,
    /// Megabytes per second, sent.
    bandwidth_up: f64,
    /// Megabytes per second, received.
    bandwidth_down: f64,
    /// Gigabytes sent since the agent's counters began.
    total_up: f64,
    /// Gigabytes received since the agent's counters began.
    total_down: f64,
    /// What the line could carry, in megabytes per second.
    max_bandwidth: Option<f64>,
    cpu_percent: Option<f64>,
    memory_percent: Option<f64>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_updated: Option<Stamp>,
    /// The last 60 points, oldest first.
    #[serde(serialize_with = "last_points")]
    #[schema(value_type = Vec<TrafficPoint>)]
    traffic_history: &'a VecDeque<TrafficPoint>,
}

impl<'a> Entry<'a> {
    fn of(service: &'a Service, traffic: &TrafficMetrics) -> Self {
        Self {
            id: &service.id,
            name: &service.form.name,
            bandwidth_up: traffic.bandwidth_up,
            bandwidth_down: traffic.bandwidth_down,
            total_up: traffic.total_up,
            total_down: traffic.total_down,
            max_bandwidth: traffic.max_bandwidth,
            cpu_percent: traffic.cpu_percent,
            memory_percent: traffic.memory_percent,
            last_updated: traffic.last_updated,
            traffic_history: &service.traffic_history,
        }
    }
}

fn last_points<S: Serializer>(
    history: &VecDeque<TrafficPoint>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(history.range(history.len().saturating_sub(POINTS)..))
}

/// What all machines transfer, and each of them. Machines whose agents are gone are left out.
#[utoipa::path(get, path = "/api/traffic/summary", tag = "traffic",
    responses((status = 200, body = Summary), (status = 304)))]
async fn summarize_traffic(app: AppState, headers: HeaderMap) -> ApiResult<Response> {
    app.monitor.summary.respond(&app, &headers, render).await
}

pub(super) fn render(monitor: &Monitor, now: Stamp) -> Result<Rendered, NotRendered> {
    let revision = monitor.revision();
    let (mut pieces, mut until) = (Vec::new(), None);
    let mut totals = Totals::default();
    for watched in monitor.all() {
        let mut state = watched.lock();
        let State {
            service, summed, ..
        } = &mut *state;
        totals.total_services += 1;
        let (Some(traffic), Some(ends)) = (&service.traffic, live_until(service, now)) else {
            continue;
        };
        totals.count(traffic);
        let piece = summed.piece(service, now, |service| Entry::of(service, traffic))?;
        drop(state);
        pieces.push(piece);
        until = [until, Some(ends)].into_iter().flatten().min();
    }
    let mut head = serde_json::to_vec(&totals)?;
    // In place of the closing brace.
    head.pop();
    head.extend(br#","services":["#);
    Rendered::new(head, pieces, "]}", (revision, now, until))
}

impl Totals {
    fn count(&mut self, traffic: &TrafficMetrics) {
        self.services_with_traffic += 1;
        self.total_bandwidth_up = sum([self.total_bandwidth_up, traffic.bandwidth_up]);
        self.total_bandwidth_down = sum([self.total_bandwidth_down, traffic.bandwidth_down]);
        self.total_traffic_up = sum([self.total_traffic_up, traffic.total_up]);
        self.total_traffic_down = sum([self.total_traffic_down, traffic.total_down]);
    }
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(summarize_traffic))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;

    fn shown(monitor: &Monitor, now: Stamp) -> String {
        render(monitor, now).unwrap().text().as_str().to_owned()
    }

    #[test]
    fn it_reads_as_3_3_0_wrote_it() {
        let monitor = Monitor::of(vec![Service::for_test("a"), Service::for_test("b")]);
        let now = Stamp::from_sql("2026-11-22 13:13:55.420470").unwrap();
        monitor.find("b").unwrap().lock().report_for_test(1.5, now);
        let expected = concat!(
            r#"{"total_services":2,"services_with_traffic":1,"#,
            r#""total_bandwidth_up":1.5,"total_bandwidth_down":3.0,"#,
            r#""total_traffic_up":150.0,"total_traffic_down":300.0,"services":["#,
            r#"{"id":"b","name":"Service b","bandwidth_up":1.5,"bandwidth_down":3.0,"#,
            r#""total_up":150.0,"total_down":300.0,"max_bandwidth":null,"#,
            r#""cpu_percent":null,"memory_percent":null,"#,
            r#""last_updated":"2026-11-22T13:13:55.420470Z","traffic_history":["#,
            r#"{"timestamp":"2026-11-22T13:13:55.420470Z","bandwidth_up":1.5,"#,
            r#""bandwidth_down":3.0,"total_up":150.0,"total_down":300.0}]}]}"#,
        );
        assert_eq!(shown(&monitor, now), expected);
    }

    #[test]
    fn a_machine_whose_agent_is_gone_is_left_out_with_its_bandwidth() {
        let monitor = Monitor::of(vec![Service::for_test("a"), Service::for_test("b")]);
        let start = Stamp::now();
        let later = start + Duration::from_secs(10);
        let report = |id, bandwidth, at| {
            monitor
                .find(id)
                .unwrap()
                .lock()
                .report_for_test(bandwidth, at);
        };
        report("a", 1.0, start);
        report("b", 2.0, later);
        let figures = |now| {
            let summary: Value = serde_json::from_str(&shown(&monitor, now)).unwrap();
            let ids = summary["services"].as_array().unwrap().iter();
            let ids: Vec<String> = ids
                .map(|one| one["id"].as_str().unwrap().to_owned())
                .collect();
            (
                summary["services_with_traffic"].as_u64().unwrap(),
                summary["total_bandwidth_up"].as_f64().unwrap(),
                ids.join(" "),
            )
        };
        let last = start + Duration::from_millis(29_999);
        assert_eq!(figures(last), (2, 3.0, "a b".to_owned()));
        assert_eq!(
            figures(start + Duration::from_secs(30)),
            (1, 2.0, "b".to_owned())
        );
        assert_eq!(
            figures(later + Duration::from_secs(30)),
            (0, 0.0, String::new())
        );
    }

    #[test]
    fn sixty_points_are_shown_and_sums_stay_finite() {
        let monitor = Monitor::of(vec![Service::for_test("a"), Service::for_test("b")]);
        let now = Stamp::now();
        for n in 0..80 {
            monitor
                .find("a")
                .unwrap()
                .lock()
                .report_for_test(f64::from(n), now);
        }
        for id in ["a", "b"] {
            monitor.find(id).unwrap().lock().report_for_test(1e306, now);
        }
        let summary: Value = serde_json::from_str(&shown(&monitor, now)).unwrap();
        let history = summary["services"][0]["traffic_history"]
            .as_array()
            .unwrap();
        assert_eq!(
            (history.len(), &history[0]["bandwidth_up"]),
            (60, &21.0.into())
        );
        assert_eq!(summary["total_traffic_down"], f64::MAX);
    }
}

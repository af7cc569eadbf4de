//! The simulated VPN proxy manager: its containers, who depends on them, and the streams that pass
//! through. It insists on its key, in a header. It listens where the server does, below a path of
//! its own.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Response, StatusCode};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::pages::Ask;
use super::people::PEOPLE;
use super::plex::{Plex, Shared};
use super::words::CHANNELS;

/// Where it is on the simulator.
pub(super) const PATH: &str = "/vpn";
/// The key that it insists on.
pub(super) const KEY: &str = "demo-vpn-proxy-key";

/// Name, state, country, region and address of each container; the addresses are those set aside
/// for documents.
const CONTAINERS: [[&str; 5]; 4] = [
    ["ferry-north", "running", "Norway", "Vestland", "192.0.2.17"],
    [
        "ferry-west",
        "healthy",
        "Portugal",
        "Lisboa",
        "198.51.100.4",
    ],
    [
        "ferry-east",
        "unhealthy",
        "Japan",
        "Kanagawa",
        "203.0.113.80",
    ],
    ["ferry-spare", "stopped", "", "", ""],
];

/// Its API, behind the gate of the server.
pub(super) fn router() -> Router<Arc<Plex>> {
    let docker = json!({ "connected": true, "version": "28.0.4", "containers": CONTAINERS.len() });
    let api = Router::new()
        .route("/health", get(async || Json(json!({ "status": "ok" }))))
        .route(
            "/containers",
            get(async || Json((1..).zip(CONTAINERS).map(container).collect::<Value>())),
        )
        .route("/containers/vpn-info-batch", get(async || Json(infos())))
        .route("/containers/dependents", get(async || Json(dependents())))
        .route(
            "/containers/{id}",
            get(async |Path(id): Path<i64>| one(id, container)),
        )
        .route(
            "/containers/{id}/vpn-info",
            get(async |Path(id): Path<i64>| one(id, |(_, of)| info(of))),
        )
        .route("/system/docker-status", get(async move || Json(docker)))
        .route(
            "/monitoring/status",
            get(async || Json(json!({ "configured": true }))),
        )
        .route("/monitoring", get(monitoring))
        .route("/monitoring/network-usage", get(usage))
        .layer(middleware::from_fn(insist));
    Router::new().nest(&format!("{PATH}/api"), api)
}

async fn insist(request: Request, next: Next) -> Response<Body> {
    let key = request.headers().get("x-api-key");
    if key.is_some_and(|key| key.as_bytes() == KEY.as_bytes()) {
        return next.run(request).await;
    }
    let refusal = Json(json!({ "detail": "Invalid API key" }));
    (StatusCode::UNAUTHORIZED, refusal).into_response()
}

type Numbered = (usize, [&'static str; 5]);

fn container((id, [name, state, ..]): Numbered) -> Value {
    json!({
        "id": id,
        "name": name,
        "docker_name": format!("vpn-{name}"),
        "container_id": format!("{:012x}", id * 0x00a1_b2c3_d4e5),
        "docker_status": state,
        "status": state,
        "vpn_provider": "harbour vpn",
        "vpn_type": "wireguard",
        "network_name": "vpn-net",
        "port_http_proxy": 8887 + id,
    })
}

fn info([_, state, country, region, address]: [&str; 5]) -> Value {
    json!({
        "country": country,
        "region": region,
        "public_ip": address,
        "vpn_status": if address.is_empty() { "stopped" } else { state },
        "port_forwarded": 51_413,
    })
}

fn infos() -> Map<String, Value> {
    let all = (1..).zip(CONTAINERS);
    all.map(|(id, of): Numbered| (id.to_string(), info(of)))
        .collect()
}

fn dependents() -> Value {
    [
        ("tide-downloader", 0, "running"),
        ("kettle-indexer", 0, "running"),
        ("owl-proxy", 1, "exited"),
    ]
    .into_iter()
    .map(|(name, at, state)| {
        let parent = format!("vpn-{}", CONTAINERS[at][0]);
        json!({
            "name": name,
            "container_name": name,
            "vpn_container_name": parent,
            "vpn_parent": parent,
            "network_mode": format!("container:{parent}"),
            "status": state,
            "state": state,
        })
    })
    .collect()
}

fn one(id: i64, shown: impl Fn(Numbered) -> Value) -> Response<Body> {
    let mut all = (1..).zip(CONTAINERS);
    let found = all.find(|(known, _)| usize::try_from(id) == Ok(*known));
    if let Some(found) = found {
        return Json(shown(found)).into_response();
    }
    let missing = Json(json!({ "detail": "Container not found" }));
    (StatusCode::NOT_FOUND, missing).into_response()
}

/// Bandwidths rise and fall within a minute.
fn megabits(plex: &Plex, place: u64) -> u64 {
    let second = plex.motion().unwrap_or_default().as_secs() + 17 * place;
    4 + (second % 60).abs_diff(30) / 3 + place
}

async fn monitoring(State(plex): Shared) -> Response<Body> {
    let readers = (0..).zip(CHANNELS).zip(PEOPLE.iter());
    let readers = readers.map(|((place, (_, channel, _)), person)| {
        let bandwidth = megabits(&plex, place);
        json!({
            "StreamName": channel,
            "ProviderName": "lanternfish",
            "User": person.name,
            "Ip": format!("192.0.2.{}", 100 + place),
            "Quality": "1080p",
            "Bw": format!("{bandwidth}/{}Mbps", bandwidth + 1),
            "Uptime": format!("0h {}m", 7 + 12 * place),
            "Errors": place % 2,
            "ErrorsColor": if place % 2 == 0 { "green" } else { "yellow" },
        })
    });
    let readers: Vec<Value> = readers.collect();
    let total: u64 = (0..4).map(|place| megabits(&plex, place)).sum();
    Json(json!({
        "TotalBwIn": format!("{} Mbps", total + 2),
        "TotalBwOut": format!("{total} Mbps"),
        "CpuLoad": format!("{}%", 9 + total % 20),
        "CpuLoadColor": "green",
        "Memory": "412 MB",
        "Readers": readers,
    }))
    .into_response()
}

/// The same for every provider; named, so that it shows which was asked for.
async fn usage(State(plex): Shared, ask: Ask) -> Response<Body> {
    let provider = ask.value("provider").unwrap_or_default();
    let of = |place: u64| {
        let bandwidth = megabits(&plex, place);
        let proxy = format!("http://ferry-north:{}", 8888 + place);
        json!({ "Proxy": { proxy: {
            "Streams": [CHANNELS[0].1, CHANNELS[1].1],
            "MaxStreams": 5,
            "Mbps": bandwidth,
            "MbpsFormatted": format!("{bandwidth} Mbps"),
        } } })
    };
    let usage = json!({ "Script": of(0), "Manifest": of(1), "Media": of(2) });
    Json(json!({ "Provider": provider, "Usage": usage })).into_response()
}

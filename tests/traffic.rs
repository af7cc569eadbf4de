//! What agents report of networks, and what is made of it.

use std::io::Read as _;

use flate2::read::GzDecoder;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Server, until};

/// Adds a service that nobody answers for, and gives its id.
pub(crate) async fn machine(server: &Server, name: &str) -> String {
    let body = json!({"name": name, "url": "http://127.0.0.1:9", "type": "server"});
    let created = server.post("/api/services/", &body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    created.json()["id"].as_str().unwrap().to_owned()
}

/// What 3.3.0's agent sends.
pub(crate) fn report(id: &str, bandwidth: f64) -> Value {
    json!({
        "service_id": id, "bandwidth_up": bandwidth, "bandwidth_down": 2.0 * bandwidth,
        "total_up": 10.5, "total_down": 20.25, "max_bandwidth": 250.0,
        "cpu_percent": 12.5, "memory_percent": 50.0,
    })
}

/// `report` with one field changed.
fn but(id: &str, field: &str, value: Value) -> Value {
    let mut body = report(id, 1.5);
    body[field] = value;
    body
}

async fn update(server: &Server, body: &Value) -> Answer {
    server.post("/api/traffic/update", body).await
}

/// The type and the place of each problem.
pub(crate) fn problems(answer: &Answer) -> Vec<(String, Value)> {
    assert_eq!(
        answer.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{answer:?}"
    );
    let detail = answer.json()["detail"].as_array().unwrap().clone();
    let named = |problem: &Value| {
        let kind = problem["type"].as_str().unwrap().to_owned();
        (kind, problem["loc"].clone())
    };
    detail.iter().map(named).collect()
}

#[tokio::test]
async fn a_report_is_shown_everywhere_at_once() {
    let server = Server::builder().start().await;
    let (id, other) = (machine(&server, "one").await, machine(&server, "two").await);
    let current = format!("/api/traffic/{id}/current");
    let never = r#"{"bandwidth_up":0.0,"bandwidth_down":0.0,"total_up":0.0,"total_down":0.0,"last_updated":null}"#;
    assert_eq!(server.get(&current).await.text, never);

    let taken = update(&server, &report(&id, 1.5)).await;
    assert_eq!(
        taken.text,
        r#"{"status":"success","message":"Traffic data updated"}"#
    );

    let shown = server.get(&current).await.json();
    let at = shown["last_updated"].as_str().unwrap().to_owned();
    assert!(at.ends_with('Z'), "{at}");
    let expected = json!({
        "bandwidth_up": 1.5, "bandwidth_down": 3.0, "total_up": 10.5, "total_down": 20.25,
        "max_bandwidth": 250.0, "cpu_percent": 12.5, "memory_percent": 50.0, "last_updated": at,
    });
    assert_eq!(shown, expected);
    let point = json!({
        "timestamp": at, "bandwidth_up": 1.5, "bandwidth_down": 3.0,
        "total_up": 10.5, "total_down": 20.25,
    });
    let history = server.get(&format!("/api/traffic/{id}/history")).await;
    assert_eq!(history.json(), json!([point]));
    let list = server.get("/api/services/").await.json();
    assert_eq!(list[0]["traffic"], expected);
    assert_eq!(list[0]["traffic_history"], json!([point]));
    assert_eq!(
        (&list[1]["id"], &list[1]["traffic"]),
        (&json!(other), &Value::Null)
    );
    let mut entry = json!({"id": id, "name": "one"});
    let fields = expected.as_object().unwrap().clone();
    entry.as_object_mut().unwrap().extend(fields);
    entry["traffic_history"] = json!([point]);
    let summary = json!({
        "total_services": 2, "services_with_traffic": 1,
        "total_bandwidth_up": 1.5, "total_bandwidth_down": 3.0,
        "total_traffic_up": 10.5, "total_traffic_down": 20.25, "services": [entry],
    });
    assert_eq!(
        server.get("/api/traffic/summary").await.text,
        summary.to_string()
    );
}

#[tokio::test]
async fn reports_in_every_spelling_that_3_3_0_takes() {
    let server = Server::builder().start().await;
    let id = machine(&server, "one").await;
    for (body, field, value) in [
        (
            but(&id, "bandwidth_up", json!(" 7.5 ")),
            "bandwidth_up",
            json!(7.5),
        ),
        (
            but(&id, "total_up", json!("1e3")),
            "total_up",
            json!(1000.0),
        ),
        (but(&id, "total_up", json!(7)), "total_up", json!(7.0)),
        (
            but(&id, "bandwidth_up", json!(true)),
            "bandwidth_up",
            json!(1.0),
        ),
        (but(&id, "total_up", json!(1e308)), "total_up", json!(1e308)),
        (but(&id, "total_up", json!(-1)), "total_up", json!(-1.0)),
        (but(&id, "unknown", json!([1])), "bandwidth_up", json!(1.5)),
        // These keep what the report before has said.
        (
            but(&id, "max_bandwidth", Value::Null),
            "max_bandwidth",
            json!(250.0),
        ),
        (
            but(&id, "cpu_percent", Value::Null),
            "cpu_percent",
            json!(12.5),
        ),
    ] {
        let answer = update(&server, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{body}: {answer:?}");
        let shown = server
            .get(&format!("/api/traffic/{id}/current"))
            .await
            .json();
        assert_eq!(shown[field], value, "{body}");
    }
    let bare = json!({"service_id": id, "bandwidth_up": 1, "bandwidth_down": 2,
        "total_up": 3, "total_down": 4});
    assert_eq!(update(&server, &bare).await.status, StatusCode::OK);
    let shown = server
        .get(&format!("/api/traffic/{id}/current"))
        .await
        .json();
    assert_eq!(
        (&shown["max_bandwidth"], &shown["total_down"]),
        (&json!(250.0), &json!(4.0))
    );
}

#[tokio::test]
async fn reports_that_are_refused_change_nothing() {
    let server = Server::builder().start().await;
    let id = machine(&server, "one").await;
    update(&server, &report(&id, 1.5)).await;
    let before = server.get("/api/traffic/summary").await.text;
    for (field, value, kind) in [
        ("bandwidth_up", json!("NaN"), "finite_number"),
        ("bandwidth_down", json!("inf"), "finite_number"),
        ("total_up", json!("-Infinity"), "finite_number"),
        ("total_down", json!("1e999"), "finite_number"),
        ("cpu_percent", json!("nan"), "finite_number"),
        ("max_bandwidth", json!("fast"), "float_parsing"),
        ("bandwidth_up", Value::Null, "float_type"),
        ("bandwidth_up", json!([1]), "float_type"),
        ("bandwidth_up", json!({}), "float_type"),
        ("service_id", json!(7), "string_type"),
        ("service_id", Value::Null, "string_type"),
    ] {
        let answer = update(&server, &but(&id, field, value.clone())).await;
        let expected = [(kind.to_owned(), json!(["body", field]))];
        assert_eq!(problems(&answer), expected, "{field}: {value}");
    }
    let missing: Vec<Value> = problems(&update(&server, &json!({})).await)
        .into_iter()
        .map(|(kind, place)| json!([kind, place[1]]))
        .collect();
    let required = [
        "service_id",
        "bandwidth_up",
        "bandwidth_down",
        "total_up",
        "total_down",
    ];
    assert_eq!(missing, required.map(|field| json!(["missing", field])));
    assert_eq!(server.get("/api/traffic/summary").await.text, before);
}

#[tokio::test]
async fn bodies_that_are_no_reports() {
    let server = Server::builder().start().await;
    let id = machine(&server, "one").await;
    let post = async |body: String, media_type: Option<&str>| {
        let mut request = server
            .request(&Method::POST, "/api/traffic/update")
            .body(body);
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        server.send(request).await
    };
    let json_type = Some("application/json");
    let good = report(&id, 1.0).to_string();
    let kind = |answer: &Answer| problems(answer)[0].0.clone();
    assert_eq!(
        kind(&post("{\"service_id\":".to_owned(), json_type).await),
        "json_invalid"
    );
    assert_eq!(
        kind(&post("[1]".to_owned(), json_type).await),
        "model_attributes_type"
    );
    assert_eq!(kind(&post(String::new(), json_type).await), "missing");
    // Python's `json` writes it, and no other.
    let nan = good.replace("250.0", "NaN");
    assert_eq!(kind(&post(nan, json_type).await), "json_invalid");
    assert_eq!(
        kind(&post(good.clone(), None).await),
        "model_attributes_type"
    );
    assert_eq!(
        kind(&post(good.clone(), Some("text/plain")).await),
        "model_attributes_type"
    );
    let huge = format!("{{\"x\":\"{}\",{}", "x".repeat(1024 * 1024), &good[1..]);
    let answer = post(huge, json_type).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let good = post(good, Some("application/json; charset=utf-8")).await;
    assert_eq!(good.status, StatusCode::OK);
    let wrong_method = server.get("/api/traffic/update").await;
    assert_eq!(wrong_method.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_forgotten_agent_is_told_so_and_warned_of_once() {
    let server = Server::builder().start().await;
    for _ in 0..5 {
        for subject in ["traffic", "storage"] {
            let mut body = report("gone", 1.0);
            body["hostname"] = json!("host");
            body["timestamp"] = json!("now");
            body["storage_paths"] = json!([]);
            let answer = server.post(&format!("/api/{subject}/update"), &body).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND);
            assert_eq!(answer.text, r#"{"detail":"Service not found"}"#);
        }
    }
    for path in [
        "traffic/x/current",
        "traffic/x/history",
        "traffic/summary/current",
    ] {
        let answer = server.get(&format!("/api/{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.text, r#"{"detail":"Service not found"}"#);
    }
    let seen = || {
        server
            .log()
            .contains("/api/traffic/{service_id}/history -> 404")
    };
    until("the log", seen).await;
    let log = server.log();
    assert_eq!(log.matches("update: \"gone\"").count(), 1, "{log}");
}

#[tokio::test]
async fn a_history_is_as_long_as_asked_for() {
    let server = Server::builder().start().await;
    let id = machine(&server, "one").await;
    for n in 0..105_u8 {
        update(&server, &report(&id, n.into())).await;
    }
    let history = async |query: &str| {
        let answer = server
            .get(&format!("/api/traffic/{id}/history{query}"))
            .await;
        let points = answer.json().as_array().unwrap().clone();
        let bandwidths = points
            .iter()
            .map(|point| point["bandwidth_up"].as_f64().unwrap());
        bandwidths.collect::<Vec<f64>>()
    };
    let all = history("").await;
    assert_eq!((all.len(), all[0], all[99]), (100, 5.0, 104.0));
    assert_eq!(history("?limit=2").await, [103.0, 104.0]);
    assert_eq!(history("?limit=1000").await, all);
    assert!(history("?limit=0").await.is_empty());
    for bad in ["-1", "", "many", "1.5"] {
        let answer = server
            .get(&format!("/api/traffic/{id}/history?limit={bad}"))
            .await;
        assert_eq!(problems(&answer)[0].1, json!(["query", "limit"]), "{bad}");
    }
    let summary = server.get("/api/traffic/summary").await.json();
    let shown = summary["services"][0]["traffic_history"]
        .as_array()
        .unwrap();
    assert_eq!((shown.len(), &shown[0]["bandwidth_up"]), (60, &json!(45.0)));
}

#[tokio::test]
async fn reports_survive_a_restart() {
    let server = Server::builder().start().await;
    let id = machine(&server, "one").await;
    update(&server, &report(&id, 1.5)).await;
    update(&server, &report(&id, 2.5)).await;
    let history = server.get(&format!("/api/traffic/{id}/history")).await.text;
    let server = server.stop().await.start().await;
    assert_eq!(
        server.get(&format!("/api/traffic/{id}/history")).await.text,
        history
    );
    let list = server.get("/api/services/").await.json();
    assert_eq!(list[0]["traffic"]["bandwidth_up"], 2.5);
    assert_eq!(
        list[0]["traffic"]["cpu_percent"],
        Value::Null,
        "not stored, as in 3.3.0"
    );
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again_and_what_is_large_is_compressed() {
    let server = Server::builder()
        .env("MONITOR_INTERVAL", "3600")
        .start()
        .await;
    let id = machine(&server, "one").await;
    for _ in 0..20 {
        update(&server, &report(&id, 1.5)).await;
    }
    for path in ["/api/services/", "/api/traffic/summary"] {
        let ask = async |headers: &[(&str, &str)]| {
            let request = server.request(&Method::GET, path);
            let request = headers
                .iter()
                .fold(request, |r, (name, value)| r.header(*name, *value));
            server.send(request).await
        };
        let plain = ask(&[]).await;
        let etag = plain.headers["etag"].to_str().unwrap();
        assert_eq!(plain.headers["cache-control"], "private, no-cache");
        assert_eq!(plain.headers["content-type"], "application/json");
        let mut vary = plain.headers.get_all("vary").iter();
        assert!(vary.any(|value| value == "accept-encoding"));
        let again = ask(&[("if-none-match", etag)]).await;
        assert_eq!(
            (again.status, again.text.as_str()),
            (StatusCode::NOT_MODIFIED, "")
        );
        assert_eq!(again.headers["etag"], etag);

        let client = Client::builder().no_gzip().build().unwrap();
        let request = client.get(format!("{}{path}", server.url));
        let packed = request
            .header("accept-encoding", "gzip")
            .send()
            .await
            .unwrap();
        assert_eq!(packed.headers()["content-encoding"], "gzip");
        assert_eq!(packed.headers()["etag"], etag);
        let (packed, mut text) = (packed.bytes().await.unwrap(), String::new());
        GzDecoder::new(&packed[..])
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, plain.text, "{path}");

        update(&server, &report(&id, 9.5)).await;
        let changed = ask(&[("if-none-match", etag)]).await;
        assert_eq!(changed.status, StatusCode::OK);
        assert!(changed.text.contains("9.5"));
    }
}

//! What agents report of disks, and what is made of it.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Answer, Server};
use crate::traffic::{machine, problems};

fn path(path: &str, total: f64, used: f64, percent: f64) -> Value {
    json!({"path": path, "total": total, "used": used, "free": total - used, "percent": percent})
}

/// What 3.3.0's agent sends, with all that it can.
fn report(id: &str) -> Value {
    json!({
        "service_id": id, "hostname": "nas", "timestamp": "2026-11-22T13:13:55",
        "storage_paths": [path("/mnt/unionfs", 1000.0, 250.0, 25.0), path("/", 100.0, 75.0, 75.0)],
        "raid_arrays": [{
            "device": "/dev/md0", "status": "healthy", "level": "raid1", "devices": 2,
            "active_devices": 2, "failed_devices": 0, "spare_devices": 0,
            "disks": [{"device": "sda1", "state": "active", "role": "0"}],
        }],
        "zfs_pools": [{
            "pool": "tank", "status": "degraded", "state": "DEGRADED", "type": "zfs",
            "scan": "scrub repaired 0B", "errors": "No known data errors", "size": "10T",
            "allocated": "4T", "free": "6T", "capacity": "40%",
            "disks": [{"device": "sdb", "state": "ONLINE", "vdev_type": "mirror",
                "read_errors": 0, "write_errors": 0, "cksum_errors": 3}],
        }],
        "disks": [{"device": "sda", "mountpoint": "/", "fstype": "ext4", "read_bytes": 1,
            "write_bytes": 2, "read_count": 3, "write_count": 4}],
    })
}

async fn update(server: &Server, body: &Value) -> Answer {
    server.post("/api/storage/update", body).await
}

#[tokio::test]
async fn a_report_is_shown_as_it_came_and_summed_up() {
    let server = Server::builder().start().await;
    let id = machine(&server, "nas").await;
    machine(&server, "other").await;
    let current = format!("/api/storage/{id}/current");
    let never = r#"{"hostname":null,"storage_paths":[],"raid_arrays":[],"zfs_pools":[],"disks":[],"last_updated":null}"#;
    assert_eq!(server.get(&current).await.text, never);

    let taken = update(&server, &report(&id)).await;
    assert_eq!(
        taken.text,
        r#"{"status":"success","message":"Storage data updated"}"#
    );

    let shown = server.get(&current).await.json();
    let at = shown["last_updated"].as_str().unwrap().to_owned();
    assert!(
        at.ends_with('Z') && !at.starts_with("2026-11-22T13:13:55"),
        "ours, not the agent's"
    );
    let mut expected = report(&id);
    let fields = expected.as_object_mut().unwrap();
    fields.remove("service_id");
    fields.remove("timestamp");
    fields.insert("last_updated".to_owned(), json!(at));
    assert_eq!(shown, expected);
    assert_eq!(
        server.get("/api/services/").await.json()[0]["storage"],
        expected
    );

    let history = server.get(&format!("/api/storage/{id}/history")).await;
    let point = json!([{
        "timestamp": at, "hostname": "nas", "total_capacity": 1100.0, "total_used": 325.0,
        "total_free": 775.0, "average_usage_percent": 50.0,
        "raid_healthy": 1, "raid_degraded": 1, "raid_failed": 0,
    }]);
    assert_eq!(history.text, point.to_string());
    let summary = r#"{"total_services":2,"services_with_storage":1,"total_capacity":1100.0,"total_used":325.0,"total_free":775.0,"average_usage_percent":29.55,"total_raid_arrays":2,"healthy_raids":1,"degraded_raids":1,"failed_raids":0,"unmounted_paths":0}"#;
    assert_eq!(server.get("/api/storage/summary").await.text, summary);
}

#[tokio::test]
async fn a_report_may_be_small() {
    let server = Server::builder().start().await;
    let id = machine(&server, "nas").await;
    let mut body =
        json!({"service_id": id, "hostname": "nas", "timestamp": "", "storage_paths": []});
    assert_eq!(update(&server, &body).await.status, StatusCode::OK);
    body["storage_paths"] = json!([path("/mnt/UNIONFS", 0.0, 0.0, 0.0), {"path": "/", "total": "10",
        "used": 5, "free": true, "percent": "50"}]);
    body["zfs_pools"] = json!([{"pool": "p", "status": "recovering", "state": "ONLINE"}]);
    assert_eq!(update(&server, &body).await.status, StatusCode::OK);

    let pool = &server
        .get(&format!("/api/storage/{id}/current"))
        .await
        .json()["zfs_pools"][0];
    let defaults = json!({"pool": "p", "status": "recovering", "state": "ONLINE", "type": "zfs",
        "scan": null, "errors": "none", "size": null, "allocated": null, "free": null,
        "capacity": null, "disks": []});
    assert_eq!(pool, &defaults);
    let history = server
        .get(&format!("/api/storage/{id}/history"))
        .await
        .json();
    assert_eq!(history[0]["average_usage_percent"], 0.0);
    assert_eq!(
        history[1]["average_usage_percent"], 50.0,
        "without what is not mounted"
    );
    let summary = server.get("/api/storage/summary").await.json();
    assert_eq!(
        (&summary["unmounted_paths"], &summary["total_raid_arrays"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(summary["failed_raids"], 0, "it recovers");
    let one = server
        .get(&format!("/api/storage/{id}/history?limit=1"))
        .await
        .json();
    assert_eq!(one, json!([history[1]]));
}

#[tokio::test]
async fn reports_that_are_refused_change_nothing() {
    let server = Server::builder().start().await;
    let id = machine(&server, "nas").await;
    let path_with = |field: &str, value: Value| {
        let mut one = path("/", 1.0, 1.0, 1.0);
        one[field] = value;
        json!([path("/a", 1.0, 1.0, 1.0), one])
    };
    for (field, value, kind, place) in [
        ("hostname", Value::Null, "string_type", json!(["hostname"])),
        (
            "hostname",
            json!("h".repeat(256)),
            "string_too_long",
            json!(["hostname"]),
        ),
        ("timestamp", json!(5), "string_type", json!(["timestamp"])),
        (
            "storage_paths",
            Value::Null,
            "list_type",
            json!(["storage_paths"]),
        ),
        (
            "raid_arrays",
            Value::Null,
            "list_type",
            json!(["raid_arrays"]),
        ),
        ("zfs_pools", Value::Null, "list_type", json!(["zfs_pools"])),
        ("disks", Value::Null, "list_type", json!(["disks"])),
        ("disks", json!("sda"), "list_type", json!(["disks"])),
        (
            "disks",
            json!([7]),
            "model_attributes_type",
            json!(["disks", 0]),
        ),
        (
            "storage_paths",
            path_with("total", json!("NaN")),
            "finite_number",
            json!(["storage_paths", 1, "total"]),
        ),
        (
            "storage_paths",
            path_with("percent", Value::Null),
            "float_type",
            json!(["storage_paths", 1, "percent"]),
        ),
        (
            "zfs_pools",
            json!([{"pool": "p", "status": "s", "state": "s", "errors": null}]),
            "string_type",
            json!(["zfs_pools", 0, "errors"]),
        ),
        (
            "zfs_pools",
            json!([{"pool": "p", "status": "s", "state": "s",
            "disks": [{"device": "d", "state": "s", "read_errors": 1.5}]}]),
            "int_from_float",
            json!(["zfs_pools", 0, "disks", 0, "read_errors"]),
        ),
    ] {
        let mut body = report(&id);
        body[field] = value.clone();
        let found = problems(&update(&server, &body).await);
        let mut expected = vec![json!("body")];
        expected.extend(place.as_array().unwrap().clone());
        assert_eq!(
            found,
            [(kind.to_owned(), json!(expected))],
            "{field}: {value}"
        );
    }
    let current = server
        .get(&format!("/api/storage/{id}/current"))
        .await
        .json();
    assert_eq!(current["last_updated"], Value::Null);
}

#[tokio::test]
async fn all_problems_of_a_report_are_named_at_once() {
    let server = Server::builder().start().await;
    let id = machine(&server, "nas").await;
    let mut body = report(&id);
    body["raid_arrays"] = json!([{"device": "md0", "status": "s", "level": "l", "devices": "2",
        "active_devices": "two", "spare_devices": null}]);
    let kinds: Vec<String> = problems(&update(&server, &body).await)
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(kinds, ["int_parsing", "missing", "int_type"]);
    let missing = problems(&update(&server, &json!({})).await);
    assert_eq!(
        missing.len(),
        4,
        "service_id, hostname, timestamp, storage_paths"
    );
}

#[tokio::test]
async fn a_report_survives_a_restart() {
    let server = Server::builder().start().await;
    let id = machine(&server, "nas").await;
    update(&server, &report(&id)).await;
    let paths = [
        format!("/api/storage/{id}/current"),
        format!("/api/storage/{id}/history"),
        "/api/storage/summary".to_owned(),
    ];
    let mut before = Vec::new();
    for path in &paths {
        before.push(server.get(path).await.text);
    }
    let server = server.stop().await.start().await;
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(server.get(path).await.text, before, "{path}");
    }
}

//! `/api/services`: what people do with services, and what is left of it after a restart.

use std::path::Path;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::database::{SCHEMA, prepare};
use crate::harness::{Server, Target, database, nowhere, until, until_asked};

const UNKNOWN: &str = r#"{"detail":"Service not found"}"#;

fn path(service: &Value) -> String {
    format!("/api/services/{}", service["id"].as_str().expect("an id"))
}

/// The names of all services in the database, in their order.
async fn stored(directory: &Path) -> Vec<String> {
    database::texts(directory, "SELECT name FROM services ORDER BY rowid").await
}

#[tokio::test]
async fn a_service_lives_from_its_creation_to_its_end() {
    let target = Target::start().await;
    let server = Server::builder().start().await;
    let body = json!({"name": "Übung <1>", "url": target.at("/status/200"), "type": "panel",
        "description": "For all", "icon": "/icons/a.png", "group": null, "status": "problem"});
    let answer = server.post("/api/services/", &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    let created = answer.json();
    let keys: Vec<&String> = created.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "id",
            "name",
            "url",
            "type",
            "status",
            "last_check",
            "response_time",
            "description",
            "icon",
            "group",
            "traffic",
            "traffic_history",
            "response_history",
            "storage",
            "storage_history"
        ]
    );
    assert_eq!(created["name"], "Übung <1>");
    assert_eq!(created["type"], "panel");
    assert_eq!(created["status"], "online", "what a check found");
    assert_eq!(created["description"], "For all");
    assert_eq!(created["group"], json!(null));
    assert_eq!(
        (&created["traffic"], &created["storage"]),
        (&json!(null), &json!(null))
    );
    assert_eq!(created["id"].as_str().unwrap().len(), 36);
    assert_eq!(server.get(&path(&created)).await.json(), created);
    assert_eq!(
        server.get(&format!("{}/", path(&created))).await.json(),
        created
    );

    let change = json!({"name": "Renamed", "icon": null, "group": "Home"});
    let changed = server.put(&path(&created), &change).await;
    assert_eq!(changed.status, 200);
    let changed = changed.json();
    assert_eq!(changed["name"], "Renamed");
    assert_eq!(
        (&changed["icon"], &changed["group"]),
        (&json!(null), &json!("Home"))
    );
    for kept in ["id", "url", "type", "description"] {
        assert_eq!(changed[kept], created[kept], "{kept}");
    }
    let checks = changed["response_history"].as_array().unwrap().len();
    assert_eq!(checks, 2, "a change is followed by a check");

    let removed = server.delete(&path(&created)).await;
    assert_eq!((removed.status.as_u16(), removed.text.as_str()), (204, ""));
    for method in [Method::GET, Method::DELETE] {
        let answer = server.send(server.request(&method, &path(&created))).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (404, UNKNOWN)
        );
    }
    let log = server.log();
    for line in [
        "INFO - Added service: Übung <1> (http://127.0.0.1:",
        "INFO - Updated service: Renamed",
        "INFO - Removed service: Renamed",
        "WARNING - Service not found: ",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
}

#[tokio::test]
async fn what_can_not_be_stored_is_refused() {
    let server = Server::builder().start().await;
    let service = server.add_service("", "").await;
    assert_eq!(
        (&service["name"], &service["url"]),
        (&json!(""), &json!(""))
    );
    let problems = |answer: crate::harness::Answer| -> Vec<(Value, Value)> {
        assert_eq!(answer.status, 422, "{answer:?}");
        let problems = answer.json()["detail"].as_array().unwrap().clone();
        problems
            .into_iter()
            .map(|problem| (problem["loc"][1].clone(), problem["type"].clone()))
            .collect()
    };
    let missing = server.post("/api/services", &json!({})).await;
    assert_eq!(
        problems(missing),
        ["name", "url", "type"].map(|name| (json!(name), json!("missing")))
    );
    let kind = json!({"name": "a", "url": "b", "type": "toaster"});
    let answer = server.post("/api/services", &kind).await;
    let text = "Input should be 'app', 'website', 'panel', 'project' or 'server'";
    assert_eq!(answer.json()["detail"][0]["msg"], text);
    let nothing = json!({"name": null, "url": null, "type": null, "icon": 4});
    let answer = server.put(&path(&service), &nothing).await;
    assert_eq!(
        problems(answer),
        [
            (json!("name"), json!("string_type")),
            (json!("url"), json!("string_type")),
            (json!("type"), json!("literal_error")),
            (json!("icon"), json!("string_type")),
        ]
    );
    assert_eq!(server.put(&path(&service), &json!({})).await.status, 200);
    let answer = server
        .put("/api/services/nobody", &json!({"name": "x"}))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.text.as_str()),
        (404, UNKNOWN)
    );
    let check = server.request(&Method::POST, "/api/services/nobody/check");
    assert_eq!(server.send(check).await.status, 404);
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    let target = Target::start().await;
    let mut server = Server::builder().start().await;
    let gone = nowhere().await;
    for number in 0..12 {
        let url = match number % 3 {
            0 => target.at("/status/200"),
            1 => target.at("/status/404"),
            _ => gone.clone(),
        };
        server.add_service(&format!("Service {number}"), &url).await;
    }
    let added = server.check_all().await;
    assert_eq!(server.delete(&path(&added[5])).await.status, 204);
    server
        .put(&path(&added[0]), &json!({"name": "The first"}))
        .await;
    let show = async |server: &Server| {
        let ids = added.iter().enumerate().filter(|(at, _)| *at != 5);
        join_all(ids.map(|(_, service)| server.service(service["id"].as_str().unwrap()))).await
    };
    let before = show(&server).await;
    server = server.stop().await.start().await;
    let mut after = show(&server).await;
    // As in 3.3.0, an empty text is nothing after a restart.
    for service in &mut after {
        for field in ["description", "icon", "group"] {
            assert_eq!(service[field], json!(null));
            service[field] = json!("");
        }
    }
    assert_eq!(after, before);
    assert!(
        server
            .log()
            .contains("INFO - Loaded 11 services from database")
    );
    let names = |services: &[Value]| -> Vec<Value> {
        services
            .iter()
            .map(|service| service["name"].clone())
            .collect()
    };
    server.add_service("The last", &gone).await;
    let mut expected = names(&before);
    expected.push(json!("The last"));
    assert_eq!(
        names(&server.check_all().await),
        expected,
        "the order stays"
    );
}

#[tokio::test]
async fn odd_rows_of_an_old_database_hide_no_other() {
    let builder = Server::builder();
    let odd = "INSERT INTO services (id, name, url, type, status, response_time, description,
            last_check, traffic_last_updated, storage_data, storage_last_updated) VALUES
            ('good', 'Good', 'http://127.0.0.1:1', 'app', 'online', 12.5, 'text',
                '2025-11-22 08:26:40.000000', NULL, NULL, NULL),
            ('null', 'Null', 'http://127.0.0.1:1', 'app', NULL, 0, '', NULL, NULL, NULL, NULL),
            ('asleep', x'ff', 5, 'toaster', 'asleep', 'fast', x'00', 'yesterday', 'never', '{', 7),
            ('storage', 'S', 'u', 'server', 'problem', 9e999, NULL, '2025-11-22', NULL,
                '{\"hostname\": \"nas\", \"storage_paths\": [{\"path\": \"/\"}, {\"path\": \"/a\",
                 \"total\": 1, \"used\": 2.5, \"free\": 3.0, \"percent\": 4.0}],
                 \"raid_arrays\": null, \"disks\": 5}', '2025-11-22 08:26:40.000000'),
            ('paths', 'P', 'u', 'server', 'online', 1.0, NULL, NULL, '2025-11-22T08:26:40Z',
                '{\"hostname\": \"nas\", \"storage_paths\": [{\"path\": \"/\"}, {\"path\": \"/a\",
                 \"total\": 1, \"used\": 2.5, \"free\": 3.0, \"percent\": 4.0}],
                 \"raid_arrays\": null}', '2025-11-22 08:26:40.000000');
        INSERT INTO response_history VALUES (1, 'good', 'never', 1.0),
            (2, 'good', '2025-11-22 08:26:40.000000', 9e999), (3, 'gone', '2025-11-22', 1),
            (4, 'good', '2025-11-22 08:26:40.000000', 'x'), (5, 'good', '2025-11-22 08:26:40', 7);
        INSERT INTO storage_history VALUES
            (1, 'paths', '2025-11-22 08:26:40.5', 'nas', 1, 2, 3, 4, NULL, 1, 'x');";
    prepare(&builder, &[SCHEMA, odd]).await;
    let server = builder.start().await;
    let good = server.service("good").await;
    assert_eq!(
        (&good["status"], &good["response_time"]),
        (&json!("online"), &json!(12.5))
    );
    assert_eq!(good["last_check"], "2025-11-22T08:26:40Z");
    let point = json!({"timestamp": "2025-11-22T08:26:40Z", "response_time": 7.0});
    assert_eq!(good["response_history"], json!([point]));
    let null = server.service("null").await;
    assert_eq!(
        (&null["status"], &null["response_time"]),
        (&json!("offline"), &json!(null))
    );
    assert_eq!(null["description"], json!(null));
    let asleep = server.service("asleep").await;
    assert_eq!(
        (&asleep["name"], &asleep["type"]),
        (&json!(""), &json!("toaster"))
    );
    assert_eq!(
        (&asleep["url"], &asleep["status"]),
        (&json!("5"), &json!("offline"))
    );
    for field in ["last_check", "response_time", "traffic", "storage"] {
        assert_eq!(asleep[field], json!(null), "{field}");
    }
    let storage = server.service("storage").await;
    assert_eq!(
        (&storage["status"], &storage["response_time"]),
        (&json!("problem"), &json!(null))
    );
    let empty = json!({"hostname": "unknown", "storage_paths": [], "raid_arrays": [],
        "zfs_pools": [], "disks": [], "last_updated": "2025-11-22T08:26:40Z"});
    assert_eq!(storage["storage"], empty, "a part of another kind");
    let paths = server.service("paths").await;
    let expected = json!([{"path": "/a", "total": 1.0, "used": 2.5, "free": 3.0, "percent": 4.0}]);
    assert_eq!(paths["storage"]["storage_paths"], expected);
    assert_eq!(paths["traffic"]["last_updated"], "2025-11-22T08:26:40Z");
    assert_eq!(paths["traffic"]["bandwidth_up"], 0.0);
    assert_eq!(paths["storage_history"][0]["raid_degraded"], 1);
    assert_eq!(paths["storage_history"][0]["raid_healthy"], 0);
    let log = server.log();
    for line in [
        "WARNING - Service null has no status",
        "WARNING - Service asleep has no name",
        "WARNING - Service asleep has the unknown status \"asleep\"",
        "INFO - Loaded 5 services from database",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    let checked = server.check_all().await;
    assert_eq!(checked.len(), 5);
    let builder = server.stop().await;
    let without = "SELECT count(*) FROM services WHERE status IS NULL";
    assert_eq!(database::texts(builder.directory(), without).await, ["0"]);
}

#[tokio::test]
async fn of_a_long_history_the_newest_are_shown_and_some_more_kept() {
    let target = Target::start().await;
    let builder = Server::builder();
    let url = target.at("/status/200");
    let filled = format!(
        "INSERT INTO services (id, name, url, type) VALUES ('s', 'S', '{url}', 'app'),
            ('other', 'O', '{url}', 'app');
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
        INSERT INTO response_history (service_id, timestamp, response_time)
        SELECT CASE WHEN i % 2 THEN 's' ELSE 'other' END,
            strftime('%Y-%m-%d %H:%M:%S.000000', 1700000000 + i, 'unixepoch'), i FROM n"
    );
    prepare(&builder, &[SCHEMA, &filled]).await;
    let server = builder.start().await;
    let shown = server.service("s").await;
    let history = shown["response_history"].as_array().unwrap();
    assert_eq!(history.len(), 100);
    assert_eq!(history[0]["response_time"], 2801.0);
    assert_eq!(history[99]["response_time"], 2999.0);
    let checked = server
        .send(server.request(&Method::POST, "/api/services/s/check"))
        .await
        .json();
    let history = checked["response_history"].as_array().unwrap();
    assert_eq!(history.len(), 100);
    assert_eq!(history[0]["response_time"], 2803.0);
    let directory = server.stop().await;
    let counts = "SELECT count(*) || ' ' || min(id) FROM response_history \
        GROUP BY service_id ORDER BY service_id";
    assert_eq!(
        database::texts(directory.directory(), counts).await,
        ["1500 2", "1000 1003"],
        "where nothing was added nothing is removed"
    );
}

#[tokio::test]
async fn a_deleted_service_leaves_nothing_and_does_not_come_back() {
    let target = Target::start().await;
    let mut server = Server::builder().start().await;
    let kept = server.add_service("Kept", &target.at("/status/200")).await;
    let gone = server.add_service("Gone", &target.at("/status/200")).await;
    let id = gone["id"].as_str().unwrap().to_owned();
    let others = format!(
        "INSERT INTO traffic_history (service_id, timestamp, bandwidth_up, bandwidth_down,
            total_up, total_down) VALUES ('{id}', '2025-11-22 08:26:40.000000', 1, 1, 1, 1);
        INSERT INTO storage_history (service_id, timestamp, hostname, total_capacity, total_used,
            total_free, average_usage_percent) VALUES
            ('{id}', '2025-11-22 08:26:40.000000', 'h', 1, 1, 1, 1);
        INSERT INTO traffic_hours VALUES ('{id}', '2099-11-22T08', 1, 1);"
    );
    database::execute(server.directory.path(), &others).await;
    server
        .put(&path(&gone), &json!({"url": target.at("/status/500")}))
        .await;
    // A check is on its way, and the outcome of another waits to be written.
    let before = target.requests();
    let held = json!({"url": target.at("/held")});
    let gone_path = path(&gone);
    let checking = server.put(&gone_path, &held);
    let deleting = async {
        until("the check", || target.requests() > before).await;
        let removed = server.delete(&path(&gone)).await;
        assert_eq!(removed.status, 204);
        target.release();
    };
    let (checked, ()) = tokio::join!(checking, deleting);
    assert_eq!(checked.status, 200, "who waited for the check is answered");
    server.check_all().await;
    for round in 0..2 {
        let builder = server.stop().await;
        assert_eq!(stored(builder.directory()).await, ["Kept"], "{round}");
        for table in [
            "response_history",
            "traffic_history",
            "storage_history",
            "traffic_hours",
        ] {
            let rows = format!("SELECT count(*) FROM {table} WHERE service_id = '{id}'");
            let rows = database::texts(builder.directory(), &rows).await;
            assert_eq!(rows, ["0"], "{table}, {round}");
        }
        server = builder.start().await;
    }
    assert_eq!(server.get(&path(&gone)).await.status, 404);
    assert_eq!(server.get(&path(&kept)).await.status, 200);
}

#[tokio::test]
async fn edits_at_the_same_time_leave_memory_and_database_alike() {
    let target = Target::start().await;
    let server = Server::builder()
        .env("MONITOR_INTERVAL", "0.02")
        .start()
        .await;
    let names = (0..8).map(|number| format!("s{number}"));
    let names: Vec<String> = names.collect();
    let url = target.at("/slow/20");
    let services = join_all(names.iter().map(|name| server.add_service(name, &url))).await;
    for round in 0..4 {
        let edits = services.iter().enumerate().flat_map(|(number, service)| {
            let path = path(service);
            let server = &server;
            (0..4).map(move |writer| {
                let path = path.clone();
                async move {
                    if writer == 3 && number % 4 == round {
                        server.delete(&path).await.status
                    } else {
                        let name = format!("{number} {round} {writer}");
                        server.put(&path, &json!({"name": name})).await.status
                    }
                }
            })
        });
        let statuses = join_all(edits).await;
        let expected = |status: &reqwest::StatusCode| [200, 204, 404].contains(&status.as_u16());
        assert!(statuses.iter().all(expected), "{statuses:?}");
        let shown = server.check_all().await;
        let shown: Vec<&str> = shown
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(shown, stored(server.directory.path()).await);
        assert_eq!(shown.len(), 8 - 2 * (round + 1));
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn who_leaves_stops_no_edit() {
    let target = Target::start().await;
    let server = Server::builder().start().await;
    let body = json!({"name": "Slow", "url": target.at("/held"), "type": "app"});
    let request = server
        .request(&Method::POST, "/api/services")
        .header("content-type", "application/json")
        .body(body.to_string());
    let gone = tokio::spawn(request.send());
    until("the check", || target.requests() == 1).await;
    gone.abort();
    target.release();
    until_asked("its outcome", async || {
        let services = server.check_all();
        target.release();
        let services = services.await;
        services.len() == 1 && services[0]["response_history"][0].is_object()
    })
    .await;
}

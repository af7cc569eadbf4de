//! Checks of services: what each outcome means, rounds, and what is left of them after a stop.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use komandorr::demo::Simulator;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Server, Target, database, nowhere, plex, soak, until, until_asked};

const STATUS: &str = "SELECT status FROM services ORDER BY rowid";

fn id(service: &Value) -> String {
    service["id"].as_str().expect("an id").to_owned()
}

async fn check(server: &Server, id: &str) -> Value {
    let path = format!("/api/services/{id}/check");
    let answer = server.send(server.request(&Method::POST, &path)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn an_outcome_means_what_it_meant() {
    let target = Target::start().await;
    let server = Server::builder().start().await;
    let with_password = |path| target.at(path).replace("http://", "http://user:pass@");
    for (url, status, measured) in [
        (target.at("/status/200"), "online", true),
        (target.at("/status/204"), "online", true),
        (target.at("/status/304"), "online", true),
        (target.at("/redirect/20"), "online", true),
        (target.at("/cookie"), "online", true),
        (target.at("/unencoded"), "online", true),
        (target.at("/endless"), "online", true),
        (with_password("/password"), "online", true),
        (target.at("/password"), "problem", true),
        (target.at("/status/404"), "problem", true),
        (target.at("/status/500"), "problem", true),
        (target.at("/redirect/21"), "offline", false),
        (target.at("/broken"), "offline", false),
        (target.at("/garbage"), "offline", false),
        (target.at("/closed"), "offline", false),
        (nowhere().await, "offline", false),
        ("http://nobody.invalid/".to_owned(), "offline", false),
        ("nas".to_owned(), "offline", false),
        ("ftp://127.0.0.1/".to_owned(), "offline", false),
        (String::new(), "offline", false),
    ] {
        let service = server.add_service("One", &url).await;
        assert_eq!(service["status"], status, "{url}: {service}");
        assert_eq!(
            service["response_time"].is_f64(),
            measured,
            "{url}: {service}"
        );
        let history = service["response_history"].as_array().unwrap();
        assert_eq!(history.len(), usize::from(measured), "{url}: {service}");
        let at = service["last_check"].as_str().unwrap();
        assert!(at.ends_with('Z'), "{at}");
        if let Some(point) = history.first() {
            assert_eq!(point["response_time"], service["response_time"]);
            assert_eq!(point["timestamp"], service["last_check"]);
        }
    }
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_a_problem_and_holds_up_nobody_else() {
    let target = Target::start().await;
    let server = Server::builder()
        .env("MONITOR_INTERVAL", "0.1")
        .start()
        .await;
    let hanging = target.at("/hang");
    let started = Instant::now();
    let (slow, fast) = tokio::join!(server.add_service("Slow", &hanging), async {
        let fast = server.add_service("Fast", &target.at("/status/200")).await;
        let taken = started.elapsed();
        assert!(taken < Duration::from_secs(5), "{taken:?}");
        fast
    });
    let taken = started.elapsed();
    assert!(
        taken > Duration::from_secs(9) && taken < Duration::from_secs(14),
        "{taken:?}"
    );
    assert_eq!(
        (&slow["status"], &slow["response_time"]),
        (&json!("problem"), &json!(null))
    );
    assert_eq!(slow["response_history"], json!([]));
    assert_eq!(fast["status"], "online");
    assert!(
        server.log().contains("WARNING - Service Slow timed out"),
        "{}",
        server.log()
    );
}

#[tokio::test]
async fn rounds_notice_every_change_and_the_log_is_told_of_changes_only() {
    let target = Target::start().await;
    let server = Server::builder()
        .env("MONITOR_INTERVAL", "0.05")
        .start()
        .await;
    let service = server.add_service("Wiki", &target.at("/switched")).await;
    let id = id(&service);
    let turns = async |status: &str| {
        until_asked(status, async || {
            server.service(&id).await["status"] == status
        })
        .await;
    };
    for (answer, status) in [
        (503, "problem"),
        (200, "online"),
        (404, "problem"),
        (200, "online"),
    ] {
        target.switch(answer);
        turns(status).await;
        let before = target.requests();
        until("some more rounds", || target.requests() > before + 3).await;
    }
    let log = server.log();
    for line in [
        "Starting service monitoring (interval: 0.05s)",
        "WARNING - Service Wiki returned status 503",
        "WARNING - Service Wiki returned status 404",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }
    assert_eq!(
        log.matches("INFO - Service Wiki is online again").count(),
        2,
        "{log}"
    );
    assert_eq!(
        target.connections(),
        target.requests(),
        "each check has a connection of its own"
    );
    let shown = server.service(&id).await;
    assert!(shown["response_history"].as_array().unwrap().len() <= 100);
    let mut server = server;
    server.signal("TERM").await;
    assert!(server.end().await.success());
    assert!(
        server.log().contains("INFO - Stopping service monitoring"),
        "{}",
        server.log()
    );
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn checks_of_one_service_at_the_same_time_are_one() {
    let target = Target::start().await;
    let server = Server::builder().start().await;
    let service = server.add_service("One", &target.at("/slow/300")).await;
    let id = id(&service);
    let before = target.requests();
    let shown = join_all((0..8).map(|_| check(&server, &id))).await;
    assert_eq!(target.requests(), before + 1);
    for service in &shown {
        assert_eq!(service, &shown[0]);
        assert_eq!(service["response_history"].as_array().unwrap().len(), 2);
        let taken = service["response_time"].as_f64().unwrap();
        assert!((300.0..3000.0).contains(&taken), "{taken}");
    }
}

#[tokio::test]
async fn an_outcome_of_an_address_that_was_changed_meanwhile_does_not_count() {
    let target = Target::start().await;
    let server = Server::builder().start().await;
    let service = server.add_service("One", &target.at("/status/404")).await;
    let path = format!("/api/services/{}", id(&service));
    let held = json!({"url": target.at("/held")});
    let before = target.requests();
    let changed = async {
        until("the check of the held one", || {
            target.requests() == before + 1
        })
        .await;
        let gone = json!({"url": nowhere().await});
        let answer = server.put(&path, &gone).await;
        target.release();
        answer.json()
    };
    let (late, changed) = tokio::join!(server.put(&path, &held), changed);
    assert_eq!(late.status, 200);
    assert_eq!(changed["status"], "offline");
    assert_eq!(late.json()["status"], "offline");
    let shown = server.service(&id(&service)).await;
    assert_eq!(
        shown["response_history"].as_array().unwrap().len(),
        1,
        "{shown}"
    );
}

#[tokio::test]
async fn services_are_counted_as_they_are_now() {
    let target = Target::start().await;
    let server = Server::builder()
        .env("STATS_REFRESH_INTERVAL", "0.05")
        .start()
        .await;
    assert_eq!(server.get("/api/health").await.json()["services_count"], 0);
    for path in ["/status/200", "/status/200", "/status/404"] {
        server.add_service("One", &target.at(path)).await;
    }
    server.add_service("Gone", &nowhere().await).await;
    assert_eq!(server.get("/api/health").await.json()["services_count"], 4);
    let expected = json!({"total": 4, "online": 2, "offline": 1, "problem": 1});
    until_asked("the figures", async || {
        let dashboard = server.get("/api/plex/stats/dashboard").await.json();
        dashboard["services"] == expected
    })
    .await;
}

#[tokio::test]
async fn a_stop_keeps_what_was_just_found_out() {
    let target = Target::start().await;
    let server = Server::builder().start().await;
    let service = server.add_service("One", &target.at("/status/500")).await;
    let builder = server.stop().await;
    assert_eq!(
        database::texts(builder.directory(), STATUS).await,
        ["problem"]
    );
    let server = builder.start().await;
    assert_eq!(
        server.service(&id(&service)).await["last_check"],
        service["last_check"]
    );
}

#[tokio::test]
async fn a_database_that_is_held_refuses_people_and_loses_no_check() {
    let target = Target::start().await;
    let server = Server::builder().start().await;
    let service = server.add_service("One", &target.at("/status/200")).await;
    let id = id(&service);
    let rows = "SELECT count(*) FROM response_history";
    let stored = async || database::texts(server.directory.path(), rows).await[0].clone();
    until_asked("the first check", async || stored().await == "1").await;
    let mut other = database::open(server.directory.path(), false).await;
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    for _ in 0..3 {
        check(&server, &id).await;
    }
    let started = Instant::now();
    let refused = server
        .put(&format!("/api/services/{id}"), &json!({"name": "Two"}))
        .await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.text.contains("The database is busy"), "{refused:?}");
    assert!(started.elapsed() < Duration::from_secs(7), "{started:?}");
    assert_eq!(server.service(&id).await["name"], "One");
    until("the recorder's complaint", || {
        server
            .log()
            .contains("ERROR - Failed to save services to database: The database is busy")
    })
    .await;
    check(&server, &id).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    until_asked("all checks", async || stored().await == "5").await;
    assert_eq!(
        server.service(&id).await["response_history"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
}

/// Has `plex` written into `config.json`.
fn choose(
    server: &Server,
    plex: &Simulator,
) -> impl Future<Output = reqwest::Result<reqwest::Response>> + use<> {
    let body = json!({"url": plex.url(), "token": plex.token()}).to_string();
    let request = server.request(&Method::POST, "/api/plex/config");
    request
        .header("content-type", "application/json")
        .body(body)
        .send()
}

/// Services that are checked all the time while people edit, and a server that is killed.
#[tokio::test]
async fn kills_in_the_middle_of_writes_damage_nothing() {
    let target = Target::start().await;
    let plexes = [plex(0).await, plex(0).await];
    let kills = if soak() { 20 } else { 4 };
    let mut builder = Server::builder().env("MONITOR_INTERVAL", "0.02");
    let mut most = 0;
    for kill in 0..kills {
        let server = builder.start().await;
        let kept = server.get("/api/health").await.json()["services_count"].clone();
        assert!(
            kept.as_u64() >= Some(most),
            "{kept} of {most} are left after {kill} kills"
        );
        let names = ["a", "b", "c", "d", "e", "f"];
        let added = names.map(|name| server.add_service(name, &target.url));
        most = kept.as_u64().unwrap() + 6;
        let added = join_all(added).await;
        let gone = format!("/api/services/{}", id(&added[0]));
        assert_eq!(server.delete(&gone).await.status, 204);
        most -= 1;
        let rows = "SELECT count(*) FROM response_history";
        let before = database::texts(server.directory.path(), rows).await;
        until_asked("writes", async || {
            database::texts(server.directory.path(), rows).await != before
        })
        .await;
        let edits = added[1..].iter().enumerate().map(|(number, service)| {
            let path = format!("/api/services/{}", id(service));
            let request = server.request(&Method::PUT, &path);
            let name = json!({"name": format!("changed {number}")}).to_string();
            request
                .header("content-type", "application/json")
                .body(name)
                .send()
        });
        let edits = tokio::spawn(join_all(edits.collect::<Vec<_>>()));
        let choices = [0, 1].map(|number| choose(&server, &plexes[number]));
        let choices = tokio::spawn(join_all(choices));
        // At different moments of all this.
        tokio::time::sleep(Duration::from_millis(7 * kill)).await;
        builder = server.kill().await;
        drop((edits.await, choices.await));
        let directory = builder.directory();
        if let Ok(config) = std::fs::read(directory.join("data/config.json")) {
            let config: Value = serde_json::from_slice(&config).expect("a whole file");
            let url = &config["plex"]["server_url"];
            assert!(plexes.iter().any(|plex| *url == plex.url()), "{config}");
        }
        assert_eq!(database::integrity(directory).await, "ok");
        let twice =
            "SELECT count(*) - count(DISTINCT service_id || timestamp) FROM response_history";
        assert_eq!(
            database::texts(directory, twice).await,
            ["0"],
            "nothing is there twice"
        );
        let orphans = "SELECT count(*) FROM response_history WHERE service_id NOT IN \
            (SELECT id FROM services)";
        assert_eq!(database::texts(directory, orphans).await, ["0"]);
    }
    let server = builder.start().await;
    assert_eq!(server.check_all().await.len() as u64, most);
}

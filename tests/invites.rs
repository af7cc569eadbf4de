//! `/api/invites`: what the owner does with invites and friends, and what strangers are told.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use komandorr::demo::Fault;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Server, database, plex, until, until_asked};

const ALL: &str = "/api/invites/";
const CONFIG: &str = "/api/invites/plex/config";
const USERS: &str = "/api/invites/users";
const LIBRARIES: &str = "/library/sections";

async fn create(server: &Server, body: &Value) -> Value {
    let answer = server.post(ALL, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn list(server: &Server, query: &str) -> Vec<Value> {
    let answer = server.get(&format!("{ALL}{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json().as_array().expect("a list").clone()
}

/// The field of each, in their order.
fn each(list: &[Value], field: &str) -> Vec<Value> {
    list.iter().map(|one| one[field].clone()).collect()
}

async fn change(server: &Server, id: &Value, body: &Value) -> Value {
    let answer = server.put(&format!("{ALL}{id}"), body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn validate(server: &Server, code: &str) -> Value {
    let path = format!("/api/invites/validate?code={code}");
    let answer = server.send(server.request(&Method::POST, &path)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn execute(server: &Server, sql: &str) {
    database::execute(server.directory.path(), sql).await;
}

async fn logged(server: &Server, text: &str) {
    until(text, || server.log().contains(text)).await;
}

/// The type of the one problem, and where it is.
fn problem(answer: &Answer) -> (String, Value) {
    assert_eq!(answer.status, 422, "{answer:?}");
    let detail = &answer.json()["detail"];
    assert_eq!(detail.as_array().map(Vec::len), Some(1), "{answer:?}");
    let kind = detail[0]["type"].as_str().unwrap().to_owned();
    (kind, detail[0]["loc"].clone())
}

fn detail(answer: &Answer) -> (u16, String) {
    let detail = answer.json()["detail"].as_str().expect("a text").to_owned();
    (answer.status.as_u16(), detail)
}

/// Creates an invite with much to say, and looks at it.
async fn create_family(server: &Server) -> Value {
    let body = json!({"custom_code": " family-1 ", "usage_limit": "5", "expires_in_days": 30,
                      "allow_sync": true, "plex_server": "default", "libraries": "1,2"});
    let created = create(server, &body).await;
    let keys: Vec<&String> = created.as_object().unwrap().keys().collect();
    let expected = "id code created_at created_by expires_at usage_limit used_count allow_sync \
                    allow_camera_upload allow_channels plex_home libraries is_active plex_server \
                    is_expired is_exhausted";
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    for (field, value) in [
        ("code", json!("FAMILY-1")),
        ("created_by", json!("admin")),
        ("usage_limit", json!(5)),
        ("used_count", json!(0)),
        ("allow_sync", json!(true)),
        ("allow_camera_upload", json!(false)),
        ("libraries", json!("1,2")),
        ("is_active", json!(true)),
        ("plex_server", json!("Plex Server")),
        ("is_expired", json!(false)),
        ("is_exhausted", json!(false)),
    ] {
        assert_eq!(created[field], value, "{field}");
    }
    let time = |field: &str| -> chrono::DateTime<chrono::Utc> {
        let text = created[field].as_str().unwrap();
        assert!(text.ends_with('Z'), "{text}");
        text.parse().unwrap()
    };
    assert_eq!(
        time("expires_at") - time("created_at"),
        chrono::TimeDelta::days(30)
    );
    created
}

#[tokio::test]
async fn an_invite_lives_from_its_creation_to_its_deletion() {
    let server = Server::builder().start().await;
    let created = create_family(&server).await;
    logged(&server, "Created invite FAMILY-1 by admin").await;

    // Nothing said: everything by default, and without a slash.
    let plain = json!({"custom_code": null, "expires_in_days": 0});
    let plain = server.post("/api/invites", &plain).await.json();
    let code = plain["code"].as_str().unwrap();
    assert_eq!(code.len(), 8);
    assert!(
        code.bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()),
        "{code}"
    );
    assert_eq!(
        (&plain["expires_at"], &plain["usage_limit"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(plain["libraries"], "all");
    let id = &created["id"];
    let listed = list(&server, "").await;
    assert_eq!(
        each(&listed, "code"),
        [code, "FAMILY-1"],
        "the newest first"
    );
    assert_eq!(listed[1]["users"], json!([]));
    let alone = server.get(&format!("/api/invites/{id}")).await.json();
    assert_eq!(alone, listed[1]);

    let off = change(&server, id, &json!({"is_active": false})).await;
    assert_eq!(
        (&off["is_active"], &off["usage_limit"]),
        (&json!(false), &json!(5))
    );
    assert_eq!(each(&list(&server, "").await, "code"), [code]);
    assert_eq!(list(&server, "?include_inactive=false").await.len(), 1);
    assert_eq!(list(&server, "?include_inactive=1").await.len(), 2);
    let answer = server.get("/api/invites?include_inactive=perhaps").await;
    assert_eq!(
        problem(&answer),
        (
            "bool_parsing".to_owned(),
            json!(["query", "include_inactive"])
        )
    );

    let path = format!("{ALL}{id}");
    let deleted = server.delete(&path).await;
    assert_eq!(
        deleted.text,
        r#"{"success":true,"message":"Invite deleted successfully"}"#
    );
    let gone = (404, "Invite not found".to_owned());
    assert_eq!(detail(&server.delete(&path).await), gone);
    assert_eq!(detail(&server.get(&path).await), gone);
    assert_eq!(detail(&server.put(&path, &json!({})).await), gone);
    // What was answered is on disk.
    let server = server.kill().await.start().await;
    assert_eq!(
        each(&list(&server, "?include_inactive=on").await, "code"),
        [code]
    );
}

#[tokio::test]
async fn what_makes_no_invite_is_refused() {
    let server = Server::builder().start().await;
    create(&server, &json!({"custom_code": "TAKEN"})).await;
    let signs = "Custom code can only contain letters, numbers, hyphens, and underscores";
    for (code, text) in [
        ("abc", "Custom code must be at least 4 characters long"),
        ("   ", "Custom code must be at least 4 characters long"),
        ("----", signs),
        ("straße", signs),
        ("a b c d", signs),
        (
            &"x".repeat(101),
            "Custom code must be at most 100 characters long",
        ),
        ("taken", "This invite code already exists"),
    ] {
        let answer = server.post(ALL, &json!({"custom_code": code})).await;
        assert_eq!(detail(&answer), (400, text.to_owned()), "{code}");
    }
    for (field, value, kind) in [
        ("usage_limit", json!(0), "greater_than_equal"),
        ("usage_limit", json!(-1), "greater_than_equal"),
        ("usage_limit", json!(1.5), "int_from_float"),
        ("usage_limit", json!(1e30), "int_parsing_size"),
        ("expires_in_days", json!(-1), "greater_than_equal"),
        ("expires_in_days", json!(1_000_001), "less_than_equal"),
        ("expires_in_days", json!(i64::MAX), "less_than_equal"),
        ("expires_in_days", json!("soon"), "int_parsing"),
        ("allow_sync", json!(null), "bool_type"),
        ("allow_channels", json!("perhaps"), "bool_parsing"),
        ("libraries", json!(null), "string_type"),
        ("libraries", json!([1]), "string_type"),
        ("custom_code", json!(1234), "string_type"),
    ] {
        let answer = server.post(ALL, &json!({field: value})).await;
        assert_eq!(
            problem(&answer),
            (kind.to_owned(), json!(["body", field])),
            "{value}"
        );
    }
    assert_eq!(
        problem(&server.post(ALL, &json!([])).await).0,
        "model_attributes_type"
    );
    let empty = server.send(server.request(&Method::POST, ALL)).await;
    assert_eq!(problem(&empty).0, "missing");
    let longest = create(&server, &json!({"expires_in_days": 1_000_000})).await;
    assert!(longest["expires_at"].as_str().unwrap() < "5000");
    assert_eq!(list(&server, "").await.len(), 2, "nothing else was stored");
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[tokio::test]
async fn an_impossible_change_changes_nothing() {
    let server = Server::builder().start().await;
    let before = create(&server, &json!({})).await;
    for (field, value, kind) in [
        ("usage_limit", json!(0), "greater_than_equal"),
        (
            "expires_at",
            json!("tomorrow"),
            "datetime_from_date_parsing",
        ),
        ("expires_at", json!(false), "datetime_type"),
        ("expires_at", json!(1e300), "datetime_parsing"),
        ("allow_sync", json!(null), "bool_type"),
        ("allow_camera_upload", json!(null), "bool_type"),
        ("allow_channels", json!(null), "bool_type"),
        ("plex_home", json!(null), "bool_type"),
        ("is_active", json!(null), "bool_type"),
        ("libraries", json!(null), "string_type"),
    ] {
        let answer = server.put("/api/invites/1", &json!({field: value})).await;
        assert_eq!(
            problem(&answer),
            (kind.to_owned(), json!(["body", field])),
            "{value}"
        );
    }
    for (id, kind) in [
        ("undefined", "int_parsing"),
        ("1.5", "int_parsing"),
        ("99999999999999999999", "int_parsing_size"),
    ] {
        let place = (kind.to_owned(), json!(["path", "invite_id"]));
        let path = format!("/api/invites/{id}");
        assert_eq!(problem(&server.get(&path).await), place);
        assert_eq!(problem(&server.put(&path, &json!({})).await), place);
        assert_eq!(problem(&server.delete(&path).await), place);
    }
    assert_eq!(server.get("/api/invites/%FF").await.status, 422);
    let mut after = list(&server, "").await.remove(0);
    after.as_object_mut().unwrap().shift_remove("users");
    assert_eq!(after, before);
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[tokio::test]
async fn the_end_of_an_invite_is_stored_in_utc() {
    let server = Server::builder().start().await;
    let id = &create(&server, &json!({"usage_limit": 3})).await["id"];
    for (given, stored) in [
        (
            json!("2036-01-02T03:04:05.000Z"),
            json!("2036-01-02T03:04:05Z"),
        ),
        (
            json!("2036-01-02T03:04:05+02:00"),
            json!("2036-01-02T01:04:05Z"),
        ),
        (
            json!("2036-01-02T03:04:05.25"),
            json!("2036-01-02T03:04:05.250000Z"),
        ),
        (json!("2036-01-02"), json!("2036-01-02T00:00:00Z")),
        (json!(2_082_855_845), json!("2036-01-02T03:04:05Z")),
        (json!("2082855845000"), json!("2036-01-02T03:04:05Z")),
        (json!(null), json!(null)),
    ] {
        let changed = change(&server, id, &json!({"expires_at": given})).await;
        assert_eq!(changed["expires_at"], stored);
        assert_eq!(
            (&changed["usage_limit"], &changed["is_expired"]),
            (&json!(3), &json!(false))
        );
    }
    let over = change(
        &server,
        id,
        &json!({"expires_at": "2020-01-01", "usage_limit": null}),
    )
    .await;
    assert_eq!(
        (&over["is_expired"], &over["usage_limit"]),
        (&json!(true), &Value::Null)
    );
    let column = "SELECT expires_at FROM invites";
    let column = database::texts(server.directory.path(), column).await;
    assert_eq!(column, ["2020-01-01 00:00:00.000000"]);
}

#[tokio::test]
async fn who_creates_at_the_same_time_gets_different_codes() {
    let server = Server::builder().start().await;
    let drawn = json!({});
    let drawn = join_all((0..20).map(|_| create(&server, &drawn))).await;
    let codes: BTreeSet<String> = drawn.iter().map(|one| one["code"].to_string()).collect();
    assert_eq!(codes.len(), 20);

    let same = json!({"custom_code": "SAME"});
    let answers = join_all((0..20).map(|_| server.post(ALL, &same))).await;
    let (created, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status == 200);
    assert_eq!(created.len(), 1);
    let taken = (400, "This invite code already exists".to_owned());
    assert!(refused.iter().all(|answer| detail(answer) == taken));

    // A change while somebody redeems: neither is lost.
    let id = created[0].json()["id"].clone();
    let limits: Vec<Value> = (1..=20).map(|n| json!({"usage_limit": n})).collect();
    let changes = join_all(limits.iter().map(|limit| change(&server, &id, limit)));
    let uses = async {
        for _ in 0..5 {
            let use_up = "UPDATE invites SET used_count = used_count + 1 WHERE code = 'SAME'";
            execute(&server, use_up).await;
        }
    };
    tokio::join!(changes, uses);
    let invite = server.get(&format!("{ALL}{id}")).await.json();
    assert_eq!(invite["used_count"], 5);
}

/// Rows as 3.3.0 and others may have left them: empty, odd, and of people whose invite is gone.
const OLD: &str = "\
    INSERT INTO invites (id, code, created_at) VALUES (1, 'EMPTY', '2025-01-01 00:00:00.000000');
    INSERT INTO invites (id, code, created_at, created_by, expires_at, usage_limit, used_count, \
        allow_sync, is_active, libraries) VALUES \
        (2, 'ZERO', '2025-01-02T00:00:00', 'eva', NULL, 0, 7, 'yes', 1, 'all'),
        (3, 'STRASSE', '2025-01-03 00:00:00+00:00', 'eva', '2040-01-01', 2, 1, 1, 1, '1'),
        (4, 'USED', '2025-01-04 00:00:00.000000', 'eva', NULL, 2, 2, 1, 1, '1'),
        (5, 'OVER', '2025-01-05 00:00:00.000000', 'eva', '2025-02-01 00:00:00.000000', 2, 1, 1, 1, '1'),
        (6, 'OFF', 'never', 'eva', '2025-02-01 00:00:00.000000', 1, 1, 1, 0, '1'),
        (7, 'MINUS', '2025-01-07 00:00:00.000000', 'eva', NULL, -1, 0, 1, 1, '1');
    INSERT INTO plex_users (id, email, username, plex_id, invite_id, created_at, expires_at, is_active) VALUES \
        (1, 'old@example.org', NULL, NULL, 4, '2025-01-04 00:00:00.000000', NULL, NULL),
        (2, 'B@example.org', 'b', 7, 4, '2025-03-01 00:00:00.000000', '2025-04-01 00:00:00.5', 1),
        (3, 'orphan@example.org', 'o', 'x', 99, '2025-02-01 00:00:00.000000', 'x', 0);";

#[tokio::test]
async fn rows_of_an_old_database_are_shown_whatever_is_in_them() {
    let config = json!({"plex": {"server_name": "Kino"},
                        "auth": {"enabled": false, "username": "eva", "password": "x"}});
    let server = Server::builder().config(&config).start().await;
    execute(&server, OLD).await;
    let listed = list(&server, "").await;
    let codes = ["MINUS", "OVER", "USED", "STRASSE", "ZERO", "EMPTY"];
    assert_eq!(each(&listed, "code"), codes, "the newest first");
    let every = list(&server, "?include_inactive=true").await;
    assert_eq!(each(&every, "code")[6], "OFF", "as old as can be");
    let is = |field: &str| {
        let these = listed.iter().filter(|one| one[field] == true);
        these.map(|one| one["code"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(is("is_exhausted"), ["MINUS", "USED"]);
    assert_eq!(is("is_expired"), ["OVER"]);
    let empty = &listed[5];
    for (field, value) in [
        ("created_by", json!(null)),
        ("used_count", json!(0)),
        ("plex_home", json!(false)),
        ("libraries", json!("all")),
        ("is_active", json!(true)),
        ("plex_server", json!("Kino")),
        ("users", json!([])),
    ] {
        assert_eq!(empty[field], value, "{field}");
    }
    assert_eq!(each(listed[2]["users"].as_array().unwrap(), "id"), [1, 2]);

    let stats = server.get("/api/invites/stats").await.text;
    let expected = r#"{"total_invites":7,"active_invites":3,"used_up_invites":3,"total_redemptions":12,"total_users":3,"active_users":2}"#;
    assert_eq!(stats, expected);

    let users = server.get(USERS).await.json();
    let users = users.as_array().unwrap();
    assert_eq!(each(users, "id"), [2, 3, 1], "the newest first");
    let expected = json!({"id": 2, "email": "B@example.org", "username": "b", "plex_id": "7",
        "thumb": null, "invite_id": 4, "created_at": "2025-03-01T00:00:00Z", "last_seen": null,
        "expires_at": "2025-04-01T00:00:00.500000Z", "is_active": true});
    assert_eq!(users[0].to_string(), expected.to_string(), "in this order");
    assert_eq!(
        (&users[1]["expires_at"], &users[1]["is_active"]),
        (&Value::Null, &json!(false))
    );

    let held = "Cannot delete invite with 2 active user(s). Please remove users first from User \
                Accounts page.";
    let answer = server.delete("/api/invites/4").await;
    assert_eq!(detail(&answer), (400, held.to_owned()));
    assert_eq!(server.get("/api/invites/4").await.status, 200);
    let repaired = change(&server, &json!(1), &json!({"is_active": true})).await;
    assert_eq!(repaired["used_count"], 0);
    assert_eq!(server.delete("/api/invites/1").await.status, 200);

    tell_strangers(&server).await;
}

/// What strangers are told of [`OLD`].
async fn tell_strangers(server: &Server) {
    for (code, message) in [
        ("NONE", "Einladungscode nicht gefunden"),
        ("", "Einladungscode nicht gefunden"),
        ("%20USED", "Einladungscode nicht gefunden"),
        ("off", "Diese Einladung wurde deaktiviert"),
        ("OVER", "Diese Einladung ist abgelaufen"),
        (
            "used",
            "Diese Einladung hat das maximale Nutzungslimit erreicht",
        ),
        (
            "MINUS",
            "Diese Einladung hat das maximale Nutzungslimit erreicht",
        ),
    ] {
        let verdict = validate(server, code).await;
        let expected = json!({"valid": false, "message": message, "invite": null,
                              "plex_server_name": null});
        assert_eq!(verdict.to_string(), expected.to_string(), "{code}");
    }
    for code in ["zero", "stra%C3%9Fe", "Strasse"] {
        let verdict = validate(server, code).await;
        assert_eq!(verdict["valid"], true, "{code}");
        assert_eq!(verdict["message"], "Valid invite code");
        assert_eq!(verdict["plex_server_name"], "Kino");
        assert_eq!(verdict["invite"]["created_by"], Value::Null);
        assert!(verdict["invite"]["id"].is_i64() && verdict["invite"]["users"].is_null());
    }
    let answer = server
        .send(server.request(&Method::POST, "/api/invites/validate"))
        .await;
    assert_eq!(
        problem(&answer),
        ("missing".to_owned(), json!(["query", "code"]))
    );
}

#[tokio::test]
async fn until_when_a_friend_may_watch_is_set_and_cleared() {
    let server = Server::builder().start().await;
    execute(&server, OLD).await;
    let path = "/api/invites/users/1/expiration";
    for (body, stored) in [
        (
            json!({"expires_at": "2036-01-02T03:04:05Z"}),
            json!("2036-01-02T03:04:05Z"),
        ),
        (json!({"expires_at": null}), json!(null)),
        (
            json!({"expires_at": "2036-01-02T03:04:05-01:30"}),
            json!("2036-01-02T04:34:05Z"),
        ),
        (json!({"expires_at": ""}), json!(null)),
        (
            json!({"expires_at": "2036-01-02"}),
            json!("2036-01-02T00:00:00Z"),
        ),
        (json!({}), json!(null)),
    ] {
        let answer = server.put(path, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let user = answer.json();
        assert_eq!(
            (&user["expires_at"], &user["email"]),
            (&stored, &json!("old@example.org"))
        );
    }
    for bad in [
        json!("tomorrow"),
        json!("20360102"),
        json!("2082855845"),
        json!(0),
        json!([]),
    ] {
        let answer = server.put(path, &json!({"expires_at": bad})).await;
        assert_eq!(problem(&answer).1, json!(["body", "expires_at"]), "{bad}");
    }
    assert_eq!(
        problem(&server.put(path, &json!("x")).await).1,
        json!(["body"])
    );
    let none = server
        .put("/api/invites/users/77/expiration", &json!({}))
        .await;
    assert_eq!(detail(&none), (404, "User not found".to_owned()));
    let odd = server
        .put("/api/invites/users/x/expiration", &json!({}))
        .await;
    assert_eq!(problem(&odd).1, json!(["path", "user_id"]));
}

#[tokio::test]
async fn the_libraries_to_choose_from_come_from_the_cache_or_are_missing() {
    let bare = Server::builder().start().await;
    let expected = r#"{"servers":[],"libraries":[],"error":"Plex server not configured"}"#;
    assert_eq!(bare.get(CONFIG).await.text, expected);
    assert_eq!(
        bare.get("/api/invites/tmdb/api-key").await.text,
        r#"{"api_key":""}"#
    );

    let plex = plex(0).await;
    let server = Server::builder()
        .plex(&plex)
        .env("PLEX_SERVER_NAME", "Kino");
    // A fetch that has failed is not tried again for a while, so each fault has its own server.
    plex.set_fault(LIBRARIES, Fault::BrokenJson);
    let server = server
        .env("TMDB_API_KEY", "k")
        .env("CACHE_LIBRARY_TTL", "0.2")
        .start()
        .await;
    let without = json!({"servers": [{"id": "default", "name": "Kino", "url": plex.url()}],
                         "libraries": []});
    assert_eq!(server.get(CONFIG).await.json(), without);
    logged(&server, "WARNING - Could not fetch libraries: ").await;
    assert!(!server.log().contains(plex.token()));
    assert_eq!(
        server.get("/api/invites/tmdb/api-key").await.text,
        r#"{"api_key":"k"}"#
    );

    plex.clear_faults();
    server.choose(&plex).await;
    plex.forget_calls();
    let answers = join_all((0..5).map(|_| server.get(CONFIG))).await;
    let config = answers[0].json();
    let films = json!({"id": "1", "name": "Films", "type": "movie"});
    assert_eq!(config["libraries"][0].to_string(), films.to_string());
    assert_eq!(config["libraries"][4]["type"], "artist", "all kinds");
    assert!(
        plex.calls(LIBRARIES) <= 1,
        "one for all, or that of the check"
    );
    assert!(!answers[0].text.contains(plex.token()));

    plex.set_fault(LIBRARIES, Fault::Status(500));
    plex.forget_calls();
    until_asked("a look that fails", async || {
        let after = server.get(CONFIG).await.json();
        assert_eq!(
            after["libraries"], config["libraries"],
            "old ones are better"
        );
        plex.calls(LIBRARIES) > 0
    })
    .await;
    // None of this keeps the list of invites from its answer.
    assert_eq!(list(&server, "").await.len(), 0);
}

#[tokio::test]
async fn the_creator_is_who_is_logged_in_and_strangers_do_not_learn_the_name() {
    let auth = json!({"enabled": true, "username": "eva", "password": "x"});
    let server = Server::builder()
        .config(&json!({"auth": auth}))
        .start()
        .await;
    let request = server
        .request(&Method::POST, ALL)
        .basic_auth("eva", Some("x"));
    let request = request.header("content-type", "application/json");
    let created = server
        .send(request.body(r#"{"custom_code":"party"}"#))
        .await;
    assert_eq!(created.json()["created_by"], "eva", "{created:?}");
    logged(&server, "Created invite PARTY by eva").await;
    let verdict = validate(&server, "party").await;
    assert_eq!(verdict["invite"]["code"], "PARTY");
    assert!(!verdict.to_string().contains("eva"), "{verdict}");
    assert_eq!(server.get(ALL).await.status, 401);
}

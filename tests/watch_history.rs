//! The watch history as it is answered: every field, rows of any origin, errors, counters.

use serde_json::{Value, json};

use crate::harness::{Server, database, plex, until_asked};

const HISTORY: &str = "/api/plex/watch-history";

/// A server without Plex, with these rows: columns, then values.
async fn with_rows(rows: &[(&str, &str)]) -> Server {
    let server = Server::builder()
        .env("CACHE_WATCH_HISTORY_TTL", "0")
        .start()
        .await;
    for (columns, values) in rows {
        let sql = format!("INSERT INTO watch_history ({columns}) VALUES ({values})");
        database::execute(server.directory.path(), &sql).await;
    }
    server
}

#[tokio::test]
async fn every_field_is_there_in_its_order_and_type() {
    let columns = "user_id, email, username, type, title, grandparent_title, parent_index, \"index\", \
        rating_key, viewed_at, duration, view_offset, progress, view_count, rating, year, thumb, \
        content_rating, studio, summary, genres, created_at";
    let old = "'42', NULL, 'Ann 🦊', 'episode', 'Pilot <b>', 'A Show', 1, 2, '100', \
        '2025-11-22 08:26:40.000000', 1800, 600, 33.333333, 0, 7.5, 1999, \
        'http://host:32400/library/metadata/9/thumb/1?X-Plex-Token=geheim', 'TV-14', 'S', 'T', \
        'Comedy, Dark,Drama', '2025-11-22 08:30:00.000000'";
    let server = with_rows(&[(columns, old)]).await;
    let answer = server.get(HISTORY).await;
    assert_eq!(answer.status, 200);
    let expected = r#"[{"user_id":"42","email":"Ann 🦊","type":"episode","title":"Pilot <b>","grandparent_title":"A Show","parent_index":1,"index":2,"viewed_at":"2025-11-22T08:26:40","duration":1800,"view_offset":600,"progress":33.33,"view_count":0,"rating":7.5,"year":1999,"thumb":"/api/plex/proxy/image?url=http%3A//host%3A32400/library/metadata/9/thumb/1","content_rating":"TV-14","studio":"S","summary":"T","genres":["Comedy","Dark","Drama"]}]"#;
    assert_eq!(answer.text, expected);
    assert!(answer.headers.contains_key("etag") && answer.headers.contains_key("cache-status"));
}

#[tokio::test]
async fn nulls_and_odd_values_cost_nothing_else() {
    let all = "type, title, viewed_at, duration, created_at";
    let odd = "type, title, viewed_at, duration, created_at, rating, progress, year, thumb, email, genres, user_id";
    let server = with_rows(&[
        (all, "'movie', 'bare', '2025-01-01 00:00:00.000000', 0, ''"),
        (odd, "'movie', 'odd', 'yesterday', 'long', '', 'good', 9e999, 'MCM', '/library/metadata/1/thumb/2', \
               'a@b', '', 7"),
        (all, "x'ff', 'blob', 1700000000, 5, ''"),
    ])
    .await;
    let list = server.get(HISTORY).await.json();
    let find = |title: &str| -> Value {
        let list = list.as_array().unwrap();
        list.iter()
            .find(|play| play["title"] == title)
            .unwrap()
            .clone()
    };
    let bare = json!({
        "user_id": null, "email": null, "type": "movie", "title": "bare", "grandparent_title": null,
        "parent_index": null, "index": null, "viewed_at": "2025-01-01T00:00:00", "duration": 0,
        "view_offset": null, "progress": 0.0, "view_count": null, "rating": null, "year": null,
        "thumb": null, "content_rating": null, "studio": null, "summary": null, "genres": [],
    });
    assert_eq!(find("bare"), bare);
    let odd = find("odd");
    for (field, value) in [
        ("viewed_at", json!("yesterday")),
        ("duration", json!(0)),
        ("rating", json!(null)),
        ("progress", json!(0.0)),
        ("year", json!(null)),
        (
            "thumb",
            json!("/api/plex/proxy/image?url=/library/metadata/1/thumb/2"),
        ),
        ("email", json!("a@b")),
        ("user_id", json!("7")),
    ] {
        assert_eq!(odd[field], value, "{field}");
    }
    assert_eq!(find("blob")["viewed_at"], "1700000000");
    assert_eq!(find("blob")["type"], "");
}

#[tokio::test]
async fn the_newest_five_hundred_come_newest_first() {
    let server = with_rows(&[]).await;
    assert_eq!(server.get(HISTORY).await.text, "[]");
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) \
        INSERT INTO watch_history (type, title, viewed_at, duration, created_at) \
        SELECT 'movie', i, '2025-01-01 00:' || printf('%02d', i / 60) || ':00.000000', 0, '' FROM n";
    database::execute(server.directory.path(), many).await;
    let list = server.get(HISTORY).await.json();
    let titles: Vec<i64> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|play| play["title"].as_str().unwrap().parse().unwrap())
        .collect();
    let expected: Vec<i64> = (101..=600).rev().collect();
    assert_eq!(titles, expected, "of one second the last stored first");
}

#[tokio::test]
async fn a_broken_database_is_an_empty_list_or_the_last_one() {
    let server = Server::builder()
        .env("CACHE_WATCH_HISTORY_TTL", "0.001")
        .start()
        .await;
    let row = "INSERT INTO watch_history (type, title, viewed_at, duration, created_at) \
        VALUES ('movie', 'T', '2025-01-01 00:00:00.000000', 0, '')";
    database::execute(server.directory.path(), row).await;
    assert_eq!(
        server.get(HISTORY).await.json().as_array().unwrap().len(),
        1
    );
    database::execute(
        server.directory.path(),
        "ALTER TABLE watch_history RENAME TO away",
    )
    .await;
    until_asked("the failure", async || {
        let answer = server.get(HISTORY).await;
        assert_eq!(answer.json().as_array().unwrap().len(), 1, "the last one");
        server
            .log()
            .contains("Error fetching watch history from database")
    })
    .await;
    server.post("/api/plex/cache/clear", &json!({})).await;
    let answer = server.get(HISTORY).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "[]"));
}

#[tokio::test]
async fn readers_are_counted() {
    let plex = plex(0).await;
    let server = Server::builder().plex(&plex).start().await;
    for _ in 0..3 {
        server.get(HISTORY).await;
    }
    let stats = server.get("/api/plex/cache/stats").await.json();
    let entry = &stats["caches"][1];
    assert_eq!(entry["name"], "watch_history");
    assert_eq!((&entry["hits"], &entry["misses"]), (&json!(2), &json!(1)));
    assert_eq!(entry["cached"], true);
    // It comes from the database: another Plex server does not outdate it.
    server.choose(&crate::harness::plex(1).await).await;
    server.get(HISTORY).await;
    let stats = server.get("/api/plex/cache/stats").await.json();
    assert_eq!(stats["caches"][1]["hits"], 3);
}

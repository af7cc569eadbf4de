//! The watch history in the database keeps up with Plex: nothing twice, nothing lost, whatever
//! happens in the middle.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use komandorr::demo::{Fault, Options, Scene, Simulator};
use serde_json::{Value, json};
use sqlx::Row as _;
use tempfile::TempDir;

use crate::harness::database::{execute, integrity, rows, texts};
use crate::harness::{Builder, Server, soak, until, until_asked};

const HISTORY: &str = "/api/plex/watch-history";
const SYNC: &str = "/api/plex/watch-history/sync";
const PAGES: &str = "/status/sessions/history/all";

async fn plex(plays: usize) -> Simulator {
    let options = Options {
        scene: Scene::Fixed { sessions: 0 },
        history_plays: plays,
        ..Options::default()
    };
    Simulator::start(options).await.unwrap()
}

/// A server whose loop does not run by itself during the test.
fn server(plex: &Simulator) -> Builder {
    in_directory(tempfile::tempdir().unwrap(), plex)
}

fn in_directory(directory: TempDir, plex: &Simulator) -> Builder {
    Server::builder_in(directory)
        .plex(plex)
        .env("TZ", "UTC")
        .env("HISTORY_SYNC_INTERVAL", "3600")
}

async fn sync(server: &Server) -> Value {
    let answer = server.post(SYNC, &json!({})).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

fn done(new: u64, scanned: u64) -> Value {
    json!({"success": true, "message": "Watch history sync completed", "new": new,
           "scanned": scanned, "remaining": 0})
}

/// Account, item, time and title of every play that Plex has, as rows have them in UTC.
async fn plays_of(plex: &Simulator) -> Vec<[String; 4]> {
    let url = format!("{}{PAGES}", plex.url());
    let request = reqwest::Client::new()
        .get(url)
        .header("x-plex-token", plex.token());
    let body = request.send().await.unwrap().text().await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    let entries = body["MediaContainer"]["Metadata"].as_array().unwrap();
    entries.iter().map(as_row).collect()
}

fn as_row(entry: &Value) -> [String; 4] {
    let account = match entry["accountID"].as_i64().unwrap() {
        0 => "-".to_owned(),
        id => id.to_string(),
    };
    let at = chrono::DateTime::from_timestamp(entry["viewedAt"].as_i64().unwrap(), 0).unwrap();
    [
        account,
        entry["ratingKey"].as_str().unwrap_or("-").to_owned(),
        at.format("%Y-%m-%d %H:%M:%S.000000").to_string(),
        entry["title"].as_str().unwrap().to_owned(),
    ]
}

async fn stored(directory: &Path) -> Vec<[String; 4]> {
    let sql = "SELECT COALESCE(user_id, '-'), COALESCE(rating_key, '-'), viewed_at, title FROM watch_history";
    let rows = rows(directory, sql).await;
    rows.iter()
        .map(|row| [0, 1, 2, 3].map(|column| row.get_unchecked(column)))
        .collect()
}

/// The database has each play of Plex, once, and nothing else.
async fn assert_in_step(directory: &Path, plex: &Simulator) {
    let (stored, plays) = (stored(directory).await, plays_of(plex).await);
    let distinct: BTreeSet<_> = plays.iter().collect();
    assert_eq!(stored.iter().collect::<BTreeSet<_>>(), distinct);
    assert_eq!(stored.len(), distinct.len(), "no row twice");
}

async fn count(directory: &Path, condition: &str) -> usize {
    let sql = format!("SELECT COUNT(*) FROM watch_history WHERE {condition}");
    texts(directory, &sql).await[0].parse().unwrap()
}

fn history_of(entries: &Value) -> Fault {
    let total = entries.as_array().unwrap().len();
    Fault::Body(json!({"MediaContainer": {"totalSize": total, "Metadata": entries}}).to_string())
}

#[tokio::test]
async fn everything_is_imported_and_a_second_run_inserts_nothing() {
    let plex = plex(600).await;
    let server = server(&plex).start().await;
    assert_eq!(sync(&server).await, done(600, 600));
    assert_in_step(server.directory.path(), &plex).await;
    plex.forget_calls();
    assert_eq!(sync(&server).await, done(0, 200));
    assert_eq!(plex.calls(PAGES), 1, "down to the watermark only");
    let paths = plex.calls_by_path();
    assert!(
        !paths
            .keys()
            .any(|path| path.starts_with("/library/metadata")),
        "{paths:?}"
    );
    plex.add_plays(3);
    assert_eq!(sync(&server).await["new"], 3);
    assert_in_step(server.directory.path(), &plex).await;
    assert_eq!(plex.tokens_in_queries(), 0);
    let log = server.log();
    assert!(log.contains("Syncing Plex watch history to database..."));
    assert!(log.contains("Watch history sync complete: 600 new, 600 scanned"));
}

#[tokio::test]
async fn rows_have_names_details_and_defaults() {
    let plex = plex(300).await;
    let server = server(&plex).start().await;
    sync(&server).await;
    let directory = server.directory.path();
    for never in [
        // One film of the simulated server has no length, because its analysis failed.
        "rating_key IS NOT NULL AND duration = 0 AND type <> 'movie'",
        "rating_key IS NOT NULL AND type = 'movie' AND genres NOT LIKE '%,%'",
        "rating_key IS NOT NULL AND type = 'movie' AND (studio IS NULL OR summary IS NULL OR rating IS NULL)",
        "view_count <> 1 OR progress <> 0 OR email IS NOT NULL",
        "(username = 'Unknown') <> (user_id IS NULL)",
        "thumb NOT LIKE '/library/metadata/%'",
        "length(created_at) <> 26 OR length(viewed_at) <> 26",
    ] {
        assert_eq!(count(directory, never).await, 0, "{never}");
    }
    assert!(
        count(directory, "user_id IS NULL").await > 0,
        "the local account"
    );
    assert!(
        count(directory, "rating_key IS NULL").await > 0,
        "deleted items"
    );
    assert_eq!(
        texts(directory, "SELECT * FROM watch_history_pending")
            .await
            .len(),
        0
    );
    // Once per item, in lists.
    let calls: u64 = plex
        .calls_by_path()
        .iter()
        .filter(|(path, _)| path.starts_with("/library/metadata"))
        .map(|(_, calls)| calls)
        .sum();
    assert!((1..=8).contains(&calls), "{calls}");
}

#[tokio::test]
async fn more_plays_than_one_page_are_caught_up_with() {
    let plex = plex(500).await;
    let server = server(&plex).start().await;
    sync(&server).await;
    plex.add_plays(450);
    assert_eq!(sync(&server).await["new"], 450);
    assert_in_step(server.directory.path(), &plex).await;
    // These are all of one day, in which a play may still appear.
    plex.forget_calls();
    assert_eq!(sync(&server).await["new"], 0);
    assert_eq!(plex.calls(PAGES), 3);
}

#[tokio::test]
async fn plays_that_come_while_pages_are_read_shift_them_and_lose_nothing() {
    let plex = plex(900).await;
    let server = server(&plex).start().await;
    plex.set_fault(PAGES, Fault::Hold);
    let (answer, ()) = tokio::join!(sync(&server), async {
        for page in 1..=4 {
            until("a page", || plex.calls(PAGES) == page).await;
            plex.add_plays(30);
            plex.release_holds();
        }
        plex.clear_faults();
        until("the last pages", || {
            plex.release_holds();
            plex.calls(PAGES) > 4
        })
        .await;
        plex.release_holds();
    });
    assert_eq!(answer["success"], true);
    sync(&server).await;
    assert_in_step(server.directory.path(), &plex).await;
}

#[tokio::test]
async fn hostile_entries_cost_only_themselves() {
    let plex = plex(5).await;
    let server = server(&plex).start().await;
    let entries = json!([
        {"title": "fine", "viewedAt": 1_700_000_000, "ratingKey": "1001", "accountID": 1, "type": "movie"},
        {"title": "fine", "viewedAt": 1_700_000_000, "ratingKey": "1001", "accountID": 1, "type": "movie"},
        "junk", null, 7, [],
        {"viewedAt": 1_700_000_001}, {"title": "no time"}, {"title": {}, "viewedAt": 1},
        {"title": "late", "viewedAt": 9e18}, {"title": "early", "viewedAt": -1},
        {"title": "💥 <script>'\";--", "viewedAt": "1700000002", "accountID": "7", "type": null},
        {"title": "odd", "viewedAt": 1_700_000_003.5, "accountID": [], "ratingKey": {}, "index": "x",
         "parentIndex": -3, "duration": -9, "viewOffset": 1e300, "thumb": 5, "rating": "high",
         "year": 1e99, "Genre": {"tag": "One"}, "viewCount": -2},
        {"title": "odd", "viewedAt": 1_700_000_003, "grandparentTitle": "same second, other show"},
        {"title": "half", "viewedAt": 1_700_000_004, "duration": 7_200_000, "viewOffset": 3_600_000,
         "thumb": "http://plex/x?a=1&X-Plex-Token=geheim"},
        {"title": "future", "viewedAt": 250_000_000_000_i64},
    ]);
    plex.set_fault(PAGES, history_of(&entries));
    assert_eq!(sync(&server).await, done(5, 16));
    assert_eq!(sync(&server).await["new"], 0, "nor twice");
    let list = server.get(HISTORY).await.json();
    let titles: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["title"].as_str().unwrap())
        .collect();
    assert_eq!(
        titles,
        ["future", "half", "odd", "💥 <script>'\";--", "fine"]
    );
    assert_eq!(
        (&list[1]["progress"], &list[1]["thumb"]),
        (
            &json!(50.0),
            &json!("/api/plex/proxy/image?url=http%3A//plex/x%3Fa%3D1")
        )
    );
    assert_eq!(list[3]["user_id"], "7");
    // A play in the future does not hide those of today, however many they are.
    plex.clear_faults();
    plex.add_plays(400);
    assert_eq!(sync(&server).await["new"], 405);
}

#[tokio::test]
async fn two_requests_at_once_are_one_run_and_a_client_that_leaves_changes_nothing() {
    let plex = plex(100).await;
    let server = server(&plex).start().await;
    plex.set_fault(PAGES, Fault::Hold);
    let url = format!("{}{SYNC}", server.url);
    let leaving = tokio::spawn(reqwest::Client::new().post(url).send());
    until("the run", || plex.calls(PAGES) == 1).await;
    leaving.abort();
    let (first, second, ()) = tokio::join!(sync(&server), sync(&server), async {
        let joined = || server.log().matches("joined the run under way").count() == 2;
        until("both", joined).await;
        plex.clear_faults();
        plex.release_holds();
    });
    assert_eq!(first, done(100, 100));
    assert_eq!(first, second);
    assert_eq!(plex.calls(PAGES), 1);
    assert_eq!(plex.calls("/accounts"), 1);
}

#[tokio::test]
async fn a_failure_in_the_middle_is_said_and_what_is_stored_stays() {
    let plex = plex(900).await;
    let server = server(&plex).start().await;
    plex.set_fault(PAGES, Fault::Hold);
    let (answer, ()) = tokio::join!(sync(&server), async {
        for page in 1..=2 {
            until("a page", || plex.calls(PAGES) == page).await;
            plex.release_holds();
        }
        until("the third page", || plex.calls(PAGES) == 3).await;
        plex.set_fault(PAGES, Fault::Status(500));
        plex.release_holds();
        // It is answered; the fourth is not.
    });
    let expected = json!({"success": false, "message": "Server returned status code: 500",
                          "new": 560, "scanned": 560, "remaining": 340});
    assert_eq!(answer, expected);
    assert_eq!(stored(server.directory.path()).await.len(), 560);
    plex.clear_faults();
    plex.forget_calls();
    plex.add_plays(2);
    let resumed = sync(&server).await;
    assert_eq!(
        (&resumed["success"], &resumed["new"]),
        (&json!(true), &json!(342))
    );
    assert!(plex.calls(PAGES) <= 4, "the first pages are not read again");
    assert_in_step(server.directory.path(), &plex).await;
    plex.refuse().await;
    let answer = sync(&server).await;
    assert_eq!(answer["success"], false);
    assert_eq!(
        answer["message"],
        "Could not connect to Plex server: Could not connect to server - check URL"
    );
    assert!(server.log().contains("Could not connect to Plex server"));
}

#[tokio::test]
async fn without_plex_the_answer_says_so() {
    let server = Server::builder().start().await;
    let expected = json!({"success": false, "message": "Plex not configured", "new": 0,
                          "scanned": 0, "remaining": null});
    assert_eq!(sync(&server).await, expected);
    assert_eq!(server.get(HISTORY).await.text, "[]");
    assert!(!server.log().contains("Syncing Plex"));
}

#[tokio::test]
async fn the_loop_runs_by_itself_and_readers_see_it_at_once() {
    let plex = plex(50).await;
    let server = Server::builder()
        .plex(&plex)
        .env("HISTORY_SYNC_INTERVAL", "0.3")
        .start()
        .await;
    let length = async || server.get(HISTORY).await.json().as_array().unwrap().len();
    until_asked("the first run", async || length().await == 50).await;
    plex.add_plays(1);
    until_asked("the next", async || length().await == 51).await;
    let stats = server.get("/api/plex/cache/stats").await.json();
    assert_eq!(stats["caches"][1]["ttl_seconds"], 300, "not by its age");
}

#[tokio::test]
async fn a_sync_shows_in_the_very_next_answer() {
    let plex = plex(50).await;
    let server = server(&plex).start().await;
    sync(&server).await;
    let before = server.get(HISTORY).await.json();
    plex.add_plays(1);
    sync(&server).await;
    let after = server.get(HISTORY).await.json();
    assert_eq!(after.as_array().unwrap().len(), 51);
    assert_eq!(after[1], before[0]);
    sync(&server).await;
    server.get(HISTORY).await;
    let stats = server.get("/api/plex/cache/stats").await.json();
    assert_eq!(
        stats["caches"][1]["misses"], 2,
        "a run without news leaves the cache alone"
    );
}

#[tokio::test]
async fn rows_of_the_python_version_are_recognised_and_left_as_they_are() {
    let plex = plex(120).await;
    let server = server(&plex).start().await;
    let directory = server.directory.path();
    for [user, key, at, title] in plays_of(&plex).await {
        let text = |text: &str| match text {
            "-" => "NULL".to_owned(),
            text => format!("'{}'", text.replace('\'', "''")),
        };
        let sql = format!(
            "INSERT OR IGNORE INTO watch_history (user_id, username, type, title, rating_key, viewed_at, \
             duration, view_offset, progress, view_count, thumb, created_at) VALUES ({}, 'Old name', 'movie', \
             {}, {}, '{at}', 0, 0, 0.0, 0, 'http://old:32400/library/metadata/5/thumb/1?X-Plex-Token=geheim', '{at}')",
            text(&user),
            text(&title),
            text(&key)
        );
        execute(directory, &sql).await;
    }
    let before = stored(directory).await.len();
    plex.add_plays(1);
    let answer = sync(&server).await;
    assert_eq!(
        (&answer["new"], &answer["success"]),
        (&json!(1), &json!(true))
    );
    assert_in_step(directory, &plex).await;
    assert_eq!(
        count(
            directory,
            "view_count = 0 AND username = 'Old name' AND duration = 0"
        )
        .await,
        before
    );
    let list = server.get(HISTORY).await;
    assert!(!list.text.contains("geheim"));
    let thumb = "/api/plex/proxy/image?url=http%3A//old%3A32400/library/metadata/5/thumb/1";
    assert_eq!(list.json()[1]["thumb"], thumb);
}

/// Makes the database one of 3.3.0 that lacks every twentieth play.
async fn age(directory: &Path) {
    let sql = "DELETE FROM komandorr_state WHERE name LIKE 'watch_history%'; \
        DELETE FROM watch_history WHERE id % 20 = 0; \
        UPDATE watch_history SET view_count = 0, duration = 0, genres = NULL, \
        thumb = 'http://old:32400/library/metadata/5/thumb/1?X-Plex-Token=geheim'";
    execute(directory, sql).await;
}

#[tokio::test]
async fn the_first_run_over_rows_of_the_python_version_adds_what_they_lack_only() {
    let plex = plex(1000).await;
    let server = server(&plex).start().await;
    sync(&server).await;
    let directory = server.directory.path();
    age(directory).await;
    plex.forget_calls();
    assert_eq!(sync(&server).await, done(50, 1000));
    assert_in_step(directory, &plex).await;
    let untouched = "view_count = 0 AND duration = 0 AND genres IS NULL AND thumb LIKE 'http%'";
    assert_eq!(count(directory, untouched).await, 950);
    let paths = plex.calls_by_path();
    let asked = paths.keys().filter(|path| path.contains("metadata"));
    assert!(asked.count() <= 4, "for the new ones: {paths:?}");
}

#[tokio::test]
async fn a_play_whose_item_has_left_the_library_since_is_not_a_new_one() {
    let plex = plex(1).await;
    let server = server(&plex).start().await;
    let entry = |key: Value| {
        json!({"title": "Pilot", "grandparentTitle": "A", "index": 1, "viewedAt": 1_700_000_000,
                                    "accountID": 1, "type": "episode", "ratingKey": key})
    };
    plex.set_fault(PAGES, history_of(&json!([entry(json!("7"))])));
    assert_eq!(sync(&server).await["new"], 1);
    plex.set_fault(PAGES, history_of(&json!([entry(Value::Null)])));
    assert_eq!(sync(&server).await["new"], 0);
}

#[tokio::test]
async fn a_history_in_another_zone_is_not_imported_again_shifted() {
    let plex = plex(120).await;
    let berlin = server(&plex).env("TZ", "Europe/Berlin").start().await;
    assert_eq!(sync(&berlin).await["new"], 120);
    let directory = berlin.stop_by("TERM").await;
    plex.add_plays(1);
    let tokyo = in_directory(directory, &plex)
        .env("TZ", "Asia/Tokyo")
        .start()
        .await;
    let answer = sync(&tokyo).await;
    assert_eq!(
        (&answer["success"], &answer["new"]),
        (&json!(false), &json!(0))
    );
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("set TZ=Europe/Berlin"), "{message}");
    assert!(tokyo.log().contains("set TZ=Europe/Berlin"));
    assert_eq!(stored(tokyo.directory.path()).await.len(), 120);
    let directory = tokyo.stop_by("TERM").await;
    let berlin = in_directory(directory, &plex)
        .env("TZ", "Europe/Berlin")
        .start()
        .await;
    assert_eq!(sync(&berlin).await["new"], 1);
}

#[tokio::test]
async fn a_history_that_was_imported_in_two_zones_stops_nothing() {
    let plex = plex(120).await;
    let server = server(&plex).start().await;
    assert_eq!(sync(&server).await["new"], 120);
    // 3.3.0 did that when its zone was changed.
    let again = "INSERT INTO watch_history (user_id, username, type, title, rating_key, viewed_at, duration, created_at) \
        SELECT user_id, username, type, title, rating_key, \
        strftime('%Y-%m-%d %H:%M:%S.000000', viewed_at, '+2 hours'), 0, created_at FROM watch_history";
    execute(server.directory.path(), again).await;
    plex.add_plays(1);
    let answer = sync(&server).await;
    assert_eq!(
        (&answer["new"], &answer["success"]),
        (&json!(1), &json!(true))
    );
}

#[tokio::test]
async fn music_that_is_played_all_night_is_no_sign_of_another_zone() {
    let plex = plex(1).await;
    let server = server(&plex).start().await;
    let play = |quarter: i64| {
        json!({"title": "Rain", "viewedAt": 1_700_000_000 + quarter * 900, "ratingKey": 7,
               "accountID": 1, "type": "track"})
    };
    let plays = |quarters: std::ops::Range<i64>| quarters.rev().map(play).collect::<Vec<_>>();
    plex.set_fault(PAGES, history_of(&json!(plays(0..150))));
    assert_eq!(sync(&server).await["new"], 150);
    plex.set_fault(PAGES, history_of(&json!(plays(0..200))));
    let answer = sync(&server).await;
    assert_eq!(
        (&answer["new"], &answer["success"]),
        (&json!(50), &json!(true))
    );
}

#[tokio::test]
async fn local_times_follow_the_change_of_clocks() {
    let plex = plex(1).await;
    let server = server(&plex).env("TZ", "Europe/Berlin").start().await;
    // 2025-10-26, 01:00 UTC: three o'clock becomes two.
    let change = 1_761_440_400;
    let play = |title: &str, at: i64| json!({"title": title, "viewedAt": at, "ratingKey": title});
    let entries = json!([
        play("4", change + 1800),
        play("3", change),
        play("2", change - 1),
        play("1", change - 1800),
    ]);
    plex.set_fault(PAGES, history_of(&entries));
    assert_eq!(sync(&server).await["new"], 4);
    let sql = "SELECT rating_key || ' ' || viewed_at FROM watch_history ORDER BY rating_key";
    let times = texts(server.directory.path(), sql).await;
    let expected = ["02:30:00", "02:59:59", "02:00:00", "02:30:00"];
    for (at, (time, expected)) in times.iter().zip(expected).enumerate() {
        assert_eq!(time, &format!("{} 2025-10-26 {expected}.000000", at + 1));
    }
    assert_eq!(sync(&server).await["new"], 0);
}

#[tokio::test]
async fn details_survive_a_failure_and_missing_items_are_asked_for_once() {
    let plex = plex(1).await;
    let server = server(&plex).start().await;
    let entries: Vec<Value> = [1001, 1002, 999_998, 999_999]
        .map(|key: i64| json!({"title": "T", "viewedAt": 1_700_000_000 - key, "ratingKey": key, "type": "movie"}))
        .to_vec();
    plex.set_fault(PAGES, history_of(&json!(entries)));
    let lists = "/library/metadata/999998,999999,1001,1002";
    let order = "/library/metadata/1001,1002,999998,999999";
    plex.set_fault(order, Fault::Status(503));
    plex.set_fault(lists, Fault::Status(503));
    let answer = sync(&server).await;
    assert_eq!(
        (&answer["success"], &answer["new"]),
        (&json!(false), &json!(4))
    );
    assert_eq!(answer["message"], "Server returned status code: 503");
    let directory = server.directory.path();
    assert_eq!(count(directory, "studio IS NOT NULL").await, 0);
    // A server that refuses lists is asked for one item after the other.
    for list in [order, lists] {
        plex.set_fault(list, Fault::Status(400));
    }
    assert_eq!(sync(&server).await["success"], true);
    assert_eq!(count(directory, "studio IS NOT NULL").await, 2);
    for single in ["1001", "1002", "999998", "999999"] {
        assert_eq!(
            plex.calls(&format!("/library/metadata/{single}")),
            1,
            "{single}"
        );
    }
    plex.forget_calls();
    sync(&server).await;
    assert_eq!(
        plex.calls_by_path()
            .keys()
            .filter(|path| path.contains("metadata"))
            .count(),
        0
    );
}

#[tokio::test]
async fn details_that_take_long_are_left_to_the_next_run() {
    let plex = plex(600).await;
    plex.set_fault("*", Fault::Delay(Duration::from_millis(60)));
    let server = server(&plex)
        .env("HISTORY_SYNC_INTERVAL", "0.2")
        .start()
        .await;
    let directory = server.directory.path();
    let runs = || server.log().matches("Watch history sync complete").count();
    until_asked("all plays and details", async || {
        count(directory, "1").await == 600
            && texts(directory, "SELECT * FROM watch_history_pending")
                .await
                .is_empty()
    })
    .await;
    assert!(runs() >= 2, "others have had their turn");
    assert!(server.log().contains("items filled in, the rest later"));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_asked_for_one_item_after_the_other() {
    let plex = plex(1).await;
    let server = server(&plex).env("PLEX_TIMEOUT", "0.3").start().await;
    let keys = [1001, 1002, 1003, 1004, 1005];
    let entries =
        keys.map(|key| json!({"title": "T", "viewedAt": 1_700_000_000 - key, "ratingKey": key}));
    plex.set_fault(PAGES, history_of(&json!(entries)));
    plex.set_fault("/library/metadata/1001,1002,1003,1004,1005", Fault::Hang);
    for key in keys {
        plex.set_fault(&format!("/library/metadata/{key}"), Fault::Hang);
    }
    let answer = sync(&server).await;
    assert_eq!(
        (&answer["success"], &answer["new"]),
        (&json!(false), &json!(5))
    );
    let paths = plex.calls_by_path();
    let asked = paths.iter().filter(|(path, _)| path.contains("metadata"));
    assert_eq!(asked.map(|(_, calls)| calls).sum::<u64>(), 3);
}

#[tokio::test]
async fn details_are_not_asked_for_for_ever() {
    let plex = plex(1).await;
    let server = server(&plex).start().await;
    let entry =
        json!({"title": "T", "viewedAt": 1_700_000_000, "ratingKey": 1001, "type": "movie"});
    plex.set_fault(PAGES, history_of(&json!([entry])));
    plex.set_fault("/library/metadata/1001", Fault::Status(500));
    for _ in 0..8 {
        assert_eq!(sync(&server).await["success"], true);
    }
    let pending = "SELECT * FROM watch_history_pending";
    assert!(texts(server.directory.path(), pending).await.is_empty());
}

#[tokio::test]
async fn details_fill_the_rows_of_their_item_only_and_complete_the_progress() {
    let plex = plex(1).await;
    let server = server(&plex).start().await;
    let directory = server.directory.path();
    let entry = json!({"title": "T", "viewedAt": 1_700_000_000, "ratingKey": 1001, "type": "movie",
                       "viewOffset": 60_000, "studio": "Own"});
    plex.set_fault(PAGES, history_of(&json!([entry])));
    let other = "INSERT INTO watch_history (id, type, title, rating_key, viewed_at, duration, created_at) \
        VALUES (77, 'movie', 'Other', '5', '2020-01-01 00:00:00.000000', 0, ''); \
        INSERT INTO watch_history_pending (history_id, server, rating_key) \
        SELECT 77, value, '1001' FROM (SELECT 'x' AS value)";
    execute(directory, other).await;
    plex.set_fault("/library/metadata/1001", Fault::Status(500));
    sync(&server).await;
    // What was to be filled has gone, and another row has its number.
    execute(
        directory,
        "UPDATE watch_history_pending SET server = (SELECT server FROM watch_history_pending \
         WHERE history_id <> 77)",
    )
    .await;
    plex.clear_faults();
    let item = json!({"ratingKey": "1001", "duration": 240_000, "studio": "Another", "year": 1999});
    let body = json!({"MediaContainer": {"Metadata": [item]}}).to_string();
    plex.set_fault("/library/metadata/1001", Fault::Body(body));
    plex.set_fault(PAGES, history_of(&json!([entry])));
    sync(&server).await;
    let filled = "rating_key = '1001' AND duration = 240 AND progress = 25.0 AND studio = 'Own' AND year = 1999";
    assert_eq!(count(directory, filled).await, 1);
    assert_eq!(
        count(directory, "id = 77 AND duration = 0 AND year IS NULL").await,
        1
    );
}

#[tokio::test]
async fn an_emptied_table_is_filled_from_the_beginning() {
    let plex = plex(700).await;
    let server = server(&plex).start().await;
    assert_eq!(sync(&server).await["new"], 700);
    execute(server.directory.path(), "DELETE FROM watch_history").await;
    assert_eq!(sync(&server).await["new"], 700);
    assert_in_step(server.directory.path(), &plex).await;
}

#[tokio::test]
async fn names_come_from_earlier_rows_where_plex_keeps_them_to_itself() {
    let plex = plex(1).await;
    let server = server(&plex).start().await;
    let play = |at: i64, user: i64| json!({"title": "T", "viewedAt": at, "accountID": user});
    plex.set_fault(PAGES, history_of(&json!([play(1000, 20_418_811)])));
    sync(&server).await;
    plex.set_fault("/accounts", Fault::Status(500));
    assert_eq!(
        sync(&server).await["success"],
        false,
        "nobody is stored without a name"
    );
    plex.set_fault("/accounts", Fault::Status(403));
    plex.set_fault(
        PAGES,
        history_of(&json!([
            play(1002, 5),
            play(1001, 20_418_811),
            play(1000, 20_418_811)
        ])),
    );
    assert_eq!(sync(&server).await["new"], 2);
    let names = texts(
        server.directory.path(),
        "SELECT username FROM watch_history ORDER BY viewed_at",
    )
    .await;
    assert_eq!(names, ["Zoë Ångquist", "Zoë Ångquist", "Unknown"]);
}

#[tokio::test]
async fn a_server_that_does_not_page_is_not_asked_for_ever() {
    let plex = plex(1).await;
    let server = server(&plex).start().await;
    let play = |at: usize| json!({"title": "T", "viewedAt": 1_000_000 + at, "accountID": 1});
    for (count, total) in [(200, None), (700, None), (900, Some(9_999_999))] {
        let entries: Vec<Value> = (0..count).rev().map(play).collect();
        let mut container = json!({"Metadata": entries});
        if let Some(total) = total {
            container["totalSize"] = json!(total);
        }
        plex.set_fault(
            PAGES,
            Fault::Body(json!({"MediaContainer": container}).to_string()),
        );
        assert_eq!(sync(&server).await["success"], true);
        assert_eq!(stored(server.directory.path()).await.len(), count);
    }
    assert!(plex.calls(PAGES) <= 7);
}

#[tokio::test]
async fn a_server_that_forgets_its_history_for_a_while_does_not_end_the_import() {
    let plex = plex(900).await;
    let server = server(&plex).start().await;
    plex.set_fault(PAGES, Fault::Hold);
    let (answer, ()) = tokio::join!(sync(&server), async {
        until("the first page", || plex.calls(PAGES) == 1).await;
        plex.release_holds();
        until("the second page", || plex.calls(PAGES) == 2).await;
        plex.set_fault(PAGES, history_of(&json!([])));
        plex.release_holds();
    });
    // The second page is answered; the third and those before it are empty.
    assert_eq!(
        (&answer["success"], &answer["new"]),
        (&json!(false), &json!(380))
    );
    assert_eq!(sync(&server).await["success"], false);
    plex.clear_faults();
    assert_eq!(sync(&server).await["new"], 520);
    assert_in_step(server.directory.path(), &plex).await;
}

#[tokio::test]
async fn another_plex_server_ends_the_run_and_gets_one_of_its_own() {
    let (first, second) = (plex(900).await, plex(40).await);
    let server = server(&first)
        .env("HISTORY_SYNC_INTERVAL", "1")
        .start()
        .await;
    first.set_fault(PAGES, Fault::Hold);
    let (answer, ()) = tokio::join!(sync(&server), async {
        until("the first page", || first.calls(PAGES) == 1).await;
        server.choose(&second).await;
        first.release_holds();
    });
    assert_eq!(answer["success"], false);
    assert_eq!(answer["message"], "The Plex server was changed meanwhile");
    until("the new server's turn", || second.calls(PAGES) >= 1).await;
    assert_eq!(first.calls(PAGES), 1);
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_run_is_quick_and_the_next_run_resumes() {
    let plex = plex(900).await;
    let server = server(&plex).start().await;
    plex.set_fault(PAGES, Fault::Hold);
    let run = tokio::spawn(server.request(&reqwest::Method::POST, SYNC).send());
    until("the first page", || plex.calls(PAGES) == 1).await;
    plex.release_holds();
    until("the second page", || plex.calls(PAGES) == 2).await;
    let started = std::time::Instant::now();
    run.abort();
    let directory = server.stop_by("TERM").await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(stored(directory.path()).await.len(), 200);
    plex.clear_faults();
    let server = in_directory(directory, &plex).start().await;
    assert_eq!(sync(&server).await["new"], 700);
    assert_in_step(server.directory.path(), &plex).await;
}

/// With `KOMANDORR_SOAK=1` as often as a release has to survive it.
#[tokio::test]
async fn killed_in_the_middle_of_runs_nothing_is_lost_and_nothing_twice() {
    let (kills, plays) = if soak() { (20, 20_000) } else { (3, 3_000) };
    let plex = plex(plays).await;
    let mut directory = tempfile::tempdir().unwrap();
    for kill in 0..kills {
        let server = in_directory(directory, &plex).start().await;
        plex.forget_calls();
        let run = tokio::spawn(server.request(&reqwest::Method::POST, SYNC).send());
        // Another page each time, so that all parts of a run are hit.
        until("some pages, or the end", || {
            plex.calls(PAGES) > kill || run.is_finished()
        })
        .await;
        tokio::time::sleep(Duration::from_micros(kill * 1_700)).await;
        plex.add_plays(1);
        directory = server.stop_by("KILL").await;
        run.abort();
        assert_eq!(integrity(directory.path()).await, "ok");
    }
    let server = in_directory(directory, &plex).start().await;
    assert_eq!(sync(&server).await["success"], true);
    assert_in_step(server.directory.path(), &plex).await;
    assert_eq!(sync(&server).await["new"], 0);
    let directory = server.stop_by("TERM").await;
    assert_eq!(integrity(directory.path()).await, "ok");
    assert_eq!(
        count(
            directory.path(),
            "rating_key IS NOT NULL AND type = 'movie' AND studio IS NULL"
        )
        .await,
        0
    );
}

#[tokio::test]
async fn a_long_run_goes_on_without_the_client() {
    if !soak() {
        return;
    }
    let plex = plex(100).await;
    let server = server(&plex).start().await;
    plex.set_fault(PAGES, Fault::Hold);
    let expected = json!({"success": true, "message": "Watch history sync goes on in the background",
                          "new": 0, "scanned": 0, "remaining": null});
    assert_eq!(sync(&server).await, expected);
    plex.clear_faults();
    plex.release_holds();
    assert_eq!(sync(&server).await["success"], true);
    assert_in_step(server.directory.path(), &plex).await;
}

/// A request is answered after 25 s at most; the run goes on.
async fn sync_to_the_end(server: &Server) {
    for _ in 0..20 {
        if sync(server).await["message"] == "Watch history sync completed" {
            return;
        }
    }
    panic!("the run does not end: {}", server.log());
}

/// The figures are for people; the limits are those of a release build with room to spare.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_plays_are_imported_in_flat_memory() {
    if !soak() {
        return;
    }
    let plex = plex(100_000).await;
    let server = server(&plex).start().await;
    let before = server.memory();
    let started = std::time::Instant::now();
    let mut most = 0;
    let mut import = std::pin::pin!(sync_to_the_end(&server));
    loop {
        tokio::select! {
            () = &mut import => break,
            () = tokio::time::sleep(Duration::from_millis(50)) => most = most.max(server.memory()),
        }
    }
    let took = started.elapsed();
    let started = std::time::Instant::now();
    server.get(HISTORY).await;
    let read = started.elapsed();
    println!("import {took:.1?}, memory {before} -> {most} KiB, GET {read:.1?}");
    assert!(most < before + 64 * 1024);
    assert_in_step(server.directory.path(), &plex).await;
    age(server.directory.path()).await;
    let started = std::time::Instant::now();
    sync_to_the_end(&server).await;
    assert!(server.log().contains("complete: 5000 new, 100000 scanned"));
    println!("over 95,000 rows {:.1?}", started.elapsed());
    assert_in_step(server.directory.path(), &plex).await;
}

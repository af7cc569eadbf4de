//! `GET /api/plex/sessions`, alone and together with activities.

use futures_util::future::join_all;
use komandorr::demo::Fault;
use serde_json::{Value, json};

use crate::harness::{Server, plex, until, until_asked};

const SESSIONS: &str = "/api/plex/sessions";
const ACTIVITIES: &str = "/api/plex/activities";
const UPSTREAM: &str = "/status/sessions";
const ACTIVITIES_UPSTREAM: &str = "/activities";

fn list(sessions: &Value) -> Fault {
    Fault::Body(json!({"MediaContainer": {"Metadata": sessions}}).to_string())
}

#[tokio::test]
async fn every_field_is_there_and_of_its_type() {
    let plex = plex(6).await;
    let server = Server::builder().plex(&plex).start().await;
    let answer = server.get(SESSIONS).await;
    let body = answer.json();
    assert_eq!(
        (&body["error"], &body["total"], &body["cached"]),
        (&json!(false), &json!(6), &json!(false))
    );
    for header in ["age", "cache-status", "etag"] {
        assert!(answer.headers.contains_key(header), "{header}");
    }
    assert!(!answer.text.contains(plex.token()));
    for session in body["sessions"].as_array().unwrap() {
        let text = |path: &str| assert!(session.pointer(path).unwrap().is_string(), "{path}");
        let number = |path: &str| assert!(session.pointer(path).unwrap().is_number(), "{path}");
        let or_null = |path: &str, is: fn(&Value) -> bool| {
            let value = session.pointer(path).unwrap();
            assert!(value.is_null() || is(value), "{path}: {value}");
        };
        for path in [
            "/session_id",
            "/user/name",
            "/user/id",
            "/media/title",
            "/media/type",
            "/playback/state",
            "/device/name",
            "/device/client",
            "/device/platform",
            "/stream/video_resolution",
            "/stream/video_codec",
            "/stream/audio_codec",
            "/stream/container",
            "/stream/location",
        ] {
            text(path);
        }
        for path in [
            "/playback/progress",
            "/playback/position_ms",
            "/playback/duration_ms",
            "/stream/bitrate",
            "/stream/bandwidth",
        ] {
            number(path);
        }
        assert!(session["transcode"]["is_transcoding"].is_boolean());
        or_null("/transcode/speed", Value::is_number);
        or_null("/transcode/video_decision", Value::is_string);
        or_null("/transcode/audio_decision", Value::is_string);
        or_null("/media/year", Value::is_number);
        or_null("/media/rating", Value::is_number);
        for path in ["/user/thumb", "/media/thumb", "/media/art"] {
            or_null(path, Value::is_string);
        }
    }
    let again = server.get(SESSIONS).await.json();
    assert_eq!(again["cached"], true);
    assert_eq!(plex.calls(UPSTREAM), 1);
}

#[tokio::test]
async fn without_a_plex_server_the_answer_says_so() {
    let server = Server::builder().start().await;
    let answer = server.get(SESSIONS).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"error": false, "sessions": [], "message": "Plex server not configured"})
    );
}

#[tokio::test]
async fn a_failing_plex_is_an_error_without_and_stale_with_earlier_sessions() {
    let plex = plex(3).await;
    plex.set_fault(UPSTREAM, Fault::Status(500));
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_SESSIONS_TTL", "0.2")
        .start()
        .await;
    let message = "Server returned status code: 500";
    assert_eq!(
        server.get(SESSIONS).await.json(),
        json!({"error": true, "sessions": [], "message": message})
    );
    plex.clear_faults();
    let back = async || server.get(SESSIONS).await.json()["total"] == 3;
    until_asked("the sessions", back).await;
    plex.refuse().await;
    let stale = async || server.get(SESSIONS).await.json()["stale"] == true;
    until_asked("staleness", stale).await;
    let answer = server.get(SESSIONS).await.json();
    assert_eq!(
        (&answer["error"], &answer["total"]),
        (&json!(false), &json!(3))
    );
    assert!(
        answer["message"]
            .as_str()
            .unwrap()
            .contains("No news from Plex")
    );
}

#[tokio::test]
async fn one_malformed_session_hides_no_other() {
    let plex = plex(0).await;
    let odd = json!([
        {"sessionKey": "1", "type": "episode", "parentIndex": null, "title": "<b>x</b> 🎬"},
        "junk", null, 7, [],
        {"sessionKey": "2", "viewOffset": "soon", "duration": {}, "Media": {"container": "mkv"}},
        {"sessionKey": "3", "viewOffset": 900, "duration": 300, "User": null, "Player": "x"},
    ]);
    plex.set_fault(UPSTREAM, list(&odd));
    let server = Server::builder().plex(&plex).start().await;
    let body = server.get(SESSIONS).await.json();
    let sessions = body["sessions"].as_array().unwrap();
    let keys: Vec<_> = sessions.iter().map(|s| s["session_id"].clone()).collect();
    assert_eq!(keys, [json!("1"), json!("2"), json!("3")]);
    assert_eq!(sessions[0]["media"]["title"], " - S00E00 - <b>x</b> 🎬");
    assert_eq!(sessions[1]["stream"]["container"], "mkv");
    assert_eq!(sessions[2]["playback"]["progress"], 300.0);
}

#[tokio::test]
async fn a_show_is_asked_for_once_and_remembered() {
    let plex = plex(0).await;
    let episode = |key: &str, show: &str| {
        json!({"sessionKey": key, "type": "episode", "thumb": "/own",
                     "grandparentRatingKey": show, "grandparentThumb": "/library/metadata/9/thumb/1"})
    };
    let playing = json!([episode("1", "77"), episode("2", "77"), episode("3", "78")]);
    plex.set_fault(UPSTREAM, list(&playing));
    let show =
        json!({"MediaContainer": {"Metadata": [{"thumb": "/t", "art": "/a?X-Plex-Token=x"}]}});
    plex.set_fault("/library/metadata/77", Fault::Body(show.to_string()));
    plex.set_fault("/library/metadata/78", Fault::Status(404));
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_SESSIONS_TTL", "0")
        .start()
        .await;
    for _ in 0..3 {
        let body = server.get(SESSIONS).await.json();
        let media = |at: usize| body["sessions"][at]["media"].clone();
        assert_eq!(media(0)["thumb"], "/library/metadata/9/thumb/1");
        assert_eq!(
            (&media(0)["art"], &media(1)["art"]),
            (&json!("/a"), &json!("/a"))
        );
        assert_eq!(media(2)["art"], Value::Null);
    }
    assert_eq!(plex.calls(UPSTREAM), 3);
    assert_eq!(plex.calls("/library/metadata/77"), 1);
    assert_eq!(plex.calls("/library/metadata/78"), 1);
}

#[tokio::test]
async fn shows_that_can_not_be_had_do_not_hold_the_sessions_up() {
    let plex = plex(0).await;
    let playing = json!([{"sessionKey": "1", "type": "episode", "grandparentRatingKey": "77",
                          "thumb": "/own", "art": "/own-art"}]);
    plex.set_fault(UPSTREAM, list(&playing));
    plex.set_fault("/library/metadata/77", Fault::Hang);
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_SESSIONS_TTL", "0")
        .start()
        .await;
    for _ in 0..3 {
        let body = server.get(SESSIONS).await.json();
        assert_eq!(body["sessions"][0]["media"]["thumb"], "/own");
        assert_eq!(body["sessions"][0]["media"]["art"], "/own-art");
    }
    assert_eq!(plex.calls("/library/metadata/77"), 1, "it is left alone");
}

#[tokio::test]
async fn sessions_and_activities_asked_for_at_once_cost_one_call() {
    let plex = plex(3).await;
    plex.set_fault(UPSTREAM, Fault::Hold);
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_ACTIVITIES_TTL", "60")
        .start()
        .await;
    let tabs = join_all((0..20).map(|_| server.get(SESSIONS)));
    let others = join_all((0..20).map(|_| server.get(ACTIVITIES)));
    let (sessions, activities, ()) = tokio::join!(tabs, others, async {
        let both = async || {
            let caches = server.get("/api/plex/cache/stats").await.json()["caches"].clone();
            let asked = |name: &str| {
                let list = caches.as_array().unwrap();
                let cache = list.iter().find(|cache| cache["name"] == name).unwrap();
                cache["misses"].as_u64().unwrap() == 20
            };
            asked("plex_sessions") && asked("plex_activities")
        };
        until_asked("all readers", both).await;
        plex.clear_faults();
        plex.release_holds();
    });
    assert!(sessions.iter().all(|answer| answer.json()["total"] == 3));
    assert!(activities.iter().all(|answer| answer.titles().len() == 7));
    assert_eq!(plex.calls(UPSTREAM), 1);
}

#[tokio::test]
async fn sessions_are_never_older_than_activities() {
    let plex = plex(2).await;
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_ACTIVITIES_TTL", "0")
        .env("CACHE_SESSIONS_TTL", "60")
        .start()
        .await;
    assert_eq!(server.get(SESSIONS).await.json()["total"], 2);
    plex.set_sessions(5);
    server.get(ACTIVITIES).await;
    let fed = async || server.get(SESSIONS).await.json()["total"] == 5;
    until_asked("the sessions of the activities' call", fed).await;
    assert_eq!(plex.calls(UPSTREAM), 2, "one by each endpoint");
    plex.refuse().await;
    until("both to be cached", || plex.calls(UPSTREAM) == 2).await;
    let answer = server.get(SESSIONS).await.json();
    assert_eq!(
        (&answer["cached"], &answer["stale"]),
        (&json!(true), &Value::Null)
    );
}

/// One session of this key; an episode whose show has to be asked for, if named.
fn one(key: &str, show: Option<&str>) -> Fault {
    list(&json!([{"sessionKey": key, "type": "episode", "grandparentRatingKey": show}]))
}

#[tokio::test]
async fn sessions_of_an_older_list_give_way_to_those_of_newer_activities() {
    let plex = plex(0).await;
    plex.set_fault(UPSTREAM, one("old", Some("77")));
    plex.set_fault("/library/metadata/77", Fault::Hold);
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_ACTIVITIES_TTL", "60")
        .env("CACHE_SESSIONS_TTL", "60")
        .start()
        .await;
    let key = |answer: Value| answer["sessions"][0]["session_id"].clone();
    let (first, second) = tokio::join!(server.get(SESSIONS), async {
        until("the show", || plex.calls("/library/metadata/77") == 1).await;
        plex.set_fault(UPSTREAM, one("new", None));
        server.get(ACTIVITIES).await;
        let second = server.get(SESSIONS).await.json();
        plex.release_holds();
        second
    });
    assert_eq!(key(second), "new");
    assert_eq!(
        key(first.json()),
        "old",
        "who waited gets what was asked for"
    );
    let third = server.get(SESSIONS).await.json();
    assert_eq!((&third["cached"], plex.calls(UPSTREAM)), (&json!(true), 2));
    assert_eq!(key(third), "new");
}

#[tokio::test]
async fn sessions_do_not_wait_for_the_other_half_of_activities() {
    let plex = plex(2).await;
    let server = Server::builder()
        .plex(&plex)
        .env("PLEX_TIMEOUT", "60")
        .env("CACHE_SESSIONS_TTL", "60")
        .start()
        .await;
    server.get(SESSIONS).await;
    plex.set_sessions(5);
    plex.set_fault(ACTIVITIES_UPSTREAM, Fault::Hold);
    let (_, ()) = tokio::join!(server.get(ACTIVITIES), async {
        let fed = async || server.get(SESSIONS).await.json()["total"] == 5;
        until_asked("the sessions of the activities' call", fed).await;
        plex.clear_faults();
        plex.release_holds();
    });
    assert_eq!(plex.calls(UPSTREAM), 2);
}

#[tokio::test]
async fn a_list_asked_for_before_a_clear_fills_nothing_after_it() {
    let plex = plex(2).await;
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_SESSIONS_TTL", "60")
        .start()
        .await;
    server.get(SESSIONS).await;
    plex.set_fault(UPSTREAM, Fault::Hold);
    let (activities, sessions) = tokio::join!(server.get(ACTIVITIES), async {
        until("the activities' call", || plex.calls(UPSTREAM) == 2).await;
        server.post("/api/plex/cache/clear", &json!({})).await;
        // Neither does a reader after the clearing wait for that call.
        plex.clear_faults();
        let sessions = server.get(SESSIONS).await.json();
        server.post("/api/plex/cache/clear", &json!({})).await;
        plex.release_holds();
        sessions
    });
    assert_eq!(
        (sessions["total"].as_u64(), plex.calls(UPSTREAM)),
        (Some(2), 3)
    );
    assert_eq!(activities.titles().len(), 6);
    assert_eq!(server.get(SESSIONS).await.json()["cached"], false);
}

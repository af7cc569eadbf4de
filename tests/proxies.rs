//! `/api/posterizarr/…`, `/api/uploader/…` and `/api/vpn-proxy/…`: what other services know, passed
//! on, and their failures kept to themselves.

mod tables;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use komandorr::demo::{Fault, Simulator};
use reqwest::StatusCode;
use serde_json::{Value, json};

use self::tables::{ANYTHING, MENDED, MONITORS, REFUSED, ROUTES, STATES, UNWATCHED};
use crate::harness::{Answer, Builder, Server, plex};

async fn ask(server: &Server, path: &str) -> Answer {
    server.get(&format!("/api/{path}")).await
}

fn configured(simulator: &Simulator) -> Builder {
    Server::builder()
        .env(
            "POSTERIZARR_URL",
            &format!("{}/", simulator.posterizarr().url),
        )
        .env("POSTERIZARR_API_KEY", simulator.posterizarr().key)
        .env("UPLOADER_BASE_URL", &simulator.uploader().url)
        .env("VPN_PROXY_URL", &simulator.vpn_proxy().url)
        .env("VPN_PROXY_API_KEY", simulator.vpn_proxy().key)
        .env("LOG_LEVEL", "DEBUG")
}

/// Gives the services other addresses that lead to the same places: what they have said at the old
/// ones within the last seconds does not count any more.
async fn forget(server: &Server, simulator: &Simulator, name: &str) {
    let url = |url: String| url.replace("http://", &format!("http://{name}@"));
    let body = json!({
        "posterizarr": {"url": url(simulator.posterizarr().url), "api_key": simulator.posterizarr().key},
        "uploader": {"base_url": url(simulator.uploader().url)},
        "vpn_proxy": {"url": url(simulator.vpn_proxy().url), "api_key": simulator.vpn_proxy().key},
    });
    assert_eq!(server.post("/api/settings", &body).await.status, 200);
}

/// What nobody but the service may be told.
fn assert_discreet(text: &str, simulator: &Simulator) {
    let url = simulator.url();
    let address = url.trim_start_matches("http://");
    for secret in [
        simulator.posterizarr().key,
        simulator.vpn_proxy().key,
        address,
    ] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn a_service_that_nobody_has_configured_is_no_failure() {
    let server = Server::builder().start().await;
    let unconfigured = async || {
        for (path, _, expected) in ROUTES {
            let answer = ask(&server, path).await;
            assert_eq!(
                (answer.status.as_u16(), &*answer.text),
                (200, *expected),
                "{path}"
            );
            assert_eq!(answer.headers["content-type"], "application/json");
        }
        for (name, _) in STATES {
            let answer = ask(&server, &format!("{name}/status")).await;
            assert_eq!(
                answer.text,
                r#"{"connected":false,"error":"Not configured"}"#
            );
        }
    };
    unconfigured().await;
    // An address without a key is not enough, and blanks are no address.
    let url = "http://127.0.0.1:9";
    let half = json!({
        "posterizarr": {"url": url, "api_key": ""},
        "uploader": {"base_url": " "},
        "vpn_proxy": {"url": "", "api_key": "k"},
    });
    assert_eq!(server.post("/api/settings", &half).await.status, 200);
    unconfigured().await;
}

#[tokio::test]
async fn each_path_leads_to_its_own_with_one_call_for_all_who_ask() {
    let simulator = plex(0).await;
    let server = configured(&simulator).start().await;
    let client = reqwest::Client::new();
    let key = simulator.posterizarr().key;
    for (path, upstream, _) in ROUTES {
        let answers = join_all((0..10).map(|_| ask(&server, path))).await;
        assert_eq!(simulator.calls(upstream), 1, "{path}");
        let provider = if path.ends_with("usage") {
            "provider=demagentatv"
        } else {
            ""
        };
        let real = client.get(format!(
            "{}{upstream}?api_key={key}&{provider}",
            simulator.url()
        ));
        let real = real.header("x-api-key", simulator.vpn_proxy().key);
        let real = real.send().await.unwrap().text().await.unwrap();
        for answer in answers {
            assert_eq!(
                (answer.status.as_u16(), &answer.text),
                (200, &real),
                "{path}"
            );
        }
    }
    for (name, upstream) in STATES {
        let path = format!("{name}/status");
        let answers = join_all((0..10).map(|_| ask(&server, &path))).await;
        assert_eq!(simulator.calls(upstream), 1, "{path}");
        let expected = match *name {
            "uploader" => {
                json!({"connected": true, "status": "STARTED", "uptime": "2 days, 13 hours",
                                 "storage": "2.1 TB of 8 TB used"})
            }
            // As it is stored.
            "posterizarr" => {
                json!({"connected": true, "url": format!("{}/", simulator.posterizarr().url)})
            }
            _ => json!({"connected": true, "url": simulator.vpn_proxy().url}),
        };
        assert!(
            answers.iter().all(|answer| answer.json() == expected),
            "{answers:?}"
        );
    }
}

/// A misbehaviour of every service, and what becomes of it: a status, and a part of the text.
fn faults() -> Vec<(Fault, u16, &'static str)> {
    vec![
        (Fault::Status(401), 502, "401 Unauthorized"),
        (Fault::Status(403), 502, "403 Forbidden"),
        (Fault::Status(404), 404, "404 Not Found"),
        (Fault::Status(500), 502, "500 Internal Server Error"),
        (Fault::Redirect("/elsewhere".to_owned()), 502, "302 Found"),
        (Fault::BrokenJson, 502, "the answer is not JSON"),
        (Fault::Cut, 502, "unreachable: broke off its answer"),
    ]
}

#[tokio::test]
async fn whatever_a_service_does_the_answer_is_ours() {
    let simulator = plex(0).await;
    let server = configured(&simulator).start().await;
    for (number, (fault, status, text)) in faults().into_iter().enumerate() {
        forget(&server, &simulator, &format!("f{number}")).await;
        simulator.set_fault("*", fault.clone());
        failures(&server, &simulator, status, text).await;
        simulator.clear_faults();
    }

    // One is as good as all: it is the same limit.
    simulator.set_fault("*", Fault::Huge(65 * 1024 * 1024));
    forget(&server, &simulator, "huge").await;
    let huge = ask(&server, "uploader/completed?pageSize=10000").await;
    let detail = json!({"detail": "Uploader unreachable: its answer is too large"});
    assert_eq!(
        (huge.status, huge.json()),
        (StatusCode::BAD_GATEWAY, detail)
    );

    simulator.refuse().await;
    forget(&server, &simulator, "refused").await;
    failures(&server, &simulator, 502, "unreachable: can't be reached").await;
    assert_discreet(&server.log(), &simulator);
    assert!(server.log().contains("Posterizarr: can't be reached"));
}

async fn failures(server: &Server, simulator: &Simulator, status: u16, text: &str) {
    for (path, ..) in ROUTES {
        let answer = ask(server, path).await;
        assert_discreet(&answer.text, simulator);
        if *path == MONITORS {
            assert_eq!((answer.status.as_u16(), &*answer.text), (200, UNWATCHED));
            continue;
        }
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        let detail = &answer.json()["detail"];
        assert!(detail.as_str().unwrap().contains(text), "{path}: {detail}");
        assert!(!answer.headers.contains_key("www-authenticate"));
    }
    for (name, _) in STATES {
        let answer = ask(server, &format!("{name}/status")).await;
        // They are not asked for JSON, only whether they are there.
        if text.ends_with("not JSON") && *name != "uploader" {
            assert_eq!(answer.json()["connected"], true);
            continue;
        }
        assert_discreet(&answer.text, simulator);
        let state = answer.json();
        assert_eq!(
            (answer.status.as_u16(), &state["connected"]),
            (200, &json!(false))
        );
        let error = state["error"].as_str().unwrap();
        match *name {
            "uploader" => assert_eq!(error, "Unreachable"),
            _ => assert!(error.contains(text), "{name}: {error}"),
        }
    }
}

#[tokio::test]
async fn pages_are_texts_to_the_uploader_and_failures_of_the_others() {
    let simulator = plex(0).await;
    let server = configured(&simulator).start().await;
    let no_content = (Fault::Status(204), "\"\"".to_owned());
    let page = "<!DOCTYPE html><title>Log in</title><h1>Log in</h1>";
    let page = (Fault::Html, Value::from(page).to_string());
    for (number, (fault, text)) in [no_content, page].into_iter().enumerate() {
        forget(&server, &simulator, &format!("p{number}")).await;
        simulator.set_fault("*", fault);
        for (path, ..) in ROUTES {
            let answer = ask(&server, path).await;
            if path.starts_with("uploader/") {
                assert_eq!(
                    (answer.status.as_u16(), &answer.text),
                    (200, &text),
                    "{path}"
                );
            } else if *path == MONITORS {
                assert_eq!(answer.text, UNWATCHED);
            } else {
                assert_eq!(answer.status, 502, "{path}");
                assert!(
                    answer.text.contains(": the answer is not JSON\"}"),
                    "{answer:?}"
                );
            }
        }
        let uploader = ask(&server, "uploader/status").await;
        assert_eq!(uploader.text, r#"{"connected":true}"#);
    }
}

#[tokio::test]
async fn no_answer_can_leave_a_page_blank() {
    let simulator = plex(0).await;
    let server = configured(&simulator).start().await;
    // What is no object and no list at all.
    simulator.set_fault("*", Fault::Body("3".to_owned()));
    for (path, ..) in ROUTES {
        let answer = ask(&server, path).await;
        let expected = if ANYTHING.contains(path) { 200 } else { 502 };
        assert_eq!(answer.status, expected, "{path}: {answer:?}");
    }
    forget(&server, &simulator, "null").await;
    simulator.set_fault("*", Fault::Body("null".to_owned()));
    for (path, ..) in ROUTES {
        let lists = ["vpn-proxy/containers", "vpn-proxy/containers/dependents"];
        let expected = if lists.contains(path) { "[]" } else { "{}" };
        let expected = if ANYTHING.contains(path) {
            "null"
        } else {
            expected
        };
        assert_eq!(ask(&server, path).await.text, expected, "{path}");
    }
    for (number, (path, said, shown)) in MENDED.iter().enumerate() {
        forget(&server, &simulator, &format!("m{number}")).await;
        simulator.set_fault("*", Fault::Body((*said).to_owned()));
        let answer = ask(&server, path).await;
        match *shown {
            REFUSED => assert_eq!(answer.status, 502, "{path} {said}: {answer:?}"),
            shown => assert_eq!(answer.text, shown, "{path} {said}"),
        }
    }
}

#[tokio::test]
async fn what_is_asked_for_is_checked_and_passed_on() {
    let simulator = plex(0).await;
    let server = configured(&simulator).start().await;
    let usage = |provider: &str| format!("vpn-proxy/monitoring/network-usage?provider={provider}");
    let asked = ask(&server, &usage("a%26api_key=x%20%C3%A4")).await;
    assert_eq!(asked.json()["Provider"], "a&api_key=x ä");
    let history = ask(&server, "posterizarr/runtime-history?limit=3")
        .await
        .json();
    assert_eq!(history["history"].as_array().unwrap().len(), 3);
    let page = ask(&server, "uploader/completed?pageNumber=2&pageSize=60")
        .await
        .json();
    assert_eq!(
        (page["jobs"].as_array().unwrap().len(), &page["total_count"]),
        (4, &json!(64))
    );
    let page = ask(&server, "uploader/failed?pageNumber=-3&pageSize=0")
        .await
        .json();
    assert_eq!(
        page["jobs"].as_array().unwrap().len(),
        1,
        "the nearest that make sense"
    );
    assert_eq!(
        ask(&server, "vpn-proxy/containers/2.0").await.json()["name"],
        "ferry-west"
    );
    let missing = ask(&server, "vpn-proxy/containers/99").await;
    assert_eq!(missing.status, 404);
    assert!(missing.text.contains("Container not found"), "{missing:?}");

    simulator.forget_calls();
    for (path, kind) in [
        ("vpn-proxy/containers/x", "int_parsing"),
        ("vpn-proxy/containers/%FF", "int_parsing"),
        (
            "vpn-proxy/containers/99999999999999999999/vpn-info",
            "int_parsing_size",
        ),
        ("posterizarr/runtime-history?limit=", "int_parsing"),
        ("uploader/completed?pageSize=many", "int_parsing"),
        ("uploader/failed?pageNumber=1.5", "int_parsing"),
        (&usage(&"x".repeat(101)), "string_too_long"),
    ] {
        let answer = ask(&server, path).await;
        assert_eq!(answer.status, 422, "{path}");
        assert_eq!(answer.json()["detail"][0]["type"], kind, "{path}");
    }
    assert_eq!(simulator.calls_by_path().len(), 0);
}

#[tokio::test]
async fn a_wrong_key_is_a_failure_of_the_service_and_logs_nobody_out() {
    let simulator = plex(0).await;
    let server = configured(&simulator)
        .env("POSTERIZARR_API_KEY", "wrong-key-1")
        .env("VPN_PROXY_API_KEY", "wrong-key-2")
        .start()
        .await;
    for path in ["posterizarr/dashboard", "vpn-proxy/containers"] {
        let answer = ask(&server, path).await;
        assert_eq!(answer.status, 502, "{path}: {answer:?}");
        assert!(answer.text.contains("API key"), "{answer:?}");
    }
    assert!(!server.log().contains("wrong-key"));
}

#[tokio::test]
async fn nobody_waits_for_ten_seconds_twice() {
    let simulator = plex(0).await;
    simulator.set_fault("*", Fault::Hang);
    let server = configured(&simulator).start().await;
    let timed = async |path: &'static str| {
        let started = Instant::now();
        let answer = ask(&server, path).await;
        (
            started.elapsed().as_secs(),
            answer.status.as_u16(),
            answer.text,
        )
    };
    let unreachable = r#"{"connected":false,"error":"unreachable: no answer in time"}"#;
    let paths = [
        "posterizarr/status",
        "vpn-proxy/status",
        "uploader/status",
        "uploader/queue",
    ];
    let answers = join_all(paths.map(timed)).await;
    let texts = [
        unreachable,
        unreachable,
        r#"{"connected":false,"error":"Unreachable"}"#,
        r#"{"detail":"Uploader unreachable: no answer in time"}"#,
    ];
    for ((seconds, status, text), expected) in answers.iter().zip(texts) {
        assert!((9..12).contains(seconds), "{seconds} s");
        let is_state = text.contains("connected");
        assert_eq!(
            (*status, &**text),
            (if is_state { 200 } else { 502 }, expected)
        );
    }
    let started = Instant::now();
    let again = [
        "posterizarr/dashboard",
        "uploader/inprogress",
        "vpn-proxy/containers",
    ];
    for (_, status, text) in join_all(again.map(timed)).await {
        assert_eq!(status, 502);
        assert!(text.contains("no answer in time"), "{text}");
    }
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "they are left alone for a while"
    );
}

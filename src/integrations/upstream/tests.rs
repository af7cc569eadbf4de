use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use futures_util::future::join_all;
use tokio::net::TcpListener;

use super::*;
use crate::settings::Environment;

fn upstream(url: &str, key: Key) -> Upstream {
    Upstream {
        name: "Sonarr".to_owned(),
        url: url.to_owned(),
        key,
        limit: Duration::from_secs(5),
    }
}

fn secret() -> Secret {
    Secret::new("k&y".to_owned())
}

async fn app() -> (tempfile::TempDir, AppState) {
    let directory = tempfile::tempdir().unwrap();
    let app = AppState::for_test(directory.path(), Environment::default()).await;
    (directory, app)
}

/// A server that counts its calls and answers with `answer`.
async fn serve<F>(
    answer: impl Fn(u32) -> F + Clone + Send + Sync + 'static,
) -> (String, Arc<AtomicU32>)
where
    F: Future<Output = (axum::http::StatusCode, String)> + Send + 'static,
{
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let router = Router::new().fallback(move || answer(counted.fetch_add(1, Ordering::Relaxed)));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, calls)
}

#[test]
fn an_address_is_put_together_from_what_is_stored() {
    let address = |url, path, query: &[(&str, &str)]| {
        let key = Key::Query("api_key", secret());
        upstream(url, key).address(path, query).map(String::from)
    };
    assert_eq!(
        address(" http://nas:8/base// ", "/api/x", &[("provider", "a&b=c")]).unwrap(),
        "http://nas:8/base/api/x?api_key=k%26y&provider=a%26b%3Dc"
    );
    for bad in ["", "sonarr:8989", "ftp://nas", "/path", "http://"] {
        assert_eq!(address(bad, "/api", &[]), Err(Failure::Address), "{bad:?}");
    }
}

#[test]
fn only_the_expected_shape_passes_and_null_is_empty() {
    let json = |body: &'static str, shape| {
        let answer = Answer {
            status: 200,
            is_json: true,
            body: Bytes::from_static(body.as_bytes()),
        };
        answer.json(shape).map(|json| json.get().to_owned())
    };
    assert_eq!(json(" [1.50] ", Shape::Any).unwrap(), "[1.50]");
    assert_eq!(json("{\"a\":1}", Shape::Object).unwrap(), "{\"a\":1}");
    assert_eq!(json("null", Shape::Object).unwrap(), "{}");
    assert_eq!(json("null", Shape::Any).unwrap(), "null");
    assert_eq!(json("[]", Shape::Object), Err(Failure::Shape));
    for garbage in ["", "<html>", "{\"half\":", "[] []"] {
        assert_eq!(
            json(garbage, Shape::Any),
            Err(Failure::NotJson),
            "{garbage}"
        );
    }
}

#[tokio::test]
async fn what_a_service_says_about_a_failure_is_passed_on_without_its_key() {
    use axum::response::IntoResponse as _;
    let (_directory, app) = app().await;
    for (status, expected) in [(401, 502), (403, 502), (404, 404), (301, 502), (500, 502)] {
        let (url, _) = serve(move |_| async move {
            let status = axum::http::StatusCode::from_u16(status).unwrap();
            (status, "no\n k&y, k%26y".repeat(100))
        })
        .await;
        let sonarr = upstream(&url, Key::Header("x-api-key", secret()));
        let answer = sonarr.get(&app, "/x", &[]).await.unwrap();
        let failure = sonarr.successful(&answer).unwrap_err();
        let text = failure.to_string();
        assert!(text.starts_with("no ***, ***no"), "{text}");
        assert_eq!(text.chars().count(), LONGEST_TEXT);
        let response = sonarr.refusal(&failure).into_response();
        assert_eq!(response.status(), expected);
    }
}

#[tokio::test]
async fn who_asks_the_same_at_the_same_time_costs_one_call_until_something_is_changed() {
    let (_directory, app) = app().await;
    let (url, calls) = serve(|_| async { (axum::http::StatusCode::OK, "[]".to_owned()) }).await;
    let sonarr = upstream(&url, Key::None);
    let ask = async || sonarr.get(&app, "/x", &[]).await.is_ok();
    assert_eq!(join_all((0..10).map(|_| ask())).await, [true; 10]);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let with_key = upstream(&url, Key::Header("x-api-key", secret()));
    with_key.get(&app, "/x", &[]).await.unwrap();
    assert_eq!(
        calls.load(Ordering::Relaxed),
        2,
        "another key, another answer"
    );
    let deleted = sonarr.send(&app, Method::DELETE, "/x/1", None).await;
    assert_eq!(deleted.unwrap().status, 200);
    assert!(ask().await);
    assert_eq!(calls.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_service_that_keeps_silent_is_not_waited_for_again_at_once() {
    let (_directory, app) = app().await;
    let (url, calls) = serve(|_| std::future::pending()).await;
    let mut sonarr = upstream(&url, Key::None);
    sonarr.limit = Duration::from_millis(50);
    let timeout = Err(Failure::Call(CallError::Timeout));
    let ask = async |path| sonarr.get(&app, path, &[]).await.map(|_| ());
    assert_eq!(ask("/a").await, timeout);
    assert_eq!(ask("/b").await, timeout);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_service_that_answers_others_is_only_slow() {
    let (_directory, app) = app().await;
    let (url, calls) = serve(|number| async move {
        if number == 0 {
            std::future::pending::<()>().await;
        }
        (axum::http::StatusCode::OK, String::new())
    })
    .await;
    let mut sonarr = upstream(&url, Key::None);
    sonarr.limit = Duration::from_millis(300);
    let slow = sonarr.get(&app, "/slow", &[]);
    let quick = async {
        while calls.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        sonarr.get(&app, "/quick", &[]).await.unwrap();
    };
    let (slow, ()) = tokio::join!(slow, quick);
    assert!(slow.is_err());
    assert_eq!(sonarr.get(&app, "/other", &[]).await.unwrap().status, 200);
}

#[test]
fn the_next_failure_of_another_kind_ends_the_silence() {
    let asked = Instant::now();
    let mut state = State::default();
    assert!(state.note(asked, Some(CallError::Timeout)), "news");
    assert!(!state.may_be_asked(Duration::from_secs(1)));
    assert!(!state.note(asked, Some(CallError::Connect)), "known");
    assert!(state.may_be_asked(Duration::from_secs(1)));
    assert!(state.note(asked, None), "news");
}

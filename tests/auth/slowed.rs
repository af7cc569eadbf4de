//! Those who guess passwords are slowed down, and nobody else.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{USER, from, get, locked, post, right};
use crate::harness::Server;

async fn wrong(server: &Server, client: usize) -> (u16, Duration) {
    let request = get(server, "/api/health").basic_auth(USER, Some("guess"));
    let started = Instant::now();
    let answer = server.send(from(request, client)).await;
    (answer.status.as_u16(), started.elapsed())
}

#[tokio::test]
async fn each_wrong_guess_makes_the_next_one_wait_longer() {
    let server = locked().start().await;
    assert_eq!(
        server.send(right(get(&server, "/api/health"))).await.status,
        200
    );
    for at_least in [0, 250, 500, 1000] {
        let (status, waited) = wrong(&server, 1).await;
        assert_eq!(status, 401);
        assert!(waited >= Duration::from_millis(at_least), "{waited:?}");
    }
    // Of the same address, but known; then of another one.
    let started = Instant::now();
    let known = from(right(get(&server, "/api/health")), 1);
    assert_eq!(server.send(known).await.status, 200);
    assert_eq!(wrong(&server, 2).await.0, 401);
    // And without credentials nothing is guessed.
    for _ in 0..10 {
        let none = from(get(&server, "/api/health"), 3);
        assert_eq!(server.send(none).await.status, 401);
    }
    assert_eq!(wrong(&server, 3).await.0, 401);
    assert!(started.elapsed() < Duration::from_millis(1500));
}

#[tokio::test]
async fn more_than_64_guesses_at_a_time_are_refused() {
    let server = locked().start().await;
    let guesses = futures_util::future::join_all((0..80).map(|_| wrong(&server, 1)));
    let statuses: Vec<u16> = guesses
        .await
        .into_iter()
        .map(|(status, _)| status)
        .collect();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!(refused, 15, "{statuses:?}");
    assert_eq!(wrong(&server, 2).await.0, 401, "others are not concerned");
}

#[tokio::test]
async fn guessing_the_current_password_counts_too() {
    let server = locked().start().await;
    let body = json!({"username": USER, "current_password": "guess", "new_password": "x"});
    let started = Instant::now();
    for _ in 0..3 {
        let request = from(right(post(&server, "/api/auth/update", &body)), 1);
        assert_eq!(server.send(request).await.status, 401);
    }
    assert!(started.elapsed() >= Duration::from_millis(750));
}

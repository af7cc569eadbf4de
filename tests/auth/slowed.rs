//! Those who guess passwords are slowed down, and nobody else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{USER, from, get, locked, post, right};
use crate::harness::Server;

/// Another guess each time.
async fn wrong(server: &Server, client: usize) -> (u16, Duration) {
    static GUESSES: AtomicUsize = AtomicUsize::new(0);
    let guess = GUESSES.fetch_add(1, Ordering::Relaxed).to_string();
    let request = get(server, "/api/health").basic_auth(USER, Some(guess));
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
    // The same guess once more tells nobody anything.
    let same = || {
        from(
            get(&server, "/api/health").basic_auth(USER, Some("same")),
            2,
        )
    };
    let started = Instant::now();
    for _ in 0..10 {
        assert_eq!(server.send(same()).await.status, 401);
    }
    // And without credentials nothing is guessed.
    for _ in 0..10 {
        let none = from(get(&server, "/api/health"), 3);
        assert_eq!(server.send(none).await.status, 401);
    }
    assert_eq!(wrong(&server, 3).await.0, 401);
    assert!(started.elapsed() < Duration::from_millis(1500));
}

#[tokio::test]
async fn who_is_known_does_not_wait_and_who_guesses_right_does() {
    let server = locked().start().await;
    let known = |client| from(right(get(&server, "/api/health")), client);
    assert_eq!(server.send(known(1)).await.status, 200);
    for client in [1, 2] {
        for _ in 0..4 {
            assert_eq!(wrong(&server, client).await.0, 401);
        }
    }
    let started = Instant::now();
    assert_eq!(server.send(known(1)).await.status, 200);
    assert!(started.elapsed() < Duration::from_millis(1500));
    let started = Instant::now();
    assert_eq!(server.send(known(2)).await.status, 200);
    assert!(
        started.elapsed() >= Duration::from_secs(2),
        "told by its time"
    );
}

#[tokio::test]
async fn one_address_can_not_keep_others_out() {
    let server = locked().start().await;
    let guesses = futures_util::future::join_all((0..20).map(|_| wrong(&server, 1)));
    let (guesses, other) = tokio::join!(guesses, wrong(&server, 2));
    let refused = guesses.iter().filter(|(status, _)| *status == 429).count();
    assert_eq!(
        refused, 11,
        "one is answered at once, eight wait: {guesses:?}"
    );
    assert_eq!(other.0, 401);
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

//! What becomes of friends after they were invited: looked up, removed, expired.

use std::time::Duration;

use komandorr::demo::{Fault, Simulator};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::database::{execute, texts};
use crate::harness::{Answer, Builder, Server, plex, until_asked};
use crate::redeeming::{builder, friends, shared_servers};

const CAPTAIN: &str = "captainbrine@example.org";

/// With these friends, numbered from 1: address and end.
async fn with(plex: &Simulator, known: &[(&str, &str)]) -> Builder {
    let builder = builder(plex, "ONE", ", usage_limit", ", 5").await;
    for (email, until) in known {
        let sql = format!(
            "INSERT INTO plex_users (email, invite_id, created_at, expires_at, is_active) \
             VALUES ('{email}', 1, '2026-01-02 03:04:05', {until}, 1)"
        );
        execute(builder.directory(), &sql).await;
    }
    builder
}

async fn refresh(server: &Server, id: &str) -> Answer {
    let path = format!("/api/invites/users/{id}/refresh");
    server.send(server.request(&Method::POST, &path)).await
}

async fn remove(server: &Server, id: u32) -> Answer {
    server.delete(&format!("/api/invites/users/{id}")).await
}

#[tokio::test]
async fn plex_is_asked_who_a_friend_is() {
    let plex = plex(1).await;
    let server = with(&plex, &[(CAPTAIN, "NULL"), ("nobody@example.org", "NULL")])
        .await
        .start()
        .await;
    let known = refresh(&server, "1").await;
    assert_eq!(known.status, 200, "{known:?}");
    let known = known.json();
    assert_eq!(
        (&known["username"], &known["plex_id"]),
        (&json!("captain_brine"), &json!("31007254"))
    );
    assert!(known["thumb"].is_string());
    assert_eq!(known["created_at"], "2026-01-02T03:04:05Z");

    let unknown = refresh(&server, "2").await;
    assert_eq!(
        (unknown.status.as_u16(), &unknown.json()["username"]),
        (200, &Value::Null)
    );
    assert!(
        server
            .log()
            .contains("nobody@example.org was not found on Plex")
    );
    assert_eq!(
        refresh(&server, "9").await.json(),
        json!({"detail": "User not found"})
    );
    assert_eq!(refresh(&server, "x").await.status, 422);

    for fault in [Fault::Status(401), Fault::Html, Fault::Cut] {
        plex.set_fault("/api/users/", fault);
        let answer = refresh(&server, "1").await;
        assert_eq!(answer.status, 502);
        assert!(!answer.text.contains(plex.token()));
    }
    plex.clear_faults();

    let bare = server
        .stop()
        .await
        .env("PLEX_SERVER_TOKEN", "")
        .start()
        .await;
    let answer = refresh(&bare, "1").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["detail"]),
        (500, &json!("Plex server not configured"))
    );
}

#[tokio::test]
async fn a_removed_friend_is_shut_out_and_the_invite_stays() {
    let plex = plex(1).await;
    let known = [
        (CAPTAIN, "NULL"),
        ("nobody@example.org", "NULL"),
        ("tanteinga@example.org", "NULL"),
    ];
    let server = with(&plex, &known).await.start().await;
    let directory = server.directory.path();
    plex.set_fault("/api/users/", Fault::Status(500));
    let failed = remove(&server, 1).await;
    assert_eq!(failed.status, 502);
    assert_eq!(friends(directory).await.len(), 3, "they have access still");
    plex.clear_faults();

    assert!(plex.is_shared_with(CAPTAIN));
    let removed = remove(&server, 1).await;
    assert_eq!(
        removed.json(),
        json!({"success": true, "message": format!("User {CAPTAIN} removed from Plex and database")})
    );
    assert!(!plex.is_shared_with(CAPTAIN));
    assert_eq!(
        remove(&server, 2).await.status,
        200,
        "nobody has access to lose"
    );
    assert_eq!(
        remove(&server, 1).await.json(),
        json!({"detail": "User not found"})
    );

    // A member of the Home has to leave it, too.
    assert!(plex.is_at_home("tanteinga@example.org"));
    assert_eq!(remove(&server, 3).await.status, 200);
    assert!(!plex.is_at_home("tanteinga@example.org"));
    assert_eq!(friends(directory).await, [""; 0]);
    assert_eq!(
        texts(directory, "SELECT count(*) FROM invites").await,
        ["1"]
    );
}

#[tokio::test]
async fn a_friend_with_another_address_by_now_is_known_by_their_number() {
    let plex = plex(1).await;
    let known = [("before@example.org", "NULL"), (CAPTAIN, "NULL")];
    let server = with(&plex, &known).await.start().await;
    let directory = server.directory.path();
    let number = "UPDATE plex_users SET plex_id = CASE id WHEN 1 THEN '31007254' ELSE '1' END";
    execute(directory, number).await;
    let found = refresh(&server, "1").await.json();
    assert_eq!(found["username"], "captain_brine");
    assert_eq!(found["email"], "before@example.org");
    // The address alone is not who is meant.
    assert_eq!(refresh(&server, "2").await.json()["username"], Value::Null);
    assert!(plex.is_shared_with(CAPTAIN));
    assert_eq!(remove(&server, 1).await.status, 200);
    assert!(!plex.is_shared_with(CAPTAIN));
}

#[tokio::test]
async fn an_open_invitation_is_taken_back() {
    let plex = plex(1).await;
    let server = with(&plex, &[]).await.start().await;
    let body = json!({"code": "ONE", "email": "new@example.org"});
    assert_eq!(server.post("/api/invites/redeem", &body).await.status, 200);
    assert!(plex.is_shared_with("new@example.org"));
    // Without the server it is not known where to look for it.
    plex.set_fault("/identity", Fault::Status(500));
    assert_eq!(remove(&server, 1).await.status, 502);
    plex.clear_faults();
    assert_eq!(remove(&server, 1).await.status, 200);
    assert!(!plex.is_shared_with("new@example.org"));
}

#[tokio::test]
async fn whose_time_is_over_is_removed_once_and_nobody_else() {
    let plex = plex(1).await;
    let known = [
        (CAPTAIN, "'2026-01-03 00:00:00'"),
        ("nobody@example.org", "'2026-01-03'"),
        ("bothebytedripwell@example.org", "'2099-01-03'"),
        ("sianogrindle@example.org", "NULL"),
    ];
    let builder = with(&plex, &known).await.env("EXPIRY_INTERVAL", "1");
    // Null is the default of the column: active.
    let null = "UPDATE plex_users SET is_active = NULL WHERE id = 2";
    execute(builder.directory(), null).await;
    // Nobody is removed while it is not sure what time it is, or plex.tv refuses.
    plex.set_fault("/api/users/", Fault::Status(500));
    let server = builder.start().await;
    until_asked("the failure is told", async || {
        server.log().contains(&format!(
            "Failed to remove expired user {CAPTAIN} from Plex"
        ))
    })
    .await;
    let directory = server.directory.path();
    assert_eq!(friends(directory).await.len(), 4);
    plex.clear_faults();
    until_asked("both are gone", async || {
        friends(directory).await.len() == 2
    })
    .await;
    assert!(!plex.is_shared_with(CAPTAIN));
    assert!(plex.is_shared_with("bothebytedripwell@example.org"));
    assert_eq!(
        texts(directory, "SELECT count(*) FROM invites").await,
        ["1"],
        "invites stay"
    );
    let log = server.log();
    assert!(log.contains("Found 2 expired user accounts"));
    assert!(log.contains(&format!("Removed expired user {CAPTAIN} from Plex")));
    assert!(!log.contains(plex.token()));

    let calls = plex.calls("/api/users/");
    execute(
        directory,
        "UPDATE plex_users SET expires_at = '2026-01-03' WHERE id = 3",
    )
    .await;
    until_asked("the next round", async || {
        friends(directory).await.len() == 1
    })
    .await;
    assert_eq!(plex.calls("/api/users/"), calls + 1, "only for the new one");
    assert_eq!(
        plex.calls(&shared_servers(&plex)),
        1,
        "only for whom nobody knows"
    );
}

#[tokio::test]
async fn a_clock_that_is_wrong_removes_nobody() {
    let plex = plex(1).await;
    plex.set_fault(
        "/api/v2/ping",
        Fault::StatusWith {
            status: 200,
            header: ("date", "Sat, 01 Jan 2022 00:00:00 GMT".to_owned()),
        },
    );
    let builder = with(&plex, &[(CAPTAIN, "'2026-01-03'")]).await;
    let server = builder.env("EXPIRY_INTERVAL", "1").start().await;
    until_asked("the clock is looked at", async || {
        server.log().contains("clock")
    })
    .await;
    assert_eq!(friends(server.directory.path()).await, [CAPTAIN]);
    assert!(plex.is_shared_with(CAPTAIN));
}

#[tokio::test]
async fn the_list_of_invites_never_waits_for_plex_tv() {
    let plex = plex(1).await;
    // Nobody knows what they look like.
    let server = with(&plex, &[(CAPTAIN, "NULL")]).await.start().await;
    plex.set_fault("*", Fault::Hang);
    plex.forget_calls();
    let list = tokio::time::timeout(Duration::from_secs(5), server.get("/api/invites/"));
    let list = list.await.expect("an answer at once").json();
    assert_eq!(list[0]["users"][0]["email"], CAPTAIN);
    assert_eq!(list[0]["users"][0]["thumb"], Value::Null);
    assert_eq!(plex.calls("/api/users/"), 0);
}

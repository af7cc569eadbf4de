//! Using invites by logging in to Plex.

use futures_util::future::join_all;
use komandorr::demo::Fault;
use serde_json::{Value, json};

use crate::harness::database::{execute, texts};
use crate::harness::redis::Redis;
use crate::harness::{Answer, Server, plex, until_asked};
use crate::redeeming::{builder, emails, friends, invite, shared_servers, used};

const LOGIN: &str = "/api/oauth/plex/login?invite_code=ONE";

async fn login(server: &Server) -> (i64, String) {
    let answer = server.get(LOGIN).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let state = body["state"].as_str().unwrap().to_owned();
    (body["pin_id"].as_i64().unwrap(), state)
}

async fn check(server: &Server, pin: i64, state: &str) -> Answer {
    server
        .get(&format!("/api/oauth/plex/check/{pin}?state={state}"))
        .await
}

/// Redeems with claims that nobody should believe.
async fn redeem(server: &Server, code: &str, token: &str) -> Answer {
    let body = json!({"invite_code": code, "auth_token": token, "email": "owner@example.org",
        "username": "owner", "plex_id": "1"});
    server.post("/api/oauth/plex/redeem", &body).await
}

#[tokio::test]
async fn a_friend_logs_in_and_is_let_in_as_who_they_are() {
    let plex = plex(1).await;
    let server = builder(&plex, "ONE", ", usage_limit", ", 1")
        .await
        .start()
        .await;
    let body = server.get(LOGIN).await.json();
    let (pin, state) = (
        body["pin_id"].as_i64().unwrap(),
        body["state"].as_str().unwrap(),
    );
    assert_eq!(state.len(), 43);
    let code = body["pin_code"].as_str().unwrap();
    assert_eq!(
        body["auth_url"],
        format!(
            "https://app.plex.tv/auth#?clientID=komandorr-invite&code={code}&context[device]\
             [product]=Komandorr&context[device][version]=1.0&context[device][platform]=Web"
        )
    );
    assert_eq!(
        check(&server, pin, state).await.text,
        r#"{"authorized":false}"#
    );

    assert!(plex.authorize_pin(pin, "zed"));
    let mut token = String::new();
    // The answer of a moment ago is given again first.
    until_asked("the log-in is seen", async || {
        let body = check(&server, pin, state).await.json();
        token = body["auth_token"].as_str().unwrap_or_default().to_owned();
        if body["authorized"] == true {
            assert_eq!(
                (&body["email"], &body["username"]),
                (&json!("zed@example.org"), &json!("zed"))
            );
            assert!(body["plex_id"].is_u64() && body.get("expired").is_none());
        }
        body["authorized"] == true
    })
    .await;
    assert_eq!(token, plex.guest_token("zed"));

    let answer = redeem(&server, "one", &token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["message"], "Successfully added to Plex server!");
    assert_eq!(body["user"]["email"], "zed@example.org");
    let created = body["user"]["created_at"].as_str().unwrap();
    assert!(created.len() > 18 && !created.ends_with('Z'), "{created}");
    let [invitation] = &plex.invitations()[..] else {
        panic!("{:?}", plex.invitations());
    };
    assert!(invitation.accepted, "in their name");
    let row = "SELECT email || '|' || username || '|' || plex_id || '|' || (thumb IS NOT NULL) FROM plex_users";
    let row = texts(server.directory.path(), row).await.concat();
    assert!(
        row.starts_with("zed@example.org|zed|5") && row.ends_with("|1"),
        "{row}"
    );

    let again = redeem(&server, "ONE", &token).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["detail"]),
        (400, &json!("Invite has been fully used"))
    );
    assert_eq!(used(server.directory.path()).await, "1");
    // An answer may be lost on the way; after some seconds the state is used up.
    assert_eq!(
        check(&server, pin, state).await.json()["auth_token"],
        *token
    );
    until_asked("the state is used up", async || {
        check(&server, pin, state).await.status == 400
    })
    .await;
    let log = server.log();
    for secret in [&token, state, plex.token()] {
        assert!(!log.contains(secret));
    }
    assert_eq!(plex.tokens_in_queries(), 0);
}

#[tokio::test]
async fn a_state_belongs_to_its_pin() {
    let plex = plex(1).await;
    let server = builder(&plex, "ONE", "", "").await.start().await;
    let ((one, state), (other, _)) = (login(&server).await, login(&server).await);
    let refused = |answer: &Answer| (answer.status.as_u16(), answer.json()["detail"].clone());
    let invalid = (400, json!("Invalid state"));
    assert_eq!(refused(&check(&server, other, &state).await), invalid);
    assert_eq!(refused(&check(&server, one, "guess").await), invalid);
    assert_eq!(check(&server, one, "").await.status, 400);
    assert_eq!(
        server.get("/api/oauth/plex/check/x?state=y").await.status,
        422
    );
    assert_eq!(
        server
            .get(&format!("/api/oauth/plex/check/{one}"))
            .await
            .status,
        422
    );
    assert_eq!(server.get("/api/oauth/plex/login").await.status, 422);
    plex.expire_pin(one);
    let gone = check(&server, one, &state).await;
    assert_eq!(gone.text, r#"{"authorized":false,"expired":true}"#);
}

#[tokio::test]
async fn ten_pages_that_ask_at_once_cost_one_call_and_all_get_the_token() {
    let plex = plex(1).await;
    let server = builder(&plex, "ONE", "", "").await.start().await;
    let (pin, state) = login(&server).await;
    plex.authorize_pin(pin, "zed");
    let answers = join_all((0..10).map(|_| check(&server, pin, &state))).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.json()["authorized"] == true)
    );
    assert_eq!(plex.calls(&format!("/api/v2/pins/{pin}")), 1);
}

#[tokio::test]
async fn who_is_no_member_yet_is_told_so_and_who_is_one_too() {
    let plex = plex(1).await;
    let builder = builder(&plex, "ONE", "", "").await;
    let directory = builder.directory();
    invite(directory, "OFF", "", "").await;
    invite(directory, "OVER", ", expires_at", ", '2026-01-03'").await;
    execute(
        directory,
        "UPDATE invites SET is_active = 0 WHERE code = 'OFF'",
    )
    .await;
    let server = builder.start().await;
    let refused = async |code: &str, token: &str| {
        let answer = redeem(&server, code, token).await;
        (
            answer.status.as_u16(),
            answer.json()["detail"].as_str().unwrap().to_owned(),
        )
    };
    let told = |status, text: &str| (status, text.to_owned());
    let zed = plex.guest_token("zed");
    assert_eq!(refused("NONE", &zed).await, told(404, "Invite not found"));
    assert_eq!(
        refused("OFF", &zed).await,
        told(400, "Invite has been disabled")
    );
    assert_eq!(refused("OVER", &zed).await, told(400, "Invite has expired"));
    let wrong = refused("ONE", "stolen").await;
    assert_eq!(
        wrong,
        told(
            400,
            "Failed to redeem invite: Plex does not accept this log-in"
        )
    );
    let asked = plex.calls("/api/v2/user");
    for no_header in ["a\nb", "\u{7f}"] {
        assert_eq!(refused("ONE", no_header).await, wrong);
    }
    assert_eq!(plex.calls("/api/v2/user"), asked);
    let member = plex.guest_token("captain_brine");
    assert_eq!(refused("ONE", &member).await, told(400, "already_member"));
    assert_eq!(emails(&plex), [""; 0]);
    assert_eq!(used(server.directory.path()).await, "0");

    assert_eq!(redeem(&server, "ONE", &zed).await.status, 200);
    assert_eq!(
        refused("ONE", &zed).await,
        told(400, "You have already redeemed this invite")
    );
    // Numbers are not taken for text.
    let body =
        json!({"invite_code": "ONE", "auth_token": zed, "email": "", "username": "", "plex_id": 5});
    let answer = server.post("/api/oauth/plex/redeem", &body).await;
    assert_eq!(
        answer.json()["detail"][0]["loc"],
        json!(["body", "plex_id"])
    );
    assert_eq!(friends(server.directory.path()).await, ["zed@example.org"]);
}

#[tokio::test]
async fn whoever_is_not_let_in_at_once_is_told_to_accept() {
    let plex = plex(1).await;
    let server = builder(&plex, "ONE", "", "").await.start().await;
    plex.set_fault(
        "/api/v2/shared_servers/invites/received/pending",
        Fault::Status(410),
    );
    let answer = redeem(&server, "ONE", &plex.guest_token("zed")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json()["message"],
        "Invited to the Plex server! Please accept the invitation in Plex."
    );
    assert!(
        server
            .log()
            .contains("Auto-accept failed for zed@example.org")
    );
}

#[tokio::test]
async fn without_plex_tv_nothing_is_used_up_but_what_it_leaves_open() {
    let plex = plex(1).await;
    let server = builder(&plex, "ONE", "", "").await.start().await;
    let directory = server.directory.path();
    let (pin, state) = login(&server).await;
    let zed = plex.guest_token("zed");
    for fault in [
        Fault::Status(401),
        Fault::Status(503),
        Fault::Html,
        Fault::BrokenJson,
        Fault::Cut,
        Fault::Huge(64 << 20),
        Fault::Redirect("http://127.0.0.1:9/".to_owned()),
    ] {
        let shown = format!("{fault:?}");
        plex.set_fault("*", fault);
        let answers = [
            (server.get(LOGIN).await, 502),
            (
                redeem(&server, "ONE", &zed).await,
                if shown.contains("401") { 400 } else { 500 },
            ),
        ];
        for (answer, status) in answers {
            assert_eq!(answer.status.as_u16(), status, "{shown}: {answer:?}");
            assert!(!answer.text.contains("http"), "{answer:?}");
        }
        assert_eq!(used(directory).await, "0", "{shown}");
        plex.clear_faults();
    }
    plex.set_fault(&format!("/api/v2/pins/{pin}"), Fault::Status(500));
    assert_eq!(check(&server, pin, &state).await.status, 502);
    plex.clear_faults();
    until_asked("the state has stayed", async || {
        check(&server, pin, &state).await.status == 200
    })
    .await;
    let offer = format!("POST {}", shared_servers(&plex));
    plex.set_fault(&offer, Fault::Status(422));
    assert_eq!(redeem(&server, "ONE", &zed).await.status, 500);
    assert_eq!(used(directory).await, "0", "surely not invited");
    // plex.tv may be at it still, though it shows no invitation yet: counted until that is settled.
    plex.set_fault(&offer, Fault::Status(500));
    assert_eq!(redeem(&server, "ONE", &zed).await.status, 500);
    plex.clear_faults();
    assert_eq!(used(directory).await, "1");
    let open = "SELECT email FROM redemptions";
    assert_eq!(texts(directory, open).await, ["zed@example.org"]);
    assert_eq!(emails(&plex), [""; 0]);
    assert_eq!(friends(directory).await, [""; 0]);
}

#[tokio::test]
async fn a_log_in_may_begin_at_one_instance_and_end_at_another() {
    let (plex, redis) = (plex(1).await, Redis::start().await);
    let one = builder(&plex, "ONE", "", "")
        .await
        .redis(&redis)
        .start()
        .await;
    let other = builder(&plex, "ONE", "", "")
        .await
        .redis(&redis)
        .start()
        .await;
    for server in [&one, &other] {
        until_asked("Redis is in use", async || {
            let stats = server.get("/api/plex/cache/stats").await.json();
            stats["redis"]["connected"] == Value::Bool(true)
        })
        .await;
    }
    let (pin, state) = login(&one).await;
    plex.authorize_pin(pin, "zed");
    assert_eq!(check(&other, pin, &state).await.json()["authorized"], true);
    // That answer may be lost, and the next question come to another one.
    assert_eq!(check(&one, pin, &state).await.json()["authorized"], true);
    until_asked("the state is used up everywhere", async || {
        check(&one, pin, &state).await.status == 400
    })
    .await;
    assert_eq!(check(&other, pin, &state).await.status, 400);
}

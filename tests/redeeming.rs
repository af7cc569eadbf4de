//! Using invites by e-mail, and what a crash in the middle of it leaves.

use std::path::Path;

use futures_util::future::join_all;
use komandorr::demo::{Fault, Simulator, TakenInvitation};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::database::{execute, texts};
use crate::harness::{Answer, Builder, Server, plex, until_asked};

const REDEEM: &str = "/api/invites/redeem";

/// With an invite, which has number 1 and this code. Clients are told apart by what they claim.
pub(crate) async fn builder(plex: &Simulator, code: &str, columns: &str, values: &str) -> Builder {
    let server = Server::builder()
        .plex(plex)
        .env("PLEX_TV_URL", &plex.url())
        .env("TRUSTED_PROXIES", "127.0.0.1");
    let builder = server.start().await.stop().await;
    invite(builder.directory(), code, columns, values).await;
    builder
}

pub(crate) async fn invite(directory: &Path, code: &str, columns: &str, values: &str) {
    let sql = format!(
        "INSERT INTO invites (code, created_at, created_by, used_count, allow_sync, \
         allow_camera_upload, allow_channels, plex_home, libraries, is_active{columns}) \
         VALUES ('{code}', '2026-01-02 03:04:05.000000', 'admin', 0, 1, 0, 1, 0, 'all', 1{values})"
    );
    execute(directory, &sql).await;
}

/// Redeems as somebody at an address of their own.
async fn redeem(server: &Server, code: &str, email: &str, from: usize) -> Answer {
    let body = json!({"code": code, "email": email}).to_string();
    let request = server.request(&Method::POST, REDEEM).body(body);
    let address = format!("10.1.{}.{}", from / 200, 1 + from % 200);
    let request = request.header("content-type", "application/json");
    server
        .send(request.header("x-forwarded-for", address))
        .await
}

pub(crate) async fn used(directory: &Path) -> String {
    texts(directory, "SELECT used_count FROM invites WHERE id = 1")
        .await
        .concat()
}

pub(crate) async fn friends(directory: &Path) -> Vec<String> {
    texts(directory, "SELECT email FROM plex_users ORDER BY id").await
}

pub(crate) fn emails(plex: &Simulator) -> Vec<String> {
    plex.invitations()
        .into_iter()
        .map(|taken| taken.email)
        .collect()
}

pub(crate) fn shared_servers(plex: &Simulator) -> String {
    format!("/api/servers/{}/shared_servers", plex.machine_identifier())
}

/// What plex.tv is told by others than us.
async fn at_plex(plex: &Simulator, method: Method, path: &str, token: &str, body: Value) -> Value {
    let request = reqwest::Client::new().request(method, format!("{}{path}", plex.url()));
    let request = request
        .header("x-plex-token", token)
        .header("accept", "application/json");
    let request = request.header("content-type", "application/json");
    let answer = request.body(body.to_string()).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default()
}

/// A friend accepts in Plex.
async fn accept(plex: &Simulator, email: &str) {
    let token = plex.guest_token(email);
    let pending = "/api/v2/shared_servers/invites/received/pending";
    let pending = at_plex(plex, Method::GET, pending, &token, Value::Null).await;
    let id = &pending[0]["sharedServers"][0]["id"];
    let path = format!("/api/v2/shared_servers/{id}/accept");
    at_plex(plex, Method::POST, &path, &token, Value::Null).await;
}

async fn invite_at_plex(plex: &Simulator, email: &str) {
    let body = json!({
        "server_id": plex.machine_identifier(),
        "shared_server": {"library_section_ids": [118_181_001], "invited_email": email},
        "sharing_settings": {"allowSync": "1"},
    });
    let path = shared_servers(plex);
    at_plex(plex, Method::POST, &path, plex.token(), body).await;
}

#[tokio::test]
async fn a_friend_is_invited_and_known_later() {
    let plex = plex(1).await;
    let server = builder(&plex, "FRIENDS", ", usage_limit", ", 3")
        .await
        .start()
        .await;
    let answer = redeem(&server, "friends", " Zed <Zed@Example.ORG> ", 1).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!(
        body["message"],
        "Successfully invited to Plex! Check Zed@example.org for the invitation email."
    );
    assert_eq!(body["success"], true);
    let user = &body["user"];
    assert_eq!((&user["id"], &user["invite_id"]), (&json!(1), &json!(1)));
    assert_eq!(user["email"], "zed@example.org");
    assert_eq!(
        (&user["username"], &user["thumb"]),
        (&Value::Null, &Value::Null)
    );
    let expected = TakenInvitation {
        email: "zed@example.org".to_owned(),
        sections: vec![1, 2, 3, 4, 5],
        allow_sync: true,
        allow_camera_upload: false,
        allow_channels: true,
        home: false,
        accepted: false,
    };
    assert_eq!(plex.invitations(), [expected]);
    assert_eq!(used(server.directory.path()).await, "1");

    // Once they have accepted, name and picture are found in the background.
    accept(&plex, "zed@example.org").await;
    let known = "SELECT username || '|' || (thumb IS NOT NULL) || '|' || plex_id FROM plex_users";
    until_asked("the friend is known", async || {
        texts(server.directory.path(), known).await[0].starts_with("zed@example.org|1|")
    })
    .await;

    let again = redeem(&server, "FRIENDS", "ZED@example.org", 2).await;
    assert_eq!(again.status, 400);
    assert_eq!(
        again.json()["detail"],
        "This email has already been invited and is currently active"
    );
    assert_eq!(used(server.directory.path()).await, "1");
    assert!(!server.log().contains(plex.token()));
    assert_eq!(plex.tokens_in_queries(), 0);
}

#[tokio::test]
async fn of_fifty_who_want_the_last_use_one_gets_it() {
    let plex = plex(1).await;
    let server = builder(&plex, "LAST", ", usage_limit", ", 1")
        .await
        .start()
        .await;
    let all = (0..50).map(|n| {
        let server = &server;
        async move { redeem(server, "LAST", &format!("friend{n}@example.org"), n).await }
    });
    let (mut invited, mut refused) = (0, 0);
    for answer in join_all(all).await {
        match answer.status.as_u16() {
            200 => invited += 1,
            400 => {
                let detail = "This invite has reached its usage limit";
                assert_eq!(answer.json()["detail"], detail);
                refused += 1;
            }
            other => panic!("{other}: {answer:?}"),
        }
    }
    assert_eq!((invited, refused), (1, 49));
    assert_eq!(plex.invitations().len(), 1);
    let directory = server.directory.path();
    assert_eq!(used(directory).await, "1");
    assert_eq!(friends(directory).await, emails(&plex));
}

#[tokio::test]
async fn one_address_is_invited_once_however_often_it_asks() {
    let plex = plex(1).await;
    let server = builder(&plex, "MANY", "", "").await.start().await;
    let all = (0..10).map(|n| redeem(&server, "MANY", "ann@example.org", n));
    let answers = join_all(all).await;
    let invited = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(invited, 1);
    assert_eq!(emails(&plex), ["ann@example.org"]);
    assert_eq!(used(server.directory.path()).await, "1");
}

#[tokio::test]
async fn what_can_not_be_redeemed_is_told_in_the_order_of_the_contract() {
    let plex = plex(1).await;
    let builder = builder(&plex, "OFF", ", expires_at", ", '2026-01-03 00:00:00'").await;
    let directory = builder.directory();
    execute(
        directory,
        "UPDATE invites SET is_active = 0, usage_limit = 1, used_count = 1",
    )
    .await;
    invite(
        directory,
        "OVER",
        ", usage_limit, expires_at",
        ", 1, '2026-01-03'",
    )
    .await;
    execute(
        directory,
        "UPDATE invites SET used_count = 1 WHERE code = 'OVER'",
    )
    .await;
    invite(directory, "USED", ", usage_limit", ", -1").await;
    invite(directory, "EMPTY", "", "").await;
    execute(
        directory,
        "UPDATE invites SET libraries = '77, x' WHERE code = 'EMPTY'",
    )
    .await;
    invite(directory, "OPEN", ", usage_limit", ", 0").await;
    execute(directory, "UPDATE invites SET is_active = NULL, used_count = NULL, allow_sync = NULL, libraries = NULL WHERE code = 'OPEN'").await;
    let server = builder.start().await;
    let code = async |code: &str, status: u16, detail: &str| {
        let answer = redeem(&server, code, "ann@example.org", 1).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                &*answer.json()["detail"].to_string()
            ),
            (status, &*json!(detail).to_string())
        );
    };
    code("NONE", 404, "Invite code not found").await;
    code("OFF", 400, "This invite has been disabled").await;
    code("OVER", 400, "This invite has expired").await;
    code("USED", 400, "This invite has reached its usage limit").await;
    code(
        "EMPTY",
        500,
        "Failed to invite user to Plex: No valid libraries selected",
    )
    .await;
    assert_eq!(emails(&plex), [""; 0]);
    for bad in ["", "nobody", "a@b", "a@b.test"] {
        let answer = redeem(&server, "OPEN", bad, 1).await;
        assert_eq!(answer.status, 422, "{bad}");
        let problem = answer.json()["detail"][0].clone();
        assert_eq!(problem["loc"], json!(["body", "email"]));
        let msg = problem["msg"].as_str().unwrap();
        assert!(
            msg.starts_with("value is not a valid email address: "),
            "{msg}"
        );
    }
    // A row as 3.3.0 may have left it, whose limit of 0 is none.
    assert_eq!(
        redeem(&server, "OPEN", "ann@example.org", 2).await.status,
        200
    );

    let bare = Server::builder().start().await.stop().await;
    invite(bare.directory(), "A", "", "").await;
    let bare = bare.start().await;
    let answer = redeem(&bare, "A", "ann@example.org", 1).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["detail"]),
        (500, &json!("Plex server not configured"))
    );
}

#[tokio::test]
async fn a_failed_invitation_uses_nothing_up() {
    let plex = plex(1).await;
    let server = builder(&plex, "ONE", ", usage_limit", ", 1")
        .await
        .start()
        .await;
    let directory = server.directory.path();
    let path = shared_servers(&plex);
    let failed = async |email: &str, detail: &str| {
        let answer = redeem(&server, "ONE", email, 1).await;
        assert_eq!(answer.status, 500, "{answer:?}");
        let told = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(told.contains(detail), "{told}");
        assert!(!told.contains("http"), "{told}");
        assert_eq!(used(directory).await, "0");
        assert_eq!(
            texts(directory, "SELECT count(*) FROM redemptions").await,
            ["0"]
        );
    };
    // The words of plex.tv: a guest who is there from the start.
    failed(
        "a@example.org",
        "This user is already shared with this server",
    )
    .await;
    for (fault, detail) in [
        (Fault::Status(401), "plex.tv answered with status 401"),
        (Fault::Status(422), "plex.tv answered with status 422"),
        (
            Fault::Redirect("http://127.0.0.1:9/".to_owned()),
            "plex.tv answered with status 302",
        ),
    ] {
        plex.set_fault(&path, fault);
        failed("ann@example.org", detail).await;
    }
    plex.clear_faults();
    plex.set_fault("/identity", Fault::Status(503));
    failed("ann@example.org", "Server returned status code: 503").await;
    plex.clear_faults();
    assert_eq!(emails(&plex), [""; 0]);
    assert_eq!(friends(directory).await, [""; 0]);
    assert_eq!(
        redeem(&server, "ONE", "ann@example.org", 2).await.status,
        200
    );
    assert_eq!(used(directory).await, "1");
}

#[tokio::test]
async fn a_redemption_goes_on_without_the_client() {
    let plex = plex(1).await;
    let server = builder(&plex, "ONE", "", "").await.start().await;
    let path = shared_servers(&plex);
    plex.set_fault(&format!("POST {path}"), Fault::Hold);
    tokio::select! {
        answer = redeem(&server, "ONE", "ann@example.org", 1) => panic!("{answer:?}"),
        () = until_asked("plex.tv is asked", async || plex.calls(&path) > 0) => {}
    }
    plex.clear_faults();
    plex.release_holds();
    let directory = server.directory.path();
    until_asked("the friend is known", async || {
        friends(directory).await == ["ann@example.org"]
    })
    .await;
    assert_eq!(used(directory).await, "1");
    // By the redemption itself, not by what sets right those that were cut off.
    let log = server.log();
    assert!(
        log.contains("ann@example.org was invited with ONE"),
        "{log}"
    );
}

#[tokio::test]
async fn a_use_that_was_cut_off_is_settled_after_the_next_start() {
    // Whether plex.tv has taken the invitation before the program was killed.
    for (taken, uses) in [(true, "1"), (false, "0")] {
        let plex = plex(1).await;
        let server = builder(&plex, "ONE", ", usage_limit", ", 1")
            .await
            .start()
            .await;
        let path = shared_servers(&plex);
        plex.set_fault(&path, Fault::Hang);
        let request = redeem(&server, "ONE", "ann@example.org", 1);
        let sent = until_asked("plex.tv is asked", async || plex.calls(&path) > 0);
        tokio::select! {
            answer = request => panic!("{answer:?}"),
            () = sent => {}
        }
        let directory = server.directory.path();
        assert_eq!(used(directory).await, "1", "reserved");
        let builder = server.kill().await;
        plex.clear_faults();
        if taken {
            invite_at_plex(&plex, "ann@example.org").await;
        } else {
            // That there is no invitation counts after a minute.
            let earlier = "UPDATE redemptions SET started_at = datetime('now', '-2 minutes')";
            execute(builder.directory(), earlier).await;
        }
        let server = builder.start().await;
        let directory = server.directory.path();
        until_asked("the use is settled", async || {
            texts(directory, "SELECT count(*) FROM redemptions").await == ["0"]
        })
        .await;
        assert_eq!(used(directory).await, uses);
        assert_eq!(friends(directory).await, emails(&plex));
        let status = if taken { 400 } else { 200 };
        assert_eq!(
            redeem(&server, "ONE", "b@example.org", 2).await.status,
            status
        );
    }
}

#[tokio::test]
async fn an_unclear_answer_is_cleared_up_at_once_or_later() {
    let plex = plex(1).await;
    let server = builder(&plex, "TWO", ", usage_limit", ", 2")
        .await
        .start()
        .await;
    let directory = server.directory.path();
    // plex.tv does it and its answer is lost, but it can be asked.
    plex.set_fault(&format!("POST {}", shared_servers(&plex)), Fault::Cut);
    let answer = redeem(&server, "TWO", "a@example.net", 1).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(used(directory).await, "1");
    assert_eq!(friends(directory).await, ["a@example.net"]);
    plex.clear_faults();
    // As before, but it can't be asked either.
    plex.set_fault(&shared_servers(&plex), Fault::Cut);
    let answer = redeem(&server, "TWO", "b@example.org", 1).await;
    assert_eq!(answer.status, 500, "{answer:?}");
    // It stays open, and counted.
    assert_eq!(used(directory).await, "2");
    assert_eq!(
        texts(directory, "SELECT email FROM redemptions").await,
        ["b@example.org"]
    );
    let full = redeem(&server, "TWO", "c@example.org", 2).await;
    assert_eq!(
        full.json()["detail"],
        "This invite has reached its usage limit"
    );
    plex.clear_faults();
    let server = server.stop().await.start().await;
    let directory = server.directory.path();
    until_asked("the use is settled", async || {
        texts(directory, "SELECT count(*) FROM redemptions").await == ["0"]
    })
    .await;
    assert_eq!(used(directory).await, "2");
    assert_eq!(friends(directory).await, ["a@example.net", "b@example.org"]);
}

#[tokio::test]
async fn an_invitation_to_the_home_is_completed_by_another_try() {
    let plex = plex(1).await;
    let builder = builder(&plex, "HOME", "", "").await;
    let at_home = "UPDATE invites SET plex_home = 1";
    execute(builder.directory(), at_home).await;
    let server = builder.start().await;
    let directory = server.directory.path();
    let offer = format!("POST {}", shared_servers(&plex));
    plex.set_fault(&offer, Fault::Status(422));
    let half = redeem(&server, "HOME", "ann@example.org", 1).await;
    assert_eq!(half.status, 500, "{half:?}");
    let told = half.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        told.contains("invited to the Plex Home, but not to the server"),
        "{told}"
    );
    let invited = || {
        let taken = plex.invitations().into_iter();
        let taken = taken.map(|one| (one.email, one.home, one.sections.len()));
        taken.collect::<Vec<_>>()
    };
    assert_eq!(invited(), [("ann@example.org".to_owned(), true, 0)]);
    assert_eq!(used(directory).await, "0", "it can be tried again at once");
    plex.clear_faults();
    let whole = redeem(&server, "HOME", "ann@example.org", 2).await;
    assert_eq!(whole.status, 200, "{whole:?}");
    assert_eq!(
        redeem(&server, "HOME", "b@example.org", 3).await.status,
        200
    );
    let both = ["ann@example.org", "b@example.org"];
    assert_eq!(invited(), both.map(|email| (email.to_owned(), true, 5)));
    assert_eq!(used(directory).await, "2");
    assert_eq!(friends(directory).await, both);
    let member = redeem(&server, "HOME", "tanteinga@example.org", 4).await;
    assert_eq!(
        member.json()["detail"],
        "Failed to invite user to Plex: This user is already a Plex Home member"
    );
}

#[tokio::test]
async fn an_address_may_ask_twenty_times_a_minute() {
    let plex = plex(1).await;
    let server = builder(&plex, "X", "", "").await.start().await;
    let guesses = (0..20).map(|n| {
        let server = &server;
        async move {
            redeem(server, &format!("GUESS{n}"), "ann@example.org", 1)
                .await
                .status
        }
    });
    assert!(join_all(guesses).await.iter().all(|status| *status == 404));
    let answer = redeem(&server, "X", "ann@example.org", 1).await;
    assert_eq!(answer.status, 429);
    assert!(answer.json()["detail"].is_string());
    assert_eq!(redeem(&server, "X", "ann@example.org", 2).await.status, 200);
}

//! Switching log-in, and changing user name and password.

use std::process::Stdio;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{PASSWORD, USER, from, get, locked, post, right};
use crate::harness::{Server, command, until_asked};

async fn toggled(server: &Server, request: RequestBuilder) -> (u16, Value) {
    let answer = server.send(request).await;
    (answer.status.as_u16(), answer.json())
}

fn update(server: &Server, current: &str, new: &str) -> RequestBuilder {
    let body = json!({"username": USER, "current_password": current, "new_password": new});
    post(server, "/api/auth/update", &body)
}

#[tokio::test]
async fn while_it_is_off_anybody_switches_it_on_and_nobody_off_again() {
    let server = Server::builder()
        .env("AUTH_USERNAME", "chef")
        .env("AUTH_PASSWORD", "geheim")
        .start()
        .await;
    let toggle = |enabled| post(&server, "/api/auth/toggle", &json!({"enabled": enabled}));
    let message = "Authentication settings updated";
    assert_eq!(
        toggled(&server, toggle(true)).await,
        (200, json!({"enabled": true, "message": message}))
    );
    assert_eq!(server.get("/api/health").await.status, 401, "at once");
    // All that 3.3.0 needs to go on with it.
    assert_eq!(
        server.config()["auth"],
        json!({"enabled": true, "username": "chef", "password": "geheim"})
    );
    let (status, _) = toggled(&server, toggle(false)).await;
    assert_eq!(status, 401);
    let wrong = toggle(false).basic_auth("chef", Some("x"));
    assert_eq!(
        toggled(&server, wrong).await,
        (401, json!({"detail": "Invalid credentials"}))
    );
    let right = toggle(false).basic_auth("chef", Some("geheim"));
    assert_eq!(
        toggled(&server, right).await,
        (200, json!({"enabled": false, "message": message}))
    );
    assert_eq!(server.get("/api/health").await.status, 200);
}

#[tokio::test]
async fn the_current_password_is_compared_with_the_stored_one() {
    let server = locked().start().await;
    // In 3.3.0 it was enough that both were the same.
    let both = update(&server, "x", "new").basic_auth(USER, Some("x"));
    assert_eq!(server.send(from(both, 1)).await.status, 401);
    let body = right(update(&server, "x", "new"));
    let answer = server.send(from(body, 2)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (401, json!({"detail": "Invalid credentials"}))
    );
    let header = update(&server, PASSWORD, "new");
    assert_eq!(server.send(from(header, 3)).await.status, 401);
    assert_eq!(
        server.send(right(get(&server, "/api/health"))).await.status,
        200
    );
}

#[tokio::test]
async fn a_new_password_is_hashed_and_works_in_both_encodings() {
    let server = locked().start().await;
    let answer = server
        .send(right(update(&server, PASSWORD, "pässword")))
        .await;
    assert_eq!(
        answer.json(),
        json!({"message": "Credentials updated successfully"})
    );
    let stored = server.config()["auth"]["password"].clone();
    assert!(
        stored
            .as_str()
            .unwrap()
            .starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
    );
    let status = async |server: &Server, password: &str| {
        let request = get(server, "/api/health").basic_auth(USER, Some(password));
        server.send(request).await.status.as_u16()
    };
    assert_eq!(status(&server, "pässword").await, 200);
    assert_eq!(status(&server, PASSWORD).await, 401);
    // `btoa("jürgen:pässword")`
    let latin1 = get(&server, "/api/health").header("authorization", "Basic avxyZ2VuOnDkc3N3b3Jk");
    assert_eq!(server.send(latin1).await.status, 200);
    let server = server.stop().await.start().await;
    assert_eq!(status(&server, "pässword").await, 200, "after a restart");
    let hash = stored.as_str().unwrap();
    assert_eq!(status(&server, hash).await, 401, "the hash is no password");
    assert!(!server.log().contains("pässword") && !server.log().contains(hash));
}

#[tokio::test]
async fn who_may_go_back_keeps_the_form_of_3_3_0() {
    let server = locked().env("AUTH_PLAINTEXT", "true").start().await;
    let answer = server.send(right(update(&server, PASSWORD, "new"))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        server.config()["auth"],
        json!({"enabled": true, "username": USER, "password": "new"})
    );
}

#[tokio::test]
async fn what_no_browser_could_send_is_refused() {
    let server = Server::builder().start().await;
    for (username, new, field, problem) in [
        ("a:b", "x", "username", "value_error"),
        ("", "x", "username", "string_too_short"),
        ("a", "", "new_password", "string_too_short"),
        ("a", "5 €", "new_password", "value_error"),
        ("a", "$argon2id$v=19$", "new_password", "value_error"),
        ("a", &"x".repeat(1025), "new_password", "string_too_long"),
    ] {
        let body = json!({"username": username, "current_password": "", "new_password": new});
        let answer = server.post("/api/auth/update", &body).await;
        assert_eq!(answer.status, 422, "{body}");
        let first = &answer.json()["detail"][0];
        assert_eq!(first["loc"], json!(["body", field]), "{body}");
        assert_eq!(first["type"], problem, "{body}");
    }
    let missing = server.post("/api/auth/update", &json!({})).await.json();
    assert_eq!(missing["detail"].as_array().unwrap().len(), 3);
    let toggle = server
        .post("/api/auth/toggle", &json!({"enabled": null}))
        .await;
    assert_eq!(toggle.json()["detail"][0]["type"], "bool_type");
    assert!(!server.directory.path().join("data/config.json").exists());
}

#[tokio::test]
async fn a_config_that_is_broken_by_hand_is_not_overwritten() {
    let server = Server::builder().start().await;
    let path = server.directory.path().join("data/config.json");
    std::fs::write(&path, "{\"plex\": ").unwrap();
    let answer = server
        .post("/api/auth/toggle", &json!({"enabled": true}))
        .await;
    assert_eq!(answer.status, 500);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("config.json:1:9"), "{detail}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"plex\": ");
    assert_eq!(server.get("/api/health").await.status, 200);
}

/// Opens a request whose body comes later; the connection and what is still missing.
async fn held(server: &Server, authorization: &str, body: &str) -> TcpStream {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/auth/toggle HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\n{authorization}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Sends the body and returns the status line.
async fn released(mut stream: TcpStream, body: &str) -> String {
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn who_was_let_in_by_an_older_log_in_changes_the_new_one_no_more() {
    const OFF: &str = r#"{"enabled":false}"#;
    let server = locked().start().await;
    // `jürgen:a:b`
    let header = "Authorization: Basic asO8cmdlbjphOmI=\r\n";
    let first = held(&server, header, OFF).await;
    let changed = server.send(right(update(&server, PASSWORD, "new"))).await;
    assert_eq!(changed.status, 200);
    let status = released(first, OFF).await;
    assert!(status.contains(" 401 "), "{status}");
    assert_eq!(server.config()["auth"]["enabled"], true);

    let open = Server::builder().start().await;
    let anonymous = held(&open, "", OFF).await;
    let on = open
        .post("/api/auth/toggle", &json!({"enabled": true}))
        .await;
    assert_eq!(on.status, 200);
    let status = released(anonymous, OFF).await;
    assert!(status.contains(" 401 "), "{status}");
    assert_eq!(open.config()["auth"]["enabled"], true);
}

#[tokio::test]
async fn a_switch_brings_no_old_password_back() {
    let server = locked().start().await;
    let path = server.directory.path().join("data/config.json");
    let edit = json!({"auth": {"enabled": true, "username": USER, "password": "by hand"}});
    std::fs::write(&path, edit.to_string()).unwrap();
    // The server may not have noticed yet; the file has another log-in all the same.
    let toggle = post(&server, "/api/auth/toggle", &json!({"enabled": false}));
    assert_eq!(server.send(right(toggle)).await.status, 401);
    assert_eq!(server.config(), edit);
}

#[tokio::test]
async fn a_new_password_from_outside_leaves_the_switch_alone() {
    let server = Server::builder()
        .env("ENABLE_AUTH", "true")
        .env("AUTH_USERNAME", "chef")
        .start()
        .await;
    let (done, _) = passwd(&server, &[], "new\n").await;
    assert!(done);
    let section = server.config()["auth"].clone();
    let keys: Vec<_> = section.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["password"]);
    let noticed = async || {
        let request = get(&server, "/api/health").basic_auth("chef", Some("new"));
        server.send(request).await.status == 200
    };
    until_asked("the new password", noticed).await;
    assert_eq!(server.get("/api/health").await.status, 401);
}

/// Runs `komandorr passwd` beside the server.
async fn passwd(server: &Server, arguments: &[&str], typed: &str) -> (bool, String) {
    let mut child = command(server.directory.path())
        .arg("passwd")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn a_forgotten_password_is_set_on_the_command_line() {
    let server = locked().start().await;
    let (done, said) = passwd(&server, &[], "new one\n").await;
    assert!(done && said.contains("is changed"), "{said}");
    assert!(!said.contains("new one"), "{said}");
    let stored = server.config()["auth"]["password"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(stored.starts_with("$argon2id$"), "{stored}");
    let request = || get(&server, "/api/health").basic_auth(USER, Some("new one"));
    let noticed = async || server.send(from(request(), 1)).await.status == 200;
    until_asked("the new password", noticed).await;

    let (done, _) = passwd(&server, &["--plaintext"], "back\n").await;
    assert!(done);
    assert_eq!(server.config()["auth"]["password"], "back");
    let (done, said) = passwd(&server, &[], "\n").await;
    assert!(!done && said.contains("at least 1 character"), "{said}");
    assert_eq!(server.config()["auth"]["password"], "back");
}

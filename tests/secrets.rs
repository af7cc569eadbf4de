//! The token of the Plex server's owner: what never holds it, whatever Plex answers.

use std::path::Path;

use komandorr::demo::{Fault, Simulator};
use reqwest::Method;
use serde_json::json;

use crate::harness::{Server, plex};

/// What people without an account get.
const PUBLIC: [&str; 5] = [
    "/api/auth/status",
    "/api/plex/stats/live",
    "/api/plex/media/recent",
    "/api/plex/proxy/image?url=/library/metadata/1/thumb/1",
    "/healthz",
];
/// What friends with an invite may ask for besides.
const OF_INVITES: [&str; 6] = [
    "GET /api/invites/tmdb/api-key",
    "GET /api/oauth/plex/check/{pin_id}",
    "GET /api/oauth/plex/login",
    "POST /api/invites/redeem",
    "POST /api/invites/validate",
    "POST /api/oauth/plex/redeem",
];
/// What the settings page needs, and what is not cleaned because it is for people who look for a
/// fault.
const SHOWN: [&str; 3] = [
    "/api/plex/config",
    "/api/settings",
    "/api/plex/debug/raw-activities",
];

/// Everything that a client may ask for, by the server's own description.
async fn all(server: &Server) -> Vec<(Method, String)> {
    let description = server.send(signed(server, &Method::GET, "/openapi.json"));
    let description = description.await.json();
    let mut all = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_ascii_uppercase().parse().unwrap();
            all.push((method, path.clone()));
        }
    }
    all
}

fn signed(server: &Server, method: &Method, path: &str) -> reqwest::RequestBuilder {
    let request = server.request(method, path);
    request.basic_auth("admin", Some("a long one"))
}

async fn protected(plex: &Simulator) -> Server {
    Server::builder()
        .plex(plex)
        .env("ENABLE_AUTH", "true")
        .env("AUTH_PASSWORD", "a long one")
        .env("LOG_LEVEL", "DEBUG")
        .start()
        .await
}

#[tokio::test]
async fn what_is_not_public_asks_for_credentials() {
    let plex = plex(1).await;
    let server = protected(&plex).await;
    let all = all(&server).await;
    assert!(all.len() > 15, "{all:?}");
    let mut open = Vec::new();
    for (method, path) in &all {
        let status = server.send(server.request(method, path)).await.status;
        if status != 401 {
            open.push(format!("{method} {path}"));
        }
    }
    let public = PUBLIC.map(|path| format!("GET {}", path.split('?').next().unwrap()));
    let mut public = [public.to_vec(), OF_INVITES.map(str::to_owned).to_vec()].concat();
    open.sort();
    public.sort();
    assert_eq!(open, public);
}

/// A server that repeats the token wherever an address may stand.
fn talk_of_the_token(plex: &Simulator) {
    let link = format!("/library/metadata/1/thumb/1?X-Plex-Token={}", plex.token());
    let item = json!({"ratingKey": "1", "type": "movie", "title": "A", "addedAt": 1, "thumb": link,
                      "art": link, "viewedAt": 1_700_000_000, "accountID": 1});
    let list = json!({"MediaContainer": {"size": 1, "totalSize": 1, "Metadata": [item]}});
    for path in [
        "/library/sections/1/recentlyAdded",
        "/status/sessions/history/all",
        "/library/metadata/1",
    ] {
        plex.set_fault(path, Fault::Body(list.to_string()));
    }
    let html = format!("<h1>{}</h1>", plex.token());
    let page = Fault::Content(Some("text/html"), html.into_bytes());
    plex.set_fault("/library/metadata/1/thumb/1", page);
}

fn files_with(text: &str, directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let holds = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    let with = files.filter(|entry| holds(&entry.path()));
    with.map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn the_token_is_in_no_answer_log_or_file() {
    let plex = plex(2).await;
    let server = protected(&plex).await;
    let token = plex.token();
    for round in ["failing", "fetched", "from memory"] {
        match round {
            "failing" => plex.set_fault("*", Fault::Html),
            _ => talk_of_the_token(&plex),
        }
        for (method, path) in all(&server).await {
            let url = match path.as_str() {
                // It would change the configuration.
                _ if path == SHOWN[0] && method == Method::POST => continue,
                "/api/plex/proxy/image" => PUBLIC[3].to_owned(),
                _ => path.clone(),
            };
            let answer = server.send(signed(&server, &method, &url)).await;
            let shown = SHOWN.contains(&path.as_str());
            let said = format!("{:?}{}", answer.headers, answer.text);
            assert!(shown || !said.contains(token), "{round}: {path}: {said}");
        }
        plex.clear_faults();
    }
    talk_of_the_token(&plex);
    for path in PUBLIC {
        let answer = server.get(path).await;
        assert!(!answer.text.contains(token), "{path}: {}", answer.text);
    }
    assert_eq!(plex.tokens_in_queries(), 0);
    assert!(!server.log().contains(token));
    let stopped = server.stop().await;
    let data = stopped.directory().join("data");
    assert!(data.join("komandorr.db").exists() && data.join("last-answers.json").exists());
    assert_eq!(files_with(token, &data), Vec::<String>::new());
}

//! `/openapi.json` and `/docs`: complete, valid, true, and without the internet.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::Value;

use crate::documents::sources;
use crate::fields::full;
use crate::harness::schema::{misfits, resolve};
use crate::harness::{Server, plex};

/// What only this version has.
const NEW: [&str; 2] = ["GET /api/traffic/ws", "GET /healthz"];
/// Routes that are no part of the API.
const PAGES: [&str; 5] = [
    "/docs",
    "/docs/",
    "/docs/{file}",
    "/icons/{*name}",
    "/openapi.json",
];

async fn description(server: &Server) -> Value {
    let answer = server.get("/openapi.json").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    answer.json()
}

/// Method, path and description of each operation.
fn operations(description: &Value) -> Vec<(String, &String, &Value)> {
    let paths = description["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (method.to_uppercase(), path, operation))
    });
    all.collect()
}

/// Every `$ref` below.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("$ref") {
                found.push(value);
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_is_valid() {
    let server = Server::builder().start().await;
    let description = description(&server).await;
    assert_eq!(description["openapi"], "3.1.0");
    assert_eq!(description["info"]["title"], "Komandorr Dashboard API");
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
    let schemes = &description["components"]["securitySchemes"];
    assert_eq!(schemes["HTTPBasic"]["scheme"], "basic");
    assert_eq!(schemes["SessionCookie"]["in"], "cookie");

    // Without words that are asked for, nobody can make a service.
    let kinds = &description["components"]["schemas"]["NewService"]["properties"]["type"];
    assert_eq!(kinds["enum"].as_array().unwrap().len(), 5);

    let mut found = Vec::new();
    references(&description, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        resolve(&description, reference);
    }
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&description) {
        let named = format!("{method} {path}");
        assert!(operation["summary"].is_string(), "{named}: no summary");
        assert!(operation["tags"][0].is_string(), "{named}: no tag");
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{named}: {id} again");
        check_parameters(&named, operation);
        check_responses(&named, operation);
        for way in operation["security"].as_array().into_iter().flatten() {
            for scheme in way.as_object().unwrap().keys() {
                assert!(schemes[scheme].is_object(), "{named}: {scheme}");
            }
        }
    }
}

fn check_parameters(named: &str, operation: &Value) {
    let parameters = operation["parameters"].as_array();
    let parameters: Vec<&Value> = parameters.into_iter().flatten().collect();
    let (_, path) = named.split_once(' ').unwrap();
    let in_path = path.split('/').filter_map(|part| part.strip_prefix('{'));
    let in_path: BTreeSet<&str> = in_path.map(|part| part.trim_end_matches('}')).collect();
    let mut described = BTreeSet::new();
    for parameter in &parameters {
        let name = parameter["name"].as_str().unwrap();
        let kind = &parameter["schema"]["type"];
        assert!(
            kind.is_string() || kind.is_array(),
            "{named}: type of {name}"
        );
        if parameter["in"] == "path" {
            assert_eq!(parameter["required"], true, "{named}: {name}");
            described.insert(name);
        } else {
            assert_eq!(parameter["in"], "query", "{named}: {name}");
        }
    }
    assert_eq!(described, in_path, "{named}");
    let body = &operation["requestBody"];
    if body.is_object() {
        let content = body["content"].as_object().unwrap();
        assert!(content.values().all(|c| c["schema"].is_object()), "{named}");
        assert_eq!(body["required"], true, "{named}");
        assert!(operation["responses"]["422"].is_object(), "{named}: no 422");
    }
}

fn check_responses(named: &str, operation: &Value) {
    let responses = operation["responses"].as_object().unwrap();
    // The WebSocket answers with 101.
    let succeeds = |status: &String| status.starts_with('2') || status == "101";
    assert!(responses.keys().any(succeeds), "{named}: no 2xx");
    for (status, response) in responses {
        let described = response["description"].as_str().unwrap_or_default();
        assert!(!described.is_empty(), "{named}: {status}");
        let is_error = status.starts_with(['4', '5']);
        let schema = &response["content"]["application/json"]["schema"]["$ref"];
        let body = if status == "422" {
            "ValidationError"
        } else {
            "Detail"
        };
        let expected = format!("#/components/schemas/{body}");
        assert!(
            !is_error || schema == &expected,
            "{named}: {status} has {schema}"
        );
    }
    assert_eq!(
        responses.contains_key("401"),
        operation["security"].is_array(),
        "{named}"
    );
    assert_eq!(
        responses.contains_key("403"),
        !named.starts_with("GET ") || named.ends_with("/ws"),
        "{named}"
    );
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let server = Server::builder().start().await;
    let description = description(&server).await;
    let mut methods: BTreeMap<&String, BTreeSet<String>> = BTreeMap::new();
    for (method, path, _) in operations(&description) {
        let of_path = methods.entry(path).or_default();
        if method == "GET" {
            of_path.insert("HEAD".to_owned());
        }
        of_path.insert(method);
    }
    for (path, methods) in methods {
        // No route has this method, so each says which it has.
        let path = path.replace(['{', '}'], "");
        let answer = server.send(server.request(&Method::TRACE, &path)).await;
        assert_eq!(answer.status, 405, "{path}");
        let allowed = answer.headers["allow"].to_str().unwrap();
        let allowed: BTreeSet<String> = allowed.split(',').map(|m| m.trim().to_owned()).collect();
        assert_eq!(allowed, methods, "{path}");
    }
    // What is not made with `routes!` is not in the description.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut bare = Vec::new();
    for file in sources(&root) {
        if file.path.starts_with(root.join("demo")) {
            continue;
        }
        let (code, _) = file
            .text
            .split_once("#[cfg(test)]")
            .unwrap_or((&file.text, ""));
        for route in code.split(".route(").skip(1) {
            let path = route.trim_start();
            let path = match path.strip_prefix('"') {
                Some(literal) => literal.split('"').next().unwrap(),
                None if path.starts_with("PATH,") => "/docs",
                None => panic!("{}: {path:.40}", file.path.display()),
            };
            bare.push(path.to_owned());
        }
    }
    bare.sort();
    assert_eq!(bare, PAGES);
}

/// Whether somebody answers there, be it that there is no such thing.
async fn is_routed(server: &Server, method: &str, path: &str) -> bool {
    let path: Vec<&str> = path
        .split('/')
        .map(|part| if part.starts_with('{') { "1" } else { part })
        .collect();
    let request = server.request(&method.parse().unwrap(), &path.join("/"));
    let request = request
        .header("content-type", "application/json")
        .body("{}");
    let answer = server.send(request).await;
    answer.status != 405 && answer.text != r#"{"detail":"Not Found"}"#
}

#[tokio::test]
async fn nothing_of_3_3_0_is_forgotten() {
    let server = Server::builder().start().await;
    let description = description(&server).await;
    let same = |path: &str| {
        let parts = path.trim_end_matches('/').split('/');
        let parts = parts.map(|part| if part.starts_with('{') { "{}" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    let present: BTreeSet<String> = operations(&description)
        .iter()
        .map(|(method, path, _)| format!("{method} {}", same(path)))
        .collect();
    let former = include_str!("data/operations-3.3.0.txt").lines();
    let former: Vec<(&str, &str)> = former.map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(former.len(), 105);
    let mut known = BTreeSet::new();
    for (method, path) in former {
        let operation = format!("{method} {}", same(path));
        assert!(present.contains(&operation), "{operation}");
        assert!(is_routed(&server, method, path).await, "{operation}");
        known.insert(operation);
    }
    let new: Vec<&String> = present.difference(&known).collect();
    assert_eq!(new, NEW);
}

#[tokio::test]
async fn answers_are_what_the_description_says() {
    let plex = plex(3).await;
    let bare = Server::builder().start().await;
    let (full, service) = full(&plex).await;
    let description = description(&full).await;
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for (method, path, operation) in operations(&description) {
        if method != "GET" || path.contains("/image") || path.ends_with("/ws") {
            continue;
        }
        let asked = path
            .replace("{id}", &service)
            .replace("{invite_id}", "1")
            .replace("{container_id}", "2")
            .replace("{pin_id}", "1?state=unknown")
            .replace("{service_id}", &service);
        assert!(!asked.contains('{'), "{asked}");
        for server in [&bare, &full, &full] {
            let answer = server.get(&asked).await;
            let response = &operation["responses"][answer.status.as_str()];
            assert!(
                response.is_object(),
                "{path}: {} is not described",
                answer.status
            );
            let schema = &response["content"]["application/json"]["schema"];
            if schema.is_object() {
                let found = misfits(&description, schema, &answer.json());
                wrong.extend(found.into_iter().map(|misfit| format!("{path}: {misfit}")));
                looked_at += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(looked_at > 40, "{looked_at}");
}

#[tokio::test]
async fn the_page_of_the_description_needs_nothing_from_elsewhere() {
    let server = Server::builder().start().await;
    let page = server.get("/docs").await;
    assert_eq!(page.status, 200);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"));
    assert!(!page.text.contains("//cdn") && !page.text.contains("https://"));
    let links = page
        .text
        .split(['"', '\''])
        .filter(|l| l.starts_with("/docs/"));
    let links: Vec<&str> = links.collect();
    assert_eq!(links.len(), 3, "{links:?}");
    for link in links {
        let (status, headers, packed) = server
            .sent(&Method::GET, link, &[("accept-encoding", "gzip")])
            .await;
        assert_eq!(status, 200, "{link}");
        let kind = headers["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/"), "{kind}");
        let (_, plain_headers, plain) = server
            .sent(&Method::GET, link, &[("accept-encoding", "identity")])
            .await;
        if headers.contains_key("content-encoding") {
            assert!(packed.len() * 2 < plain.len(), "{link}");
            assert_ne!(headers["etag"], plain_headers["etag"]);
            let known = server.request(&Method::GET, link);
            let known = known.header("if-none-match", &plain_headers["etag"]);
            let known = known.header("accept-encoding", "identity");
            assert_eq!(server.send(known).await.status, 304, "{link}");
        }
    }
    let start = server.get("/docs/start.js").await.text;
    assert!(start.contains("\"/openapi.json\"") && start.contains("validatorUrl: null"));
    assert_eq!(
        server.get("/docs/").await.status,
        200,
        "it leads to the page"
    );
    assert_eq!(server.get("/docs/index.html").await.status, 404);
}

#[tokio::test]
async fn the_page_and_its_files_are_behind_the_log_in() {
    let server = Server::builder().env("ENABLE_AUTH", "true").start().await;
    let login = server.request(&Method::GET, "/api/health");
    // As a browser does, which gets a cookie for it.
    let login = login.basic_auth("admin", Some("admin"));
    let login = login.header("sec-fetch-site", "same-origin");
    let session = server.send(login).await.headers["set-cookie"].clone();
    let session = session.to_str().unwrap().split(';').next().unwrap();
    for path in ["/docs", "/docs/swagger-ui.css", "/openapi.json"] {
        assert_eq!(server.get(path).await.status, 401, "{path}");
        let known = server.request(&Method::GET, path).header("cookie", session);
        assert_eq!(server.send(known).await.status, 200, "{path}");
    }
}

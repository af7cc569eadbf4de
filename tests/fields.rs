//! Every field that the frontend reads (`data/fields.txt`), looked for in live answers: of a server
//! about which nothing is configured, and of one that has everything.

use std::fmt::Write as _;

use base64::Engine as _;
use futures_util::StreamExt as _;
use komandorr::demo::Simulator;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Server, database, plex, until_asked};

const TABLE: &str = include_str!("data/fields.txt");
/// A picture of one pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// What is 503 where Overseerr is not configured: the pages know that (contract 09, section 4.8).
const NEEDS_OVERSEERR: [&str; 2] = ["/api/overseerr/requests", "/api/overseerr/users"];
/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9";

/// The code of the invite of [`full`].
const CODE: &str = "FRIENDS";

/// A request and what is read of its answer.
struct Asked {
    method: &'static str,
    target: &'static str,
    body: &'static str,
    fields: Vec<Field>,
}

struct Field {
    /// As it stands in the table.
    name: &'static str,
    steps: Vec<Step>,
    kind: &'static str,
    may_be_null: bool,
    /// May be missing at all times.
    optional: bool,
    /// May be missing while nothing is configured.
    full: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(&'static str),
    EveryElement,
    EveryValue,
}

fn table() -> Vec<Asked> {
    let mut table: Vec<Asked> = Vec::new();
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    for line in lines.filter(|line| !line.is_empty()) {
        if let Some(field) = line.strip_prefix("  ") {
            let fields = &mut table.last_mut().unwrap().fields;
            fields.push(Field::parse(field));
            continue;
        }
        let (method, rest) = line.split_once(' ').unwrap();
        let (target, body) = rest.split_once(' ').unwrap_or((rest, ""));
        table.push(Asked {
            method,
            target,
            body,
            fields: Vec::new(),
        });
    }
    table
}

impl Field {
    fn parse(line: &'static str) -> Self {
        // The answer itself has no name.
        let (name, rest) = match line.strip_prefix("  ") {
            Some(rest) => ("", rest),
            None => line.split_once("  ").unwrap_or_else(|| panic!("{line}")),
        };
        let mut words = rest.split_whitespace();
        let word = words.next().unwrap();
        let marks: Vec<&str> = words.collect();
        let kind = word.strip_suffix('?').unwrap_or(word);
        assert!(
            ["string", "number", "boolean", "array", "object", "any"].contains(&kind),
            "{line}"
        );
        assert!(
            marks.iter().all(|mark| ["optional", "full"].contains(mark)),
            "{line}"
        );
        Self {
            name,
            steps: steps(name),
            kind,
            may_be_null: word.ends_with('?') || kind == "any",
            optional: marks.contains(&"optional"),
            full: marks.contains(&"full"),
        }
    }
}

fn steps(name: &'static str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in name.split('.').filter(|part| !part.is_empty()) {
        let key = part.trim_end_matches("[]").trim_end_matches("{}");
        if !key.is_empty() {
            steps.push(Step::Key(key));
        }
        if part.ends_with("[]") {
            steps.push(Step::EveryElement);
        } else if part.ends_with("{}") {
            steps.push(Step::EveryValue);
        }
    }
    steps
}

/// What stands at the end of `steps`: values, and absent ones by the number of steps that lead to
/// something.
fn follow<'a>(
    value: &'a Value,
    steps: &[Step],
    taken: usize,
    found: &mut Vec<Result<&'a Value, usize>>,
) {
    let Some(step) = steps.get(taken) else {
        found.push(Ok(value));
        return;
    };
    match (step, value) {
        (Step::Key(key), Value::Object(fields)) if fields.contains_key(*key) => {
            follow(&fields[*key], steps, taken + 1, found);
        }
        (Step::EveryElement, Value::Array(values)) => {
            for value in values {
                follow(value, steps, taken + 1, found);
            }
        }
        (Step::EveryValue, Value::Object(fields)) => {
            for value in fields.values() {
                follow(value, steps, taken + 1, found);
            }
        }
        _ => found.push(Err(taken)),
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

/// What is wrong with an answer. `everything` is configured: then each field has to be seen.
fn wrong(asked: &Asked, answer: &Value, everything: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let may_be_missing = |field: &Field| field.optional || (field.full && !everything);
    for field in &asked.fields {
        let mut found = Vec::new();
        follow(answer, &field.steps, 0, &mut found);
        let mut seen = false;
        for one in &found {
            match one {
                // It does not show of which type it is.
                Ok(Value::Null) if field.may_be_null => {}
                Ok(value) if is(field.kind, value) => seen = true,
                Ok(value) => wrong.push(format!("{}: {value} is no {}", field.name, field.kind)),
                Err(taken) => {
                    let excused = may_be_missing(field)
                        || declared(asked, &field.steps[..*taken]).any(|whole| whole.may_be_null)
                        || (0..=*taken)
                            .flat_map(|last| declared(asked, &field.steps[..=last]))
                            .any(may_be_missing);
                    if !excused {
                        wrong.push(format!("{} is missing", field.name));
                    }
                }
            }
        }
        if everything && !seen && !field.optional {
            wrong.push(format!("{} was not seen at all", field.name));
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

/// What the table says of that to which these steps lead.
fn declared<'a>(asked: &'a Asked, steps: &'a [Step]) -> impl Iterator<Item = &'a Field> {
    asked
        .fields
        .iter()
        .filter(move |field| field.steps == steps)
}

/// The answer to a request of the table, which has to be one.
async fn answer(server: &Server, asked: &Asked, names: &[(&str, String)]) -> Value {
    let put_in = |text: &str| {
        names.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        })
    };
    let target = &put_in(asked.target);
    if asked.method == "WS" {
        let url = server.url.replace("http://", "ws://");
        let connected = tokio_tungstenite::connect_async(format!("{url}{target}")).await;
        let (mut socket, _) = connected.unwrap();
        let frame = socket.next().await.unwrap().unwrap();
        return serde_json::from_str(frame.to_text().unwrap()).unwrap();
    }
    let method: Method = asked.method.parse().unwrap();
    let mut request = server.request(&method, target);
    if asked.body == "PNG" {
        let png = base64::prelude::BASE64_STANDARD.decode(PNG).unwrap();
        let mut body =
            b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\
                         Content-Type: image/png\r\n\r\n"
                .to_vec();
        body.extend(png);
        body.extend(b"\r\n--x--\r\n");
        request = request.header("content-type", "multipart/form-data; boundary=x");
        request = request.body(body);
    } else {
        // As the frontend does, with a body or without.
        request = request.header("content-type", "application/json");
        request = request.body(put_in(asked.body));
    }
    let answer = server.send(request).await;
    assert!(answer.status.is_success(), "{target}: {answer:?}");
    answer.json()
}

/// Everything that this version can have, and the id of its one service.
pub(crate) async fn full(plex: &Simulator) -> (Server, String) {
    let app = json!({"id": "1", "name": "App", "url": "http://app", "icon": ""});
    let (sonarr, radarr, overseerr) = (plex.sonarr(), plex.radarr(), plex.overseerr());
    let instance = |kind: &str, url: &str, key: &str| json!({"id": kind, "name": kind, "type": kind, "url": url, "api_key": key, "access_url": ""});
    let instances = [
        instance("sonarr", &sonarr.url, sonarr.key),
        instance("radarr", &radarr.url, radarr.key),
        // One that has an error.
        instance("lidarr", "", ""),
    ];
    // Somebody with a user name: those of Plex have none.
    plex.add_members(1);
    let config = json!({
        "overseerr": {"url": overseerr.url, "api_key": overseerr.key, "email_domain": "example.org"},
        "arr": {"instances": instances},
        "external_apps": {"apps": [app]},
        "uploader": {"base_url": plex.uploader().url},
        "vpn_proxy": {"url": plex.vpn_proxy().url, "api_key": plex.vpn_proxy().key},
        "posterizarr": {"url": plex.posterizarr().url, "api_key": plex.posterizarr().key},
        "plex": {"server_url": plex.url(), "server_token": plex.token(), "server_name": "Demo"},
    });
    let server = Server::builder()
        .config(&config)
        .file("frontend/dist/release.txt", "v3.3.0\n")
        .env("PLEX_TV_URL", &plex.url())
        .env("GITHUB_API_URL", &plex.url())
        .start()
        .await;
    server
        .post("/api/plex/watch-history/sync", &Value::Null)
        .await;
    let plays = async || server.get("/api/plex/watch-history").await.text.len() > 1000;
    until_asked("the history", plays).await;
    let service = json!({"name": "Server", "url": format!("{}/identity", plex.url()),
                         "type": "server", "description": "d", "icon": "i", "group": "g"});
    let service = server.post("/api/services/", &service).await.json();
    let id = service["id"].as_str().unwrap().to_owned();
    let traffic = json!({"service_id": id, "bandwidth_up": 1.5, "bandwidth_down": 2, "total_up": 3,
                         "total_down": 4, "max_bandwidth": 250, "cpu_percent": 12.5, "memory_percent": 50});
    let disk = json!({"device": "sda1", "state": "active", "role": "0"});
    let raid = json!({"device": "md0", "status": "healthy", "level": "raid1", "devices": 2,
                      "active_devices": 2, "failed_devices": 0, "spare_devices": 0, "disks": [disk]});
    let pool_disk = json!({"device": "sdb", "state": "ONLINE", "vdev_type": "mirror", "read_errors": 0,
                           "write_errors": 0, "cksum_errors": 0});
    let pool = json!({"pool": "tank", "status": "healthy", "state": "ONLINE", "scan": "none", "size": "1T",
                      "allocated": "1G", "free": "1T", "capacity": "1%", "disks": [pool_disk]});
    let path =
        json!({"path": "/mnt/unionfs", "total": 100, "used": 50.5, "free": 49.5, "percent": 50.5});
    let storage = json!({"service_id": id, "hostname": "h", "timestamp": "2026-01-01T00:00:00Z",
                         "storage_paths": [path], "raid_arrays": [raid], "zfs_pools": [pool], "disks": []});
    for (path, body) in [
        ("/api/traffic/update", traffic),
        ("/api/storage/update", storage),
    ] {
        let answer = server.post(path, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    invite_somebody(&server).await;
    (server, id)
}

/// Makes an invite that somebody has used.
async fn invite_somebody(server: &Server) {
    let invite = json!({"custom_code": CODE, "usage_limit": 5, "expires_in_days": 30});
    let answer = server.post("/api/invites/", &invite).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let row = "INSERT INTO plex_users (email, username, plex_id, thumb, invite_id, created_at, \
               expires_at, is_active) VALUES ('a@example.org', 'a', '7', 't', 1, \
               '2026-01-02 03:04:05.000000', '2036-01-02 03:04:05.000000', 1)";
    database::execute(server.directory.path(), row).await;
}

/// Lets a friend log in to Plex: the PIN, its state, and the request to use the invite.
async fn log_in(server: &Server, plex: &Simulator) -> [(&'static str, String); 3] {
    let path = format!("/api/oauth/plex/login?invite_code={CODE}");
    let login = server.get(&path).await.json();
    let pin = login["pin_id"].as_i64().unwrap();
    assert!(plex.authorize_pin(pin, "zed"));
    let redeem = json!({"invite_code": CODE, "auth_token": plex.guest_token("zed"),
                        "email": "", "username": "", "plex_id": ""});
    [
        ("{pin}", pin.to_string()),
        ("{state}", login["state"].as_str().unwrap().to_owned()),
        ("{redeem}", redeem.to_string()),
    ]
}

#[tokio::test]
async fn every_field_that_the_frontend_reads_is_there_and_of_its_type() {
    let plex = plex(6).await;
    let bare = Server::builder().start().await;
    let (full, service) = full(&plex).await;
    let log_in = log_in(&full, &plex).await;
    let (mut failures, mut fields) = (String::new(), 0);
    let table = table();
    assert!(table.len() > 60, "{}", table.len());
    for asked in &table {
        fields += asked.fields.len();
        for (name, server) in [("bare", &bare), ("full", &full)] {
            let everything = name == "full";
            // Without services there is none to change, and without plex.tv nobody logs in.
            let needs = ["{service}", "/oauth/"];
            if needs.iter().any(|part| asked.target.contains(part)) && !everything {
                continue;
            }
            if NEEDS_OVERSEERR.contains(&asked.target) && !everything {
                assert_eq!(server.get(asked.target).await.status, 503);
                continue;
            }
            let url = if everything {
                plex.url()
            } else {
                NOBODY.to_owned()
            };
            let names = [
                ("{service}", service.clone()),
                ("{plex}", url),
                ("{token}", plex.token().to_owned()),
                ("{code}", CODE.to_owned()),
            ];
            let names = [&names[..], &log_in[..]].concat();
            let answer = answer(server, asked, &names).await;
            for wrong in wrong(asked, &answer, everything) {
                let _ = writeln!(
                    failures,
                    "{name} {} {}: {wrong}",
                    asked.method, asked.target
                );
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert!(fields > 300, "{fields}");
}

#[test]
fn what_is_wrong_is_found() {
    let asked = Asked {
        method: "GET",
        target: "/",
        body: "",
        fields: [
            "list  array",
            "list[].a  number?",
            "list[].b  string optional",
            "map  object full",
            "map{}.c  boolean",
            "inner.d  string",
        ]
        .map(Field::parse)
        .into(),
    };
    let good = json!({"list": [{"a": 1}, {"a": null, "b": "x"}], "map": {"k": {"c": true}}, "inner": {"d": ""}});
    assert_eq!(wrong(&asked, &good, true), Vec::<String>::new());
    let bare = json!({"list": [], "inner": {"d": ""}});
    assert_eq!(wrong(&asked, &bare, false), Vec::<String>::new());
    assert_eq!(
        wrong(&asked, &bare, true).len(),
        5,
        "what was not seen, and the map"
    );
    for (pointer, bad) in [
        ("/list", json!(null)),
        ("/list", json!({})),
        ("/list/0/a", json!("1")),
        ("/list/1/b", json!(null)),
        ("/map/k/c", json!(0)),
        ("/inner", json!({})),
        ("/inner", json!(null)),
        ("/inner/d", json!(null)),
    ] {
        let mut value = good.clone();
        *value.pointer_mut(pointer).unwrap() = bad.clone();
        assert!(!wrong(&asked, &value, false).is_empty(), "{pointer} {bad}");
    }
}

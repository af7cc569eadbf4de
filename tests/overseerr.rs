//! `/api/overseerr/*`: the people of Overseerr and what they wish for.

use futures_util::future::join_all;
use komandorr::demo::{Fault, Simulator};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Server, nowhere, plex, until};

const USERS: &str = "/api/overseerr/users";
const REQUESTS: &str = "/api/overseerr/requests";
const STATUS: &str = "/api/overseerr/status";
/// Of the simulated one.
const USER: &str = "/overseerr/api/v1/user";
const REQUEST: &str = "/overseerr/api/v1/request";

fn section(url: &str, key: &str) -> Value {
    json!({"overseerr": {"url": url, "api_key": key, "email_domain": ""}})
}

async fn configured(simulator: &Simulator) -> Server {
    let address = simulator.overseerr();
    let url = format!("{}/api/v1/user/", address.url);
    let config = section(&url, address.key);
    Server::builder().config(&config).start().await
}

fn refused(answer: &Answer, status: u16, detail: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.json(), json!({"detail": detail}));
}

async fn list(server: &Server, path: &str) -> Value {
    let answer = server.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

fn ids(users: &Value) -> Vec<u64> {
    let users = users["users"].as_array().unwrap().iter();
    users.map(|user| user["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn not_configured_is_said_after_what_is_wrong_with_the_request() {
    let server = Server::builder().start().await;
    let none = "VoDWisharr is not configured";
    let status = json!({"configured": false, "reachable": false, "message": none});
    assert_eq!(list(&server, STATUS).await, status);
    for path in [USERS, REQUESTS, "/api/overseerr/users?search=x"] {
        refused(&server.get(path).await, 503, none);
    }
    refused(&server.delete("/api/overseerr/users/7").await, 503, none);
    let new = json!({"username": "pip", "password": "a long one", "email": "p@example.org"});
    let more = format!("{none}. Please set OVERSEERR_URL and OVERSEERR_API_KEY in config.json");
    refused(&server.post(USERS, &new).await, 503, &more);
    let wrong = server
        .post(USERS, &json!({"username": "pip", "email": 7}))
        .await;
    assert_eq!(wrong.status, 422);
    let problems = wrong.json()["detail"].as_array().unwrap().len();
    assert_eq!(problems, 2, "password and email");
    let wrong = server.delete("/api/overseerr/users/me").await;
    assert_eq!(wrong.json()["detail"][0]["loc"], json!(["path", "user_id"]));
}

#[tokio::test]
async fn people_and_wishes_are_read_to_the_last_page_once_for_all() {
    let simulator = plex(0).await;
    simulator.add_members(95);
    let server = configured(&simulator).await;
    let message = "VoDWisharr is configured and reachable";
    let status = json!({"configured": true, "reachable": true, "message": message});
    assert_eq!(list(&server, STATUS).await, status);

    let all = join_all((0..10).map(|_| list(&server, USERS))).await;
    assert!(all.iter().all(|one| one == &all[0]));
    assert_eq!(ids(&all[0]), (1..=113).collect::<Vec<u64>>());
    assert_eq!(
        (&all[0]["success"], &all[0]["total"]),
        (&json!(true), &json!(113))
    );
    assert_eq!(simulator.calls(USER), 2, "a hundred on a page");
    let plain = reqwest::Client::new().get(format!("{}{USER}?take=1", simulator.url()));
    let plain = plain.header("x-api-key", simulator.overseerr().key);
    let plain: Value =
        serde_json::from_str(&plain.send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(all[0]["users"][0], plain["results"][0], "as it comes");

    let found = list(&server, "/api/overseerr/users?search=ZO%C3%8B").await;
    assert_eq!((ids(&found), &found["total"]), (vec![2], &json!(1)));
    let found = list(&server, "/api/overseerr/users?search=GUEST113").await;
    assert_eq!(ids(&found), [113], "by address and user name");
    assert_eq!(
        list(&server, "/api/overseerr/users?search=nobody").await["total"],
        0
    );

    let all = join_all((0..10).map(|_| list(&server, REQUESTS))).await;
    assert!(all.iter().all(|one| one == &all[0]));
    assert_eq!(all[0]["total"], 120);
    assert_eq!(all[0]["requests"].as_array().unwrap().len(), 120);
    assert!(all[0]["requests"][119]["requestedBy"]["id"].is_u64());
    assert_eq!(simulator.calls(REQUEST), 3, "fifty on a page");
}

#[tokio::test]
async fn people_are_created_and_removed_and_seen_so_at_once() {
    let simulator = plex(0).await;
    let server = configured(&simulator).await;
    assert_eq!(ids(&list(&server, USERS).await).len(), 18);
    let mut new = json!({"username": "pip", "password": "eine lange", "email": ""});
    let domain = "Email or email_domain is required";
    refused(&server.post(USERS, &new).await, 400, domain);
    new["email_domain"] = json!("example.net");
    let created = server.post(USERS, &new).await;
    assert_eq!(created.status, 200);
    let message = "User pip created successfully";
    let expected = json!({"success": true, "message": message, "username": "pip"});
    assert_eq!(created.json(), expected);
    let users = list(&server, USERS).await;
    assert_eq!(users["users"][18]["email"], "pip@example.net");

    let known = "User pip already exists in VoDWisharr";
    refused(&server.post(USERS, &new).await, 409, known);
    let short = json!({"username": "bo", "password": "short", "email": "bo@example.org"});
    let said = r#"VoDWisharr API error: {"message":"Password is too short"}"#;
    refused(&server.post(USERS, &short).await, 500, said);

    let gone = server.delete("/api/overseerr/users/19").await;
    let expected = json!({"success": true, "message": "User deleted successfully"});
    assert_eq!(gone.json(), expected);
    assert_eq!(ids(&list(&server, USERS).await).len(), 18);
    let again = server.delete("/api/overseerr/users/19").await;
    refused(&again, 404, "VoDWisharr returned status 404");
    let owner = server.delete("/api/overseerr/users/1").await;
    refused(&owner, 502, "VoDWisharr returned status 405");
    let log = server.log();
    assert!(!log.contains("eine lange") && !log.contains(simulator.overseerr().key));
}

#[tokio::test]
async fn whatever_is_wrong_with_it_is_said_and_nobody_is_logged_out() {
    let simulator = plex(0).await;
    let key = "key-of-ours";
    let server = configured(&simulator).await;
    let body = |text: &str| Fault::Body(text.to_owned());
    let nobody = nowhere().await;
    let status = |status: &str| format!("VoDWisharr API returned status code: {status}");
    let garbage = |why: &str| format!("Failed to fetch users: {why}");
    let shape = "the answer is not of the expected shape";
    for (at, (fault, said)) in [
        (Fault::Status(401), status("401")),
        (Fault::Status(403), status("403")),
        (Fault::Status(500), status("500")),
        (Fault::Redirect(simulator.url()), status("302")),
        (Fault::Html, garbage("the answer is not JSON")),
        (Fault::BrokenJson, garbage("the answer is not JSON")),
        (Fault::Cut, garbage("broke off its answer")),
        (body("[]"), garbage(shape)),
        (body("7"), garbage(shape)),
        // Nobody is there.
        (Fault::Hang, garbage("can't be reached")),
    ]
    .into_iter()
    .enumerate()
    {
        let url = match fault {
            Fault::Hang => nobody.clone(),
            _ => format!("{}/{at}", simulator.url()),
        };
        for path in ["user", "user/7", "request", "status"] {
            simulator.set_fault(&format!("/{at}/api/v1/{path}"), fault.clone());
        }
        let saved = server.post("/api/settings", &section(&url, key)).await;
        assert_eq!(saved.status, 200);
        refused(&server.get(USERS).await, 502, &said);
        let wishes = server.get(REQUESTS).await;
        match &fault {
            Fault::Cut | Fault::Hang => {
                let said = said.replace("Failed to fetch users", "Could not connect to VoDWisharr");
                refused(&wishes, 503, &said);
            }
            _ => refused(&wishes, 502, &said.replace("fetch users", "fetch requests")),
        }
        let told = list(&server, STATUS).await;
        assert_eq!(
            (&told["configured"], &told["reachable"]),
            (&json!(true), &json!(false))
        );
        let told = told["message"].as_str().unwrap();
        let told = told.replace("VoDWisharr returned", "VoDWisharr API returned");
        let why = said.rsplit(": ").next().unwrap();
        assert!(told.ends_with(why), "{told}");
        let deleted = server.delete("/api/overseerr/users/7").await;
        if !matches!(fault, Fault::Html | Fault::BrokenJson | Fault::Body(_)) {
            assert_eq!(deleted.status, 502, "{fault:?}: {deleted:?}");
        }
        let new = json!({"username": "pip", "password": "a long one", "email": "p@example.org"});
        let created = server.post(USERS, &new).await;
        let expected = match fault {
            Fault::Cut | Fault::Hang => 503,
            _ => 500,
        };
        assert_eq!(created.status, expected, "{fault:?}: {created:?}");
        for answer in [&deleted, &created] {
            assert!(!answer.text.contains(key) && !answer.text.contains("a long one"));
        }
    }
    assert!(!server.log().contains(key));
}

#[tokio::test]
async fn a_later_page_that_fails_costs_the_wishes_on_it_but_no_part_of_the_people() {
    let simulator = plex(0).await;
    simulator.add_members(95);
    let server = configured(&simulator).await;
    for (path, own) in [(USERS, USER), (REQUESTS, REQUEST)] {
        simulator.set_fault(own, Fault::Hold);
        let fail = async {
            until("the first page", || simulator.calls(own) == 1).await;
            simulator.set_fault(own, Fault::Status(500));
            simulator.release_holds();
        };
        let request = server.request(&Method::GET, path);
        let (answer, ()) = tokio::join!(server.send(request), fail);
        if path == USERS {
            refused(&answer, 502, "VoDWisharr API returned status code: 500");
        } else {
            assert_eq!(answer.json()["total"], 50);
        }
    }
}

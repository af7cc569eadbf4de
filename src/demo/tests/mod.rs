//! The simulator from outside, over real connections.

mod plex_tv;
mod trouble;

use std::time::Duration;

use reqwest::{Client, Response, redirect};
use serde_json::Value;

use super::{Fault, HISTORY_PLAYS, Options, Scene, Simulator};

/// No test waits for this; it only keeps a broken one from hanging.
const LIMIT: Duration = Duration::from_secs(20);

struct Guest {
    plex: Simulator,
    client: Client,
}

impl Guest {
    async fn new(sessions: usize) -> Self {
        let options = Options {
            scene: Scene::Fixed { sessions },
            ..Options::default()
        };
        let plex = Simulator::start(options).await.unwrap();
        let client = Client::builder()
            .timeout(LIMIT)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .build()
            .unwrap();
        Self { plex, client }
    }

    fn request(&self, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.plex.url());
        self.client.get(url).header("Accept", "application/json")
    }

    async fn try_get(&self, path: &str) -> reqwest::Result<Response> {
        self.request(path)
            .header("X-Plex-Token", self.plex.token())
            .send()
            .await
    }

    async fn get(&self, path: &str) -> Response {
        self.try_get(path).await.unwrap()
    }

    async fn container(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        let mut body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        body["MediaContainer"].take()
    }
}

fn content_type(response: &Response) -> &str {
    response.headers()["content-type"].to_str().unwrap()
}

#[tokio::test]
async fn a_token_is_needed_everywhere_but_for_identity() {
    let guest = Guest::new(1).await;
    for path in [
        "/",
        "/accounts",
        "/status/sessions",
        "/library/metadata/1001/thumb/1",
        "/unknown",
    ] {
        let response = guest.request(path).send().await.unwrap();
        assert_eq!(response.status(), 401, "{path}");
        assert_eq!(content_type(&response), "text/html");
    }
    let wrong = guest
        .request("/")
        .header("X-Plex-Token", "wrong")
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), 401);
    assert_eq!(
        guest.request("/identity").send().await.unwrap().status(),
        200
    );
    assert_eq!(guest.get("/unknown").await.status(), 404);
    assert_eq!(guest.container("/").await["friendlyName"], "Demo Plex");
}

#[tokio::test]
async fn tokens_in_queries_work_and_are_counted() {
    let guest = Guest::new(1).await;
    guest.get("/accounts").await;
    assert_eq!(guest.plex.tokens_in_queries(), 0);
    let path = format!("/accounts?X-Plex-Token={}", guest.plex.token());
    assert_eq!(guest.request(&path).send().await.unwrap().status(), 200);
    guest
        .get("/photo/:/transcode?url=%2Fart%3Fx-plex-token%3Dabc")
        .await;
    guest.plex.forget_calls();
    assert_eq!(guest.plex.tokens_in_queries(), 2);
}

#[tokio::test]
async fn calls_are_counted_by_path_without_query() {
    let guest = Guest::new(1).await;
    guest.plex.set_fault("/accounts", Fault::Status(500));
    guest.get("/accounts?X-Plex-Container-Size=1").await;
    guest.get("/accounts").await;
    guest.get("/").await;
    assert_eq!(guest.plex.calls("/accounts"), 2);
    assert_eq!(guest.plex.calls("/activities"), 0);
    assert_eq!(guest.plex.calls_by_path().len(), 2);
    assert_eq!(guest.plex.most_at_once(), 1);
    guest.plex.forget_calls();
    assert_eq!(guest.plex.calls("/"), 0);
}

#[tokio::test]
async fn a_fixed_scene_has_exactly_its_sessions_and_weighs_what_real_ones_do() {
    let guest = Guest::new(10).await;
    let response = guest.get("/status/sessions").await;
    assert_eq!(content_type(&response), "application/json");
    let bytes = response.bytes().await.unwrap().len();
    assert!((30_000..40_000).contains(&bytes), "{bytes}");
    for count in [0, 1, 37] {
        guest.plex.set_sessions(count);
        let container = guest.container("/status/sessions").await;
        assert_eq!(container["size"], count);
        assert_eq!(container["Metadata"].as_array().map_or(0, Vec::len), count);
        assert!(container.get("totalSize").is_none());
    }
    guest.plex.set_sessions(0);
    let response = guest.get("/status/sessions").await.text().await.unwrap();
    assert_eq!(response, r#"{"MediaContainer":{"size":0}}"#);
}

#[tokio::test]
async fn a_living_scene_has_guests_from_the_start() {
    let plex = Simulator::start(Options::default()).await.unwrap();
    let guest = Guest {
        plex,
        ..Guest::new(0).await
    };
    let size = guest.container("/status/sessions").await["size"]
        .as_u64()
        .unwrap();
    assert!((3..=8).contains(&size), "{size}");
    assert!(
        guest.container("/activities").await["size"]
            .as_u64()
            .unwrap()
            > 0
    );
}

#[tokio::test]
async fn section_counts_agree_with_their_lists() {
    let guest = Guest::new(0).await;
    let sections = guest.container("/library/sections").await;
    assert_eq!(sections["size"], 5);
    for section in sections["Directory"].as_array().unwrap() {
        assert!(section["contentChangedAt"].is_u64() && section["refreshing"].is_boolean());
        let key = section["key"].as_str().unwrap();
        for list in ["all", "allLeaves", "recentlyAdded"] {
            let path = format!("/library/sections/{key}/{list}");
            let count = guest
                .container(&format!("{path}?X-Plex-Container-Size=0"))
                .await;
            assert_eq!(count["size"], 0);
            assert!(count.get("Metadata").is_none());
            let all = guest.container(&path).await;
            assert!(all.get("totalSize").is_none());
            assert_eq!(
                count["totalSize"],
                all["Metadata"].as_array().unwrap().len(),
                "{path}"
            );
        }
    }
    let newest = guest.container("/library/sections/1/recentlyAdded").await;
    let dates = newest["Metadata"].as_array().unwrap().iter();
    assert!(
        dates
            .map(|film| film["addedAt"].as_i64().unwrap())
            .rev()
            .is_sorted()
    );
    let seasons = guest.container("/library/sections/3/all?type=3").await;
    assert_eq!(seasons["Metadata"][0]["type"], "season");
    assert_eq!(guest.get("/library/sections/9/all").await.status(), 404);
}

#[tokio::test]
async fn pages_cover_the_whole_history_once() {
    let guest = Guest::new(0).await;
    let mut keys = Vec::new();
    for start in (0..=HISTORY_PLAYS).step_by(250) {
        let path = format!(
            "/status/sessions/history/all?sort=viewedAt:desc&X-Plex-Container-Start={start}"
        );
        // The size as a header, the start as a parameter: both work.
        let request = guest.request(&path).header("X-Plex-Container-Size", "250");
        let response = request
            .header("X-Plex-Token", guest.plex.token())
            .send()
            .await
            .unwrap();
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        let page = &body["MediaContainer"];
        assert_eq!(page["totalSize"], HISTORY_PLAYS);
        assert_eq!(page["offset"], start);
        let entries = page["Metadata"].as_array().unwrap();
        keys.extend(entries.iter().map(|entry| entry["historyKey"].to_string()));
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), HISTORY_PLAYS);
    let beyond = "/status/sessions/history/all?X-Plex-Container-Start=99999";
    assert_eq!(guest.container(beyond).await["size"], 0);
    let own = guest
        .container("/status/sessions/history/all?accountID=1")
        .await;
    assert!(own["size"].as_u64().unwrap() < HISTORY_PLAYS as u64);
}

#[tokio::test]
async fn metadata_comes_one_by_one_and_as_a_list() {
    let guest = Guest::new(0).await;
    let one = guest.container("/library/metadata/1001").await;
    assert_eq!(one["Metadata"][0]["ratingKey"], "1001");
    assert!(one["Metadata"][0]["Media"][0]["Part"][0]["Stream"].is_array());
    let some = guest.container("/library/metadata/1001,1002,999999").await;
    assert_eq!(some["size"], 2);
    assert_eq!(guest.get("/library/metadata/999999").await.status(), 404);
    let show = guest.container("/library/sections/3/all").await["Metadata"][0].take();
    let seasons = guest.container(show["key"].as_str().unwrap()).await;
    assert_eq!(seasons["size"], show["childCount"]);
}

#[tokio::test]
async fn accounts_start_with_the_local_one() {
    let guest = Guest::new(0).await;
    let accounts = guest.container("/accounts").await;
    assert_eq!(accounts["Account"][0]["id"], 0);
    assert_eq!(accounts["Account"][1]["id"], 1);
    assert_eq!(
        accounts["size"],
        accounts["Account"].as_array().unwrap().len()
    );
}

#[tokio::test]
async fn artwork_of_sessions_is_real() {
    let guest = Guest::new(10).await;
    let sessions = guest.container("/status/sessions").await;
    let film = &sessions["Metadata"][0];
    let id = film["ratingKey"].as_str().unwrap();
    let thumb = film["thumb"].as_str().unwrap();
    let avatar = film["User"]["thumb"].as_str().unwrap();
    let avatar = avatar.strip_prefix(&guest.plex.url()).unwrap();
    let transcoded = format!("/photo/:/transcode?url={thumb}&width=100&height=100&minSize=1");
    for (path, size) in [
        (thumb, (240, 360)),
        (&format!("/library/metadata/{id}/thumb"), (240, 360)),
        (film["art"].as_str().unwrap(), (480, 270)),
        (avatar, (96, 96)),
        ("/library/sections/1/composite/1700000000", (300, 300)),
        (&transcoded, (66, 100)),
    ] {
        let response = guest.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(content_type(&response), "image/png");
        let bytes = response.bytes().await.unwrap();
        let reader = png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .unwrap();
        assert_eq!(reader.info().size(), size, "{path}");
    }
    for path in [
        "/library/metadata/999999/thumb/1",
        "/library/metadata/1001/theme/1",
        "/photo/:/transcode?url=https://example.org/x.png&width=9&height=9",
    ] {
        assert_eq!(guest.get(path).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn a_library_can_grow() {
    let guest = Guest::new(1).await;
    let changed = async || {
        let sections = guest.container("/library/sections").await;
        let sections = sections["Directory"].as_array().unwrap().clone();
        sections
            .iter()
            .map(|section| section["contentChangedAt"].as_u64().unwrap())
            .collect::<Vec<u64>>()
    };
    let newest = async || {
        let list = guest.container("/library/sections/1/recentlyAdded").await;
        list["Metadata"][0]["ratingKey"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (before, first) = (changed().await, newest().await);
    guest.plex.change_library(1);
    let after = changed().await;
    assert_eq!(after[0], before[0] + 1);
    assert_eq!(after[1..], before[1..]);
    let added = newest().await;
    assert_ne!(added, first);
    let found = guest.container(&format!("/library/metadata/{added}")).await;
    assert_eq!(found["Metadata"][0]["librarySectionID"], 1);
    guest.plex.change_library(3);
    guest.plex.change_library(77);
    let shows = guest.container("/library/sections/3/all").await;
    assert_eq!(shows["size"], 9);
}

#[test]
fn a_simulator_can_be_shared_and_started_from_any_task() {
    fn is_shared<T: Send + Sync>() {}
    fn is_sent<T: Send>(_: &T) {}
    is_shared::<Simulator>();
    is_sent(&Simulator::start(Options::default()));
}

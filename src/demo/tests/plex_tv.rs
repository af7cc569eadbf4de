//! The simulated plex.tv from outside.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::super::{Options, Simulator};
use super::{Guest, content_type};

impl Guest {
    /// Asks in somebody's name.
    async fn ask(&self, method: Method, path: &str, token: &str) -> (u16, String) {
        let url = format!("{}{path}", self.plex.url());
        let request = self.client.request(method, url);
        let answer = request.header("X-Plex-Token", token).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn offer(&self, machine: &str, email: &str, sections: &[u64]) -> (u16, String) {
        let url = format!("{}/api/servers/{machine}/shared_servers", self.plex.url());
        let body = json!({
            "server_id": machine,
            "shared_server": { "library_section_ids": sections, "invited_email": email },
        });
        let request = self.client.post(url).body(body.to_string());
        let request = request.header("X-Plex-Token", self.plex.token());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

#[tokio::test]
async fn plex_tv_knows_the_guests_of_this_server_and_shows_everybody_their_pictures() {
    let guest = Guest::new(1).await;
    let identity = guest.container("/identity").await;
    let machine = identity["machineIdentifier"].as_str().unwrap();
    let path = format!("/api/servers/{machine}/shared_servers");
    let refused = guest.request(&path).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    let answer = guest.get(&path).await;
    assert_eq!(content_type(&answer), "application/xml; charset=utf-8");
    let xml = answer.text().await.unwrap();
    assert_eq!(xml.matches("<SharedServer ").count(), 17);
    assert!(xml.contains("username=\"The &lt;Fergusons>\""), "{xml}");
    let other = guest.get("/api/servers/abc/shared_servers").await;
    assert_eq!(other.status(), 404);
    let avatar = guest.request("/users/abc/avatar?c=1").send().await.unwrap();
    assert_eq!(content_type(&avatar), "image/png");
}

#[tokio::test]
async fn accounts_are_known_by_their_tokens_on_plex_tv_only() {
    let guest = Guest::new(1).await;
    let token = guest.plex.guest_token("pelle");
    assert_eq!(token, guest.plex.guest_token("PELLE@example.org"));
    let (status, xml) = guest.ask(Method::GET, "/api/v2/user", &token).await;
    assert_eq!(status, 200);
    assert!(xml.contains("<user id=") && xml.contains("email=\"pelle@example.org\""));
    assert_eq!(guest.ask(Method::GET, "/accounts", &token).await.0, 401);
    assert_eq!(guest.ask(Method::GET, "/api/v2/user", "wrong").await.0, 401);
    // What belongs to the owner is not there for others.
    assert_eq!(guest.ask(Method::GET, "/api/users/", &token).await.0, 404);
    let path = "/api/home/users?invitedEmail=x@example.org";
    assert_eq!(guest.ask(Method::POST, path, &token).await.0, 404);
    for path in ["/api/invites/requests", "/api/invites/requested/1"] {
        assert_eq!(guest.ask(Method::GET, path, &token).await.0, 410, "{path}");
    }
    let ping = guest.request("/api/v2/ping").send().await.unwrap();
    assert!(ping.headers().contains_key("date"));
}

#[tokio::test]
async fn what_plex_tv_would_refuse_is_refused_in_its_words() {
    let guest = Guest::new(1).await;
    let machine = guest.plex.machine_identifier();
    let offer = async |email: &str, sections: &[u64]| guest.offer(&machine, email, sections).await;
    for (email, words) in [
        (
            "captain_brine",
            "You're already sharing this server with captain_brine",
        ),
        (
            "zongquist@example.org",
            "You're already sharing this server with",
        ),
        ("harbourmaster", "You cannot share a server with yourself"),
    ] {
        let (status, said) = offer(email, &[118_181_001]).await;
        assert_eq!(status, 422, "{said}");
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(
        offer("new@example.org", &[1]).await.0,
        400,
        "the server's key"
    );
    assert_eq!(
        guest
            .offer("other", "new@example.org", &[118_181_001])
            .await
            .0,
        404
    );
    assert!(guest.plex.invitations().is_empty());
    assert_eq!(offer("new@example.org", &[118_181_001]).await.0, 201);
    assert_eq!(offer("New@example.org", &[118_181_001]).await.0, 422);
    assert_eq!(guest.plex.invitations()[0].sections, [1]);

    let home = "/api/home/users?invitedEmail=pip";
    let pip = guest.ask(Method::POST, home, guest.plex.token()).await;
    assert_eq!(pip.0, 201, "Pip has a fox in the name");
    let again = guest.ask(Method::POST, home, guest.plex.token()).await;
    assert_eq!(again.0, 422);
    assert!(again.1.contains("already"), "{}", again.1);
    for path in ["/api/v2/sharings/1", "/api/home/users/1", "/api/invites/x"] {
        let (status, _) = guest.ask(Method::DELETE, path, guest.plex.token()).await;
        assert!(status == 404 || status == 410, "{path}: {status}");
    }
}

#[tokio::test]
async fn a_pin_of_the_demonstration_is_confirmed_by_itself() {
    let after = Duration::from_millis(100);
    let options = Options {
        pins_confirm_after: Some(after),
        ..Options::default()
    };
    let plex = Simulator::start(options).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let pins = format!("{}/api/v2/pins", plex.url());
    let nameless = client.post(format!("{pins}?strong=true")).send().await;
    assert_eq!(nameless.unwrap().status(), 400);
    let read = async |request: reqwest::RequestBuilder, name: &str| {
        let request = request.header("X-Plex-Client-Identifier", name);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap();
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let (status, pin) = read(client.post(format!("{pins}?strong=true")), "me").await;
    assert_eq!((status, &pin["authToken"]), (201, &Value::Null));
    assert_eq!(pin["expiresIn"], 1799);
    let check = format!("{pins}/{}", pin["id"]);
    assert_eq!(read(client.get(&check), "another").await.0, 404);
    tokio::time::sleep(after).await;
    let (status, pin) = read(client.get(&check), "me").await;
    assert_eq!(status, 200);
    assert_eq!(pin["authToken"], plex.guest_token("deckhand"));
}

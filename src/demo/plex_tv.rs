//! The simulated plex.tv: whom the server is shared with, and the pictures of accounts. It listens
//! where the server does; nothing else of its paths is alike.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{Response, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::library::SECTIONS;
use super::pages::error_page;
use super::people::PEOPLE;
use super::picture::Size;
use super::plex::{Plex, Shared, drawn};

/// The paths of plex.tv, behind the gate of the server.
pub(super) fn router() -> Router<Arc<Plex>> {
    Router::new()
        .route("/api/servers/{machine}/shared_servers", get(shared_servers))
        .route("/users/{hash}/avatar", get(avatar))
}

/// Pictures of accounts need no token on the real plex.tv, and must not be sent one.
pub(super) fn is_public(path: &str) -> bool {
    path.starts_with("/users/")
}

/// The address by which a request has reached the simulator, which is where its plex.tv is.
pub(super) struct PlexTv(pub(super) String);

impl<S: Sync> FromRequestParts<S> for PlexTv {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let host = parts.headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok());
        Ok(Self(format!("http://{}", host.unwrap_or("localhost"))))
    }
}

/// XML whatever the client would like, as the real one.
async fn shared_servers(State(plex): Shared, Path(machine): Path<String>) -> Response<Body> {
    if machine != plex.machine_identifier() {
        return error_page(404);
    }
    let guests = &PEOPLE[1..];
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <MediaContainer friendlyName=\"myPlex\" identifier=\"com.plexapp.plugins.myplex\" \
         machineIdentifier=\"{machine}\" size=\"{}\">\n",
        guests.len()
    );
    for (at, guest) in guests.iter().enumerate() {
        let (name, id) = (escaped(guest.name), guest.id);
        let _ = writeln!(
            xml,
            "  <SharedServer id=\"{at}\" username=\"{name}\" userID=\"{id}\" allowSync=\"0\">"
        );
        for section in &SECTIONS {
            let (key, title) = (section.key, escaped(section.title));
            let _ = writeln!(
                xml,
                "    <Section id=\"{key}\" key=\"{key}\" title=\"{title}\" shared=\"1\"/>"
            );
        }
        xml.push_str("  </SharedServer>\n");
    }
    xml.push_str("</MediaContainer>\n");
    let kind = [(header::CONTENT_TYPE, "application/xml; charset=utf-8")];
    (kind, xml).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

async fn avatar(Path(hash): Path<String>) -> Response<Body> {
    let number = hash
        .bytes()
        .fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
    drawn(number, Size::AVATAR).await
}

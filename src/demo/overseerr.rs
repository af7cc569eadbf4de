//! The simulated Overseerr: the people of the server, and what they wish for. People can be created
//! and removed. It listens where the Plex server does, below a path of its own.

use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request};
use axum::http::{Response, StatusCode};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::{delete, get};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::arr::{keyed, time};
use super::dice::Dice;
use super::library::Kind;
use super::locked;
use super::pages::Ask;
use super::people::PEOPLE;
use super::plex::{Plex, Shared};
use super::plex_tv::Here;

/// Where it is on the simulator.
pub(super) const PATH: &str = "/overseerr";
/// What clients have to send as `X-Api-Key`.
pub(super) const KEY: &str = "demo-overseerr-key-d94a";
/// A demo may run for weeks.
const MOST_MEMBERS: usize = 1000;
const WISHES: u64 = 120;

/// Somebody who may wish.
#[derive(Clone, Debug)]
struct Member {
    id: u64,
    /// `None`: one of the people of the Plex server, who logs in there.
    local: Option<String>,
    email: String,
}

/// What it remembers: its members, in the order in which they came.
#[derive(Debug)]
pub(super) struct Overseerr(Mutex<Vec<Member>>);

impl Default for Overseerr {
    fn default() -> Self {
        let members = (1..).zip(&PEOPLE).map(|(id, _)| Member {
            id,
            local: None,
            email: format!("member{id}@example.org"),
        });
        Self(Mutex::new(members.collect()))
    }
}

impl Overseerr {
    /// Adds members as somebody else might do meanwhile.
    pub(super) fn add(&self, count: usize) {
        for _ in 0..count {
            let number = locked(&self.0).len() + 1;
            self.create(
                &format!("guest{number}"),
                &format!("guest{number}@example.org"),
            );
        }
    }

    /// The new member, unless there is one with this address.
    fn create(&self, name: &str, email: &str) -> Option<Member> {
        let mut members = locked(&self.0);
        let is_known = members.iter().any(|member| member.email == email);
        if is_known || members.len() >= MOST_MEMBERS {
            return None;
        }
        let member = Member {
            id: members.last().map_or(1, |last| last.id + 1),
            local: Some(name.to_owned()),
            email: email.to_owned(),
        };
        members.push(member.clone());
        drop(members);
        Some(member)
    }

    fn remove(&self, id: u64) -> Option<Member> {
        let mut members = locked(&self.0);
        let at = members.iter().position(|member| member.id == id)?;
        Some(members.remove(at))
    }

    fn members(&self) -> Vec<Member> {
        locked(&self.0).clone()
    }
}

impl Member {
    fn shown(&self, born_at: i64, plex_tv: &str) -> Value {
        let index = usize::try_from(self.id - 1).unwrap_or(usize::MAX);
        let person = PEOPLE.get(index).filter(|_| self.local.is_none());
        let permissions = match self.id {
            1 => 3,
            3 => 2,
            _ => 32,
        };
        let joined = born_at - i64::try_from(400_u64.saturating_sub(self.id)).unwrap_or(0) * 86_400;
        json!({
            "permissions": permissions,
            "requestCount": WISHES / PEOPLE.len() as u64,
            "warnings": [],
            "id": self.id,
            "email": self.email,
            "plexUsername": person.map(|person| person.name),
            "username": self.local,
            "userType": if person.is_some() { 1 } else { 2 },
            "plexId": person.map(|person| person.id),
            // A real one keeps it to itself; the pages look for it.
            "plexToken": (self.id == 1).then_some("demo-token-of-a-member"),
            "avatar": person.map_or_else(
                || "/os_logo_square.png".to_owned(),
                |person| format!("{plex_tv}{}", person.thumb()),
            ),
            "displayName": person.map_or(self.local.as_deref(), |person| Some(person.name)),
            "movieQuotaLimit": null,
            "tvQuotaLimit": null,
            "createdAt": time(joined),
            "updatedAt": time(joined),
        })
    }
}

/// The paths of its API, behind the gate of the server.
pub(super) fn router() -> Router<Arc<Plex>> {
    let behind_the_key = Router::new()
        .route("/api/v1/user", get(list_users).post(create_user))
        .route("/api/v1/user/{id}", delete(delete_user))
        .route("/api/v1/request", get(list_requests))
        .layer(middleware::from_fn(async |request: Request, next: Next| {
            keyed(KEY, request, next).await
        }));
    let status = json!({
        "version": "1.34.0",
        "commitTag": "v1.34.0",
        "updateAvailable": false,
        "commitsBehind": 0,
        "restartRequired": false,
    });
    let status = get(async move || Json(status));
    Router::new().nest(PATH, behind_the_key.route("/api/v1/status", status))
}

async fn list_users(plex: Shared, Here(plex_tv): Here, ask: Ask) -> Response<Body> {
    let born_at = plex.library().born_at;
    let members = plex.overseerr.members();
    page(&ask, &members, |member| member.shown(born_at, &plex_tv))
}

async fn create_user(plex: Shared, Here(plex_tv): Here, body: Bytes) -> Response<Body> {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    if text("email").is_empty() {
        return said(StatusCode::BAD_REQUEST, "email is required");
    }
    if text("password").chars().count() < 8 {
        return said(StatusCode::INTERNAL_SERVER_ERROR, "Password is too short");
    }
    match plex.overseerr.create(text("username"), text("email")) {
        Some(member) => {
            let shown = member.shown(plex.library().born_at, &plex_tv);
            (StatusCode::CREATED, Json(shown)).into_response()
        }
        None => said(
            StatusCode::CONFLICT,
            "User already exists with submitted email.",
        ),
    }
}

async fn delete_user(plex: Shared, Here(plex_tv): Here, Path(id): Path<u64>) -> Response<Body> {
    if id == 1 {
        let owner = "This account cannot be deleted.";
        return said(StatusCode::METHOD_NOT_ALLOWED, owner);
    }
    match plex.overseerr.remove(id) {
        Some(member) => Json(member.shown(plex.library().born_at, &plex_tv)).into_response(),
        None => said(StatusCode::NOT_FOUND, "User not found."),
    }
}

/// Wishes for films and shows, of those who are still there.
async fn list_requests(plex: Shared, Here(plex_tv): Here, ask: Ask) -> Response<Body> {
    let library = plex.library();
    let (films, shows) = (
        library.list(Kind::Movie, None),
        library.list(Kind::Show, None),
    );
    let members = plex.overseerr.members();
    let wish = |number: u64| {
        let mut dice = Dice::new(library.seed, &[number, 80]);
        let by = dice.index(PEOPLE.len()) as u64 + 1;
        let list = if dice.chance(60) { &films } else { &shows };
        let item = *dice.pick(list);
        let by = members.iter().find(|member| member.id == by)?;
        let age = i64::try_from(number).unwrap_or(0) * 37_000;
        let is_film = item.kind == Kind::Movie;
        Some(json!({
            "id": WISHES - number,
            "status": if dice.chance(80) { 2 } else { 1 },
            "type": if is_film { "movie" } else { "tv" },
            "is4k": false,
            "media": {
                "id": item.id,
                "mediaType": if is_film { "movie" } else { "tv" },
                "tmdbId": 9_000_000 + item.id,
                "status": if dice.chance(70) { 5 } else { 3 },
                "ratingKey": item.id.to_string(),
            },
            "seasons": [],
            "createdAt": time(library.born_at - age),
            "updatedAt": time(library.born_at - age),
            "requestedBy": by.shown(library.born_at, &plex_tv),
            "modifiedBy": null,
        }))
    };
    let wishes: Vec<Value> = (0..WISHES).filter_map(wish).collect();
    page(&ask, &wishes, Value::clone)
}

/// The part of `all` that was asked for.
fn page<T>(ask: &Ask, all: &[T], write: impl Fn(&T) -> Value) -> Response<Body> {
    let take = ask.number("take").unwrap_or(10_usize).max(1);
    let skip = ask.number("skip").unwrap_or(0_usize);
    let results: Vec<Value> = all.iter().skip(skip).take(take).map(write).collect();
    Json(json!({
        "pageInfo": {
            "pages": all.len().div_ceil(take),
            "pageSize": take,
            "results": all.len(),
            "page": skip / take + 1,
        },
        "results": results,
    }))
    .into_response()
}

fn said(status: StatusCode, message: &str) -> Response<Body> {
    (status, Json(json!({ "message": message }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_and_go_and_numbers_are_not_used_again() {
        let overseerr = Overseerr::default();
        overseerr.add(2);
        let ids = || overseerr.members().iter().map(|m| m.id).max();
        assert_eq!(ids(), Some(20));
        assert!(overseerr.create("x", "guest19@example.org").is_none());
        assert_eq!(overseerr.create("x", "x@example.org").unwrap().id, 21);
        assert!(overseerr.remove(5).is_some() && overseerr.remove(5).is_none());
        assert_eq!(overseerr.members().len(), 20);
        overseerr.add(5000);
        assert_eq!(overseerr.members().len(), MOST_MEMBERS);
    }
}

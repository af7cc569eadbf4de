//! What an account asks about itself, on `/api/v2`: JSON if the client wants it, else XML.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::super::locked;
use super::super::pages::Ask;
use super::super::plex::Shared;
use super::circle::Account;
use super::pins::refused;
use super::xml::Tag;
use super::{Caller, Here};

pub(super) async fn user(
    Caller(account): Caller,
    here: Here,
    headers: HeaderMap,
) -> Response<Body> {
    let thumb = format!("{}{}", here.0, account.thumb);
    if wants_json(&headers) {
        return Json(json!({
            "id": account.id,
            "uuid": format!("{:016x}", account.id),
            "username": account.username,
            "title": account.title,
            "email": account.email,
            "friendlyName": "",
            "locale": null,
            "confirmed": true,
            "thumb": thumb,
            "authToken": account.token,
            "home": account.home,
            "restricted": account.is_managed(),
            "subscription": { "active": true, "status": "Active", "plan": "lifetime" },
        }))
        .into_response();
    }
    let subscription = Tag::new("subscription")
        .flag("active", true)
        .with("status", "Active");
    let user = Tag::new("user")
        .with("id", account.id)
        .with("uuid", format!("{:016x}", account.id))
        .with("username", &account.username)
        .with("title", &account.title)
        .with("email", &account.email)
        .with("thumb", thumb)
        .with("authToken", &account.token)
        .flag("home", account.home)
        .flag("restricted", account.is_managed())
        .holding([subscription]);
    user.answer(StatusCode::OK)
}

/// What others have offered: one entry for each owner.
pub(super) async fn pending(State(plex): Shared, Caller(account): Caller) -> Response<Body> {
    let circle = locked(&plex.plex_tv.circle);
    let server = |id: u64| json!({ "id": id, "name": plex.options.name });
    let shares: Vec<Value> = circle
        .pending(&account)
        .map(|share| server(share.id))
        .collect();
    let owner = circle.owner();
    let invitation = json!({
        "owner": described(owner),
        "sharedServers": shares,
        "sharedSources": [],
    });
    let list: Vec<Value> = Some(invitation)
        .into_iter()
        .filter(|_| !shares.is_empty())
        .collect();
    drop(circle);
    Json(list).into_response()
}

fn described(account: &Account) -> Value {
    json!({
        "id": account.id,
        "uuid": format!("{:016x}", account.id),
        "username": account.username,
        "title": account.title,
        "email": account.email,
        "friendlyName": null,
        "restricted": false,
    })
}

pub(super) async fn accept(
    State(plex): Shared,
    Caller(account): Caller,
    Path(id): Path<u64>,
) -> Response<Body> {
    if locked(&plex.plex_tv.circle).accept(&account, id) {
        Json(json!({ "id": id, "accepted": true })).into_response()
    } else {
        refused(404, 1003, "Shared server not found")
    }
}

/// plex.tv knows Python's spelling only.
pub(super) async fn sync_view_state(
    State(plex): Shared,
    Caller(account): Caller,
    ask: Ask,
) -> Response<Body> {
    if ask.value("consent") != Some("True") {
        return refused(400, 1000, "consent is missing");
    }
    locked(&plex.plex_tv.circle).sync(&account);
    StatusCode::NO_CONTENT.into_response()
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/json"))
}

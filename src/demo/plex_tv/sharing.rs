//! What an owner asks and changes: people, shares, the Home. `/api/*` speaks XML whatever the client
//! would like.

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::Value;

use super::super::library::{SECTIONS, Section, find_section};
use super::super::locked;
use super::super::pages::{Ask, error_page};
use super::super::plex::{Plex, Shared};
use super::circle::{Account, Circle, Permissions, Share};
use super::xml::{Tag, container, refusal};
use super::{Here, Owner};

/// plex.tv's numbers for the libraries are other ones than the server's.
const SECTION_IDS: u64 = 118_181_000;

pub(super) async fn people(State(plex): Shared, _: Owner, here: Here) -> Response<Body> {
    let machine = plex.machine_identifier();
    let circle = locked(&plex.plex_tv.circle);
    let people = circle.people();
    let people = people.map(|person| described(&plex, &machine, person, &here.0, &circle));
    let list = container(&machine, people.collect());
    drop(circle);
    list.answer(StatusCode::OK)
}

fn described(plex: &Plex, machine: &str, person: &Account, here: &str, circle: &Circle) -> Tag {
    let shares = circle.shares().iter();
    let shares = shares.filter(|share| share.accepted && share.account == Some(person.id));
    let servers = shares.map(|share| {
        Tag::new("Server")
            .with("id", share.id)
            .with("machineIdentifier", machine)
            .with("name", &plex.options.name)
            .with("numLibraries", share.sections.len())
            .flag("owned", true)
            .flag("pending", false)
    });
    Tag::new("User")
        .with("id", person.id)
        .with("title", &person.title)
        .with("username", &person.username)
        .with("email", &person.email)
        .with("thumb", format!("{here}{}", person.thumb))
        .flag("protected", false)
        .flag("home", person.home)
        .flag("admin", false)
        .flag("guest", false)
        .flag("restricted", person.is_managed())
        .holding(servers)
}

pub(super) async fn server(
    State(plex): Shared,
    _: Owner,
    Path(machine): Path<String>,
) -> Response<Body> {
    if machine != plex.machine_identifier() {
        return error_page(404);
    }
    let sections = SECTIONS.iter().map(|section| {
        described_section(section)
            .with("type", section.kind.name())
            .with("title", section.title)
    });
    let server = Tag::new("Server")
        .with("name", &plex.options.name)
        .with("machineIdentifier", &machine)
        .flag("owned", true)
        .flag("synced", false)
        .holding(sections);
    container(&machine, vec![server]).answer(StatusCode::OK)
}

fn described_section(section: &Section) -> Tag {
    Tag::new("Section")
        .with("id", SECTION_IDS + section.key)
        .with("key", section.key)
}

pub(super) async fn shares(
    State(plex): Shared,
    _: Owner,
    Path(machine): Path<String>,
) -> Response<Body> {
    if machine != plex.machine_identifier() {
        return error_page(404);
    }
    let circle = locked(&plex.plex_tv.circle);
    let shares = circle.shares().iter();
    let shares = shares
        .map(|share| described_share(&circle, share))
        .collect();
    drop(circle);
    container(&machine, shares).answer(StatusCode::OK)
}

fn described_share(circle: &Circle, share: &Share) -> Tag {
    let account = share.account.and_then(|id| circle.by_id(id));
    let tag = Tag::new("SharedServer")
        .with("id", share.id)
        .with(
            "username",
            account.map_or("", |account| account.username.as_str()),
        )
        .with("email", &share.email);
    let tag = match share.account {
        Some(id) => tag.with("userID", id),
        None => tag,
    };
    let sections = SECTIONS.iter().map(|section| {
        described_section(section)
            .with("title", section.title)
            .with("type", section.kind.name())
            .flag("shared", share.sections.contains(&section.key))
    });
    tag.flag("accepted", share.accepted)
        .flag("allowSync", share.permissions.sync)
        .flag("allowCameraUpload", share.permissions.camera_upload)
        .flag("allowChannels", share.permissions.channels)
        .flag("owned", false)
        .holding(sections)
}

pub(super) async fn offer(
    State(plex): Shared,
    _: Owner,
    Path(machine): Path<String>,
    body: Bytes,
) -> Response<Body> {
    let offer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if machine != plex.machine_identifier() || offer["server_id"] != machine.as_str() {
        return error_page(404);
    }
    let shared = &offer["shared_server"];
    let ids = shared["library_section_ids"].as_array();
    let section = |id: &Value| find_section(id.as_u64()?.checked_sub(SECTION_IDS)?);
    let sections: Option<Vec<u64>> = ids
        .into_iter()
        .flatten()
        .map(|id| section(id).map(|section| section.key))
        .collect();
    let (Some(sections), Some(email)) = (sections, shared["invited_email"].as_str()) else {
        return refusal(StatusCode::BAD_REQUEST, "Invalid invitation");
    };
    let allowed = |name: &str| offer["sharing_settings"][name] == "1";
    let permissions = Permissions {
        sync: allowed("allowSync"),
        camera_upload: allowed("allowCameraUpload"),
        channels: allowed("allowChannels"),
    };
    let mut circle = locked(&plex.plex_tv.circle);
    let made = circle.offer(email, sections, permissions).cloned();
    let made = made.map(|share| container(&machine, vec![described_share(&circle, &share)]));
    drop(circle);
    match made {
        Ok(list) => list.answer(StatusCode::CREATED),
        Err(words) => refusal(StatusCode::UNPROCESSABLE_ENTITY, &words),
    }
}

pub(super) async fn unshare(
    State(plex): Shared,
    _: Owner,
    Path((machine, id)): Path<(String, u64)>,
) -> Response<Body> {
    let is_ours = machine == plex.machine_identifier();
    gone(is_ours && locked(&plex.plex_tv.circle).unshare(id))
}

pub(super) async fn unfriend(State(plex): Shared, _: Owner, Path(id): Path<u64>) -> Response<Body> {
    gone(locked(&plex.plex_tv.circle).unfriend(id))
}

pub(super) async fn invite_home(State(plex): Shared, _: Owner, ask: Ask) -> Response<Body> {
    let Some(email) = ask.value("invitedEmail").filter(|email| !email.is_empty()) else {
        return refusal(StatusCode::BAD_REQUEST, "invitedEmail is missing");
    };
    match locked(&plex.plex_tv.circle).invite_home(email) {
        Ok(()) => Tag::new("User")
            .with("email", email)
            .answer(StatusCode::CREATED),
        Err(words) => refusal(StatusCode::UNPROCESSABLE_ENTITY, &words),
    }
}

pub(super) async fn leave_home(
    State(plex): Shared,
    _: Owner,
    Path(id): Path<u64>,
) -> Response<Body> {
    gone(locked(&plex.plex_tv.circle).leave_home(id))
}

fn gone(was_there: bool) -> Response<Body> {
    if was_there {
        StatusCode::NO_CONTENT.into_response()
    } else {
        error_page(404)
    }
}

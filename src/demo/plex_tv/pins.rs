//! Log-in by PIN.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse;
use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::dice::Dice;
use super::super::locked;
use super::super::pages::Ask;
use super::super::plex::Shared;

/// PINs that are kept, the newest. A demo may run for weeks.
const MOST_KEPT: usize = 1000;
const FIRST_ID: i64 = 1_900_000_001;
/// A strong PIN is valid for so long.
const VALID: Duration = Duration::from_secs(1800);
/// Who confirms a PIN of the demo.
const DEMO_GUEST: &str = "deckhand";

#[derive(Debug)]
struct Pin {
    id: i64,
    code: String,
    client: String,
    product: String,
    made: Instant,
    /// Of whoever has confirmed it.
    token: Option<String>,
}

/// All PINs.
#[derive(Debug, Default)]
pub(super) struct Pins {
    kept: VecDeque<Pin>,
    made: i64,
}

impl Pins {
    fn make(&mut self, client: &str, product: &str) -> &Pin {
        if self.kept.len() == MOST_KEPT {
            self.kept.pop_front();
        }
        let id = FIRST_ID + self.made;
        self.made += 1;
        let code = Dice::new(id.unsigned_abs(), &[0x7069]).hex(25);
        self.kept.push_back(Pin {
            id,
            code,
            client: client.to_owned(),
            product: product.to_owned(),
            made: Instant::now(),
            token: None,
        });
        &self.kept[self.kept.len() - 1]
    }

    fn find(&mut self, id: i64) -> Option<&mut Pin> {
        let mut pins = self.kept.iter_mut();
        pins.find(|pin| pin.id == id && pin.made.elapsed() < VALID)
    }

    /// What its client is told of it. `guest` confirms one that is older than so long.
    fn check(&mut self, id: i64, client: &str, guest: Option<(Duration, String)>) -> Option<Value> {
        let pin = self.find(id).filter(|pin| pin.client == client)?;
        if let Some((after, token)) = guest
            && pin.made.elapsed() >= after
        {
            pin.token.get_or_insert(token);
        }
        Some(described(pin))
    }

    pub(super) fn authorize(&mut self, id: i64, token: String) -> bool {
        let pin = self.find(id);
        pin.map(|pin| pin.token = Some(token)).is_some()
    }

    pub(super) fn expire(&mut self, id: i64) {
        self.kept.retain(|pin| pin.id != id);
    }
}

pub(super) async fn create(State(plex): Shared, headers: HeaderMap, ask: Ask) -> Response<Body> {
    let Some(client) = said(&headers, "X-Plex-Client-Identifier") else {
        return refused(400, 1000, "X-Plex-Client-Identifier is missing");
    };
    if ask.value("strong") != Some("true") {
        return refused(400, 1000, "only strong PINs are simulated");
    }
    let product = said(&headers, "X-Plex-Product").unwrap_or_default();
    let mut pins = locked(&plex.plex_tv.pins);
    let pin = described(pins.make(client, product));
    drop(pins);
    (StatusCode::CREATED, Json(pin)).into_response()
}

pub(super) async fn check(
    State(plex): Shared,
    Path(id): Path<i64>,
    headers: HeaderMap,
) -> Response<Body> {
    let client = said(&headers, "X-Plex-Client-Identifier").unwrap_or_default();
    let guest = plex.options.pins_confirm_after.map(|after| {
        let mut circle = locked(&plex.plex_tv.circle);
        (after, circle.called(DEMO_GUEST).token.clone())
    });
    let pin = locked(&plex.plex_tv.pins).check(id, client, guest);
    pin.map_or_else(
        || refused(404, 1020, "Code not found or expired"),
        |pin| Json(pin).into_response(),
    )
}

fn said<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value).filter(|value| !value.is_empty())
}

fn described(pin: &Pin) -> Value {
    let left = VALID.saturating_sub(pin.made.elapsed());
    let expires = Utc::now() + TimeDelta::from_std(left).unwrap_or_default();
    json!({
        "id": pin.id,
        "code": pin.code,
        "product": pin.product,
        "trusted": false,
        "clientIdentifier": pin.client,
        "expiresIn": left.as_secs(),
        "expiresAt": expires.to_rfc3339_opts(SecondsFormat::Secs, true),
        "authToken": pin.token,
        "newRegistration": null,
    })
}

/// As `/api/v2` refuses.
pub(super) fn refused(status: u16, code: u32, message: &str) -> Response<Body> {
    let error = json!({ "code": code, "message": message, "status": status });
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_IMPLEMENTED);
    (status, Json(json!({ "errors": [error] }))).into_response()
}

/// Whether plex.tv is there.
pub(super) async fn ping() -> Response<Body> {
    Json(json!({ "pong": true })).into_response()
}

//! Asking all servers the same, and writing down what they have answered.

use std::collections::HashSet;
use std::time::Duration;

use axum::response::Response;
use futures_util::future::join_all;
use serde::{Serialize, Serializer};
use tokio::time::timeout;

use super::super::outside::CallError;
use super::super::upstream::{Answer, Failure, Key, Upstream, is_whole, json, made};
use crate::app::AppState;
use crate::settings::ArrInstance;
use crate::web::error::{ApiError, ApiResult};

/// For a call (contract 05, section 1) …
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// … but nobody waits longer than this: a browser has six connections, and the other servers'
/// answers are there. A later one finds what the call has brought since.
const PATIENCE: Duration = Duration::from_secs(10);

/// The configured servers in their order, and what became of asking them.
pub(super) struct Servers(Vec<Server>);

/// One of them.
pub(super) struct Server {
    /// Its own, or one that was made up because another one has that.
    id: String,
    pub(super) instance: ArrInstance,
    /// What it says, with status 200; or else what is wrong, for people.
    pub(super) answer: Result<Answer, String>,
}

/// Something for each server, by its id.
pub(super) struct ById<'a, T>(Vec<(&'a str, T)>);

/// Asks every configured server for the path and with the query that `question` gives for one of its
/// kind.
pub(super) async fn ask_all<'q>(
    app: &AppState,
    question: impl Fn(&str) -> (&'static str, Vec<(&'q str, &'q str)>),
) -> Servers {
    let settings = app.settings.current();
    let instances = settings.integrations.arr.as_deref().unwrap_or_default();
    let ids = distinct(instances.iter().map(|instance| &*instance.id).collect());
    let servers = instances.iter().zip(ids).map(|(instance, id)| {
        let (path, query) = question(&instance.kind);
        async move {
            Server {
                id,
                answer: ask(app, instance, path, &query).await,
                instance: instance.clone(),
            }
        }
    });
    Servers(join_all(servers).await)
}

async fn ask(
    app: &AppState,
    instance: &ArrInstance,
    path: &str,
    query: &[(&str, &str)],
) -> Result<Answer, String> {
    if !is_enabled(instance) {
        return Err("Service not configured".to_owned());
    }
    let upstream = Upstream {
        name: instance.name.clone(),
        url: instance.url.clone(),
        key: Key::Header("X-Api-Key", instance.api_key.clone()),
        limit: CALL_LIMIT,
    };
    let answer = timeout(PATIENCE, upstream.get(app, path, query)).await;
    match answer.unwrap_or(Err(CallError::Timeout.into())) {
        Ok(answer) if answer.status == 200 => Ok(answer),
        Ok(answer) => Err(format!("API returned status {}", answer.status)),
        Err(Failure::Call(CallError::Timeout)) => Err("Request timeout".to_owned()),
        Err(failure) => Err(failure.to_string()),
    }
}

fn is_enabled(instance: &ArrInstance) -> bool {
    is_whole(&instance.url, &instance.api_key)
}

/// The same ids, but for the second and further ones of a kind, which get a number: a map has one
/// place for each, and in 3.3.0 the last server took it (contract 08, item 111).
fn distinct(ids: Vec<&str>) -> Vec<String> {
    let mut known: HashSet<String> = ids.iter().copied().map(str::to_owned).collect();
    let mut seen = HashSet::new();
    let distinct = ids.into_iter().map(|id| {
        if seen.insert(id) {
            return id.to_owned();
        }
        let mut number = 2;
        while !known.insert(format!("{id}-{number}")) {
            number += 1;
        }
        format!("{id}-{number}")
    });
    distinct.collect()
}

/// The response with the JSON that `write` makes of what the servers have said. Long lists are
/// looked through on a thread where that holds nobody up.
pub(super) async fn written(
    servers: Servers,
    write: impl FnOnce(&Servers) -> serde_json::Result<Vec<u8>> + Send + 'static,
) -> ApiResult<Response> {
    let body = made(servers.length(), move || write(&servers)).await?;
    body.map(json)
        .map_err(|error| ApiError::internal("Internal Server Error", error))
}

impl Servers {
    /// What `shape` makes of each server, by its id.
    pub(super) fn map<'a, T>(&'a self, shape: impl Fn(&'a Server) -> T) -> ById<'a, T> {
        ById(self.0.iter().map(|one| (&*one.id, shape(one))).collect())
    }

    fn length(&self) -> usize {
        let answers = self.0.iter().filter_map(|one| one.answer.as_ref().ok());
        answers.map(|answer| answer.body.len()).sum()
    }
}

impl Server {
    /// Whether it has an address and a key.
    pub(super) fn is_enabled(&self) -> bool {
        is_enabled(&self.instance)
    }
}

impl<T> ById<'_, T> {
    /// What there is, without the ids.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }
}

impl<T: Serialize> Serialize for ById<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(id, value)| (id, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_server_hides_another_one() {
        let ids = |ids: &[&str]| distinct(ids.to_vec());
        assert_eq!(ids(&["b", "a"]), ["b", "a"]);
        assert_eq!(
            ids(&["a", "a", "a-2", "", "a", ""]),
            ["a", "a-3", "a-2", "", "a-4", "-2"]
        );
    }
}

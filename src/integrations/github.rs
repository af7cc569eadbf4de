//! What GitHub says of the releases, asked for at most every 15 minutes however many pages are
//! opened: without a token it answers 60 questions an hour.
//!
//! These caches are not among those of `GET /api/plex/cache/stats`, which are about Plex: clearing
//! those asks nothing of GitHub.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::outside::Reply;
use crate::app::AppState;
use crate::cache::{self, CacheAdmin as _, CacheEntry, Cached, FetchError, Fetched, Origin};
use crate::cache::{Policy, SharedError};
use crate::settings::GithubSettings;

/// The text of a failure that a list of releases shows (contract 02, section 10).
pub(super) const NOT_FETCHED: &str = "Failed to fetch releases from GitHub";
/// The same for an answer that makes no sense.
pub(super) const NOT_UNDERSTOOD: &str = "Error processing releases";

const RELEASES: &str = "/repos/cyb3rgh05t/komandorr/releases";
/// For the newest release, and for the list (contract 02, section 10).
const LATEST_TIMEOUT: Duration = Duration::from_secs(5);
const LIST_TIMEOUT: Duration = Duration::from_secs(10);
/// Thirty releases with long notes have some hundred KiB.
const LARGEST: usize = 4 * 1024 * 1024;
/// The frontend shows so many.
const SHOWN: usize = 10;
/// Who is refused, for asking too often or with a wrong token, is refused again at once.
const AFTER_REFUSAL: Duration = Duration::from_secs(15 * 60);
/// A way that is broken may be whole again soon.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// Old news are better than none, and nobody waits for newer ones.
const POLICY: Policy = Policy {
    ttl: Duration::from_secs(15 * 60),
    max_stale: Duration::from_secs(7 * 24 * 3600),
    max_wait: Duration::ZERO,
};

static LATEST: Mutex<CacheEntry<String>> = Mutex::new(CacheEntry::new("github_latest", POLICY));
static LIST: Mutex<CacheEntry<Vec<Release>>> =
    Mutex::new(CacheEntry::new("github_releases", POLICY));
/// Where was asked last, and with which token.
static ASKED: Mutex<Option<GithubSettings>> = Mutex::new(None);

/// A published release.
#[derive(Clone, Debug, PartialEq, Deserialize, serde::Serialize)]
pub(super) struct Release {
    #[serde(rename = "tag_name")]
    pub(super) tag: String,
    pub(super) html_url: String,
    #[serde(default)]
    pub(super) prerelease: bool,
    pub(super) published_at: String,
}

impl Release {
    /// Whole days since it was published.
    pub(super) fn days_ago(&self, now: DateTime<Utc>) -> Option<i64> {
        let published = DateTime::parse_from_rfc3339(&self.published_at).ok()?;
        Some((now - published.to_utc()).num_days())
    }
}

/// The tag of the newest release, without the `v`s before it.
pub(super) async fn latest(app: &AppState) -> Result<Cached<String>, SharedError> {
    notice_other_settings(app);
    cache::read(&LATEST, || (Origin::LOCAL, fetch_latest(app.clone()))).await
}

/// The newest releases that are complete, at most ten.
pub(super) async fn releases(app: &AppState) -> Result<Cached<Vec<Release>>, SharedError> {
    notice_other_settings(app);
    cache::read(&LIST, || (Origin::LOCAL, fetch_list(app.clone()))).await
}

/// A new token may be tried at once, whatever became of the old one.
fn notice_other_settings(app: &AppState) {
    let settings = app.settings.current();
    let now = &settings.integrations.github;
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    if asked.as_ref() == Some(now) {
        return;
    }
    *asked = Some(now.clone());
    drop(asked);
    LATEST.forgive();
    LIST.forgive();
}

async fn fetch_latest(app: AppState) -> Result<Fetched<String>, FetchError> {
    let path = format!("{RELEASES}/latest");
    let fetched = async {
        let reply = ask(&app, &path, LATEST_TIMEOUT).await?;
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let tag = answer["tag_name"].as_str().unwrap_or_default();
        match tag.trim_start_matches('v') {
            "" => Err(later(NOT_UNDERSTOOD, AFTER_FAILURE)),
            version => Ok(Fetched::Whole(version.to_owned())),
        }
    };
    let fetched: Result<_, FetchError> = fetched.await;
    fetched.inspect_err(|error| tracing::warn!("Could not check for updates: {error}"))
}

async fn fetch_list(app: AppState) -> Result<Fetched<Vec<Release>>, FetchError> {
    let fetched = async {
        let reply = ask(&app, RELEASES, LIST_TIMEOUT).await?;
        let releases = read_list(&reply.body);
        releases.ok_or_else(|| later(NOT_UNDERSTOOD, AFTER_FAILURE))
    };
    let fetched = fetched.await.map(Fetched::Whole);
    fetched.inspect_err(|error| tracing::warn!("Could not list the releases: {error}"))
}

/// What can't be read, or has not been published, costs itself only.
fn read_list(body: &[u8]) -> Option<Vec<Release>> {
    let list: Vec<Value> = serde_json::from_slice(body).ok()?;
    let releases = list
        .into_iter()
        .filter_map(|release| serde_json::from_value(release).ok());
    let dated = releases.filter(|release: &Release| release.days_ago(Utc::now()).is_some());
    Some(dated.take(SHOWN).collect())
}

async fn ask(app: &AppState, path: &str, limit: Duration) -> Result<Reply, FetchError> {
    let settings = app.settings.current();
    let github = &settings.integrations.github;
    let url = format!("{}{path}", github.api_url.as_str().trim_end_matches('/'));
    let mut request = app.outside.client().get(url);
    request = request.header("accept", "application/vnd.github+json");
    let token = github.token.expose();
    if !token.is_empty() {
        request = request.header("authorization", format!("token {token}"));
    }
    let reply = app.outside.call(request, limit, LARGEST).await;
    let reply = reply.map_err(|error| {
        tracing::debug!("GitHub: {error}");
        later(NOT_FETCHED, AFTER_FAILURE)
    })?;
    if reply.status == 200 {
        return Ok(reply);
    }
    tracing::debug!("GitHub answered {}", reply.status);
    let own = if reply.status < 500 {
        AFTER_REFUSAL
    } else {
        AFTER_FAILURE
    };
    let asked = reply.retry_after.unwrap_or_default();
    Err(later(NOT_FETCHED, own.max(asked)))
}

fn later(message: &str, wait: Duration) -> FetchError {
    FetchError {
        retry_after: Some(wait),
        ..FetchError::new(message)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::time::Instant;

    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;
    use crate::cache::Freshness;
    use crate::demo::{Fault, Options, Simulator};
    use crate::settings::Environment;

    fn release(tag: &str) -> Value {
        json!({"tag_name": tag, "html_url": "https://github.example/1", "prerelease": true,
               "published_at": "2026-01-02T03:04:05Z", "body": "much text"})
    }

    #[test]
    fn what_is_incomplete_is_left_out_and_ten_are_kept() {
        let mut list: Vec<Value> = (0..12).map(|n| release(&format!("v{n}"))).collect();
        for (key, value) in [
            ("tag_name", Value::Null),
            ("html_url", json!(7)),
            ("published_at", Value::Null),
            ("published_at", json!("yesterday")),
        ] {
            let mut broken = release("broken");
            broken[key] = value;
            list.insert(0, broken);
        }
        list.insert(0, json!("no release"));
        list[5].as_object_mut().unwrap().remove("prerelease");
        let read = read_list(&serde_json::to_vec(&list).unwrap()).unwrap();
        let tags: Vec<&str> = read.iter().map(|release| release.tag.as_str()).collect();
        assert_eq!(
            tags,
            ["v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9"]
        );
        assert!(!read[0].prerelease && read[1].prerelease);

        for body in ["{}", "null", "<html>", "[1", ""] {
            assert_eq!(read_list(body.as_bytes()), None, "{body}");
        }
        assert_eq!(read_list(b"[]"), Some(Vec::new()));
    }

    #[test]
    fn days_are_whole_ones() {
        let release: Release = serde_json::from_value(release("v1")).unwrap();
        let published = DateTime::parse_from_rfc3339("2026-01-02T03:04:05Z").unwrap();
        let after = |hours| release.days_ago(published.to_utc() + TimeDelta::hours(hours));
        assert_eq!(after(0), Some(0));
        assert_eq!(after(23), Some(0));
        assert_eq!(after(24), Some(1));
        assert_eq!(after(24 * 400 + 1), Some(400));
    }
    /// Lets time pass without anything that waits for the network taking it for a time-out.
    async fn pass(minutes: u64) {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(minutes * 60)).await;
        tokio::time::resume();
    }

    async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
        for _ in 0..2000 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("in vain");
    }

    #[tokio::test]
    async fn an_old_answer_is_given_at_once_and_github_is_left_alone() {
        let github = Simulator::start(Options::default()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let env = Environment::from_pairs([("GITHUB_API_URL", github.url().as_str())]);
        let app = AppState::for_test(directory.path(), env).await;
        let path = format!("{RELEASES}/latest");
        let known = async || latest(&app).await.unwrap();
        assert_eq!(known().await.stored.value, "3.3.1");
        pass(14).await;
        assert_eq!(known().await.freshness, Freshness::Fresh);
        assert_eq!(github.calls(&path), 1);

        github.set_fault(&path, Fault::Hang);
        pass(2).await;
        let asked = Instant::now();
        let old = known().await;
        assert!(asked.elapsed() < Duration::from_secs(2), "nobody waits");
        assert_eq!(old.stored.value, "3.3.1");
        assert!(matches!(old.freshness, Freshness::Stale { .. }));
        until(async || github.calls(&path) == 2).await;
        // It is not waited for, and ends by its own deadline.
        pass(1).await;
        until(async || !LATEST.fetching()).await;

        github.set_fault(&path, Fault::Status(403));
        pass(2).await;
        known().await;
        until(async || github.calls(&path) == 3 && !LATEST.fetching()).await;
        pass(14).await;
        assert_eq!(known().await.stored.value, "3.3.1");
        assert!(!LATEST.fetching(), "a refusal counts for 15 minutes");

        github.clear_faults();
        pass(2).await;
        known().await;
        until(async || known().await.freshness == Freshness::Fresh).await;
        assert_eq!(github.calls(&path), 4);
    }
}

//! How much the Plex server holds: users, films, shows, seasons, episodes.
//!
//! Counting costs Plex one call per library, so a library is counted again only when its
//! `contentChangedAt` has moved. A total is whole or it is an error: whoever asks keeps the last
//! good one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, TryFutureExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::api::Content;
use super::error::PlexError;
use super::libraries::{self, Kind, Library};
use super::moment::{Moment, from_plex};
use super::server::PlexServer;
use super::sharing::{Need, Sharing};
use super::users;
use crate::cache::{self, CacheEntry, FetchError, Fetched, Origin, Policy};

/// Counts that run at a time; more would wait for each other.
pub(super) const AT_ONCE: usize = 2;
/// The number of users changes rarely, and nothing tells when.
const USERS_TTL: Duration = Duration::from_secs(300);
/// A count that belongs to an unchanged library stays true; for how long others may take it.
const COUNT_SHARED: Duration = Duration::from_secs(3600);

/// What every answer needs.
pub(super) const TITLES: &[Content] = &[Content::Titles];
/// What the live statistics need.
pub(super) const TITLES_AND_EPISODES: &[Content] = &[Content::Titles, Content::Episodes];
/// What the dashboard needs.
pub(super) const ALL: &[Content] = &[Content::Titles, Content::Seasons, Content::Episodes];

/// The number of accounts, the local one included.
pub(super) static USERS: Mutex<CacheEntry<u64>> = Mutex::new(CacheEntry::new(
    "plex_accounts",
    Policy {
        ttl: USERS_TTL,
        max_stale: USERS_TTL,
        max_wait: Duration::ZERO,
    },
));

/// The name that other instances know [`USERS`] by.
pub(super) static SHARING: Sharing = Sharing {
    name: "plex:accounts",
    policy: users::policy,
};

static MEMO: Mutex<Option<Memo>> = Mutex::new(None);
/// How many memos there have been.
static MEMOS: AtomicU64 = AtomicU64::new(0);

/// What a server holds. What was not asked for is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub users: u64,
    pub movies: u64,
    pub tv_shows: u64,
    pub seasons: u64,
    pub episodes: u64,
}

/// The counts of one server's libraries, by key and content, each with the `contentChangedAt`
/// that it belongs to.
struct Memo {
    origin: Origin,
    /// Which memo this is: what a count brings that began before a clearing is not for the memo
    /// after it.
    number: u64,
    counts: HashMap<(String, Content), (String, u64)>,
}

impl Memo {
    fn find(&self, library: &Library, content: Content) -> Option<u64> {
        let (changed_at, count) = self.counts.get(&(library.key.clone(), content))?;
        (library.content_changed_at.as_ref() == Some(changed_at)).then_some(*count)
    }
}

impl Totals {
    fn add(&mut self, kind: Option<Kind>, content: Content, count: u64) {
        let total = match (kind, content) {
            (Some(Kind::Movie), _) => &mut self.movies,
            (Some(Kind::Show), Content::Titles) => &mut self.tv_shows,
            (Some(Kind::Show), Content::Seasons) => &mut self.seasons,
            (Some(Kind::Show), Content::Episodes) => &mut self.episodes,
            (None, _) => return,
        };
        *total = total.saturating_add(count);
    }
}

/// The whole totals of the server of `now`, from libraries as they were no longer than
/// `oldest` ago.
///
/// # Errors
/// Any part could not be had.
pub(super) async fn totals(
    now: &Moment,
    contents: &'static [Content],
    oldest: Duration,
) -> Result<Totals, FetchError> {
    let (users, totals) = tokio::join!(users(now), media(now, contents, oldest));
    Ok(Totals {
        users: users?,
        ..totals?
    })
}

/// [`totals`] without the users, which nothing tells the change of.
pub(super) async fn media(
    now: &Moment,
    contents: &'static [Content],
    oldest: Duration,
) -> Result<Totals, FetchError> {
    let libraries = libraries::at_most(now, oldest).await.map_err(|error| {
        tracing::warn!("Could not fetch library sections: {error}");
        (*error).clone()
    })?;
    let libraries = &libraries.stored.value;
    let memo = memo_of(Origin(now.revision()), libraries);
    let count = |library: Library, content| async move {
        if let Some(count) = remembered(memo, &library, content) {
            return Ok(count);
        }
        let count = count_shared(now, &library, content).await?;
        remember(memo, &library, content, count);
        Ok(count)
    };
    sum(libraries, contents, count).await
}

/// As another instance has counted, if nothing has changed since; else as Plex does.
async fn count_shared(
    now: &Moment,
    library: &Library,
    content: Content,
) -> Result<u64, FetchError> {
    let count = Box::pin(async {
        let count = now.server().count(&library.key, content).await;
        let count = count.inspect_err(|error| {
            tracing::warn!("Could not fetch {}: {error}", what(library));
        })?;
        Ok(Fetched::Whole(count))
    });
    let changed_at = library.content_changed_at.as_deref().unwrap_or_default();
    let words = [library.key.as_str(), content.name(), changed_at];
    now.shared_part("count", &words, COUNT_SHARED, count)
        .await
        .map(Fetched::into_value)
}

/// Counts all films and shows among `libraries`, some at a time; the first failure ends it.
pub(super) async fn sum<F, E>(
    libraries: &[Library],
    contents: &[Content],
    count: impl Fn(Library, Content) -> F,
) -> Result<Totals, E>
where
    F: Future<Output = Result<u64, E>>,
{
    let mut wanted = Vec::new();
    for library in libraries {
        let contents = match library.kind() {
            Some(Kind::Show) => contents,
            // Films have neither seasons nor episodes.
            Some(Kind::Movie) => TITLES,
            None => continue,
        };
        for content in contents {
            wanted.push((library.clone(), *content));
        }
    }
    let mut counts = stream::iter(wanted)
        .map(|(library, content)| {
            let kind = library.kind();
            count(library, content).map_ok(move |count| (kind, content, count))
        })
        .buffer_unordered(AT_ONCE);
    let mut totals = Totals::default();
    while let Some((kind, content, count)) = counts.try_next().await? {
        totals.add(kind, content, count);
    }
    Ok(totals)
}

/// What is counted of a library, for the log.
pub(super) fn what(library: &Library) -> String {
    let kind = library.kind().map_or("item", Kind::name);
    format!("{kind} count for section {}", library.key)
}

/// How many accounts the server has.
async fn users(now: &Moment) -> Result<u64, FetchError> {
    let fetch = async |now: Moment| Ok(Fetched::Whole(users_of(&now.server()).await?));
    let users = cache::recent(&USERS, USERS_TTL, || {
        from_plex(
            &now.app,
            now.waited.clone(),
            &SHARING,
            Need::Within(USERS_TTL),
            fetch,
        )
    })
    .await;
    let users = users.map_err(|error| {
        tracing::warn!("Could not fetch user count: {error}");
        (*error).clone()
    })?;
    Ok(users.stored.value)
}

/// How many accounts this server has, the local one included.
pub(super) async fn users_of(server: &PlexServer) -> Result<u64, PlexError> {
    Ok(server.accounts().await?.len() as u64)
}

/// Forgets all counts, so that they are made anew.
pub(super) fn forget() {
    *memo() = None;
}

fn memo() -> MutexGuard<'static, Option<Memo>> {
    MEMO.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remembered(number: u64, library: &Library, content: Content) -> Option<u64> {
    memo()
        .as_ref()
        .filter(|memo| memo.number == number)?
        .find(library, content)
}

/// Keeps a count, unless the library can't say when it has changed or the memo is gone.
fn remember(number: u64, library: &Library, content: Content, count: u64) {
    let Some(changed_at) = library.content_changed_at.clone() else {
        return;
    };
    if let Some(memo) = memo().as_mut().filter(|memo| memo.number == number) {
        let key = (library.key.clone(), content);
        memo.counts.insert(key, (changed_at, count));
    }
}

/// The number of the memo for `origin`; 0, which none has, if that is outdated. The counts of
/// libraries that do not exist any more are dropped: that bounds it.
fn memo_of(origin: Origin, libraries: &[Library]) -> u64 {
    let mut memo = memo();
    match memo.as_mut().filter(|memo| memo.origin >= origin) {
        Some(memo) if memo.origin == origin => {
            memo.counts
                .retain(|(key, _), _| libraries.iter().any(|library| library.key == *key));
            memo.number
        }
        Some(_) => 0,
        None => {
            let number = MEMOS.fetch_add(1, Ordering::Relaxed) + 1;
            *memo = Some(Memo {
                origin,
                number,
                counts: HashMap::new(),
            });
            number
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(key: &str, kind: &str, changed_at: Option<&str>) -> Library {
        Library {
            key: key.to_owned(),
            kind: kind.to_owned(),
            title: String::new(),
            content_changed_at: changed_at.map(str::to_owned),
        }
    }

    #[tokio::test]
    async fn each_kind_is_counted_for_what_it_has() {
        let libraries = [
            library("1", "movie", None),
            library("2", "show", None),
            library("3", "artist", None),
            library("4", "show", None),
        ];
        let count = async |library: Library, content| {
            let each = match content {
                Content::Titles => 1,
                Content::Seasons => 10,
                Content::Episodes => 100,
            };
            Ok::<u64, PlexError>(each * library.key.parse::<u64>().unwrap())
        };
        let totals = sum(&libraries, ALL, count).await.unwrap();
        let expected = Totals {
            users: 0,
            movies: 1,
            tv_shows: 6,
            seasons: 60,
            episodes: 600,
        };
        assert_eq!(totals, expected);
        let failing =
            async |library: Library, _| (library.key != "4").then_some(1).ok_or(PlexError::Timeout);
        assert_eq!(
            sum(&libraries, TITLES, failing).await,
            Err(PlexError::Timeout)
        );
    }

    #[test]
    fn counts_are_remembered_until_the_library_changes_or_goes() {
        let (first, second) = (Origin(1_000_001), Origin(1_000_002));
        let films = library("1", "movie", Some("7"));
        let only_films = std::slice::from_ref(&films);
        let memo = memo_of(first, only_films);
        remember(memo, &films, Content::Titles, 48);
        assert_eq!(remembered(memo, &films, Content::Titles), Some(48));
        assert_eq!(memo_of(first, only_films), memo);
        assert_eq!(remembered(memo, &films, Content::Episodes), None);
        let changed = library("1", "movie", Some("8"));
        assert_eq!(remembered(memo, &changed, Content::Titles), None);
        let old_server = library("1", "movie", None);
        remember(memo, &old_server, Content::Seasons, 1);
        assert_eq!(remembered(memo, &old_server, Content::Seasons), None);

        memo_of(first, &[]);
        assert_eq!(remembered(memo, &films, Content::Titles), None);
        let other = memo_of(second, only_films);
        remember(other, &films, Content::Titles, 3);
        // What an overtaken count of the former server brings is not kept.
        assert_eq!(memo_of(first, only_films), 0);
        remember(memo, &films, Content::Titles, 48);
        assert_eq!(remembered(memo, &films, Content::Titles), None);
        assert_eq!(remembered(other, &films, Content::Titles), Some(3));
        // Nor is what a count brings that a clearing has overtaken.
        forget();
        let after = memo_of(second, only_films);
        remember(other, &films, Content::Titles, 48);
        assert_eq!(remembered(after, &films, Content::Titles), None);
    }
}

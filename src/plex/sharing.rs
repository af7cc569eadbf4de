//! How the values of a cache are shared with other instances.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::moment::Moment;
use super::{caches, history_sync, kept, peak, watch_history};
use crate::app::AppState;
use crate::cache::shared::{Heard, Realm, Sought};
use crate::cache::{FetchError, Fetched, Policy, Portable, REFRESH_AT};
use crate::settings::CacheSettings;
use crate::tasks::Tasks;

/// The fetch of another instance is waited for so long; longer than any answer of Plex takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a value is fetched where no other instance has it; boxed, as it is passed on a long way.
pub(super) type Fetch<'a, T> = BoxFuture<'a, Result<Fetched<T>, FetchError>>;

/// One kind of values, under the name that 3.3.0 gives it in Redis, if it does.
pub(super) struct Sharing {
    /// Without the prefix `komandorr:`.
    pub(super) name: &'static str,
    /// The times that govern its cache.
    pub(super) policy: fn(&CacheSettings) -> Policy,
}

/// How new a value of another instance must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Need {
    /// For a reader: within its TTL.
    Fresh,
    /// For the warmer: newer than what it would renew itself.
    Warm,
    /// For what is made from it: not older than this.
    Within(Duration),
    /// For an operator: as of now.
    New,
}

impl Need {
    fn oldest(self, ttl: Duration) -> Option<Duration> {
        match self {
            Self::Fresh => Some(ttl),
            Self::Warm => Some(ttl.mul_f64(REFRESH_AT)),
            Self::Within(oldest) => Some(oldest.min(ttl)),
            Self::New => None,
        }
    }
}

impl Moment {
    /// The instances that ask the same server.
    pub(super) fn realm(&self) -> Realm {
        Realm::new(self.target.base_url.as_str(), self.target.token.expose())
    }

    /// What another instance has fetched, if it is as new as `need` says; else what `fetch`
    /// brings, for all instances.
    pub(super) async fn shared<T: Portable>(
        &self,
        sharing: &Sharing,
        need: Need,
        fetch: Fetch<'_, T>,
    ) -> Result<Fetched<T>, FetchError> {
        let ttl = (sharing.policy)(&self.settings.cache).ttl;
        self.shared_as(sharing.name, ttl, need, PATIENCE, fetch)
            .await
    }

    /// [`Self::shared`] for a part of something larger that is kept for `ttl`: `kind` is what it
    /// is, and `words` say which one. Words of Plex's that can be no part of a key are not shared.
    pub(super) async fn shared_part<T: Portable>(
        &self,
        kind: &str,
        words: &[&str],
        ttl: Duration,
        fetch: Fetch<'_, T>,
    ) -> Result<Fetched<T>, FetchError> {
        let plain = |word: &&str| {
            let mut bytes = word.bytes();
            (1..=64).contains(&word.len()) && bytes.all(|byte| byte.is_ascii_alphanumeric())
        };
        if !words.iter().all(plain) {
            return fetch.await;
        }
        let name = format!("plex:{kind}:{}", words.join(":"));
        self.shared_as(&name, ttl, Need::Fresh, PATIENCE, fetch)
            .await
    }

    /// [`Self::shared`] for what no cache of ours holds. `patience` is for a fetch of another
    /// instance.
    pub(super) async fn shared_as<T: Portable>(
        &self,
        name: &str,
        ttl: Duration,
        need: Need,
        patience: Duration,
        fetch: Fetch<'_, T>,
    ) -> Result<Fetched<T>, FetchError> {
        let shared = &self.app.shared;
        if !shared.is_connected() {
            return fetch.await;
        }
        let sought = Sought {
            name,
            realm: self.realm(),
            ttl,
            oldest: need.oldest(ttl),
            patience,
            waited: self.waited.clone(),
        };
        shared.obtain(sought, fetch).await
    }

    /// Lets other instances have `value`, which is newer than what they have or are fetching.
    pub(super) async fn share<T: Portable>(&self, sharing: &Sharing, value: &T) {
        let ttl = (sharing.policy)(&self.settings.cache).ttl;
        if let Some(json) = value.to_json().filter(|_| !ttl.is_zero()) {
            let shared = &self.app.shared;
            shared.give(sharing.name, &self.realm(), ttl, &json).await;
        }
    }

    /// [`Self::share`], and whatever they have of this name is not true any more.
    pub(super) async fn replace<T: Portable>(&self, sharing: &Sharing, value: &T) {
        self.share(sharing, value).await;
        self.app.shared.replaced(sharing.name).await;
    }
}

/// Stays in touch with the other instances, if there may be some.
pub fn share_caches(app: &AppState, tasks: &Tasks) {
    caches::adopt_server(app);
    let hearing = app.clone();
    let heard = move |heard| hear(&hearing, heard);
    app.shared.keep(tasks, heard);
}

/// What another instance has done.
fn hear(app: &AppState, heard: Heard) {
    match heard {
        Heard::Cleared => {
            tracing::info!("All caches cleared by another instance");
            app.shared.forget_counts();
            caches::clear();
            let app = app.clone();
            tokio::spawn(async move { kept::forget_answers(&app).await });
        }
        Heard::Expired => caches::expire_all(),
        Heard::Replaced { name } => {
            if name == watch_history::SHARING.name {
                history_sync::fall_behind();
            }
            caches::expire(&name);
        }
        Heard::Published { name } => caches::forgive(&name),
        Heard::Told { what } => peak::hear(app, &what),
    }
}

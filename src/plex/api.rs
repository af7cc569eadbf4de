//! The endpoints of a Plex Media Server that are used here, one method each (contract 11).

use std::time::Duration;

use serde::Deserialize;

use super::error::PlexError;
use super::server::PlexServer;
use super::wire::{self, RawItem};

/// Pages of the history are slow on servers with much of it.
const HISTORY_TIMEOUT: Duration = Duration::from_secs(30);

/// `GET /`: the server about itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct About {
    /// The name its owner gave it.
    #[serde(rename = "friendlyName", deserialize_with = "wire::text")]
    pub name: Option<String>,
}

/// `GET /identity`: which server this is, whatever its address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// Unique and lasting.
    #[serde(rename = "machineIdentifier", deserialize_with = "wire::text")]
    pub machine_identifier: Option<String>,
}

/// Somebody who may use the server; id 0 is the local account.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Account {
    /// As text, as the database keeps it.
    #[serde(deserialize_with = "wire::text")]
    pub id: Option<String>,
    /// What they are called.
    #[serde(deserialize_with = "wire::text")]
    pub name: Option<String>,
}

/// What of a library is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// The films of a film library, the shows of a show library.
    Titles,
    /// The seasons of a show library.
    Seasons,
    /// The episodes of a show library.
    Episodes,
}

impl Content {
    /// A word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Titles => "titles",
            Self::Seasons => "seasons",
            Self::Episodes => "episodes",
        }
    }
}

/// One page of the history, newest first.
#[derive(Debug, Default)]
pub struct HistoryPage {
    /// Its entries.
    pub items: Vec<RawItem>,
    /// How many there are in all, if the server said so. It says so only when it has paged.
    pub total: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Activities {
    #[serde(rename = "Activity", deserialize_with = "wire::items")]
    items: Vec<RawItem>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    #[serde(rename = "Metadata", deserialize_with = "wire::items")]
    items: Vec<RawItem>,
    #[serde(rename = "totalSize", deserialize_with = "wire::number")]
    total: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Directories {
    #[serde(rename = "Directory", deserialize_with = "wire::items")]
    items: Vec<RawItem>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Accounts {
    #[serde(rename = "Account", deserialize_with = "wire::items")]
    items: Vec<RawItem>,
}

impl PlexServer {
    /// `GET /`: works with a valid token only, so it proves address and token.
    pub async fn about(&self) -> Result<About, PlexError> {
        self.get("/", &[]).await
    }

    /// `GET /identity`.
    pub async fn identity(&self) -> Result<Identity, PlexError> {
        self.get("/identity", &[]).await
    }

    /// `GET /activities`: scans, downloads, maintenance.
    pub async fn activities(&self) -> Result<Vec<RawItem>, PlexError> {
        Ok(self.get::<Activities>("/activities", &[]).await?.items)
    }

    /// `GET /status/sessions`: what is being played.
    pub async fn sessions(&self) -> Result<Vec<RawItem>, PlexError> {
        Ok(self.get::<Metadata>("/status/sessions", &[]).await?.items)
    }

    /// `GET /accounts`: who may use the server, the local account (id 0) included.
    pub async fn accounts(&self) -> Result<Vec<Account>, PlexError> {
        let list: Accounts = self.get("/accounts", &[]).await?;
        let read = |raw: RawItem| serde_json::from_str(raw.get()).unwrap_or_default();
        Ok(list.items.into_iter().map(read).collect())
    }

    /// `GET /library/sections`: the libraries.
    pub async fn sections(&self) -> Result<Vec<RawItem>, PlexError> {
        Ok(self
            .get::<Directories>("/library/sections", &[])
            .await?
            .items)
    }

    /// How much a library has of something, without fetching any of it.
    ///
    /// # Errors
    /// The call's; an answer without a total is none.
    pub async fn count(&self, section_key: &str, content: Content) -> Result<u64, PlexError> {
        let list = match content {
            Content::Titles | Content::Seasons => "all",
            Content::Episodes => "allLeaves",
        };
        let mut query = paging(0, 0);
        if content == Content::Seasons {
            query.push(("type", "3".to_owned()));
        }
        let path = format!("/library/sections/{}/{list}", segment(section_key));
        let counted: Metadata = self.get_bulk(&path, &borrowed(&query)).await?;
        counted.total.and_then(count).ok_or(PlexError::NotPlex)
    }

    /// `GET /library/sections/{key}/recentlyAdded`: the newest entries of a library.
    pub async fn recently_added(
        &self,
        section_key: &str,
        most: u32,
    ) -> Result<Vec<RawItem>, PlexError> {
        let path = format!("/library/sections/{}/recentlyAdded", segment(section_key));
        let query = paging(0, most);
        let list: Metadata = self.get_bulk(&path, &borrowed(&query)).await?;
        Ok(list.items)
    }

    /// `GET /library/metadata/{id,id,…}`: everything about some entries. Those that do not exist
    /// (any more) are left out; none of them existing is a 404.
    pub async fn metadata(&self, rating_keys: &[&str]) -> Result<Vec<RawItem>, PlexError> {
        let keys: Vec<String> = rating_keys.iter().map(|key| segment(key)).collect();
        let path = format!("/library/metadata/{}", keys.join(","));
        Ok(self.get_bulk::<Metadata>(&path, &[]).await?.items)
    }

    /// As [`Self::metadata`] of one entry, for somebody who waits.
    pub async fn metadata_of(&self, rating_key: &str) -> Result<Vec<RawItem>, PlexError> {
        let path = format!("/library/metadata/{}", segment(rating_key));
        Ok(self.get::<Metadata>(&path, &[]).await?.items)
    }

    /// `GET /status/sessions/history/all`: what was played, newest first; `since` leaves out
    /// what is older than that many seconds after 1970.
    pub async fn history(
        &self,
        start: u64,
        size: u32,
        since: Option<i64>,
    ) -> Result<HistoryPage, PlexError> {
        let mut query = paging(start, size);
        query.push(("sort", "viewedAt:desc".to_owned()));
        if let Some(since) = since {
            query.push(("viewedAt>", since.to_string()));
        }
        let path = "/status/sessions/history/all";
        let page: Metadata = self
            .get_bulk_within(HISTORY_TIMEOUT, path, &borrowed(&query))
            .await?;
        Ok(HistoryPage {
            items: page.items,
            total: page.total.and_then(count),
        })
    }
}

fn paging(start: u64, size: u32) -> Vec<(&'static str, String)> {
    vec![
        ("X-Plex-Container-Start", start.to_string()),
        ("X-Plex-Container-Size", size.to_string()),
    ]
}

fn borrowed<'a>(query: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    query
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

/// A key as one segment of a path: what Plex sends is digits, what else claims to be one must not
/// lead elsewhere.
fn segment(key: &str) -> String {
    percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn count(number: f64) -> Option<u64> {
    wire::whole(number).and_then(|count| u64::try_from(count).ok())
}

//! The libraries of the Plex server: films, shows, music, each with its key.

use serde::Deserialize;

use super::wire;

/// A library of the server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Section {
    /// Identifies it in paths.
    #[serde(deserialize_with = "wire::text")]
    pub key: Option<String>,
    /// `movie`, `show`, `artist`, `photo`.
    #[serde(rename = "type", deserialize_with = "wire::text")]
    pub kind: Option<String>,
}

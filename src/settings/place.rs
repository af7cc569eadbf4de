//! Where a server is.

use std::path::PathBuf;

use super::{Environment, Overrides, SettingsError};

const PORT: &str = "a port number, 0 to 65535";

/// Where a server is: what must be known before, or without, `config.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Address or name to listen on.
    pub host: String,
    /// Port to listen on.
    pub port: u16,
    /// Where `config.json` is.
    pub data_dir: PathBuf,
}

impl Place {
    /// From command line and environment.
    ///
    /// # Errors
    /// A port that is none.
    pub fn of(env: &Environment, overrides: &Overrides) -> Result<Self, SettingsError> {
        let data_dir = overrides.data_dir.clone();
        Ok(Self {
            host: overrides
                .host
                .clone()
                .unwrap_or_else(|| env.text("HOST").to_owned()),
            port: match overrides.port {
                Some(port) => port,
                None if env.get("APP_PORT").is_some() => env.parsed("APP_PORT", PORT)?,
                None => env.parsed("PORT", PORT)?,
            },
            data_dir: data_dir.unwrap_or_else(|| env.text("DATA_DIR").into()),
        })
    }
}

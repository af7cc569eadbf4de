//! `komandorr check`: what is in force, where it comes from, and can the database and Redis be
//! used, does Plex answer?

use std::io::Write;
use std::time::Duration;

use anyhow::{anyhow, bail};

use crate::cache::shared::Shared;
use crate::plex::PlexClient;
use crate::settings::{RedisSettings, Settings, SettingsStore};
use crate::store::{self, Condition};

/// Redis has so long to show that it can be used.
const LONGEST_TRIAL: Duration = Duration::from_secs(3);

/// Writes a report. The settings themselves have been checked by then: a server would start.
///
/// # Errors
/// The database can't be used; Redis is wanted and can't be used, or a Plex server is configured
/// and does not answer; or the report can't be written.
pub async fn run(settings: &SettingsStore, out: &mut impl Write) -> anyhow::Result<()> {
    for one in settings.describe().await {
        writeln!(out, "{:<27} {:<13} {}", one.name, one.source, one.value)?;
    }
    let now = settings.current();
    writeln!(out)?;
    for warning in &now.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let database = now.data_dir.join(store::FILE_NAME);
    let condition = store::condition(&now.data_dir).await;
    let state = condition.map_err(|error| anyhow!("database: {error}"))?;
    writeln!(out, "Database: {}: {}", database.display(), told(state))?;
    // One that fails does not hide the other.
    let mut failures = Vec::new();
    for verdict in [redis(&now.redis).await, plex(&now).await] {
        match verdict {
            Ok(line) => writeln!(out, "{line}")?,
            Err(error) => failures.push(error.to_string()),
        }
    }
    if !failures.is_empty() {
        bail!(failures.join("; "));
    }
    Ok(())
}

async fn redis(settings: &RedisSettings) -> anyhow::Result<String> {
    if !settings.enabled {
        return Ok("Redis: not enabled".to_owned());
    }
    let tried = Shared::try_out(settings, LONGEST_TRIAL).await;
    tried.map_err(|trouble| anyhow!("Redis: {}: {trouble}", settings.place))?;
    Ok(format!("Redis: {}: answers", settings.place))
}

async fn plex(settings: &Settings) -> anyhow::Result<String> {
    let Some(target) = &settings.plex else {
        return Ok("Plex: not configured".to_owned());
    };
    let client = PlexClient::new(settings.plex_client)?;
    let about = client.server(target).about().await;
    let about = about.map_err(|error| anyhow!("Plex: {error}"))?;
    let name = about.name.as_deref().unwrap_or("a server without a name");
    Ok(format!("Plex: {name} answers"))
}

const fn told(condition: Condition) -> &'static str {
    match condition {
        Condition::Missing => "missing, will be created",
        Condition::Empty => "empty, tables will be created",
        Condition::Interrupted => "a write was interrupted, which the next start will undo",
        Condition::Foreign => "of 3.3.0 or older, will be copied and adopted",
        Condition::Ours => "readable",
    }
}

//! `komandorr check`: what is in force, where it comes from, and can the database be used, does
//! Plex answer?

use std::io::Write;

use anyhow::bail;

use crate::plex::PlexClient;
use crate::settings::SettingsStore;
use crate::store::{self, Condition};

/// Writes a report. The settings themselves have been checked by then: a server would start.
///
/// # Errors
/// The database can't be used, a Plex server is configured and does not answer, or the report
/// can't be written.
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
    let state = condition.map_err(|error| anyhow::anyhow!("database: {error}"))?;
    writeln!(out, "Database: {}: {}", database.display(), told(state))?;
    let Some(target) = &now.plex else {
        writeln!(out, "Plex: not configured")?;
        return Ok(());
    };
    let client = PlexClient::new(now.plex_client)?;
    match client.server(target).about().await {
        Ok(about) => {
            let name = about.name.as_deref().unwrap_or("a server without a name");
            writeln!(out, "Plex: {name} answers")?;
            Ok(())
        }
        Err(error) => bail!("Plex: {error}"),
    }
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

//! `komandorr backup`: a copy of the database that is whole, while a server uses it or not.

use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::settings::{Environment, Overrides, Place};
use crate::store;

/// Copies the database in the data directory to `target` and says what was copied. Of the settings
/// only the place of that directory matters, so `config.json` is not read.
///
/// # Errors
/// There is no database, it can't be read, `target` exists or can't be made.
pub async fn run(
    env: &Environment,
    overrides: &Overrides,
    target: &Path,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let data_dir = &Place::of(env, overrides)?.data_dir;
    let database = data_dir.join(store::FILE_NAME);
    if !database.exists() {
        bail!("{}: there is no database", database.display());
    }
    let copied = store::back_up(data_dir, target).await.with_context(|| {
        let (from, to) = (database.display(), target.display());
        format!("can't back up {from} to {to}")
    })?;
    writeln!(
        out,
        "{}: {} bytes, {} rows",
        target.display(),
        copied.bytes,
        copied.rows
    )?;
    Ok(())
}

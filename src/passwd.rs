//! `komandorr passwd`: a new password, or the old form of it for version 3.3.0.

use std::io::{self, IsTerminal as _, Write};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

use crate::access::password;
use crate::settings::{Secret, SettingsStore};

/// The new password: typed twice, unseen, or the first line of what is piped in.
///
/// # Errors
/// There is none, or the two differ.
pub fn ask() -> anyhow::Result<Secret> {
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        return Ok(Secret::new(line.trim_end_matches(['\r', '\n'])));
    }
    let new = rpassword::prompt_password("New password: ")?;
    if rpassword::prompt_password("Once more: ")? != new {
        bail!("the two are not the same: nothing is changed");
    }
    Ok(Secret::new(new))
}

/// Stores `new` in `config.json`, hashed or in clear, and says so.
///
/// # Errors
/// It can't be a password, or the file can't be written.
pub async fn run(
    settings: &SettingsStore,
    new: &Secret,
    plaintext: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let now = settings.current();
    password::check_password(new.expose()).map_err(|why| anyhow::anyhow!("{why}"))?;
    let stored = if plaintext || now.access.plaintext_passwords {
        new.clone()
    } else {
        Secret::new(password::hash(new.expose()).context("hashing failed")?)
    };
    // This key alone: whether log-in is on, and for whom, the server may know from an environment
    // that is not ours.
    let change = |auth: &mut Map<String, Value>| {
        auth.insert("password".to_owned(), stored.expose().into());
    };
    settings.save_section("auth", change).await?;
    writeln!(out, "The password is changed.")?;
    Ok(())
}

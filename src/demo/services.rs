//! The services of the demonstration: some that are well, some that are not, all on loopback.

use std::path::Path;

use super::{agents, invites};
use crate::store::Store;

/// Identifier, name, kind, group, description and address; `{plex}` is the simulated server.
const SERVICES: [[&str; 6]; 7] = [
    [
        "2f8d6a4e-0b57-4c1e-9a53-6c1f5d9e0a01",
        "Demo Plex",
        "server",
        "Media",
        "Films, shows and music that nobody has made",
        "{plex}/identity",
    ],
    [
        "2f8d6a4e-0b57-4c1e-9a53-6c1f5d9e0a02",
        "Recipe box",
        "app",
        "Home",
        "Soups, mostly",
        "{plex}/identity?recipes",
    ],
    [
        "2f8d6a4e-0b57-4c1e-9a53-6c1f5d9e0a03",
        "Garden club",
        "website",
        "Home",
        "Opening hours of the compost heap",
        "{plex}/identity?garden",
    ],
    [
        "2f8d6a4e-0b57-4c1e-9a53-6c1f5d9e0a04",
        "Photo archive",
        "panel",
        "Media",
        "Lost its index page",
        "{plex}/photos",
    ],
    [
        "2f8d6a4e-0b57-4c1e-9a53-6c1f5d9e0a05",
        "Attic backup",
        "server",
        "Home",
        "Switched off until winter",
        // Nobody listens on the port of the discard protocol.
        "http://127.0.0.1:9/",
    ],
    [
        agents::NORDLICHT,
        "Nordlicht",
        "server",
        "Machines",
        "Keeps the films",
        "{plex}/identity?nordlicht",
    ],
    [
        agents::SUEDWIND,
        "Südwind",
        "server",
        "Machines",
        "Has just got a new disk",
        "{plex}/identity?suedwind",
    ],
];

/// Puts the services, and invites, into the database in `data_dir`. Those of an earlier demonstration get the
/// address of this one's simulated server, whose port is another every time.
///
/// # Errors
/// The database can't be opened or written.
pub(super) async fn furnish(data_dir: &Path, plex: &str) -> anyhow::Result<()> {
    let store = Store::open(data_dir).await?;
    let plex = plex.to_owned();
    let furnished = store.write(|c| {
        Box::pin(async move {
            for [id, name, kind, group, description, url] in SERVICES {
                sqlx::query(
                    "INSERT INTO services (id, name, type, \"group\", description, url, status, \
                     enabled, bandwidth_up, bandwidth_down, total_up, total_down) \
                     VALUES (?, ?, ?, ?, ?, ?, 'offline', 1, 0.0, 0.0, 0.0, 0.0) \
                     ON CONFLICT (id) DO UPDATE SET url = excluded.url",
                )
                .bind(id)
                .bind(name)
                .bind(kind)
                .bind(group)
                .bind(description)
                .bind(url.replace("{plex}", &plex))
                .execute(&mut *c)
                .await?;
            }
            invites::furnish(c, &plex).await
        })
    });
    let furnished = furnished.await;
    store.close().await;
    Ok(furnished?)
}

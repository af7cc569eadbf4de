//! `komandorr demo`: settings that lead to the simulated server and to nothing real.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::agents::Agents;
use super::{Address, Options, Simulator, services};
use crate::instance::Instance;
use crate::settings::{Environment, Overrides, SettingsStore};

/// Marks a data directory as made by a demonstration. Without it a directory that is not empty is
/// refused: it may be somebody's real one.
const MARKER: &str = ".komandorr-demo";

/// Nobody can confirm the log-in of a guest on the real plex.tv.
const PIN_CONFIRMED_AFTER: Duration = Duration::from_secs(5);

/// A demonstration that is ready to be served.
pub struct Demo {
    /// Leads to the simulated server; knows nothing of the real environment.
    pub settings: SettingsStore,
    /// The demonstration's data directory, claimed.
    pub instance: Instance,
    /// What has to live as long as the server runs.
    pub stage: Stage,
}

/// The simulated server, the agents and the temporary files. Dropping it removes them.
pub struct Stage {
    _plex: Simulator,
    agents: Option<Agents>,
    _temporary: Option<TempDir>,
}

impl Demo {
    /// Starts the simulated server and writes settings for it into a data directory of the
    /// demonstration's own.
    ///
    /// # Errors
    /// A `--data-dir` that no demonstration has made, or a variable that makes no sense.
    pub async fn prepare(env: Environment, overrides: Overrides) -> anyhow::Result<Self> {
        let (directory, temporary) = if let Some(directory) = overrides.data_dir.clone() {
            (directory, None)
        } else {
            let temporary = tempfile::Builder::new()
                .prefix("komandorr-demo-")
                .tempdir()?;
            (temporary.path().to_owned(), Some(temporary))
        };
        claim(&directory).with_context(|| directory.display().to_string())?;
        // Before anything is written there: another demonstration may be using it.
        let instance = Instance::claim(&directory)?;
        let options = Options {
            pins_confirm_after: Some(PIN_CONFIRMED_AFTER),
            ..Options::default()
        };
        let plex = Simulator::start(options).await?;
        let host = env.get("HOST").unwrap_or("127.0.0.1").to_owned();
        let (url, token) = (plex.url(), plex.token().to_owned());
        let others = others(&plex);
        let telegram = plex.telegram_url();
        services::furnish(&directory, &url).await?;
        let env = env.with([
            ("HOST", host.as_str()),
            ("LOG_ENABLE_FILE", "false"),
            ("PLEX_TV_URL", url.as_str()),
            ("PLEX_CLIENTS_URL", url.as_str()),
            ("TELEGRAM_API_URL", telegram.as_str()),
            ("GITHUB_API_URL", url.as_str()),
        ]);
        let overrides = Overrides {
            data_dir: Some(directory),
            ..overrides
        };
        let settings = SettingsStore::open(env, overrides)?;
        settings
            .save_section("plex", move |section| {
                section.insert("server_url".to_owned(), url.into());
                section.insert("server_token".to_owned(), token.into());
                section.insert("server_name".to_owned(), Options::default().name.into());
            })
            .await?;
        settings.save(|document| document.extend(others)).await?;
        Ok(Self {
            settings,
            instance,
            stage: Stage {
                _plex: plex,
                agents: None,
                _temporary: temporary,
            },
        })
    }
}

/// Sections of `config.json` that lead to the simulated services beside Plex.
fn others(simulator: &Simulator) -> Map<String, Value> {
    let arr = |id: u64, name: &str, kind: &str, at: &Address| {
        json!({"id": id.to_string(), "name": name, "type": kind, "url": at.url, "api_key": at.key,
               "access_url": ""})
    };
    let form = |at: &Address| json!({"url": at.url, "api_key": at.key});
    let overseerr = simulator.overseerr();
    let sections = [
        (
            "overseerr",
            json!({"url": format!("{}/api/v1/user", overseerr.url), "api_key": overseerr.key,
                   "email_domain": "example.org"}),
        ),
        (
            "arr",
            json!({"instances": [arr(1, "Sonarr", "sonarr", &simulator.sonarr()),
                                 arr(2, "Radarr", "radarr", &simulator.radarr())]}),
        ),
        ("posterizarr", form(&simulator.posterizarr())),
        ("uploader", json!({"base_url": simulator.uploader().url})),
        ("vpn_proxy", form(&simulator.vpn_proxy())),
    ];
    let sections = sections.into_iter();
    sections
        .map(|(name, section)| (name.to_owned(), section))
        .collect()
}

impl Stage {
    /// Lets agents of invented machines report to the server, which listens on `address`.
    ///
    /// # Errors
    /// They can't be started.
    pub fn start_agents(&mut self, address: SocketAddr) -> io::Result<()> {
        self.agents = Some(Agents::start(address).map_err(io::Error::other)?);
        Ok(())
    }
}

/// Makes `directory` the demonstration's, unless it is somebody else's.
fn claim(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let marker: PathBuf = directory.join(MARKER);
    let is_empty = std::fs::read_dir(directory)?.next().is_none();
    if !is_empty && !marker.exists() {
        return Err(io::Error::other(
            "not made by a demonstration, so it is left alone",
        ));
    }
    std::fs::write(marker, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_directory(directory: &Path) -> Overrides {
        Overrides {
            data_dir: Some(directory.to_owned()),
            ..Overrides::default()
        }
    }

    #[tokio::test]
    async fn a_demonstration_leads_to_its_own_server_only() {
        let real = [
            ("PLEX_SERVER_URL", "http://real"),
            ("REDIS_ENABLED", "true"),
            ("PORT", "0"),
        ];
        let env = Environment::from_pairs(real).for_demo();
        let demo = Demo::prepare(env, Overrides::default()).await.unwrap();
        let settings = demo.settings.current();
        let plex = settings.plex.as_ref().unwrap();
        assert_eq!(plex.base_url.host_str(), Some("127.0.0.1"));
        assert_eq!(
            settings.plex_tv_url, plex.base_url,
            "never the real plex.tv"
        );
        assert_eq!(settings.plex_clients_url, plex.base_url);
        let telegram = &settings.integrations.telegram.api_url;
        assert_eq!(telegram.host_str(), Some("127.0.0.1"), "nor Telegram");
        assert_eq!(
            settings.integrations.github.api_url, plex.base_url,
            "never the real GitHub"
        );
        for address in [
            &settings.integrations.posterizarr.url,
            &settings.integrations.uploader_url,
            &settings.integrations.vpn_proxy.url,
        ] {
            assert!(address.starts_with(plex.base_url.as_str()), "{address}");
        }
        assert!(!settings.redis.enabled && !settings.log.enable_file);
        assert_eq!((settings.host.as_str(), settings.port), ("127.0.0.1", 0));
        let directory = settings.data_dir.clone();
        drop(demo);
        assert!(!directory.exists(), "the temporary directory goes with it");
    }

    #[tokio::test]
    async fn a_data_directory_that_no_demonstration_made_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let env = Environment::default();
        Demo::prepare(env.clone(), in_directory(directory.path()))
            .await
            .unwrap();
        let again = Demo::prepare(env.clone(), in_directory(directory.path()))
            .await
            .unwrap();
        assert!(
            again.settings.current().plex.is_some(),
            "its own is used again"
        );

        let foreign = tempfile::tempdir().unwrap();
        std::fs::write(foreign.path().join("komandorr.db"), "precious").unwrap();
        assert!(
            Demo::prepare(env, in_directory(foreign.path()))
                .await
                .is_err()
        );
        assert_eq!(std::fs::read_dir(foreign.path()).unwrap().count(), 1);
    }
}

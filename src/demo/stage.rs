//! `komandorr demo`: settings that lead to the simulated server and to nothing real.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use super::agents::Agents;
use super::{Options, Simulator, services};
use crate::instance::Instance;
use crate::settings::{Environment, Overrides, SettingsStore};

/// Marks a data directory as made by a demonstration. Without it a directory that is not empty is
/// refused: it may be somebody's real one.
const MARKER: &str = ".komandorr-demo";

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
        let plex = Simulator::start(Options::default()).await?;
        let host = env.get("HOST").unwrap_or("127.0.0.1").to_owned();
        let (url, token) = (plex.url(), plex.token().to_owned());
        let telegram = plex.telegram_url();
        services::furnish(&directory, &url).await?;
        let env = env.with([
            ("HOST", host.as_str()),
            ("LOG_ENABLE_FILE", "false"),
            ("PLEX_TV_URL", url.as_str()),
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
        configure_others(&settings, &plex).await?;
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

/// The services beside the Plex server, as the settings page stores them.
async fn configure_others(settings: &SettingsStore, simulated: &Simulator) -> anyhow::Result<()> {
    let (posterizarr, vpn) = (simulated.posterizarr_url(), simulated.vpn_proxy_url());
    for (name, fields) in [
        (
            "posterizarr",
            vec![
                ("url", posterizarr),
                ("api_key", simulated.posterizarr_key().into()),
            ],
        ),
        ("uploader", vec![("base_url", simulated.uploader_url())]),
        (
            "vpn_proxy",
            vec![("url", vpn), ("api_key", simulated.vpn_proxy_key().into())],
        ),
    ] {
        settings
            .save_section(name, move |section| {
                section.extend(
                    fields
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value.into())),
                );
            })
            .await?;
    }
    Ok(())
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

//! The sections of the settings page, as it gets them, sends them back, and finds them stored:
//! the keys of `config.json`, in 3.3.0's order.
//!
//! None of these may be logged, which is why they have no `Debug`.

use serde::Serialize;
use utoipa::ToSchema;

use crate::compat::validation::{Fields, FromFields};
use crate::settings::{self, PlexTarget, Settings};

/// All of them. In a request those that are missing or null stay as they are. In an answer only
/// `overseerr` and `arr` can be null: nobody has ever configured them.
#[derive(Serialize, ToSchema)]
#[schema(as = Settings)]
pub(super) struct Sections {
    logging: Option<Logging>,
    general: Option<General>,
    api: Option<ApiKeys>,
    plex: Option<Plex>,
    overseerr: Option<Overseerr>,
    uploader: Option<Uploader>,
    vpn_proxy: Option<Service>,
    posterizarr: Option<Service>,
    arr: Option<Arr>,
    external_apps: Option<ExternalApps>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SettingsLogging)]
struct Logging {
    /// Any text; one that is not known changes nothing but what is shown here.
    level: String,
    enable_file: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SettingsGeneral)]
struct General {
    /// Any text; one that is no IANA name changes nothing but what is shown here.
    timezone: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SettingsApi)]
struct ApiKeys {
    github_token: String,
    tmdb_api_key: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SettingsPlex)]
struct Plex {
    server_url: String,
    server_token: String,
    server_name: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SettingsOverseerr)]
struct Overseerr {
    url: String,
    api_key: String,
    email_domain: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SettingsUploader)]
struct Uploader {
    base_url: String,
}

/// A service with an address and a key.
#[derive(Serialize, ToSchema)]
#[schema(as = SettingsService)]
struct Service {
    url: String,
    api_key: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SettingsArr)]
struct Arr {
    #[schema(required = false)]
    instances: Vec<ArrInstance>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SettingsArrInstance)]
struct ArrInstance {
    id: String,
    name: String,
    /// `sonarr` or `radarr`; not checked.
    #[serde(rename = "type")]
    kind: String,
    url: String,
    api_key: String,
    #[schema(required = false)]
    access_url: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SettingsExternalApps)]
struct ExternalApps {
    #[schema(required = false)]
    apps: Vec<ExternalApp>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SettingsExternalApp)]
struct ExternalApp {
    id: String,
    name: String,
    url: String,
    #[schema(required = false)]
    icon: String,
}

impl Sections {
    /// As the page shows them.
    pub(super) fn of(settings: &Settings) -> Self {
        let Settings {
            typed,
            plex_form: plex,
            integrations: others,
            ..
        } = settings;
        Self {
            logging: Some(Logging {
                level: typed.log_level.clone(),
                enable_file: settings.log.enable_file,
            }),
            general: Some(General {
                timezone: typed.timezone.clone(),
            }),
            api: Some(ApiKeys {
                github_token: others.github.token.expose().to_owned(),
                tmdb_api_key: others.tmdb_api_key.expose().to_owned(),
            }),
            plex: Some(Plex {
                server_url: plex.url.clone(),
                server_token: plex.token.expose().to_owned(),
                server_name: plex.server_name.clone(),
            }),
            overseerr: typed.has_overseerr.then(|| Overseerr {
                url: others.overseerr.url.clone(),
                api_key: others.overseerr.api_key.expose().to_owned(),
                email_domain: others.overseerr_email_domain.clone(),
            }),
            uploader: Some(Uploader {
                base_url: others.uploader_url.clone(),
            }),
            vpn_proxy: Some(Service::of(&others.vpn_proxy)),
            posterizarr: Some(Service::of(&others.posterizarr)),
            arr: others.arr.as_ref().map(|instances| Arr {
                instances: instances.iter().map(ArrInstance::of).collect(),
            }),
            external_apps: Some(ExternalApps {
                apps: others.external_apps.iter().map(ExternalApp::of).collect(),
            }),
        }
    }
}

impl Service {
    fn of(form: &settings::ServiceForm) -> Self {
        Self {
            url: form.url.clone(),
            api_key: form.api_key.expose().to_owned(),
        }
    }
}

impl ArrInstance {
    fn of(instance: &settings::ArrInstance) -> Self {
        Self {
            id: instance.id.clone(),
            name: instance.name.clone(),
            kind: instance.kind.clone(),
            url: instance.url.clone(),
            api_key: instance.api_key.expose().to_owned(),
            access_url: instance.access_url.clone(),
        }
    }
}

impl ExternalApp {
    fn of(app: &settings::ExternalApp) -> Self {
        Self {
            id: app.id.clone(),
            name: app.name.clone(),
            url: app.url.clone(),
            icon: app.icon.clone(),
        }
    }
}

impl FromFields for Sections {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            logging: fields.optional_object("logging"),
            general: fields.optional_object("general"),
            api: fields.optional_object("api"),
            plex: fields.optional_object("plex"),
            overseerr: fields.optional_object("overseerr"),
            uploader: fields.optional_object("uploader"),
            vpn_proxy: fields.optional_object("vpn_proxy"),
            posterizarr: fields.optional_object("posterizarr"),
            arr: fields.optional_object("arr"),
            external_apps: fields.optional_object("external_apps"),
        }
    }
}

impl FromFields for Logging {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            level: fields.string("level"),
            enable_file: fields.boolean("enable_file"),
        }
    }
}

impl FromFields for General {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            timezone: fields.string("timezone"),
        }
    }
}

impl FromFields for ApiKeys {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            github_token: fields.string("github_token"),
            tmdb_api_key: fields.string("tmdb_api_key"),
        }
    }
}

impl FromFields for Plex {
    fn from_fields(fields: &mut Fields) -> Self {
        let url = fields.string("server_url");
        let server_token = fields.string("server_token");
        // One form, whichever way the server was chosen (contract 08, item 38).
        let target = PlexTarget::parse(&url, &server_token);
        Self {
            server_url: target.map_or(url, |target| target.stored_url().to_owned()),
            server_token,
            server_name: fields.string("server_name"),
        }
    }
}

impl FromFields for Overseerr {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            url: fields.string("url"),
            api_key: fields.string("api_key"),
            email_domain: fields.string("email_domain"),
        }
    }
}

impl FromFields for Uploader {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            base_url: fields.string("base_url"),
        }
    }
}

impl FromFields for Service {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            url: fields.string("url"),
            api_key: fields.string("api_key"),
        }
    }
}

impl FromFields for Arr {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            instances: fields.list_or_empty("instances"),
        }
    }
}

impl FromFields for ArrInstance {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            id: fields.string("id"),
            name: fields.string("name"),
            kind: fields.string("type"),
            url: fields.string("url"),
            api_key: fields.string("api_key"),
            access_url: fields.string_or("access_url", ""),
        }
    }
}

impl FromFields for ExternalApps {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            apps: fields.list_or_empty("apps"),
        }
    }
}

impl FromFields for ExternalApp {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            id: fields.string("id"),
            name: fields.string("name"),
            url: fields.string("url"),
            icon: fields.string_or("icon", ""),
        }
    }
}

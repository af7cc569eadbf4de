//! What an invite and a friend are, in memory and in answers (contract 04, section 1).

use serde::Serialize;
use utoipa::ToSchema;

use crate::compat::Stamp;
use crate::plex::cloud::Who;

/// What the pages call a server without a name.
const NAMELESS: &str = "Plex Server";

/// A code that lets somebody into the Plex server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Invite {
    pub(super) id: i64,
    /// What friends type.
    pub(super) code: String,
    pub(super) created_at: Stamp,
    /// The name of who was logged in.
    pub(super) created_by: Option<String>,
    /// Never, if it is none.
    pub(super) expires_at: Option<Stamp>,
    /// How often it may be used; `None` and 0: without end.
    pub(super) usage_limit: Option<i64>,
    /// How often it was, redemptions under way included.
    pub(super) used_count: i64,
    pub(super) allow_sync: bool,
    pub(super) allow_camera_upload: bool,
    pub(super) allow_channels: bool,
    /// Whether a friend becomes a member of the owner's Plex Home.
    pub(super) plex_home: bool,
    /// `all`, or keys of libraries with commas between.
    pub(super) libraries: String,
    /// Whether it can be used at all.
    pub(super) is_active: bool,
}

impl Invite {
    /// Whether its time has passed.
    pub(super) fn is_expired(&self, now: Stamp) -> bool {
        self.expires_at.is_some_and(|at| at < now)
    }

    /// Whether it was used as often as it may be. A stored limit of 0 is none (contract 08, item
    /// 94); a negative one of 3.3.0 is reached from the start.
    pub(super) fn is_exhausted(&self) -> bool {
        let limit = self.usage_limit.filter(|limit| *limit != 0);
        limit.is_some_and(|limit| self.used_count >= limit)
    }
}

/// Somebody who has used an invite.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct PlexUser {
    pub(super) id: i64,
    pub(super) email: String,
    /// Plex's name of the account, once it is known.
    pub(super) username: Option<String>,
    /// Plex's number of the account, once it is known.
    pub(super) plex_id: Option<String>,
    /// The address of the account's picture, once it is known.
    pub(super) thumb: Option<String>,
    /// The invite that was used last.
    pub(super) invite_id: i64,
    /// When it was.
    #[schema(value_type = String)]
    pub(super) created_at: Stamp,
    /// Nobody writes it.
    #[schema(value_type = Option<String>)]
    pub(super) last_seen: Option<Stamp>,
    /// From when on the server is not to be shared any more.
    #[schema(value_type = Option<String>)]
    pub(super) expires_at: Option<Stamp>,
    pub(super) is_active: bool,
}

impl PlexUser {
    /// As plex.tv is asked for them.
    pub(super) fn who(&self) -> Who<'_> {
        Who {
            email: &self.email,
            plex_id: self.plex_id.as_deref().filter(|id| !id.is_empty()),
        }
    }
}

/// An invite as the answers show it.
#[derive(Serialize, ToSchema)]
#[schema(as = Invite)]
pub(super) struct ShownInvite {
    id: i64,
    code: String,
    #[schema(value_type = String)]
    created_at: Stamp,
    created_by: Option<String>,
    #[schema(value_type = Option<String>)]
    expires_at: Option<Stamp>,
    usage_limit: Option<i64>,
    used_count: i64,
    allow_sync: bool,
    allow_camera_upload: bool,
    allow_channels: bool,
    plex_home: bool,
    /// `all`, or keys of libraries with commas between.
    libraries: String,
    is_active: bool,
    /// The name of the configured server.
    plex_server: String,
    is_expired: bool,
    is_exhausted: bool,
}

/// An invite with those who have used it.
#[derive(Serialize, ToSchema)]
pub(super) struct InviteWithUsers {
    #[serde(flatten)]
    pub(super) invite: ShownInvite,
    pub(super) users: Vec<PlexUser>,
}

impl ShownInvite {
    /// `invite` as it is at `now`, to the server of this name.
    pub(super) fn of(invite: Invite, server_name: &str, now: Stamp) -> Self {
        Self {
            is_expired: invite.is_expired(now),
            is_exhausted: invite.is_exhausted(),
            plex_server: named(server_name).to_owned(),
            id: invite.id,
            code: invite.code,
            created_at: invite.created_at,
            created_by: invite.created_by,
            expires_at: invite.expires_at,
            usage_limit: invite.usage_limit,
            used_count: invite.used_count,
            allow_sync: invite.allow_sync,
            allow_camera_upload: invite.allow_camera_upload,
            allow_channels: invite.allow_channels,
            plex_home: invite.plex_home,
            libraries: invite.libraries,
            is_active: invite.is_active,
        }
    }

    /// As somebody may see it who is not logged in: without the name of who made it (contract 08,
    /// item 3).
    pub(super) fn for_public(mut self) -> Self {
        self.created_by = None;
        self
    }
}

/// The name of the server, or what stands for it.
pub(super) fn named(server_name: &str) -> &str {
    if server_name.is_empty() {
        NAMELESS
    } else {
        server_name
    }
}

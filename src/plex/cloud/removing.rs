//! Taking back what was shared.

use reqwest::Method;

use super::call::Call;
use super::people::{Who, meant, numbered, same};
use super::{CloudError, PlexTv, at};
use crate::settings::Secret;

/// What became of the wish to remove somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// They have no access any more.
    Removed,
    /// They had none.
    NotFound,
}

impl PlexTv {
    /// Ends what `owner` shares with `who`: as a friend, as a member of the Home (contract 08, item
    /// 98), and as somebody who has not accepted the invitation to the server `machine` yet. A known
    /// number counts more than the address, which may have changed since. The name that is shown does
    /// not count here: anybody can choose another's address for it.
    ///
    /// # Errors
    /// The calls'. What is gone already is no error, so it can be tried again.
    pub(crate) async fn remove(
        &self,
        owner: &Secret,
        machine: Option<&str>,
        who: Who<'_>,
    ) -> Result<Removal, CloudError> {
        let people = self.people(owner).await?;
        let mut removed = false;
        let person = numbered(&people, who).or_else(|| meant(&people, who.email));
        if let Some(person) = person.filter(|person| !person.id.is_empty()) {
            let sharing = ["api", "v2", "sharings", &person.id];
            removed |= self.delete(owner, &sharing).await?;
            if person.home {
                let member = ["api", "home", "users", &person.id];
                removed |= self.delete(owner, &member).await?;
            }
        }
        if let Some(machine) = machine.filter(|_| !removed) {
            let shares = self.shares(owner, machine).await?;
            let id = who.plex_id.unwrap_or_default();
            let by_id = shares.iter().find(|share| same(&share.user_id, id));
            let by_email = || shares.iter().find(|share| same(&share.email, who.email));
            let named = || shares.iter().find(|share| share.is_with(who.email));
            let share = by_id.or_else(by_email).or_else(named);
            if let Some(share) = share.filter(|share| !share.id.is_empty()) {
                let pending = ["api", "servers", machine, "shared_servers", &share.id];
                removed |= self.delete(owner, &pending).await?;
            }
        }
        Ok(if removed {
            Removal::Removed
        } else {
            Removal::NotFound
        })
    }

    /// Whether it was there.
    async fn delete(&self, owner: &Secret, path: &[&str]) -> Result<bool, CloudError> {
        let call = Call::change(Method::DELETE, at(&self.base, path)).of(owner);
        match self.change(call).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

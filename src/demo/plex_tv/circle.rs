//! Who has an account, who is in the owner's Home, and with whom the server is shared. Facts and
//! rules only; how they are asked for is in [`super::sharing`] and [`super::account`].

use super::super::dice::Dice;
use super::super::people::PEOPLE;

/// The owner's number at plex.tv; on their own server they are account 1.
const OWNER: u64 = 9_100_217;
/// Accounts that tests and PINs add get numbers from here on.
const FIRST_NEW: u64 = 50_000_001;
/// A demo may run for weeks with strangers inviting each other.
const MOST_SHARES: usize = 1000;

/// An account at plex.tv.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) id: u64,
    pub(super) title: String,
    /// Empty for a managed user.
    pub(super) username: String,
    /// Empty for a managed user.
    pub(super) email: String,
    pub(super) token: String,
    pub(super) thumb: String,
    /// In the Home of the owner.
    pub(super) home: bool,
    /// Whether what they have watched is kept in step on all servers.
    pub(super) synced: bool,
}

impl Account {
    /// Managed users have no account of their own.
    pub(super) fn is_managed(&self) -> bool {
        self.email.is_empty()
    }

    fn is_called(&self, name: &str) -> bool {
        [&self.username, &self.email, &self.title]
            .iter()
            .any(|own| !own.is_empty() && own.to_lowercase() == name.to_lowercase())
    }
}

/// What may be done with what is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Permissions {
    pub(super) sync: bool,
    pub(super) camera_upload: bool,
    pub(super) channels: bool,
}

/// The server, shared with somebody or offered to them.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) id: u64,
    /// As it was invited.
    pub(super) email: String,
    /// `None` for an address that has no account.
    pub(super) account: Option<u64>,
    /// Keys of the server.
    pub(super) sections: Vec<u64>,
    pub(super) permissions: Permissions,
    pub(super) accepted: bool,
    /// Made by a call, not there from the start.
    pub(super) is_new: bool,
}

/// An invitation that the simulated plex.tv has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenInvitation {
    /// Who was invited, as it was sent.
    pub email: String,
    /// The keys of the libraries; none if it was to the Home alone.
    pub sections: Vec<u64>,
    /// To take films along.
    pub allow_sync: bool,
    /// To send pictures.
    pub allow_camera_upload: bool,
    /// To use channels.
    pub allow_channels: bool,
    /// To the Plex Home, too.
    pub home: bool,
    /// Whether it has been accepted.
    pub accepted: bool,
}

/// Everybody.
#[derive(Debug)]
pub(super) struct Circle {
    accounts: Vec<Account>,
    shares: Vec<Share>,
    /// Addresses that were invited to the Home and have not accepted.
    home_invited: Vec<String>,
    next_share: u64,
}

impl Circle {
    pub(super) fn new(owner_token: &str, sections: &[u64]) -> Self {
        let mut accounts: Vec<Account> = PEOPLE.iter().map(account).collect();
        if let Some(owner) = accounts.first_mut() {
            owner.id = OWNER;
            owner_token.clone_into(&mut owner.token);
        }
        let guests = accounts.iter().skip(1).zip(0..);
        let shares: Vec<Share> = guests
            .map(|(guest, id)| Share {
                id,
                email: guest.email.clone(),
                account: Some(guest.id),
                sections: sections.to_vec(),
                permissions: Permissions::default(),
                accepted: true,
                is_new: false,
            })
            .collect();
        Self {
            next_share: shares.len() as u64,
            accounts,
            shares,
            home_invited: Vec::new(),
        }
    }

    /// Whose token it is.
    pub(super) fn by_token(&self, token: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.token == token)
    }

    pub(super) fn by_id(&self, id: u64) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id == id)
    }

    pub(super) fn owner(&self) -> &Account {
        &self.accounts[0]
    }

    pub(super) fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// The account of this name or address; a new one if there is none.
    pub(super) fn called(&mut self, name: &str) -> &Account {
        let at = self.accounts.iter().position(|one| one.is_called(name));
        let at = at.unwrap_or_else(|| {
            let id = FIRST_NEW + self.accounts.len() as u64;
            let email = if name.contains('@') {
                name.to_owned()
            } else {
                format!("{name}@example.org")
            };
            self.accounts.push(Account {
                username: name.to_owned(),
                email,
                ..blank(id, name)
            });
            self.accounts.len() - 1
        });
        &self.accounts[at]
    }

    /// Friends and members of the Home.
    pub(super) fn people(&self) -> impl Iterator<Item = &Account> {
        self.accounts.iter().skip(1).filter(|account| {
            let mut shares = self.shares.iter();
            account.home || shares.any(|share| share.accepted && share.account == Some(account.id))
        })
    }

    /// Offers the server; the words of plex.tv if it does not.
    pub(super) fn offer(
        &mut self,
        email: &str,
        sections: Vec<u64>,
        permissions: Permissions,
    ) -> Result<&Share, String> {
        let account = self.accounts.iter().find(|one| one.is_called(email));
        let account = account.map(|account| account.id);
        if account == Some(OWNER) {
            return Err("You cannot share a server with yourself".to_owned());
        }
        let same = |share: &Share| {
            share.email.eq_ignore_ascii_case(email)
                || (account.is_some() && share.account == account)
        };
        if self.shares.iter().any(same) {
            return Err(format!("You're already sharing this server with {email}"));
        }
        if self.shares.len() == MOST_SHARES {
            return Err("You have reached the limit of friends".to_owned());
        }
        let id = self.next_share;
        self.next_share += 1;
        let at = self.shares.len();
        self.shares.push(Share {
            id,
            email: email.to_owned(),
            account,
            sections,
            permissions,
            accepted: false,
            is_new: true,
        });
        Ok(&self.shares[at])
    }

    /// Invites to the Home; the words of plex.tv if it does not.
    pub(super) fn invite_home(&mut self, email: &str) -> Result<(), String> {
        let is_member = |one: &Account| one.home && one.is_called(email);
        if self.accounts.iter().any(is_member) || self.is_home_invited(email) {
            return Err(format!("{email} is already a member of this Home"));
        }
        if self.home_invited.len() == MOST_SHARES {
            return Err("This Home is full".to_owned());
        }
        self.home_invited.push(email.to_owned());
        Ok(())
    }

    /// What `account` has been offered and has not accepted.
    pub(super) fn pending(&self, account: &Account) -> impl Iterator<Item = &Share> {
        self.shares.iter().filter(|share| {
            let is_theirs = share.account == Some(account.id)
                || (share.account.is_none() && account.is_called(&share.email));
            is_theirs && !share.accepted
        })
    }

    /// Accepts, and with it the invitation to the Home; `false` if there is nothing to accept.
    pub(super) fn accept(&mut self, account: &Account, id: u64) -> bool {
        if !self.pending(account).any(|share| share.id == id) {
            return false;
        }
        let to_home = |email: &String| account.is_called(email);
        let home = self.home_invited.iter().any(to_home);
        self.home_invited.retain(|email| !to_home(email));
        for share in self.shares.iter_mut().filter(|share| share.id == id) {
            share.accepted = true;
            share.account = Some(account.id);
        }
        for one in self.accounts.iter_mut().filter(|one| one.id == account.id) {
            one.home |= home;
        }
        true
    }

    pub(super) fn sync(&mut self, account: &Account) {
        for one in self.accounts.iter_mut().filter(|one| one.id == account.id) {
            one.synced = true;
        }
    }

    /// Ends the friendship; `false` if there was none.
    pub(super) fn unfriend(&mut self, account: u64) -> bool {
        self.keep(|share| !share.accepted || share.account != Some(account))
    }

    /// Takes back one share; `false` if there was none.
    pub(super) fn unshare(&mut self, id: u64) -> bool {
        self.keep(|share| share.id != id)
    }

    /// Removes from the Home; `false` if they were no member.
    pub(super) fn leave_home(&mut self, account: u64) -> bool {
        let member = self
            .accounts
            .iter_mut()
            .find(|one| one.id == account && one.home);
        member.map(|member| member.home = false).is_some()
    }

    fn keep(&mut self, wanted: impl Fn(&Share) -> bool) -> bool {
        let before = self.shares.len();
        self.shares.retain(wanted);
        self.shares.len() < before
    }

    pub(super) fn taken(&self) -> Vec<TakenInvitation> {
        let shares = self.shares.iter().filter(|share| share.is_new);
        let taken = shares.map(|share| {
            let account = share.account.and_then(|id| self.by_id(id));
            TakenInvitation {
                email: share.email.clone(),
                sections: share.sections.clone(),
                allow_sync: share.permissions.sync,
                allow_camera_upload: share.permissions.camera_upload,
                allow_channels: share.permissions.channels,
                home: self.is_home_invited(&share.email) || account.is_some_and(|one| one.home),
                accepted: share.accepted,
            }
        });
        let to_home = self.home_invited.iter().filter(|email| {
            let mut shares = self.shares.iter();
            !shares.any(|share| share.is_new && share.email.eq_ignore_ascii_case(email))
        });
        let to_home = to_home.map(|email| TakenInvitation {
            email: email.clone(),
            sections: Vec::new(),
            allow_sync: false,
            allow_camera_upload: false,
            allow_channels: false,
            home: true,
            accepted: false,
        });
        taken.chain(to_home).collect()
    }

    pub(super) fn is_shared_with(&self, email: &str) -> bool {
        self.shares.iter().any(|share| {
            let account = share.account.and_then(|id| self.by_id(id));
            share.email.eq_ignore_ascii_case(email)
                || account.is_some_and(|account| account.is_called(email))
        })
    }

    pub(super) fn is_at_home(&self, email: &str) -> bool {
        let mut accounts = self.accounts.iter();
        accounts.any(|account| account.home && account.is_called(email))
    }

    fn is_home_invited(&self, email: &str) -> bool {
        let mut invited = self.home_invited.iter();
        invited.any(|one| one.eq_ignore_ascii_case(email))
    }
}

/// A person of the demo as an account: who looks from home is in the Home, the one called so is a
/// managed user.
fn account(person: &super::super::people::Person) -> Account {
    let managed = person.name == "Kids";
    let letters: String = person
        .name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let email = match person.name {
        _ if managed => String::new(),
        name if name.contains('@') => name.to_owned(),
        _ if letters.is_empty() => format!("guest{}@example.org", person.id),
        _ => format!("{}@example.org", letters.to_lowercase()),
    };
    let username = if managed { "" } else { person.name };
    Account {
        username: username.to_owned(),
        email,
        thumb: person.thumb(),
        home: person.at_home,
        ..blank(person.id, person.name)
    }
}

fn blank(id: u64, title: &str) -> Account {
    let mut dice = Dice::new(id, &[0x746f]);
    Account {
        id,
        title: title.to_owned(),
        username: String::new(),
        email: String::new(),
        token: dice.hex(20),
        thumb: format!("/users/{}/avatar?c=1700000000", dice.hex(16)),
        home: false,
        synced: false,
    }
}

//! Accounts, the people around one, and whom a server is shared with.

use super::answers::Element;
use super::call::Call;
use super::{CloudError, PlexTv, at};
use crate::settings::Secret;

/// Whose token it is. What plex.tv does not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// Of plex.tv: a number.
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) email: String,
    /// The name that is shown.
    pub(crate) title: String,
    /// The address of the picture.
    pub(crate) thumb: String,
}

/// A friend of an account, or a member of its Home. What plex.tv does not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Person {
    /// Of plex.tv: a number.
    pub(crate) id: String,
    /// The name that is shown; anybody may choose any.
    pub(crate) title: String,
    pub(crate) username: String,
    pub(crate) email: String,
    /// The address of the picture.
    pub(crate) thumb: String,
    /// A member of the Plex Home.
    pub(crate) home: bool,
    /// A managed user, who has no account of their own.
    pub(crate) restricted: bool,
}

/// A server, shared with somebody or offered to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// Of the share.
    pub(crate) id: String,
    /// Of the person; empty for somebody whom plex.tv does not know yet.
    pub(crate) user_id: String,
    pub(crate) email: String,
    pub(crate) username: String,
    /// Whether they have accepted; `None` if plex.tv does not say.
    pub(crate) accepted: Option<bool>,
}

/// Somebody who is looked for at plex.tv.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who<'a> {
    /// As they were invited; may be a user name.
    pub(crate) email: &'a str,
    /// plex.tv's number of the account, where it is known: it stays when the address changes.
    pub(crate) plex_id: Option<&'a str>,
}

impl PlexTv {
    /// Whose `token` it is.
    ///
    /// # Errors
    /// The call's; [`CloudError::NotPlexTv`] for an answer that names nobody.
    pub(crate) async fn account(&self, token: &Secret) -> Result<Account, CloudError> {
        let call = Call::get(at(&self.base, &["api", "v2", "user"])).of(token);
        let user = self.read(call.header("Accept", "application/json")).await?;
        let account = Account {
            id: user.text("id"),
            username: user.text("username"),
            email: user.text("email"),
            title: user.first_of(&["title", "friendlyName"]),
            thumb: user.text("thumb"),
        };
        if account.id.is_empty() && account.username.is_empty() && account.email.is_empty() {
            return Err(CloudError::NotPlexTv);
        }
        Ok(account)
    }

    /// The friends and Home members of `owner`. Who has not accepted an invitation yet is none.
    ///
    /// # Errors
    /// The call's; [`CloudError::NotPlexTv`] for an answer that is no list.
    pub(crate) async fn people(&self, owner: &Secret) -> Result<Vec<Person>, CloudError> {
        let call = Call::get(at(&self.base, &["api", "users", ""])).of(owner);
        let list = self.read_list(call).await?;
        Ok(list.named("User").map(Person::read).collect())
    }

    /// The one of [`Self::people`] whom `who` means: with a known number who has it, without one by
    /// e-mail, else by user name or identifier, else by the name that is shown (contract 08, item
    /// 104). In whatever case.
    ///
    /// # Errors
    /// Those of [`Self::people`].
    pub(crate) async fn find(
        &self,
        owner: &Secret,
        who: Who<'_>,
    ) -> Result<Option<Person>, CloudError> {
        let people = self.people(owner).await?;
        Ok(find_in(&people, who).cloned())
    }

    /// With whom the server `machine` is shared, pending invitations included.
    ///
    /// # Errors
    /// The call's; [`CloudError::NotPlexTv`] for an answer that is no list.
    pub(crate) async fn shares(
        &self,
        owner: &Secret,
        machine: &str,
    ) -> Result<Vec<Share>, CloudError> {
        let path = ["api", "servers", machine, "shared_servers"];
        let list = self.read_list(Call::get(at(&self.base, &path)).of(owner));
        Ok(list.await?.named("SharedServer").map(Share::read).collect())
    }
}

impl Person {
    fn read(user: &Element) -> Self {
        Self {
            id: user.text("id"),
            title: user.text("title"),
            username: user.text("username"),
            email: user.text("email"),
            thumb: user.text("thumb"),
            home: user.flag("home"),
            restricted: user.flag("restricted"),
        }
    }
}

impl Share {
    fn read(share: &Element) -> Self {
        // Older answers give the time, which is empty or 0 until then.
        let since = share.attribute("acceptedAt");
        let accepted = share
            .attribute("accepted")
            .map(|_| share.flag("accepted"))
            .or_else(|| since.map(|since| !matches!(since, "" | "0")));
        Self {
            id: share.text("id"),
            user_id: share.first_of(&["userID", "userId", "invitedId"]),
            email: share.first_of(&["email", "invitedEmail"]),
            username: share.text("username"),
            accepted,
        }
    }

    /// Whether it is with whom `email` means.
    pub(super) fn is_with(&self, email: &str) -> bool {
        [&self.email, &self.username, &self.user_id]
            .iter()
            .any(|own| same(own, email))
    }
}

/// As [`PlexTv::find`], among people who are known already.
pub(crate) fn find_in<'a>(people: &'a [Person], who: Who<'_>) -> Option<&'a Person> {
    if who.plex_id.is_some() {
        return numbered(people, who);
    }
    let titled = || people.iter().find(|person| same(&person.title, who.email));
    meant(people, who.email).or_else(titled)
}

/// Who has the known number.
pub(super) fn numbered<'a>(people: &'a [Person], who: Who<'_>) -> Option<&'a Person> {
    let id = who.plex_id?;
    people.iter().find(|person| same(&person.id, id))
}

/// Whom `email` means by what nobody else can have: their e-mail, else user name or identifier.
pub(super) fn meant<'a>(people: &'a [Person], email: &str) -> Option<&'a Person> {
    let by_email = people.iter().find(|person| same(&person.email, email));
    by_email.or_else(|| {
        let named = |person: &&Person| same(&person.username, email) || same(&person.id, email);
        people.iter().find(named)
    })
}

/// Whether two names are one, in whatever case; nothing is nobody's name.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim(), other.trim());
    !one.is_empty() && one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: &str, title: &str, username: &str, email: &str) -> Person {
        let [id, title, username, email] = [id, title, username, email].map(str::to_owned);
        Person {
            id,
            title,
            username,
            email,
            ..Person::default()
        }
    }

    #[test]
    fn an_e_mail_address_counts_more_than_a_name() {
        let people = [
            person("1", "b@x.org", "", ""),
            person("2", "two", "B@x.org", "a@x.org"),
            person("3", "three", "", "b@X.org"),
        ];
        let id = |email| meant(&people, email).map(|person| person.id.as_str());
        assert_eq!(id(" B@x.ORG "), Some("3"));
        assert_eq!(id("A@x.org"), Some("2"));
        assert_eq!(meant(&people[..2], "b@x.org").unwrap().id, "2");
        assert_eq!(
            meant(&people[..1], "b@x.org"),
            None,
            "anybody can choose a title"
        );
        assert_eq!(id("3"), Some("3"));
        assert_eq!(id(""), None);
        assert!(same("ÄRGER", "ärger") && !same("", ""));
    }

    #[test]
    fn a_known_number_counts_alone() {
        let people = [
            person("1", "old@x.org", "", "old@x.org"),
            person("2", "shown@x.org", "", "new@x.org"),
        ];
        let id = |email, plex_id| {
            let found = find_in(&people, Who { email, plex_id });
            found.map(|person| person.id.as_str())
        };
        assert_eq!(id("old@x.org", Some("2")), Some("2"));
        assert_eq!(id("old@x.org", Some("3")), None, "another account by now");
        assert_eq!(id("shown@x.org", Some("")), None);
        assert_eq!(id("shown@x.org", None), Some("2"));
    }

    #[test]
    fn people_and_shares_are_read_whatever_is_missing() {
        let list = br#"<MediaContainer><User id="7" title="T" username="u" email="e" thumb="t"
            home="1" restricted="0"/><User restricted="1"/></MediaContainer>"#;
        let list = Element::read_list(list).unwrap();
        let people: Vec<Person> = list.named("User").map(Person::read).collect();
        let mut first = person("7", "T", "u", "e");
        (first.thumb, first.home) = ("t".to_owned(), true);
        assert_eq!(people[0], first);
        assert!(people[1].restricted && people[1].id.is_empty());

        let list = br#"{"MediaContainer":{"SharedServer":[
            {"id":1,"userID":5,"email":"a@b.c","username":"u","accepted":true},
            {"id":2,"accepted":"0","invitedEmail":"n@b.c"},
            {"id":3,"acceptedAt":"1700000000"},{"id":4,"acceptedAt":""},{"id":5}]}}"#;
        let list = Element::read_list(list).unwrap();
        let shares: Vec<Share> = list.named("SharedServer").map(Share::read).collect();
        let accepted: Vec<_> = shares.iter().map(|share| share.accepted).collect();
        assert_eq!(
            accepted,
            [Some(true), Some(false), Some(true), Some(false), None]
        );
        assert!(
            ["A@b.c", "U", "5"]
                .iter()
                .all(|name| shares[0].is_with(name))
        );
        assert!(shares[1].is_with("n@b.c") && !shares[4].is_with(""));
    }
}

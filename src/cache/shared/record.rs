//! What stands in Redis under one name: a value, a record beside it, and a lease.
//!
//! The value has 3.3.0's key and form (contract 07, section 5), so that operators find what the
//! documents name and a container of 3.3.0 can read it. Whose it is stands in the record: only
//! what was written by an instance with the same Plex server is taken, and what anybody else has
//! put in its place is not, because the record holds a keyed hash of the value.

use std::fmt::Write as _;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::Sha256;

/// In front of every key of ours (contract 07, section 5).
pub(super) const PREFIX: &str = "komandorr:";
/// A larger value is neither written nor read.
pub(super) const LARGEST: usize = 8 * 1024 * 1024;
/// Nor is a record or a lease that is longer than any of ours.
pub(super) const LARGEST_RECORD: usize = 64 * 1024;

/// The form of the values that this version writes and reads.
const FORM: &str = env!("CARGO_PKG_VERSION");

/// The instances that may share values: those of the same version that ask the same Plex server
/// with the same token.
#[derive(Clone)]
pub struct Realm {
    /// What instances compare; tells nothing about address or token.
    id: String,
    /// Known only to those who know the token.
    key: [u8; 32],
}

impl Realm {
    /// The realm of those who know this `secret` of this server.
    pub fn new(server: &str, secret: &str) -> Self {
        let parts = [b"komandorr values", FORM.as_bytes(), server.as_bytes()];
        let key = keyed(secret.as_bytes(), &parts);
        let id = hex(&keyed(&key, &[b"identity"])[..16]);
        Self { id, key }
    }

    /// What to put beside `text` so that others of this realm know that one of them says it.
    pub fn sign(&self, text: &str) -> String {
        self.seal(&[b"said", text.as_bytes()])
    }

    fn seal(&self, parts: &[&[u8]]) -> String {
        hex(&keyed(&self.key, parts)[..16])
    }
}

/// The three keys of one name.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) value: String,
    pub(super) record: String,
    pub(super) lease: String,
}

impl Keys {
    /// A cluster keeps a script's keys together only if they hash alike: what is in braces is
    /// hashed alone, and the value's key has none.
    pub(super) fn of(name: &str, cluster: bool) -> Self {
        let value = format!("{PREFIX}{name}");
        let sibling = if cluster {
            format!("{{{value}}}")
        } else {
            name.to_owned()
        };
        Self {
            record: format!("{PREFIX}meta:{sibling}"),
            lease: format!("{PREFIX}lease:{sibling}"),
            value,
        }
    }
}

/// What stands beside a value. Whole numbers are in the form that the scripts look for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The realm of the instance that wrote it.
    pub(super) server: String,
    /// What was in force when it was fetched; an invalidation changes it.
    pub(super) generation: String,
    /// For how long it was written; what is left of it tells the age.
    pub(super) ttl_ms: u64,
    /// Why it is only a part; absent if it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) missing: Option<Failure>,
    /// Keyed hash of all this and the value.
    seal: String,
}

/// A failure on its way to other instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(default)]
    refused: bool,
}

impl From<&crate::cache::FetchError> for Failure {
    fn from(error: &crate::cache::FetchError) -> Self {
        let retry_after = error.retry_after.map(whole_ms);
        Self {
            message: error.message.clone(),
            retry_after_ms: retry_after,
            refused: error.refused,
        }
    }
}

impl From<Failure> for crate::cache::FetchError {
    fn from(failure: Failure) -> Self {
        Self {
            retry_after: failure.retry_after_ms.map(Duration::from_millis),
            refused: failure.refused,
            ..Self::new(failure.message)
        }
    }
}

impl Record {
    /// Describes `value`; none if it is too large to be shared.
    pub(super) fn of(
        name: &str,
        value: &RawValue,
        realm: &Realm,
        generation: &str,
        ttl: Duration,
        missing: Option<Failure>,
    ) -> Option<Self> {
        if value.get().len() > LARGEST {
            return None;
        }
        let mut record = Self {
            server: realm.id.clone(),
            generation: generation.to_owned(),
            ttl_ms: whole_ms(ttl),
            missing,
            seal: String::new(),
        };
        record.seal = record.sealed(name, value.get(), realm);
        Some(record)
    }

    /// What was read, if it is of this realm and generation and nobody has changed it since.
    pub(super) fn open(
        name: &str,
        record: &[u8],
        value: Vec<u8>,
        realm: &Realm,
        generation: &str,
    ) -> Option<(Self, Box<RawValue>)> {
        let record: Self = serde_json::from_slice(record).ok()?;
        let value = String::from_utf8(value).ok()?;
        let genuine = record.server == realm.id
            && record.generation == generation
            && record.seal == record.sealed(name, &value, realm);
        let value = genuine.then(|| RawValue::from_string(value))?.ok()?;
        Some((record, value))
    }

    fn sealed(&self, name: &str, value: &str, realm: &Realm) -> String {
        let missing = self.missing.as_ref().map(serde_json::to_vec);
        let parts = [
            b"value",
            name.as_bytes(),
            self.generation.as_bytes(),
            &self.ttl_ms.to_be_bytes(),
            &missing.and_then(Result::ok).unwrap_or_default(),
            value.as_bytes(),
        ];
        realm.seal(&parts)
    }
}

/// What a lease says: who holds it, or why there is nothing to wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    /// The realm of its holder.
    server: String,
    /// Its holder.
    instance: String,
    /// Random; tells one holder from all others.
    token: String,
    /// The fetch has failed; until this lease expires nobody needs to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<Failure>,
    /// Keyed hash of the failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    seal: String,
}

impl Lease {
    pub(super) fn new(realm: &Realm, instance: &str) -> Self {
        Self {
            server: realm.id.clone(),
            instance: instance.to_owned(),
            token: random(),
            failed: None,
            seal: String::new(),
        }
    }

    /// None for what is no lease of this realm.
    pub(super) fn read(text: &[u8], realm: &Realm) -> Option<Self> {
        let lease: Self = serde_json::from_slice(text).ok()?;
        let genuine = lease.failed.is_none() || lease.seal == lease.sealed(realm);
        (lease.server == realm.id && genuine).then_some(lease)
    }

    /// What stands in the place of this lease once its fetch has failed.
    pub(super) fn failed(&self, failure: Failure, realm: &Realm) -> Self {
        let mut failed = Self {
            failed: Some(failure),
            ..self.clone()
        };
        failed.seal = failed.sealed(realm);
        failed
    }

    fn sealed(&self, realm: &Realm) -> String {
        // Strings and numbers only: it can't fail.
        let failed = serde_json::to_vec(&self.failed).unwrap_or_default();
        realm.seal(&[b"failure", self.token.as_bytes(), &failed])
    }

    pub(super) fn to_json(&self) -> String {
        // Strings and numbers only: it can't fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// 128 random bits.
pub(super) fn random() -> String {
    hex(&rand::random::<[u8; 16]>())
}

pub(super) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// HMAC-SHA256 of `parts`, each with its length in front, so that no two lists are alike.
fn keyed(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::FetchError;

    const TTL: Duration = Duration::from_secs(5);

    fn realm() -> Realm {
        Realm::new("http://plex:32400/", "secret-token")
    }

    fn value() -> Box<RawValue> {
        RawValue::from_string(r#"{"error":false}"#.to_owned()).unwrap()
    }

    fn record(realm: &Realm) -> Record {
        Record::of("plex:activities", &value(), realm, "g1", TTL, None).unwrap()
    }

    fn opens(name: &str, record: &Record, value: &str, realm: &Realm, generation: &str) -> bool {
        let json = serde_json::to_vec(record).unwrap();
        Record::open(name, &json, value.into(), realm, generation).is_some()
    }

    #[test]
    fn only_what_its_own_realm_wrote_and_nobody_changed_is_read() {
        let (ours, text) = (realm(), value());
        let mut record = record(&ours);
        let name = "plex:activities";
        assert!(opens(name, &record, text.get(), &ours, "g1"));
        assert!(!opens(name, &record, r#"{"error":true}"#, &ours, "g1"));
        assert!(!opens(name, &record, text.get(), &ours, "g2"));
        assert!(!opens("plex:sessions", &record, text.get(), &ours, "g1"));
        for other in [
            Realm::new("http://plex:32400/", "other-token"),
            Realm::new("http://other:32400/", "secret-token"),
        ] {
            assert!(!opens(name, &record, text.get(), &other, "g1"));
        }
        record.ttl_ms += 1;
        assert!(!opens(name, &record, text.get(), &ours, "g1"));
        assert!(Record::open(name, b"junk", b"{}".to_vec(), &ours, "g1").is_none());
        let json = serde_json::to_vec(&self::record(&ours)).unwrap();
        assert!(Record::open(name, &json, vec![0xff], &ours, "g1").is_none());
    }

    #[test]
    fn a_part_says_that_it_is_one() {
        let mut error = FetchError::new("One half failed");
        error.retry_after = Some(Duration::from_secs(3));
        let missing = Some(Failure::from(&error));
        let ours = realm();
        let record = Record::of("x", &value(), &ours, "g", TTL, missing).unwrap();
        let json = serde_json::to_vec(&record).unwrap();
        let (read, _) = Record::open("x", &json, value().get().into(), &ours, "g").unwrap();
        assert_eq!(FetchError::from(read.missing.unwrap()), error);
    }

    #[test]
    fn a_failure_is_believed_only_if_its_own_realm_tells_it() {
        let ours = realm();
        let failure = Failure::from(&FetchError::new("Connection timeout"));
        let failed = Lease::new(&ours, "there").failed(failure.clone(), &ours);
        let read = |lease: &Lease| Lease::read(lease.to_json().as_bytes(), &ours);
        assert_eq!(read(&failed).unwrap().failed, Some(failure.clone()));
        let invented = Lease {
            failed: Some(failure),
            ..Lease::new(&ours, "there")
        };
        assert!(read(&invented).is_none());
        assert!(read(&Lease::new(&ours, "there")).is_some());
        let other = Realm::new("http://other:32400/", "secret-token");
        assert!(read(&Lease::new(&other, "there")).is_none());
        assert_ne!(ours.sign("x"), other.sign("x"));
        assert_ne!(ours.sign("x"), ours.sign("y"));
    }

    #[test]
    fn what_is_written_tells_neither_address_nor_token() {
        let record = serde_json::to_string(&record(&realm())).unwrap();
        let lease = Lease::new(&realm(), "here").to_json();
        for text in [record, lease] {
            assert!(!text.contains("plex:32400") && !text.contains("secret-token"));
        }
    }

    #[test]
    fn a_cluster_keeps_the_keys_of_a_name_together() {
        let keys = Keys::of("plex:stats", false);
        assert_eq!(keys.value, "komandorr:plex:stats");
        assert_eq!(keys.record, "komandorr:meta:plex:stats");
        let keys = Keys::of("plex:stats", true);
        assert_eq!(keys.record, "komandorr:meta:{komandorr:plex:stats}");
        assert_eq!(keys.lease, "komandorr:lease:{komandorr:plex:stats}");
    }
}

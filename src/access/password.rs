//! Stored passwords: an Argon2id hash, or, as 3.3.0 left them, plain text.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// Memory in KiB, passes and lanes: the least that OWASP's password storage cheat sheet names for
/// Argon2id.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// How a hash begins in its usual text form.
const HASH_PREFIX: &str = "$argon2id$";

/// Longer ones are no passwords, and hashing them would take its time.
const LONGEST: usize = 1024;

/// Why a text can't be a user name or a password from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Log-in without one is none.
    #[error("String should have at least 1 character")]
    Empty,
    /// Longer than anybody types.
    #[error("String should have at most 1024 characters")]
    TooLong,
    /// The frontend encodes Latin-1.
    #[error("Value error, browsers can't send some of these characters")]
    Unsendable,
    /// The first colon ends the user name (RFC 7617).
    #[error("Value error, a user name can't hold a colon")]
    Colon,
    /// It would be read as another password's hash.
    #[error("Value error, this would be taken for the hash of a password")]
    Hash,
}

/// Whether this can be the user name from now on.
///
/// # Errors
/// Why not.
pub fn check_username(text: &str) -> Result<(), Unusable> {
    if text.contains(':') {
        return Err(Unusable::Colon);
    }
    check(text)
}

/// Whether this can be the password from now on.
///
/// # Errors
/// Why not.
pub fn check_password(text: &str) -> Result<(), Unusable> {
    if text.starts_with(HASH_PREFIX) {
        return Err(Unusable::Hash);
    }
    check(text)
}

fn check(text: &str) -> Result<(), Unusable> {
    let sendable = |c: char| u32::from(c) <= 0xff && !c.is_control();
    if text.is_empty() {
        Err(Unusable::Empty)
    } else if text.chars().count() > LONGEST {
        Err(Unusable::TooLong)
    } else if !text.chars().all(sendable) {
        Err(Unusable::Unsendable)
    } else {
        Ok(())
    }
}

/// Whether a stored password is a hash; any other text is the password itself.
pub fn is_hash(stored: &str) -> bool {
    stored.starts_with(HASH_PREFIX) && PasswordHash::new(stored).is_ok()
}

/// The hash of a new password, with a salt of its own. Takes tens of milliseconds and 19 MiB.
///
/// # Errors
/// There is no memory or no randomness for it.
pub fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(argon2.hash_password(password.as_bytes())?.to_string())
}

/// Whether `given`, as it came out of an `Authorization` header, is the stored password. Browsers
/// send it as Latin-1 (`btoa`), other programs as UTF-8, and the bytes do not tell. If the
/// password is stored as a hash, this takes tens of milliseconds for each.
pub(super) fn is_right(stored: &str, given: &[u8]) -> bool {
    if !is_hash(stored) {
        return bool::from(is_same(stored, given));
    }
    if given.len() > 2 * LONGEST {
        return false;
    }
    let Ok(hash) = PasswordHash::new(stored) else {
        return false;
    };
    let verifies = |password: &[u8]| Argon2::default().verify_password(password, &hash).is_ok();
    if std::str::from_utf8(given).is_ok() && verifies(given) {
        return true;
    }
    let from_latin1: String = given.iter().copied().map(char::from).collect();
    !given.is_ascii() && verifies(from_latin1.as_bytes())
}

/// Compares in constant time with a stored text in either encoding. Of both a hash, so that the
/// time does not even tell whether they are of one length.
pub(super) fn is_same(stored: &str, given: &[u8]) -> Choice {
    let given = Sha256::digest(given);
    let is = |text: &[u8]| Sha256::digest(text).ct_eq(&given);
    let latin1: Option<Vec<u8>> = stored.chars().map(|c| u8::try_from(c).ok()).collect();
    is(stored.as_bytes()) | latin1.map_or(Choice::from(0), |latin1| is(&latin1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_recognised_and_verifies_both_encodings() {
        let stored = hash("pässword").unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert!(is_hash(&stored));
        assert_ne!(stored, hash("pässword").unwrap(), "each has its own salt");
        assert!(is_right(&stored, "pässword".as_bytes()));
        assert!(is_right(&stored, b"p\xe4ssword"));
        assert!(!is_right(&stored, b"password"));
        assert!(
            !is_right(&stored, stored.as_bytes()),
            "the hash is no password"
        );
    }

    #[test]
    fn what_nobody_could_send_later_is_refused() {
        assert_eq!(check_username("jürgen"), Ok(()));
        assert_eq!(check_password("a:b ¿ÿ"), Ok(()));
        assert_eq!(check_username("a:b"), Err(Unusable::Colon));
        assert_eq!(check_username(""), Err(Unusable::Empty));
        for unsendable in ["5 €", "a\nb", "日本", "a\u{7f}"] {
            assert_eq!(check_password(unsendable), Err(Unusable::Unsendable));
        }
        assert_eq!(check_password(&"ä".repeat(LONGEST)), Ok(()));
        assert_eq!(
            check_password(&"a".repeat(LONGEST + 1)),
            Err(Unusable::TooLong)
        );
        assert_eq!(check_password("$argon2id$v=19"), Err(Unusable::Hash));
    }

    #[test]
    fn plain_text_is_compared_in_both_encodings() {
        for given in ["pässword".as_bytes(), b"p\xe4ssword"] {
            assert!(is_right("pässword", given));
        }
        assert!(!is_right("pässword", b"password"));
        assert!(is_right("€", "€".as_bytes()));
        let looks_like_one = "$argon2id$ is no hash";
        assert!(!is_hash(looks_like_one) && is_right(looks_like_one, looks_like_one.as_bytes()));
    }
}

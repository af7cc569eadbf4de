//! The `Authorization` header of HTTP Basic (RFC 7617).

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Refusal;

/// User name and password, as bytes of an encoding that nobody tells.
#[derive(PartialEq, Eq)]
pub(super) struct Credentials {
    decoded: Vec<u8>,
    colon: usize,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Credentials {
    pub(super) fn of(header: &HeaderValue) -> Result<Self, Refusal> {
        let header = header.to_str().map_err(|_| Refusal::Undecodable)?;
        let (scheme, encoded) = header.split_once(' ').ok_or(Refusal::Missing)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(Refusal::Missing);
        }
        let decoded = BASE64_STANDARD.decode(encoded.trim());
        let decoded = decoded.map_err(|_| Refusal::Undecodable)?;
        let colon = decoded.iter().position(|byte| *byte == b':');
        let colon = colon.ok_or(Refusal::Undecodable)?;
        Ok(Self { decoded, colon })
    }

    pub(super) fn whole(&self) -> &[u8] {
        &self.decoded
    }

    pub(super) fn username(&self) -> &[u8] {
        &self.decoded[..self.colon]
    }

    /// What follows the first colon; it may hold others.
    pub(super) fn password(&self) -> &[u8] {
        &self.decoded[self.colon + 1..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &str) -> Result<Credentials, Refusal> {
        Credentials::of(&HeaderValue::from_str(header).unwrap())
    }

    #[test]
    fn the_first_colon_divides() {
        let encoded = BASE64_STANDARD.encode(b"j\xfcrgen:a:b");
        for scheme in ["Basic", "basic"] {
            let credentials = of(&format!("{scheme} {encoded}")).unwrap();
            assert_eq!(credentials.username(), b"j\xfcrgen");
            assert_eq!(credentials.password(), b"a:b");
        }
    }

    #[test]
    fn what_can_not_be_read_is_told_apart_from_what_is_not_there() {
        assert_eq!(of("Bearer abc"), Err(Refusal::Missing));
        assert_eq!(of("Basic"), Err(Refusal::Missing));
        assert_eq!(of("Basic ***"), Err(Refusal::Undecodable));
        let no_colon = BASE64_STANDARD.encode("nocolon");
        assert_eq!(of(&format!("Basic {no_colon}")), Err(Refusal::Undecodable));
    }
}

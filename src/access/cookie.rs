//! The cookie of a session (RFC 6265).

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use sha2::{Digest as _, Sha256};

use super::SESSION_TTL;

/// The cookie of one installation: two of them may live on one host, where cookies know no ports.
#[derive(Debug)]
pub struct SessionCookie {
    name: String,
}

impl SessionCookie {
    /// Derived, because the identifier itself is a secret.
    pub(super) fn of(installation: &str) -> Self {
        let digest = Sha256::digest(format!("komandorr_session:{installation}"));
        let mut name = "komandorr_session_".to_owned();
        for byte in digest.iter().take(4) {
            let _ = write!(name, "{byte:02x}");
        }
        Self { name }
    }

    /// Under which a browser keeps it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The token that the browser has.
    pub fn find<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let cookies = headers.get_all(header::COOKIE).iter();
        cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == self.name)
            .map(|(_, token)| token)
    }

    /// Has the browser keep `token` for as long as the session lasts.
    pub fn set(&self, response: Response, token: &str, secure: bool) -> Response {
        self.with(response, token, SESSION_TTL.as_secs(), secure)
    }

    /// Has the browser forget its token.
    pub fn clear(&self, response: Response, secure: bool) -> Response {
        self.with(response, "", 0, secure)
    }

    fn with(&self, mut response: Response, token: &str, age: u64, secure: bool) -> Response {
        let name = &self.name;
        let end = if secure { "; Secure" } else { "" };
        let cookie =
            format!("{name}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{end}");
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn it_is_found_among_others_and_belongs_to_one_installation() {
        let cookie = SessionCookie::of("one");
        assert_ne!(cookie.name, SessionCookie::of("two").name);
        assert_eq!(cookie.name.len(), "komandorr_session_".len() + 8);
        let mut headers = HeaderMap::new();
        let other = SessionCookie::of("two").name;
        let value = format!("a=b; {other}=theirs; {}=ours", cookie.name);
        headers.append(header::COOKIE, HeaderValue::from_static("x"));
        headers.append(header::COOKIE, value.parse().unwrap());
        assert_eq!(cookie.find(&headers), Some("ours"));
        assert_eq!(cookie.find(&HeaderMap::new()), None);
    }

    #[test]
    fn scripts_and_other_sites_can_not_use_it() {
        let cookie = SessionCookie::of("one");
        let sent = |response: Response| {
            let value = response.headers()[header::SET_COOKIE].to_str().unwrap();
            value.strip_prefix(&cookie.name).unwrap().to_owned()
        };
        let empty = || Response::new(Body::empty());
        assert_eq!(
            sent(cookie.set(empty(), "abc", true)),
            "=abc; Path=/; Max-Age=86400; HttpOnly; SameSite=Strict; Secure"
        );
        assert_eq!(
            sent(cookie.clear(empty(), false)),
            "=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
        );
    }
}

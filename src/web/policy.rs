//! What a page may load and do: the Content Security Policies of everything that is HTML.
//!
//! None of them says who may embed a page, for dashboards are put into others.

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

/// For the frontend. Its third parties are those of contract 09, section 3.5: the pictures behind
/// the invite page, and the map of the VPN card. Icons of services come from anywhere. `'self'`
/// does not include the WebSocket in every browser.
pub(super) const FRONTEND: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; \
     style-src 'self' 'unsafe-inline'; \
     img-src * data: blob:; \
     font-src 'self' data:; \
     connect-src 'self' ws: wss: https://api.themoviedb.org https://image.tmdb.org \
     https://cdn.jsdelivr.net; \
     worker-src 'self' blob:; \
     object-src 'none'; \
     base-uri 'self'; \
     form-action 'self'",
);

/// For the description of the API: nothing from elsewhere.
pub(super) const DOCS: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; \
     script-src 'self'; \
     style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; \
     connect-src 'self'; \
     base-uri 'none'; \
     form-action 'none'",
);

/// For a page that holds its one script itself.
pub(super) fn of_own_page(page: &str) -> Option<HeaderValue> {
    let (_, rest) = page.split_once("<script>")?;
    let (script, _) = rest.split_once("</script>")?;
    let hash = BASE64_STANDARD.encode(Sha256::digest(script));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{hash}'; style-src 'unsafe-inline'; \
         img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
    );
    HeaderValue::try_from(policy).ok()
}

//! CORS, as 3.3.0: listed origins, credentials, any method, any header.
//!
//! No layer: a general one puts together anew with each request what is always the same.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

/// What the headers below depend on.
const VARY: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);
const TRUE: HeaderValue = HeaderValue::from_static("true");
/// Ten minutes.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// What a preliminary question asks for, and where the answer repeats it.
const MIRRORED: [(HeaderName, HeaderName); 2] = [
    (
        header::ACCESS_CONTROL_REQUEST_METHOD,
        header::ACCESS_CONTROL_ALLOW_METHODS,
    ),
    (
        header::ACCESS_CONTROL_REQUEST_HEADERS,
        header::ACCESS_CONTROL_ALLOW_HEADERS,
    ),
];

/// The `Origin` of a request, if pages from there may read its answer.
pub(super) fn allowed(request: &Request, origins: &[String]) -> Option<HeaderValue> {
    let origin = request.headers().get(header::ORIGIN)?;
    // `*` together with credentials is not allowed; 3.3.0 mirrors the origin then.
    let mut origins = origins.iter();
    let is_allowed = origins.any(|one| one == "*" || origin == one.as_str());
    is_allowed.then(|| origin.clone())
}

/// The answer to a browser's preliminary question.
pub(super) fn preliminary(request: &Request, allowed: Option<HeaderValue>) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    complete(headers, allowed);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    for (asked, answered) in &MIRRORED {
        if let Some(value) = request.headers().get(asked) {
            headers.insert(answered, value.clone());
        }
    }
    response
}

/// Says in an answer that pages from `allowed` may read it.
pub(super) fn complete(headers: &mut HeaderMap, allowed: Option<HeaderValue>) {
    headers.append(header::VARY, VARY);
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&'static str, &str)]) -> Request {
        let mut request = Request::new(Body::empty());
        for (name, value) in headers {
            let name = HeaderName::from_static(name);
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    }

    #[test]
    fn listed_origins_are_allowed_and_a_star_allows_all() {
        let is_allowed = |origin: &str, listed: &str| {
            allowed(&asked(&[("origin", origin)]), &[listed.to_owned()]).is_some()
        };
        assert!(is_allowed("https://a.example", "https://a.example"));
        assert!(!is_allowed("https://b.example", "https://a.example"));
        assert!(!is_allowed("https://a.example.evil", "https://a.example"));
        assert!(is_allowed("https://b.example", "*") && is_allowed("null", "*"));
        assert_eq!(allowed(&asked(&[]), &["*".to_owned()]), None);
    }

    #[test]
    fn an_answer_keeps_what_it_varies_by_already() {
        let mut headers = HeaderMap::new();
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        complete(
            &mut headers,
            Some(HeaderValue::from_static("https://a.example")),
        );
        let all: Vec<&HeaderValue> = headers.get_all(header::VARY).iter().collect();
        assert_eq!(all, ["accept-encoding", VARY.to_str().unwrap()]);
        assert_eq!(headers["access-control-allow-origin"], "https://a.example");
        assert_eq!(headers["access-control-allow-credentials"], "true");
    }

    #[test]
    fn a_preliminary_question_gets_what_it_asks_for() {
        let request = asked(&[
            ("access-control-request-method", "DELETE"),
            ("access-control-request-headers", "authorization, x-any"),
        ]);
        let origin = Some(HeaderValue::from_static("https://a.example"));
        let answer = preliminary(&request, origin);
        let headers = answer.headers();
        assert_eq!(headers["access-control-allow-methods"], "DELETE");
        assert_eq!(
            headers["access-control-allow-headers"],
            "authorization, x-any"
        );
        assert_eq!(headers["access-control-max-age"], "600");
        assert_eq!(headers["access-control-allow-origin"], "https://a.example");

        let bare = preliminary(&asked(&[]), None);
        for absent in ["methods", "headers", "origin"] {
            let name = format!("access-control-allow-{absent}");
            assert!(!bare.headers().contains_key(&name), "{name}");
        }
    }
}

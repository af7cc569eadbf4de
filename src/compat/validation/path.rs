//! Numbers that stand in a path.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::{ValidationError, scalars};

/// Extracts the whole number that is the one parameter of a path.
#[derive(Clone, Copy, Debug)]
pub struct PathInteger(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for PathInteger {
    type Rejection = ValidationError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ValidationError> {
        let given = RawPathParams::from_request_parts(parts, state).await;
        // Text that is not UTF-8 is as little a number as none at all.
        let first = given.as_ref().ok().and_then(|given| given.iter().next());
        let (name, text) = first.unwrap_or_default();
        integer_in_path(name, text).map(Self)
    }
}

/// The whole number that `text` means, the path's part of this name. One beyond 64 bits is refused:
/// nothing here has such a number, and 3.3.0 broke on them (contract 08, item 31).
///
/// # Errors
/// It means none.
pub fn integer_in_path(name: &str, text: &str) -> Result<i64, ValidationError> {
    let number = scalars::integer_of_text(text.trim());
    number.map_err(|wrong| {
        wrong
            .at(vec!["path".into(), name.into()], text.into())
            .into()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_number_is_named() {
        assert_eq!(integer_in_path("invite_id", "12").unwrap(), 12);
        let refused = integer_in_path("invite_id", "users").unwrap_err();
        assert_eq!(
            serde_json::to_value(refused).unwrap()["detail"],
            json!([{"type":"int_parsing","loc":["path","invite_id"],"input":"users",
                    "msg":"Input should be a valid integer, unable to parse string as an integer"}])
        );
        let large = integer_in_path("id", "99999999999999999999").unwrap_err();
        let large = serde_json::to_value(large).unwrap();
        assert_eq!(large["detail"][0]["type"], "int_parsing_size");
    }
}

//! [`QueryParameters`]: what stands behind the question mark.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{ValidationError, Wrong, scalars};

/// The parameters of a query, decoded, in their order. The last one counts where there are
/// several of a name.
#[derive(Debug)]
pub struct QueryParameters(Vec<(String, String)>);

impl QueryParameters {
    /// A text that must be there, though it may be empty.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn required_text(&self, name: &'static str) -> Result<&str, ValidationError> {
        let missing = || Wrong::MISSING.at(place(name), Value::Null).into();
        self.last(name).ok_or_else(missing)
    }

    /// A number of things, 0 or more, or `default` where there is no parameter of this name.
    ///
    /// # Errors
    /// It is no whole number, or negative.
    pub fn count_or(&self, name: &'static str, default: usize) -> Result<usize, ValidationError> {
        let Some(text) = self.last(name) else {
            return Ok(default);
        };
        let negative = Wrong {
            ctx: Some(json!({"ge": 0})),
            ..Wrong::new(
                "greater_than_equal",
                "Input should be greater than or equal to 0",
            )
        };
        let number = scalars::integer_of_text(text.trim());
        let count = number.and_then(|number| usize::try_from(number).map_err(|_| negative));
        count.map_err(|wrong| wrong.at(place(name), text.into()).into())
    }

    /// Any whole number; `None` where there is no parameter of this name.
    ///
    /// # Errors
    /// It is none.
    pub fn optional_integer(&self, name: &'static str) -> Result<Option<i64>, ValidationError> {
        let Some(text) = self.last(name) else {
            return Ok(None);
        };
        let number = scalars::integer_of_text(text.trim());
        number
            .map(Some)
            .map_err(|wrong| wrong.at(place(name), text.into()).into())
    }

    /// A switch, in all words that a boolean has; off where there is no parameter of this name.
    ///
    /// # Errors
    /// It is none of them.
    pub fn flag(&self, name: &'static str) -> Result<bool, ValidationError> {
        let Some(text) = self.last(name) else {
            return Ok(false);
        };
        let flag = scalars::boolean(&text.into());
        flag.map_err(|wrong| wrong.at(place(name), text.into()).into())
    }

    /// A text, or `default` where there is none of this name.
    ///
    /// # Errors
    /// It has more than so many characters.
    pub fn text_or<'a>(
        &'a self,
        name: &'static str,
        default: &'a str,
        longest: usize,
    ) -> Result<&'a str, ValidationError> {
        let text = self.last(name).unwrap_or(default);
        if text.chars().count() <= longest {
            return Ok(text);
        }
        let too_long = Wrong {
            kind: "string_too_long",
            msg: format!("String should have at most {longest} characters").into(),
            ctx: Some(json!({ "max_length": longest })),
        };
        Err(too_long.at(place(name), text.into()).into())
    }

    /// A text, if there is one of this name.
    pub fn optional_text(&self, name: &str) -> Option<&str> {
        self.last(name)
    }

    fn last(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().rev();
        values
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    fn of(query: &str) -> Self {
        Self(
            form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }
}

fn place(name: &str) -> Vec<Value> {
    vec!["query".into(), name.into()]
}

impl<S: Send + Sync> FromRequestParts<S> for QueryParameters {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(error: ValidationError) -> Value {
        serde_json::to_value(error).unwrap()["detail"].clone()
    }

    #[test]
    fn the_last_parameter_of_a_name_counts_and_a_missing_one_is_named() {
        let query = QueryParameters::of("url=a&x=1&url=b%20c+d&y=");
        assert_eq!(query.required_text("url").unwrap(), "b c d");
        assert_eq!(query.required_text("y").unwrap(), "");
        assert_eq!(
            shown(query.required_text("z").unwrap_err()),
            json!([{"type":"missing","loc":["query","z"],"msg":"Field required","input":null}])
        );
    }

    #[test]
    fn numbers_and_switches_may_be_missing() {
        let query = QueryParameters::of("page=-2&bad=x&all=yes");
        assert_eq!(query.optional_integer("page").unwrap(), Some(-2));
        assert_eq!(query.optional_integer("limit").unwrap(), None);
        assert!(query.flag("all").unwrap());
        assert!(!query.flag("none").unwrap());
        assert_eq!(query.optional_text("bad"), Some("x"));
        for problem in [
            shown(query.optional_integer("bad").unwrap_err()),
            shown(query.flag("bad").unwrap_err()),
        ] {
            assert_eq!(problem[0]["loc"], json!(["query", "bad"]));
        }
    }

    #[test]
    fn a_text_may_be_too_long() {
        let text = |query: &str| {
            let query = QueryParameters::of(query);
            query.text_or("q", "ab", 3).map(str::to_owned)
        };
        assert_eq!(text("").unwrap(), "ab");
        assert_eq!(text("q=").unwrap(), "");
        assert_eq!(text("q=%C3%A4%C3%A4%C3%A4").unwrap(), "äää");
        assert_eq!(
            shown(text("q=abcd").unwrap_err()),
            json!([{"type":"string_too_long","loc":["query","q"],"input":"abcd",
                    "msg":"String should have at most 3 characters","ctx":{"max_length":3}}])
        );
    }

    #[test]
    fn a_count_is_not_negative() {
        let count = |query: &str| QueryParameters::of(query).count_or("limit", 100);
        assert_eq!(count("").unwrap(), 100);
        assert_eq!(count("limit=0").unwrap(), 0);
        assert_eq!(count("limit=5.0").unwrap(), 5);
        assert_eq!(
            shown(count("limit=-1").unwrap_err()),
            json!([{"type":"greater_than_equal","loc":["query","limit"],
                    "msg":"Input should be greater than or equal to 0","input":"-1",
                    "ctx":{"ge":0}}])
        );
        for bad in ["limit=", "limit=many"] {
            let problem = shown(count(bad).unwrap_err());
            assert_eq!(problem[0]["type"], "int_parsing", "{bad}");
        }
    }
}

//! What the answers say of each server.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::outside::CallError;
use super::super::upstream::{Answer, Failure, Shape};
use super::ask::{ById, Server, Servers};

/// Of an answer that is no list; a real one has a kilobyte.
const LARGEST_STATUS: usize = 256 * 1024;

/// Which server it is.
#[derive(Serialize, ToSchema)]
#[schema(as = ArrServer)]
struct Named<'a> {
    name: &'a str,
    /// `sonarr` or `radarr`; not checked.
    #[serde(rename = "type")]
    kind: &'a str,
    /// Whether there are an address and a key.
    enabled: bool,
}

/// What one server is downloading.
#[derive(Serialize, ToSchema)]
#[schema(as = ArrQueue)]
pub(super) struct Queue<'a> {
    #[serde(flatten)]
    server: Named<'a>,
    /// Where people find it; may be empty.
    access_url: &'a str,
    #[serde(flatten)]
    page: Page<'a>,
}

/// What one server has done.
#[derive(Serialize, ToSchema)]
#[schema(as = ArrHistory)]
pub(super) struct History<'a> {
    #[serde(flatten)]
    server: Named<'a>,
    #[serde(flatten)]
    page: Page<'a>,
}

/// What one server is.
#[derive(Serialize, ToSchema)]
#[schema(as = ArrSystemStatus)]
pub(super) struct SystemStatus<'a> {
    #[serde(flatten)]
    server: Named<'a>,
    configured_url: &'a str,
    #[schema(value_type = Object)]
    status: Status<'a>,
}

/// How much all servers are downloading.
#[derive(Serialize, ToSchema)]
#[schema(as = ArrQueueStatus)]
pub(super) struct QueueStatus<'a> {
    /// Name and type of each, and what it says.
    #[schema(value_type = BTreeMap<String, Object>)]
    instances: ById<'a, Map<String, Value>>,
    combined: Combined,
}

/// The sum of all, or whether any has them.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = ArrQueueStatusCombined)]
#[serde(rename_all = "camelCase")]
struct Combined {
    total_count: u64,
    errors: bool,
    warnings: bool,
}

/// A part of a list, as servers send it and as it is passed on.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
struct Page<'a> {
    #[serde(borrow)]
    #[schema(value_type = Vec<Object>)]
    records: List<'a>,
    /// Of all pages.
    total_records: u64,
    /// Why there is nothing to show.
    error: Option<String>,
}

/// A list, byte for byte, or none.
#[derive(Debug, Default)]
struct List<'a>(Option<&'a RawValue>);

/// What a server says of itself, byte for byte, or why it does not.
#[derive(Serialize)]
#[serde(untagged)]
enum Status<'a> {
    Said(Box<RawValue>),
    Unknown(Page<'a>),
}

impl<'a> Named<'a> {
    fn of(server: &'a Server) -> Self {
        Self {
            name: &server.instance.name,
            kind: &server.instance.kind,
            enabled: server.is_enabled(),
        }
    }
}

impl<'a> Queue<'a> {
    pub(super) fn of(server: &'a Server) -> Self {
        Self {
            server: Named::of(server),
            access_url: &server.instance.access_url,
            page: Page::of(server),
        }
    }
}

impl<'a> History<'a> {
    pub(super) fn of(server: &'a Server) -> Self {
        Self {
            server: Named::of(server),
            page: Page::of(server),
        }
    }
}

impl<'a> SystemStatus<'a> {
    pub(super) fn of(server: &'a Server) -> Self {
        Self {
            server: Named::of(server),
            configured_url: &server.instance.url,
            status: match said(server) {
                Ok(status) => Status::Said(status),
                Err(error) => Status::Unknown(Page::without(error)),
            },
        }
    }
}

impl<'a> QueueStatus<'a> {
    pub(super) fn of(servers: &'a Servers) -> Self {
        let instances = servers.map(status);
        let mut combined = Combined::default();
        for status in instances.values() {
            let is = |name| status.get(name).and_then(Value::as_bool) == Some(true);
            let count = status.get("totalCount").and_then(Value::as_u64);
            combined.total_count = combined.total_count.saturating_add(count.unwrap_or(0));
            combined.errors |= is("errors");
            combined.warnings |= is("warnings");
        }
        Self {
            instances,
            combined,
        }
    }
}

/// Name and type of a server with all that it says of its queue.
fn status(server: &Server) -> Map<String, Value> {
    let read = |text: Box<RawValue>| {
        let read = serde_json::from_str(text.get());
        read.map_err(|_not_json| Failure::NotJson.to_string())
    };
    let said: Result<Map<String, Value>, String> = said(server).and_then(read);
    let said = said.unwrap_or_else(|error| match serde_json::to_value(Page::without(error)) {
        Ok(Value::Object(trouble)) => trouble,
        _ => Map::new(),
    });
    let mut status = Map::new();
    status.insert("name".to_owned(), server.instance.name.clone().into());
    status.insert("type".to_owned(), server.instance.kind.clone().into());
    for (key, value) in said {
        status.entry(key).or_insert(value);
    }
    status
}

/// The object that a server has sent, which is small.
fn said(server: &Server) -> Result<Box<RawValue>, String> {
    let answer = server.answer.as_ref().map_err(String::clone)?;
    if answer.body.len() > LARGEST_STATUS {
        return Err(Failure::from(CallError::TooLarge).to_string());
    }
    let said = answer.json(Shape::Object);
    said.map_err(|failure| failure.to_string())
}

impl<'a> Page<'a> {
    fn of(server: &'a Server) -> Self {
        let read = |answer| Self::read(answer).map_err(|failure| failure.to_string());
        let page = server.answer.as_ref().map_err(String::clone);
        page.and_then(read).unwrap_or_else(Self::without)
    }

    fn without(error: String) -> Self {
        Self {
            error: Some(error),
            ..Self::default()
        }
    }

    /// One look over the text, of which nothing is copied: it may have megabytes.
    fn read(answer: &'a Answer) -> Result<Self, Failure> {
        let body = answer.body.trim_ascii_start();
        let page: Self = serde_json::from_slice(body).map_err(|error| {
            if error.is_data() {
                Failure::Shape
            } else {
                Failure::NotJson
            }
        })?;
        if body.starts_with(b"{") {
            Ok(page)
        } else {
            Err(Failure::Shape)
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list: Option<&RawValue> = Option::deserialize(deserializer)?;
        if list.is_none_or(|list| list.get().starts_with('[')) {
            Ok(Self(list))
        } else {
            Err(D::Error::custom("not a list"))
        }
    }
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(list) => list.serialize(serializer),
            None => serializer.collect_seq([(); 0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        Answer {
            status: 200,
            is_json: true,
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn a_list_is_passed_on_as_it_came() {
        let shown = |body: &str| serde_json::to_string(&Page::read(&answer(body)).unwrap());
        let written = "\n {\"page\":1,\"records\":[ {\"id\": 1.50} ],\"totalRecords\":7}";
        let expected = r#"{"records":[ {"id": 1.50} ],"totalRecords":7,"error":null}"#;
        assert_eq!(shown(written).unwrap(), expected);
        for nothing in ["{}", r#"{"records":null,"error":null}"#] {
            let expected = r#"{"records":[],"totalRecords":0,"error":null}"#;
            assert_eq!(shown(nothing).unwrap(), expected);
        }
        let said = r#"{"error":"Database is locked"}"#;
        let expected = r#"{"records":[],"totalRecords":0,"error":"Database is locked"}"#;
        assert_eq!(shown(said).unwrap(), expected);
    }

    #[test]
    fn what_the_pages_cannot_show_is_a_failure() {
        let failure = |body: &str| Page::read(&answer(body)).unwrap_err();
        for shapeless in [
            "[]",
            "[[],7,null]",
            "null",
            "7",
            r#"{"records":{}}"#,
            r#"{"records":"none"}"#,
            r#"{"totalRecords":"7"}"#,
            r#"{"totalRecords":-1}"#,
            r#"{"error":{"code":7}}"#,
        ] {
            assert_eq!(failure(shapeless), Failure::Shape, "{shapeless}");
        }
        for garbage in ["", "<html>", r#"{"records":[{"id":1}"#, "{} {}"] {
            assert_eq!(failure(garbage), Failure::NotJson, "{garbage}");
        }
    }
}

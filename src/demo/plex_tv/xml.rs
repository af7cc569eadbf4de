//! XML as plex.tv writes it: everything is an attribute.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;

/// An element that is being written.
pub(super) struct Tag {
    name: &'static str,
    attributes: String,
    children: Vec<Self>,
}

impl Tag {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            attributes: String::new(),
            children: Vec::new(),
        }
    }

    pub(super) fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let _ = write!(
            self.attributes,
            " {name}=\"{}\"",
            escaped(&value.to_string())
        );
        self
    }

    pub(super) fn flag(self, name: &str, value: bool) -> Self {
        self.with(name, u8::from(value))
    }

    pub(super) fn holding(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    fn write(&self, indent: usize, xml: &mut String) {
        let (name, attributes) = (self.name, &self.attributes);
        let _ = write!(xml, "{:indent$}<{name}{attributes}", "");
        if self.children.is_empty() {
            xml.push_str("/>\n");
            return;
        }
        xml.push_str(">\n");
        for child in &self.children {
            child.write(indent + 2, xml);
        }
        let _ = writeln!(xml, "{:indent$}</{name}>", "");
    }

    pub(super) fn answer(&self, status: StatusCode) -> Response<Body> {
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        self.write(0, &mut xml);
        let kind = [(header::CONTENT_TYPE, "application/xml; charset=utf-8")];
        (status, kind, xml).into_response()
    }
}

/// The root of every list.
pub(super) fn container(machine: &str, children: Vec<Tag>) -> Tag {
    Tag::new("MediaContainer")
        .with("friendlyName", "myPlex")
        .with("identifier", "com.plexapp.plugins.myplex")
        .with("machineIdentifier", machine)
        .with("size", children.len())
        .holding(children)
}

/// A refusal with plex.tv's words.
pub(super) fn refusal(status: StatusCode, words: &str) -> Response<Body> {
    let response = Tag::new("Response")
        .with("code", 2007)
        .with("status", words);
    response.answer(status)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

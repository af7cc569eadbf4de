//! Reading what plex.tv sends: XML or JSON, whichever comes, into one tree.
//!
//! `/api/*` speaks XML whatever is asked of it, `/api/v2/*` speaks both, and both say the same: an
//! element's attributes are an object's fields, its children the objects among them. What is missing
//! reads as empty.

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};
use serde_json::Value;

/// What plex.tv nests is four deep. Deeper trees could not even be dropped safely.
const DEEPEST: usize = 16;
/// Elements and attributes of one answer: thousands of people with all that is said of each.
const MOST_PIECES: usize = 200_000;
/// The root of every list of `/api/*`.
const CONTAINER: &str = "MediaContainer";

/// One element of an answer.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Element {
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    pub(super) children: Vec<Self>,
}

impl Element {
    /// The root of a whole answer; `None` for half of one, a page for people, or anything else.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        match body.trim_ascii_start().first()? {
            b'<' => read_xml(&String::from_utf8_lossy(body)),
            b'{' | b'[' => read_json(serde_json::from_slice(body).ok()?),
            _ => None,
        }
    }

    /// The root of a list.
    pub(super) fn read_list(body: &[u8]) -> Option<Self> {
        Self::read(body).filter(|root| root.name == CONTAINER)
    }

    /// An attribute; empty where there is none.
    pub(super) fn text(&self, name: &str) -> String {
        self.attribute(name).unwrap_or_default().to_owned()
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The first of these attributes that says anything.
    pub(super) fn first_of(&self, names: &[&str]) -> String {
        let mut said = names.iter().filter_map(|name| self.attribute(name));
        said.find(|value| !value.is_empty())
            .unwrap_or_default()
            .to_owned()
    }

    /// Whether an attribute says yes.
    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.attribute(name), Some("1" | "true"))
    }

    /// Children of this name, not their children.
    pub(super) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// Whether this is a page for people, such as the log-in of a network that is not free.
pub(super) fn is_page(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    ["<!doctype", "<html"].iter().any(|start| {
        let beginning = body.get(..start.len()).unwrap_or_default();
        beginning.eq_ignore_ascii_case(start.as_bytes())
    })
}

fn read_xml(xml: &str) -> Option<Element> {
    let mut reader = Reader::from_str(xml);
    let mut pieces = MOST_PIECES;
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        let (start, opens) = match reader.read_event().ok()? {
            Event::Start(start) => (start, true),
            Event::Empty(start) => (start, false),
            Event::End(_) => {
                let closed = open.pop()?;
                adopt(closed, &mut open, &mut root)?;
                continue;
            }
            Event::Eof if open.is_empty() => return root,
            // Half a document, or a page for people; plex.tv's answers have no type.
            Event::Eof | Event::DocType(_) => return None,
            _ => continue,
        };
        if root.is_some() || open.len() == DEEPEST {
            return None;
        }
        let element = element(&start, &mut pieces)?;
        if open.is_empty() && element.name.eq_ignore_ascii_case("html") {
            return None;
        }
        if opens {
            open.push(element);
        } else {
            adopt(element, &mut open, &mut root)?;
        }
    }
}

/// Gives a complete element to the one around it, or makes it the root.
fn adopt(element: Element, open: &mut [Element], root: &mut Option<Element>) -> Option<()> {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None if root.is_some() => return None,
        None => *root = Some(element),
    }
    Some(())
}

fn element(start: &BytesStart<'_>, pieces: &mut usize) -> Option<Element> {
    *pieces = pieces.checked_sub(1)?;
    let mut attributes = Vec::new();
    // Looking for duplicates would compare each one with all others.
    for attribute in start.attributes().with_checks(false) {
        *pieces = pieces.checked_sub(1)?;
        let attribute = attribute.ok()?;
        let value = &attribute.value;
        // What holds an entity that nobody knows stays as it is written.
        let text = unescape(value).map_or_else(|_| value.to_string(), Into::into);
        attributes.push((attribute.key.local_name().as_ref().to_owned(), text));
    }
    Some(Element {
        name: start.local_name().as_ref().to_owned(),
        attributes,
        children: Vec::new(),
    })
}

fn read_json(root: Value) -> Option<Element> {
    let mut pieces = MOST_PIECES;
    match root {
        Value::Object(mut fields) => match fields.remove(CONTAINER) {
            Some(container @ Value::Object(_)) => object(CONTAINER, container, 0, &mut pieces),
            Some(_) => None,
            None => object("", Value::Object(fields), 0, &mut pieces),
        },
        list @ Value::Array(_) => object("", list, 0, &mut pieces),
        _ => None,
    }
}

/// An object as an element; a list as one whose children have no name.
fn object(name: &str, value: Value, depth: usize, pieces: &mut usize) -> Option<Element> {
    if depth == DEEPEST {
        return None;
    }
    let mut element = Element {
        name: name.to_owned(),
        ..Element::default()
    };
    let fields: Vec<(String, Value)> = match value {
        Value::Object(fields) => fields.into_iter().collect(),
        list => vec![(String::new(), list)],
    };
    for (key, value) in fields {
        *pieces = pieces.checked_sub(1)?;
        match value {
            Value::Null => {}
            Value::String(text) => element.attributes.push((key, text)),
            Value::Bool(flag) => element.attributes.push((key, flag.to_string())),
            Value::Number(number) => element.attributes.push((key, number.to_string())),
            Value::Object(_) => {
                let child = object(&key, value, depth + 1, pieces)?;
                element.children.push(child);
            }
            // Each entry of a list is a child by the list's name, as in XML.
            Value::Array(list) => {
                *pieces = pieces.checked_sub(list.len())?;
                for entry in list.into_iter().filter(Value::is_object) {
                    let child = object(&key, entry, depth + 1, pieces)?;
                    element.children.push(child);
                }
            }
        }
    }
    Some(element)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> Option<usize> {
        Element::read_list(text.as_bytes()).map(|root| root.named("SharedServer").count())
    }

    #[test]
    fn direct_children_of_the_root_are_counted() {
        let xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- > -->\n\
            <MediaContainer friendlyName='A &amp; B &quot;🦊&quot;' size=\"9\">\n\
              <SharedServer id=\"1\" username=\"a &gt; b\"><Section id=\"1\"/>\
                <SharedServer id=\"nested\"/></SharedServer>\n\
              <SharedServer id='2'/> &unknown; <![CDATA[<SharedServer/>]]>\n\
              <Other><SharedServer/></Other><x:SharedServer xmlns:x='y'/></MediaContainer>";
        assert_eq!(count(xml), Some(3));
        assert_eq!(count("<MediaContainer size=\"0\"/>"), Some(0));
        assert_eq!(count("<MediaContainer></MediaContainer>\n"), Some(0));
        let json = r#" {"MediaContainer":{"size":2,"SharedServer":[{"id":1},7,{"id":2}],
            "Other":{"SharedServer":[{}]}}}"#;
        assert_eq!(count(json), Some(2));
        let one = r#"{"MediaContainer":{"SharedServer":{"id":1}}}"#;
        assert_eq!(count(one), Some(1));
        assert_eq!(count(r#"{"MediaContainer":{"size":0}}"#), Some(0));
    }

    #[test]
    fn what_is_no_whole_document_has_no_number() {
        for broken in [
            "",
            "Too many requests",
            "{\"SharedServer\":1}",
            "{\"MediaContainer\":null}",
            "{\"MediaContainer\":{}",
            "{\"MediaContainer\":{}} more",
            "[]",
            "<MediaContainer><SharedServer/>",
            "<MediaContainer><SharedServer></MediaContainer>",
            "<MediaContainer><SharedServer",
            "<MediaContainer/><MediaContainer/>",
            "<!DOCTYPE html><html><SharedServer></SharedServer></html>",
            "<HTML/>",
            "<errors/>",
            "<!DOCTYPE html><title>Log in</title>",
            "<title>Log in</title><h1>Log in</h1>",
            "</MediaContainer>",
            "\u{0}\u{fffd}<",
        ] {
            assert_eq!(count(broken), None, "{broken:?}");
        }
        assert_eq!(Element::read(b"<HTML/>"), None);
    }

    #[test]
    fn both_forms_say_the_same() {
        let xml = Element::read(
            b"<user id='7' title='A &amp; B' odd='&amp;&nix;' on='1' off='0'><one k='v'/><sub k='w'/></user>",
        );
        let json = Element::read(
            br#"{"id":7,"title":"A & B","odd":"&amp;&nix;","on":true,"off":false,"none":null,
                 "one":{"k":"v"},"sub":[{"k":"w"}]}"#,
        );
        for user in [xml.unwrap(), json.unwrap()] {
            assert_eq!(user.text("id"), "7");
            assert_eq!(user.text("title"), "A & B");
            assert_eq!(user.text("odd"), "&amp;&nix;");
            assert!(user.flag("on") && !user.flag("off") && !user.flag("none"));
            assert_eq!(user.attribute("none"), None);
            assert_eq!(user.first_of(&["none", "title"]), "A & B");
            assert_eq!(user.named("sub").next().unwrap().text("k"), "w");
            assert_eq!(user.children.len(), 2);
        }
        let list = Element::read(b"[{\"id\":1},{\"id\":2}]").unwrap();
        assert_eq!(list.children.len(), 2);
    }

    #[test]
    fn what_is_nested_without_end_or_has_countless_pieces_is_none() {
        let deep = |levels: usize| {
            let (open, close) = ("<a>".repeat(levels), "</a>".repeat(levels));
            Element::read(format!("{open}{close}").as_bytes()).is_some()
        };
        assert!(deep(DEEPEST) && !deep(DEEPEST + 1) && !deep(1_000_000));
        let deep = |levels: usize| {
            let (open, close) = ("{\"a\":".repeat(levels), "}".repeat(levels));
            Element::read(format!("{open}1{close}").as_bytes()).is_some()
        };
        assert!(deep(DEEPEST) && !deep(DEEPEST + 1) && !deep(1_000_000));
        let many = format!("<a>{}</a>", "<b c=''/>".repeat(MOST_PIECES / 2));
        assert_eq!(Element::read(many.as_bytes()), None);
        let many = format!("[{}0]", "0,".repeat(MOST_PIECES));
        assert_eq!(Element::read(many.as_bytes()), None);
    }

    #[test]
    fn pages_for_people_are_known() {
        for page in [" <!DocType html><p>", "<HTML lang='de'>", "\n<html>"] {
            assert!(is_page(page.as_bytes()), "{page}");
        }
        for other in ["", "<", "<MediaContainer/>", "{}", "html"] {
            assert!(!is_page(other.as_bytes()), "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_answer_of_plex_tv_makes_it_panic(xml in "[<>/a-zA-Z0-9 =\"'&;!\\[\\]?-]{0,200}") {
            Element::read(xml.as_bytes());
        }

        #[test]
        fn nor_does_anything_that_looks_like_json(json in "[{\\[][\\[\\]{}a-z0-9 \":,.-]{0,200}") {
            Element::read(json.as_bytes());
        }

        #[test]
        fn nor_do_any_bytes(bytes in proptest::collection::vec(0_u8.., 0..200)) {
            Element::read(&bytes);
            is_page(&bytes);
        }
    }
}

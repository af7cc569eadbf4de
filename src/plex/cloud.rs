//! plex.tv: what a server's owner shares with whom.

use std::fmt::Write as _;
use std::time::Duration;

use quick_xml::Reader;
use quick_xml::events::Event;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use url::Url;

use super::error::PlexError;
use super::server::{PlexClient, body_of, successful};
use crate::settings::Secret;

/// For one call in all.
const DEADLINE: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;

/// plex.tv, asked in the name of a server's owner.
#[derive(Debug)]
pub(super) struct PlexTv {
    http: reqwest::Client,
    base: Url,
    token: Secret,
    /// The same for as long as this installation lives: plex.tv lists every one it sees as a
    /// device.
    client_identifier: String,
}

/// What plex.tv knows this installation by. Derived, because the installation's own identifier is a
/// secret.
pub(super) fn client_identifier(installation: &str) -> String {
    let digest = Sha256::digest(format!("X-Plex-Client-Identifier:{installation}"));
    digest.iter().take(16).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

impl PlexClient {
    /// plex.tv, or what stands in for it, at `base`.
    pub(super) fn plex_tv(&self, base: &Url, token: &Secret, client_identifier: String) -> PlexTv {
        PlexTv {
            http: self.verifying(),
            base: base.clone(),
            token: token.clone(),
            client_identifier,
        }
    }
}

impl PlexTv {
    /// With how many people the server of this identifier is shared.
    ///
    /// # Errors
    /// The call's; [`PlexError::NotPlex`] for an answer that is not plex.tv's XML.
    pub(super) async fn shared_servers(&self, machine_identifier: &str) -> Result<u64, PlexError> {
        let mut url = self.base.clone();
        // Pushed as one segment: whatever claims to be an identifier must not lead elsewhere.
        url.path_segments_mut()
            .map_err(|()| PlexError::Connect)?
            .pop_if_empty()
            .extend(["api", "servers", machine_identifier, "shared_servers"]);
        let call = async {
            let response = self
                .http
                .get(url)
                .header("X-Plex-Token", self.token.expose())
                .header("X-Plex-Client-Identifier", &self.client_identifier)
                .header("X-Plex-Product", "Komandorr")
                .header("Accept", "application/xml")
                .send()
                .await
                .map_err(|error| PlexError::from_reqwest(&error))?;
            body_of(successful(response)?, LARGEST_ANSWER).await
        };
        let body = timeout(DEADLINE, call)
            .await
            .map_err(|_elapsed| PlexError::Timeout)??;
        count_children(&String::from_utf8_lossy(&body), "SharedServer").ok_or(PlexError::NotPlex)
    }
}

/// How many direct children of that name the root element has; `None` if this is not a whole XML
/// document, or a page for people.
fn count_children(xml: &str, name: &str) -> Option<u64> {
    let mut reader = Reader::from_str(xml);
    let (mut depth, mut count, mut has_root) = (0_u32, 0, false);
    loop {
        let (element, opens) = match reader.read_event().ok()? {
            Event::Start(element) => (element, true),
            Event::Empty(element) => (element, false),
            Event::End(_) => {
                depth = depth.checked_sub(1)?;
                continue;
            }
            // A page for people; plex.tv's answers have none.
            Event::DocType(_) => return None,
            Event::Eof => return (has_root && depth == 0).then_some(count),
            _ => continue,
        };
        match depth {
            0 if has_root || element.local_name().as_ref().eq_ignore_ascii_case("html") => {
                return None;
            }
            0 => has_root = true,
            1 if element.local_name().as_ref() == name => count += 1,
            _ => {}
        }
        depth += u32::from(opens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(xml: &str) -> Option<u64> {
        count_children(xml, "SharedServer")
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
    }

    #[test]
    fn what_is_no_whole_document_has_no_number() {
        for broken in [
            "",
            "Too many requests",
            "{\"SharedServer\":1}",
            "<MediaContainer><SharedServer/>",
            "<MediaContainer><SharedServer></MediaContainer>",
            "<MediaContainer><SharedServer",
            "<!DOCTYPE html><html><SharedServer></SharedServer></html>",
            "<HTML/>",
            "<!DOCTYPE html><title>Log in</title>",
            "<title>Log in</title><h1>Log in</h1>",
            "</MediaContainer>",
            "\u{0}\u{fffd}<",
        ] {
            assert_eq!(count(broken), None, "{broken:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_answer_of_plex_tv_makes_it_panic(xml in "[<>/a-zA-Z0-9 =\"'&;!\\[\\]?-]{0,200}") {
            count(&xml);
        }
    }
}

//! From Plex's entry of a session to ours (contract 01, section 2).

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::links;
use super::progress::percent;
use super::show_art::Artwork;
use super::wire::{self, RawItem, whole};

/// One session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    session_id: String,
    user: User,
    media: Media,
    playback: Playback,
    device: Device,
    transcode: Transcode,
    stream: Stream,
}

#[derive(Debug, Serialize, ToSchema)]
struct User {
    name: String,
    id: String,
    /// For the image proxy, as all pictures here; never with a token.
    thumb: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Media {
    /// Of an episode: show, `SxxEyy` and title.
    title: String,
    #[serde(rename = "type")]
    kind: String,
    year: Option<i64>,
    rating: Option<f64>,
    thumb: Option<String>,
    art: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Playback {
    state: String,
    /// Percent with two decimals, not capped.
    progress: f64,
    position_ms: i64,
    duration_ms: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct Device {
    name: String,
    client: String,
    platform: String,
}

/// All but the first are null where nothing is transcoded.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Transcode {
    is_transcoding: bool,
    /// Times real time.
    speed: Option<f64>,
    video_decision: Option<String>,
    audio_decision: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Stream {
    video_resolution: String,
    video_codec: String,
    audio_codec: String,
    container: String,
    /// kbit/s of the file.
    bitrate: i64,
    location: String,
    /// kbit/s reserved for the delivery.
    bandwidth: i64,
}

/// Plex's entry, as far as it is needed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NowPlaying {
    #[serde(deserialize_with = "wire::text")]
    session_key: Option<String>,
    #[serde(rename = "type", deserialize_with = "wire::text")]
    kind: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    title: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    grandparent_title: Option<String>,
    #[serde(deserialize_with = "wire::number")]
    parent_index: Option<f64>,
    #[serde(deserialize_with = "wire::number")]
    index: Option<f64>,
    #[serde(deserialize_with = "wire::number")]
    year: Option<f64>,
    #[serde(deserialize_with = "wire::number")]
    rating: Option<f64>,
    #[serde(deserialize_with = "wire::text")]
    thumb: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    art: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    grandparent_rating_key: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    grandparent_thumb: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    grandparent_art: Option<String>,
    /// Milliseconds.
    #[serde(deserialize_with = "wire::number")]
    view_offset: Option<f64>,
    /// Milliseconds.
    #[serde(deserialize_with = "wire::number")]
    duration: Option<f64>,
    #[serde(rename = "User", deserialize_with = "wire::object")]
    user: Option<PlexUser>,
    #[serde(rename = "Player", deserialize_with = "wire::object")]
    player: Option<Player>,
    #[serde(rename = "Session", deserialize_with = "wire::object")]
    delivery: Option<Delivery>,
    #[serde(rename = "TranscodeSession", deserialize_with = "wire::filled_object")]
    transcoder: Option<Transcoder>,
    #[serde(rename = "Media", deserialize_with = "wire::items")]
    versions: Vec<RawItem>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PlexUser {
    #[serde(deserialize_with = "wire::text")]
    id: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    title: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    thumb: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Player {
    #[serde(deserialize_with = "wire::text")]
    state: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    device: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    product: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    platform: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delivery {
    #[serde(deserialize_with = "wire::text")]
    location: Option<String>,
    #[serde(deserialize_with = "wire::number")]
    bandwidth: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Transcoder {
    #[serde(deserialize_with = "wire::number")]
    speed: Option<f64>,
    #[serde(deserialize_with = "wire::text")]
    video_decision: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    audio_decision: Option<String>,
}

/// A version of the file; the first one is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Version {
    #[serde(deserialize_with = "wire::text")]
    video_resolution: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    video_codec: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    audio_codec: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    container: Option<String>,
    #[serde(deserialize_with = "wire::number")]
    bitrate: Option<f64>,
}

/// Plex's entries; a malformed one does not hide the others.
pub(super) fn read(list: &[RawItem]) -> Vec<NowPlaying> {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    let items = wire::read_items(list.to_vec(), "sessions", &REPORTED);
    items.into_iter().map(|(item, _)| item).collect()
}

impl NowPlaying {
    /// The rating key of the show, if this is an episode that does not name its show's pictures.
    pub(super) fn show_without_pictures(&self) -> Option<String> {
        let named = given(self.grandparent_thumb.as_ref()).is_some()
            && given(self.grandparent_art.as_ref()).is_some();
        if !self.is_episode() || named {
            return None;
        }
        given(self.grandparent_rating_key.as_ref()).cloned()
    }

    /// Ours, with the pictures of the shows that were looked up.
    pub(super) fn into_session(self, shows: &HashMap<String, Artwork>) -> Session {
        let (thumb, art) = self.pictures(shows);
        let media = Media {
            title: self.full_title(),
            kind: self.kind.unwrap_or_else(|| "unknown".to_owned()),
            year: self.year.and_then(whole),
            rating: self.rating,
            thumb,
            art,
        };
        let user = self.user.unwrap_or_default();
        let player = self.player.unwrap_or_default();
        let playback = Playback {
            state: player.state.unwrap_or_else(|| "stopped".to_owned()),
            progress: percent(self.view_offset, self.duration),
            position_ms: self.view_offset.and_then(whole).unwrap_or(0),
            duration_ms: self.duration.and_then(whole).unwrap_or(1),
        };
        let delivery = self.delivery.unwrap_or_default();
        let version = self.versions.first();
        let version: Version = version
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        Session {
            session_id: self.session_key.unwrap_or_default(),
            user: User {
                name: user.title.unwrap_or_else(|| "Unknown User".to_owned()),
                id: user.id.unwrap_or_default(),
                thumb: user.thumb.as_deref().and_then(links::shown),
            },
            media,
            playback,
            device: Device {
                name: player.device.unwrap_or_else(|| "Unknown Device".to_owned()),
                client: player
                    .product
                    .unwrap_or_else(|| "Unknown Client".to_owned()),
                platform: player.platform.unwrap_or_else(unknown),
            },
            transcode: self.transcoder.map(Transcode::from).unwrap_or_default(),
            stream: Stream {
                video_resolution: version.video_resolution.unwrap_or_else(unknown),
                video_codec: version.video_codec.unwrap_or_else(unknown),
                audio_codec: version.audio_codec.unwrap_or_else(unknown),
                container: version.container.unwrap_or_else(unknown),
                bitrate: version.bitrate.and_then(whole).unwrap_or(0),
                location: delivery.location.unwrap_or_else(|| "wan".to_owned()),
                bandwidth: delivery.bandwidth.and_then(whole).unwrap_or(0),
            },
        }
    }

    fn is_episode(&self) -> bool {
        self.kind.as_deref() == Some("episode")
    }

    fn full_title(&self) -> String {
        let title = self.title.clone().unwrap_or_else(unknown);
        if !self.is_episode() {
            return title;
        }
        let show = self.grandparent_title.as_deref().unwrap_or_default();
        let season = self.parent_index.and_then(whole).unwrap_or(0);
        let episode = self.index.and_then(whole).unwrap_or(0);
        format!("{show} - S{season:02}E{episode:02} - {title}")
    }

    /// Thumb and art: of an episode its show's, as far as they are known; else the item's own.
    fn pictures(&self, shows: &HashMap<String, Artwork>) -> (Option<String>, Option<String>) {
        let (mut thumb, mut art) = (None, None);
        if self.is_episode() {
            let looked_up = self
                .grandparent_rating_key
                .as_ref()
                .and_then(|key| shows.get(key));
            let found = |named: Option<&String>, looked_up: Option<&String>| {
                given(named).or_else(|| given(looked_up)).cloned()
            };
            thumb = found(
                self.grandparent_thumb.as_ref(),
                looked_up.and_then(|show| show.thumb.as_ref()),
            );
            art = found(
                self.grandparent_art.as_ref(),
                looked_up.and_then(|show| show.art.as_ref()),
            );
        }
        let own_art = given(self.art.as_ref());
        let thumb = thumb.or_else(|| given(self.thumb.as_ref()).or(own_art).cloned());
        let art = art.or_else(|| own_art.cloned());
        (
            thumb.as_deref().and_then(links::shown),
            art.as_deref().and_then(links::shown),
        )
    }
}

impl From<Transcoder> for Transcode {
    fn from(transcoder: Transcoder) -> Self {
        let copy = || "copy".to_owned();
        let video = transcoder.video_decision.unwrap_or_else(copy);
        let audio = transcoder.audio_decision.unwrap_or_else(copy);
        Self {
            is_transcoding: video == "transcode" || audio == "transcode",
            speed: Some(transcoder.speed.unwrap_or_default()),
            video_decision: Some(video),
            audio_decision: Some(audio),
        }
    }
}

/// Empty text counts as none.
fn given(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.is_empty())
}

fn unknown() -> String {
    "Unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::arbitrary::spoiled;

    fn session(entry: &Value) -> Value {
        let raw = serde_json::value::to_raw_value(entry).unwrap();
        let one = read(&[raw]).remove(0);
        serde_json::to_value(one.into_session(&HashMap::new())).unwrap()
    }

    #[test]
    fn every_field_has_its_source() {
        let shown = session(&json!({
            "sessionKey": "10", "type": "movie", "title": "Film A", "year": 2020, "rating": 7.1,
            "thumb": "/library/metadata/1/thumb/2", "art": "/library/metadata/1/art/2",
            "viewOffset": 600_000, "duration": 7_200_000,
            "User": {"id": "1", "title": "owner",
                     "thumb": "https://plex.tv/users/a/avatar?c=1&X-Plex-Token=T"},
            "Player": {"state": "playing", "device": "Chrome dev", "product": "Plex Web",
                       "platform": "Chrome"},
            "Session": {"location": "lan", "bandwidth": 4000},
            "TranscodeSession": {"speed": 1.5, "videoDecision": "transcode",
                                 "audioDecision": "copy"},
            "Media": [{"videoResolution": "1080", "videoCodec": "h264", "audioCodec": "aac",
                       "container": "mkv", "bitrate": 8000}, {"videoResolution": "sd"}],
        }));
        assert_eq!(
            shown,
            json!({"session_id": "10",
                "user": {"name": "owner", "id": "1",
                         "thumb": "https://plex.tv/users/a/avatar?c=1"},
                "media": {"title": "Film A", "type": "movie", "year": 2020, "rating": 7.1,
                          "thumb": "/library/metadata/1/thumb/2",
                          "art": "/library/metadata/1/art/2"},
                "playback": {"state": "playing", "progress": 8.33, "position_ms": 600_000,
                             "duration_ms": 7_200_000},
                "device": {"name": "Chrome dev", "client": "Plex Web", "platform": "Chrome"},
                "transcode": {"is_transcoding": true, "speed": 1.5,
                              "video_decision": "transcode", "audio_decision": "copy"},
                "stream": {"video_resolution": "1080", "video_codec": "h264",
                           "audio_codec": "aac", "container": "mkv", "bitrate": 8000,
                           "location": "lan", "bandwidth": 4000}})
        );
    }

    #[test]
    fn what_is_missing_or_of_the_wrong_kind_has_its_default() {
        let bare = json!({"session_id": "",
            "user": {"name": "Unknown User", "id": "", "thumb": null},
            "media": {"title": "Unknown", "type": "unknown", "year": null, "rating": null,
                      "thumb": null, "art": null},
            "playback": {"state": "stopped", "progress": 0.0, "position_ms": 0,
                         "duration_ms": 1},
            "device": {"name": "Unknown Device", "client": "Unknown Client",
                       "platform": "Unknown"},
            "transcode": {"is_transcoding": false, "speed": null, "video_decision": null,
                          "audio_decision": null},
            "stream": {"video_resolution": "Unknown", "video_codec": "Unknown",
                       "audio_codec": "Unknown", "container": "Unknown", "bitrate": 0,
                       "location": "wan", "bandwidth": 0}});
        assert_eq!(session(&json!({})), bare);
        let odd = json!({"sessionKey": {}, "User": "x", "Player": [], "Media": "none",
            "Session": 7, "TranscodeSession": {}, "viewOffset": "soon", "duration": null,
            "title": null, "year": [], "rating": "good", "thumb": "", "art": ["/x"]});
        assert_eq!(session(&odd), bare);
    }

    #[test]
    fn an_episode_is_named_by_show_and_numbers() {
        let title = |entry: Value| session(&entry)["media"]["title"].clone();
        assert_eq!(
            title(
                json!({"type": "episode", "title": "Pilot", "grandparentTitle": "A Show",
                         "parentIndex": 1, "index": 112})
            ),
            "A Show - S01E112 - Pilot"
        );
        assert_eq!(
            title(json!({"type": "episode", "parentIndex": null, "index": "3"})),
            " - S00E03 - Unknown"
        );
        assert_eq!(title(json!({"type": "track", "title": "🎵 <b>"})), "🎵 <b>");
    }

    #[test]
    fn an_episode_shows_the_pictures_of_its_show() {
        let entry = json!({"type": "episode", "thumb": "/own", "art": "/own-art",
            "grandparentThumb": "/show?X-Plex-Token=T", "grandparentArt": "",
            "grandparentRatingKey": 5});
        let raw = serde_json::value::to_raw_value(&entry).unwrap();
        let one = || read(std::slice::from_ref(&raw)).remove(0);
        assert_eq!(one().show_without_pictures().as_deref(), Some("5"));
        let looked_up = Artwork {
            thumb: Some("/other".to_owned()),
            art: Some("/show-art".to_owned()),
        };
        let known = HashMap::from([("5".to_owned(), looked_up)]);
        assert_eq!(
            one().pictures(&known),
            (Some("/show".to_owned()), Some("/show-art".to_owned()))
        );
        assert_eq!(
            one().pictures(&HashMap::new()),
            (Some("/show".to_owned()), Some("/own-art".to_owned()))
        );
    }

    #[test]
    fn a_film_without_a_thumb_shows_its_art() {
        let shown = session(&json!({"type": "movie", "art": "/art", "grandparentThumb": "/x"}));
        assert_eq!(shown["media"]["thumb"], "/art");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_odd_entry_costs_only_itself(odd in spoiled(json!({
            "sessionKey": "10", "type": "episode", "title": "t", "grandparentTitle": "g",
            "parentIndex": 1, "index": 2, "year": 2020, "rating": 7.1, "thumb": "/t", "art": "/a",
            "grandparentRatingKey": "5", "grandparentThumb": "/gt", "grandparentArt": "/ga",
            "viewOffset": 1, "duration": 2, "User": {"id": "1", "title": "u", "thumb": "/u"},
            "Player": {"state": "s", "device": "d", "product": "p", "platform": "f"},
            "Session": {"location": "lan", "bandwidth": 4000},
            "TranscodeSession": {"speed": 1.5, "videoDecision": "copy", "audioDecision": "copy"},
            "Media": [{"videoResolution": "sd", "bitrate": 8000}, 7],
        }))) {
            let shown = |items: Vec<RawItem>| -> Vec<Value> {
                let sessions = read(&items).into_iter();
                let sessions = sessions.map(|one| one.into_session(&HashMap::new()));
                sessions.map(|one| serde_json::to_value(one).unwrap()).collect()
            };
            wire::costs_only_itself(&json!({"sessionKey": "1"}), &odd, shown)?;
            if odd.is_object() {
                let shown = session(&odd);
                prop_assert!(shown["playback"]["progress"].is_number(), "{}", shown);
                prop_assert!(shown["media"]["title"].is_string(), "{}", shown);
            }
        }
    }
}

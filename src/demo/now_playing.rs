//! A session as `/status/sessions` writes it.

use std::time::Duration;

use serde_json::{Value, json};

use super::dice::Dice;
use super::library::{Kind, Library};
use super::media::{Encoding, Ids, Subject, Way};
use super::metadata::{Fields, session_item};
use super::people::{Device, PEOPLE, PLAYERS, Person, SCREENS};
use super::sessions::{Playing, Programme};
use super::words;

/// The entry for one session; `now` is the epoch time of the answer, `plex_tv` the address below
/// which pictures of accounts are.
pub(super) fn session(library: &Library, playing: &Playing, now: Duration, plex_tv: &str) -> Value {
    let person = &PEOPLE[playing.person];
    let (mut fields, encoding, is_music) = match playing.programme {
        Programme::Item(id) => {
            let Some(item) = library.find(id) else {
                return json!({});
            };
            let encoding = Encoding::stored(library, item);
            (
                session_item(library, item, playing.way),
                encoding,
                item.kind.leaf() == Kind::Track,
            )
        }
        Programme::Channel(at) => {
            let fields = broadcast(library, playing, at, now);
            (fields, Encoding::broadcast(), false)
        }
    };
    let device = if is_music {
        &PLAYERS[playing.device]
    } else {
        &SCREENS[playing.device]
    };
    fields.put("sessionKey", playing.key.to_string());
    fields.put("viewOffset", playing.offset_ms);
    fields.put(
        "User",
        json!({
            "id": person.id.to_string(),
            "thumb": format!("{plex_tv}{}", person.thumb()),
            "title": person.name,
        }),
    );
    fields.put("Player", player(playing, person, device));
    let sent = encoding.sent(playing.way);
    fields.put(
        "Session",
        json!({
            "id": Dice::new(library.seed, &[playing.key, 20]).hex(24),
            // Plex reserves more than the average for the peaks.
            "bandwidth": sent.bitrate_kbps * 13 / 10,
            "location": if person.at_home { "lan" } else { "wan" },
        }),
    );
    if playing.way != Way::DirectPlay {
        fields.put(
            "TranscodeSession",
            transcode(library, playing, &encoding, &sent, now),
        );
    }
    fields.finish()
}

fn player(playing: &Playing, person: &Person, device: &Device) -> Value {
    // A person's device keeps its identifier from one session to the next.
    let identifier = Dice::new(person.id, &[playing.device as u64, 21]).hex(24);
    let public = person.public_address();
    let address = if person.at_home {
        format!("192.168.1.{}", 20 + person.id % 200)
    } else {
        public.clone()
    };
    json!({
        "address": address,
        "device": device.hardware,
        "machineIdentifier": identifier,
        "model": device.model,
        "platform": device.platform,
        "platformVersion": device.platform_version,
        "product": device.product,
        "profile": device.profile,
        "remotePublicAddress": public,
        "state": playing.state.name(),
        "title": device.title,
        "vendor": device.vendor,
        "version": device.version,
        "local": person.at_home,
        "relayed": false,
        "secure": true,
        "userID": person.id,
    })
}

fn transcode(
    library: &Library,
    playing: &Playing,
    source: &Encoding,
    sent: &Encoding,
    now: Duration,
) -> Value {
    let mut dice = Dice::new(library.seed, &[playing.key, 22]);
    let decision = playing.way.decision();
    let speed = dice.between(11, 84);
    // The transcoder runs ahead of the player by up to a minute.
    let ahead_ms = (playing.offset_ms + 1000 * dice.between(20, 60)).min(playing.duration_ms);
    let tenths = |number: u64| f64::from(u32::try_from(number).unwrap_or(0)) / 10.0;
    let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
    json!({
        "key": format!("/transcode/sessions/{}", dice.uuid()),
        "throttled": speed > 60,
        "complete": false,
        "progress": tenths((ahead_ms * 1000).checked_div(playing.duration_ms).unwrap_or(0)),
        "size": -22,
        "speed": tenths(speed),
        "error": false,
        "duration": playing.duration_ms,
        "remaining": (playing.duration_ms - ahead_ms) * 10 / speed / 1000,
        "context": "streaming",
        "sourceVideoCodec": source.video_codec,
        "sourceAudioCodec": source.audio_codec,
        "videoDecision": decision,
        "audioDecision": decision,
        "protocol": "dash",
        "container": sent.container,
        "videoCodec": sent.video_codec,
        "audioCodec": sent.audio_codec,
        "audioChannels": sent.channels,
        "width": sent.width,
        "height": sent.height,
        "transcodeHwRequested": true,
        "transcodeHwDecoding": "vaapi",
        "transcodeHwEncoding": "vaapi",
        "transcodeHwFullPipeline": playing.way == Way::Transcode,
        "timeStamp": now.as_secs_f64(),
        "maxOffsetAvailable": seconds(ahead_ms),
        "minOffsetAvailable": 0.0,
    })
}

/// Live television: no rating key and no library behind it, often no picture either.
fn broadcast(library: &Library, playing: &Playing, channel: usize, now: Duration) -> Fields {
    let (sign, name, title) = words::CHANNELS[channel];
    let mut dice = Dice::new(library.seed, &[playing.key, 23]);
    let begins_at = now.as_secs().saturating_sub(playing.offset_ms / 1000);
    let uuid = dice.uuid();
    let mut fields = Fields::default();
    fields.put("addedAt", begins_at);
    fields.put("contentRating", "TV-PG");
    fields.put("duration", playing.duration_ms);
    fields.put(
        "grandparentKey",
        format!("/tv.plex.grabbers/metadata/{}", dice.hex(24)),
    );
    fields.put("grandparentTitle", title);
    fields.put("guid", format!("tv.plex.xmltv://episode/{}", dice.hex(24)));
    fields.put("key", format!("/livetv/sessions/{uuid}"));
    fields.put("live", 1);
    fields.put("parentTitle", "");
    fields.put("studio", name);
    fields.put(
        "summary",
        format!(
            "{} {}",
            words::SENTENCES[channel],
            words::SENTENCES[channel + 4]
        ),
    );
    fields.put("title", format!("{title} – {name}"));
    fields.put("type", "episode");
    let subject = Subject {
        id: 900_000 + playing.key,
        duration_ms: playing.duration_ms,
        file: "",
        encoding: Encoding::broadcast(),
        ids: Ids::Text,
        way: Some(playing.way),
    };
    let mut media = subject.media(0, true);
    media["uuid"] = uuid.into();
    media["origin"] = "livetv".into();
    media["onAir"] = true.into();
    media["protocol"] = "hls".into();
    media["channelCallSign"] = sign.into();
    media["channelIdentifier"] = format!("{:03}", 100 + channel).into();
    media["channelTitle"] = name.into();
    media["beginsAt"] = begins_at.into();
    media["endsAt"] = (begins_at + playing.duration_ms / 1000).into();
    fields.put("Media", vec![media]);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::sessions::fixed;

    const NOW: Duration = Duration::from_secs(1_700_000_500);

    fn ten() -> Vec<Value> {
        let library = Library::new(1, 1_700_000_000);
        let sessions = fixed(&library, 10, Duration::ZERO);
        sessions
            .iter()
            .map(|playing| session(&library, playing, NOW, "http://plex.tv"))
            .collect()
    }

    #[test]
    fn ten_sessions_weigh_what_real_ones_do() {
        for seed in 0..20 {
            let library = Library::new(seed, 1_700_000_000);
            let sessions = fixed(&library, 10, Duration::ZERO);
            let bytes: usize = sessions
                .iter()
                .map(|playing| {
                    session(&library, playing, NOW, "http://plex.tv")
                        .to_string()
                        .len()
                })
                .sum();
            assert!(
                (30_000..40_000).contains(&bytes),
                "{bytes} bytes with seed {seed}"
            );
        }
    }

    #[test]
    fn ids_are_text_and_measures_are_numbers() {
        for entry in ten() {
            assert!(entry["sessionKey"].is_string());
            assert!(entry["User"]["id"].is_string());
            assert!(entry["Player"]["userID"].is_u64());
            assert!(entry["Session"]["bandwidth"].is_u64());
            assert!(entry["viewOffset"].is_u64());
            assert!(entry["duration"].is_u64());
            assert!(entry["Player"]["local"].is_boolean());
            assert!(entry["Media"][0]["id"].is_string());
        }
    }

    #[test]
    fn every_kind_of_session_is_among_ten() {
        let sessions = ten();
        let has = |test: &dyn Fn(&Value) -> bool| sessions.iter().any(test);
        for kind in ["movie", "episode", "track"] {
            assert!(has(&|entry| entry["type"] == kind), "{kind}");
        }
        for state in ["playing", "paused", "buffering"] {
            assert!(has(&|entry| entry["Player"]["state"] == state), "{state}");
        }
        assert!(has(
            &|entry| entry["live"] == 1 && entry.get("ratingKey").is_none()
        ));
        assert!(has(
            &|entry| entry["TranscodeSession"]["videoDecision"] == "transcode"
        ));
        assert!(has(
            &|entry| entry["TranscodeSession"]["videoDecision"] == "copy"
        ));
        assert!(has(&|entry| entry.get("TranscodeSession").is_none()));
        assert!(has(&|entry| entry["Session"]["location"] == "lan"));
        assert!(has(&|entry| entry["Session"]["location"] == "wan"));
    }
}

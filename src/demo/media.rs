//! Media → Part → Stream: how an item is stored, and what reaches the player.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::library::{Item, Kind, Library};

/// How ids are written: the library has numbers where `/status/sessions` has strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    Numbers,
    Text,
}

impl Ids {
    pub(super) fn write(self, id: u64) -> Value {
        match self {
            Self::Numbers => Value::from(id),
            Self::Text => Value::from(id.to_string()),
        }
    }

    /// `aspectRatio` follows the ids: a number in the library, text in sessions.
    fn ratio(self, hundredths: u32) -> Value {
        let ratio = f64::from(hundredths) / 100.0;
        match self {
            Self::Numbers => Value::from(ratio),
            Self::Text => Value::from(format!("{ratio:.2}")),
        }
    }
}

/// How a session gets its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    DirectPlay,
    /// Repackaged only: there is a `TranscodeSession`, but it copies both streams.
    DirectStream,
    Transcode,
}

impl Way {
    pub(super) const fn decision(self) -> &'static str {
        match self {
            Self::DirectPlay => "directplay",
            Self::DirectStream => "copy",
            Self::Transcode => "transcode",
        }
    }
}

/// The facts of one encoded version.
#[derive(Clone, Debug)]
pub(super) struct Encoding {
    pub(super) resolution: &'static str,
    pub(super) width: u64,
    pub(super) height: u64,
    pub(super) video_codec: &'static str,
    pub(super) video_profile: &'static str,
    pub(super) audio_codec: &'static str,
    pub(super) channels: u64,
    pub(super) container: &'static str,
    pub(super) bitrate_kbps: u64,
    aspect_hundredths: u32,
    frame_rate: &'static str,
}

const fn encoding(
    names: [&'static str; 6],
    size: (u64, u64),
    channels: u64,
    bitrate_kbps: u64,
    aspect_hundredths: u32,
) -> Encoding {
    let [
        resolution,
        video_codec,
        video_profile,
        audio_codec,
        container,
        frame_rate,
    ] = names;
    Encoding {
        resolution,
        width: size.0,
        height: size.1,
        video_codec,
        video_profile,
        audio_codec,
        channels,
        container,
        bitrate_kbps,
        aspect_hundredths,
        frame_rate,
    }
}

const STORED: [Encoding; 6] = [
    encoding(
        ["1080", "h264", "high", "ac3", "mkv", "24p"],
        (1920, 1080),
        6,
        9_842,
        178,
    ),
    encoding(
        ["4k", "hevc", "main 10", "eac3", "mkv", "24p"],
        (3840, 1600),
        6,
        24_310,
        239,
    ),
    encoding(
        ["1080", "hevc", "main 10", "aac", "mkv", "PAL"],
        (1920, 804),
        2,
        4_120,
        239,
    ),
    encoding(
        ["720", "h264", "high", "aac", "mp4", "NTSC"],
        (1280, 720),
        2,
        3_077,
        178,
    ),
    encoding(
        ["sd", "mpeg4", "advanced simple", "mp3", "avi", "PAL"],
        (640, 480),
        2,
        1_104,
        133,
    ),
    encoding(
        ["1080", "av1", "main", "opus", "webm", "24p"],
        (1920, 1080),
        6,
        5_230,
        178,
    ),
];
const SENT: Encoding = encoding(
    ["720p", "h264", "high", "aac", "mp4", "24p"],
    (1280, 720),
    2,
    3_808,
    178,
);
const BROADCAST: Encoding = encoding(
    ["1080", "mpeg2video", "main", "ac3", "mpegts", "NTSC"],
    (1920, 1080),
    6,
    11_650,
    178,
);
const MUSIC: Encoding = encoding(["", "", "", "flac", "flac", ""], (0, 0), 2, 986, 0);

impl Encoding {
    /// The stored version of an item.
    pub(super) fn stored(library: &Library, item: &Item) -> Self {
        if item.kind.leaf() == Kind::Track {
            return MUSIC;
        }
        library.dice(item.id, 2).pick(&STORED).clone()
    }

    pub(super) const fn broadcast() -> Self {
        BROADCAST
    }

    /// What the player receives.
    pub(super) fn sent(&self, way: Way) -> Self {
        match way {
            Way::DirectPlay => self.clone(),
            Way::DirectStream => Self {
                container: "mp4",
                ..self.clone()
            },
            Way::Transcode => SENT,
        }
    }

    fn has_video(&self) -> bool {
        self.height > 0
    }
}

/// What `media` writes about.
pub(super) struct Subject<'a> {
    pub(super) id: u64,
    pub(super) duration_ms: u64,
    pub(super) file: &'a str,
    pub(super) encoding: Encoding,
    pub(super) ids: Ids,
    /// Of a session: how it is sent.
    pub(super) way: Option<Way>,
}

impl Subject<'_> {
    /// One element of `Media`; `version` numbers several versions of one film.
    pub(super) fn media(&self, version: u64, with_streams: bool) -> Value {
        let source = &self.encoding;
        let sent = source.sent(self.way.unwrap_or(Way::DirectPlay));
        let mut media = Map::new();
        media.insert("id".to_owned(), self.ids.write(self.id * 4 + version));
        if sent.has_video() {
            media.insert("videoProfile".to_owned(), sent.video_profile.into());
            media.insert("videoCodec".to_owned(), sent.video_codec.into());
            media.insert("videoResolution".to_owned(), sent.resolution.into());
            media.insert("videoFrameRate".to_owned(), sent.frame_rate.into());
            media.insert(
                "aspectRatio".to_owned(),
                self.ids.ratio(sent.aspect_hundredths),
            );
            media.insert("width".to_owned(), sent.width.into());
            media.insert("height".to_owned(), sent.height.into());
        }
        media.insert("audioChannels".to_owned(), sent.channels.into());
        media.insert("audioCodec".to_owned(), sent.audio_codec.into());
        media.insert("bitrate".to_owned(), sent.bitrate_kbps.into());
        media.insert("container".to_owned(), sent.container.into());
        media.insert("duration".to_owned(), self.duration_ms.into());
        if let Some(way) = self.way {
            media.insert("selected".to_owned(), true.into());
            if way != Way::DirectPlay {
                media.insert("optimizedForStreaming".to_owned(), true.into());
                media.insert("protocol".to_owned(), "dash".into());
            }
        }
        media.insert(
            "Part".to_owned(),
            json!([self.part(&sent, version, with_streams)]),
        );
        Value::Object(media)
    }

    fn part(&self, sent: &Encoding, version: u64, with_streams: bool) -> Value {
        let id = self.id * 4 + version;
        let mut part = json!({
            "id": self.ids.write(id),
            "key": format!("/library/parts/{id}/16{:08}/file.{}", id * 7 % 100_000_000, self.encoding.container),
            "duration": self.duration_ms,
            "file": format!("{}.{}", self.file, self.encoding.container),
            // kbit/s times ms is bit; eight of them are a byte.
            "size": self.encoding.bitrate_kbps * self.duration_ms / 8,
            "bitrate": sent.bitrate_kbps,
            "container": sent.container,
        });
        if sent.has_video() {
            part["videoProfile"] = sent.video_profile.into();
        }
        if let Some(way) = self.way {
            part["decision"] = way.decision().into();
            part["selected"] = true.into();
        }
        if with_streams {
            part["Stream"] = self.streams(sent).into();
        }
        part
    }

    fn streams(&self, sent: &Encoding) -> Vec<Value> {
        let mut streams = Vec::new();
        let mut dice = Dice::new(self.id, &[3]);
        if sent.has_video() {
            streams.push(self.video_stream(sent));
        }
        streams.push(self.audio_stream(sent, &mut dice));
        if sent.has_video() && dice.chance(40) {
            let subtitles = json!({
                "codec": "srt",
                "index": 2,
                "language": "Svenska",
                "languageTag": "sv",
                "languageCode": "swe",
                "displayTitle": "Svenska (SDH)",
                "extendedDisplayTitle": "Svenska (SDH SRT)",
            });
            streams.push(self.stream(3, subtitles));
        }
        streams
    }

    fn audio_stream(&self, sent: &Encoding, dice: &mut Dice) -> Value {
        let layout = if sent.channels == 6 {
            "5.1(side)"
        } else {
            "stereo"
        };
        let codec = sent.audio_codec.to_uppercase();
        let mut facts = json!({
            "selected": true,
            "default": true,
            "codec": sent.audio_codec,
            "index": u32::from(sent.has_video()),
            "channels": sent.channels,
            "bitrate": if sent.has_video() { 384 } else { sent.bitrate_kbps },
            "audioChannelLayout": layout,
            "samplingRate": 48_000,
        });
        let title = if sent.has_video() {
            let languages = [
                ("English", "en", "eng"),
                ("Français", "fr", "fra"),
                ("日本語", "ja", "jpn"),
            ];
            let (language, tag, code) = *dice.pick(&languages);
            facts["language"] = language.into();
            facts["languageTag"] = tag.into();
            facts["languageCode"] = code.into();
            format!("{language} ({codec} {layout})")
        } else {
            format!("{codec} ({layout})")
        };
        facts["displayTitle"] = title.as_str().into();
        facts["extendedDisplayTitle"] = title.into();
        self.stream(2, facts)
    }

    fn video_stream(&self, sent: &Encoding) -> Value {
        let title = format!(
            "{} ({} {})",
            sent.resolution,
            sent.video_codec.to_uppercase(),
            sent.video_profile
        );
        self.stream(
            1,
            json!({
                "default": true,
                "codec": sent.video_codec,
                "index": 0,
                "bitrate": sent.bitrate_kbps.saturating_sub(384),
                "bitDepth": if sent.video_profile == "main 10" { 10 } else { 8 },
                "chromaSubsampling": "4:2:0",
                "colorPrimaries": "bt709",
                "colorSpace": "bt709",
                "frameRate": 23.976,
                "height": sent.height,
                "width": sent.width,
                "level": 41,
                "profile": sent.video_profile,
                "scanType": "progressive",
                "displayTitle": sent.resolution,
                "extendedDisplayTitle": title,
            }),
        )
    }

    /// Adds what every stream has: id, type and, in a session, how it is sent.
    fn stream(&self, kind: u64, facts: Value) -> Value {
        let mut stream = json!({
            "id": self.ids.write(self.id * 16 + kind),
            "streamType": kind,
        });
        if let Some(way) = self.way.filter(|way| *way != Way::DirectPlay) {
            stream["decision"] = way.decision().into();
            stream["location"] = "segments-av".into();
        } else if self.way.is_some() {
            stream["location"] = "direct".into();
        }
        if let (Value::Object(stream), Value::Object(facts)) = (&mut stream, facts) {
            stream.extend(facts);
        }
        stream
    }
}

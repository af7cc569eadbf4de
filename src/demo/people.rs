//! Who uses the demo server, and on what.

use serde_json::{Value, json};

use super::dice::Dice;

/// An account of the server.
pub(super) struct Person {
    pub(super) id: u64,
    pub(super) name: &'static str,
    /// False: looks from outside, through the internet.
    pub(super) at_home: bool,
}

const fn person(id: u64, name: &'static str, at_home: bool) -> Person {
    Person { id, name, at_home }
}

/// The owner is account 1, as on every Plex server; the others carry plex.tv ids.
pub(super) const PEOPLE: [Person; 18] = [
    person(1, "harbourmaster", true),
    person(20_418_811, "Zoë Ångquist", true),
    person(31_007_254, "captain_brine", false),
    person(18_844_093, "Pip 🦊", true),
    person(42_610_377, "ольга_с", false),
    person(27_359_140, "Bo \"the Byte\" Dripwell", false),
    person(11_902_665, "Siân O'Grindle", false),
    person(36_218_504, "たぬき", false),
    person(23_471_986, "Kids", true),
    person(40_085_712, "märta.k", false),
    person(15_630_248, "nkechi@example.org", false),
    person(29_764_431, "The <Fergusons>", false),
    person(33_198_075, "żabka_7", false),
    person(19_527_603, "Torvald Kaldfjord", false),
    person(38_846_219, "ليلى", false),
    person(25_093_358, "Tante Inga", true),
    person(44_371_820, "Élodie Petitbateau", false),
    person(12_785_596, "a", false),
];

impl Person {
    /// Path of the account's picture on the simulated plex.tv.
    pub(super) fn thumb(&self) -> String {
        let mut dice = Dice::new(self.id, &[0x7468]);
        format!(
            "/users/{}/avatar?c=17{:08}",
            dice.hex(16),
            dice.below(100_000_000)
        )
    }

    /// Address of the person's home seen from the internet (documentation ranges, RFC 5737).
    pub(super) fn public_address(&self) -> String {
        let host = 1 + self.id % 250;
        match self.id % 3 {
            _ if self.at_home => "203.0.113.7".to_owned(),
            0 => format!("192.0.2.{host}"),
            1 => format!("198.51.100.{host}"),
            _ => format!("203.0.113.{host}"),
        }
    }
}

/// A kind of client.
pub(super) struct Device {
    pub(super) product: &'static str,
    pub(super) version: &'static str,
    pub(super) platform: &'static str,
    pub(super) platform_version: &'static str,
    pub(super) hardware: &'static str,
    pub(super) model: &'static str,
    pub(super) vendor: &'static str,
    pub(super) profile: &'static str,
    pub(super) title: &'static str,
}

const fn device(row: [&'static str; 9]) -> Device {
    Device {
        product: row[0],
        version: row[1],
        platform: row[2],
        platform_version: row[3],
        hardware: row[4],
        model: row[5],
        vendor: row[6],
        profile: row[7],
        title: row[8],
    }
}

/// Clients for pictures and sound.
pub(super) const SCREENS: [Device; 10] = [
    device([
        "Plex Web", "4.145.1", "Chrome", "131.0", "Linux", "bundled", "", "Web", "Chrome",
    ]),
    device([
        "Plex for Apple TV",
        "8.45",
        "tvOS",
        "18.1",
        "Apple TV",
        "AppleTV14,1",
        "Apple",
        "tvOS",
        "Wohnzimmer",
    ]),
    device([
        "Plex for Android (TV)",
        "10.20.0.6212",
        "Android",
        "11",
        "SHIELD Android TV",
        "mdarcy",
        "NVIDIA",
        "Android",
        "SHIELD",
    ]),
    device([
        "Plex for iOS",
        "8.44",
        "iOS",
        "18.1.1",
        "iPhone",
        "iPhone15,2",
        "Apple",
        "iOS",
        "iPhone 📱",
    ]),
    device([
        "Plex for LG",
        "5.94.1",
        "webOS",
        "7.3.0",
        "LG TV",
        "OLED55C2",
        "LG",
        "HTML TV App",
        "Living Room TV",
    ]),
    device([
        "Plex for Samsung",
        "5.94.1",
        "Tizen",
        "6.5",
        "Samsung TV",
        "QE65",
        "Samsung",
        "HTML TV App",
        "Schlafzimmer",
    ]),
    device([
        "Plex for Roku",
        "7.15.4.9",
        "Roku",
        "13.0.0",
        "Roku Ultra",
        "4802X",
        "Roku",
        "Roku-7.x",
        "Roku Ultra",
    ]),
    device([
        "Plex HTPC",
        "1.67.1",
        "linux",
        "6.6",
        "Linux",
        "",
        "",
        "HTPC",
        "kitchen-pc",
    ]),
    device([
        "Plex for Android (Mobile)",
        "10.21.1.513",
        "Android",
        "14",
        "Pixel 8",
        "shiba",
        "Google",
        "Android",
        "Pixel 8",
    ]),
    device([
        "Plex for PlayStation 5",
        "3.103.0",
        "PlayStation 5",
        "9.60",
        "PlayStation 5",
        "",
        "Sony",
        "Generic",
        "PS5",
    ]),
];

/// Clients for music.
pub(super) const PLAYERS: [Device; 2] = [
    device([
        "Plexamp",
        "4.11.2",
        "iOS",
        "18.1",
        "iPhone",
        "iPhone14,5",
        "Apple",
        "Generic",
        "Plexamp (iPhone)",
    ]),
    device([
        "Plexamp",
        "4.11.1",
        "Linux",
        "bookworm",
        "Raspberry Pi",
        "headless",
        "",
        "Generic",
        "Küche",
    ]),
];

/// The entries of `/accounts`. Account 0 is the nameless local one that every server has.
pub(super) fn accounts() -> Vec<Value> {
    let account = |id: u64, name: &str, thumb: String| {
        json!({
            "id": id,
            "key": format!("/accounts/{id}"),
            "name": name,
            "defaultAudioLanguage": "en",
            "autoSelectAudio": true,
            "defaultSubtitleLanguage": "en",
            "subtitleMode": 0,
            "thumb": thumb,
        })
    };
    let local = std::iter::once(account(0, "", String::new()));
    local
        .chain(
            PEOPLE
                .iter()
                .map(|person| account(person.id, person.name, person.thumb())),
        )
        .collect()
}

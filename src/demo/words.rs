//! Word lists of the demo. Every title and person is invented; accents, other scripts, emoji,
//! quotes and markup are there on purpose, because real libraries have them.

pub(super) const ADJECTIVES: [&str; 24] = [
    "Paper",
    "Velvet",
    "Borrowed",
    "Northern",
    "Hollow",
    "Sleepless",
    "Copper",
    "Patient",
    "Unfinished",
    "Amber",
    "Crooked",
    "Weightless",
    "Thirteenth",
    "Whispering",
    "Salted",
    "Clockwork",
    "Reluctant",
    "Invisible",
    "Tangerine",
    "Forgotten",
    "Barefoot",
    "Magnetic",
    "Upside-Down",
    "Quiet",
];

pub(super) const NOUNS: [&str; 23] = [
    "Lighthouse Keepers",
    "Orchard",
    "Cartographer",
    "Ferry",
    "Observatory",
    "Marmalade",
    "Parliament of Owls",
    "Typewriter",
    "Avalanche",
    "Beekeeper",
    "Postcards",
    "Tide Tables",
    "Umbrella Thief",
    "Lemonade Stand",
    "Glacier",
    "Night Baker",
    "Carousel",
    "Switchboard",
    "Moth Garden",
    "Astronaut's Aunt",
    "Tugboat",
    "Understudy",
    "Snow Globe",
];

/// Film titles that have hurt somebody's dashboard before.
pub(super) const ODD_FILMS: [&str; 10] = [
    "L'Île aux horloges égarées",
    "夜明けの灯台パン",
    "Кот, маяк и варенье",
    "The \"Second\" Moon & Other Refunds",
    "🌒 Moonrise Kiosk",
    "<b>Bold</b> Moves",
    "¿Quién apagó el faro?",
    "Smörgåsbord på Månen",
    "سبع ليالٍ في المقهى",
    "100 % Rain; Nothing Else?",
];

pub(super) const SHOWS: [&str; 12] = [
    "Harbour Street Repair Café",
    "The Quillfeather Incident",
    "Dead Reckoning, Live Chickens",
    "Tante Ingas Zeitmaschine",
    "Seven Kettles",
    "Polar Night Radio",
    "Mx. Marrowby Investigates",
    "Ministry of Lost Umbrellas",
    "Captain Noodle & Friends",
    "星の郵便局",
    "Żabka i Kometa",
    "Robot Picnic 🤖🧺",
];

pub(super) const EPISODES: [&str; 28] = [
    "The Wrong Key",
    "Tea for Eleven",
    "A Letter from Below",
    "Fog, Part One",
    "Fog, Part Two",
    "The Borrowed Dog",
    "Low Tide",
    "Nobody Orders Soup",
    "The Understudy",
    "Snow in the Archive",
    "Un été sans sel",
    "Three Knocks",
    "The Long Queue",
    "Missing: One Piano",
    "What the Owl Said",
    "Blackout",
    "The Tin Crown",
    "Two Truths and a Ferry",
    "Pilot",
    "Die Rückkehr der Tante",
    "Midnight Inventory",
    "The Map Is Upside Down",
    "\"Goodbye\", Again",
    "Paper Boats",
    "The Kettle Strikes Back",
    "Ødeland",
    "A Very Small Parade",
    "Last Bus Home",
];

pub(super) const ARTISTS: [&str; 6] = [
    "The Tin Otters",
    "Märta & de Månsjuka",
    "DJ Thistlewick",
    "Coro dos Faróis",
    "ねこ電車",
    "Slow Cartographers",
];

pub(super) const ALBUMS: [&str; 10] = [
    "Songs for Empty Ferries",
    "Low Battery",
    "Eleven Umbrellas",
    "Kettle / Comet",
    "Förlåt, fel nummer",
    "Live at the Laundromat",
    "Blue Hour Receipts",
    "Postcards to Nobody",
    "Small Weather",
    "∅",
];

pub(super) const TRACKS: [&str; 22] = [
    "Harbour Lights Off",
    "Seventeen Steps",
    "Marmalade",
    "Count the Gulls",
    "Wet Shoes",
    "Interlude (Fax)",
    "Night Baker's Waltz",
    "Lanternfish",
    "Tide Table Blues",
    "Copper Wire",
    "Nattbuss 3",
    "Slow Comet",
    "Paper Hat",
    "Saudade do Farol",
    "Unsent",
    "Half a Umbrella",
    "Glass Elevator, No Floor",
    "きつね雨",
    "Left at the Roundabout",
    "Static & Honey",
    "The Ferry Is Late",
    "Outro for a Toaster",
];

pub(super) const FIRST_NAMES: [&str; 20] = [
    "Odalys",
    "Zoë",
    "Bartholomew",
    "Łucja",
    "Ingvild",
    "Tamsin",
    "Đorđe",
    "Anouk",
    "Kwabena",
    "Siân",
    "Ruy",
    "Marisol",
    "Torvald",
    "Nkechi",
    "Élodie",
    "Yusra",
    "Pip",
    "Hanneke",
    "Caoimhe",
    "Ömer",
];

pub(super) const LAST_NAMES: [&str; 20] = [
    "Quillfeather",
    "Marrowby",
    "Thistlewick",
    "Wrzosek-Bly",
    "Ångquist",
    "Pennyfarthing",
    "O'Grindle",
    "Saltcote",
    "Fernandes-Fog",
    "Brambleton",
    "Van der Ketel",
    "Mooncastle",
    "Dripwell",
    "Ashenmoor",
    "Tumbletoes",
    "Kaldfjord",
    "Larkspurrell",
    "Windermost",
    "Petitbateau",
    "Cobblethwaite",
];

pub(super) const ROLES: [&str; 12] = [
    "The Keeper",
    "Aunt Inga",
    "Ferry Captain",
    "Detective Marrowby",
    "Night Nurse",
    "Young Pip",
    "The Voice",
    "Postmaster",
    "Dr. Saltcote",
    "Narrator (voice)",
    "Woman with Umbrella",
    "Self",
];

pub(super) const GENRES: [&str; 14] = [
    "Adventure",
    "Animation",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Family",
    "Fantasy",
    "Mystery",
    "Romance",
    "Science Fiction",
    "Thriller",
    "Music",
    "History",
];

pub(super) const COUNTRIES: [&str; 6] = [
    "Norway",
    "Portugal",
    "Canada",
    "Japan",
    "Poland",
    "New Zealand",
];

pub(super) const STUDIOS: [&str; 8] = [
    "Lantern & Lark",
    "Ninth Kettle Pictures",
    "Fjordlys Film",
    "Estúdio Maré Baixa",
    "Tin Otter Television",
    "Blåtimmen",
    "Paper Boat Productions",
    "Umbrella Public Broadcasting",
];

pub(super) const RATINGS: [&str; 7] = ["G", "PG", "PG-13", "R", "TV-14", "TV-PG", "de/12"];

/// Sentences a summary is made of.
pub(super) const SENTENCES: [&str; 12] = [
    "When the last ferry of the season leaves without its captain, an entire island has to learn how to wait.",
    "A retired cartographer finds a street on her own map that nobody else remembers drawing.",
    "Two rival bakers inherit the same lighthouse, one oven and a debt of exactly 11 umbrellas.",
    "What begins as a missing piano soon turns into the longest night the harbour has ever seen.",
    "Nobody believes the boy at the kiosk – until the moon asks for its money back.",
    "Between radio static and snowfall, a night operator answers a call from next Thursday.",
    "„Nur ein Tag“, sagt die Tante, und stellt die Uhr trotzdem zurück.",
    "It would be a perfect heist if the owl could keep quiet & the <i>marmalade</i> were not evidence.",
    "Une comédie douce-amère sur les horloges, les marées et les lettres jamais envoyées.",
    "Old friends meet for one evening, and find that everyone brought the same secret.",
    "The town votes on whether to believe in the glacier; the glacier has not been informed.",
    "With a borrowed dog and no plan at all, they set out for the coldest picnic on record.",
];

pub(super) const TAGLINES: [&str; 6] = [
    "Everyone waits for something.",
    "Mind the tide.",
    "The kettle knows.",
    "Some maps are better left folded.",
    "It was only ever going to rain.",
    "Bring your own umbrella ☂️",
];

/// Live television: channel and what runs on it.
pub(super) const CHANNELS: [(&str, &str, &str); 4] = [
    ("HBR", "Harbour One HD", "The Evening Tide Report"),
    ("KTL", "Kettle TV", "Celebrity Soup: Quarter Final"),
    ("NORD", "Nordlys 2", "Langsom TV: Fergen til Øya"),
    ("OWL", "Owl News 24", "Parliament Tonight"),
];

pub(super) const MUSIC_GENRES: [&str; 5] =
    ["Chamber Pop", "Fado", "Ambient", "Post-Rock", "Schlager"];

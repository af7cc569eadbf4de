//! The pages and tabs of the frontend, and what each shows.

use serde::Serialize;

/// An invitation for the public pages.
pub(super) const CODE: &str = "CINEMA";

/// Contract 04: Overseerr's requests without Overseerr. The page says so on its console and shows
/// nothing of it.
pub(super) const ALLOWED_UNCONFIGURED: [&str; 1] = ["503 /api/overseerr/requests"];

/// On every page but the public ones once the splash screen is over.
const SIDE_BAR: &str = "a[href='/settings']";

/// Paths, and a CSS selector of what is there only if the simulated services' answers are shown.
const PAGES: [(&str, &str); 37] = [
    ("/", "text=VPN Connection Map"),
    ("/services", "td"),
    ("/monitor", "svg path"),
    // The demonstration's agents have no password: with log-in on they are not heard.
    ("/traffic", SIDE_BAR),
    ("/storage", SIDE_BAR),
    ("/vod-streams", SIDE_BAR),
    ("/vod-activity", "img[src*='/api/plex/proxy/image']"),
    ("/vod-portal", "form"),
    ("/invites", "td code"),
    ("/user-accounts", "td code"),
    ("/uploader", "td:nth-child(8)"),
    ("/uploader?tab=active", "td:nth-child(8)"),
    ("/uploader?tab=queue", "td:nth-child(6)"),
    ("/uploader?tab=history", "td:nth-child(7)"),
    ("/uploader?tab=failed", "td:nth-child(5)"),
    ("/arr-activity", "td:nth-child(8)"),
    ("/arr-activity?tab=tvshows", "td:nth-child(8)"),
    ("/arr-activity?tab=movies", "td:nth-child(8)"),
    ("/arr-activity?tab=history", "text=/S\\d\\dE\\d\\d/"),
    ("/vpn-proxy", "text=Connected"),
    ("/vpn-proxy-monitor", "text=/\\d\\s+Mbps/"),
    ("/posterizarr", "td:nth-child(6)"),
    ("/settings", "h3"),
    ("/settings?tab=general", "h3"),
    ("/settings?tab=auth", "h3"),
    ("/settings?tab=plex", "h3"),
    ("/settings?tab=overseerr", "h3"),
    ("/settings?tab=uploader", "h3"),
    ("/settings?tab=vpn_proxy", "h3"),
    ("/settings?tab=posterizarr", "h3"),
    ("/settings?tab=external_apps", "h3"),
    ("/settings?tab=notifications", "h3"),
    ("/settings?tab=arr", "h3"),
    ("/external-apps", SIDE_BAR),
    ("/about", "h2"),
    ("/invite/CINEMA", "text=Server beitreten"),
    ("/redeem?code=CINEMA", "input[type=email]"),
];

/// A page, and what it must show.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    path: &'static str,
    shows: &'static str,
}

impl Page {
    /// A page that must show an element that matches this CSS selector.
    pub(super) const fn showing(path: &'static str, shows: &'static str) -> Self {
        Self { path, shows }
    }

    /// Whether it is for those who are invited, without the side bar.
    fn is_public(&self) -> bool {
        ["/invite/", "/redeem"]
            .iter()
            .any(|start| self.path.starts_with(start))
    }
}

/// All pages, showing what the simulated services say.
pub(super) fn simulated() -> Vec<Page> {
    PAGES.map(|(path, shows)| Page::showing(path, shows)).into()
}

/// All pages, with little to show.
pub(super) fn unconfigured() -> Vec<Page> {
    let mut pages = simulated();
    for page in &mut pages {
        if !page.is_public() {
            page.shows = SIDE_BAR;
        }
    }
    pages
}

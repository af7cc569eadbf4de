//! The queue: how much of each download has come at a moment. A pure function of the time since the
//! start.

use std::time::Duration;

/// A place in the queue. When its download has come in, the next one takes its place.
pub(super) struct Place {
    pub(super) status: &'static str,
    /// Seconds from the beginning to the end; 0: it stands still.
    pub(super) takes: u64,
    /// Percent that had come when the server started.
    begun: u32,
    pub(super) megabytes: u64,
    /// Protocol, and program that downloads.
    pub(super) by: (&'static str, &'static str),
    /// What is wrong.
    pub(super) trouble: Option<&'static str>,
}

pub(super) const USENET: (&str, &str) = ("usenet", "SABnzbd");
pub(super) const TORRENT: (&str, &str) = ("torrent", "qBittorrent");

pub(super) const PLACES: [Place; 6] = [
    place("downloading", 240, 12, 4_300, USENET),
    place("downloading", 420, 67, 2_150, TORRENT),
    place("downloading", 900, 38, 11_800, TORRENT),
    place("paused", 0, 51, 1_480, USENET),
    place("queued", 0, 0, 3_020, USENET),
    // Has come, and stays: somebody has to look.
    Place {
        trouble: Some("No files found are eligible for import"),
        ..place("completed", 0, 100, 1_760, TORRENT)
    },
];

const fn place(
    status: &'static str,
    takes: u64,
    begun: u32,
    megabytes: u64,
    by: (&'static str, &'static str),
) -> Place {
    Place {
        status,
        takes,
        begun,
        megabytes,
        by,
        trouble: None,
    }
}

impl Place {
    /// Which download has this place, counted from the start of the server, and how much of it
    /// has come.
    pub(super) fn progress(&self, elapsed: Option<Duration>) -> (u64, f64) {
        let done = Duration::from_secs(self.takes) * self.begun / 100;
        let Some(elapsed) = elapsed.filter(|_| self.takes > 0) else {
            return (0, f64::from(self.begun) / 100.0);
        };
        let takes = Duration::from_secs(self.takes);
        let done = done + elapsed;
        let round = done.as_secs() / self.takes;
        let within = done.saturating_sub(takes * u32::try_from(round).unwrap_or(u32::MAX));
        (round, within.div_duration_f64(takes).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads_advance_and_others_take_their_place() {
        let place = place("downloading", 100, 25, 1, USENET);
        assert_eq!(place.progress(None), (0, 0.25));
        assert_eq!(place.progress(Some(Duration::ZERO)), (0, 0.25));
        assert_eq!(place.progress(Some(Duration::from_secs(50))), (0, 0.75));
        assert_eq!(place.progress(Some(Duration::from_secs(175))), (2, 0.0));
        let still = super::place("paused", 0, 51, 1, USENET);
        assert_eq!(still.progress(Some(Duration::from_secs(9))), (0, 0.51));
    }
}

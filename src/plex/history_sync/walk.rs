//! [`Walk`]: which page of Plex's history comes next, and when enough has been seen.
//!
//! The history is asked for newest first and addressed by position, and it changes meanwhile:
//!
//! - A play that is added moves all others to higher positions. The next page repeats some of the
//!   former one; rows that exist already are not inserted again.
//! - A play that is removed moves all others to lower positions, past the next page's start. So
//!   pages overlap, and a page must begin no later in time than the former one ended: if it
//!   begins earlier than that, something may lie between, and the walk goes back.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::entry::Play;
use crate::plex::wire::RawItem;

/// Entries of one page. Larger ones are hardly faster, take more memory and leave readers of the
/// server waiting; 3.3.0 looked at as many in all.
pub(super) const PAGE: u32 = 200;
/// How much of the former page the next one repeats: more than is ever played in one second (a
/// season marked as watched), the order within which is the server's choice.
const OVERLAP: u64 = 20;
/// In a history that keeps shrinking what may lie between is given up after as many steps back.
const MOST_STEPS_BACK: u32 = 64;
/// The same page as often in a row is a server that does not page. Twice may be chance: so many
/// plays were added, or removed, that the next page had moved to where the former one was.
const MOST_REPEATS: u32 = 2;

/// A walk from the newest play, or from where an earlier one broke off, back in time.
#[derive(Debug)]
pub(super) struct Walk {
    /// Position of the next page.
    start: u64,
    /// Plays before this have been seen by an earlier run; `None`: go to the end.
    stop: Option<i64>,
    /// The oldest play seen so far.
    floor: Option<i64>,
    /// Position behind the last entry seen.
    covered: u64,
    /// How far the next step back goes; doubled with each.
    stride: u64,
    steps_back: u32,
    /// The former page, to recognise a server that sends the same one again and again.
    former: Option<u64>,
    repeats: u32,
}

/// What of a page matters here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Page {
    /// Entries, readable or not.
    pub length: u64,
    /// Entries of the whole history, if the server says so. It says so only when it has paged.
    pub total: Option<u64>,
    newest: Option<i64>,
    oldest: Option<i64>,
    descending: bool,
    print: u64,
}

/// What to do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Something may be missing before it: ask again at [`Walk::start`].
    Gap,
    /// Store it.
    Good {
        /// How many of its entries the walk had not come to before.
        unseen: u64,
        /// It was the last one.
        last: bool,
    },
}

impl Walk {
    /// From the newest play to the first before `stop`, or to the end.
    pub(super) const fn new(stop: Option<i64>) -> Self {
        Self::resumed(0, None, stop)
    }

    /// On from a position to the end; plays down to `floor` have been seen.
    pub(super) const fn onward(start: u64, floor: i64) -> Self {
        Self::resumed(start, Some(floor), None)
    }

    const fn resumed(start: u64, floor: Option<i64>, stop: Option<i64>) -> Self {
        Self {
            start,
            stop,
            floor,
            covered: start,
            stride: PAGE as u64,
            steps_back: 0,
            former: None,
            repeats: 0,
        }
    }

    /// Position of the next page.
    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    /// The oldest play seen so far.
    pub(super) const fn floor(&self) -> Option<i64> {
        self.floor
    }

    /// How many plays lie beyond what has been seen, as far as that is known and matters.
    pub(super) fn remaining(&self, page: &Page) -> Option<u64> {
        let to_the_end = page.total.map(|total| total.saturating_sub(self.covered));
        to_the_end.filter(|_| self.stop.is_none())
    }

    /// Takes note of the page at [`Self::start`] and moves on.
    pub(super) fn take(&mut self, page: &Page) -> Verdict {
        if self.steps_back < MOST_STEPS_BACK && self.may_have_lost(page) {
            // Behind the end of a list that has become short, the way back begins at its end.
            let from = page.total.map_or(self.start, |total| total.min(self.start));
            self.start = from.saturating_sub(self.stride);
            self.stride = self.stride.saturating_mul(2);
            self.steps_back += 1;
            return Verdict::Gap;
        }
        self.stride = u64::from(PAGE);
        let end = self.start.saturating_add(page.length);
        let unseen = end.saturating_sub(self.covered.max(self.start));
        self.covered = self.covered.max(end);
        self.floor = match (self.floor, page.oldest) {
            (Some(floor), Some(oldest)) => Some(floor.min(oldest)),
            (floor, oldest) => oldest.or(floor),
        };
        if self.former.replace(page.print) == Some(page.print) {
            self.repeats += 1;
        } else {
            self.repeats = 0;
        }
        let last = self.repeats >= MOST_REPEATS || self.is_last(page, end);
        self.start = (self.start + 1).max(end.saturating_sub(OVERLAP));
        Verdict::Good { unseen, last }
    }

    fn may_have_lost(&self, page: &Page) -> bool {
        match (self.floor, page.newest) {
            _ if self.start == 0 => false,
            (Some(floor), Some(newest)) => newest < floor,
            (Some(_), None) => page.length == 0,
            (None, _) => false,
        }
    }

    fn is_last(&self, page: &Page, end: u64) -> bool {
        let no_more = match page.total {
            Some(total) => end >= total,
            // It was not paged, so it is everything; or it is the short one at the end.
            None => page.length != u64::from(PAGE),
        };
        // A server that sorts otherwise than asked is read to the end.
        let far_enough = page.descending
            && self
                .stop
                .zip(page.oldest)
                .is_some_and(|(stop, oldest)| oldest < stop);
        no_more || far_enough || page.length == 0
    }
}

impl Page {
    /// The page of these entries, of which `plays` could be read.
    pub(super) fn of(items: &[RawItem], plays: &[Play], total: Option<u64>) -> Self {
        let times = || plays.iter().map(|play| play.at.timestamp());
        let mut hasher = DefaultHasher::new();
        for item in [items.first(), items.last()].into_iter().flatten() {
            item.get().hash(&mut hasher);
        }
        items.len().hash(&mut hasher);
        Self {
            length: items.len() as u64,
            total,
            newest: times().max(),
            oldest: times().min(),
            descending: times().rev().is_sorted(),
            print: hasher.finish(),
        }
    }

    /// The newest play of the page.
    pub(super) const fn newest(&self) -> Option<i64> {
        self.newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server whose plays are these times, newest first.
    struct Server {
        plays: Vec<i64>,
        pages: bool,
    }

    impl Server {
        fn new(count: i64) -> Self {
            Self {
                plays: (1..=count).rev().map(|at| at * 100).collect(),
                pages: true,
            }
        }

        fn page(&self, start: u64) -> (Page, Vec<i64>) {
            let start = usize::try_from(start).unwrap().min(self.plays.len());
            let end = (start + PAGE as usize).min(self.plays.len());
            let range = if self.pages {
                start..end
            } else {
                0..self.plays.len()
            };
            let shown = self.plays[range].to_vec();
            let page = Page {
                length: shown.len() as u64,
                total: self.pages.then_some(self.plays.len() as u64),
                newest: shown.first().copied(),
                oldest: shown.last().copied(),
                descending: true,
                print: shown.first().copied().unwrap_or_default().unsigned_abs(),
            };
            (page, shown)
        }
    }

    /// Walks to the end; `change` happens to the server after each page.
    fn walk(
        mut walk: Walk,
        server: &mut Server,
        change: impl Fn(&mut Vec<i64>),
    ) -> (Vec<i64>, u32) {
        let mut seen = Vec::new();
        let mut calls = 0;
        loop {
            calls += 1;
            assert!(calls < 1000, "the walk goes on for ever");
            let (page, plays) = server.page(walk.start());
            match walk.take(&page) {
                Verdict::Gap => {}
                Verdict::Good { last, .. } => {
                    seen.extend(plays);
                    if last {
                        break;
                    }
                }
            }
            change(&mut server.plays);
        }
        seen.sort_unstable();
        seen.dedup();
        (seen, calls)
    }

    #[test]
    fn all_pages_are_seen_and_no_more() {
        for count in [0, 1, 199, 200, 201, 380, 1000] {
            let (seen, calls) = walk(Walk::new(None), &mut Server::new(count), |_| {});
            assert_eq!(seen.len(), usize::try_from(count).unwrap());
            assert!(calls <= 6, "{count}: {calls}");
        }
    }

    #[test]
    fn plays_that_are_added_meanwhile_cost_nothing_else() {
        let (seen, _) = walk(Walk::new(None), &mut Server::new(1000), |plays| {
            for _ in 0..7 {
                plays.insert(0, plays[0] + 100);
            }
        });
        assert!((1..=1000).all(|at| seen.contains(&(at * 100))));
    }

    #[test]
    fn plays_that_are_removed_meanwhile_hide_no_others() {
        for removed in [1, 20, 50, 150] {
            let mut server = Server::new(3000);
            let (seen, _) = walk(Walk::new(None), &mut server, |plays| {
                if plays.len() > 1500 {
                    plays.drain(..removed);
                }
            });
            let missed: Vec<_> = server
                .plays
                .iter()
                .filter(|at| !seen.contains(at))
                .collect();
            assert!(missed.is_empty(), "{removed}: {missed:?}");
        }
    }

    #[test]
    fn a_page_that_comes_twice_is_not_the_end() {
        // So many that the next page begins where the former one did.
        let moved = i64::from(PAGE) - i64::try_from(OVERLAP).unwrap();
        let mut server = Server::new(1000);
        let (seen, _) = walk(Walk::new(None), &mut server, |plays| {
            if plays.len() == 1000 {
                plays.splice(0..0, (1..=moved).rev().map(|at| 200_000 + at));
            }
        });
        assert!((1..=1000).all(|at| seen.contains(&(at * 100))));
    }

    #[test]
    fn the_walk_ends_at_plays_of_an_earlier_run() {
        let (seen, calls) = walk(Walk::new(Some(90_000)), &mut Server::new(1000), |_| {});
        assert_eq!(calls, 1);
        assert!(seen.contains(&90_000), "the boundary is within");
    }

    #[test]
    fn a_walk_is_resumed_where_it_ended_even_if_the_list_is_shorter_now() {
        let mut server = Server::new(1000);
        let (seen, calls) = walk(Walk::onward(380, 60_100), &mut server, |_| {});
        assert!(calls <= 5);
        assert!((1..=600).all(|at| seen.contains(&(at * 100))));
        server.plays.drain(..700);
        let (seen, calls) = walk(Walk::onward(380, 60_100), &mut server, |_| {});
        assert!(calls <= 6, "{calls}");
        assert_eq!(seen.len(), 300);
    }

    #[test]
    fn a_server_that_ignores_paging_is_asked_three_times_at_most() {
        for count in [5, 200, 700] {
            let mut server = Server::new(count);
            server.pages = false;
            let (seen, calls) = walk(Walk::new(None), &mut server, |_| {});
            assert_eq!(seen.len(), usize::try_from(count).unwrap());
            assert!(calls <= 3);
        }
    }

    #[test]
    fn what_is_unseen_is_counted_once() {
        let server = Server::new(300);
        let mut walk = Walk::new(None);
        let first = walk.take(&server.page(0).0);
        assert_eq!(
            first,
            Verdict::Good {
                unseen: 200,
                last: false
            }
        );
        assert_eq!(walk.remaining(&server.page(0).0), Some(100));
        let second = walk.take(&server.page(walk.start()).0);
        assert_eq!(
            second,
            Verdict::Good {
                unseen: 100,
                last: true
            }
        );
    }
}

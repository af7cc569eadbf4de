//! Open tabs, polling as the frontend does, and what of it reaches Plex.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use komandorr::demo::Simulator;
use tokio::time::{Instant, sleep_until};

use crate::running::Komandorr;

const TABS: u32 = 50;
const TIME: Duration = Duration::from_secs(60);
/// The ratio of calls to the least possible that is asked for.
const GOAL: f64 = 1.3;

/// A request and the seconds between two of them; 0 = once.
type Poll = (&'static str, u64);

/// The menu on every page asks for these (contract 09, section 3.3).
const EVERYWHERE: [Poll; 2] = [("/api/plex/sessions", 5), ("/api/plex/activities", 5)];
/// What the pages ask for besides, one of them open in each tab.
const PAGES: [&[Poll]; 5] = [
    &[],
    &[("/api/plex/stats", 0)],
    &[
        ("/api/plex/users/count", 10),
        ("/api/plex/stats/live", 60),
        ("/api/plex/watch-history", 0),
    ],
    &[("/api/plex/stats/live", 0), ("/api/plex/media/recent", 0)],
    &[("/api/downloads", 0)],
];

/// What the TTLs allow at least in one minute, per path at Plex: activities are fresh for 5 s, the
/// streams come with them. Everything else is asked for once: shows and seasons are two questions
/// to the same path, and the import of the history asks who the people and the server are, too.
fn least(path: &str) -> u64 {
    match path {
        "/activities" | "/status/sessions" => 12,
        "/library/sections/3/all" | "/library/sections/4/all" | "/accounts" | "/identity" => 2,
        _ => 1,
    }
}

pub(crate) async fn poll(plex: &Simulator) {
    let komandorr = Komandorr::start(plex);
    plex.forget_calls();
    let client = reqwest::Client::new();
    let begin = Instant::now();
    let tabs = (0..TABS).map(|tab| {
        let page = PAGES[tab as usize % PAGES.len()];
        let polls = EVERYWHERE.iter().chain(page).map(|(path, every)| {
            let url = format!("{}{path}", komandorr.url());
            // Tabs are opened one after the other.
            let first = begin + Duration::from_millis(u64::from(tab) * 97);
            repeat(client.clone(), url, first, *every, begin + TIME)
        });
        join_all(polls)
    });
    let asked: u32 = join_all(tabs).await.into_iter().flatten().sum();
    report(asked, plex.calls_by_path());
}

async fn repeat(
    client: reqwest::Client,
    url: String,
    first: Instant,
    every: u64,
    end: Instant,
) -> u32 {
    let mut asked = 0;
    let mut next = first;
    while next < end {
        sleep_until(next).await;
        let answer = client.get(&url).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{url}");
        answer.bytes().await.expect("a body");
        asked += 1;
        if every == 0 {
            break;
        }
        next += Duration::from_secs(every);
    }
    asked
}

/// The first import of the history runs at the same time, and is nobody's polling.
fn is_import(path: &str) -> bool {
    path.starts_with("/status/sessions/history/") || path.starts_with("/library/metadata/")
}

fn report(asked: u32, calls: BTreeMap<String, u64>) {
    println!("\n{TABS} tabs for {} s: {asked} requests", TIME.as_secs());
    println!("{:<45} {:>6} {:>6}", "", "calls", "least");
    let (mut all, mut least_of_all) = (0, 0);
    for (path, calls) in calls.into_iter().filter(|(path, _)| !is_import(path)) {
        println!("{path:<45} {calls:>6} {:>6}", least(&path));
        all += calls;
        least_of_all += least(&path);
    }
    println!(
        "{all} calls of Plex; ratio to the least: {:.2} (goal <= {GOAL})",
        ratio(all, least_of_all)
    );
}

#[expect(clippy::cast_precision_loss, reason = "a few dozen calls")]
fn ratio(calls: u64, least: u64) -> f64 {
    calls as f64 / least as f64
}

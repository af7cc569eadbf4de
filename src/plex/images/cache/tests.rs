use axum::http::HeaderValue;
use bytes::Bytes;

use super::*;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn picture(size: usize) -> Picture {
    Picture {
        bytes: Bytes::from(vec![0; size]),
        kind: "image/png",
        etag: HeaderValue::from_static("\"x\""),
    }
}

fn key(revision: u64, address: &str) -> Key {
    Key {
        revision: Some(revision),
        address: address.to_owned(),
    }
}

/// Lets a fetch of `key` end like this.
fn fetched(
    pictures: &mut Pictures,
    key: &Key,
    outcome: Result<Picture, PictureError>,
    now: Instant,
) {
    let launch = match pictures.look(key, now) {
        Look::Fetch(launch) | Look::Renew(_, launch) => launch,
        Look::Answer(_) | Look::Wait(_) => panic!("no fetch is due"),
    };
    pictures.settle(key, launch.number, &outcome.map(Arc::new), MIB, now);
}

fn answer(pictures: &mut Pictures, key: &Key, now: Instant) -> Result<Served, PictureError> {
    match pictures.look(key, now) {
        Look::Answer(answer) => answer,
        _ => panic!("a fetch is due"),
    }
}

fn is_kept(pictures: &Pictures, key: &Key) -> bool {
    pictures.kept.contains(key)
}

#[test]
fn a_picture_is_fresh_for_a_day_and_then_renewed_behind_its_readers() {
    let (mut pictures, now, key) = (Pictures::default(), Instant::now(), key(1, "/a"));
    fetched(&mut pictures, &key, Ok(picture(9)), now);
    let served = answer(&mut pictures, &key, now + FRESH / 2).unwrap();
    assert_eq!((served.how, served.age), (How::Hit(FRESH / 2), FRESH / 2));

    let later = now + FRESH;
    let Look::Renew(old, launch) = pictures.look(&key, later) else {
        panic!("it is not renewed");
    };
    assert_eq!(old.how, How::Stale);
    let other = answer(&mut pictures, &key, later).unwrap();
    assert_eq!(other.how, How::Stale, "one fetch is enough");
    pictures.settle(&key, launch.number, &Err(PictureError::Failed), MIB, later);
    let during = answer(&mut pictures, &key, later + PAUSE / 2).unwrap();
    assert_eq!(during.how, How::Stale, "no new try so soon");
    fetched(&mut pictures, &key, Ok(picture(9)), later + PAUSE);
    let renewed = answer(&mut pictures, &key, later + PAUSE).unwrap();
    assert_eq!(renewed.how, How::Hit(FRESH));

    let week = later + PAUSE + USABLE + Duration::from_secs(1);
    assert!(matches!(pictures.look(&key, week), Look::Fetch(_)));
}

#[test]
fn what_does_not_exist_is_remembered_for_a_minute_and_other_failures_are_not() {
    let (mut pictures, now, key) = (Pictures::default(), Instant::now(), key(1, "/a"));
    fetched(&mut pictures, &key, Err(PictureError::Timeout), now);
    fetched(&mut pictures, &key, Err(PictureError::Missing), now);
    let error = answer(&mut pictures, &key, now + MISSING / 2).unwrap_err();
    assert_eq!(error, PictureError::Missing);
    fetched(&mut pictures, &key, Ok(picture(9)), now + MISSING);

    let later = now + MISSING + FRESH;
    fetched(&mut pictures, &key, Err(PictureError::Missing), later);
    let error = answer(&mut pictures, &key, later).unwrap_err();
    assert_eq!(error, PictureError::Missing, "the old one is gone too");
    assert_eq!(pictures.bytes, 0);
}

#[test]
fn the_least_recently_used_go_and_the_sum_stays_below_the_bound() {
    let (mut pictures, now) = (Pictures::default(), Instant::now());
    let keys: Vec<Key> = (0..20).map(|n| key(1, &format!("/{n}"))).collect();
    for key in &keys {
        fetched(&mut pictures, key, Ok(picture(MIB / 10)), now);
        answer(&mut pictures, &keys[0], now).unwrap();
        assert!(pictures.bytes <= MIB);
    }
    assert!(is_kept(&pictures, &keys[0]), "it was used all the time");
    assert!(is_kept(&pictures, &keys[19]));
    assert!(!is_kept(&pictures, &keys[5]));
    assert_eq!(pictures.kept.len(), 9);

    let large = key(1, "/large");
    fetched(&mut pictures, &large, Ok(picture(MIB / 8)), now);
    assert!(!is_kept(&pictures, &large), "more than one share");
    let sum: usize = pictures.kept.iter().map(|(_, kept)| kept.weight).sum();
    assert_eq!(pictures.bytes, sum);
}

#[test]
fn tiny_pictures_never_take_more_than_the_cache_has() {
    let (mut pictures, now) = (Pictures::default(), Instant::now());
    for n in 0..2 * MIB / KIB {
        fetched(&mut pictures, &key(1, &n.to_string()), Ok(picture(1)), now);
    }
    let held = pictures.kept.len() * memory::set_aside_for(1);
    assert!(MIB / 2 < held && held <= MIB, "{held}");
}

#[test]
fn without_room_nothing_is_kept() {
    let (mut pictures, now, key) = (Pictures::default(), Instant::now(), key(1, "/a"));
    let Look::Fetch(launch) = pictures.look(&key, now) else {
        panic!("no fetch");
    };
    pictures.settle(&key, launch.number, &Ok(Arc::new(picture(0))), 0, now);
    assert!(matches!(pictures.look(&key, now), Look::Fetch(_)));
}

#[test]
fn a_change_of_server_or_a_clear_leaves_nothing_of_before() {
    let (mut pictures, now) = (Pictures::default(), Instant::now());
    let (old, new) = (key(1, "/a"), key(2, "/a"));
    let public = Key {
        revision: None,
        ..old.clone()
    };
    fetched(&mut pictures, &old, Ok(picture(9)), now);
    fetched(&mut pictures, &public, Ok(picture(9)), now);
    let running = key(1, "/b");
    let Look::Fetch(launch) = pictures.look(&running, now) else {
        panic!("no fetch");
    };
    fetched(&mut pictures, &new, Ok(picture(9)), now);
    assert!(!is_kept(&pictures, &old) && is_kept(&pictures, &public));
    pictures.settle(&running, launch.number, &Ok(Arc::new(picture(9))), MIB, now);
    assert!(!is_kept(&pictures, &running));

    let Look::Fetch(before) = pictures.look(&key(2, "/b"), now) else {
        panic!("no fetch");
    };
    pictures.clear();
    let Look::Fetch(after) = pictures.look(&key(2, "/b"), now) else {
        panic!("it waits for what will not be kept");
    };
    let outcome = Ok(Arc::new(picture(9)));
    pictures.settle(&key(2, "/b"), before.number, &outcome, MIB, now);
    assert_eq!((pictures.bytes, pictures.kept.len()), (0, 0));
    pictures.settle(&key(2, "/b"), after.number, &outcome, MIB, now);
    assert!(is_kept(&pictures, &key(2, "/b")));
}

#[test]
fn there_is_a_bound_on_fetches_and_on_what_is_known_to_be_missing() {
    let (mut pictures, now) = (Pictures::default(), Instant::now());
    for n in 0..MOST_FETCHES {
        let look = pictures.look(&key(1, &n.to_string()), now);
        assert!(matches!(look, Look::Fetch(_)));
    }
    assert!(matches!(pictures.look(&key(1, "0"), now), Look::Wait(_)));
    let error = answer(&mut pictures, &key(1, "more"), now).unwrap_err();
    assert_eq!(error, PictureError::Busy);

    let mut pictures = Pictures::default();
    for n in 0..2 * MOST_MISSING.get() {
        let key = key(1, &n.to_string());
        fetched(&mut pictures, &key, Err(PictureError::Missing), now);
    }
    assert_eq!(pictures.missing.len(), MOST_MISSING.get());
}

#[tokio::test]
async fn a_fetch_that_panics_strands_nobody() {
    let key = key(0, "a_fetch_that_panics");
    let panics = || async { panic!("a test") };
    let error = read(key.clone(), MIB, panics).await.unwrap_err();
    assert_eq!(error, PictureError::Failed);
    let served = read(key, MIB, || async { Ok(picture(9)) }).await.unwrap();
    assert_eq!(served.how, How::Fetched);
}

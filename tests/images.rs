//! `GET /api/plex/proxy/image`: what is passed on, what never leads to a call, and what a page
//! full of pictures costs.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use komandorr::demo::{Fault, Simulator};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use crate::harness::{Answer, Server, plex, until, until_asked};

const IMAGE: &str = "/api/plex/proxy/image";

fn proxied(url: &str) -> String {
    let url: String = byte_serialize(url.as_bytes()).collect();
    format!("{IMAGE}?url={url}")
}

/// A picture as a client gets it.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

async fn get(server: &Server, url: &str) -> Got {
    let request = server.request(&Method::GET, &proxied(url));
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await.unwrap().to_vec();
    Got {
        status,
        headers,
        bytes,
    }
}

/// Status and text of a refusal.
async fn refusal(server: &Server, url: &str) -> (u16, String) {
    let answer = server.get(&proxied(url)).await;
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    (answer.status.as_u16(), detail)
}

/// The thumbs of what is being watched, as the server itself names them.
async fn thumbs(plex: &Simulator) -> Vec<String> {
    let client = reqwest::Client::new();
    let request = client.get(format!("{}/library/sections/1/all", plex.url()));
    let response = request.header("X-Plex-Token", plex.token()).send();
    let text = response.await.unwrap().text().await.unwrap();
    plex.forget_calls();
    let body: Value = serde_json::from_str(&text).unwrap();
    let items = body["MediaContainer"]["Metadata"].as_array().unwrap();
    let thumbs = items.iter().filter_map(|item| item["thumb"].as_str());
    thumbs.map(str::to_owned).collect()
}

async fn thumb(plex: &Simulator) -> String {
    thumbs(plex).await.remove(0)
}

fn nothing_was_asked(plex: &Simulator) {
    assert_eq!(plex.calls_by_path(), [].into());
}

#[tokio::test]
async fn a_picture_arrives_whole_and_harmless() {
    let plex = plex(1).await;
    let server = Server::builder().plex(&plex).start().await;
    let thumb = thumb(&plex).await;
    let got = get(&server, &thumb).await;
    assert_eq!(got.status, 200);
    assert!(got.bytes.starts_with(b"\x89PNG\r\n\x1a\n"));
    for (name, value) in [
        ("content-type", "image/png"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("cache-control", "public, max-age=86400"),
        ("content-length", &got.bytes.len().to_string()),
        ("age", "0"),
        ("cache-status", "komandorr; fwd=miss"),
    ] {
        assert_eq!(got.headers[name], value, "{name}");
    }
    let etag = got.headers["etag"].to_str().unwrap().to_owned();
    assert!(etag.starts_with('"'), "strong");

    let again = get(&server, &thumb).await;
    assert!(again.bytes == got.bytes);
    let status = again.headers["cache-status"].to_str().unwrap();
    assert!(status.starts_with("komandorr; hit; ttl=86"), "{status}");
    let conditional = server.request(&Method::GET, &proxied(&thumb));
    let answer = server
        .send(conditional.header("if-none-match", &etag))
        .await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (304, ""));
    assert_eq!(answer.headers["etag"], etag);
    assert_eq!(answer.headers["cache-control"], "public, max-age=86400");
    let head = server.send(server.request(&Method::HEAD, &proxied(&thumb)));
    assert_eq!(head.await.headers["content-type"], "image/png");

    assert_eq!(plex.calls(&thumb), 1);
    assert_eq!(plex.tokens_in_queries(), 0);
}

#[tokio::test]
async fn old_addresses_work_and_lead_to_the_configured_server_only() {
    let (plex, other) = (plex(1).await, plex(1).await);
    let server = Server::builder().plex(&plex).start().await;
    let thumb = thumb(&plex).await;
    let host = plex.url().strip_prefix("http://").unwrap().to_owned();
    for url in [
        format!("http://{host}{thumb}?X-Plex-Token={}", plex.token()),
        format!("https://{host}{thumb}?X-Plex-Token=an-old-one"),
        format!("http://{host}{thumb}"),
        format!("http://{host}/{thumb}"),
        thumb.clone(),
    ] {
        let got = get(&server, &url).await;
        assert_eq!(got.status, 200, "{url}");
    }
    assert_eq!(plex.calls(&thumb), 1, "all are the same picture");
    assert_eq!(plex.tokens_in_queries(), 0);

    let elsewhere = format!("{}{thumb}?X-Plex-Token=T", other.url());
    let (status, detail) = refusal(&server, &elsewhere).await;
    assert_eq!(status, 404);
    assert!(
        !detail.contains("http") && !detail.contains('T'),
        "{detail}"
    );
    nothing_was_asked(&other);
    // As 3.3.0 wrote it into an image's address.
    let quoted = format!("http%3A//{host}{thumb}%3FX-Plex-Token%3DT").replace(':', "%3A");
    let answer = server.request(&Method::GET, &format!("{IMAGE}?url=x&url={quoted}"));
    assert_eq!(
        answer.send().await.unwrap().status(),
        200,
        "the last counts"
    );
}

#[tokio::test]
async fn a_row_of_the_watch_history_makes_its_former_server_known() {
    let plex = plex(1).await;
    let server = Server::builder().plex(&plex).start().await;
    let thumb = thumb(&plex).await;
    let stored = format!("http://192.0.2.1:32400{thumb}?X-Plex-Token=an-old-one");
    let database = server.directory.path().join("data/komandorr.db");
    let address = format!("sqlite://{}", database.display());
    let pool = sqlx::SqlitePool::connect(&address).await.unwrap();
    sqlx::query(
        "INSERT INTO watch_history (type, title, viewed_at, duration, thumb, created_at) \
         VALUES ('movie', 'Old', '2020-01-01 00:00:00.000000', 1, ?, \
         '2020-01-01 00:00:00.000000')",
    )
    .bind(&stored)
    .execute(&pool)
    .await
    .unwrap();
    let got = get(&server, &stored).await;
    assert_eq!(got.status, 200);
    assert_eq!(plex.calls(&thumb), 1);
    let without = stored.split('?').next().unwrap();
    assert_eq!(get(&server, without).await.status, 200);
    // The server is known, other paths on it are as forbidden as ever, and so are its neighbours.
    for url in [
        "http://192.0.2.1:32400/status/sessions".to_owned(),
        format!("http://192.0.2.1:32401{thumb}"),
        format!("http://192.0.2.2:32400{thumb}"),
    ] {
        assert_eq!(refusal(&server, &url).await.0, 404, "{url}");
    }
}

/// A GET of some of these does something; all of them are on the right server.
const FORBIDDEN: [&str; 33] = [
    "",
    "/",
    "/identity",
    "/accounts",
    "/activities",
    "/status/sessions",
    "/status/sessions/terminate?sessionId=1",
    "/status/sessions/history/all",
    "/library/sections",
    "/library/sections/1/refresh",
    "/library/sections/1/all",
    "/library/sections/1/emptyTrash",
    "/library/metadata/1",
    "/library/metadata/1/refresh",
    "/library/metadata/1/children",
    "/library/metadata/1/thumb/x",
    "/library/metadata/1/thumb/../../../../status/sessions",
    "/library/metadata/1/thumb/%2e%2e/%2e%2e/%2e%2e/%2e%2e/accounts",
    "/library/metadata/1/thumb%2f1",
    "/library/metadata/1/thumb%252f1",
    "/library/metadata/1/thumb/1;x",
    "/library/metadata/1/thumb/1\0",
    "/library/metadata/1/thumb/1#x",
    "/library/metadata/1/thumb/1?url=http://192.0.2.1/",
    "/library/metadata/1\\thumb\\1",
    "/users/a/avatar?c=1",
    "/:/prefs",
    "/:/scrobble?key=1",
    "/video/:/transcode/universal/stop?session=1",
    "/photo/:/transcode?width=1&height=1",
    "/photo/:/transcode?url=/status/sessions&width=1&height=1",
    "/photo/:/transcode?url=http://192.0.2.1/x.png&width=1&height=1",
    "/photo/:/transcode?url=/library/metadata/1/thumb/1&width=99999&height=1",
];

#[tokio::test]
async fn no_other_path_of_the_plex_server_is_asked_for() {
    let plex = plex(1).await;
    let server = Server::builder().plex(&plex).start().await;
    for path in FORBIDDEN {
        for url in [path.to_owned(), format!("{}{path}", plex.url())] {
            assert_eq!(refusal(&server, &url).await.0, 404, "{url}");
        }
    }
    nothing_was_asked(&plex);
}

#[tokio::test]
async fn no_other_place_is_asked_for_anything() {
    let (plex, plex_tv, other) = (plex(1).await, plex(1).await, plex(1).await);
    let server = Server::builder()
        .plex(&plex)
        .env("PLEX_TV_URL", &plex_tv.url())
        .env("IMAGE_HOSTS", "127.0.0.1, pictures.invalid")
        .start()
        .await;
    let thumb = thumb(&plex).await;
    let host = plex.url().strip_prefix("http://").unwrap().to_owned();
    let port = host.split_once(':').unwrap().1.to_owned();
    let elsewhere = other.url();
    for url in [
        format!("ftp://{host}{thumb}"),
        format!("file://{thumb}"),
        "file:///etc/passwd".to_owned(),
        "data:image/png;base64,AAAA".to_owned(),
        format!("{host}{thumb}"),
        format!("//{host}{thumb}"),
        format!("http:/{host}{thumb}"),
        format!("http:\\\\{host}{thumb}"),
        format!("http://user:word@{host}{thumb}"),
        format!("http://{host}@{}", &elsewhere["http://".len()..]),
        format!("{elsewhere}{thumb}"),
        format!("{elsewhere}/users/a/avatar"),
        format!("{elsewhere}/users/a/avatar#{host}"),
        format!("http://2130706433:{port}{thumb}"),
        format!("http://0x7f000001:{port}{thumb}"),
        format!("http://0177.0.0.1:{port}{thumb}"),
        format!("http://127.1:{port}{thumb}"),
        format!("http://127.0.0.1.:{port}{thumb}"),
        format!("http://[::ffff:127.0.0.1]:{port}{thumb}"),
        format!("http://[::1]:{port}{thumb}"),
        format!("http://localhost:{port}{thumb}"),
        format!("http://127.0.0.1:1{thumb}"),
        format!("http://127.0.0.1{thumb}"),
        "http://127.0.0.1/picture.png".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        format!("{}/api/plex/config", server.url),
        "https://plex.tv:8443/users/a/avatar".to_owned(),
        "https://plex.tv.example.org/users/a/avatar".to_owned(),
        "https://user@plex.tv/users/a/avatar".to_owned(),
        format!("{}/users/a/avatar", plex_tv.url().replace("http", "https")),
        "https://pictures.invalid:8443/a.png".to_owned(),
        "http://sub.pictures.invalid/a.png".to_owned(),
        "https://example.org/a.png".to_owned(),
        String::new(),
    ] {
        assert_eq!(refusal(&server, &url).await.0, 404, "{url}");
    }
    for simulator in [&plex, &plex_tv, &other] {
        nothing_was_asked(simulator);
    }
}

#[tokio::test]
async fn avatars_come_without_a_token_and_redirects_stay_among_allowed_hosts() {
    let (plex, plex_tv, other) = (plex(1).await, plex(1).await, plex(1).await);
    let server = Server::builder()
        .plex(&plex)
        .env("PLEX_TV_URL", &plex_tv.url())
        .start()
        .await;
    let token = plex.token();
    for (number, url) in [
        "https://plex.tv/users/a0/avatar?c=1".to_owned(),
        format!("https://plex.tv/users/a1/avatar?c=1&X-Plex-Token={token}"),
        format!("https://plex.tv/users/a2/avatar&X-Plex-Token={token}"),
        format!("{}/users/a3/avatar", plex_tv.url()),
    ]
    .iter()
    .enumerate()
    {
        let got = get(&server, url).await;
        assert_eq!(
            (got.status.as_u16(), &got.headers["content-type"]),
            (200, &"image/png".parse().unwrap()),
            "{url}"
        );
        assert_eq!(plex_tv.calls(&format!("/users/a{number}/avatar")), 1);
    }
    plex_tv.set_fault(
        "/users/moved/avatar",
        Fault::Redirect("/users/there/avatar".to_owned()),
    );
    assert_eq!(
        get(&server, "https://plex.tv/users/moved/avatar")
            .await
            .status,
        200
    );
    assert_eq!(plex_tv.calls("/users/there/avatar"), 1);

    plex_tv.forget_calls();
    let thumb = thumb(&plex).await;
    for to in [
        format!("{}{thumb}", plex.url()),
        format!("{}/users/a/avatar", other.url()),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "https://www.gravatar.com/avatar/a".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        plex_tv.set_fault("/users/away/avatar", Fault::Redirect(to.clone()));
        let (status, _) = refusal(&server, "https://plex.tv/users/away/avatar").await;
        assert_eq!(status, 502, "{to}");
    }
    plex_tv.set_fault(
        "/users/round/avatar",
        Fault::Redirect("/users/round/avatar".to_owned()),
    );
    assert_eq!(
        refusal(&server, "https://plex.tv/users/round/avatar")
            .await
            .0,
        502
    );
    assert_eq!(plex_tv.calls("/users/round/avatar"), 6, "five redirects");
    nothing_was_asked(&plex);
    nothing_was_asked(&other);
    assert_eq!(plex_tv.tokens_in_queries(), 0);
}

#[tokio::test]
async fn a_smaller_picture_is_made_by_plex_and_kept_apart() {
    let plex = plex(1).await;
    let server = Server::builder().plex(&plex).start().await;
    let thumb = thumb(&plex).await;
    let small = format!("/photo/:/transcode?url={thumb}&width=60&height=90");
    let got = get(&server, &small).await;
    assert_eq!(got.status, 200);
    // Width and height of a PNG stand behind its signature and the name of the first chunk.
    assert_eq!(got.bytes[16..24], [0, 0, 0, 60, 0, 0, 0, 90]);
    let reordered =
        format!("/photo/:/transcode?height=90&width=060&url={thumb}%3FX-Plex-Token%3DT");
    assert!(get(&server, &reordered).await.bytes == got.bytes);
    assert_eq!(plex.calls("/photo/:/transcode"), 1);
    let other_size = format!("/photo/:/transcode?url={thumb}&width=60&height=60");
    assert!(get(&server, &other_size).await.bytes != got.bytes);
    assert!(get(&server, &thumb).await.bytes != got.bytes);
    assert_eq!(plex.tokens_in_queries(), 0);
}

#[tokio::test]
async fn fifty_who_ask_for_one_picture_cost_one_call() {
    let plex = plex(1).await;
    let server = Server::builder().plex(&plex).start().await;
    let thumb = thumb(&plex).await;
    plex.set_fault(&thumb, Fault::Hold);
    // The first client leaves while its picture is on the way.
    let (leaving, url) = (
        reqwest::Client::new(),
        format!("{}{}", server.url, proxied(&thumb)),
    );
    let left = tokio::spawn(async move { leaving.get(url).send().await });
    until("the fetch", || plex.calls(&thumb) == 1).await;
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    let readers = join_all((0..50).map(|_| get(&server, &thumb)));
    let (answers, ()) = tokio::join!(readers, async {
        let waiting = async || server.log().matches("Waiting for a picture").count() >= 50;
        until_asked("the readers", waiting).await;
        plex.clear_faults();
        plex.release_holds();
    });
    for got in &answers {
        assert_eq!(got.status, 200);
        assert_eq!(
            got.headers["cache-status"],
            "komandorr; fwd=miss; collapsed"
        );
        assert!(got.bytes == answers[0].bytes);
    }
    assert_eq!(plex.calls(&thumb), 1);
}

#[tokio::test]
async fn the_cache_is_bounded_and_can_be_switched_off_and_emptied() {
    let plex = plex(1).await;
    let mut picture = b"GIF89a".to_vec();
    picture.resize(100 * 1024, 0);
    plex.set_fault("*", Fault::Content(Some("image/gif"), picture));
    let cached = async |mebibytes: &str| {
        let server = Server::builder()
            .plex(&plex)
            .env("IMAGE_CACHE_MB", mebibytes)
            .start();
        server.await
    };
    let thumb = |id: usize| format!("/library/metadata/{id}/thumb/1");
    let calls = |id: usize| plex.calls(&thumb(id));

    let server = cached("1").await;
    for id in 0..12 {
        assert_eq!(get(&server, &thumb(id)).await.status, 200);
    }
    for id in [11, 10, 9, 0] {
        get(&server, &thumb(id)).await;
    }
    assert_eq!(
        (calls(11), calls(10), calls(9)),
        (1, 1, 1),
        "the newest are kept"
    );
    assert_eq!(calls(0), 2, "the oldest made room");
    server.post("/api/plex/cache/clear", &json!({})).await;
    get(&server, &thumb(11)).await;
    assert_eq!(calls(11), 2);

    let server = cached("0").await;
    plex.forget_calls();
    for _ in 0..3 {
        assert_eq!(get(&server, &thumb(5)).await.status, 200);
    }
    assert_eq!(calls(5), 3);
}

#[tokio::test]
async fn another_server_s_pictures_are_not_shown() {
    let (first, second) = (plex(1).await, plex(1).await);
    let server = Server::builder().plex(&first).start().await;
    let thumb = thumb(&first).await;
    assert_eq!(get(&server, &thumb).await.status, 200);
    second.set_fault(&thumb, Fault::Status(404));
    server.choose(&second).await;
    assert_eq!(refusal(&server, &thumb).await.0, 404);
    assert_eq!(second.calls(&thumb), 1);
    assert_eq!(refusal(&server, &thumb).await.0, 404);
    assert_eq!(second.calls(&thumb), 1, "that is remembered for a while");
}

#[tokio::test]
async fn a_change_of_server_on_the_way_shows_the_new_one_s_picture() {
    let (first, second) = (plex(1).await, plex(1).await);
    let server = Server::builder().plex(&first).start().await;
    let thumb = thumb(&first).await;
    first.set_fault(&thumb, Fault::Hold);
    let (got, ()) = tokio::join!(get(&server, &thumb), async {
        until("the fetch", || first.calls(&thumb) == 1).await;
        server.choose(&second).await;
        first.clear_faults();
        first.release_holds();
    });
    assert_eq!(got.status, 200);
    assert_eq!(second.calls(&thumb), 1);
}

#[tokio::test]
async fn only_pictures_come_out_and_no_status_of_plex() {
    let plex = plex(1).await;
    let server = Server::builder().plex(&plex).start().await;
    let thumb = thumb(&plex).await;
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#;
    let html = b"<!DOCTYPE html><script>alert(1)</script>";
    let gif = b"GIF89a\x01\0\x01\0\0\0\0;".to_vec();
    for (fault, expected) in [
        (Fault::Html, 502),
        (Fault::Content(Some("image/svg+xml"), svg.to_vec()), 502),
        (Fault::Content(Some("image/png"), svg.to_vec()), 502),
        (Fault::Content(Some("image/png"), html.to_vec()), 502),
        (Fault::Content(Some("text/html"), gif.clone()), 502),
        (Fault::Content(Some("application/xml"), gif.clone()), 502),
        (Fault::Content(None, svg.to_vec()), 502),
        (Fault::Content(Some("image/png"), Vec::new()), 502),
        (Fault::Status(401), 502),
        (Fault::Status(403), 502),
        (Fault::Status(498), 502),
        (Fault::Status(500), 502),
        (Fault::Cut, 502),
        (Fault::Redirect(format!("{}/identity", plex.url())), 502),
        (Fault::HugePicture(21 * 1024 * 1024), 502),
        (Fault::HugePicture(u64::MAX), 502),
        (Fault::Status(404), 404),
    ] {
        plex.set_fault(&thumb, fault.clone());
        let (status, detail) = refusal(&server, &thumb).await;
        assert_eq!(status, expected, "{fault:?}: {detail}");
        assert!(
            !detail.contains("http") && !detail.contains(plex.token()),
            "{detail}"
        );
    }
    assert_eq!(plex.calls("/identity"), 0);
    // What is a picture is sent as what it is, whatever it was called.
    let art = thumb.replace("thumb", "art");
    for (declared, path) in [(None, &art), (Some("image/jpeg"), &format!("{art}0"))] {
        plex.set_fault(path, Fault::Content(declared, gif.clone()));
        let got = get(&server, path).await;
        assert_eq!(
            (&got.headers["content-type"], &got.bytes),
            (&"image/gif".parse().unwrap(), &gif)
        );
    }
}

/// `start`, then zeros: so many bytes in all, compressed.
fn packed(start: &[u8], bytes: u64) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(start).unwrap();
    let zeros = std::io::repeat(0).take(bytes - start.len() as u64);
    std::io::copy(&mut { zeros }, &mut packed).unwrap();
    packed.finish().unwrap()
}

#[tokio::test]
async fn a_picture_is_measured_after_unpacking() {
    const MIB: u64 = 1024 * 1024;
    let plex = plex(1).await;
    let server = Server::builder().plex(&plex).start().await;
    let thumb = thumb(&plex).await;
    let gif = b"GIF89a\x01\0\x01\0\0\0\0;";
    plex.set_fault(&thumb, Fault::Packed("image/gif", packed(gif, MIB)));
    let got = get(&server, &thumb).await;
    assert_eq!((got.status.as_u16(), got.bytes.len() as u64), (200, MIB));
    assert!(!got.headers.contains_key("content-encoding"));

    let bomb = packed(gif, 21 * MIB);
    assert!((bomb.len() as u64) < MIB);
    let art = thumb.replace("thumb", "art");
    plex.set_fault(&art, Fault::Packed("image/gif", bomb));
    let too_large = (502, "The picture is larger than 20 MiB".to_owned());
    assert_eq!(refusal(&server, &art).await, too_large);
}

#[tokio::test]
async fn a_hanging_server_costs_its_clients_the_deadline_and_not_more() {
    let plex = plex(1).await;
    let server = Server::builder()
        .plex(&plex)
        .env("PLEX_TIMEOUT", "0.5")
        .start()
        .await;
    let thumbs = thumbs(&plex).await;
    plex.set_fault("*", Fault::Hang);
    plex.set_fault(&thumbs[0], Fault::Drip(Duration::from_millis(20)));
    let started = Instant::now();
    let all = join_all(thumbs[..8].iter().map(|thumb| refusal(&server, thumb))).await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    let count = |status: u16| all.iter().filter(|(s, _)| *s == status).count();
    // Four have a slot; one who gets a slot in the last moment is late as well.
    assert!(count(504) >= 4 && count(504) + count(503) == 8, "{all:?}");
    plex.clear_faults();
    assert_eq!(
        get(&server, &thumbs[0]).await.status,
        200,
        "nothing is blocked after it"
    );
}

#[tokio::test]
async fn pictures_do_not_hold_up_data() {
    let plex = plex(1).await;
    let server = Server::builder().plex(&plex).start().await;
    let thumbs = thumbs(&plex).await;
    for thumb in &thumbs {
        plex.set_fault(thumb, Fault::Hold);
    }
    let pictures = join_all(thumbs[..6].iter().map(|thumb| get(&server, thumb)));
    let (got, ()) = tokio::join!(pictures, async {
        until("the pictures", || plex.most_at_once() == 4).await;
        let activities = server.get("/api/plex/activities").await.json();
        assert_eq!(activities["error"], false);
        plex.clear_faults();
        plex.release_holds();
    });
    assert!(got.iter().all(|got| got.status == 200));
}

#[tokio::test]
async fn it_is_public_and_says_what_is_missing() {
    let plex = plex(1).await;
    let server = Server::builder()
        .plex(&plex)
        .env("ENABLE_AUTH", "true")
        .env("AUTH_PASSWORD", "a long one")
        .start()
        .await;
    assert_eq!(server.get("/api/plex/config").await.status, 401);
    let thumb = thumb(&plex).await;
    assert_eq!(get(&server, &thumb).await.status, 200);
    let missing: Answer = server.get(IMAGE).await;
    assert_eq!(missing.status, 422);
    assert_eq!(
        missing.json(),
        json!({"detail": [{"type": "missing", "loc": ["query", "url"],
                           "msg": "Field required", "input": null}]})
    );
}

#[tokio::test]
async fn without_a_plex_server_avatars_are_there_all_the_same() {
    let plex_tv = plex(1).await;
    let server = Server::builder()
        .env("PLEX_TV_URL", &plex_tv.url())
        .start()
        .await;
    let not_configured = (404, "Plex server not configured".to_owned());
    for url in [
        "/library/metadata/1/thumb/2",
        "http://plex:32400/library/metadata/1/thumb/2",
    ] {
        assert_eq!(refusal(&server, url).await, not_configured);
    }
    let avatar = get(&server, "https://plex.tv/users/a/avatar").await;
    assert_eq!(avatar.status, 200);
}

#[tokio::test]
async fn the_demonstration_shows_its_people() {
    let server = Server::builder().argument("demo").start().await;
    let sessions = server.get("/api/plex/sessions").await.json();
    let session = &sessions["sessions"][0];
    for url in [&session["user"]["thumb"], &session["media"]["thumb"]] {
        let got = get(&server, url.as_str().unwrap()).await;
        assert_eq!(got.status, 200, "{url}");
    }
    let outside = refusal(&server, "https://www.gravatar.com/avatar/a").await;
    assert_eq!(outside.0, 404, "nothing real is asked");
}

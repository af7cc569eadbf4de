//! The built frontend: its files, its own routes, and nothing outside of its directory.

use std::io::Read as _;
use std::os::unix::fs::symlink;

use reqwest::Method;
use reqwest::header::HeaderMap;

use crate::harness::{Server, raw};

async fn with_frontend() -> Server {
    Server::builder()
        .file("frontend/dist/index.html", "<title>the page</title>")
        .file("frontend/dist/release.txt", "v3.3.0\n")
        .file("frontend/dist/assets/index-abc.js", "let x = 1;")
        .file("data/config.json", "{\"auth\":{\"enabled\":true}}")
        .start()
        .await
}

#[tokio::test]
async fn files_are_sent_with_type_tag_and_caching() {
    let server = with_frontend().await;
    let script = server.get("/assets/index-abc.js").await;
    assert_eq!(script.text, "let x = 1;");
    assert!(
        script.headers["content-type"]
            .to_str()
            .unwrap()
            .contains("javascript")
    );
    assert!(
        script.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    let conditional = server
        .request(&Method::GET, "/assets/index-abc.js")
        .header("if-none-match", script.headers["etag"].clone());
    assert_eq!(server.send(conditional).await.status, 304);
    assert_eq!(server.get("/release.txt").await.text, "v3.3.0\n");
    let missing = server.get("/assets/gone.js").await;
    assert_eq!(
        (missing.status.as_u16(), missing.text.as_str()),
        (404, r#"{"detail":"Not Found"}"#)
    );
}

#[tokio::test]
async fn the_page_answers_for_its_own_routes_even_with_log_in() {
    let server = with_frontend().await;
    for path in [
        "/",
        "/services",
        "/invite/CODE",
        "/user-accounts?x=1",
        "/a/b/c",
        "/apix",
    ] {
        let page = server.get(path).await;
        assert_eq!(
            (page.status.as_u16(), page.text.as_str()),
            (200, "<title>the page</title>")
        );
        assert_eq!(page.headers["cache-control"], "no-cache", "{path}");
    }
    let head = server
        .send(server.request(&Method::HEAD, "/services"))
        .await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
}

/// A script that is worth compressing.
fn script(word: &str) -> String {
    format!("let {word} = 1;\n").repeat(500)
}

fn put(server: &Server, path: &str, content: impl AsRef<[u8]>) {
    let path = server.directory.path().join("frontend/dist").join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

async fn sent(server: &Server, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Vec<u8>) {
    server.sent(&Method::GET, path, headers).await
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn what_consists_of_text_is_sent_compressed() {
    let server = with_frontend().await;
    put(&server, "assets/big.js", script("x"));
    put(&server, "index.html", format!("<p>{}", script("page")));
    put(&server, "photo.png", [7; 4000]);
    let (status, plain, whole) = sent(&server, "/assets/big.js", &[]).await;
    assert_eq!((status, text(&plain, "content-encoding")), (200, ""));
    assert_eq!(whole, script("x").into_bytes());

    let gzip = [("accept-encoding", "gzip, deflate")];
    let (status, packed, bytes) = sent(&server, "/assets/big.js", &gzip).await;
    assert_eq!((status, text(&packed, "content-encoding")), (200, "gzip"));
    assert!(bytes.len() * 10 < whole.len(), "{}", bytes.len());
    assert_eq!(text(&packed, "content-length"), bytes.len().to_string());
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(bytes.as_slice())
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, whole);
    for headers in [&plain, &packed] {
        assert!(
            text(headers, "vary").contains("accept-encoding"),
            "{headers:?}"
        );
        assert!(text(headers, "cache-control").contains("immutable"));
        assert!(text(headers, "etag").starts_with('"'), "a strong tag");
        assert!(text(headers, "content-type").contains("javascript"));
    }
    assert_ne!(plain["etag"], packed["etag"]);
    let (_, head, empty) = server.sent(&Method::HEAD, "/assets/big.js", &gzip).await;
    assert_eq!(
        (head["etag"].clone(), empty),
        (packed["etag"].clone(), vec![])
    );
    assert_eq!(head["content-length"], packed["content-length"]);

    let (_, page, _) = sent(&server, "/some/page", &gzip).await;
    assert_eq!(text(&page, "content-encoding"), "gzip");
    for path in ["/photo.png", "/release.txt"] {
        let (_, headers, _) = sent(&server, path, &gzip).await;
        assert_eq!(text(&headers, "content-encoding"), "", "{path}");
    }
    let refused = [("accept-encoding", "gzip;q=0, br")];
    let (_, headers, _) = sent(&server, "/assets/big.js", &refused).await;
    assert_eq!(text(&headers, "content-encoding"), "");
}

#[tokio::test]
async fn compressed_files_that_came_with_the_frontend_are_used() {
    let server = with_frontend().await;
    put(&server, "assets/big.js", script("x"));
    put(&server, "assets/big.js.br", "by brotli");
    put(&server, "assets/big.js.gz", "by gzip");
    let all = [("accept-encoding", "gzip, br")];
    let (_, headers, bytes) = sent(&server, "/assets/big.js", &all).await;
    assert_eq!(
        (text(&headers, "content-encoding"), &bytes[..]),
        ("br", &b"by brotli"[..])
    );
    let gzip = [("accept-encoding", "gzip")];
    let (_, headers, bytes) = sent(&server, "/assets/big.js", &gzip).await;
    assert_eq!(
        (text(&headers, "content-encoding"), &bytes[..]),
        ("gzip", &b"by gzip"[..])
    );
    // They belong to an older script.
    let script_file = server.directory.path().join("frontend/dist/assets/big.js");
    let file = std::fs::File::options()
        .write(true)
        .open(script_file)
        .unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    file.set_modified(later).unwrap();
    let (_, headers, bytes) = sent(&server, "/assets/big.js", &all).await;
    assert_eq!(text(&headers, "content-encoding"), "gzip");
    assert_ne!(bytes, b"by gzip");
}

#[tokio::test]
async fn who_has_a_file_already_is_told_so() {
    let server = with_frontend().await;
    put(&server, "assets/big.js", script("x"));
    for encoding in ["identity", "gzip"] {
        let encoding = ("accept-encoding", encoding);
        let (_, first, _) = sent(&server, "/assets/big.js", &[encoding]).await;
        let (tag, date) = (text(&first, "etag"), text(&first, "last-modified"));
        let list = format!("\"other\", W/{tag}");
        let old = "Mon, 02 Jan 2006 15:04:05 GMT";
        for (conditions, status) in [
            (vec![("if-none-match", tag)], 304),
            (vec![("if-none-match", list.as_str())], 304),
            (vec![("if-none-match", "*")], 304),
            (vec![("if-none-match", "\"other\"")], 200),
            (vec![("if-modified-since", date)], 304),
            (vec![("if-modified-since", old)], 200),
            (vec![("if-modified-since", "no date")], 200),
            // The tag decides.
            (
                vec![("if-modified-since", date), ("if-none-match", "\"other\"")],
                200,
            ),
            (
                vec![("if-modified-since", old), ("if-none-match", tag)],
                304,
            ),
        ] {
            let mut headers = conditions.clone();
            headers.push(encoding);
            let (got, answer, body) = sent(&server, "/assets/big.js", &headers).await;
            assert_eq!(got, status, "{conditions:?}");
            assert_eq!(text(&answer, "etag"), tag);
            assert!(text(&answer, "cache-control").contains("immutable"));
            assert!(text(&answer, "vary").contains("accept-encoding"));
            assert_eq!(body.is_empty(), status == 304);
        }
    }
    let page = sent(&server, "/", &[]).await.1;
    let (status, answer, _) = sent(&server, "/", &[("if-none-match", text(&page, "etag"))]).await;
    assert_eq!((status, text(&answer, "cache-control")), (304, "no-cache"));
}

#[tokio::test]
async fn a_part_of_a_file_is_sent_as_it_is() {
    let server = with_frontend().await;
    put(&server, "assets/big.js", script("x"));
    let length = script("x").len();
    let part = |range: &'static str| [("range", range), ("accept-encoding", "gzip")];
    let (status, headers, body) = sent(&server, "/assets/big.js", &part("bytes=4-7")).await;
    assert_eq!((status, &body[..]), (206, &b"x = "[..]));
    assert_eq!(
        text(&headers, "content-range"),
        format!("bytes 4-7/{length}")
    );
    assert_eq!(text(&headers, "content-encoding"), "");
    let (status, headers, body) = sent(&server, "/assets/big.js", &part("bytes=99999-")).await;
    assert_eq!((status, body.len()), (416, 0));
    assert_eq!(text(&headers, "content-range"), format!("bytes */{length}"));
    assert_eq!(
        sent(&server, "/assets/big.js", &part("bytes=x")).await.0,
        200
    );

    let tag = text(&headers, "etag").to_owned();
    for (condition, status) in [(tag.as_str(), 206), ("\"other\"", 200)] {
        let asked = [("range", "bytes=0-0"), ("if-range", condition)];
        assert_eq!(sent(&server, "/assets/big.js", &asked).await.0, status);
    }
}

#[tokio::test]
async fn a_part_is_for_those_who_get_and_do_not_have_the_file() {
    let server = with_frontend().await;
    put(&server, "large.txt", vec![b'a'; 9 << 20]);
    for (path, length) in [("/assets/index-abc.js", 10), ("/large.txt", 9 << 20)] {
        let (_, whole, _) = sent(&server, path, &[]).await;
        let (tag, date) = (text(&whole, "etag"), text(&whole, "last-modified"));
        let range = ("range", "bytes=0-1");
        for known in [("if-none-match", tag), ("if-modified-since", date)] {
            let (status, _, body) = sent(&server, path, &[range, known]).await;
            assert_eq!((status, body.len()), (304, 0), "{path}: {known:?}");
        }
        let other = ("if-none-match", "\"other\"");
        assert_eq!(sent(&server, path, &[range, other]).await.0, 206, "{path}");

        let head = server.request(&Method::HEAD, path).header(range.0, range.1);
        let answer = head.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(text(answer.headers(), "content-length"), length.to_string());
        assert!(!answer.headers().contains_key("content-range"), "{path}");
    }
}

#[tokio::test]
async fn a_frontend_that_is_replaced_shows_at_once() {
    let server = with_frontend().await;
    let gzip = [("accept-encoding", "gzip")];
    put(&server, "index.html", format!("<p>{}", script("one")));
    let (_, first, _) = sent(&server, "/", &gzip).await;
    put(&server, "index.html", format!("<p>{}", script("two")));
    let tag = [
        ("accept-encoding", "gzip"),
        ("if-none-match", text(&first, "etag")),
    ];
    let (status, _, body) = sent(&server, "/", &tag).await;
    let mut page = String::new();
    flate2::read::GzDecoder::new(body.as_slice())
        .read_to_string(&mut page)
        .unwrap();
    assert_eq!((status, page), (200, format!("<p>{}", script("two"))));

    let directory = server.directory.path().join("frontend");
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(server.get("/").await.json()["docs"], "/docs");
    assert_eq!(server.get("/services").await.status, 404);
    put(&server, "index.html", "<p>again");
    assert_eq!(server.get("/services").await.text, "<p>again");
}

#[tokio::test]
async fn a_large_file_is_not_kept_in_memory() {
    let server = with_frontend().await;
    put(&server, "large.txt", vec![b'a'; 40 << 20]);
    let before = server.memory();
    let gzip = [("accept-encoding", "gzip")];
    let (status, headers, body) = sent(&server, "/large.txt", &gzip).await;
    assert_eq!((status, body.len()), (200, 40 << 20));
    assert_eq!(text(&headers, "content-encoding"), "");
    let range = [("range", "bytes=5-6")];
    assert_eq!(sent(&server, "/large.txt", &range).await.0, 206);
    let known = [("if-none-match", text(&headers, "etag"))];
    assert_eq!(sent(&server, "/large.txt", &known).await.0, 304);
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 20 << 10, "{grown} KiB more");
}

#[tokio::test]
async fn many_first_readers_get_the_same() {
    let server = with_frontend().await;
    put(&server, "assets/big.js", script("x"));
    let gzip = [("accept-encoding", "gzip")];
    let readers = (0..40).map(|_| sent(&server, "/assets/big.js", &gzip));
    let answers = futures_util::future::join_all(readers).await;
    assert!(answers.windows(2).all(|pair| pair[0].2 == pair[1].2));
    assert_eq!(text(&answers[0].1, "content-encoding"), "gzip");
}

#[tokio::test]
async fn a_page_says_what_it_may_load() {
    let server = with_frontend().await;
    let page = server.get("/invite/CODE").await;
    let policy = text(&page.headers, "content-security-policy").to_owned();
    for needed in [
        "https://api.themoviedb.org",
        "https://cdn.jsdelivr.net",
        "img-src * data:",
        "ws: wss:",
        "style-src 'self' 'unsafe-inline'",
    ] {
        assert!(policy.contains(needed), "{needed} in {policy}");
    }
    // Dashboards are embedded, and the window of Plex's log-in is watched.
    assert!(!policy.contains("frame-ancestors") && !policy.contains("script-src"));
    assert!(!page.headers.contains_key("x-frame-options"));
    assert!(!page.headers.contains_key("cross-origin-opener-policy"));
    let script = server.get("/assets/index-abc.js").await;
    assert!(!script.headers.contains_key("content-security-policy"));
}

#[tokio::test]
async fn unknown_files_are_no_pages() {
    let server = with_frontend().await;
    for path in ["/assets/gone.js", "/assets/", "/icons/gone.png"] {
        let answer = server.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (404, r#"{"detail":"Not Found"}"#),
            "{path}"
        );
    }
}

#[tokio::test]
async fn no_request_leaves_the_directory() {
    let server = with_frontend().await;
    let root = server.directory.path();
    let link = |to: &str, name: &str| {
        symlink(root.join(to), root.join("frontend/dist").join(name)).unwrap();
    };
    link("data", "link");
    link("data/config.json", "config");
    for target in [
        "/../../data/config.json",
        "/%2e%2e/%2e%2e/data/config.json",
        "/..%2f..%2fdata/config.json",
        "/assets/../../../data/config.json",
        "/assets/..%2f..%2f..%2fdata%2fconfig.json",
        "/..%5c..%5cdata%5cconfig.json",
        "//etc/hostname",
        "/%2fetc/hostname",
        "/%00",
        "/%252e%252e/%252e%252e/data/config.json",
        "/..%252f..%252fdata/config.json",
        "/%c0%ae%c0%ae/%c0%ae%c0%ae/data/config.json",
        "/..%c0%af..%c0%afdata/config.json",
        "/..;/..;/data/config.json",
        "/assets/..;/..;/..;/data/config.json",
        "/assets//../../../data/config.json",
        "/assets//etc/hostname",
        "/assets/%2fetc%2fhostname",
        "/index.html/../../../data/config.json",
        "/index.html%00../../data/config.json",
        "/link/config.json",
        "/link%2fconfig.json",
        "/config",
        "/icons/../data/config.json",
        "/icons/..%2fconfig.json",
        "/docs/../data/config.json",
        "/docs/..%2f..%2fdata%2fconfig.json",
        "http://x/../../data/config.json",
        &format!("/{}data/config.json", "../".repeat(200)),
        &format!("/{}", "a".repeat(20_000)),
        &format!("/{}data/config.json", "%2e%2e%2f".repeat(200)),
    ] {
        let answer = raw(&server, target).await;
        assert!(
            !answer.contains("enabled") && !answer.contains("{\"auth"),
            "{target}: {answer}"
        );
        let page = answer.ends_with("<title>the page</title>");
        assert!(
            page || answer.starts_with("HTTP/1.1 4"),
            "{target}: {answer}"
        );
    }
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let answer = raw(&server, "//etc/hostname").await;
    assert!(host.trim().is_empty() || !answer.contains(host.trim()));
}

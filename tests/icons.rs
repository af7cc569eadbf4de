//! Icons: what may be uploaded, and what can't happen with what lies there.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Server, raw, until};

const UPLOAD: &str = "/api/upload-icon";
const REFUSED: &str = "Invalid file type. Allowed types: image/png, image/jpeg, image/jpg, \
                       image/svg+xml, image/webp";
const SVG: &[u8] =
    b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(document.domain)</script></svg>";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\xff\xd9";
const WEBP: &[u8] = b"RIFF\x0c\0\0\0WEBPVP8 \0\0\0\0";

/// A PNG of one pixel.
fn png() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, content) in [
        (b"IHDR", &b"\0\0\0\x01\0\0\0\x01\x08\0\0\0\0"[..]),
        (b"IDAT", b"\x78\x9c\x63\x60\0\0\0\x02\0\x01"),
        (b"IEND", b""),
    ] {
        bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        bytes.extend(name);
        bytes.extend(content);
        bytes.extend(b"\0\0\0\0");
    }
    bytes
}

/// A form with one field.
fn form(head: &str, content: &[u8]) -> Vec<u8> {
    let mut body =
        format!("--limit\r\nContent-Disposition: form-data; {head}\r\n\r\n").into_bytes();
    body.extend(content);
    body.extend(b"\r\n--limit--\r\n");
    body
}

async fn post(server: &Server, body: Vec<u8>) -> Answer {
    let request = server.request(&Method::POST, UPLOAD).body(body);
    let kind = "multipart/form-data; boundary=limit";
    server.send(request.header("content-type", kind)).await
}

async fn upload(server: &Server, filename: &str, declared: &str, content: &[u8]) -> Answer {
    let head = format!("name=\"file\"; filename=\"{filename}\"\r\nContent-Type: {declared}");
    post(server, form(&head, content)).await
}

fn directory(server: &Server) -> PathBuf {
    server.directory.path().join("data/icons")
}

fn names(server: &Server) -> Vec<String> {
    let entries = fs::read_dir(directory(server)).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let value = answer.headers.get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn an_icon_is_stored_under_a_name_of_our_own_and_comes_back() {
    let server = Server::builder().start().await;
    for (filename, declared, content, extension, shown) in [
        ("a.png", "image/png", &png()[..], "png", "image/png"),
        ("../../x.jpeg", "image/jpg", JPEG, "jpg", "image/jpeg"),
        ("", "image/webp", WEBP, "webp", "image/webp"),
        ("evil.html", "IMAGE/PNG; a=b", SVG, "svg", "image/svg+xml"),
    ] {
        let answer = upload(&server, filename, declared, content).await;
        assert_eq!(answer.status, 200, "{filename}: {answer:?}");
        let body = answer.json();
        let name = body["filename"].as_str().unwrap();
        assert_eq!(
            body,
            json!({"path": format!("/icons/{name}"), "filename": name})
        );
        let (id, end) = name.split_once('.').unwrap();
        assert_eq!((id.len(), end), (36, extension));
        let meta = fs::metadata(directory(&server).join(name)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o644);
        let icon = server.get(&format!("/icons/{name}")).await;
        assert_eq!(header(&icon, "content-type"), shown);
        assert_eq!(header(&icon, "content-length"), content.len().to_string());
        let told = format!("Uploaded icon: {name}");
        until("the line", || server.log().contains(&told)).await;
    }
    assert_eq!(names(&server).len(), 4, "and nothing else");
}

#[tokio::test]
async fn what_is_no_picture_is_refused_whatever_it_is_called() {
    let server = Server::builder().start().await;
    let whole = png();
    for (declared, content) in [
        (
            "image/png",
            &b"<!DOCTYPE html><script>alert(1)</script>"[..],
        ),
        ("image/svg+xml", b"<html><svg></svg></html>"),
        ("image/svg+xml", b"<svg></svg><script></script>"),
        ("image/png", b"GIF89a\x01\0\x01\0"),
        ("image/png", b""),
        ("image/png", &whole[..whole.len() - 6]),
        ("image/png", b"\x89PNG\r\n\x1a\n"),
        ("text/html", &whole),
        ("image/gif", &whole),
        ("", &whole),
    ] {
        let answer = upload(&server, "a.png", declared, content).await;
        assert_eq!(answer.status, 400, "{declared} {content:?}");
        assert_eq!(answer.json(), json!({"detail": REFUSED}));
    }
    let answer = post(&server, form("name=\"file\"; filename=\"a.png\"", &whole)).await;
    assert_eq!(answer.status, 400, "no type declared");
    assert!(names(&server).is_empty());
}

#[tokio::test]
async fn a_form_without_a_file_is_told_what_is_missing() {
    let server = Server::builder().start().await;
    let missing = json!([{"type": "missing", "loc": ["body", "file"], "msg": "Field required",
                          "input": null}]);
    let detail = |answer: Answer| {
        assert_eq!(answer.status, 422, "{answer:?}");
        answer.json()["detail"].clone()
    };
    let other = form("name=\"icon\"; filename=\"a.png\"", &png());
    assert_eq!(detail(post(&server, other).await), missing);
    let empty = form("name=\"file\"", b"");
    assert_eq!(detail(post(&server, empty).await), missing);
    let json = server.post(UPLOAD, &json!({"file": "x"})).await;
    assert_eq!(detail(json), missing);
    let none = server.send(server.request(&Method::POST, UPLOAD)).await;
    assert_eq!(detail(none), missing);
    let text = form("name=\"file\"", b"a text");
    assert_eq!(
        detail(post(&server, text).await),
        json!([{"type": "value_error", "loc": ["body", "file"],
                "msg": "Value error, Expected UploadFile, received: <class 'str'>",
                "input": "a text", "ctx": {"error": {}}}])
    );
    let mut broken = form("name=\"file\"; filename=\"a.png\"", &png());
    broken.truncate(broken.len() - 20);
    let answer = post(&server, broken).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (
            400,
            json!({"detail": "There was an error parsing the body"})
        )
    );
}

/// A JPEG of this many bytes.
fn jpeg_of(size: usize) -> Vec<u8> {
    let mut bytes = JPEG.to_vec();
    bytes.resize(size, b' ');
    bytes
}

#[tokio::test]
async fn five_mebibytes_are_the_most() {
    const MOST: usize = 5 * 1024 * 1024;
    let server = Server::builder().start().await;
    let most = upload(&server, "a.jpg", "image/jpeg", &jpeg_of(MOST)).await;
    assert_eq!(most.status, 200, "{most:?}");
    for size in [MOST + 1, MOST + 100_000] {
        let answer = upload(&server, "a.jpg", "image/jpeg", &jpeg_of(size)).await;
        assert_eq!(answer.status, 413, "{size}");
        assert!(answer.json()["detail"].is_string());
    }
    let elsewhere = form(
        "name=\"other\"; filename=\"a.jpg\"",
        &jpeg_of(MOST + 100_000),
    );
    assert_eq!(post(&server, elsewhere).await.status, 413, "the form too");
    assert_eq!(names(&server).len(), 1);
    let long = json!({"a": "x".repeat(2_000_000)});
    let other = server.post("/api/settings", &long).await;
    assert_eq!(other.status, 413, "all other bodies are small");
}

#[tokio::test]
async fn a_disk_that_does_not_take_it_is_a_500() {
    let server = Server::builder().start().await;
    fs::remove_dir(directory(&server)).unwrap();
    fs::write(directory(&server), "in the way").unwrap();
    let answer = upload(&server, "a.png", "image/png", &png()).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json(), json!({"detail": "Failed to upload icon"}));
    fs::remove_file(directory(&server)).unwrap();
    let answer = upload(&server, "a.png", "image/png", &png()).await;
    assert_eq!(answer.status, 200, "the directory is made anew");
}

#[tokio::test]
async fn nothing_that_lies_there_can_run() {
    let server = Server::builder()
        .file("data/icons/old.HTML", "<script>alert(1)</script>")
        .file("data/icons/plain", "<script>alert(1)</script>")
        .file("data/icons/old.js", "alert(1)")
        .file("data/icons/old.svg", "<svg><script>alert(1)</script></svg>")
        .file("data/icons/old.GIF", "<script>alert(1)</script>")
        .start()
        .await;
    for (name, shown, is_attachment) in [
        ("old.HTML", "application/octet-stream", true),
        ("plain", "application/octet-stream", true),
        ("old.js", "application/octet-stream", true),
        ("old.svg", "image/svg+xml", false),
        ("old.GIF", "image/gif", false),
    ] {
        let icon = server.get(&format!("/icons/{name}")).await;
        assert_eq!(icon.status, 200);
        assert_eq!(header(&icon, "content-type"), shown, "{name}");
        assert_eq!(header(&icon, "x-content-type-options"), "nosniff");
        assert_eq!(
            header(&icon, "content-security-policy"),
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; sandbox"
        );
        let disposition = if is_attachment { "attachment" } else { "" };
        assert_eq!(header(&icon, "content-disposition"), disposition, "{name}");
    }
}

#[tokio::test]
async fn icons_are_public_cached_and_sent_in_parts() {
    let server = Server::builder()
        .env("ENABLE_AUTH", "true")
        .file("data/icons/a.png", "0123456789")
        .start()
        .await;
    assert_eq!(
        upload(&server, "a.png", "image/png", &png()).await.status,
        401,
        "uploads are not public"
    );
    let path = "/icons/a.png";
    let icon = server.get(path).await;
    assert_eq!(icon.text, "0123456789");
    assert_eq!(header(&icon, "cache-control"), "public, max-age=604800");
    let ask = async |method: Method, name: &str, value: &str| {
        let request = server.request(&method, path).header(name, value);
        server.send(request).await
    };
    for (name, value) in [
        ("if-none-match", header(&icon, "etag")),
        ("if-modified-since", header(&icon, "last-modified")),
    ] {
        let same = ask(Method::GET, name, value).await;
        assert_eq!((same.status.as_u16(), &*same.text), (304, ""), "{name}");
        assert_eq!(header(&same, "content-type"), "");
    }
    let part = ask(Method::GET, "range", "bytes=2-4").await;
    assert_eq!((part.status.as_u16(), &*part.text), (206, "234"));
    assert_eq!(header(&part, "content-range"), "bytes 2-4/10");
    let head = ask(Method::HEAD, "accept", "*/*").await;
    assert_eq!((head.status.as_u16(), &*head.text), (200, ""));
    assert_eq!(header(&head, "content-length"), "10");
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = ask(method, "accept", "*/*").await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.json(), json!({"detail": "Method Not Allowed"}));
        assert!(header(&answer, "allow").contains("GET"), "{answer:?}");
    }
}

#[tokio::test]
async fn no_request_leaves_the_directory_of_icons() {
    let builder = Server::builder()
        .config(&json!({"auth": {"enabled": false}}))
        .file("data/icons/.hidden.png", "secret")
        .file("data/icons/.upload-a", "secret")
        .file("data/icons/below/b.png", "fine");
    let icons = builder.directory().join("data/icons");
    symlink("../config.json", icons.join("link.png")).unwrap();
    symlink("/etc", icons.join("etc")).unwrap();
    let server = builder.start().await;
    assert!(
        !icons.join(".upload-a").exists(),
        "what an upload has left is removed"
    );
    assert_eq!(server.get("/icons/below/b.png").await.text, "fine");
    for target in [
        "/icons/../config.json",
        "/icons/%2e%2e/config.json",
        "/icons/..%2fconfig.json",
        "/icons/.%2e/config.json",
        "/icons/..%5cconfig.json",
        "/icons/%252e%252e/config.json",
        "/icons//etc/hostname",
        "/icons/%2fetc%2fhostname",
        "/icons/below/../../config.json",
        "/icons/link.png",
        "/icons/etc/hostname",
        "/icons/.hidden.png",
        "/icons/%2ehidden.png",
        "/icons/below",
        "/icons/below/",
        "/icons/",
        "/icons/a.png%00",
        "/icons/missing.png",
        "/icons/%ff",
    ] {
        let answer = raw(&server, target).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 404 "), "{target}: {answer}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body, json!({"detail": "Not Found"}), "{target}");
    }
}

#[tokio::test]
async fn icons_outlive_a_restart() {
    let server = Server::builder().start().await;
    let answer = upload(&server, "a.jpg", "image/jpeg", JPEG).await;
    let path = answer.json()["path"].as_str().unwrap().to_owned();
    let tag = server.get(&path).await.headers["etag"].clone();
    let again = server.stop().await.start().await;
    assert_eq!(again.get(&path).await.headers["etag"], tag);
}

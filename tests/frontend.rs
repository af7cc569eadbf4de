//! The built frontend: its files, its own routes, and nothing outside of its directory.

use reqwest::Method;

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

#[tokio::test]
async fn no_request_leaves_the_directory() {
    let server = with_frontend().await;
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

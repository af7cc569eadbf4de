//! A server to be monitored. What it does is in the path, so that one serves a whole test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Ends with the test.
pub(crate) struct Target {
    pub(crate) url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicU64,
    requests: AtomicU64,
    /// What `/switched` answers.
    status: AtomicU64,
    released: Notify,
}

impl Target {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        shared.status.store(200, Ordering::Relaxed);
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::Relaxed);
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    let _gone = serve(stream, &shared).await;
                });
            }
        });
        Self {
            url,
            shared,
            accepting,
        }
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// From now on `/switched` answers this.
    pub(crate) fn switch(&self, status: u64) {
        self.shared.status.store(status, Ordering::Relaxed);
    }

    /// Lets those go on who wait at `/held`.
    pub(crate) fn release(&self) {
        self.shared.released.notify_waiters();
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// An address where nobody listens.
pub(crate) async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Answers requests until the client closes: connections could be used again.
async fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    loop {
        let head = head(&mut stream).await?;
        shared.requests.fetch_add(1, Ordering::Relaxed);
        let path = head.split(' ').nth(1).unwrap_or_default();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts[..] {
            ["status", status] => answer(&mut stream, status, "").await?,
            ["switched"] => {
                let status = shared.status.load(Ordering::Relaxed).to_string();
                answer(&mut stream, &status, "").await?;
            }
            ["slow", milliseconds] => {
                tokio::time::sleep(Duration::from_millis(milliseconds.parse().unwrap())).await;
                answer(&mut stream, "200", "").await?;
            }
            ["held"] => {
                shared.released.notified().await;
                answer(&mut stream, "200", "").await?;
            }
            ["hang"] => std::future::pending().await,
            ["redirect", "0"] | ["%C3%BCber"] => answer(&mut stream, "200", "").await?,
            ["redirect", left] => {
                let next: u32 = left.parse::<u32>().unwrap() - 1;
                let location = format!("Location: /redirect/{next}\r\n");
                answer(&mut stream, "302", &location).await?;
            }
            ["cookie"] if head.to_lowercase().contains("\r\ncookie: seen=yes") => {
                answer(&mut stream, "200", "").await?;
            }
            ["unencoded"] => answer(&mut stream, "302", "Location: /über\r\n").await?,
            ["cookie"] => {
                let headers = "Location: /cookie\r\nSet-Cookie: seen=yes; Path=/\r\n";
                answer(&mut stream, "302", headers).await?;
            }
            ["password"] if head.contains("Basic dXNlcjpwYXNz") || head.contains("basic dXNl") => {
                answer(&mut stream, "200", "").await?;
            }
            ["password"] => answer(&mut stream, "401", "").await?,
            ["endless"] => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b'x'; 8192]).await?;
                }
            }
            ["broken"] => {
                let beginning = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this";
                return stream.write_all(beginning).await;
            }
            ["garbage"] => return stream.write_all(b"220 mail.example ESMTP\r\n").await,
            ["closed"] => return Ok(()),
            _ => answer(&mut stream, "404", "").await?,
        }
    }
}

async fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

async fn answer(stream: &mut TcpStream, status: &str, headers: &str) -> std::io::Result<()> {
    let text = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: 5\r\n\r\nthere");
    stream.write_all(text.as_bytes()).await
}

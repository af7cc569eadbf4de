//! A server that gives prepared answers and keeps what it was asked.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{PlexTv, client};

/// What it does with a request.
#[derive(Clone, Copy)]
pub(super) enum Reply {
    /// Status line, headers without the length, and body.
    Say(&'static str, &'static str, &'static str),
    /// Hangs up without a word.
    Leave,
    /// Never answers.
    Hang,
}

pub(super) struct Script {
    pub(super) tv: PlexTv,
    pub(super) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    /// Answers one request after the other; the last reply is for all that come after.
    pub(super) async fn of(replies: &'static [Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read(&mut stream).await;
                let number = {
                    let mut heard = heard.lock().unwrap();
                    heard.push(request);
                    heard.len() - 1
                };
                match replies[number.min(replies.len() - 1)] {
                    Reply::Say(status, headers, body) => {
                        let length = body.len();
                        let answer = format!(
                            "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\
                             connection: close\r\n\r\n{body}"
                        );
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                    Reply::Leave => drop(stream),
                    Reply::Hang => std::mem::forget(stream),
                }
            }
        });
        Self {
            tv: client(&url),
            url,
            asked,
        }
    }

    /// The requests as they came, heads and bodies, names of headers in small letters.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Their methods and targets.
    pub(super) fn targets(&self) -> Vec<String> {
        let line = |request: String| {
            let line = request.lines().next().unwrap_or_default();
            line.trim_end_matches(" HTTP/1.1").to_owned()
        };
        self.asked().into_iter().map(line).collect()
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let length = lines.find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        let size = stream.read(&mut chunk).await.unwrap();
        assert!(size > 0, "a whole request");
        text.push_str(std::str::from_utf8(&chunk[..size]).unwrap());
    }
}

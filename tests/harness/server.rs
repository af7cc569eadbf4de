//! One running server.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use komandorr::demo::Simulator;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::redis::Reachable;
use super::{DEADLINE, command};

/// A server that is ended when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) client: Client,
    /// Its working directory; data is below.
    pub(crate) directory: TempDir,
    log: Arc<Mutex<String>>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// How to start a server.
pub(crate) struct Builder {
    directory: TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The titles of the listed activities.
    pub(crate) fn titles(&self) -> Vec<String> {
        let list = self.json()["activities"]
            .as_array()
            .expect("a list")
            .clone();
        list.iter()
            .map(|a| a["title"].as_str().expect("a title").to_owned())
            .collect()
    }
}

impl Builder {
    pub(crate) fn plex(self, plex: &Simulator) -> Self {
        self.env("PLEX_SERVER_URL", &plex.url())
            .env("PLEX_SERVER_TOKEN", plex.token())
            .env("PLEX_CLIENTS_URL", &plex.url())
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Shares its caches through this Redis.
    pub(crate) fn redis(mut self, redis: &impl Reachable) -> Self {
        self.environment.extend(redis.env());
        self
    }

    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Puts a file into the working directory.
    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn config(self, config: &Value) -> Self {
        self.file("data/config.json", &config.to_string())
    }

    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// The command, not yet running.
    pub(crate) fn command(&self) -> Command {
        let mut command = command(self.directory.path());
        command
            .args(&self.arguments)
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .env("LOG_LEVEL", "DEBUG")
            // Most tests look at what readers alone bring about.
            .env("CACHE_WARM", "none")
            // Tests count calls to Plex; those of the refresher come on top of a reader's.
            .env("STATS_REFRESH_INTERVAL", "0")
            // No test talks to the internet: nobody listens there.
            .env("GITHUB_API_URL", "http://127.0.0.1:9")
            .env("TELEGRAM_API_URL", "http://127.0.0.1:9")
            .env("PLEX_TV_URL", "http://127.0.0.1:9")
            .env("PLEX_CLIENTS_URL", "http://127.0.0.1:9")
            // Rows that a test has put into the database stay as they are.
            .env("MONITOR_INTERVAL", "0")
            .envs(self.environment.clone());
        command
    }

    /// Starts it and waits for its first line.
    pub(crate) async fn start(self) -> Server {
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = collect(child.stderr.take().unwrap());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap();
        let url = first
            .as_deref()
            .and_then(|line| line.strip_prefix("listening on "));
        let Some(url) = url else {
            panic!("the server did not start: {}", log.lock().unwrap());
        };
        let url = url.to_owned();
        Server {
            child,
            url,
            client: Client::new(),
            directory: self.directory,
            log,
            arguments: self.arguments,
            environment: self.environment,
        }
    }
}

fn collect(stream: impl AsyncRead + Send + Unpin + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let collected = Arc::clone(&text);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut text = collected.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
        }
    });
    text
}

impl Server {
    pub(crate) fn builder() -> Builder {
        Self::builder_in(tempfile::tempdir().unwrap())
    }

    /// For a server that finds what another one has left.
    pub(crate) fn builder_in(directory: TempDir) -> Builder {
        Builder {
            directory,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    pub(crate) fn request(&self, method: &Method, path: &str) -> RequestBuilder {
        self.client
            .request(method.clone(), format!("{}{path}", self.url))
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.timeout(DEADLINE).send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        Answer {
            status,
            headers,
            text: response.text().await.expect("a whole body"),
        }
    }

    /// Status, headers and body as they are sent, not unpacked on the way.
    pub(crate) async fn sent(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (u16, HeaderMap, Vec<u8>) {
        let client = Client::builder().no_gzip().build().unwrap();
        let mut request = client.request(method.clone(), format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.timeout(DEADLINE).send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await.expect("a whole body");
        (status, headers, body.to_vec())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(&Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.request(&Method::POST, path).body(body.to_string());
        self.send(request.header("content-type", "application/json"))
            .await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        let request = self.request(&Method::PUT, path).body(body.to_string());
        self.send(request.header("content-type", "application/json"))
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(&Method::DELETE, path)).await
    }

    /// Creates a service as the frontend does and gives it as it is after its check.
    pub(crate) async fn add_service(&self, name: &str, url: &str) -> Value {
        let body = json!({"name": name, "url": url, "type": "website",
            "description": "", "group": "", "icon": ""});
        let answer = self.post("/api/services/", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.json()
    }

    /// A service as it is.
    pub(crate) async fn service(&self, id: &str) -> Value {
        let answer = self.get(&format!("/api/services/{id}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }

    /// All services, in their order, after a check.
    pub(crate) async fn check_all(&self) -> Vec<Value> {
        let request = self.request(&Method::POST, "/api/services/check-all");
        let answer = self.send(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json().as_array().expect("a list").clone()
    }

    /// Chooses another Plex server, as the settings page does.
    pub(crate) async fn choose(&self, plex: &Simulator) {
        let body = json!({"url": plex.url(), "token": plex.token()});
        let answer = self.post("/api/plex/config", &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }

    /// The first entry of cache/stats: activities.
    pub(crate) async fn cache(&self) -> Value {
        self.get("/api/plex/cache/stats").await.json()["caches"][0].clone()
    }

    /// The entry of cache/stats about the statistics that are counted in the background.
    pub(crate) async fn background(&self) -> Value {
        self.get("/api/plex/cache/stats").await.json()["caches"][2].clone()
    }

    /// What it has logged on the console so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Its resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.unwrap().parse().unwrap()
    }

    pub(crate) fn config(&self) -> Value {
        let text = std::fs::read_to_string(self.directory.path().join("data/config.json"));
        serde_json::from_str(&text.unwrap()).unwrap()
    }

    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let line = format!("kill -{name} {pid}");
        assert!(
            Command::new("sh")
                .args(["-c", &line])
                .status()
                .await
                .unwrap()
                .success()
        );
    }

    /// Stops it as an operator does and gives back what starts it again in the same directory.
    pub(crate) async fn stop(mut self) -> Builder {
        self.signal("TERM").await;
        assert!(self.end().await.success());
        self.builder_again()
    }

    /// Kills it and gives back what starts it again in the same directory.
    pub(crate) async fn kill(mut self) -> Builder {
        self.signal("KILL").await;
        self.end().await;
        self.builder_again()
    }

    fn builder_again(self) -> Builder {
        Builder {
            directory: self.directory,
            arguments: self.arguments,
            environment: self.environment,
        }
    }

    /// Ends it by this signal and gives what it leaves.
    pub(crate) async fn stop_by(mut self, signal: &str) -> TempDir {
        self.signal(signal).await;
        self.end().await;
        self.directory
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let ended = timeout(Duration::from_secs(15), self.child.wait()).await;
        ended.expect("it ends").unwrap()
    }
}

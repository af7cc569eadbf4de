//! [`Checker`]: asks one address whether somebody is there (contract 03, section 3; ruling 41).

use std::borrow::Cow;
use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::outgoing;

/// For one check in all, redirects and the body included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Checks at a time; who comes then waits, which counts neither as patience nor as response time.
const PLACES: usize = 64;
/// Of the answer's body, what is read. A page has less; a stream has no end.
const READ: usize = 256 * 1024;
const MOST_REDIRECTS: usize = 20;
/// Cookies that are kept on the way through redirects.
const MOST_COOKIES: usize = 50;

/// The way to the services.
#[derive(Debug)]
pub struct Checker {
    http: Client,
    places: Semaphore,
}

/// What became of a check.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// Somebody answered.
    Answered {
        /// Of HTTP, after all redirects.
        status: u16,
        /// From dialling to the end of the body, or to what is read of it.
        milliseconds: f64,
    },
    /// There was no whole answer in time.
    TimedOut,
    /// There is nobody, or nobody who speaks HTTP. The text is for the log and names no address.
    Failed(String),
}

impl Checker {
    /// # Errors
    /// TLS can't be set up.
    pub fn new() -> Result<Self, reqwest::Error> {
        let http = outgoing::verifying(|| {
            Client::builder()
                .user_agent(concat!("Komandorr/", env!("CARGO_PKG_VERSION")))
                // A connection of its own for each check: name, route and certificate are part of
                // what is checked. Settings of TLS are made once and shared.
                .pool_max_idle_per_host(0)
                .http1_only()
                .no_gzip()
                .redirect(Policy::none())
        })?;
        Ok(Self {
            http,
            places: Semaphore::new(PLACES),
        })
    }

    /// Asks `url`, when there is a place.
    pub(super) async fn ask(&self, url: &str) -> Outcome {
        let _place = self.places.acquire().await;
        let started = Instant::now();
        match timeout(PATIENCE, self.follow(url)).await {
            Ok(Ok(status)) => Outcome::Answered {
                status: status.as_u16(),
                milliseconds: milliseconds(started.elapsed()),
            },
            Ok(Err(why)) => Outcome::Failed(why),
            Err(_) => Outcome::TimedOut,
        }
    }

    /// Goes through redirects to the answer and reads it. They are followed here and not by the
    /// client because each check has cookies of its own: some pages redirect to themselves until
    /// theirs comes back.
    async fn follow(&self, url: &str) -> Result<StatusCode, String> {
        let mut url = Url::parse(url).map_err(|error| error.to_string())?;
        let mut cookies = Cookies::default();
        for _ in 0..=MOST_REDIRECTS {
            let mut request = self.http.get(url.clone());
            if let Some(cookies) = cookies.of(&url) {
                request = request.header(COOKIE, cookies);
            }
            let response = request.send().await.map_err(|error| cause(&error))?;
            let Some(next) = redirected(&response) else {
                return read(response).await;
            };
            cookies.keep(&url, &response);
            url = next_address(&url, &next)?;
        }
        Err("too many redirects".to_owned())
    }
}

/// Where else to ask, if the answer is a redirect. Some servers send it unencoded.
fn redirected(response: &Response) -> Option<Cow<'_, str>> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| redirects)?;
    Some(String::from_utf8_lossy(location.as_bytes()))
}

/// User name and password of an address go along to where they belong.
fn next_address(url: &Url, location: &str) -> Result<Url, String> {
    let mut next = url.join(location).map_err(|error| error.to_string())?;
    if next.origin() == url.origin() && next.username().is_empty() && next.password().is_none() {
        let _ = next.set_username(url.username());
        let _ = next.set_password(url.password());
    }
    Ok(next)
}

async fn read(mut response: Response) -> Result<StatusCode, String> {
    let mut read = 0;
    while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
        read += chunk.len();
        if read >= READ {
            break;
        }
    }
    Ok(response.status())
}

/// What is at the bottom of a failure, such as "Connection refused (os error 111)". What lies above
/// it names the address, which may hold a key.
fn cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| "no HTTP request".to_owned(), ToString::to_string)
}

/// In whole microseconds, as 3.3.0 measured.
#[expect(
    clippy::cast_precision_loss,
    reason = "a few seconds are exact to the microsecond"
)]
const fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// Names and values of cookies, by the host that has set them.
#[derive(Default)]
struct Cookies(Vec<(Option<String>, String, String)>);

impl Cookies {
    fn keep(&mut self, url: &Url, response: &Response) {
        let host = url.host_str().map(str::to_owned);
        for cookie in response.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().ok().and_then(|text| text.split(';').next());
            let Some((name, value)) = pair.and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            self.0
                .retain(|(of, known, _)| (of, known.as_str()) != (&host, name.trim()));
            if self.0.len() < MOST_COOKIES {
                let value = value.trim().to_owned();
                self.0.push((host.clone(), name.trim().to_owned(), value));
            }
        }
    }

    /// As a header, if there are any for this host.
    fn of(&self, url: &Url) -> Option<String> {
        let of_host = |cookie: &&(Option<String>, _, _)| cookie.0.as_deref() == url.host_str();
        let pairs = self.0.iter().filter(of_host);
        let pairs: Vec<String> = pairs
            .map(|(_, name, value)| format!("{name}={value}"))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_an_address_stay_with_its_host() {
        let url = Url::parse("http://user:pass@host:81/a").unwrap();
        let next = |location| next_address(&url, location).unwrap().to_string();
        assert_eq!(next("/b"), "http://user:pass@host:81/b");
        assert_eq!(next("http://host:81/b"), "http://user:pass@host:81/b");
        assert_eq!(next("http://other:81/b"), "http://other:81/b");
        assert_eq!(next("https://host:81/b"), "https://host:81/b");
        assert_eq!(next("//u@host:81/b"), "http://u@host:81/b");
    }

    #[test]
    fn a_cookie_goes_to_the_host_that_has_set_it() {
        let answer = |host: &str, cookies: &[&str]| {
            let mut response = axum::http::Response::builder().status(302);
            for cookie in cookies {
                response = response.header(SET_COOKIE, *cookie);
            }
            let url = Url::parse(&format!("http://{host}/")).unwrap();
            (url, Response::from(response.body("").unwrap()))
        };
        let mut cookies = Cookies::default();
        let (one, response) = answer("one", &["a=1; Path=/", "b=x=y; HttpOnly", "nonsense"]);
        cookies.keep(&one, &response);
        let (two, response) = answer("two", &["a=2"]);
        cookies.keep(&two, &response);
        let (_, response) = answer("one", &["a=3"]);
        cookies.keep(&one, &response);
        assert_eq!(cookies.of(&one).as_deref(), Some("b=x=y; a=3"));
        assert_eq!(cookies.of(&two).as_deref(), Some("a=2"));
        assert_eq!(cookies.of(&Url::parse("http://three/").unwrap()), None);
        let many: Vec<String> = (0..99).map(|number| format!("c{number}=1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let (three, response) = answer("three", &many);
        cookies.keep(&three, &response);
        assert_eq!(cookies.0.len(), MOST_COOKIES);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_given_up_after_ten_seconds() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let started = Instant::now();
        let checker = Checker::new().unwrap();
        assert_eq!(checker.ask(&url).await, Outcome::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 10);
    }

    #[tokio::test]
    async fn a_failure_says_what_and_not_where() {
        let checker = Checker::new().unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://user:secret@{}/?key=secret",
            closed.local_addr().unwrap()
        );
        drop(closed);
        let refused = Outcome::Failed("Connection refused (os error 111)".to_owned());
        assert_eq!(checker.ask(&url).await, refused);
        let relative = Outcome::Failed("relative URL without a base".to_owned());
        assert_eq!(checker.ask("secret").await, relative);
    }
}

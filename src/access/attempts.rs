//! Log-ins that fail are slowed down, each address for itself.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

/// What the second try waits; each further one twice as long …
const FIRST_DELAY: Duration = Duration::from_millis(250);
/// … up to this.
const LONGEST_DELAY: Duration = Duration::from_secs(4);
/// An address that has not failed for so long begins anew.
const MEMORY: Duration = Duration::from_secs(15 * 60);
/// Addresses that are remembered; the one that was quiet longest goes.
const MOST_ADDRESSES: NonZeroUsize = NonZeroUsize::new(4096).expect("more than 0");
/// Tries that wait at the same time; more are refused …
const MOST_WAITING: usize = 64;
/// … and so many of one address, lest it keep all places from the others.
const MOST_WAITING_EACH: u32 = 8;

/// Failed log-ins by address.
pub(super) struct Attempts {
    by_address: Mutex<LruCache<IpAddr, Failures>>,
    waiting: Semaphore,
}

struct Failures {
    /// In a row. One that is not decided yet counts as failed, or many at a time would all be the
    /// first.
    count: u32,
    waiting: u32,
    last: Instant,
}

/// A try that waits; gives its place back, however that ends.
struct Place<'a> {
    all: &'a Attempts,
    address: IpAddr,
    _of_all: SemaphorePermit<'a>,
}

/// A try that is under way. Unless [`Self::succeeded`] is called, it has failed.
pub(super) struct Attempt<'a> {
    all: &'a Attempts,
    address: IpAddr,
}

/// Too many tries wait already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Default for Attempts {
    fn default() -> Self {
        Self {
            by_address: Mutex::new(LruCache::new(MOST_ADDRESSES)),
            waiting: Semaphore::new(MOST_WAITING),
        }
    }
}

impl Attempts {
    /// Begins a try from `address`, after the delay that its failures have earned.
    pub(super) async fn begin(&self, address: IpAddr) -> Result<Attempt<'_>, TooMany> {
        let address = subject(address);
        let delay = self.count(address);
        if !delay.is_zero() {
            let _place = self.place(address).ok_or(TooMany)?;
            sleep(delay).await;
        }
        Ok(Attempt { all: self, address })
    }

    fn place(&self, address: IpAddr) -> Option<Place<'_>> {
        let of_all = self.waiting.try_acquire().ok()?;
        let mut known = self.known();
        let failures = known.get_mut(&address)?;
        if failures.waiting >= MOST_WAITING_EACH {
            return None;
        }
        failures.waiting += 1;
        drop(known);
        Some(Place {
            all: self,
            address,
            _of_all: of_all,
        })
    }

    /// Counts a try of `address`; what it has to wait.
    fn count(&self, address: IpAddr) -> Duration {
        let now = Instant::now();
        let mut known = self.known();
        let failures = known.get_or_insert_mut(address, || Failures {
            count: 0,
            waiting: 0,
            last: now,
        });
        if now.duration_since(failures.last) >= MEMORY {
            failures.count = 0;
        }
        let before = failures.count;
        failures.count = before.saturating_add(1);
        failures.last = now;
        drop(known);
        delay_after(before)
    }

    fn known(&self) -> MutexGuard<'_, LruCache<IpAddr, Failures>> {
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(failures) = self.all.known().get_mut(&self.address) {
            failures.waiting = failures.waiting.saturating_sub(1);
        }
    }
}

impl Attempt<'_> {
    /// The credentials were right: the address begins anew.
    pub(super) fn succeeded(self) {
        if let Some(failures) = self.all.known().get_mut(&self.address) {
            failures.count = 0;
        }
    }
}

fn delay_after(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => LONGEST_DELAY.min(FIRST_DELAY * 2_u32.saturating_pow(doublings.min(16))),
    }
}

/// Who counts as one: an IPv4 address, or the network that a customer is given with IPv6.
pub(super) fn subject(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(network.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    async fn seconds_of(attempts: &Attempts, from: IpAddr) -> f64 {
        let started = Instant::now();
        attempts.begin(from).await.ok().unwrap();
        started.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_doubles_the_wait_of_its_address_alone() {
        let attempts = Attempts::default();
        for expected in [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 4.0] {
            let waited = seconds_of(&attempts, address(1)).await;
            assert!((waited - expected).abs() < 0.01, "{waited} {expected}");
        }
        assert!(seconds_of(&attempts, address(2)).await < 0.01);
        attempts.begin(address(1)).await.ok().unwrap().succeeded();
        assert!(seconds_of(&attempts, address(1)).await < 0.01);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_quarter_of_an_hour_all_is_forgotten() {
        let attempts = Attempts::default();
        for _ in 0..5 {
            seconds_of(&attempts, address(1)).await;
        }
        sleep(MEMORY).await;
        assert!(seconds_of(&attempts, address(1)).await < 0.01);
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_wait_too_but_not_too_many() {
        let attempts = Attempts::default();
        let admitted = async |tries: Vec<IpAddr>| {
            let tries = tries.into_iter().map(|from| attempts.begin(from));
            let ended = join_all(tries).await;
            ended.iter().filter(|one| one.is_ok()).count()
        };
        assert_eq!(
            admitted(vec![address(1); 20]).await,
            9,
            "the first does not wait"
        );
        let twice_each = (10..60).flat_map(|last| [address(last), address(last)]);
        assert_eq!(admitted(twice_each.collect()).await, 100);
        let three_each = (100..140).flat_map(|last| [address(last); 3]);
        assert_eq!(admitted(three_each.collect()).await, 40 + MOST_WAITING);
        assert_eq!(attempts.waiting.available_permits(), MOST_WAITING);
        assert_eq!(
            admitted(vec![address(1); 8]).await,
            8,
            "all places are free again"
        );
    }

    #[test]
    fn a_customer_of_ipv6_is_one_address() {
        let of = |text: &str| subject(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), address(1));
    }
}

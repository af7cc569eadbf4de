//! [`Pace`]: how often somebody may ask for what costs something and needs no log-in.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::attempts::subject;

/// So often within a minute, and per address.
const MOST: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; the one that was quiet longest goes.
const MOST_ADDRESSES: NonZeroUsize = NonZeroUsize::new(4096).expect("more than 0");

/// What addresses have asked for in the last minute.
pub(super) struct Pace {
    by_address: Mutex<LruCache<IpAddr, Window>>,
}

/// A minute of somebody's.
struct Window {
    began: Instant,
    asked: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            by_address: Mutex::new(LruCache::new(MOST_ADDRESSES)),
        }
    }
}

impl Pace {
    /// Counts a request of `address`.
    ///
    /// # Errors
    /// It is one too many: how long to wait.
    pub(super) fn count(&self, address: IpAddr) -> Result<(), Duration> {
        let now = Instant::now();
        let mut known = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let window = known.get_or_insert_mut(subject(address), || Window {
            began: now,
            asked: 0,
        });
        let age = now.duration_since(window.began);
        if age >= WINDOW {
            *window = Window {
                began: now,
                asked: 0,
            };
        } else if window.asked >= MOST {
            return Err(WINDOW.saturating_sub(age));
        }
        window.asked += 1;
        drop(known);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn twenty_a_minute_and_each_address_for_itself() {
        let pace = Pace::default();
        let [one, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        for _ in 0..MOST {
            assert_eq!(pace.count(one), Ok(()));
        }
        advance(Duration::from_secs(20)).await;
        assert_eq!(pace.count(one), Err(Duration::from_secs(40)));
        assert_eq!(pace.count(other), Ok(()));
        advance(Duration::from_secs(40)).await;
        assert_eq!(pace.count(one), Ok(()));
    }
}

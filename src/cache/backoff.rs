//! How long to leave a failing upstream alone.

use std::time::Duration;

/// The first retry after a failure waits this long; each further one twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait of our own choosing.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest wait that an upstream's `Retry-After` can impose: a day would mean that nobody
/// looks again until somebody complains.
const LONGEST_ASKED: Duration = Duration::from_secs(15 * 60);

/// The wait before the next try after `failures` failures in a row (1 or more).
///
/// `jitter` in 0..1 takes up to a quarter off, so that the caches of one server, which fail
/// together, don't come back together. What the upstream asked for (`asked`) is never shortened
/// by jitter.
pub(super) fn delay(failures: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let own = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    let own = own.mul_f64(1.0 - 0.25 * jitter.clamp(0.0, 1.0));
    own.max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_one_second_to_thirty() {
        let waits: Vec<u64> = (1..8).map(|n| delay(n, None, 0.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(delay(u32::MAX, None, 0.0), LONGEST);
    }

    #[test]
    fn jitter_takes_off_a_quarter_at_most() {
        assert_eq!(delay(1, None, 1.0), Duration::from_millis(750));
        assert_eq!(delay(3, None, 0.5), Duration::from_millis(3500));
    }

    #[test]
    fn retry_after_is_obeyed_within_reason() {
        let asked = Some(Duration::from_secs(120));
        assert_eq!(delay(1, asked, 1.0), Duration::from_secs(120));
        assert_eq!(
            delay(9, Some(Duration::from_secs(1)), 0.0),
            Duration::from_secs(30)
        );
        assert_eq!(delay(1, Some(Duration::MAX), 0.0), LONGEST_ASKED);
    }
}

//! What the log says of clients that were not let in: all of it, unless there are very many.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines in a minute; more would only fill the disk. Those who type a password need a few.
const MOST: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

static LINES: Mutex<Lines> = Mutex::new(Lines::NONE);

/// Logs a warning, or counts it with those that were too many.
pub(super) fn warn(line: std::fmt::Arguments<'_>) {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let turn = lines.turn(Instant::now());
    drop(lines);
    let Some(left_out) = turn else {
        return;
    };
    if left_out > 0 {
        tracing::warn!("{left_out} more clients were refused before");
    }
    tracing::warn!("{line}");
}

/// The lines of the minute that runs.
struct Lines {
    since: Option<Instant>,
    written: u32,
    left_out: u32,
}

impl Lines {
    const NONE: Self = Self {
        since: None,
        written: 0,
        left_out: 0,
    };

    /// Whether there is room for one more line, and how many there was none for since the last.
    fn turn(&mut self, now: Instant) -> Option<u32> {
        let is_over = |since| now.saturating_duration_since(since) >= MINUTE;
        if self.since.is_none_or(is_over) {
            self.since = Some(now);
            self.written = 0;
        }
        if self.written == MOST {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_so_many_lines_and_the_rest_is_counted() {
        let mut lines = Lines::NONE;
        let begin = Instant::now();
        for _ in 0..MOST {
            assert_eq!(lines.turn(begin), Some(0));
        }
        let late = begin + Duration::from_millis(59_999);
        for _ in 0..3 {
            assert_eq!(lines.turn(late), None);
        }
        assert_eq!(lines.turn(begin + MINUTE), Some(3), "the next minute");
        assert_eq!(lines.turn(begin + MINUTE), Some(0));
    }
}

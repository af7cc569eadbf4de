//! How far a stream has come.

use crate::compat::numbers::round2;

/// Percent with two decimals, ties to even as Python's `round`; 0 without a known duration (live
/// TV) or where it is no number that JSON has, and not capped: Plex's offset can lie beyond the
/// duration. Both arguments in milliseconds.
pub(super) fn percent(offset: Option<f64>, duration: Option<f64>) -> f64 {
    let (offset, duration) = (offset.unwrap_or_default(), duration.unwrap_or_default());
    if duration <= 0.0 {
        return 0.0;
    }
    let percent = round2(offset.trunc() / duration.trunc().max(1.0) * 100.0);
    if percent.is_finite() { percent } else { 0.0 }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "rounded values are compared to the digit")]
mod tests {
    use super::*;

    #[test]
    fn progress_is_rounded_and_not_capped() {
        assert_eq!(percent(Some(1.0), Some(3.0)), 33.33);
        assert_eq!(percent(Some(150.0), Some(100.0)), 150.0);
        assert_eq!(percent(Some(5.0), None), 0.0);
        assert_eq!(percent(Some(5.0), Some(0.0)), 0.0);
        assert_eq!(percent(None, Some(10.0)), 0.0);
        assert_eq!(percent(Some(1e308), Some(2.0)), 0.0, "beyond all numbers");
        assert_eq!(percent(Some(1.0), Some(800.0)), 0.12, "as Python's round");
    }
}

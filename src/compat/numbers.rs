//! Numbers as Python rounds them.

/// Two decimals as Python's `round(x, 2)`: formatting rounds the exact binary value, which
/// multiplying by 100 would disturb (contract 00, section 1).
pub fn round2(number: f64) -> f64 {
    format!("{number:.2}").parse().unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "rounded values are compared to the digit")]
mod tests {
    use super::*;

    #[test]
    fn ties_are_judged_on_the_binary_value() {
        assert_eq!(round2(33.333_333), 33.33);
        assert_eq!(round2(0.125), 0.12, "an exact tie goes to the even digit");
        assert_eq!(round2(2.675), 2.67, "which is below the tie");
        assert_eq!(round2(-0.004), 0.0);
    }
}

//! Seeded choices: the same seed and label give the same world on every machine.
//!
//! Hashing instead of a generator from `rand`: its algorithms may change with a release,
//! and a choice here must not depend on how many were made before it.

/// A short run of choices for one thing, e.g. "the film with id 1007".
pub(super) struct Dice(u64);

impl Dice {
    /// `label` tells what is being decided, so that two things never share their choices.
    pub(super) fn new(seed: u64, label: &[u64]) -> Self {
        let start = Self(seed ^ 0x6b6f_6d61_6e64_6f72);
        label.iter().fold(start, |mut dice, part| {
            dice.0 ^= part.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            Self(dice.roll())
        })
    }

    /// The next number (`SplitMix64`).
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 when the limit is 0.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.roll().checked_rem(limit).unwrap_or(0)
    }

    /// A number from `low` to `high`, both possible.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// An index into a list of `length` entries.
    pub(super) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// One entry of a list that is never empty (the word lists of the demo).
    pub(super) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.index(list.len())]
    }

    /// Lower-case hexadecimal digits, for keys and hashes.
    pub(super) fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits + 16);
        while text.len() < digits {
            let digits = format!("{:016x}", self.roll());
            text.push_str(&digits);
        }
        text.truncate(digits);
        text
    }

    /// A version-4 looking identifier.
    pub(super) fn uuid(&mut self) -> String {
        let hex = self.hex(32);
        format!(
            "{}-{}-4{}-a{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[13..16],
            &hex[17..20],
            &hex[20..]
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_labels_give_equal_choices_and_others_do_not() {
        let roll = |seed, label: &[u64]| Dice::new(seed, label).roll();
        assert_eq!(roll(1, &[2, 3]), roll(1, &[2, 3]));
        assert_ne!(roll(1, &[2, 3]), roll(1, &[3, 2]));
        assert_ne!(roll(1, &[2, 3]), roll(2, &[2, 3]));
    }

    #[test]
    fn choices_stay_in_their_bounds() {
        let mut dice = Dice::new(7, &[]);
        for _ in 0..1000 {
            assert!((3..=5).contains(&dice.between(3, 5)));
            assert!(dice.index(4) < 4);
        }
        assert_eq!(dice.below(0), 0);
        assert_eq!(dice.hex(20).len(), 20);
        assert_eq!(dice.uuid().len(), 36);
    }
}

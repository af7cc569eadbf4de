//! The codes of invites: how they are drawn, which ones people may choose, and how they are looked
//! for.

/// What codes are drawn from: 36 signs that nobody has to spell.
const SIGNS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const LENGTH: usize = 8;
/// No code that people choose is shorter …
const SHORTEST: usize = 4;
/// … and none is longer, for it stands in addresses.
const LONGEST: usize = 100;

/// Why a code can't be chosen. The first two texts are 3.3.0's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CodeError {
    #[error("Custom code must be at least 4 characters long")]
    TooShort,
    #[error("Custom code can only contain letters, numbers, hyphens, and underscores")]
    Signs,
    #[error("Custom code must be at most 100 characters long")]
    TooLong,
}

/// A code that can't be guessed: each is as likely as any other.
pub(super) fn draw() -> String {
    let mut code = String::with_capacity(LENGTH);
    while code.len() < LENGTH {
        // Six bits name 64 signs. Those that do not exist are drawn again: with a remainder
        // instead, some would come up more often.
        let drawn = usize::from(rand::random::<u8>() & 0x3f);
        code.extend(SIGNS.get(drawn).map(|sign| char::from(*sign)));
    }
    code
}

/// The code that somebody has chosen. Upper-casing can change other letters than those of ASCII
/// beyond recognition, so new codes have none (contract 08, item 95).
pub(super) fn chosen(text: &str) -> Result<String, CodeError> {
    let code = text.trim();
    match code.chars().count() {
        ..SHORTEST => return Err(CodeError::TooShort),
        SHORTEST..=LONGEST => {}
        _ => return Err(CodeError::TooLong),
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let says_something = code.bytes().any(|byte| byte.is_ascii_alphanumeric());
    if says_something && code.bytes().all(is_allowed) {
        Ok(code.to_ascii_uppercase())
    } else {
        Err(CodeError::Signs)
    }
}

/// A code as it is stored, from what somebody has typed. 3.3.0 stored it in upper case by the rules
/// of Unicode, as Python knows them: `straße` is `STRASSE`.
pub(super) fn as_stored(typed: &str) -> String {
    typed.to_uppercase()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn drawn_codes_have_eight_signs_and_all_signs_come_up_equally_often() {
        let codes: Vec<String> = (0..36_000).map(|_| draw()).collect();
        assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
        let mut counts = [0_i32; 36];
        for code in &codes {
            assert_eq!(code.len(), 8);
            for sign in code.bytes() {
                counts[SIGNS.iter().position(|known| *known == sign).unwrap()] += 1;
            }
        }
        // 8000 each. Seven times the standard deviation happens to nobody; by the remainder of a
        // byte, four signs would come up 9000 times.
        for count in counts {
            assert!((count - 8000).abs() < 600, "{counts:?}");
        }
    }

    #[test]
    fn chosen_codes_are_trimmed_and_in_upper_case() {
        for (text, code) in [
            ("abcd", "ABCD"),
            ("  Family-2026_x ", "FAMILY-2026_X"),
            ("1234", "1234"),
            ("-_-a", "-_-A"),
            (&"x".repeat(100), &"X".repeat(100)),
        ] {
            assert_eq!(chosen(text).as_deref(), Ok(code), "{text}");
        }
        for (text, refusal) in [
            ("abc", CodeError::TooShort),
            ("", CodeError::TooShort),
            ("   ", CodeError::TooShort),
            (" ab ", CodeError::TooShort),
            ("äöü", CodeError::TooShort),
            ("----", CodeError::Signs),
            ("a b c", CodeError::Signs),
            ("a/b?c", CodeError::Signs),
            ("straße", CodeError::Signs),
            ("ABCД", CodeError::Signs),
            ("１２３４", CodeError::Signs),
            ("abcd\n efgh", CodeError::Signs),
            (&"x".repeat(101), CodeError::TooLong),
        ] {
            assert_eq!(chosen(text), Err(refusal), "{text}");
        }
    }

    #[test]
    fn typed_codes_are_spelled_as_python_spells_them() {
        for (typed, stored) in [
            ("abcd-1", "ABCD-1"),
            ("straße", "STRASSE"),
            ("ﬁlm", "FILM"),
            ("äß ", "ÄSS "),
        ] {
            assert_eq!(as_stored(typed), stored);
        }
    }
}

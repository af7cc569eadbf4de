//! `.env` files as Python's reader takes them.
//!
//! Existing deployments have files that were written for it. dotenvy reads the same format, but
//! more strictly: it refuses blanks in a value without quotes and expands `$NAME` in it, which
//! would quietly change a password. Such values are put into quotes before it sees them.

use std::path::Path;

use super::SettingsError;

/// The pairs of the file, in order; none where there is no file.
///
/// # Errors
/// It can't be read, or has a malformed line, which is named without its content: it may hold a
/// password.
pub(super) fn read(path: &Path) -> Result<Vec<(String, String)>, SettingsError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(SettingsError::DotEnv(error.to_string())),
    };
    let quoted = quote_plain_values(&text);
    let pairs: Result<Vec<_>, _> = dotenvy::from_read_iter(quoted.as_bytes()).collect();
    pairs.map_err(|error| {
        SettingsError::DotEnv(match error {
            dotenvy::Error::LineParse(line, _) => {
                let first = line.lines().next().unwrap_or_default();
                let number = quoted
                    .lines()
                    .position(|l| l == first)
                    .map_or(0, |at| at + 1);
                format!("line {number} is malformed")
            }
            other => other.to_string(),
        })
    })
}

/// Line by line the same text, with single quotes around values that have none.
fn quote_plain_values(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 64);
    let mut open: Option<char> = None;
    for line in text.lines() {
        let (changed, still_open) = match open {
            // Inside of a quoted value of several lines.
            Some(quote) => (None, open.filter(|_| !line.contains(quote))),
            None => quote_line(line),
        };
        open = still_open;
        quoted.push_str(changed.as_deref().unwrap_or(line));
        quoted.push('\n');
    }
    quoted
}

/// The line with its value quoted, if it has a plain one; and the quote it leaves open.
fn quote_line(line: &str) -> (Option<String>, Option<char>) {
    let Some((name, value)) = line
        .split_once('=')
        .filter(|_| !line.trim_start().starts_with('#'))
    else {
        return (None, None);
    };
    let value = value.trim();
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let closed = value[1..].contains(quote);
        return (None, (!closed).then_some(quote));
    }
    let value = value.split(" #").next().unwrap_or_default().trim_end();
    // `${NAME}` is expanded by both readers.
    let plain = !value.is_empty() && !value.starts_with('#') && !value.contains(['\'', '\\']);
    let quote = plain && !value.contains("${");
    (quote.then(|| format!("{name}='{value}'")), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::variables;

    fn pairs(text: &str) -> Result<Vec<(String, String)>, SettingsError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    fn values(text: &str) -> Vec<String> {
        pairs(text)
            .unwrap()
            .into_iter()
            .map(|(_, value)| value)
            .collect()
    }

    #[test]
    fn plain_values_are_taken_as_they_are() {
        assert_eq!(
            values("A=b c\nB=pa$word # comment\nexport C = http://a, http://b\nD=\nE=#x\nF=a#b\n"),
            ["b c", "pa$word", "http://a, http://b", "", "", "a#b"]
        );
    }

    #[test]
    fn quoted_values_and_expansions_are_left_to_the_reader() {
        assert_eq!(
            values("A='x y'\nB=\"two\nlines = 2\"\nC=${A}!\n# D=no\n"),
            ["x y", "two\nlines = 2", "x y!"]
        );
    }

    #[test]
    fn a_malformed_line_is_named_by_its_number_only() {
        let error = pairs("DEBUG=true\n\nAUTH_PASSWORD='geheim\n")
            .unwrap_err()
            .to_string();
        assert_eq!(error, ".env: line 3 is malformed");
        assert!(pairs("no pair\n").is_err());
    }

    #[test]
    fn every_line_of_the_example_can_be_used() {
        let example = variables::example_file();
        let used: Vec<&str> = example
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()) && line.contains('='))
            .collect();
        let expected: Vec<(String, String)> = variables::GROUPS
            .iter()
            .flat_map(|group| group.variables)
            .map(|variable| (variable.name.to_owned(), variable.default.to_owned()))
            .collect();
        assert_eq!(pairs(&used.join("\n")).unwrap(), expected);
    }

    #[test]
    fn no_file_is_no_pairs() {
        assert_eq!(read(Path::new("/nonexistent/.env")).unwrap(), []);
    }
}

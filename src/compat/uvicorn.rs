//! The command line of existing deployments.
//!
//! Legacy: the published compose file starts the container with
//! `python -m uvicorn app.main:app --host H --port P --no-access-log`, and the published image
//! with `uvicorn app.main:app --host H --port P`. Our image carries links named `python` and
//! `uvicorn` to this program, so that those files go on working unchanged. Exactly these forms
//! are understood; a real Python program must not seem to work.

use std::ffi::OsString;
use std::path::Path;

const APPLICATION: &str = "app.main:app";

/// The arguments of this program that a command line of the Python image stands for; `None`
/// when the program was not called by one of its legacy names.
///
/// # Errors
/// One line for people, when it was, but with other arguments than those named above.
pub fn translate(arguments: &[OsString]) -> Option<Result<Vec<OsString>, String>> {
    let (program, rest) = arguments.split_first()?;
    let name = Path::new(program).file_name()?.to_str()?;
    let rest: Vec<&str> = rest.iter().filter_map(|a| a.to_str()).collect();
    let rest = match name {
        "python" | "python3" => rest.strip_prefix(&["-m", "uvicorn", APPLICATION][..]),
        "uvicorn" => rest.strip_prefix(&[APPLICATION][..]),
        _ => return None,
    };
    let translated = rest.and_then(options);
    Some(translated.ok_or_else(|| {
        format!(
            "this is Komandorr, not {name}: the only commands understood under this name are \
             those of its compose file, `python -m uvicorn {APPLICATION} --host H --port P \
             --no-access-log`"
        )
    }))
}

fn options(mut rest: &[&str]) -> Option<Vec<OsString>> {
    let mut translated = vec!["komandorr".into(), "serve".into()];
    loop {
        rest = match rest {
            [] => return Some(translated),
            [option @ ("--host" | "--port"), value, tail @ ..] => {
                translated.extend([option.into(), value.into()]);
                tail
            }
            // We write no access log in the first place.
            ["--no-access-log", tail @ ..] => tail,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> Option<Result<String, String>> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let joined = |args: Vec<OsString>| args.join(" ".as_ref()).into_string().unwrap();
        translate(&arguments).map(|result| result.map(joined))
    }

    #[test]
    fn the_published_compose_file_starts_the_server() {
        let line = "python -m uvicorn app.main:app --host 0.0.0.0 --port 8010 --no-access-log";
        let ours = "komandorr serve --host 0.0.0.0 --port 8010";
        assert_eq!(translated(line), Some(Ok(ours.to_owned())));
        let line = "/usr/local/bin/uvicorn app.main:app --host 0.0.0.0 --port 8000";
        let ours = "komandorr serve --host 0.0.0.0 --port 8000";
        assert_eq!(translated(line), Some(Ok(ours.to_owned())));
    }

    #[test]
    fn anything_else_under_those_names_is_refused() {
        for line in [
            "python",
            "python -c pass",
            "python -m http.server",
            "python -m uvicorn other:app",
            "uvicorn app.main:app --reload",
            "uvicorn app.main:app --port",
        ] {
            assert!(matches!(translated(line), Some(Err(_))), "{line}");
        }
    }

    #[test]
    fn our_own_name_is_left_alone() {
        assert_eq!(translated("/usr/local/bin/komandorr serve --port 1"), None);
    }
}

//! The Dockerfile against the binary's defaults: the image can't be built here, but what it says
//! can be held against what the program does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clap::Parser as _;
use komandorr::cli::{Cli, Command};
use komandorr::settings::{self, Environment, Overrides, Place, SettingsStore};

const DOCKERFILE: &str = include_str!("../Dockerfile");
const COMPOSE: &str = include_str!("../docker-compose.yml");

/// What follows an instruction in the last stage, as one line.
fn instruction(name: &str) -> String {
    let last_stage = DOCKERFILE.rsplit("\nFROM ").next().unwrap();
    let at = last_stage
        .find(&format!("\n{name} "))
        .unwrap_or_else(|| panic!("no {name}"));
    let text = last_stage[at..].trim_start().replace("\\\n", " ");
    text.lines()
        .next()
        .unwrap()
        .strip_prefix(name)
        .unwrap()
        .trim()
        .to_owned()
}

/// The words of an instruction in its JSON form.
fn words(name: &str) -> Vec<String> {
    let text = instruction(name);
    serde_json::from_str(&text[text.find('[').unwrap()..]).unwrap()
}

#[test]
fn the_layout_is_that_of_the_defaults() {
    // A directory of its own, for a developer may have a `data` here.
    let directory = tempfile::tempdir().unwrap();
    let data_dir = Some(directory.path().to_owned());
    let overrides = Overrides {
        data_dir,
        ..Overrides::default()
    };
    let settings = SettingsStore::open(Environment::default(), overrides)
        .unwrap()
        .current();
    let place = Place::of(&Environment::default(), &Overrides::default()).unwrap();
    let workdir = Path::new("/app");
    assert_eq!(instruction("WORKDIR"), "/app");
    assert_eq!(workdir.join(&place.data_dir), Path::new("/app/data"));
    let log = settings::variables::find("LOG_FILE").unwrap().default;
    assert_eq!(workdir.join(log), Path::new("/app/logs/komandorr.log"));
    assert_eq!(
        workdir.join(&settings.frontend_dir),
        Path::new("/app/frontend/dist")
    );
    assert!(DOCKERFILE.contains("RUN mkdir -p data logs\n"));
    assert!(DOCKERFILE.contains("COPY --from=frontend /app/frontend/dist ./frontend/dist\n"));
    for volume in ["./data:/app/data", "./logs:/app/logs"] {
        assert!(COMPOSE.contains(volume), "{volume}");
    }
    assert_eq!(instruction("EXPOSE"), place.port.to_string());
    assert_eq!(instruction("ENV"), format!("APP_PORT={}", place.port));
    assert_eq!(
        place.host, "0.0.0.0",
        "reachable from outside of the container"
    );
}

#[test]
fn the_commands_are_understood_by_the_program() {
    let serve = Cli::try_parse_from(words("CMD")).unwrap();
    assert!(matches!(serve.command, Some(Command::Serve(_))));
    let health = Cli::try_parse_from(words("HEALTHCHECK")).unwrap();
    assert!(matches!(health.command, Some(Command::Healthcheck(_))));
    assert_eq!(words("ENTRYPOINT"), ["/usr/local/bin/entrypoint"]);
    for link in ["python", "python3", "uvicorn"] {
        assert!(
            DOCKERFILE.contains(&format!("ln -s komandorr /usr/local/bin/{link}\n"))
                || DOCKERFILE.contains(&format!("ln -s komandorr /usr/local/bin/{link} \\\n"))
        );
        let line = [format!("/usr/local/bin/{link}").into()];
        assert!(
            komandorr::compat::uvicorn::translate(&line).is_some(),
            "{link}"
        );
    }
    assert!(COMPOSE.contains(r#"test: ["CMD", "komandorr", "healthcheck"]"#));
}

/// Runs the entry point with programs that only say what they were called with.
fn entrypoint(environment: &[(&str, &str)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let start = DOCKERFILE.find("#!/bin/sh").unwrap();
    let script = DOCKERFILE[start..].split("\nEOF\n").next().unwrap();
    std::fs::write(path.join("entrypoint"), script).unwrap();
    for (name, program) in [
        ("id", "#!/bin/sh\necho 0\n"),
        ("chown", "#!/bin/sh\nprintf '<%s>' chown \"$@\"\n"),
        ("setpriv", "#!/bin/sh\nprintf '<%s>' setpriv \"$@\"\n"),
        ("server", "#!/bin/sh\nprintf '<%s>' \"$@\"\n"),
    ] {
        let program_path = path.join(name);
        std::fs::write(&program_path, program).unwrap();
        std::fs::set_permissions(program_path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = std::process::Command::new("/bin/sh")
        .arg(path.join("entrypoint"))
        .args(["server", "--port", "1 2"])
        .env_clear()
        .env("PATH", path)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_entry_point_honours_the_user_it_is_given() {
    assert_eq!(entrypoint(&[]), "<--port><1 2>");
    assert_eq!(
        entrypoint(&[("PUID", "1000"), ("PGID", "100")]),
        "<chown><-R><1000:100></app/data></app/logs>\
         <setpriv><--reuid=1000><--regid=100><--clear-groups><--><server><--port><1 2>"
    );
    assert!(entrypoint(&[("PUID", "7")]).contains("<--reuid=7><--regid=7>"));
}

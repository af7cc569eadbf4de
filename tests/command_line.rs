//! The command line of the real binary.

use std::os::unix::fs::symlink;
use std::process::Output;
use std::time::{Duration, Instant};

use komandorr::settings::variables;
use serde_json::json;

use crate::harness::redis::Redis;
use crate::harness::{Server, command, plex};

async fn run(arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    command(directory.path())
        .args(arguments)
        .output()
        .await
        .unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test]
async fn help_lists_every_variable() {
    let help = printed(&run(&["--help"]).await);
    for variable in variables::GROUPS.iter().flat_map(|group| group.variables) {
        assert!(help.contains(variable.name), "{}", variable.name);
        assert!(help.contains(variable.meaning), "{}", variable.name);
    }
}

#[tokio::test]
async fn the_example_file_can_be_printed() {
    let output = run(&["env-example"]).await;
    assert_eq!(printed(&output), variables::example_file());
}

#[tokio::test]
async fn version_and_misuse() {
    let version = printed(&run(&["--version"]).await);
    assert_eq!(
        version,
        format!("komandorr {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(run(&["--port", "many"]).await.status.code(), Some(2));
    assert_eq!(run(&["fly"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn options_win_over_variables_and_move_the_files() {
    let server = Server::builder()
        .env("DATA_DIR", "elsewhere")
        .argument("serve")
        .argument("--data-dir")
        .argument("here")
        .start()
        .await;
    let directory = server.directory.path();
    assert!(directory.join("here/komandorr.lock").exists());
    assert!(
        directory.join("here/logs/komandorr.log").exists(),
        "the log moves with the data"
    );
    assert!(!directory.join("elsewhere").exists() && !directory.join("logs").exists());
}

#[tokio::test]
async fn the_command_of_existing_compose_files_starts_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let python = directory.path().join("python");
    symlink(env!("CARGO_BIN_EXE_komandorr"), &python).unwrap();
    let run = async |line: &str| {
        let mut command = tokio::process::Command::new(&python);
        command
            .env_clear()
            .current_dir(directory.path())
            .args(line.split(' '));
        command.output().await.unwrap()
    };
    // An address that is none of ours: it gets as far as trying to listen on it.
    let line = "-m uvicorn app.main:app --host 192.0.2.1 --port 8010 --no-access-log";
    let said = String::from_utf8(run(line).await.stderr).unwrap();
    assert!(said.contains("can't listen on 192.0.2.1:8010"), "{said}");
    let other = run("-c pass").await;
    assert_eq!(other.status.code(), Some(2));
    assert!(
        String::from_utf8(other.stderr)
            .unwrap()
            .contains("this is Komandorr, not python")
    );
}

#[tokio::test]
async fn check_shows_what_is_in_force_and_whether_plex_answers() {
    let plex = plex(0).await;
    let builder = Server::builder()
        .plex(&plex)
        .config(&json!({"general": {"timezone": "Mars/X"}}))
        .env("REDIS_URL", "redis-sentinel://:geheim@s1,s2/main")
        .argument("check");
    let output = builder.command().output().await.unwrap();
    let said = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for line in [
        "PORT                        environment   0\n",
        "TZ                          config.json   Mars/X\n",
        "PLEX_SERVER_TOKEN           environment   ***\n",
        "PLEX_TIMEOUT                default       10\n",
        "REDIS_URL                   environment   ***\n",
        "REDIS_SENTINEL_PASSWORD     default       \n",
        "warning: general.timezone: \"Mars/X\" is not the IANA name of a time zone\n",
        "Redis: not enabled\nPlex: Demo Plex answers\n",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
    assert!(!said.contains(plex.token()) && !said.contains("geheim"));
    plex.refuse().await;
    let output = builder.command().output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "komandorr: Plex: Could not connect to server - check URL\n"
    );
}

#[tokio::test]
async fn check_tells_whether_redis_can_be_used_and_goes_on_to_plex() {
    let plex = plex(0).await;
    let mut redis = Redis::builder().password("geheim").start().await;
    let at = format!("127.0.0.1:{} (DB: 2)", redis.port());
    let builder = Server::builder().plex(&plex).redis(&redis);
    let builder = builder.env("REDIS_DB", "2").argument("check");
    let output = builder.command().output().await.unwrap();
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let lines = format!("Redis: {at}: answers\nPlex: Demo Plex answers\n");
    assert!(told.ends_with(&lines) && !told.contains("geheim"), "{told}");

    redis.freeze();
    let failed = |output: &Output, trouble: &str| {
        assert_eq!(output.status.code(), Some(1));
        let told = printed(output);
        assert!(told.ends_with("\nPlex: Demo Plex answers\n"), "{told}");
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(said, format!("komandorr: Redis: {at}: {trouble}\n"));
    };
    let began = Instant::now();
    let output = builder.command().output().await.unwrap();
    failed(&output, "timeout");
    assert!(began.elapsed() < Duration::from_secs(10));
    redis.kill();
    let output = builder.command().output().await.unwrap();
    failed(&output, "refused");

    plex.refuse().await;
    let output = builder.command().output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let both =
        format!("komandorr: Redis: {at}: refused; Plex: Could not connect to server - check URL\n");
    assert_eq!(said, both);
}

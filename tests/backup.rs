//! `komandorr backup`, and what `komandorr check` says about the database.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::database::{SCHEMA, TRAFFIC, database, look, number, prepare, signal, text};
use crate::harness::{Server, command, until};

async fn backup(directory: &Path, file: &str) -> Output {
    let mut command = command(directory);
    command.args(["backup", file]).output().await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn a_backup_of_a_server_that_writes_is_whole() {
    let builder = Server::builder();
    prepare(&builder, &[SCHEMA, TRAFFIC]).await;
    let server = builder.start().await;
    let directory = server.directory.path();
    let output = backup(directory, "copy.db").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let path = directory.join("copy.db");
    let about = std::fs::metadata(&path).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    let mut copy = look(&path).await;
    assert_eq!(text(&mut copy, "PRAGMA integrity_check").await, "ok");
    let rows = "SELECT count(*) FROM traffic_history";
    assert_eq!(number(&mut copy, rows).await, 200_001);
    // What was accounted for and how far are of the same moment.
    let sum = "SELECT coalesce(sum(down_bytes), 0) / (1 << 30) FROM traffic_hours";
    let sum = number(&mut copy, sum).await;
    let cursor = "SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM komandorr_state \
        WHERE name = 'traffic_hours_cursor'";
    // The first row has nothing to grow from.
    let accounted = number(&mut copy, cursor).await;
    assert_eq!(accounted.max(1), sum + 1);
    let line = said(&output);
    let begin = format!("copy.db: {} bytes, ", about.len());
    assert!(line.starts_with(&begin), "{line}");
    assert_eq!(line.lines().count(), 1);
    assert!(!directory.join("data/.komandorr-copy-").exists());
}

#[tokio::test]
async fn a_backup_never_overwrites_and_leaves_nothing_when_it_fails() {
    let mut server = Server::builder().start().await;
    let directory = server.directory.path().to_owned();
    std::fs::write(directory.join("kept"), "precious").unwrap();
    let output = backup(&directory, "kept").await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        said(&output),
        "komandorr: can't back up data/komandorr.db to kept: the file exists already\n"
    );
    assert_eq!(std::fs::read(directory.join("kept")).unwrap(), b"precious");
    let output = backup(&directory, "nowhere/copy.db").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("the directory does not exist"),
        "{}",
        said(&output)
    );
    server.signal("TERM").await;
    server.end().await;

    // Without a server it works too, and disturbs nothing.
    let before = std::fs::read(database(&directory)).unwrap();
    let mut command = command(&directory);
    let elsewhere = command.args(["backup", "--data-dir", "data", "copy.db"]);
    assert_eq!(elsewhere.output().await.unwrap().status.code(), Some(0));
    assert!(std::fs::read(database(&directory)).unwrap() == before);
    let mut names: Vec<_> = std::fs::read_dir(directory.join("data"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["icons", "komandorr.db", "komandorr.lock"]);
}

#[tokio::test]
async fn an_interrupted_backup_leaves_nothing() {
    let builder = Server::builder();
    prepare(&builder, &[SCHEMA]).await;
    let directory = builder.directory();
    let options = SqliteConnectOptions::new().filename(database(directory));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("BEGIN EXCLUSIVE")
        .execute(&mut other)
        .await
        .unwrap();
    let begun = || {
        let files = std::fs::read_dir(directory).unwrap();
        files.count() > 1
    };
    let mut running = command(directory)
        .args(["backup", "copy.db"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("the unfinished copy", begun).await;
    signal(&running, "INT").await;
    assert_eq!(running.wait().await.unwrap().code(), Some(1));
    assert!(!begun());
}

#[tokio::test]
async fn a_missing_database_cannot_be_backed_up() {
    let directory = tempfile::tempdir().unwrap();
    let output = backup(directory.path(), "copy.db").await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        said(&output),
        "komandorr: data/komandorr.db: there is no database\n"
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn check_tells_the_state_of_the_database_and_writes_nothing() {
    let builder = Server::builder().argument("check");
    let check = async || {
        let output = builder.command().output().await.unwrap();
        (output.status.code(), said(&output))
    };
    let (code, missing) = check().await;
    assert_eq!(code, Some(0));
    assert!(missing.contains("Database: data/komandorr.db: missing, will be created\n"));
    assert!(!builder.directory().join("data").exists());
    prepare(&builder, &[SCHEMA]).await;
    let before = std::fs::read(database(builder.directory())).unwrap();
    let (code, foreign) = check().await;
    assert_eq!(code, Some(0));
    assert!(foreign.contains("of 3.3.0 or older, will be copied and adopted\n"));
    assert!(std::fs::read(database(builder.directory())).unwrap() == before);
    std::fs::write(database(builder.directory()), "no database").unwrap();
    let (code, broken) = check().await;
    assert_eq!(code, Some(1));
    assert!(
        broken.ends_with("komandorr: database: data/komandorr.db: is not an SQLite database\n")
    );
}

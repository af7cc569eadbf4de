//! The database: adopting 3.3.0's without loss, refusing what is none, surviving a kill.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _, FromRow as _};
use tokio::process::{Child, Command};

use crate::harness::{Builder, Server, until, until_asked};

/// What 3.3.0 creates.
pub(crate) const SCHEMA: &str = include_str!("data/schema-3.3.0.sql");
const PLAYS: i64 = 100_000;
/// Odd things that 3.3.0's own code leaves behind: rows whose parent is gone, NULLs.
const ODD_ROWS: &str = "
    INSERT INTO services (id, name, url, type) VALUES ('s1', 'One', 'http://one', 'website');
    INSERT INTO response_history VALUES (1, 'gone', '2025-11-22 08:26:40.000000', 12.5);
    INSERT INTO traffic_history VALUES (7, 'gone', '2025-11-22 08:26:40.000000', 1, 2, 3, 4);
    INSERT INTO plex_users (id, email, invite_id, created_at)
        VALUES (1, 'a@example.org', 99, '2025-11-22 08:26:40.000000');
    INSERT INTO invites (id, code, created_at) VALUES (5, 'ABC', '2025-11-22 08:26:40.000000');
    INSERT INTO plex_stats (id, peak_concurrent) VALUES (1, 9);";
const WATCH_HISTORY: &str = "
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
    INSERT INTO watch_history (id, user_id, type, title, \"index\", rating_key, viewed_at,
        duration, thumb, genres, created_at)
    SELECT i, CASE WHEN i % 7 THEN i % 50 END, 'episode', 'Übung ' || i, i % 20, i,
        strftime('%Y-%m-%d %H:%M:%S.000000', 1700000000 + i * 60, 'unixepoch'), 1000 * i,
        'http://plex/library/metadata/' || i || '/thumb/1?X-Plex-Token=abc', 'Drama,Crime',
        '2025-11-22 08:26:40.000000' FROM n;";

pub(crate) fn database(directory: &Path) -> PathBuf {
    directory.join("data/komandorr.db")
}

/// Makes the database that the server will find.
pub(crate) async fn prepare(server: &Builder, statements: &[&str]) {
    let path = database(server.directory());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(false);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    for statements in statements {
        sqlx::raw_sql(AssertSqlSafe((*statements).to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();
}

/// A connection to a file that is not to be changed.
pub(crate) async fn look(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

pub(crate) async fn number(connection: &mut SqliteConnection, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
        .fetch_one(connection)
        .await
        .unwrap()
}

pub(crate) async fn text(connection: &mut SqliteConnection, query: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
        .fetch_one(connection)
        .await
        .unwrap()
}

/// Columns per table: name → type and whether it may be NULL.
async fn columns(connection: &mut SqliteConnection) -> BTreeMap<(String, String), (String, bool)> {
    let rows = sqlx::query(
        "SELECT m.name AS t, c.name AS c, c.type AS k, c.\"notnull\" AS n \
         FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    rows.iter()
        .map(|row| <(String, String, String, bool)>::from_row(row).unwrap())
        .map(|(table, column, kind, not_null)| ((table, column), (kind, not_null)))
        .collect()
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory.join("data")).unwrap();
    let entries = entries.map(Result::unwrap);
    let mut names: Vec<_> = entries
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|file| file.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits until the server's console has this.
async fn logged(server: &Server, line: &str) {
    until(line, || server.log().contains(line)).await;
}

async fn stop(server: &mut Server) {
    server.signal("TERM").await;
    assert_eq!(server.end().await.code(), Some(0), "{}", server.log());
}

#[tokio::test]
async fn a_database_of_3_3_0_is_adopted_without_loss() {
    let builder = Server::builder();
    prepare(&builder, &[SCHEMA, ODD_ROWS, WATCH_HISTORY]).await;
    let path = database(builder.directory());
    let original = builder.directory().join("original.db");
    std::fs::copy(&path, &original).unwrap();

    let mut server = builder.start().await;
    stop(&mut server).await;
    assert_eq!(
        files(server.directory.path()),
        ["komandorr.db", "komandorr.db.before-rust", "komandorr.lock"],
        "a clean stop leaves neither -wal nor -shm"
    );
    let mut before = look(&original).await;
    let expected = columns(&mut before).await;
    let copy = path.with_file_name("komandorr.db.before-rust");
    assert_eq!(
        std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777,
        0o600
    );
    for (file, what) in [(&path, "the database"), (&copy, "the copy")] {
        let mut after = look(file).await;
        assert_eq!(text(&mut after, "PRAGMA integrity_check").await, "ok");
        assert_eq!(number(&mut after, "PRAGMA page_size").await, 4096);
        assert_eq!(number(&mut after, "PRAGMA user_version").await, 0);
        assert_eq!(number(&mut after, "PRAGMA application_id").await, 0);
        let found = columns(&mut after).await;
        for (column, kind) in &expected {
            assert_eq!(found.get(column), Some(kind), "{column:?} of {what}");
        }
        let attach = format!("ATTACH '{}' AS original", original.display());
        sqlx::raw_sql(AssertSqlSafe(attach))
            .execute(&mut after)
            .await
            .unwrap();
        for table in tables(&expected) {
            let differing = format!(
                "SELECT count(*) FROM (SELECT * FROM (SELECT * FROM main.{table} EXCEPT \
                 SELECT * FROM original.{table}) UNION ALL SELECT * FROM (SELECT * FROM \
                 original.{table} EXCEPT SELECT * FROM main.{table}))"
            );
            assert_eq!(number(&mut after, &differing).await, 0, "{table} of {what}");
        }
        let plays = number(&mut after, "SELECT count(*) FROM main.watch_history").await;
        assert_eq!(plays, PLAYS);
        let lost = "SELECT count(*) FROM original.sqlite_schema o WHERE type = 'index' AND NOT \
            EXISTS (SELECT 1 FROM main.sqlite_schema m WHERE m.name = o.name)";
        assert_eq!(number(&mut after, lost).await, 0, "indexes of {what}");
    }
    assert!(
        pages_changed(&original, &path) <= 4,
        "rows stay where they are"
    );

    // The next start finds its own database: the copy is that of the original still.
    let made = std::fs::metadata(&copy).unwrap().modified().unwrap();
    let builder = Server::builder();
    std::fs::create_dir(builder.directory().join("data")).unwrap();
    for file in [&path, &copy] {
        let name = file.file_name().unwrap();
        std::fs::rename(file, builder.directory().join("data").join(name)).unwrap();
    }
    let mut server = builder.start().await;
    logged(&server, "Database initialized at data/komandorr.db").await;
    assert!(!server.log().contains("Adopting"), "{}", server.log());
    stop(&mut server).await;
    let copy = database(server.directory.path()).with_file_name("komandorr.db.before-rust");
    assert_eq!(std::fs::metadata(copy).unwrap().modified().unwrap(), made);
}

fn tables(columns: &BTreeMap<(String, String), (String, bool)>) -> Vec<&str> {
    let mut tables: Vec<&str> = columns.keys().map(|(table, _)| table.as_str()).collect();
    tables.dedup();
    tables
}

/// How many pages of one file are different in the other.
fn pages_changed(before: &Path, after: &Path) -> usize {
    let (before, after) = (
        std::fs::read(before).unwrap(),
        std::fs::read(after).unwrap(),
    );
    let pages = before.chunks(4096).zip(after.chunks(4096));
    pages.filter(|(before, after)| before != after).count()
}

#[tokio::test]
async fn older_databases_get_what_they_lack() {
    let builder = Server::builder();
    let of_3_0_0 = SCHEMA
        .replace("\tstorage_hostname VARCHAR,\n", "")
        .replace("\tstorage_data VARCHAR,\n", "")
        .replace("\tstorage_last_updated DATETIME,\n", "");
    let older = "DROP TABLE storage_history; DROP TABLE watch_history; DROP TABLE plex_stats;
        CREATE TABLE plex_stats (id INTEGER NOT NULL PRIMARY KEY, server_name VARCHAR,
            peak_concurrent INTEGER);
        ALTER TABLE services DROP COLUMN max_bandwidth;
        ALTER TABLE services DROP COLUMN \"group\";
        ALTER TABLE plex_users DROP COLUMN expires_at;
        ALTER TABLE plex_users DROP COLUMN thumb;";
    let rows = "INSERT INTO services (id, name, url, type, status) VALUES
            ('s1', 'One', 'http://one', 'website', 'online');
        INSERT INTO plex_stats VALUES (1, 'Home', 4);
        INSERT INTO plex_users (id, email, invite_id, created_at, is_active)
            VALUES (1, 'a@example.org', 1, '2025-11-22 08:26:40.000000', 1);";
    prepare(&builder, &[&of_3_0_0, older, rows]).await;
    let mut server = builder.start().await;
    logged(&server, "Adding storage_hostname column to services table").await;
    stop(&mut server).await;
    let mut after = look(&database(server.directory.path())).await;
    let found = columns(&mut after).await;
    let mut fresh = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    sqlx::raw_sql(SCHEMA).execute(&mut fresh).await.unwrap();
    for column in columns(&mut fresh).await.keys() {
        assert!(found.contains_key(column), "{column:?}");
    }
    let of = |table: &str, column: &str| found[&(table.to_owned(), column.to_owned())].clone();
    assert_eq!(of("services", "storage_hostname"), ("TEXT".into(), false));
    assert_eq!(of("services", "max_bandwidth"), ("REAL".into(), false));
    assert_eq!(of("plex_users", "expires_at"), ("DATETIME".into(), false));
    let row: (String, i64, i64) =
        sqlx::query_as("SELECT server_name, peak_concurrent, total_users FROM plex_stats")
            .fetch_one(&mut after)
            .await
            .unwrap();
    assert_eq!(row, ("Home".to_owned(), 4, 0));
    let kept = "SELECT count(*) FROM services WHERE status = 'online' AND \"group\" IS NULL";
    assert_eq!(number(&mut after, kept).await, 1);
}

/// Starts a server that must not start and returns what it said.
async fn refused(builder: &Builder) -> String {
    let output = builder.command().output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said.lines().last().unwrap().to_owned()
}

#[tokio::test]
async fn a_file_that_cannot_be_used_stops_the_start_and_is_not_touched() {
    let damaged = Server::builder();
    prepare(&damaged, &[SCHEMA, ODD_ROWS, WATCH_HISTORY]).await;
    let path = database(damaged.directory());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096 * 40..4096 * 60].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();

    let cut = Server::builder();
    prepare(&cut, &[SCHEMA, ODD_ROWS, WATCH_HISTORY]).await;
    let path = database(cut.directory());
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(4096 * 100).unwrap();

    let other = Server::builder().file("data/komandorr.db", "{\"not\": \"a database\"}");
    for (builder, reason) in [
        (other, "is not an SQLite database"),
        (damaged, ""),
        (cut, "malformed"),
    ] {
        let path = database(builder.directory());
        let before = std::fs::read(&path).unwrap();
        let said = refused(&builder).await;
        assert!(said.starts_with("komandorr: data/komandorr.db: "), "{said}");
        assert!(said.contains(reason), "{said}");
        assert!(std::fs::read(&path).unwrap() == before, "{said}");
        assert_eq!(
            files(builder.directory()),
            ["komandorr.db", "komandorr.lock"],
            "{said}"
        );
    }
}

#[tokio::test]
async fn another_program_that_has_the_database_open_is_named() {
    let builder = Server::builder();
    prepare(&builder, &[SCHEMA]).await;
    let file = std::fs::File::open(database(builder.directory())).unwrap();
    let mut other = std::process::Command::new("sleep")
        .arg("60")
        .stdin(Stdio::from(file))
        .spawn()
        .unwrap();
    let server = builder.start().await;
    let warning = format!(
        "Another process has the database open (pid {}, sleep)",
        other.id()
    );
    logged(&server, &warning).await;
    other.kill().unwrap();
    other.wait().unwrap();
}

/// Makes a directory read-only, also for root where that is possible; undone when dropped.
struct ReadOnly {
    directory: PathBuf,
    mounted: bool,
}

impl ReadOnly {
    fn new(directory: &Path) -> Option<Self> {
        let mode = std::fs::Permissions::from_mode(0o555);
        std::fs::set_permissions(directory, mode).unwrap();
        let directory = directory.to_owned();
        let writable = std::fs::write(directory.join("probe"), "").is_ok();
        let mounted = writable && mount(&["--bind", "-o", "ro"], &directory, &directory);
        if writable {
            let _ = std::fs::remove_file(directory.join("probe"));
        }
        let guard = Self { directory, mounted };
        (!writable || mounted).then_some(guard)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        if self.mounted {
            unmount(&self.directory);
        }
        let mode = std::fs::Permissions::from_mode(0o755);
        let _ = std::fs::set_permissions(&self.directory, mode);
    }
}

/// A file system of this size, where one can be made; gone when dropped.
struct Small(PathBuf);

impl Small {
    fn new(size: &str, place: &Path) -> Option<Self> {
        let size = format!("size={size}");
        let mounted = mount(&["-t", "tmpfs", "-o", &size], Path::new("none"), place);
        mounted.then(|| Self(place.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

fn mount(options: &[&str], what: &Path, place: &Path) -> bool {
    let done = std::process::Command::new("mount")
        .args(options)
        .args([what, place])
        .stderr(Stdio::null())
        .status();
    done.is_ok_and(|status| status.success())
}

fn unmount(place: &Path) {
    let _ = std::process::Command::new("umount")
        .arg("-l")
        .arg(place)
        .status();
}

#[tokio::test]
async fn a_database_that_cannot_be_written_is_read() {
    for first in [false, true] {
        let mut builder = Server::builder();
        prepare(&builder, &[SCHEMA, ODD_ROWS]).await;
        if first {
            // Ours, in WAL mode, whose files can't be made in such a directory.
            let mut server = builder.start().await;
            stop(&mut server).await;
            let data = server.directory.path().join("data");
            builder = Server::builder();
            std::fs::rename(data, builder.directory().join("data")).unwrap();
        }
        let data = builder.directory().join("data");
        let before = std::fs::read(data.join("komandorr.db")).unwrap();
        let Some(_guard) = ReadOnly::new(&data) else {
            println!("skipped: nothing is read-only for this user");
            return;
        };
        let mut server = builder.start().await;
        logged(&server, "nothing will be stored").await;
        assert_eq!(server.get("/api/health").await.status, 200);
        stop(&mut server).await;
        assert!(!server.log().contains("ERROR"), "{}", server.log());
        assert!(std::fs::read(data.join("komandorr.db")).unwrap() == before);
    }
    let builder = Server::builder();
    let data = builder.directory().join("data");
    std::fs::create_dir(&data).unwrap();
    let Some(_guard) = ReadOnly::new(&data) else {
        return;
    };
    assert_eq!(
        refused(&builder).await,
        "komandorr: data/komandorr.db: can't be created: the directory is not writable"
    );
}

#[tokio::test]
async fn without_space_for_the_copy_the_database_is_adopted_all_the_same() {
    let builder = Server::builder();
    let data = builder.directory().join("data");
    std::fs::create_dir(&data).unwrap();
    let Some(_guard) = Small::new("1500k", &data) else {
        println!("skipped: nothing can be mounted here");
        return;
    };
    let filling = "CREATE TABLE filling (data BLOB); INSERT INTO filling VALUES (zeroblob(900000))";
    prepare(&builder, &[SCHEMA, ODD_ROWS, filling]).await;
    let mut server = builder.start().await;
    stop(&mut server).await;
    let left = files(server.directory.path());
    logged(&server, "No copy of the original database was made").await;
    logged(&server, "not enough space").await;
    assert_eq!(left, ["komandorr.db", "komandorr.lock"]);
}

#[tokio::test]
async fn on_a_full_disk_the_server_starts_and_reads() {
    let builder = Server::builder();
    let data = builder.directory().join("data");
    std::fs::create_dir(&data).unwrap();
    let Some(_guard) = Small::new("2m", &data) else {
        println!("skipped: nothing can be mounted here");
        return;
    };
    let play = "INSERT INTO watch_history (type, title, viewed_at, duration, created_at) VALUES
        ('movie', 'Still there', '2025-11-22 08:26:40.000000', 1, '2025-11-22 08:26:40.000000')";
    prepare(&builder, &[SCHEMA, play]).await;
    let builder = builder.start().await.stop().await;
    std::fs::remove_file(data.join("komandorr.lock")).unwrap();
    fill(&data.join("filling"));

    let server = builder.start().await;
    let plays = server.get("/api/plex/watch-history").await.json();
    let refused = server
        .post("/api/plex/stats/peak", &json!({"peak_concurrent": 9}))
        .await;
    logged(&server, "(no space is left): nothing will be stored").await;
    logged(&server, "The address could not be noted").await;
    std::fs::remove_file(data.join("filling")).unwrap();
    let server = server.stop().await.start().await;
    let stored = server
        .post("/api/plex/stats/peak", &json!({"peak_concurrent": 9}))
        .await;
    let kept = data.join("komandorr.db.before-rust").exists();
    assert!(!kept, "a copy leaves space for the server");
    assert_eq!(plays[0]["title"], "Still there", "{plays}");
    assert!(refused.status.is_server_error(), "{refused:?}");
    assert!(refused.text.contains("read-only"), "{refused:?}");
    assert!(stored.status.is_success(), "{stored:?}");
}

#[tokio::test]
async fn a_disk_that_fills_up_stops_writes_for_as_long_as_it_is_full() {
    let builder = Server::builder();
    let data = builder.directory().join("data");
    std::fs::create_dir(&data).unwrap();
    let Some(_guard) = Small::new("2m", &data) else {
        println!("skipped: nothing can be mounted here");
        return;
    };
    let mut server = builder.start().await;
    let peak = async |server: &Server, streams: u32| {
        let body = json!({"peak_concurrent": streams});
        server.post("/api/plex/stats/peak", &body).await
    };
    assert!(peak(&server, 3).await.status.is_success());
    let filling = data.join("filling");
    fill(&filling);
    let refused = peak(&server, 9).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.text.contains("The disk is full"), "{refused:?}");
    assert_eq!(server.get("/api/plex/watch-history").await.status, 200);
    std::fs::remove_file(filling).unwrap();
    let stored = peak(&server, 2).await.json();
    assert_eq!(stored["peak_concurrent"], 3, "what was answered is there");
    stop(&mut server).await;
    let mut after = look(&database(server.directory.path())).await;
    assert_eq!(text(&mut after, "PRAGMA integrity_check").await, "ok");
    let stored = "SELECT peak_concurrent FROM plex_stats";
    assert_eq!(number(&mut after, stored).await, 3);
}

/// Takes all the space that there is.
fn fill(path: &Path) {
    let mut filling = std::fs::File::create(path).unwrap();
    while filling.write_all(&[0; 4096]).is_ok() {}
}

#[tokio::test]
async fn odd_types_in_the_database_do_not_stop_the_start() {
    let builder = Server::builder();
    let odd = "INSERT INTO plex_stats (id, peak_concurrent, last_updated)
            VALUES (1, '7 or so', 1763800000);
        INSERT INTO services (id, name, url, type, status) VALUES
            (1, 'One', x'00', 'website', 5), ('two', 'Two', 'http://two', 'website', NULL);
        INSERT INTO traffic_history VALUES (1, 1, 5, 'a', 'b', 'c', x'00');";
    prepare(&builder, &[SCHEMA, odd]).await;
    let mut server = builder.start().await;
    let peak = server
        .post("/api/plex/stats/peak", &json!({"peak_concurrent": 6}))
        .await
        .json();
    assert_eq!(peak["peak_concurrent"], 7, "{peak}");
    stop(&mut server).await;
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_database_to_open() {
    let builder = Server::builder();
    prepare(&builder, &[SCHEMA]).await;
    let options = SqliteConnectOptions::new().filename(database(builder.directory()));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("BEGIN EXCLUSIVE")
        .execute(&mut other)
        .await
        .unwrap();
    let mut starting = builder
        .command()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let log = builder.directory().join("logs/komandorr.log");
    until("the start", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("has the database open"))
    })
    .await;
    let told = Instant::now();
    signal(&starting, "TERM").await;
    assert_eq!(starting.wait().await.unwrap().code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(3), "{told:?}");
}

pub(crate) async fn signal(process: &Child, name: &str) {
    let line = format!("kill -{name} {}", process.id().expect("it runs"));
    let mut kill = Command::new("sh");
    assert!(kill.args(["-c", &line]).status().await.unwrap().success());
}

#[tokio::test]
async fn a_kill_during_the_adoption_leaves_it_to_the_next_start() {
    let builder = Server::builder();
    prepare(&builder, &[SCHEMA, ODD_ROWS, WATCH_HISTORY]).await;
    let data = builder.directory().join("data");
    let log = builder.directory().join("logs/komandorr.log");
    let logged_so_far = || std::fs::read_to_string(&log).unwrap_or_default();
    let unfinished = || {
        let files = files(builder.directory());
        files.iter().any(|name| name.starts_with(".komandorr-copy"))
    };
    for (what, reached) in [
        ("an unfinished copy", &unfinished as &dyn Fn() -> bool),
        ("a copy", &|| logged_so_far().contains("A copy was made")),
    ] {
        let mut starting = builder
            .command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until(what, reached).await;
        signal(&starting, "KILL").await;
        starting.wait().await.unwrap();
    }
    let made = data.join("komandorr.db.before-rust");
    let first = std::fs::read(&made).unwrap();
    let mut server = builder.start().await;
    stop(&mut server).await;
    assert_eq!(
        files(server.directory.path()),
        ["komandorr.db", "komandorr.db.before-rust", "komandorr.lock"]
    );
    assert!(std::fs::read(&made).unwrap() == first, "the first is kept");
    for file in [&made, &database(server.directory.path())] {
        let mut after = look(file).await;
        assert_eq!(text(&mut after, "PRAGMA integrity_check").await, "ok");
        let plays = "SELECT count(*) FROM watch_history";
        assert_eq!(number(&mut after, plays).await, PLAYS);
    }
}

/// Reports of 3.3.0 that keep the server writing for a while after its start: 200,000 of them,
/// each with one more gigabyte.
pub(crate) const TRAFFIC: &str = "
    INSERT INTO services (id, name, url, type) VALUES ('t', 'T', 'http://t', 'server');
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
    INSERT INTO traffic_history (service_id, timestamp, bandwidth_up, bandwidth_down, total_up,
        total_down)
    SELECT 't', strftime('%Y-%m-%d %H:%M:%S.000000', 'now', '-1 hour'), 0, 0, 0, i FROM n;";

#[tokio::test]
async fn a_kill_in_the_middle_of_writes_loses_and_doubles_nothing() {
    let builder = Server::builder();
    prepare(&builder, &[SCHEMA, TRAFFIC]).await;
    let mut server = builder.start().await;
    let path = database(server.directory.path());
    let sum = "SELECT coalesce(sum(down_bytes), 0) / (1 << 30) FROM traffic_hours";
    until_asked("the first batches", async || {
        number(&mut look(&path).await, sum).await > 0
    })
    .await;
    server.signal("KILL").await;
    server.end().await;
    let done = number(&mut look(&path).await, sum).await;
    assert!(done < 200_000, "it was killed in the middle");
    // In a data directory of its own: the harness makes a new one for each server.
    let builder = Server::builder();
    let data = builder.directory().join("data");
    std::fs::rename(server.directory.path().join("data"), &data).unwrap();
    let server = builder.start().await;
    let path = database(server.directory.path());
    until_asked("the rest", async || {
        number(&mut look(&path).await, sum).await >= 200_000
    })
    .await;
    let mut after = look(&path).await;
    assert_eq!(number(&mut after, sum).await, 200_000);
    assert_eq!(text(&mut after, "PRAGMA integrity_check").await, "ok");
}

#[tokio::test]
async fn a_plex_server_in_the_database_moves_to_the_settings_once() {
    let builder = Server::builder();
    let old = "DROP TABLE plex_stats; CREATE TABLE plex_stats (id INTEGER NOT NULL PRIMARY KEY,
        server_url VARCHAR, server_token VARCHAR, server_name VARCHAR, peak_concurrent INTEGER);
        INSERT INTO plex_stats VALUES (1, 'http://192.0.2.1:32400', 'secret-token', 'Home', 3);";
    prepare(&builder, &[SCHEMA, old]).await;
    let mut server = builder.start().await;
    let plex = server.config()["plex"].clone();
    assert_eq!(plex["server_url"], "http://192.0.2.1:32400");
    assert_eq!(plex["server_token"], "secret-token");
    assert_eq!(plex["server_name"], "Home");
    logged(
        &server,
        "Migrating Plex config from database to config.json...",
    )
    .await;
    logged(&server, "Plex config migration completed successfully").await;
    assert!(!server.log().contains("secret-token"));
    stop(&mut server).await;
    let mut after = look(&database(server.directory.path())).await;
    let kept = "SELECT server_token FROM plex_stats";
    assert_eq!(text(&mut after, kept).await, "secret-token");
    // Who removes it from the settings does not get it back.
    let data = server.directory.path().join("data");
    let builder = Server::builder();
    std::fs::write(data.join("config.json"), "{}").unwrap();
    std::fs::rename(data, builder.directory().join("data")).unwrap();
    let server = builder.start().await;
    assert_eq!(server.config(), serde_json::json!({}));
}

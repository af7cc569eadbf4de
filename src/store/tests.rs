use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;

/// A new database with a table of numbers.
async fn store() -> (TempDir, Arc<Store>) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).await.unwrap();
    execute(
        &store,
        "CREATE TABLE numbers (number INTEGER NOT NULL PRIMARY KEY)",
    )
    .await
    .unwrap();
    (directory, Arc::new(store))
}

fn panics(_: &mut SqliteConnection) -> BoxFuture<'_, Result<(), sqlx::Error>> {
    panic!("as intended")
}

fn panics_within(c: &mut SqliteConnection) -> BoxFuture<'_, Result<(), sqlx::Error>> {
    Box::pin(async move {
        let mut inner = c.begin().await?;
        inner.execute("INSERT INTO numbers VALUES (77)").await?;
        panic!("as intended, in a transaction of its own")
    })
}

async fn execute(store: &Store, statement: &'static str) -> Result<(), StoreError> {
    store
        .write(move |c| Box::pin(async move { c.execute(statement).await.map(drop) }))
        .await
}

async fn insert(store: &Store, number: i64) -> Result<(), StoreError> {
    let insert = sqlx::query("INSERT INTO numbers VALUES (?)").bind(number);
    store
        .write(|c| Box::pin(async move { insert.execute(c).await.map(drop) }))
        .await
}

async fn numbers(store: &Store) -> Vec<i64> {
    sqlx::query_scalar("SELECT number FROM numbers ORDER BY number")
        .fetch_all(store.reader())
        .await
        .unwrap()
}

/// A write that has begun and goes on until something is sent.
async fn held(store: &Arc<Store>) -> oneshot::Sender<()> {
    let (release, released) = oneshot::channel::<()>();
    let (tell, told) = oneshot::channel();
    let store = Arc::clone(store);
    tokio::spawn(async move {
        store
            .write(|c| {
                Box::pin(async move {
                    c.execute("INSERT INTO numbers VALUES (1000)").await?;
                    tell.send(()).unwrap();
                    let _ = released.await;
                    Ok(())
                })
            })
            .await
    });
    told.await.unwrap();
    release
}

#[tokio::test]
async fn a_read_does_not_wait_for_a_write_and_sees_nothing_of_it() {
    let (_directory, store) = store().await;
    let release = held(&store).await;
    assert_eq!(numbers(&store).await, [0_i64; 0]);
    release.send(()).unwrap();
    insert(&store, 1).await.unwrap();
    assert_eq!(
        numbers(&store).await,
        [1, 1000],
        "what was answered is there"
    );
}

#[tokio::test]
async fn what_waits_shares_a_transaction_and_a_failure_undoes_only_itself() {
    let (_directory, store) = store().await;
    let release = held(&store).await;
    let version = "PRAGMA data_version";
    let mut watcher = store.reader().acquire().await.unwrap();
    let before: i64 = sqlx::query_scalar(version)
        .fetch_one(&mut *watcher)
        .await
        .unwrap();
    let release_soon = async {
        while store.writer.as_ref().unwrap().queued() < 5 {
            tokio::task::yield_now().await;
        }
        release.send(()).unwrap();
    };
    let (one, two, three, four, five, ()) = tokio::join!(
        insert(&store, 1),
        execute(&store, "INSERT INTO numbers VALUES (50), (51), (50)"),
        store.write(panics),
        store.write(panics_within),
        insert(&store, 2),
        release_soon
    );
    one.unwrap();
    assert!(matches!(two, Err(StoreError::Other(_))), "{two:?}");
    assert!(three.unwrap_err().to_string().contains("panicked"));
    assert!(four.unwrap_err().to_string().contains("panicked"));
    five.unwrap();
    assert_eq!(numbers(&store).await, [1, 2, 1000]);
    let after: i64 = sqlx::query_scalar(version)
        .fetch_one(&mut *watcher)
        .await
        .unwrap();
    assert_eq!(after, before + 1, "one commit for all");
}

#[tokio::test]
async fn who_waits_too_long_is_told_so_and_the_write_is_not_done_later() {
    let (_directory, store) = store().await;
    let release = held(&store).await;
    tokio::time::pause();
    let late = insert(&store, 5).await;
    tokio::time::resume();
    assert!(matches!(late, Err(StoreError::Busy)), "{late:?}");
    release.send(()).unwrap();
    insert(&store, 6).await.unwrap();
    assert_eq!(numbers(&store).await, [6, 1000]);
}

#[tokio::test]
async fn who_has_to_know_waits_for_a_write_that_has_begun() {
    let (_directory, store) = store().await;
    let (release, released) = oneshot::channel::<()>();
    let (tell, told) = oneshot::channel();
    let writing = Arc::clone(&store);
    let written = tokio::spawn(async move {
        let job = writing.write_for_certain(|c| {
            Box::pin(async move {
                c.execute("INSERT INTO numbers VALUES (1)").await?;
                tell.send(()).unwrap();
                let _ = released.await;
                Ok(())
            })
        });
        job.await
    });
    told.await.unwrap();
    tokio::time::pause();
    let late = insert(&store, 5).await;
    tokio::time::resume();
    assert!(matches!(late, Err(StoreError::Busy)), "{late:?}");
    assert!(!written.is_finished(), "its five seconds are over, too");
    release.send(()).unwrap();
    written.await.unwrap().unwrap();
    assert_eq!(numbers(&store).await, [1]);
}

#[tokio::test]
async fn a_full_queue_is_waited_for_and_not_for_ever() {
    let (_directory, store) = store().await;
    let release = held(&store).await;
    let many = (0..400).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { insert(&store, number).await })
    });
    let many: Vec<_> = many.collect();
    tokio::time::pause();
    let mut busy = 0;
    for one in many {
        busy += u32::from(matches!(one.await.unwrap(), Err(StoreError::Busy)));
    }
    tokio::time::resume();
    assert_eq!(busy, 400);
    release.send(()).unwrap();
    insert(&store, 401).await.unwrap();
    assert_eq!(numbers(&store).await, [401, 1000]);
}

#[tokio::test]
async fn another_program_that_holds_the_file_makes_writes_wait_but_not_reads() {
    let (directory, store) = store().await;
    let options = SqliteConnectOptions::new().filename(directory.path().join(FILE_NAME));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    assert_eq!(numbers(&store).await, [0_i64; 0]);
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { insert(&store, 1).await }
    });
    assert_eq!(numbers(&store).await, [0_i64; 0]);
    other.execute("COMMIT").await.unwrap();
    waiting.await.unwrap().unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let refused = insert(&store, 2).await;
    assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
    other.execute("COMMIT").await.unwrap();
    insert(&store, 3).await.unwrap();
    assert_eq!(numbers(&store).await, [1, 3]);
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_writer_goes_on() {
    let (_directory, store) = store().await;
    execute(&store, "CREATE TABLE big (data BLOB)")
        .await
        .unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(store.reader())
        .await
        .unwrap();
    let limit = sqlx::query(AssertSqlSafe(format!(
        "PRAGMA max_page_count = {}",
        pages + 10
    )));
    store
        .write(|c| Box::pin(async move { limit.execute(c).await }))
        .await
        .unwrap();
    let full = execute(&store, "INSERT INTO big VALUES (zeroblob(1000000))").await;
    assert!(matches!(full, Err(StoreError::DiskFull)), "{full:?}");
    insert(&store, 1).await.unwrap();
    assert_eq!(numbers(&store).await, [1]);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM big")
        .fetch_one(store.reader())
        .await
        .unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn a_write_that_ends_the_transaction_itself_does_not_stop_the_writer() {
    let (_directory, store) = store().await;
    let ended = execute(&store, "ROLLBACK").await;
    assert!(ended.is_err());
    insert(&store, 1).await.unwrap();
    assert_eq!(numbers(&store).await, [1]);
}

#[tokio::test]
async fn a_write_without_end_does_not_keep_the_others_away() {
    let (_directory, store) = store().await;
    let release = held(&store).await;
    tokio::time::pause();
    assert!(matches!(insert(&store, 5).await, Err(StoreError::Busy)));
    tokio::time::advance(Duration::from_secs(30)).await;
    tokio::time::resume();
    insert(&store, 6).await.unwrap();
    assert_eq!(numbers(&store).await, [6], "what took too long was undone");
    drop(release);
}

#[tokio::test]
async fn a_path_may_have_any_characters_and_the_file_may_be_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("a?b%20c#d 'é&mode=ro");
    let elsewhere = directory.path().join("elsewhere");
    std::fs::create_dir(&data).unwrap();
    std::fs::create_dir(&elsewhere).unwrap();
    let link = data.join(FILE_NAME);
    std::os::unix::fs::symlink(elsewhere.join("real.db"), &link).unwrap();
    std::fs::write(elsewhere.join("real.db"), "").unwrap();
    for _ in 0..2 {
        let store = Store::open(&data).await.unwrap();
        set(&store).await.unwrap();
        let read = condition(&data).await.unwrap();
        assert_eq!(read, Condition::Ours);
        let copy = data.join(format!("copy {}", store.installation()));
        let _ = std::fs::remove_file(&copy);
        back_up(&data, &copy).await.unwrap();
        store.close().await;
    }
    assert!(link.is_symlink());
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 1);
}

async fn set(store: &Store) -> Result<(), StoreError> {
    store
        .write(|c| Box::pin(set_state(c, "name", "value")))
        .await
}

#[tokio::test]
async fn closing_does_what_is_queued_and_leaves_one_file() {
    let (directory, store) = store().await;
    let release = held(&store).await;
    let last = tokio::spawn({
        let store = Arc::clone(&store);
        async move { insert(&store, 1).await }
    });
    let closing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.close().await }
    });
    while store.writer.as_ref().unwrap().queued() < 2 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    last.await.unwrap().unwrap();
    closing.await.unwrap();
    assert!(insert(&store, 2).await.is_err());
    let files: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, [FILE_NAME]);
    let again = Store::open(directory.path()).await.unwrap();
    assert_eq!(numbers(&again).await, [1, 1000]);
}

#[tokio::test]
async fn an_installation_has_an_identifier_and_a_private_file() {
    let (directory, store) = store().await;
    let installation = store.installation().to_owned();
    assert_eq!(installation.len(), 64);
    assert!(installation.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let mode = std::fs::metadata(directory.path().join(FILE_NAME)).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    store.close().await;
    let again = Store::open(directory.path()).await.unwrap();
    assert_eq!(again.installation(), installation);
    let other = Store::open(tempfile::tempdir().unwrap().path())
        .await
        .unwrap();
    assert_ne!(other.installation(), installation);
}

async fn foreign(statements: &'static str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(statements)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    (directory, path)
}

/// A database of which a write was cut off after it had begun to change the file.
async fn interrupted() -> TempDir {
    let (origin, path) = foreign(
        "CREATE TABLE services (id VARCHAR NOT NULL PRIMARY KEY, name VARCHAR NOT NULL); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
         INSERT INTO services SELECT i, 'before' FROM n",
    )
    .await;
    let options = SqliteConnectOptions::new().filename(&path);
    let mut writing = SqliteConnection::connect_with(&options).await.unwrap();
    writing
        .execute("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN; UPDATE services SET name = 'after'")
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    for ending in ["", "-journal"] {
        let name = format!("{FILE_NAME}{ending}");
        std::fs::copy(origin.path().join(&name), directory.path().join(&name)).unwrap();
    }
    directory
}

async fn names(path: PathBuf) -> Vec<(String, i64)> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query_as("SELECT name, count(*) FROM services GROUP BY 1")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_interrupted_write_of_3_3_0_is_undone_before_anything_else() {
    let directory = interrupted().await;
    let found = condition(directory.path()).await.unwrap();
    assert_eq!(found, Condition::Interrupted);
    let before = [("before".to_owned(), 2000)];
    let copy = directory.path().join("copy");
    back_up(directory.path(), &copy).await.unwrap();
    assert_eq!(names(copy).await, before);

    let directory = interrupted().await;
    let store = Store::open(directory.path()).await.unwrap();
    store.close().await;
    for name in [FILE_NAME, "komandorr.db.before-rust"] {
        assert_eq!(names(directory.path().join(name)).await, before, "{name}");
    }
}

#[tokio::test]
async fn a_commit_is_on_disk_before_it_is_answered() {
    let (_directory, store) = store().await;
    let pragma = sqlx::query_scalar("PRAGMA synchronous");
    let mode: i64 = store
        .write(|c| Box::pin(pragma.fetch_one(c)))
        .await
        .unwrap();
    assert_eq!(mode, 2, "FULL");
}

#[tokio::test]
async fn duplicates_do_not_stop_the_start() {
    let (directory, _) = foreign(
        "CREATE TABLE invites (id INTEGER NOT NULL PRIMARY KEY, code VARCHAR NOT NULL); \
         INSERT INTO invites VALUES (1, 'A'), (2, 'A')",
    )
    .await;
    let store = Store::open(directory.path()).await.unwrap();
    let indexes: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'index' AND name LIKE 'ix\\_%s\\_%' ESCAPE '\\' \
         AND sql LIKE '%UNIQUE%' AND tbl_name IN ('invites', 'plex_users')",
    )
    .fetch_all(store.reader())
    .await
    .unwrap();
    assert_eq!(indexes, ["ix_plex_users_email"]);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let (directory, path) = foreign(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY); \
         INSERT INTO _sqlx_migrations VALUES (9999)",
    )
    .await;
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(directory.path()).await.unwrap_err().to_string();
    assert!(
        error.ends_with("komandorr.db: was made by a newer version of Komandorr"),
        "{error}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_look_at_a_database_leaves_nothing_behind() {
    let (directory, store) = store().await;
    store.close().await;
    let before = std::fs::read(directory.path().join(FILE_NAME)).unwrap();
    assert_eq!(condition(directory.path()).await.unwrap(), Condition::Ours);
    assert_eq!(
        std::fs::read(directory.path().join(FILE_NAME)).unwrap(),
        before
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(condition(empty.path()).await.unwrap(), Condition::Missing);
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

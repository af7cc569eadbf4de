//! The one writer: a task that owns the connection for writing.
//!
//! It takes what is queued and runs it in one transaction, each job in a savepoint of its own, so
//! that many small writes share one wait for the disk and a failing one undoes only itself. A job
//! is answered after the commit.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Sqlite, SqliteConnection, Transaction};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::StoreError;

/// Writes that wait; who comes then waits for a place.
const QUEUE: usize = 256;
/// How long a caller waits for the commit: people wait for their writes.
const PATIENCE: Duration = Duration::from_secs(5);
/// A job that takes longer is undone: everybody else's writes wait for it.
const JOB_LIMIT: Duration = Duration::from_secs(30);
/// A transaction takes further jobs up to this many …
const BATCH: usize = 64;
/// … and for so long: all of them wait for its commit.
const BATCH_TIME: Duration = Duration::from_millis(50);

/// The way to the writer.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
}

enum Message {
    Write(Write),
    Close(oneshot::Sender<()>),
}

/// A job on its way.
struct Write {
    /// Set by the writer when the job begins, or by a caller who no longer waits for it.
    taken: Arc<AtomicBool>,
    run: Run,
}

/// Runs the job on a connection, or tells its caller why it was not run.
type Run = Box<
    dyn for<'c> FnOnce(Result<&'c mut SqliteConnection, StoreError>) -> BoxFuture<'c, Ran> + Send,
>;

/// A job that has run: did it succeed, and how to tell its caller what became of it?
struct Ran {
    failure: Option<StoreError>,
    answer: Answer,
}

/// Called with the result of the commit.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

impl Writer {
    /// Starts the task. `connection` was made with `options`.
    pub(super) fn start(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        let (queue, inbox) = mpsc::channel(QUEUE);
        let task = Task {
            inbox,
            options,
            connection: Some(connection),
        };
        tokio::spawn(task.run());
        Self { queue }
    }

    /// Runs `job` and returns when it is on disk. Once the job has begun, `patient` callers wait for
    /// its outcome as long as that takes; for the others it may be done after they have given up.
    pub(super) async fn write<T, F>(&self, job: F, patient: bool) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>
            + Send
            + 'static,
    {
        let deadline = Instant::now() + PATIENCE;
        let place = timeout_at(deadline, self.queue.reserve()).await;
        let place = place.map_err(|_| StoreError::Busy)?.map_err(|_| closed())?;
        let (tell, mut told) = oneshot::channel();
        let taken = Arc::new(AtomicBool::new(false));
        place.send(Message::Write(Write {
            taken: Arc::clone(&taken),
            run: prepare(job, tell),
        }));
        let told = if let Ok(told) = timeout_at(deadline, &mut told).await {
            told
        } else {
            let has_begun = taken.swap(true, Ordering::AcqRel);
            if !(has_begun && patient) {
                return Err(StoreError::Busy);
            }
            told.await
        };
        told.unwrap_or_else(|_| Err(closed()))
    }

    /// How many messages wait.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Does what is queued, moves the log into the main file and closes the connection.
    pub(super) async fn close(&self) {
        let (tell, told) = oneshot::channel();
        if self.queue.send(Message::Close(tell)).await.is_ok() {
            let _ = told.await;
        }
    }
}

fn closed() -> StoreError {
    StoreError::Other(sqlx::Error::PoolClosed)
}

/// Wraps `job` so that the writer needs to know neither its type nor its caller.
fn prepare<T, F>(job: F, tell: oneshot::Sender<Result<T, StoreError>>) -> Run
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>
        + Send
        + 'static,
{
    Box::new(move |connection| {
        Box::pin(async move {
            let result = match connection {
                Ok(connection) => {
                    let work = timeout(JOB_LIMIT, async { job(connection).await });
                    match AssertUnwindSafe(work).catch_unwind().await {
                        Ok(Ok(result)) => result.map_err(StoreError::from),
                        Ok(Err(_)) => Err(StoreError::failed("a write took too long")),
                        Err(_panic) => Err(StoreError::failed("a write panicked")),
                    }
                }
                Err(refused) => Err(refused),
            };
            let failure = result.as_ref().err().map(StoreError::again);
            let answer = move |committed: Result<(), StoreError>| {
                let _ = tell.send(result.and_then(|value| committed.map(|()| value)));
            };
            Ran {
                failure,
                answer: Box::new(answer),
            }
        })
    })
}

impl Write {
    fn is_waited_for(&self) -> bool {
        !self.taken.load(Ordering::Acquire)
    }

    /// True for whoever comes first: the writer, or the caller who gives up.
    fn take(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }

    async fn refuse(self, why: StoreError) {
        let ran = (self.run)(Err(why)).await;
        (ran.answer)(Ok(()));
    }
}

struct Task {
    inbox: mpsc::Receiver<Message>,
    options: SqliteConnectOptions,
    /// `None` after a failure that leaves its state unknown.
    connection: Option<SqliteConnection>,
}

impl Task {
    async fn run(mut self) {
        let mut closing = None;
        while let Some(message) = self.inbox.recv().await {
            let close = match message {
                Message::Write(first) => self.transaction(first).await,
                Message::Close(tell) => Some(tell),
            };
            if close.is_some() {
                closing = close;
                // What is queued by now is still done.
                self.inbox.close();
            }
        }
        self.finish().await;
        drop(closing);
    }

    /// Runs `first` and what is queued behind it. A request to close that is met is returned.
    async fn transaction(&mut self, first: Write) -> Option<oneshot::Sender<()>> {
        if !first.is_waited_for() {
            return None;
        }
        let mut connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => {
                first.refuse(error.into()).await;
                return None;
            }
        };
        let (healthy, closing) = match connection.begin_with("BEGIN IMMEDIATE").await {
            Ok(transaction) => self.batch(transaction, first).await,
            Err(error) => {
                let error = StoreError::from(error);
                let healthy = matches!(error, StoreError::Busy);
                first.refuse(error).await;
                (healthy, None)
            }
        };
        if healthy {
            self.connection = Some(connection);
        }
        closing
    }

    async fn connect(&mut self) -> Result<SqliteConnection, sqlx::Error> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => SqliteConnection::connect_with(&self.options).await,
        }
    }

    /// False when the connection should not be used again.
    async fn batch(
        &mut self,
        mut transaction: Transaction<'_, Sqlite>,
        first: Write,
    ) -> (bool, Option<oneshot::Sender<()>>) {
        let started = Instant::now();
        let mut done: Vec<Answer> = Vec::new();
        let mut closing = None;
        let mut lost = None;
        let mut next = Some(first);
        while let Some(write) = next.take() {
            // Who gave up meanwhile has been told that the write was not done.
            if write.take() {
                match attempt(&mut transaction, write.run).await {
                    Ok(Some(answer)) => done.push(answer),
                    Ok(None) => {}
                    Err(why) => {
                        lost = Some(why);
                        break;
                    }
                }
            }
            if done.len() < BATCH && started.elapsed() < BATCH_TIME {
                match self.inbox.try_recv() {
                    Ok(Message::Write(write)) => next = Some(write),
                    Ok(Message::Close(tell)) => closing = Some(tell),
                    Err(_) => {}
                }
            }
        }
        let committed = match lost {
            Some(why) => Err(why),
            None => transaction.commit().await.map_err(StoreError::from),
        };
        let healthy = committed.is_ok();
        if let Err(error) = &committed {
            tracing::error!("{} writes were not done: {error}", done.len().max(1));
        }
        for answer in done {
            answer(match &committed {
                Ok(()) => Ok(()),
                Err(error) => Err(error.again()),
            });
        }
        (healthy, closing)
    }

    async fn finish(mut self) {
        let connection = self.connect().await;
        let Ok(mut connection) = connection else {
            return;
        };
        let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
        if let Err(error) = checkpoint.execute(&mut connection).await {
            tracing::warn!("The database's log was not emptied: {error}");
        }
        if let Err(error) = connection.close().await {
            tracing::warn!("The database was not closed properly: {error}");
        }
    }
}

/// Runs one job in a savepoint. `Ok(None)`: it failed, which its caller knows by now, and left
/// nothing behind. An error means that the whole transaction is gone, this job's caller told.
async fn attempt(
    transaction: &mut Transaction<'_, Sqlite>,
    run: Run,
) -> Result<Option<Answer>, StoreError> {
    if let Err(error) = sqlx::query("SAVEPOINT job")
        .execute(&mut **transaction)
        .await
    {
        let error = StoreError::from(error);
        let ran = run(Err(error.again())).await;
        (ran.answer)(Ok(()));
        return Err(error);
    }
    let Ran { failure, answer } = run(Ok(&mut **transaction)).await;
    let ended = match &failure {
        None => release(transaction).await,
        Some(_) => undo(transaction).await,
    };
    match (failure, ended) {
        (None, Ok(())) => Ok(Some(answer)),
        (None, Err(error)) => {
            let error = StoreError::from(error);
            answer(Err(error.again()));
            Err(error)
        }
        (Some(_), Ok(())) => {
            answer(Ok(()));
            Ok(None)
        }
        // SQLite has undone the whole transaction, as it may when the disk is full.
        (Some(failure), Err(_)) => {
            answer(Ok(()));
            Err(failure)
        }
    }
}

async fn release(transaction: &mut Transaction<'_, Sqlite>) -> Result<(), sqlx::Error> {
    let release = sqlx::query("RELEASE job");
    release.execute(&mut **transaction).await.map(|_| ())
}

async fn undo(transaction: &mut Transaction<'_, Sqlite>) -> Result<(), sqlx::Error> {
    let undo = sqlx::query("ROLLBACK TO job");
    undo.execute(&mut **transaction).await?;
    release(transaction).await
}

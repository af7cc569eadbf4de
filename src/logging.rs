//! The log: console and file, in 3.3.0's two line formats. Level and file can change while it runs.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Local, NaiveDateTime, Utc};
use chrono_tz::Tz;
use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::OptionalWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, reload};

use crate::settings::{LogSettings, Settings, SettingsStore};

/// A file of this size is put aside and a new one begun.
const LARGEST_FILE: usize = 10 * 1024 * 1024;
/// Files put aside; the oldest goes first.
const OLD_FILES: usize = 3;

/// Changes a running log. Dropping it writes what is still pending, and so does [`Self::close`].
#[derive(Debug)]
pub struct Log {
    filter: reload::Handle<Targets, Registry>,
    file: FilePlace,
    in_force: tokio::sync::Mutex<InForce>,
}

/// What was asked for last, whether it could be had or not.
#[derive(Debug)]
struct InForce {
    level: Level,
    file: bool,
}

impl Log {
    /// Starts logging. A log file that can't be opened is reported on the console and done
    /// without.
    ///
    /// # Errors
    /// Logging has been started in this process before.
    pub fn start(settings: &Settings) -> anyhow::Result<Self> {
        let LogSettings {
            level,
            enable_file,
            file: path,
            show_timestamp_console,
            show_location_file,
        } = &settings.log;
        let zone = settings.process_timezone;
        let (filter, handle) = reload::Layer::new(targets(*level));
        let console = tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .event_format(Line {
                place: Place::Console {
                    time: *show_timestamp_console,
                    colour: io::stderr().is_terminal(),
                },
                zone,
            });
        let file = FilePlace::default();
        let unopened = enable_file.then(|| file.open(path)).and_then(Result::err);
        let file_layer = tracing_subscriber::fmt::layer()
            .with_writer(file.clone())
            .with_ansi(false)
            .event_format(Line {
                place: Place::File {
                    location: *show_location_file,
                },
                zone,
            });
        let both = console.and_then(file_layer);
        tracing_subscriber::registry()
            .with(both.with_filter(filter))
            .try_init()?;
        if let Some(error) = unopened {
            no_file(path, &error);
        }
        Ok(Self::of(handle, file, *level, *enable_file))
    }

    fn of(
        filter: reload::Handle<Targets, Registry>,
        file: FilePlace,
        level: Level,
        enable_file: bool,
    ) -> Self {
        let in_force = InForce {
            level,
            file: enable_file,
        };
        Self {
            filter,
            file,
            in_force: tokio::sync::Mutex::new(in_force),
        }
    }

    /// Puts the level and the file of the settings of this moment in force, if they are others
    /// than before.
    #[expect(
        clippy::significant_drop_tightening,
        reason = "its lock orders changes, from looking at the settings to the end"
    )]
    pub async fn follow(&self, settings: &SettingsStore) {
        let mut in_force = self.in_force.lock().await;
        let now = settings.current();
        if in_force.level != now.log.level {
            in_force.level = now.log.level;
            // Fails only once the subscriber is gone, with the process.
            let _ = self.filter.reload(targets(now.log.level));
            tracing::info!("Log level is now {}", level_name(now.log.level));
        }
        if in_force.file != now.log.enable_file {
            in_force.file = now.log.enable_file;
            self.switch_file(&now.log).await;
        }
    }

    /// Opens or closes the file, where that may block.
    async fn switch_file(&self, settings: &LogSettings) {
        let (file, path, on) = (
            self.file.clone(),
            settings.file.clone(),
            settings.enable_file,
        );
        let switched = tokio::task::spawn_blocking(move || {
            if on {
                file.open(&path)
                    .inspect_err(|error| no_file(&path, error))
                    .is_ok()
            } else {
                tracing::info!("The log file is switched off");
                file.close();
                false
            }
        });
        if switched.await.unwrap_or(false) {
            tracing::info!("The log file is switched on");
        }
    }

    /// Writes what is still pending into the file and closes it.
    pub fn close(&self) {
        self.file.close();
    }

    /// One that nobody writes to, for tests beside the code.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        let (_filter, handle) = reload::Layer::new(targets(Level::INFO));
        Self::of(handle, FilePlace::default(), Level::INFO, false)
    }
}

fn no_file(path: &Path, error: &io::Error) {
    tracing::warn!("No log file: {}: {error}", path.display());
}

/// Where the lines of the file go: nowhere, as long as there is none.
#[derive(Clone, Debug, Default)]
struct FilePlace(Arc<Mutex<Option<OpenFile>>>);

/// The way to the thread that waits for the disk. Dropping it writes what is pending, which takes
/// a second at most.
#[derive(Debug)]
struct OpenFile {
    lines: NonBlocking,
    _pending: WorkerGuard,
}

impl FilePlace {
    /// Opens the file for appending.
    fn open(&self, path: &Path) -> io::Result<()> {
        let (lines, pending) = open(path)?;
        let opened = OpenFile {
            lines,
            _pending: pending,
        };
        *self.lock() = Some(opened);
        Ok(())
    }

    fn close(&self) {
        let open = self.lock().take();
        // Not under the lock, which those who log would wait for.
        drop(open);
    }

    fn lock(&self) -> MutexGuard<'_, Option<OpenFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MakeWriter<'_> for FilePlace {
    type Writer = OptionalWriter<NonBlocking>;

    fn make_writer(&self) -> Self::Writer {
        match &*self.lock() {
            Some(open) => OptionalWriter::some(open.lines.clone()),
            None => OptionalWriter::none(),
        }
    }
}

/// Our own lines from `level` on; of the libraries below us only what is wrong.
fn targets(level: Level) -> Targets {
    Targets::new()
        .with_default(Level::WARN)
        .with_target(env!("CARGO_CRATE_NAME"), level)
}

/// Opens the file for appending, through a thread that takes the waiting for the disk.
fn open(path: &Path) -> io::Result<(NonBlocking, WorkerGuard)> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    // FileRotate does not report what it can't open.
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    let limit = ContentLimit::BytesSurpassed(LARGEST_FILE);
    let rotating = FileRotate::new(
        path,
        AppendCount::new(OLD_FILES),
        limit,
        Compression::None,
        None,
    );
    Ok(tracing_appender::non_blocking(rotating))
}

/// Formats one line.
struct Line {
    place: Place,
    zone: Option<Tz>,
}

enum Place {
    /// `LEVEL - message`
    Console { time: bool, colour: bool },
    /// `YYYY-MM-DD HH:MM:SS - LEVEL    - [komandorr:module:line] - message`
    File { location: bool },
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let name = level_name(*meta.level());
        match self.place {
            Place::Console { time, colour } => {
                if time {
                    write!(writer, "{} - ", self.now())?;
                }
                if colour {
                    write!(writer, "\x1b[{}m{name}\x1b[0m - ", colour_of(*meta.level()))?;
                } else {
                    write!(writer, "{name} - ")?;
                }
            }
            Place::File { location } => {
                write!(writer, "{} - {name:<8} - ", self.now())?;
                if location {
                    let module = meta.target().rsplit("::").next().unwrap_or_default();
                    let line = meta.line().unwrap_or_default();
                    write!(writer, "[komandorr:{module}:{line}] - ")?;
                }
            }
        }
        let mut text = String::new();
        context
            .field_format()
            .format_fields(Writer::new(&mut text), event)?;
        // One event is one line: what others send us, a server's name for instance, must not be
        // able to write lines of its own.
        writeln!(writer, "{}", text.replace(['\r', '\n'], " "))
    }
}

impl Line {
    fn now(&self) -> impl fmt::Display + use<> {
        local(Utc::now(), self.zone).format("%Y-%m-%d %H:%M:%S")
    }
}

fn local(at: DateTime<Utc>, zone: Option<Tz>) -> NaiveDateTime {
    match zone {
        Some(zone) => at.with_timezone(&zone).naive_local(),
        None => at.with_timezone(&Local).naive_local(),
    }
}

/// Python's names, which log filters of operators know.
const fn level_name(level: Level) -> &'static str {
    match level {
        Level::TRACE | Level::DEBUG => "DEBUG",
        Level::INFO => "INFO",
        Level::WARN => "WARNING",
        Level::ERROR => "ERROR",
    }
}

const fn colour_of(level: Level) -> u8 {
    match level {
        Level::TRACE | Level::DEBUG => 36,
        Level::INFO => 32,
        Level::WARN => 33,
        Level::ERROR => 31,
    }
}

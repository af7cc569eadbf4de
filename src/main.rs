//! The `komandorr` command: command line → settings → log → server.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use komandorr::cli::{Backup, Cli, Command, Listen, Passwd};
use komandorr::compat::uvicorn;
use komandorr::instance::Instance;
use komandorr::logging::Log;
use komandorr::settings::{Environment, Overrides, SettingsError, SettingsStore, variables};
use komandorr::{backup, check, demo, healthcheck, passwd};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Settings or a command line that can't be used.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match uvicorn::translate(&arguments) {
        None => Cli::parse_from(arguments),
        Some(Ok(translated)) => Cli::parse_from(translated),
        Some(Err(message)) => return fail(USAGE, &message),
    };
    let done = match cli.command {
        None => serve(cli.serve),
        Some(Command::Serve(listen)) => serve(listen),
        Some(Command::Demo(listen)) => run_demo(listen),
        Some(Command::Healthcheck(listen)) => check_health(listen),
        Some(Command::Check(listen)) => run_check(listen),
        Some(Command::Backup(wanted)) => back_up(wanted),
        Some(Command::Passwd(wanted)) => change_password(wanted),
        Some(Command::EnvExample) => print(&variables::example_file()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<SettingsError>() => fail(USAGE, &error.to_string()),
        Err(error) => fail(1, &format!("{error:#}")),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "komandorr: {message}");
    ExitCode::from(code)
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(write!(io::stdout(), "{text}")?)
}

fn serve(listen: Listen) -> anyhow::Result<()> {
    let settings = SettingsStore::open(Environment::from_process()?, listen.into())?;
    // First, so that a second process leaves the log of the first one alone.
    let instance = Instance::claim(&settings.current().data_dir)?;
    let log = Arc::new(Log::start(&settings.current())?);
    let running = Arc::clone(&log);
    let ended = block_on(async {
        komandorr::run(settings, instance, running, stop_signal()?, announce).await
    });
    // Here, for a thread that was left behind may still hold it.
    log.close();
    ended
}

fn run_demo(listen: Listen) -> anyhow::Result<()> {
    let env = Environment::from_variables().for_demo();
    block_on(async {
        let demo = demo::Demo::prepare(env, listen.into()).await?;
        let log = Arc::new(Log::start(&demo.settings.current())?);
        let mut stage = demo.stage;
        let announce = |address| {
            stage.start_agents(address)?;
            announce(address)
        };
        komandorr::run(demo.settings, demo.instance, log, stop_signal()?, announce).await?;
        drop(stage);
        Ok(())
    })
}

fn check_health(listen: Listen) -> anyhow::Result<()> {
    let healthy = Environment::from_process()
        .map_err(anyhow::Error::from)
        .and_then(|env| Ok(healthcheck::run(&env, &listen.into())?));
    // Docker knows one exit code for "unhealthy", whatever the reason.
    healthy.map_err(|error| anyhow::anyhow!("not healthy: {error:#}"))
}

fn run_check(listen: Listen) -> anyhow::Result<()> {
    let settings = SettingsStore::open(Environment::from_process()?, listen.into())?;
    block_on(check::run(&settings, &mut io::stdout()))
}

fn back_up(wanted: Backup) -> anyhow::Result<()> {
    let Backup { file, data_dir } = wanted;
    let overrides = Overrides {
        data_dir,
        ..Overrides::default()
    };
    let env = Environment::from_process()?;
    block_on(async {
        let (stop, mut out) = (stop_signal()?, io::stdout());
        // Dropped, an unfinished copy removes itself.
        tokio::select! {
            done = backup::run(&env, &overrides, &file, &mut out) => done,
            () = stop.cancelled() => anyhow::bail!("interrupted: there is no copy"),
        }
    })
}

fn change_password(wanted: Passwd) -> anyhow::Result<()> {
    let Passwd {
        plaintext,
        data_dir,
    } = wanted;
    let overrides = Overrides {
        data_dir,
        ..Overrides::default()
    };
    let settings = SettingsStore::open(Environment::from_process()?, overrides)?;
    let new = passwd::ask()?;
    block_on(passwd::run(&settings, &new, plaintext, &mut io::stdout()))
}

/// Runs `work` to its end. Threads that are stuck in the system then (resolving a name, reading
/// from a network file system) are left behind rather than waited for.
fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    const STUCK_THREADS: Duration = Duration::from_millis(500);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(STUCK_THREADS);
    done
}

/// The first line on standard output; scripts and tests read the port from it.
fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "listening on http://{address}")?;
    out.flush()
}

/// Cancelled by the first SIGTERM or SIGINT; the second ends the process at once.
fn stop_signal() -> io::Result<CancellationToken> {
    /// What a shell reports for a process that an interrupt has ended.
    const INTERRUPTED: i32 = 130;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        told.cancel();
        next().await;
        std::process::exit(INTERRUPTED);
    });
    Ok(stop)
}

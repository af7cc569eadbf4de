//! Programs that run as long as a measurement.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use komandorr::demo::Simulator;

/// A server that is ended with this value.
pub(crate) struct Running {
    child: Child,
    pub(crate) url: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Starts `command` and reads its address from its first line.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output");
        BufReader::new(out)
            .read_line(&mut line)
            .expect("its first line");
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .expect("its address")
            .to_owned();
        Self { child, url }
    }
}

/// The server under test, with a data directory of its own.
pub(crate) struct Komandorr {
    running: Running,
    pub(crate) directory: tempfile::TempDir,
}

impl Komandorr {
    /// Connected to `plex`, and to nothing outside of this machine.
    pub(crate) fn start(plex: &Simulator) -> Self {
        Self::start_with(plex, &[])
    }

    /// With further variables in its environment.
    pub(crate) fn start_with(plex: &Simulator, variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self::start_in(directory, plex, variables)
    }

    /// Ended, and started again with the same data.
    pub(crate) fn again(self, plex: &Simulator, variables: &[(&str, &str)]) -> Self {
        let Self { running, directory } = self;
        drop(running);
        Self::start_in(directory, plex, variables)
    }

    fn start_in(
        directory: tempfile::TempDir,
        plex: &Simulator,
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_komandorr"));
        command
            .env_clear()
            .current_dir(directory.path())
            .envs([
                ("HOST", "127.0.0.1"),
                ("PORT", "0"),
                ("LOG_LEVEL", "WARNING"),
            ])
            .envs([
                ("PLEX_SERVER_URL", plex.url().as_str()),
                ("PLEX_TV_URL", plex.url().as_str()),
                ("PLEX_CLIENTS_URL", plex.url().as_str()),
                ("PLEX_SERVER_TOKEN", plex.token()),
            ])
            .envs(variables.iter().copied())
            .stderr(Stdio::null());
        Self {
            running: Running::start(&mut command),
            directory,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.running.url
    }

    /// Seconds that it has kept processors busy, in steps of 10 ms.
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    pub(crate) fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.running.child.id()));
        let stat = stat.expect("a Linux system");
        // proc(5): behind the name, which may hold blanks, the 12th and 13th field.
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|n| n.parse::<u64>().expect("a number")).sum();
        ticks as f64 / 100.0
    }

    /// Resident memory in MiB.
    pub(crate) fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running.child.id()));
        let status = status.expect("a Linux system");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line
            .and_then(|l| l.trim().strip_suffix(" kB"))
            .expect("VmRSS")
            .parse()
            .expect("a number");
        kib / 1024.0
    }
}

//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::settings::{Overrides, variables};

/// Backend of Komandorr: a self-hosted dashboard for people who run a Plex server.
#[derive(Debug, Parser)]
#[command(name = "komandorr", version, after_long_help = variables::help_text())]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without a command: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The options of `serve`.
    #[command(flatten)]
    pub serve: Listen,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server (the default)
    Serve(Listen),
    /// Run the server on made-up data with a simulated Plex server
    Demo(Listen),
    /// Ask a running server whether it is alive: exit code 0 or 1
    Healthcheck(Listen),
    /// Show the settings in force and where each comes from, and ask Plex: exit code 0 or 1
    Check(Listen),
    /// Copy the database while the server runs or not, and verify the copy
    Backup(Backup),
    /// Change the password of the log-in; a server that runs notices
    Passwd(Passwd),
    /// Print every environment variable with its default, as in .env.example
    EnvExample,
}

/// Where to listen and where the files are.
#[derive(Args, Clone, Debug, Default)]
pub struct Listen {
    /// Address or name to listen on
    #[arg(long)]
    pub host: Option<String>,
    /// Port to listen on; 0 = any free one
    #[arg(long)]
    pub port: Option<u16>,
    /// Directory of config.json, database and icons
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Directory of the built frontend
    #[arg(long, value_name = "DIR")]
    pub frontend_dir: Option<PathBuf>,
}

/// What to copy, and where to.
#[derive(Args, Clone, Debug)]
pub struct Backup {
    /// The copy; must not exist yet
    pub file: PathBuf,
    /// Directory of the database
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// How to store a new password, and where.
#[derive(Args, Clone, Debug)]
pub struct Passwd {
    /// In clear, as version 3.3.0 needs it, instead of as a hash
    #[arg(long)]
    pub plaintext: bool,
    /// Directory of config.json
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl From<Listen> for Overrides {
    fn from(listen: Listen) -> Self {
        let Listen {
            host,
            port,
            data_dir,
            frontend_dir,
        } = listen;
        Self {
            host,
            port,
            data_dir,
            frontend_dir,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_lists_every_variable_with_its_default() {
        let help = Cli::command().render_long_help().to_string();
        for variable in variables::GROUPS.iter().flat_map(|group| group.variables) {
            let begins = format!("  {} ", variable.name);
            let line = help.lines().find(|line| line.starts_with(&begins)).unwrap();
            let default = Some(variable.default)
                .filter(|d| !d.is_empty())
                .unwrap_or("unset");
            assert!(
                line.ends_with(&format!("{} [{default}]", variable.meaning)),
                "{line}"
            );
        }
    }

    #[test]
    fn options_work_with_and_without_the_command() {
        let port = |line: &str| {
            let cli = Cli::parse_from(line.split(' '));
            match cli.command {
                Some(Command::Serve(listen)) => listen.port,
                _ => cli.serve.port,
            }
        };
        assert_eq!(port("komandorr --port 1"), Some(1));
        assert_eq!(port("komandorr serve --port 2"), Some(2));
        assert_eq!(port("komandorr"), None);
    }
}

//! Who may use this server: passwords, log-ins that are remembered, and failed ones.

/// What is remembered of log-ins.
#[derive(Debug, Default)]
pub struct Access {}

//! `komandorr healthcheck`: asks a running server `GET /healthz`, for Docker.
//!
//! It must work while the server is in trouble, so it opens neither database nor log and needs
//! no async runtime and no TLS: a socket and one line are enough.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::instance;
use crate::settings::{Environment, Overrides, Place, SettingsError};

/// For each of connecting, writing and reading; together below the 5 s of our Dockerfile.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// Why a server does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// It can't be told where the server should be.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// It does not answer, or not with 200.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Ok when the server that uses these settings answers. `config.json` is not read: a broken one
/// does not make a running server ill.
///
/// # Errors
/// It does not answer, or not with 200.
pub fn run(env: &Environment, overrides: &Overrides) -> Result<(), Unhealthy> {
    let address = address(
        &Place::of(env, overrides)?,
        overrides.port.is_some() || overrides.host.is_some(),
    )?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(1024).read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(io::Error::other(format!("{address} answers, but not with 200")).into())
}

/// The server may have been given its port on its command line, which is not ours: it notes in
/// the data directory where it listens. Options of this command win.
fn address(place: &Place, given: bool) -> io::Result<SocketAddr> {
    let noted = instance::address_of_holder(&place.data_dir).filter(|_| !given);
    let address = match noted {
        Some(address) => address,
        None => (place.host.as_str(), place.port)
            .to_socket_addrs()?
            .next()
            .ok_or(io::ErrorKind::AddrNotAvailable)?,
    };
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, address.port()))
}

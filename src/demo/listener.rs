//! The door of the simulator: accepts connections, and can be shut and opened again.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

const BACKLOG: u32 = 1024;
/// A real server closes connections that were idle this long.
const IDLE: Duration = Duration::from_secs(20);
/// How long opening again may wait for the port, and how often it tries.
const OPEN_WITHIN: Duration = Duration::from_secs(2);
const OPEN_EVERY: Duration = Duration::from_millis(20);

/// A listening address that outlives its listener.
pub(super) struct Door {
    address: SocketAddr,
    router: Router,
    stop: CancellationToken,
    /// Dropping the door ends everything behind it.
    _stop_on_drop: DropGuard,
    /// An async lock: opening and shutting take turns, and both have to wait in between.
    state: Mutex<State>,
}

enum State {
    Open {
        epoch: CancellationToken,
        tasks: TaskTracker,
    },
    /// The socket is bound but does not listen: connections are refused, yet the port stays ours.
    Shut(Option<TcpSocket>),
}

impl Door {
    /// Opens on a free loopback port.
    pub(super) async fn open(router: Router) -> io::Result<Self> {
        let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = socket.local_addr()?;
        let stop = CancellationToken::new();
        let door = Self {
            address,
            router,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
            state: Mutex::new(State::Shut(Some(socket))),
        };
        door.accept().await?;
        Ok(door)
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and every connection. Does nothing if shut already.
    pub(super) async fn refuse(&self) {
        let mut state = self.state.lock().await;
        let State::Open { epoch, tasks } = &*state else {
            return;
        };
        epoch.cancel();
        tasks.close();
        tasks.wait().await;
        // Without the reservation another test could be given the port meanwhile.
        *state = State::Shut(bind(self.address).ok());
    }

    /// Listens on the same port again. Does nothing if open already.
    pub(super) async fn accept(&self) -> io::Result<()> {
        let mut state = self.state.lock().await;
        let State::Shut(reserved) = &mut *state else {
            return Ok(());
        };
        let listener = match reserved.take().map(|socket| socket.listen(BACKLOG)) {
            Some(Ok(listener)) => listener,
            _ => listen_again(self.address).await?,
        };
        let epoch = self.stop.child_token();
        let tasks = TaskTracker::new();
        tasks.spawn(serve(
            listener,
            self.router.clone(),
            epoch.clone(),
            tasks.clone(),
        ));
        *state = State::Open { epoch, tasks };
        drop(state);
        Ok(())
    }
}

/// Bound, not yet listening.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections of the epoch before may linger in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn listen_again(address: SocketAddr) -> io::Result<TcpListener> {
    let deadline = tokio::time::Instant::now() + OPEN_WITHIN;
    loop {
        match bind(address).and_then(|socket| socket.listen(BACKLOG)) {
            Err(_) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(OPEN_EVERY).await;
            }
            result => return result,
        }
    }
}

async fn serve(
    listener: TcpListener,
    router: Router,
    epoch: CancellationToken,
    tasks: TaskTracker,
) {
    while let Some(accepted) = epoch.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let (router, epoch) = (router.clone(), epoch.clone());
                tasks.spawn(async move {
                    // Cancelling drops the connection, and with it the requests being served.
                    epoch.run_until_cancelled(converse(stream, router)).await;
                });
            }
            // Out of file descriptors, most likely: wait for some to be closed.
            Err(_) => tokio::time::sleep(OPEN_EVERY).await,
        }
    }
}

async fn converse(stream: TcpStream, router: Router) {
    // Small answers must not wait for the client's acknowledgement of the one before.
    let delayed = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        // Also counts while waiting for the next request.
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    // A client that goes away, or `Fault::Cut`: both are what the simulator is for.
    drop((delayed, served));
}

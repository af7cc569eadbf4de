//! Ports that nobody else gets.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// A port of 127.0.0.1 that is ours while this lives, whether somebody listens there or not.
///
/// A socket that is bound and never listens keeps the port from being handed out again. As it
/// allows the reuse of its address, and Redis does so too, Redis can listen there all the same;
/// while nobody does, connections are refused.
pub(super) struct Port {
    number: u16,
    _held: TcpSocket,
}

impl Port {
    pub(super) fn free() -> Self {
        let held = bound(0);
        Self {
            number: held.local_addr().unwrap().port(),
            _held: held,
        }
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    pub(super) fn listen(&self) -> TcpListener {
        bound(self.number).listen(128).unwrap()
    }
}

fn bound(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket
        .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .unwrap();
    socket
}

//! A proxy between a server and its Redis, which is as bad as a test wants it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::port::Port;
use super::{Reachable, Redis};

/// A way to a Redis that delays every answer, and whose connections can be cut. Connections that
/// subscribe to a channel can be treated apart; under TLS they are not recognised.
pub(crate) struct Slow {
    port: Port,
    env: Vec<(String, String)>,
    inner: Arc<Inner>,
    /// Accepts connections, unless they are refused.
    accepting: Option<JoinHandle<()>>,
}

struct Inner {
    upstream: SocketAddr,
    /// By how much answers are late, and by how much messages to subscribers.
    delays: watch::Sender<Delays>,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
struct Delays {
    answers: Duration,
    subscribers: Duration,
}

#[derive(Default)]
struct State {
    accepted: usize,
    open: Vec<Connection>,
    refuses_subscribers: bool,
}

struct Connection {
    number: usize,
    subscribes: bool,
    task: JoinHandle<()>,
}

impl Slow {
    /// Lets everything pass, each answer later by `delay`.
    pub(crate) fn in_front_of(redis: &Redis, delay: Duration) -> Self {
        let port = Port::free();
        let mut env = redis.env();
        for (name, value) in &mut env {
            if name == "REDIS_PORT" {
                *value = port.number().to_string();
            }
        }
        let delays = Delays {
            answers: delay,
            subscribers: delay,
        };
        let inner = Arc::new(Inner {
            upstream: SocketAddr::from((Ipv4Addr::LOCALHOST, redis.port())),
            delays: watch::Sender::new(delays),
            state: Mutex::default(),
        });
        let mut slow = Self {
            port,
            env,
            inner,
            accepting: None,
        };
        slow.admit();
        slow
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// Changes the delay of all answers, also of those under way.
    pub(crate) fn delay(&self, delay: Duration) {
        self.inner.delays.send_replace(Delays {
            answers: delay,
            subscribers: delay,
        });
    }

    /// Changes the delay of what goes to subscribers only.
    pub(crate) fn delay_subscribers(&self, delay: Duration) {
        let delays = &self.inner.delays;
        delays.send_modify(|delays| delays.subscribers = delay);
    }

    /// Closes all connections; new ones are welcome.
    pub(crate) async fn cut(&self) {
        self.close(|_| true).await;
    }

    /// Closes the connections that have subscribed to a channel; new ones are welcome.
    pub(crate) async fn cut_subscribers(&self) {
        self.close(|connection| connection.subscribes).await;
    }

    /// Closes the connections that have subscribed, and from now on those that try to.
    pub(crate) async fn refuse_subscribers(&self) {
        self.inner.state().refuses_subscribers = true;
        self.cut_subscribers().await;
    }

    /// Closes all connections and refuses new ones, as if nobody were there.
    pub(crate) async fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
        self.cut().await;
    }

    /// Lets everybody pass again, after `refuse` or `refuse_subscribers`.
    pub(crate) fn admit(&mut self) {
        self.inner.state().refuses_subscribers = false;
        if self.accepting.is_none() {
            let accept = Arc::clone(&self.inner).accept(self.port.listen());
            self.accepting = Some(tokio::spawn(accept));
        }
    }

    /// How many connections have ever been accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.inner.state().accepted
    }

    /// How many connections there are now.
    pub(crate) fn open(&self) -> usize {
        self.inner.state().open.len()
    }

    /// How many of those there are now have subscribed to a channel.
    pub(crate) fn subscribers(&self) -> usize {
        let state = self.inner.state();
        state.open.iter().filter(|one| one.subscribes).count()
    }

    async fn close(&self, which: impl Fn(&Connection) -> bool) {
        let mut closed = Vec::new();
        for connection in self.inner.state().open.extract_if(.., |one| which(one)) {
            connection.task.abort();
            closed.push(connection.task);
        }
        for task in closed {
            let _ = task.await;
        }
    }
}

impl Reachable for Slow {
    fn env(&self) -> Vec<(String, String)> {
        self.env.clone()
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        let connections = std::mem::take(&mut self.inner.state().open);
        let tasks = connections.into_iter().map(|one| one.task);
        tasks
            .chain(self.accepting.take())
            .for_each(|task| task.abort());
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        while let Ok((client, _)) = listener.accept().await {
            let mut state = self.state();
            let number = state.accepted;
            let inner = Arc::clone(&self);
            let task = tokio::spawn(async move {
                inner.serve(client, number).await;
                inner.state().open.retain(|one| one.number != number);
            });
            state.accepted += 1;
            state.open.push(Connection {
                number,
                subscribes: false,
                task,
            });
        }
    }

    /// Carries bytes to and fro until one side or a test has enough.
    async fn serve(&self, mut client: TcpStream, number: usize) {
        let Ok(mut server) = TcpStream::connect(self.upstream).await else {
            return;
        };
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            () = self.questions(from_client, to_server, number) => {}
            () = self.answers(from_server, to_client, number) => {}
        }
    }

    async fn questions(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, number: usize) {
        const WORD: &[u8] = b"SUBSCRIBE\r\n";
        let mut bytes = Vec::new();
        let mut seen = 0;
        while let Ok(1..) = from.read_buf(&mut bytes).await {
            let words = bytes.to_ascii_uppercase();
            if words.windows(WORD.len()).any(|word| word == WORD) && !self.subscribe(number) {
                return;
            }
            if to.write_all(&bytes[seen..]).await.is_err() {
                return;
            }
            // The word may have come by half.
            bytes.drain(..bytes.len().saturating_sub(WORD.len() - 1));
            seen = bytes.len();
        }
    }

    /// Notes that this connection subscribes; says whether it may.
    fn subscribe(&self, number: usize) -> bool {
        let mut state = self.state();
        for connection in &mut state.open {
            connection.subscribes |= connection.number == number;
        }
        !state.refuses_subscribers
    }

    fn subscribes(&self, number: usize) -> bool {
        let state = self.state();
        state
            .open
            .iter()
            .any(|one| one.number == number && one.subscribes)
    }

    /// Each part is late by the delay, however many are under way.
    async fn answers(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, number: usize) {
        let (arrived, mut parts) = mpsc::unbounded_channel();
        let reading = async move {
            let mut bytes = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = from.read(&mut bytes).await {
                let _ = arrived.send((Instant::now(), bytes[..length].to_vec()));
            }
        };
        let writing = async {
            while let Some((arrived, bytes)) = parts.recv().await {
                self.due(arrived, number).await;
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(reading, writing);
    }

    /// Waits until what has arrived then may go on.
    async fn due(&self, arrived: Instant, number: usize) {
        let mut delays = self.delays.subscribe();
        loop {
            let Delays {
                answers,
                subscribers,
            } = *delays.borrow_and_update();
            let subscribes = self.subscribes(number);
            let delay = if subscribes { subscribers } else { answers };
            tokio::select! {
                () = tokio::time::sleep_until(arrived + delay) => return,
                _ = delays.changed() => {}
            }
        }
    }
}

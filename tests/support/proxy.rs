//! A database that can be taken away: a relay in front of the server that counts, cuts and swallows.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use brune::database::{Pool, Topology};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::TestDb;

/// Stands between an instance and its database. Dropped, it cuts everything that goes through it.
pub(crate) struct Proxy {
    address: SocketAddr,
    upstream: PgConnectOptions,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    /// Cancelled when the database goes away.
    up: watch::Sender<CancellationToken>,
}

#[derive(Default)]
struct Shared {
    round_trips: AtomicUsize,
    /// Whether `LISTEN` is held up, and whether one is.
    hold: watch::Sender<bool>,
    holds: AtomicBool,
    without_notifications: AtomicBool,
    lose_answer: AtomicBool,
    silent: AtomicBool,
}

impl Proxy {
    /// In front of `db`.
    pub(crate) async fn before(db: &TestDb) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let up = CancellationToken::new();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            upstream: db.options(),
            shared: Arc::default(),
            tasks: TaskTracker::new(),
            up: watch::Sender::new(up.clone()),
        };
        proxy.accept(listener, up);
        proxy
    }

    /// A pool like the service's own, through here.
    pub(crate) async fn pool(&self, size: u32) -> Pool {
        let upstream = &self.upstream;
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.address.port())
            .username(upstream.get_username())
            .password("")
            .database(upstream.get_database().unwrap())
            .ssl_mode(sqlx::postgres::PgSslMode::Disable);
        Pool::open(options, Topology::Direct, size).await.unwrap()
    }

    /// How often a client has waited for the server to finish what it asked.
    pub(crate) fn round_trips(&self) -> usize {
        self.shared.round_trips.load(Ordering::SeqCst)
    }

    /// From now on no notification passes, as through a pooler in transaction mode.
    pub(crate) fn swallow_notifications(&self) {
        self.shared.without_notifications.store(true, Ordering::SeqCst);
    }

    /// From now on notifications pass again.
    pub(crate) fn pass_notifications(&self) {
        self.shared.without_notifications.store(false, Ordering::SeqCst);
    }

    /// The next statement is carried out, and its connection breaks before anybody is told.
    pub(crate) fn lose_an_answer(&self) {
        self.shared.lose_answer.store(true, Ordering::SeqCst);
    }

    /// Whether that has not happened yet.
    pub(crate) fn is_to_lose(&self) -> bool {
        self.shared.lose_answer.load(Ordering::SeqCst)
    }

    /// From now on a `LISTEN` waits until [`Self::let_listen`].
    pub(crate) fn hold_listening(&self) {
        self.shared.hold.send_replace(true);
    }

    /// Whether a `LISTEN` waits.
    pub(crate) fn holds(&self) -> bool {
        self.shared.holds.load(Ordering::SeqCst)
    }

    /// Lets those pass that wait.
    pub(crate) fn let_listen(&self) {
        self.shared.hold.send_replace(false);
    }

    /// Connections that are open now stay open, and nothing passes any more: packets are dropped.
    pub(crate) fn fall_silent(&self) {
        self.shared.silent.store(true, Ordering::SeqCst);
    }

    /// Connections are made again; those that fell silent stay so.
    pub(crate) fn speak_again(&self) {
        self.shared.silent.store(false, Ordering::SeqCst);
    }

    /// The database is gone: connections break, and new ones are refused.
    pub(crate) async fn take_away(&self) {
        self.up.borrow().cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    /// The database is back, where it was.
    pub(crate) async fn bring_back(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let up = CancellationToken::new();
        self.up.send_replace(up.clone());
        self.accept(listener, up);
    }

    fn accept(&self, listener: TcpListener, up: CancellationToken) {
        let upstream = self.upstream.clone();
        let shared = Arc::clone(&self.shared);
        let tasks = self.tasks.clone();
        self.tasks.spawn(async move {
            while let Some(Ok((client, _))) = up.run_until_cancelled(listener.accept()).await {
                let relay = relay(client, upstream.clone(), Arc::clone(&shared));
                let up = up.clone();
                tasks.spawn(async move { up.run_until_cancelled_owned(relay).await });
            }
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.up.borrow().cancel();
    }
}

async fn relay(client: TcpStream, upstream: PgConnectOptions, shared: Arc<Shared>) {
    client.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let port = upstream.get_port();
    let asked = |kind: u8| matches!(kind, b'S' | b'Q');
    let count = Arc::clone(&shared);
    let swallow = Arc::clone(&shared);
    let up = move |kind: u8| {
        count.round_trips.fetch_add(usize::from(asked(kind)), Ordering::SeqCst);
        true
    };
    let down =
        move |kind: u8| kind != b'A' || !swallow.without_notifications.load(Ordering::SeqCst);
    // Whichever side ends, the other one goes with it.
    if let Some(socket) = upstream.get_socket() {
        let server = UnixStream::connect(socket.join(format!(".s.PGSQL.{port}"))).await.unwrap();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            _ = pass(from_client, to_server, true, &shared, up) => (),
            _ = pass(from_server, to_client, false, &shared, down) => (),
        }
    } else {
        let server = TcpStream::connect((upstream.get_host(), port)).await.unwrap();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            _ = pass(from_client, to_server, true, &shared, up) => (),
            _ = pass(from_server, to_client, false, &shared, down) => (),
        }
    }
}

/// Passes message by message what `lets` lets pass. A client's first has no type: it asks for a session.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    opens: bool,
    shared: &Shared,
    lets: impl Fn(u8) -> bool,
) -> io::Result<()> {
    if opens {
        let length = from.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        from.read_exact(&mut body).await?;
        to.write_u32(length).await?;
        to.write_all(&body).await?;
    }
    let mut is_done = false;
    loop {
        let kind = from.read_u8().await?;
        let length = from.read_u32().await?;
        let mut message = vec![0; length as usize + 1];
        message[0] = kind;
        message[1..5].copy_from_slice(&length.to_be_bytes());
        from.read_exact(&mut message[5..]).await?;
        if shared.silent.load(Ordering::SeqCst) {
            // For ever: the other side is not told that this one is gone.
            return std::future::pending().await;
        }
        // A statement is complete at `C`, and committed at the `Z` that follows.
        if !opens && kind == b'Z' && is_done && shared.lose_answer.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        is_done = kind == b'C' || is_done && kind != b'Z';
        if *shared.hold.borrow() && message.windows(6).any(|part| part == b"LISTEN") {
            shared.holds.store(true, Ordering::SeqCst);
            let _ = shared.hold.subscribe().wait_for(|hold| !hold).await;
        }
        if lets(kind) {
            to.write_all(&message).await?;
        }
    }
}

//! A Redis of a test's own, on a port of its own.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use brune::config::Secret;
use tokio::net::TcpStream;

use super::{programs::need, wait::wait_until};

/// A server that runs until it is killed; gone with the test.
pub(crate) struct Redis {
    port: u16,
    server: Option<Child>,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        need("command -v redis-server");
        // Free a moment ago; another program may be quicker, and the test then says so.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut redis = Self { port, server: None };
        redis.again().await;
        redis
    }

    /// Its address; there need not be a server.
    pub(crate) fn url(&self) -> Secret {
        Secret::new(format!("redis://127.0.0.1:{}", self.port))
    }

    /// Starts it where it was.
    pub(crate) async fn again(&mut self) {
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]);
        let command = command.current_dir(std::env::temp_dir()).stdin(Stdio::null());
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.server = Some(server.unwrap());
        let port = self.port;
        wait_until("Redis answers", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok())
            .await;
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

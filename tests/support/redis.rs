//! A Redis of a test's own, on a port of its own.

use std::process::{Child, Command, Stdio};

use brune::config::Secret;
use tokio::net::TcpStream;

use super::{port::Port, programs::need, wait::wait_until};

/// A server that runs until it is killed; gone with the test.
pub(crate) struct Redis {
    port: Port,
    server: Option<Child>,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        need("command -v redis-server");
        let mut redis = Self { port: Port::reserve(), server: None };
        redis.again().await;
        redis
    }

    /// Its address; there need not be a server.
    pub(crate) fn url(&self) -> Secret {
        Secret::new(format!("redis://{}", self.port.address()))
    }

    /// Starts it where it was.
    pub(crate) async fn again(&mut self) {
        let port = self.port.number().to_string();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]);
        let command = command.current_dir(std::env::temp_dir()).stdin(Stdio::null());
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.server = Some(server.unwrap());
        let address = self.port.address();
        wait_until("Redis answers", async || TcpStream::connect(&address).await.is_ok()).await;
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

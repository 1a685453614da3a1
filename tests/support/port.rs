//! Ports for programs that have to know their port before they listen.

use std::{
    fs::{self, File},
    net::TcpListener,
    ops::Range,
};

use rand::RngExt as _;

/// Below the ports that Linux gives to outgoing connections and to listeners on port 0 (32768 to 60999 by default).
const PORTS: Range<u16> = 20_000..32_000;

/// A port that belongs to one test until the test ends.
///
/// A port that the operating system calls free is not reserved: before the program listens, and between two starts of
/// the program, a connection of any other test may take the port.
pub(crate) struct Port {
    number: u16,
    /// Locked for as long as the port is reserved; the lock ends with the process.
    _reservation: File,
}

impl Port {
    /// Reserves a port on which no program listens.
    pub(crate) fn reserve() -> Self {
        let user = rustix::process::geteuid().as_raw();
        let dir = std::env::temp_dir().join(format!("brune-test-ports-{user}"));
        fs::create_dir_all(&dir).unwrap();
        // A random first port, because most ports are free and each attempt opens a file.
        let first = rand::rng().random_range(PORTS);
        let reserve = |number: u16| {
            let reservation = File::create(dir.join(number.to_string())).unwrap();
            reservation.try_lock().ok()?;
            // Another program of the machine may listen there.
            TcpListener::bind(("127.0.0.1", number)).ok()?;
            Some(Self { number, _reservation: reservation })
        };
        (first..PORTS.end).chain(PORTS.start..first).find_map(reserve).unwrap()
    }

    pub(crate) const fn number(&self) -> u16 {
        self.number
    }

    /// Returns the address on the loopback interface.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}

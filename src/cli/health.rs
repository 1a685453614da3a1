//! `brune health`: a readiness probe for container images, which have no other HTTP client.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use url::Url;

use crate::{
    cli::output::print,
    config::{
        Config, Environment,
        address::{self, AddressError},
    },
};

/// The timeout of each step. Container engines end a probe after 30 seconds.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The most bytes of a response; `/readyz` sends fewer than a hundred.
const MAX_RESPONSE_BYTES: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The http address to request [default: /readyz?verbose at BRUNE_LISTEN]
    #[arg(long)]
    url: Option<String>,
}

pub(super) fn run(environment: &Environment, arguments: &Arguments) -> Result<ExitCode, String> {
    let url = match arguments.url.as_deref().map(parse_url) {
        None => local_url(environment)?,
        Some(Ok(url)) => url,
        Some(Err(error)) => {
            // clap would repeat the address, which may hold a password.
            let _ = writeln!(io::stderr(), "brune: --url: {error}");
            return Ok(ExitCode::from(2));
        }
    };
    let (is_ready, body) = probe(&url)?;
    // Also on failure: container engines keep the output of a probe for diagnosis.
    print(&body);
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Parses an `http` address.
fn parse_url(text: &str) -> Result<Url, AddressError> {
    let url = address::web(text)?;
    let error = |problem| {
        Err(AddressError {
            problem,
            fix: "write an address such as `http://127.0.0.1:8080/readyz`",
        })
    };
    // The service itself speaks no TLS, so a probe without TLS suffices.
    if url.scheme() != "http" {
        return error("must begin with http://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return error("must not have a user or a password");
    }
    Ok(url)
}

/// Requests `url`. Returns whether the status is 200, and the body.
fn probe(url: &Url) -> Result<(bool, String), String> {
    let response = get(url).map_err(|err| format!("{url} does not answer: {err}"))?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    // A redirect or another 2xx is no answer of a readiness route.
    let is_ready = head.split_whitespace().nth(1) == Some("200");
    Ok((is_ready, body.trim_end().to_owned()))
}

/// Returns the address of the service that this environment configures.
fn local_url(environment: &Environment) -> Result<Url, String> {
    let mut address = Config::listen_address(environment).map_err(|errors| errors.to_string())?;
    // Only the running service knows the port that the system chose.
    if address.port() == 0 {
        return Err("BRUNE_LISTEN has port 0; set the address with --url".to_owned());
    }
    // The unspecified address is for listening only; a client needs a single address.
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => (),
    }
    Url::parse(&format!("http://{address}/readyz?verbose")).map_err(|err| err.to_string())
}

fn get(url: &Url) -> io::Result<String> {
    if url.scheme() != "http" {
        return Err(io::Error::other("only http is supported"));
    }
    let mut stream = connect(&url.socket_addrs(|| None)?)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // The host header has the port as well.
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    // `Connection: close` makes the server end the stream, so reading to the end terminates.
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut response = Vec::new();
    // Bounded, because a mistyped address may belong to an endless stream.
    stream.take(MAX_RESPONSE_BYTES).read_to_end(&mut response)?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}

/// Connects to the first of `addresses` that accepts.
fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut error = io::Error::other("the name has no address");
    for address in addresses {
        // `localhost` may resolve to `::1` first while the service listens on 127.0.0.1 only.
        match TcpStream::connect_timeout(address, TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(err) => error = err,
        }
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use socket2::{Domain, Socket, Type};

    use super::*;

    /// Serves one connection with `response`. Returns the address, and the request once served.
    fn server(response: &'static str) -> (Url, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/readyz?verbose", listener.local_addr().unwrap());
        let request = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            stream.write_all(response.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (Url::parse(&url).unwrap(), request)
    }

    #[test]
    fn only_status_200_is_ready() {
        for (response, expected) in [
            ("HTTP/1.1 200 OK\r\nx: y\r\n\r\nok\n", (true, "ok")),
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\n[-]database failed\nnot ready\n",
                (false, "[-]database failed\nnot ready"),
            ),
            ("HTTP/1.1 302 Found\r\nlocation: /200 200\r\n\r\n", (false, "")),
            ("something else", (false, "")),
            ("", (false, "")),
        ] {
            let (url, request) = server(response);
            let (is_ready, body) = probe(&url).unwrap();
            assert_eq!((is_ready, body.as_str()), expected, "{response}");
            let request = request.join().unwrap();
            let host = format!("\r\nHost: 127.0.0.1:{}\r\n", url.port().unwrap());
            assert!(
                request.starts_with("GET /readyz?verbose HTTP/1.1\r\n") && request.contains(&host),
                "{request}"
            );
        }
    }

    #[test]
    fn an_error_names_the_address() {
        // Bound and not listening: nobody else gets the port, and a connection is refused.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let closed_url = format!("http://{address}/");
        for url in [closed_url.as_str(), "https://127.0.0.1/"] {
            let error = probe(&Url::parse(url).unwrap()).unwrap_err();
            assert!(error.starts_with(&format!("{url} does not answer: ")), "{error}");
        }
    }
}

//! `brune health`: a probe for container engines, whose images hold no other client.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use url::Url;

use crate::{
    cli::output::say,
    config::{
        Config, Environment,
        address::{self, AddressError},
    },
};

/// How long each step may take; engines give up on a probe after 30 seconds at the latest.
const LIMIT: Duration = Duration::from_secs(3);

/// Bytes of an answer that are read; that of `/readyz` has fewer than a hundred.
const ANSWER: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to ask, over http [default: /readyz?verbose at BRUNE_LISTEN]
    #[arg(long)]
    url: Option<String>,
}

pub(super) fn run(environment: &Environment, arguments: &Arguments) -> Result<ExitCode, String> {
    let url = match arguments.url.as_deref().map(target) {
        None => own(environment)?,
        Some(Ok(url)) => url,
        Some(Err(rule)) => {
            // Not by clap, which would repeat what was given.
            let _ = writeln!(io::stderr(), "brune: --url: {rule}");
            return Ok(ExitCode::from(2));
        }
    };
    let (well, told) = probe(&url)?;
    say(&told);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads what to ask. Only http is spoken here.
fn target(text: &str) -> Result<Url, AddressError> {
    let url = address::web(text)?;
    let error = |problem| {
        Err(AddressError { problem, fix: "write it such as `http://127.0.0.1:8080/readyz`" })
    };
    if url.scheme() != "http" {
        return error("must begin with http://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return error("must not have a user or a password");
    }
    Ok(url)
}

/// Whether `url` answers with a 200, and what it says.
fn probe(url: &Url) -> Result<(bool, String), String> {
    let answer = ask(url).map_err(|err| format!("{url} does not answer: {err}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let well = head.split_whitespace().nth(1) == Some("200");
    Ok((well, body.trim_end().to_owned()))
}

/// Where the service of this environment answers.
fn own(environment: &Environment) -> Result<Url, String> {
    let mut address = Config::listen_address(environment).map_err(|faults| faults.to_string())?;
    if address.port() == 0 {
        return Err("BRUNE_LISTEN leaves the port open: name what to ask with --url".to_owned());
    }
    // "Every address" is for listening; what is asked is one.
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => (),
    }
    Url::parse(&format!("http://{address}/readyz?verbose")).map_err(|err| err.to_string())
}

fn ask(url: &Url) -> io::Result<String> {
    if url.scheme() != "http" {
        return Err(io::Error::other("only http is spoken here"));
    }
    let mut stream = connect(&url.socket_addrs(|| None)?)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// To the first of `addresses` that takes a connection.
fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut fault = io::Error::other("its name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(address, LIMIT) {
            Ok(stream) => return Ok(stream),
            Err(err) => fault = err,
        }
    }
    Err(fault)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one connection with `answer`; returns where, and what it will have been asked.
    fn server(answer: &'static str) -> (Url, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/readyz?verbose", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        });
        (Url::parse(&url).unwrap(), asked)
    }

    #[test]
    fn only_a_200_is_well() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nx: y\r\n\r\nok\n", (true, "ok")),
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\n[-]database failed\nnot ready\n",
                (false, "[-]database failed\nnot ready"),
            ),
            ("HTTP/1.1 302 Found\r\nlocation: /200 200\r\n\r\n", (false, "")),
            ("something else", (false, "")),
            ("", (false, "")),
        ] {
            let (url, asked) = server(answer);
            let (well, told) = probe(&url).unwrap();
            assert_eq!((well, told.as_str()), expected, "{answer}");
            let asked = asked.join().unwrap();
            let host = format!("\r\nHost: 127.0.0.1:{}\r\n", url.port().unwrap());
            assert!(
                asked.starts_with("GET /readyz?verbose HTTP/1.1\r\n") && asked.contains(&host),
                "{asked}"
            );
        }
    }

    #[test]
    fn what_does_not_answer_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        for url in [closed.as_str(), "https://127.0.0.1/"] {
            let fault = probe(&Url::parse(url).unwrap()).unwrap_err();
            assert!(fault.starts_with(&format!("{url} does not answer: ")), "{fault}");
        }
    }
}

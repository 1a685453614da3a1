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
    cli::say,
    config::{Config, Environment},
};

/// How long each step may take; engines give up on a probe after 30 seconds at the latest.
const LIMIT: Duration = Duration::from_secs(3);

/// Bytes of an answer that are read; that of `/readyz` has fewer than a hundred.
const ANSWER: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to ask, over http [default: /readyz?verbose at BRUNE_LISTEN]
    #[arg(long)]
    url: Option<Url>,
}

pub(super) fn run(environment: &Environment, arguments: &Arguments) -> Result<ExitCode, String> {
    let url = match &arguments.url {
        Some(url) => url.clone(),
        None => own(environment)?,
    };
    let answer = ask(&url).map_err(|err| format!("{url} does not answer: {err}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    say(body.trim_end());
    let well = head.split_whitespace().nth(1) == Some("200");
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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

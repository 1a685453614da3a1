//! What may stand between the program and the service.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

/// Answers whatever is asked with `answer`, and returns where.
pub(crate) fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(answer.as_bytes());
        }
    });
    address
}

/// Passes everything on to `service`, but calls `first` before the first request that begins with `method`.
pub(crate) fn before(
    service: &str,
    method: &'static str,
    first: impl FnOnce() + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = service.to_owned();
    thread::spawn(move || {
        let mut first = Some(first);
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut upstream = TcpStream::connect(&service).unwrap();
            let mut from = upstream.try_clone().unwrap();
            let mut to = client.try_clone().unwrap();
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            let mut buffer = [0; 16_384];
            while let Ok(length @ 1..) = client.read(&mut buffer) {
                if buffer.starts_with(method.as_bytes())
                    && let Some(first) = first.take()
                {
                    first();
                }
                upstream.write_all(&buffer[..length]).unwrap();
            }
        }
    });
    address
}

/// Passes requests on to `service` without `prefix`, which their path begins with; one for each connection.
pub(crate) fn stripping(service: &str, prefix: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = service.to_owned();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut buffer = [0; 16_384];
            let length = client.read(&mut buffer).unwrap();
            let request = String::from_utf8(buffer[..length].to_vec()).unwrap();
            assert!(request.contains(&format!(" {prefix}/")), "{request}");
            let request = request.replacen(&format!(" {prefix}/"), " /", 1);
            let mut upstream = TcpStream::connect(&service).unwrap();
            let request = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
            upstream.write_all(request.as_bytes()).unwrap();
            std::io::copy(&mut upstream, &mut client).unwrap();
        }
    });
    address
}

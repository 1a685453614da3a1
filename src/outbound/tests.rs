use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn client(address_policy: AddressPolicy) -> Outbound {
    let limits = CallLimits {
        connect_timeout: SECOND,
        total_timeout: Duration::from_millis(500),
        max_body_bytes: 100,
        address_policy,
    };
    Outbound::new(limits).unwrap()
}

/// Starts a server that responds to one request with `response`, or stays silent if empty.
async fn responding(response: String) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hunter2?token=hunter2", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await.unwrap();
        stream.write_all(response.as_bytes()).await.unwrap();
        if response.is_empty() {
            // Closing the connection would end the silence.
            let _ = stream.read(&mut request).await;
        }
    });
    url.parse().unwrap()
}

async fn call(policy: AddressPolicy, url: Url) -> Result<OutboundResponse, OutboundError> {
    let client = client(policy);
    client.send(client.request(Method::GET, url)).await
}

async fn error(response: &str) -> OutboundError {
    let url = responding(response.to_owned()).await;
    let error = call(AddressPolicy::Anywhere, url).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    error
}

#[tokio::test]
async fn a_response_is_returned_and_a_redirect_is_not_followed() {
    let redirect =
        "HTTP/1.1 302 Found\r\nlocation: http://example.com/\r\ncontent-length: 2\r\n\r\nhi";
    let response =
        call(AddressPolicy::Anywhere, responding(redirect.to_owned()).await).await.unwrap();
    assert_eq!((response.status.as_u16(), &response.body[..]), (302, &b"hi"[..]));
    assert_eq!(response.headers["location"], "http://example.com/");
}

#[tokio::test]
async fn a_large_body_is_not_read() {
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n";
    let streamed = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n65\r\n{}\r\n0\r\n\r\n",
        "x".repeat(0x65)
    );
    for response in [announced, &streamed] {
        assert!(matches!(error(response).await, OutboundError::TooLarge(100)), "{response}");
    }
}

#[tokio::test]
async fn errors_never_hold_the_address() {
    assert!(matches!(error("").await, OutboundError::Timeout));
    assert!(matches!(error("hello\r\n\r\n").await, OutboundError::Interrupted(_)));
    let truncated = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf";
    assert!(matches!(error(truncated).await, OutboundError::Interrupted(_)));
    // Bound and not listening: no other test gets the port, and a connection is refused.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let url = format!("http://{address}/hunter2");
    let error = call(AddressPolicy::Anywhere, url.parse().unwrap()).await.unwrap_err();
    assert!(
        matches!(&error, OutboundError::Unreachable(detail) if !detail.contains("hunter2")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_private_address_is_not_called_in_any_form() {
    let url = responding("HTTP/1.1 200 OK\r\n\r\n".to_owned()).await;
    let port = url.port().unwrap();
    for host in ["127.0.0.1", "localhost", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let url = format!("http://{host}:{port}/").parse().unwrap();
        let error = call(AddressPolicy::Public, url).await.unwrap_err();
        assert!(matches!(error, OutboundError::PrivateAddress), "{host}: {error:?}");
    }
}

#[test]
fn private_and_public_addresses_are_distinguished() {
    let is_private = |text: &str| super::is_private(text.parse().unwrap());
    for address in [
        "10.1.2.3",
        "172.31.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "198.19.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.0.8",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001:db8::1",
        "::7f00:1",
    ] {
        assert!(is_private(address), "{address}");
    }
    for address in [
        "1.1.1.1",
        "100.128.0.1",
        "172.32.0.1",
        "198.20.0.1",
        "2606:4700::1111",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "2001:4860:4860::8888",
    ] {
        assert!(!is_private(address), "{address}");
    }
}

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn client(reach: AddressPolicy) -> Outbound {
    let total = Duration::from_millis(500);
    Outbound::new(Bounds { connect: SECOND, total, largest: 100, reach }).unwrap()
}

/// Where somebody listens who answers one request with `answer`; nothing more comes when it is empty.
async fn answering(answer: String) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hunter2?token=hunter2", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = [0; 1024];
        let _ = stream.read(&mut asked).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        if answer.is_empty() {
            // Held open, so that the silence lasts.
            let _ = stream.read(&mut asked).await;
        }
    });
    url.parse().unwrap()
}

async fn got(reach: AddressPolicy, url: Url) -> Result<Answer, OutboundError> {
    let client = client(reach);
    client.send(client.request(Method::GET, url)).await
}

async fn fault(answer: &str) -> OutboundError {
    let fault = got(AddressPolicy::Anywhere, answering(answer.to_owned()).await).await.unwrap_err();
    assert!(!format!("{fault} {fault:?}").contains("hunter2"), "{fault:?}");
    fault
}

#[tokio::test]
async fn an_answer_is_taken_as_it_is_and_a_redirect_is_not_followed() {
    let moved =
        "HTTP/1.1 302 Found\r\nlocation: http://example.com/\r\ncontent-length: 2\r\n\r\nhi";
    let answer = got(AddressPolicy::Anywhere, answering(moved.to_owned()).await).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (302, &b"hi"[..]));
    assert_eq!(answer.headers["location"], "http://example.com/");
}

#[tokio::test]
async fn what_is_too_large_is_not_read() {
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n";
    let streamed = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n65\r\n{}\r\n0\r\n\r\n",
        "x".repeat(0x65)
    );
    for answer in [announced, &streamed] {
        assert!(matches!(fault(answer).await, OutboundError::TooLarge(100)), "{answer}");
    }
}

#[tokio::test]
async fn a_call_that_fails_says_how_and_never_where() {
    assert!(matches!(fault("").await, OutboundError::Late));
    assert!(matches!(fault("hello\r\n\r\n").await, OutboundError::Broken(_)));
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf";
    assert!(matches!(fault(broken).await, OutboundError::Broken(_)));
    // Nobody listens on a port that was just given back.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}/hunter2", listener.local_addr().unwrap());
    drop(listener);
    let fault = got(AddressPolicy::Anywhere, gone.parse().unwrap()).await.unwrap_err();
    assert!(
        matches!(&fault, OutboundError::Unreachable(told) if !told.contains("hunter2")),
        "{fault:?}"
    );
}

#[tokio::test]
async fn a_private_address_is_not_called_however_it_is_written() {
    let url = answering("HTTP/1.1 200 OK\r\n\r\n".to_owned()).await;
    let port = url.port().unwrap();
    for host in ["127.0.0.1", "localhost", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let url = format!("http://{host}:{port}/").parse().unwrap();
        let fault = got(AddressPolicy::Public, url).await.unwrap_err();
        assert!(matches!(fault, OutboundError::Private), "{host}: {fault:?}");
    }
}

#[test]
fn addresses_are_told_apart() {
    let private = |text: &str| is_private(text.parse().unwrap());
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
        assert!(private(address), "{address}");
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
        assert!(!private(address), "{address}");
    }
}

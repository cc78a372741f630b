use tokio::net::TcpListener;

use super::*;
use crate::ServerTls;

#[test]
fn addresses() {
    let check = |url: &str, expected: Option<(&str, u16, &str)>| {
        let found = Address::parse(url);
        let found = found.as_ref().map(|address| (address.host, address.port, address.target));
        assert_eq!(found, expected, "{url}");
    };
    check("https://id.test", Some(("id.test", 443, "/")));
    check("https://id.test/keys?v=1", Some(("id.test", 443, "/keys?v=1")));
    check("https://id.test:8443/keys", Some(("id.test", 8443, "/keys")));
    check("https://[2001:db8::1]:8443/", Some(("2001:db8::1", 8443, "/")));
    check("http://127.0.0.1:80/keys", Some(("127.0.0.1", 80, "/keys")));
    check("http://[::1]/keys", Some(("::1", 80, "/keys")));
    for wrong in [
        "",
        "id.test",
        "ftp://id.test/",
        "https://",
        "https:///keys",
        "https://id.test:0/",
        "https://id.test:65536/",
        "https://id.test:x/",
        "https://user@id.test/",
        "https://id.test/a b",
        "https://id.test/\r\nHost: evil.test",
        "https://id.test?x",
        "http://id.test/",
        "http://localhost/",
        "http://192.0.2.1/",
        "http://127.0.0.1.evil.test/",
    ] {
        check(wrong, None);
    }
}

#[test]
fn answers() {
    let check = |answer: &str, expected: Option<&str>| {
        assert_eq!(body(answer.as_bytes()).ok().as_deref(), expected.map(str::as_bytes), "{answer}");
    };
    check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", Some("abc"));
    check("HTTP/1.0 200 OK\r\n\r\nabcd", Some("abcd"));
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcd", None);
    check("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 3\r\n\r\nabcd", None);
    check("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabcd", None);
    check("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nabcd", None);
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        None,
    );
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&format!("{chunked}2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n"), Some("abc"));
    check(&format!("{chunked}2\r\nab\r\n"), None);
    check(&format!("{chunked}ffffffffffffffff\r\nab\r\n0\r\n\r\n"), None);
    check(&format!("{chunked}+2\r\nab\r\n0\r\n\r\n"), None);
    check("HTTP/1.1 204 No Content\r\n\r\n", None);
    check("HTTP/1.1 301 Moved\r\nLocation: https://evil.test/\r\n\r\nabc", None);
    check("HTTP/2 200 OK\r\n\r\nabc", None);
    check("HTTP/1.1 200 OK\r\n", None);
    check("nothing of the kind", None);
    check("", None);
}

#[test]
fn whatever_comes() {
    let whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    for cut in 0..=whole.len() {
        fuzz_fetch(&whole[..cut]);
    }
    let mut changed = whole.to_vec();
    for at in 0..changed.len() {
        for octet in [0, b'\r', b'\n', b':', b'9', 0xff] {
            let kept = std::mem::replace(&mut changed[at], octet);
            fuzz_fetch(&changed);
            changed[at] = kept;
        }
    }
}

/// A web server that gives `answer` and then closes, with a word of TLS or without.
async fn web(answer: Vec<u8>, politely: bool) -> (u16, tempfile::NamedTempFile) {
    use std::io::Write as _;
    let (tls, made) = ServerTls::self_signed(&["127.0.0.1"]).unwrap();
    let mut pem = tempfile::NamedTempFile::new().unwrap();
    pem.write_all(made.certificate_pem.as_bytes()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut stream) = tls.upgrade(tcp).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
            assert!(request.starts_with(b"GET /keys HTTP/1.1\r\nHost: 127.0.0.1:"));
            let _ = stream.write_all(&answer).await;
            let _ = stream.flush().await;
            if politely {
                let _ = stream.shutdown().await;
            }
        }
    });
    (port, pem)
}

fn fetch(port: u16, pem: &Path, size_max: usize) -> Fetch {
    Fetch::new(&format!("https://127.0.0.1:{port}/keys"), pem, size_max, Duration::from_secs(20)).unwrap()
}

#[tokio::test]
async fn a_document_is_fetched_up_to_its_size() {
    for politely in [true, false] {
        let (port, pem) = web(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkeys".to_vec(), politely).await;
        for (size_max, good) in [(3, false), (4, true), (5, true)] {
            assert_eq!(fetch(port, pem.path(), size_max).get().await.is_ok(), good, "{size_max} {politely}");
        }
    }
    let (port, pem) = web(vec![b'x'; 1 << 20], true).await;
    assert!(matches!(fetch(port, pem.path(), 10).get().await, Err(FetchError::TooLarge(10))));
}

#[tokio::test]
async fn what_may_have_been_cut_off_is_none() {
    let (port, pem) = web(b"HTTP/1.1 200 OK\r\n\r\nkeys".to_vec(), true).await;
    assert_eq!(fetch(port, pem.path(), 10).get().await.unwrap(), b"keys");
    let (port, pem) = web(b"HTTP/1.1 200 OK\r\n\r\nkeys".to_vec(), false).await;
    assert!(fetch(port, pem.path(), 10).get().await.is_err());
}

#[tokio::test]
async fn redirects_and_strangers_are_not_followed() {
    let (other, _) = web(b"HTTP/1.1 200 OK\r\n\r\nkeys".to_vec(), true).await;
    let moved = format!("HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:{other}/keys\r\n\r\n");
    let (port, pem) = web(moved.into_bytes(), true).await;
    assert!(matches!(fetch(port, pem.path(), 10).get().await, Err(FetchError::Status(302))));
    // A certificate that nobody vouches for.
    let error = fetch(other, pem.path(), 10).get().await.unwrap_err();
    assert!(matches!(error, FetchError::Connection(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing_meets_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let fetch = Fetch::new(&url, Path::new("/nowhere"), 10, Duration::from_millis(20)).unwrap();
    assert!(matches!(fetch.get().await, Err(FetchError::Late(_))));
}

//! Names, and for how long answers are kept.

use tokio::net::UdpSocket;

use super::*;

#[test]
fn names_are_whole() {
    let check = |text: &str, expected: Result<&str, DnsError>| {
        assert_eq!(name(text).map(|name| name.to_string()), expected.map(str::to_owned), "{text}");
    };
    check("a.test", Ok("a.test."));
    check("a.test.", Ok("a.test."));
    check("_dmarc.a.test", Ok("_dmarc.a.test."));
    check("a+b=c.test", Ok("a\\+b\\=c.test."));
    check("", Err(DnsError::NoName));
    check("a..test", Err(DnsError::NoName));
    check(&"x".repeat(64), Err(DnsError::NoName));
    check(&vec!["x".repeat(60); 5].join("."), Err(DnsError::NoName));
}

/// Answers each question about a text: `text.` has one for 60 seconds, of `none.` an SOA record says that it does not exist for 30, of any other name
/// nobody says for how long it is not there (RFC 1035 §4.1, RFC 2308 §3).
async fn server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut packet = [0; 1500];
        while let Ok((count, peer)) = socket.recv_from(&mut packet).await {
            let question = &packet[12..count];
            let name_end = question.iter().position(|octet| *octet == 0).unwrap();
            let (code, answers, authorities, record): (u8, u8, u8, Vec<u8>) = match &question[1..name_end] {
                b"text" => (0, 1, 0, b"\xc0\x0c\0\x10\0\x01\0\0\0\x3c\0\x04\x03abc".to_vec()),
                b"none" => {
                    let numbers = [1_u32, 3600, 3600, 3600, 30].map(u32::to_be_bytes).concat();
                    (3, 0, 1, [&b"\0\0\x06\0\x01\0\0\0\x1e\0\x16\0\0"[..], &numbers].concat())
                }
                _ => (3, 0, 0, Vec::new()),
            };
            let head = [packet[0], packet[1], 0x81, 0x80 | code, 0, 1, 0, answers, 0, authorities, 0, 0];
            let reply = [&head[..], &question[..name_end + 5], &record].concat();
            socket.send_to(&reply, peer).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn texts_are_kept_as_long_as_their_answer_says() {
    let config = DnsConfig { resolvers: vec![server().await], ..DnsConfig::default() };
    let resolver = Resolver::new(&config).unwrap();
    let check = async |name: &str, expected: Result<Vec<Vec<u8>>, DnsError>, seconds: u64| {
        let asked = Instant::now();
        assert_eq!(resolver.txt(name).await, expected, "{name}");
        let after = |seconds: u64| resolver.texts.get(name, asked + Duration::from_secs(seconds));
        assert_eq!(after(0).is_some(), seconds > 0, "{name}");
        // Asking takes a while, too, and servers count in whole seconds.
        assert_eq!(after(seconds.saturating_sub(2)).is_some(), seconds > 0, "{name}");
        assert_eq!(after(seconds + 20), None, "{name}");
        assert_eq!(resolver.txt(name).await, expected, "{name}, from what is kept");
    };
    check("text", Ok(vec![b"abc".to_vec()]), 60).await;
    check("none", Err(DnsError::NoName), 30).await;
    check("nobody-says", Err(DnsError::NoName), 0).await;
}

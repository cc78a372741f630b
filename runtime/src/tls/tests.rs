use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Certificates, ClientTls, SelfSigned, ServerTls, TlsConfig, TlsError, io};
use crate::Stream;

mod clients;
mod names;
mod openssl;
mod reload;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (server, client) = tokio::join!(listener.accept(), client);
    (server.unwrap().0, client.unwrap())
}

async fn handshake(
    server: &ServerTls,
    client: &ClientTls,
    name: &str,
) -> (io::Result<Stream>, io::Result<Stream>) {
    let (server_tcp, client_tcp) = pair().await;
    tokio::join!(server.upgrade(server_tcp), client.connect(client_tcp, name))
}

#[tokio::test]
async fn a_client_that_trusts_the_certificate_talks() {
    let (server, made) = ServerTls::self_signed(&["mail.example.test", "127.0.0.1"]).unwrap();
    let client = ClientTls::trusting(&made.certificate_pem).unwrap();
    for name in ["mail.example.test", "127.0.0.1"] {
        let (server, client) = handshake(&server, &client, name).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        assert!(server.is_tls() && client.is_tls());
        server.write_all(b"220 ready\r\n").await.unwrap();
        server.flush().await.unwrap();
        let mut line = [0; 11];
        client.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"220 ready\r\n");
    }
}

#[tokio::test]
async fn a_client_refuses_another_name_and_another_certificate() {
    let (server, made) = ServerTls::self_signed(&["mail.example.test"]).unwrap();
    let (_, other) = ServerTls::self_signed(&["mail.example.test"]).unwrap();
    let trusting = ClientTls::trusting(&made.certificate_pem).unwrap();
    assert!(handshake(&server, &trusting, "other.example.test").await.1.is_err());
    let misled = ClientTls::trusting(&other.certificate_pem).unwrap();
    assert!(handshake(&server, &misled, "mail.example.test").await.1.is_err());
    assert!(trusting.connect(pair().await.0, "not a name").await.is_err());
}

#[tokio::test]
async fn a_silent_peer_meets_the_deadline() {
    let (server, _) = ServerTls::self_signed(&["mail.example.test"]).unwrap();
    let server = server.with_handshake_max(Duration::from_millis(20));
    let (tcp, _silent) = pair().await;
    assert_eq!(server.upgrade(tcp).await.err().unwrap().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn garbage_is_no_handshake() {
    let (server, _) = ServerTls::self_signed(&["mail.example.test"]).unwrap();
    let (tcp, mut client) = pair().await;
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(server.upgrade(tcp).await.is_err());
}

#[tokio::test]
async fn alpn_is_negotiated_and_a_stranger_refused() {
    let (server, made) = ServerTls::self_signed(&["mail.example.test"]).unwrap();
    let server = server.for_listener(&["imap"]).unwrap();
    let client = ClientTls::trusting(&made.certificate_pem).unwrap();
    for (offered, served) in
        [(&["imap"][..], true), (&["pop3", "imap"], true), (&[], true), (&["http/1.1"], false)]
    {
        let (_, outcome) = handshake(&server, &client.with_protocols(offered), "mail.example.test").await;
        assert_eq!(outcome.is_ok(), served, "{offered:?}");
    }
}

#[tokio::test]
async fn both_ends_of_a_connection_can_tell_it() {
    let (server, made) = ServerTls::self_signed(&["mail.example.test"]).unwrap();
    let client = ClientTls::trusting(&made.certificate_pem).unwrap();
    let listener = server.for_listener(&[]).unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (one, other) = handshake(&listener, &client, "mail.example.test").await;
        let (one, other) = (one.unwrap(), other.unwrap());
        let binding = listener.channel_binding(&one);
        assert_eq!(binding.exporter, super::binding::exporter(&other));
        assert!(binding.exporter.is_some(), "TLS 1.3");
        assert_eq!(binding.server_end_point.as_ref().map(Vec::len), Some(32));
        assert!(!seen.contains(&binding.exporter), "another connection, another binding");
        seen.push(binding.exporter);
        assert_eq!(format!("{binding:?}"), "ChannelBinding");
    }
    // TLS 1.2: the exporter would not be safe without the extended master secret.
    let mut roots = rustls::RootCertStore::empty();
    roots.add(super::certificate::certificates(made.certificate_pem.as_bytes()).unwrap().remove(0)).unwrap();
    let old = rustls::ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS12])
        .with_root_certificates(roots)
        .with_no_client_auth();
    let old = tokio_rustls::TlsConnector::from(std::sync::Arc::new(old));
    let (server_tcp, client_tcp) = pair().await;
    let connecting = old.connect("mail.example.test".try_into().unwrap(), client_tcp);
    let (one, other) = tokio::join!(listener.upgrade(server_tcp), connecting);
    other.unwrap();
    let binding = listener.channel_binding(&one.unwrap());
    assert_eq!((binding.exporter, binding.server_end_point.map(|hash| hash.len())), (None, Some(32)));
    let plain = listener.channel_binding(&Stream::Plain(pair().await.0));
    assert_eq!(plain, super::ChannelBinding::default());
}

#[tokio::test]
async fn a_made_certificate_is_kept_and_its_key_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tls");
    let open = |name: &str| {
        Certificates::open(&TlsConfig::default(), &path, &[name], &prometheus::Registry::new()).unwrap()
    };
    open("a.example.test");
    let first = std::fs::read_to_string(path.join("certificate.pem")).unwrap();
    let certificates = open("b.example.test");
    assert_eq!(std::fs::read_to_string(path.join("certificate.pem")).unwrap(), first);
    assert_eq!(std::fs::metadata(path.join("key.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 2);
    let client = ClientTls::trusting(&first).unwrap();
    assert!(handshake(&certificates.server().unwrap(), &client, "a.example.test").await.1.is_ok());
}

#[test]
fn says_what_is_wrong_with_files() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("c.pem"), directory.path().join("k.pem"));
    let config =
        TlsConfig { certificate_file: certificate.clone(), key_file: key.clone(), ..TlsConfig::default() };
    let load = || {
        let opened = Certificates::open(&config, directory.path(), &[], &prometheus::Registry::new());
        match opened.err().unwrap() {
            TlsError::Pair { certificate, source, .. } => {
                assert!(certificate.ends_with("/c.pem"));
                *source
            }
            other => panic!("{other}"),
        }
    };
    assert!(matches!(load(), TlsError::File { .. }));
    std::fs::write(&certificate, "nothing").unwrap();
    std::fs::write(&key, "nothing").unwrap();
    assert!(matches!(load(), TlsError::Pem { what: "certificate", .. }));
    let (one, two) = (SelfSigned::new(&["a.test"]).unwrap(), SelfSigned::new(&["a.test"]).unwrap());
    std::fs::write(&certificate, &one.certificate_pem).unwrap();
    assert!(matches!(load(), TlsError::Pem { what: "private key", .. }));
    std::fs::write(&key, &two.key_pem).unwrap();
    assert!(matches!(load(), TlsError::Unusable(_)));
}

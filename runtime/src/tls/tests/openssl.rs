//! What OpenSSL, which still knows the old ways, can and can't agree on with us.

use std::process::Stdio;

use super::*;

/// What `openssl s_client` says to a listener of ours, with `arguments`; `None` when no session came about.
async fn s_client(server: &ServerTls, arguments: &[&str]) -> Option<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let child = tokio::process::Command::new("openssl")
        .args(["s_client", "-connect", &address, "-ign_eof"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (tcp, _) = listener.accept().await.unwrap();
    let served = server.upgrade(tcp).await;
    let agreed = served.is_ok();
    if let Ok(mut stream) = served {
        let _ = stream.shutdown().await;
    }
    let output = child.wait_with_output().await.unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains("unknown option") && !text.contains("Error with command"), "{text}");
    agreed.then_some(text)
}

#[tokio::test]
async fn old_versions_and_weak_suites_are_refused() {
    let (server, _) = ServerTls::self_signed(&["mail.example.test"]).unwrap();
    let server = server.for_listener(&["imap"]).unwrap();
    // Security level 0, so that OpenSSL itself would go along.
    let check = async |arguments: &[&str], expected: Option<&str>| {
        let agreed = s_client(&server, arguments).await;
        match (&agreed, expected) {
            (Some(text), Some(expected)) => assert!(text.contains(expected), "{arguments:?}: {text}"),
            _ => assert_eq!(agreed.as_deref(), expected, "{arguments:?}"),
        }
    };
    check(&["-tls1_3"], Some("TLSv1.3")).await;
    check(&["-tls1_2"], Some("TLSv1.2")).await;
    check(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], None).await;
    check(&["-tls1", "-cipher", "ALL:@SECLEVEL=0"], None).await;
    // CBC, without forward secrecy, without encryption, without a certificate, CCM with a short tag.
    for suite in [
        "ECDHE-ECDSA-AES128-SHA256",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES128-SHA",
        "AES128-GCM-SHA256",
        "AES128-SHA",
        "ECDHE-ECDSA-NULL-SHA",
        "NULL-SHA256",
        "AECDH-AES128-SHA",
        "ADH-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES128-CCM8",
        "DHE-RSA-AES128-GCM-SHA256",
        "PSK-AES128-GCM-SHA256",
    ] {
        let cipher = format!("{suite}:@SECLEVEL=0");
        check(&["-tls1_2", "-cipher", &cipher], None).await;
    }
    check(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], Some("ECDHE-ECDSA-AES128-GCM-SHA256"))
        .await;
    // SHA-1 in signatures.
    check(&["-tls1_2", "-sigalgs", "ECDSA+SHA1:RSA+SHA1", "-cipher", "ALL:@SECLEVEL=0"], None).await;
    let names = s_client(&server, &["-servername", "mail.example.test", "-alpn", "imap"]).await.unwrap();
    assert!(names.contains("ALPN protocol: imap"), "{names}");
    assert_eq!(s_client(&server, &["-alpn", "http/1.1"]).await, None);
}

#[tokio::test]
async fn there_is_no_early_data_no_compression_and_no_renegotiation() {
    let (server, _) = ServerTls::self_signed(&["mail.example.test"]).unwrap();
    let modern = s_client(&server, &["-tls1_3"]).await.unwrap();
    assert!(modern.contains("Early data was not sent"), "{modern}");
    assert!(!modern.contains("Max Early Data: 1"), "{modern}");
    let old = s_client(&server, &["-tls1_2", "-comp"]).await.unwrap();
    assert!(old.contains("Compression: NONE"), "{old}");
    assert!(old.contains("Secure Renegotiation IS supported"), "{old}");
}

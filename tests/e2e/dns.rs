//! A DNS server on loopback that knows a few names.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const A: u16 = 1;
const MX: u16 = 15;
const TXT: u16 = 16;

/// Serves until it is dropped.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Dns {
    /// Every domain of `domains` has an MX `mx.<domain>`, which is at 127.0.0.1; there is nothing else.
    pub(crate) fn start(domains: &[&str]) -> Self {
        Self::with_texts(domains, &[])
    }

    /// The same, and these names have a TXT record each, of at most 255 octets.
    pub(crate) fn with_texts(domains: &[&str], texts: &[(&str, &str)]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, domains) =
            (Arc::clone(&stop), domains.iter().map(ToString::to_string).collect::<Vec<_>>());
        let texts: HashMap<String, String> =
            texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        std::thread::spawn(move || {
            let mut packet = [0; 1500];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((count, peer)) = socket.recv_from(&mut packet) else { continue };
                let _ = socket.send_to(&answer(&packet[..count], &domains, &texts), peer);
            }
        });
        Self { address, stop }
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// RFC 1035 §4.1: the header, the question as it came, and one record or none.
fn answer(packet: &[u8], domains: &[String], texts: &HashMap<String, String>) -> Vec<u8> {
    let (mut labels, mut at) = (Vec::new(), 12);
    while packet[at] > 0 {
        let length = usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    let end = at + 5;
    let kind = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
    let name = labels.join(".");
    let domain = name.strip_prefix("mx.").unwrap_or(&name);
    let mail = domains.iter().any(|one| one == domain);
    // A name above one that has a record is there too (RFC 8020).
    let known = mail
        || texts.keys().any(|one| *one == name || one.ends_with(&format!(".{name}")) && name.contains('.'));
    let data = match (kind, name.starts_with("mx.")) {
        // One string (RFC 1035 §3.3.14).
        (TXT, _) if texts.contains_key(&name) => {
            let text = texts[&name].as_bytes();
            Some([&[u8::try_from(text.len()).unwrap()], text].concat())
        }
        (A, true) if mail => Some(Ipv4Addr::LOCALHOST.octets().to_vec()),
        // Preference 10; `mx` and a pointer to the name that was asked for.
        (MX, false) if mail => Some([&[0, 10, 2], b"mx".as_slice(), &[0xc0, 12]].concat()),
        _ => None,
    };
    let code = if known { 0 } else { 3 };
    let mut reply = packet[..2].to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(data.is_some()), 0, 0, 0, 0]);
    reply.extend(&packet[12..end]);
    if let Some(data) = data {
        reply.extend([0xc0, 12]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1, 0, 0, 0, 60]);
        reply.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        reply.extend(data);
    }
    reply
}

//! clamd's `INSTREAM`.
//!
//! ```abnf
//! request = "zINSTREAM" %x00 *( length 1*OCTET ) %x00.00.00.00   ; length: uint32, big endian
//! answer  = ( "stream: OK" / "stream: " name " FOUND" / text " ERROR" ) %x00
//! ```
//! A connection serves one message. When the message is over clamd's limit it says so and closes while we are still writing.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::config::{Found, ScannerConfig};
use super::{Advice, Finding, ScanFailure, Symbol};
use crate::peer::{Stream, reply_text};

const CHUNK: usize = 64 * 1024;

pub(super) async fn scan(config: &ScannerConfig, message: &Bytes) -> Result<Finding, ScanFailure> {
    let mut stream = connect(config, config.connect_max.as_duration()).await?;
    let written = write(&mut stream, message).await;
    let answer = read(&mut stream, config.answer_max.as_usize()).await;
    match (written, answer) {
        (_, Ok(answer)) if !answer.is_empty() => judge(config, &answer),
        (Err(error), _) => Err(ScanFailure::Closed(error.to_string())),
        (Ok(()), Ok(_)) => Err(ScanFailure::Closed("without an answer".to_owned())),
        (Ok(()), Err(failure)) => Err(failure),
    }
}

async fn connect(config: &ScannerConfig, within: Duration) -> Result<Stream, ScanFailure> {
    let connected = timeout(within, Stream::connect(&config.address)).await;
    let late = |_| ScanFailure::Unreachable("no connection within connect_max".to_owned());
    connected.map_err(late)?.map_err(|error| ScanFailure::Unreachable(error.to_string()))
}

async fn write(stream: &mut Stream, message: &[u8]) -> std::io::Result<()> {
    stream.write_all(b"zINSTREAM\0").await?;
    for chunk in message.chunks(CHUNK) {
        stream.write_all(&u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_be_bytes()).await?;
        stream.write_all(chunk).await?;
    }
    stream.write_all(&[0; 4]).await
}

async fn read(stream: &mut Stream, answer_max: usize) -> Result<Vec<u8>, ScanFailure> {
    let mut answer = Vec::new();
    loop {
        match stream.read_buf(&mut answer).await {
            // The rest of what we wrote may have made the system reset the connection behind the answer.
            Ok(0) => return Ok(answer),
            Err(_) if !answer.is_empty() => return Ok(answer),
            Err(error) => return Err(ScanFailure::Closed(error.to_string())),
            Ok(_) => {}
        }
        if let Some(end) = memchr::memchr(0, &answer) {
            answer.truncate(end);
            return Ok(answer);
        }
        if answer.len() > answer_max {
            return Err(ScanFailure::Protocol("an answer without end".to_owned()));
        }
    }
}

fn judge(config: &ScannerConfig, answer: &[u8]) -> Result<Finding, ScanFailure> {
    let answer = reply_text(&String::from_utf8_lossy(answer));
    if answer == "stream: OK" {
        return Ok(Finding::of(Advice::Accept));
    }
    if let Some(name) = answer.strip_prefix("stream: ").and_then(|rest| rest.strip_suffix(" FOUND")) {
        let advice = match config.on_found {
            Found::Reject => Advice::Reject(format!("the message contains {name}")),
            Found::Quarantine => Advice::Quarantine,
            Found::Discard => Advice::Discard,
        };
        let symbols = vec![Symbol { name: name.to_owned(), score: 1.0 }];
        return Ok(Finding { symbols, ..Finding::of(advice) });
    }
    if answer.ends_with("size limit exceeded. ERROR") {
        return Ok(Finding::of(Advice::TooBig));
    }
    Err(ScanFailure::Protocol(answer))
}

//! Parts of a message, attachments among them, and what they are by their first octets.

use std::collections::HashMap;
use std::io::Cursor;

use cel::Value;
use mail_parser::{Message, MessagePart, MimeHeaders as _, PartType};
use memchr::memmem;
use zip::ZipArchive;

use super::super::PolicyConfig;

/// The directory of a larger archive is not read.
const ARCHIVE_SIZE_MAX: usize = 64 << 20;

/// First octets and what they say.
const SIGNATURES: &[(&[u8], &str)] = &[
    (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (b"MZ", "exe"),
    (b"\x7fELF", "elf"),
    (b"{\\rt", "rtf"),
    (b"#!", "script"),
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF8", "gif"),
    (b"\x1f\x8b", "gzip"),
    (b"Rar!", "rar"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
];

pub(super) fn values(message: Option<&Message<'_>>, config: &PolicyConfig) -> Value {
    let parts = message.iter().flat_map(|message| &message.parts);
    let leaves = parts.filter(|part| !matches!(part.body, PartType::Multipart(_)));
    let values = leaves.take(config.parts_max).map(|part| value(part, config));
    values.collect::<Vec<Value>>().into()
}

fn value(part: &MessagePart<'_>, config: &PolicyConfig) -> Value {
    let octets: &[u8] = match &part.body {
        PartType::Text(text) | PartType::Html(text) => text.as_bytes(),
        PartType::Binary(octets) | PartType::InlineBinary(octets) => octets,
        PartType::Message(message) => &message.raw_message,
        PartType::Multipart(_) => &[],
    };
    let name = part.attachment_name().unwrap_or_default().to_owned();
    let extension = name.rsplit_once('.').map(|(_, last)| last.trim().to_lowercase()).unwrap_or_default();
    let declared = part.content_type().map(|kind| match kind.subtype() {
        Some(subtype) => format!("{}/{subtype}", kind.ctype()),
        None => kind.ctype().to_owned(),
    });
    let declared = declared.unwrap_or_else(|| "text/plain".to_owned()).to_lowercase();
    let attachment = !name.is_empty()
        || part.content_disposition().is_some_and(mail_parser::ContentType::is_attachment)
        || matches!(part.body, PartType::Binary(_) | PartType::Message(_));
    let detected = detect(octets);
    let inside =
        if detected == "zip" { Archive::read(octets, config.archive_names_max) } else { Archive::default() };
    let macros = inside.macros || detected == "ole" && holds_vba(octets);
    let encrypted = inside.encrypted || detected == "pdf" && memmem::find(octets, b"/Encrypt").is_some();
    Value::from(HashMap::from([
        ("attachment", Value::Bool(attachment)),
        ("contains", inside.names.into()),
        ("detected", detected.into()),
        ("encrypted", Value::Bool(encrypted)),
        ("extension", extension.into()),
        ("macros", Value::Bool(macros)),
        ("name", name.into()),
        ("size", Value::Int(i64::try_from(octets.len()).unwrap_or(i64::MAX))),
        ("type", declared.into()),
    ]))
}

fn detect(octets: &[u8]) -> &'static str {
    let known = SIGNATURES.iter().find(|(signature, _)| octets.starts_with(signature));
    if let Some((_, kind)) = known {
        return kind;
    }
    let begin = octets.get(..octets.len().min(512)).unwrap_or_default().to_ascii_lowercase();
    let begin = begin.trim_ascii_start();
    if begin.starts_with(b"<!doctype html")
        || begin.starts_with(b"<html")
        || memmem::find(begin, b"<script").is_some()
    {
        return "html";
    }
    ""
}

/// An OLE document with a macro project has a stream of this name, in UTF-16 (MS-OVBA §2.2.1).
fn holds_vba(octets: &[u8]) -> bool {
    let name: Vec<u8> = "_VBA_PROJECT".encode_utf16().flat_map(u16::to_le_bytes).collect();
    memmem::find(octets, &name).is_some()
}

/// What the directory of an archive says; nothing is unpacked.
#[derive(Debug, Default)]
struct Archive {
    names: Vec<String>,
    encrypted: bool,
    macros: bool,
}

impl Archive {
    fn read(octets: &[u8], names_max: usize) -> Self {
        if octets.len() > ARCHIVE_SIZE_MAX {
            return Self::default();
        }
        let Ok(mut archive) = ZipArchive::new(Cursor::new(octets)) else { return Self::default() };
        let mut found = Self::default();
        for index in 0..archive.len().min(names_max) {
            let Ok(file) = archive.by_index_raw(index) else { continue };
            found.encrypted |= file.encrypted();
            let name = file.name().to_lowercase();
            found.macros |= name.ends_with("vbaproject.bin");
            found.names.push(name);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_octets_tell() {
        let check = |octets: &[u8], expected: &str| assert_eq!(detect(octets), expected, "{octets:?}");
        check(b"", "");
        check(b"hello", "");
        check(b"%PDF-1.7", "pdf");
        check(b"MZ\x90", "exe");
        check(b"PK\x03\x04x", "zip");
        check(b"  <!DOCTYPE html>", "html");
        check(b"x<script>", "html");
        check(b"#!/bin/sh", "script");
    }

    #[test]
    fn an_archive_that_is_none_holds_nothing() {
        for octets in [
            &b"PK\x03\x04"[..],
            b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0",
            &[0; 100],
        ] {
            let archive = Archive::read(octets, 10);
            assert!(archive.names.is_empty() && !archive.encrypted);
        }
    }
}

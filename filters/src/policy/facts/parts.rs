//! Parts of a message, attachments among them, and what they are by their first octets.

use std::borrow::Cow;
use std::sync::LazyLock;

use cel::Value;
use cel::objects::Key;
use mail_parser::{Message, MessageParser, MimeHeaders as _, PartType};
use memchr::{memchr_iter, memmem};

use super::super::PolicyConfig;
use super::archive::{self, Archive};
use super::names::{self, extension};
use super::object;
use super::readable::{self, decoded_leniently};
use super::uuencode;
use super::walk::{self, Place};

/// What a part has, in the order in which [`File::value`] gives it.
static FIELDS: LazyLock<[Key; 10]> = LazyLock::new(|| {
    [
        "attachment",
        "contains",
        "detected",
        "encrypted",
        "extension",
        "macros",
        "name",
        "scripts",
        "size",
        "type",
    ]
    .map(Key::from)
});
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
    (b"MSCF", "cab"),
    (b"ITSF", "chm"),
    (b"\x4c\0\0\0\x01\x14\x02\0", "lnk"),
    (b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", "onenote"),
];
/// Where a disk image says what it is (ECMA-119 §8.4.1): behind sixteen sectors and an octet.
const ISO_AT: usize = 0x8001;
/// Messages as files within such messages.
const MESSAGES_DEPTH: usize = 3;
/// How far into a file readers look for the beginning of a PDF.
const PDF_WITHIN: usize = 1024;

pub(super) fn values<'m>(readings: &'m [Message<'m>], config: &PolicyConfig) -> Value {
    let mut found: Vec<Value> = Vec::new();
    take(readings, config, MESSAGES_DEPTH, &mut found);
    found.into()
}

fn take<'m>(readings: &'m [Message<'m>], config: &PolicyConfig, depth: usize, found: &mut Vec<Value>) {
    for place in walk::parts(readings).filter(|place| !matches!(place.part.body, PartType::Multipart(_))) {
        let left = config.parts_max.saturating_sub(found.len());
        if left == 0 {
            return;
        }
        let file = File::of(place);
        // A message as a file of another type: the walk does not see into it, a double click does.
        let held =
            depth > 0 && extension(&file.name) == "eml" && !matches!(place.part.body, PartType::Message(_));
        let others = names::others(place.part, &file.name);
        let others = others.into_iter().take(left - 1).map(|name| File { name, ..file.clone() });
        let others: Vec<Value> = others.map(|file| file.value(config)).collect();
        found.push(file.value(config));
        found.extend(others);
        if held {
            let inner = MessageParser::default().parse(place.part.contents());
            take(inner.as_slice(), config, depth - 1, found);
        }
        if let PartType::Text(text) = &place.part.body {
            let left = config.parts_max.saturating_sub(found.len());
            let within = uuencode::files(text, left);
            found.extend(within.into_iter().map(|(name, octets)| File::within(name, octets).value(config)));
        }
    }
}

/// What is known of a part before its content is looked at.
#[derive(Clone)]
struct File<'a> {
    name: String,
    declared: String,
    attachment: bool,
    /// The content, in each way that a program may decode it; the first one is ours.
    contents: Vec<Cow<'a, [u8]>>,
}

impl<'a> File<'a> {
    fn of(Place { message, part }: Place<'a>) -> Self {
        let name = names::of_part(message, part);
        let declared = part.content_type().map(|kind| match kind.subtype() {
            Some(subtype) => format!("{}/{subtype}", kind.ctype()),
            None => kind.ctype().to_owned(),
        });
        let declared = declared.unwrap_or_else(|| "text/plain".to_owned()).to_lowercase();
        let attachment = !name.is_empty()
            || part.content_disposition().is_some_and(mail_parser::ContentType::is_attachment)
            || matches!(part.body, PartType::Binary(_) | PartType::Message(_));
        let mut contents = vec![Cow::Borrowed(part.contents())];
        contents.extend(decoded_leniently(message, part).map(Cow::Owned));
        if is_wide(part.contents()) {
            let plain = part.contents().iter().copied().filter(|octet| octet.is_ascii() && *octet != 0);
            contents.push(Cow::Owned(plain.collect()));
        }
        Self { name, declared, attachment, contents }
    }

    /// A file that stands in a text.
    fn within(name: String, octets: Vec<u8>) -> Self {
        let declared = "application/octet-stream".to_owned();
        Self { name, declared, attachment: true, contents: vec![Cow::Owned(octets)] }
    }

    fn value(self, config: &PolicyConfig) -> Value {
        let size = self.contents.first().map_or(0, |octets| octets.len());
        let detected = self.contents.iter().map(|octets| detect(octets)).find(|kind| !kind.is_empty());
        let extension = extension(&self.name);
        let mut names: Vec<String> = Vec::new();
        let (mut encrypted, mut macros, mut scripts) = (false, false, false);
        for octets in &self.contents {
            let kind = detect(octets);
            let inside = Archive::read(octets, config.archive_names_max);
            names.extend(inside.names);
            macros |= inside.macros || kind == "ole" && holds_stream(octets, "_VBA_PROJECT");
            encrypted |= inside.encrypted
                || kind == "pdf" && memmem::find(octets, b"/Encrypt").is_some()
                || kind == "ole" && holds_stream(octets, "EncryptedPackage");
            scripts |= has_script(octets, kind, &self.declared, &extension);
        }
        names.truncate(config.archive_names_max);
        let values = [
            Value::Bool(self.attachment),
            names.into(),
            detected.unwrap_or_default().into(),
            Value::Bool(encrypted),
            extension.into(),
            Value::Bool(macros),
            self.name.into(),
            Value::Bool(scripts),
            Value::Int(i64::try_from(size).unwrap_or(i64::MAX)),
            self.declared.into(),
        ];
        object(&FIELDS, values)
    }
}

/// Whether it begins as a page in UTF-16 does, with or without its mark, which is three octets where it was taken for UTF-8: what is searched for has nulls
/// between its letters then.
fn is_wide(octets: &[u8]) -> bool {
    let marks: [&[u8]; 5] = [b"\xff\xfe", b"\xfe\xff", b"\xef\xbf\xbd", b"<\0", b"\0<"];
    marks.iter().any(|mark| octets.starts_with(mark)) && octets.iter().take(64).any(|octet| *octet == 0)
}

fn detect(octets: &[u8]) -> &'static str {
    let known = SIGNATURES.iter().find(|(signature, _)| octets.starts_with(signature));
    if let Some((_, kind)) = known {
        return kind;
    }
    if octets.get(ISO_AT..).is_some_and(|rest| rest.starts_with(b"CD001")) {
        return "iso";
    }
    let begin = octets.get(..octets.len().min(PDF_WITHIN)).unwrap_or_default();
    if memmem::find(begin, b"%PDF-").is_some() {
        return "pdf";
    }
    let begin = begin.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begin);
    let begin = begin.get(..begin.len().min(512)).unwrap_or_default().to_ascii_lowercase();
    let begin = begin.trim_ascii_start();
    if begin.starts_with(b"<!doctype html") || begin.starts_with(b"<html") {
        return "html";
    }
    if memmem::find(begin, b"<svg").is_some() {
        return "svg";
    }
    if memmem::find(begin, b"<script").is_some() {
        return "html";
    }
    if archive::is_zip(octets) { "zip" } else { "" }
}

/// An OLE document has streams with names in UTF-16: those of macros (MS-OVBA §2.2.1), and of a document with a password (MS-OFFCRYPTO §2.3.1).
fn holds_stream(octets: &[u8], name: &str) -> bool {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    memmem::find(octets, &name).is_some()
}

/// Whether a browser that opens it would run something.
fn has_script(octets: &[u8], kind: &str, declared: &str, extension: &str) -> bool {
    let web = ["html", "svg"].contains(&kind)
        || ["html", "svg", "xml"].iter().any(|word| declared.contains(word)) && !declared.contains("openxml")
        || readable::is_page(extension);
    let begins = |at: usize, word: &[u8]| {
        octets.get(at + 1..at + 1 + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word))
    };
    web && memchr_iter(b'<', octets).any(|at| begins(at, b"script"))
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
        check(b"<?xml version='1.0'?><svg><script>", "svg");
        check(b"\xef\xbb\xbf<html>", "html");
        check(b"\n\n%PDF-1.4", "pdf");
        check(&[&[0; PDF_WITHIN][..], b"%PDF-1.4"].concat(), "");
        check(&[&[0; ISO_AT][..], b"CD001"].concat(), "iso");
        check(&[&[0; ISO_AT - 1][..], b"CD001"].concat(), "");
    }

    #[test]
    fn scripts_of_pages() {
        let check = |octets: &[u8], declared: &str, expected: bool| {
            assert_eq!(has_script(octets, detect(octets), declared, ""), expected, "{octets:?}");
        };
        check(b"<html><SCRIPT>x", "application/octet-stream", true);
        check(b"<p><script>x", "text/html", true);
        check(b"<html><p>x", "text/html", false);
        check(b"a <script> in a text", "text/plain", true);
        check(b"#!<script", "text/plain", false);
        check(b"<", "text/html", false);
        assert!(has_script(b"<!-- long --><script>", "", "application/octet-stream", "html"));
    }
}

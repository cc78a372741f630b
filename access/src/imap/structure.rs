//! BODY and BODYSTRUCTURE (RFC 3501 §7.4.2), from what was parsed at delivery.

use store::{Part, PartKind};

use super::words::{nstring, number, string};

/// What stands for the parts of a multipart without any: the grammar wants one.
const NO_PART: &[u8] = b"(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)";

type Parameters = [(Vec<u8>, Vec<u8>)];

/// ```abnf
/// body = "(" (body-type-1part / body-type-mpart) ")"
/// ```
///
/// With `extension` BODYSTRUCTURE, without it BODY. How deep parts nest is bounded by the store's parser.
pub(crate) fn encode(part: &Part, extension: bool, out: &mut Vec<u8>) {
    out.push(b'(');
    match &part.kind {
        PartKind::Multipart(parts) => {
            for part in parts {
                encode(part, extension, out);
            }
            if parts.is_empty() {
                out.extend_from_slice(NO_PART);
            }
            out.push(b' ');
            string(&part.media_subtype, out);
            if extension {
                out.push(b' ');
                parameters(&part.parameters, out);
                trailer(part, out);
            }
        }
        PartKind::Leaf | PartKind::Message(_) => {
            single(part, extension, out);
            if extension {
                out.push(b' ');
                nstring(part.md5.as_deref(), out);
                trailer(part, out);
            }
        }
    }
    out.push(b')');
}

/// `body-type-1part` without its extension.
fn single(part: &Part, extension: bool, out: &mut Vec<u8>) {
    string(&part.media_type, out);
    out.push(b' ');
    string(&part.media_subtype, out);
    out.push(b' ');
    parameters(&part.parameters, out);
    out.push(b' ');
    nstring(part.id.as_deref(), out);
    out.push(b' ');
    nstring(part.description.as_deref(), out);
    out.push(b' ');
    string(&part.encoding, out);
    out.push(b' ');
    number(part.end.saturating_sub(part.body_start), out);
    if let PartKind::Message(inner) = &part.kind {
        out.push(b' ');
        super::envelope::encode(inner, out);
        out.push(b' ');
        encode(&inner.structure, extension, out);
    }
    if matches!(part.kind, PartKind::Message(_)) || part.media_type.eq_ignore_ascii_case(b"TEXT") {
        out.push(b' ');
        number(part.lines, out);
    }
}

/// Disposition, language and location.
fn trailer(part: &Part, out: &mut Vec<u8>) {
    out.push(b' ');
    match &part.disposition {
        Some((kind, disposition)) => {
            out.push(b'(');
            string(kind, out);
            out.push(b' ');
            parameters(disposition, out);
            out.push(b')');
        }
        None => out.extend_from_slice(b"NIL"),
    }
    out.push(b' ');
    match part.language.as_slice() {
        [] => out.extend_from_slice(b"NIL"),
        [one] => string(one, out),
        several => {
            let mut before = b'(';
            for language in several {
                out.push(std::mem::replace(&mut before, b' '));
                string(language, out);
            }
            out.push(b')');
        }
    }
    out.push(b' ');
    nstring(part.location.as_deref(), out);
}

/// `body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`
fn parameters(parameters: &Parameters, out: &mut Vec<u8>) {
    if parameters.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    let mut before = b'(';
    for (name, value) in parameters {
        out.push(std::mem::replace(&mut before, b' '));
        string(name, out);
        out.push(b' ');
        string(value, out);
    }
    out.push(b')');
}

//! BODY and BODYSTRUCTURE (RFC 3501 §7.4.2).

use bytes::Bytes;

use super::envelope::{Address, Envelope};
use super::word;

/// A name and its value.
pub type Parameter = (Bytes, Bytes);

/// One MIME part. `P` is the caller's own kind of part and `A` its kind of address, shown by functions, so
/// that a stored tree is written without copying it.
#[derive(Debug)]
pub struct BodyPart<'a, P, A> {
    /// `TEXT` of `text/plain`.
    pub media_type: &'a [u8],
    /// `PLAIN` of `text/plain`.
    pub media_subtype: &'a [u8],
    /// Content-Type's parameters.
    pub parameters: &'a [Parameter],
    /// Content-ID.
    pub id: Option<&'a [u8]>,
    /// Content-Description.
    pub description: Option<&'a [u8]>,
    /// Content-Transfer-Encoding.
    pub encoding: &'a [u8],
    /// Octets of the body in its transfer encoding.
    pub octets: u64,
    /// Lines of the body; shown for text and message parts.
    pub lines: u64,
    /// Content-MD5.
    pub md5: Option<&'a [u8]>,
    /// Content-Disposition and its parameters.
    pub disposition: Option<(&'a [u8], &'a [Parameter])>,
    /// Content-Language.
    pub language: &'a [Bytes],
    /// Content-Location.
    pub location: Option<&'a [u8]>,
    /// What is inside.
    pub content: BodyContent<'a, P, A>,
}

/// What is inside a part.
#[derive(Debug)]
pub enum BodyContent<'a, P, A> {
    /// No further part.
    Leaf,
    /// The parts of a multipart.
    Multipart(&'a [P]),
    /// A message/rfc822.
    Message {
        /// The inner message's header.
        envelope: Envelope<'a, A>,
        /// The inner message's root part.
        structure: &'a P,
    },
}

/// What is still to be written.
enum Step<'a, P> {
    Part(&'a P),
    /// The rest of a multipart or message whose parts are written.
    Rest(&'a P),
}

/// Writes the tree below `root`: `extended` is BODYSTRUCTURE, else BODY. Its depth costs memory, not stack.
///
/// ```abnf
/// body = "(" (body-type-1part / body-type-mpart) ")"         ; RFC 3501 §9
/// ```
pub fn write<'a, P, A: 'a>(
    root: &'a P,
    part: &impl Fn(&'a P) -> BodyPart<'a, P, A>,
    address: &impl Fn(&'a A) -> Address<'a>,
    extended: bool,
    out: &mut Vec<u8>,
) {
    let mut steps = vec![Step::Part(root)];
    while let Some(step) = steps.pop() {
        match step {
            Step::Part(next) => begin(next, &part(next), address, extended, &mut steps, out),
            Step::Rest(begun) => finish(&part(begun), extended, out),
        }
    }
}

fn begin<'a, P, A: 'a>(
    part: &'a P,
    body: &BodyPart<'a, P, A>,
    address: &impl Fn(&'a A) -> Address<'a>,
    extended: bool,
    steps: &mut Vec<Step<'a, P>>,
    out: &mut Vec<u8>,
) {
    out.push(b'(');
    match &body.content {
        BodyContent::Leaf => {
            leaf_type(body, out);
            fields(body, out);
            if body.media_type.eq_ignore_ascii_case(b"TEXT") {
                out.push(b' ');
                word::number(body.lines, out);
            }
            extension(body, extended, out);
            out.push(b')');
        }
        BodyContent::Multipart(parts) => {
            if parts.is_empty() {
                // The grammar wants one part at least; a client counts on it.
                out.extend_from_slice(b"(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)");
            }
            steps.push(Step::Rest(part));
            steps.extend(parts.iter().rev().map(Step::Part));
        }
        BodyContent::Message { envelope, structure } => {
            out.extend_from_slice(b"\"MESSAGE\" \"RFC822\"");
            fields(body, out);
            out.push(b' ');
            envelope.write(address, out);
            out.push(b' ');
            steps.push(Step::Rest(part));
            steps.push(Step::Part(structure));
        }
    }
}

/// ```abnf
/// body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]
/// body-type-msg   = media-message SP body-fields SP envelope SP body SP body-fld-lines
/// ```
fn finish<P, A>(body: &BodyPart<'_, P, A>, extended: bool, out: &mut Vec<u8>) {
    out.push(b' ');
    if matches!(body.content, BodyContent::Multipart(_)) {
        word::string(body.media_subtype, out);
        if extended {
            out.push(b' ');
            parameters(body.parameters, out);
            disposition_to_location(body, out);
        }
    } else {
        word::number(body.lines, out);
        extension(body, extended, out);
    }
    out.push(b')');
}

/// The type of a part with nothing inside. `MESSAGE RFC822` promises an envelope and `MULTIPART` promises
/// parts; one that could not be taken apart is octets.
fn leaf_type<P, A>(body: &BodyPart<'_, P, A>, out: &mut Vec<u8>) {
    let message = body.media_type.eq_ignore_ascii_case(b"MESSAGE")
        && (body.media_subtype.eq_ignore_ascii_case(b"RFC822")
            || body.media_subtype.eq_ignore_ascii_case(b"GLOBAL"));
    if message || body.media_type.eq_ignore_ascii_case(b"MULTIPART") {
        out.extend_from_slice(b"\"APPLICATION\" \"OCTET-STRING\"");
    } else {
        word::string(body.media_type, out);
        out.push(b' ');
        word::string(body.media_subtype, out);
    }
}

/// ```abnf
/// body-fields = body-fld-param SP body-fld-id SP body-fld-desc SP body-fld-enc SP body-fld-octets
/// ```
fn fields<P, A>(body: &BodyPart<'_, P, A>, out: &mut Vec<u8>) {
    out.push(b' ');
    parameters(body.parameters, out);
    out.push(b' ');
    word::nstring(body.id, out);
    out.push(b' ');
    word::nstring(body.description, out);
    out.push(b' ');
    word::string(body.encoding, out);
    out.push(b' ');
    word::number(body.octets, out);
}

/// ```abnf
/// body-ext-1part = body-fld-md5 SP body-fld-dsp SP body-fld-lang SP body-fld-loc
/// ```
fn extension<P, A>(body: &BodyPart<'_, P, A>, extended: bool, out: &mut Vec<u8>) {
    if extended {
        out.push(b' ');
        word::nstring(body.md5, out);
        disposition_to_location(body, out);
    }
}

/// ```abnf
/// body-fld-dsp  = "(" string SP body-fld-param ")" / nil
/// body-fld-lang = nstring / "(" string *(SP string) ")"
/// ```
fn disposition_to_location<P, A>(body: &BodyPart<'_, P, A>, out: &mut Vec<u8>) {
    out.push(b' ');
    match body.disposition {
        Some((disposition, values)) => {
            out.push(b'(');
            word::string(disposition, out);
            out.push(b' ');
            parameters(values, out);
            out.push(b')');
        }
        None => out.extend_from_slice(b"NIL"),
    }
    out.push(b' ');
    match body.language {
        [] => out.extend_from_slice(b"NIL"),
        [one] => word::string(one, out),
        several => {
            for (index, language) in several.iter().enumerate() {
                out.push(if index == 0 { b'(' } else { b' ' });
                word::string(language, out);
            }
            out.push(b')');
        }
    }
    out.push(b' ');
    word::nstring(body.location, out);
}

/// ```abnf
/// body-fld-param = "(" string SP string *(SP string SP string) ")" / nil
/// ```
fn parameters(parameters: &[Parameter], out: &mut Vec<u8>) {
    if parameters.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    for (index, (name, value)) in parameters.iter().enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        word::string(name, out);
        out.push(b' ');
        word::string(value, out);
    }
    out.push(b')');
}

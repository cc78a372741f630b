//! DKIM signatures (RFC 6376, RFC 8301, RFC 8463).

use mail_auth::common::crypto::Algorithm;
use mail_auth::common::verify::VerifySignature as _;
use mail_auth::dkim::Signature;
use mail_auth::{AuthenticatedMessage, DkimOutput, DkimResult as Outcome, MessageAuthenticator, Parameters};

use super::lookup::Known;
use super::results::{DkimResult, Word};

/// Octets of a signature that tell it from others.
const SIGNATURE_SHOWN: usize = 6;

/// One signature: what the library says, for DMARC, and what is told.
pub(super) struct Verified<'a> {
    pub(super) output: DkimOutput<'a>,
    pub(super) result: DkimResult,
}

/// The names of the keys that the signatures refer to.
pub(super) fn names<'a>(message: &'a AuthenticatedMessage<'_>) -> impl Iterator<Item = String> + 'a {
    message.dkim_headers.iter().map(|header| header.header.domain_key().to_lowercase())
}

/// Checks every signature of a message. `malformed` are those that were sorted out before ([`strict`](super::strict)).
pub(super) async fn verify<'a>(
    library: &MessageAuthenticator,
    message: &'a AuthenticatedMessage<'a>,
    known: &'a Known,
    malformed: usize,
) -> Vec<Verified<'a>> {
    let parameters = Parameters::new(message).with_txt_cache(known);
    let outputs = library.verify_dkim(parameters).await;
    let gone = (0..malformed).map(|_| DkimOutput::neutral(mail_auth::Error::ParseError));
    outputs.into_iter().chain(gone).map(judge).collect()
}

/// The library's result, and where a rule is stricter, ours.
fn judge(output: DkimOutput<'_>) -> Verified<'_> {
    let (mut result, mut reason) = match output.result() {
        Outcome::Pass => (Word::Pass, String::new()),
        Outcome::Neutral(why) => (Word::Neutral, why.to_string()),
        Outcome::Fail(why) => (Word::Fail, why.to_string()),
        Outcome::PermError(why) => (Word::PermError, why.to_string()),
        Outcome::TempError(why) => (Word::TempError, why.to_string()),
        Outcome::None => (Word::None, String::new()),
    };
    let objection = output.signature().and_then(objection);
    let output = match objection {
        Some(why) if result == Word::Pass => {
            (result, reason) = (Word::Policy, why.to_owned());
            DkimOutput::neutral(mail_auth::Error::NotAligned)
        }
        _ => output.clone(),
    };
    let told = output.signature().map_or_else(DkimResult::default, told);
    Verified { result: DkimResult { result, reason, ..told }, output }
}

/// Why a signature that is right proves nothing all the same.
fn objection(signature: &Signature) -> Option<&'static str> {
    if signature.a == Algorithm::RsaSha1 {
        // RFC 8301 §3.1
        return Some("SHA-1 is not safe");
    }
    if !signature.h.iter().any(|name| name.eq_ignore_ascii_case("from")) {
        // RFC 6376 §5.4
        return Some("the From field is not signed");
    }
    None
}

fn told(signature: &Signature) -> DkimResult {
    use base64::Engine as _;
    let algorithm = match signature.a {
        Algorithm::RsaSha1 => "rsa-sha1",
        Algorithm::RsaSha256 => "rsa-sha256",
        Algorithm::Ed25519Sha256 => "ed25519-sha256",
    };
    let shown = signature.b.get(..SIGNATURE_SHOWN).unwrap_or(&signature.b);
    DkimResult {
        domain: signature.d.to_lowercase(),
        selector: signature.s.to_lowercase(),
        algorithm: algorithm.to_owned(),
        signature: base64::engine::general_purpose::STANDARD.encode(shown),
        ..DkimResult::default()
    }
}

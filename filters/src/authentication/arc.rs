//! ARC: what mail systems on the way say that they saw (RFC 8617).

use mail_auth::common::verify::VerifySignature as _;
use mail_auth::{AuthenticatedMessage, DkimResult as Outcome, MessageAuthenticator, Parameters};

use super::lookup::Known;
use super::results::{ArcResult, Word};

/// The names of the keys that seals and signatures of the sets refer to.
pub(super) fn names<'a>(
    message: &'a AuthenticatedMessage<'_>,
    sets_max: usize,
) -> impl Iterator<Item = String> + 'a {
    let seals = message.as_headers.iter().take(sets_max).map(|header| header.header.domain_key());
    let signatures = message.ams_headers.iter().take(sets_max).map(|header| header.header.domain_key());
    seals.chain(signatures).map(|name| name.to_lowercase())
}

/// Checks the whole chain.
pub(super) async fn verify<'a>(
    library: &MessageAuthenticator,
    message: &'a AuthenticatedMessage<'a>,
    known: &'a Known,
) -> ArcResult {
    let output = library.verify_arc(Parameters::new(message).with_txt_cache(known)).await;
    let (result, reason) = match output.result() {
        Outcome::Pass => (Word::Pass, String::new()),
        Outcome::None => (Word::None, String::new()),
        Outcome::TempError(why) => (Word::TempError, why.to_string()),
        Outcome::Neutral(why) | Outcome::Fail(why) | Outcome::PermError(why) => (Word::Fail, why.to_string()),
    };
    let last = output.sets().last();
    let sealer = last.map(|set| set.seal.header.domain().to_lowercase()).unwrap_or_default();
    let saw_dmarc_pass = last.is_some_and(|set| says_pass(set.results.value));
    ArcResult { result, sealer, sets: output.sets().len(), saw_dmarc_pass, reason }
}

/// Whether an ARC-Authentication-Results field has `dmarc=pass` as a result of its own, outside comments and quotes.
fn says_pass(value: &[u8]) -> bool {
    super::field::methods(&String::from_utf8_lossy(value))
        .any(|(method, result)| method.eq_ignore_ascii_case("dmarc") && result.eq_ignore_ascii_case("pass"))
}

//! What of a message is not even shown to the library.

use std::borrow::Cow;

use super::AuthenticationConfig;

/// A message without the signatures that are too many or too much.
pub(super) struct Kept<'a> {
    pub(super) message: Cow<'a, [u8]>,
    /// Signatures that are left out.
    pub(super) ignored: usize,
    /// There are more ARC sets than are looked at, so that none is.
    pub(super) chain_too_long: bool,
}

/// Leaves out DKIM signatures beyond `signatures_max` and those that name more than `signed_fields_max` fields, and every ARC field when there
/// are more sets than `arc_sets_max`: each costs a hash over the header and a question to the DNS.
pub(super) fn removed<'a>(message: &'a [u8], config: &AuthenticationConfig) -> Kept<'a> {
    let mut signatures = 0;
    let mut arc_fields = 0;
    let fields = crate::fields::split(message);
    let unwanted: Vec<bool> = fields
        .iter()
        .map(|field| {
            if field.is(b"dkim-signature") {
                let names = field.value.iter().filter(|byte| **byte == b':').count();
                if names > config.signed_fields_max {
                    return true;
                }
                signatures += 1;
                return signatures > config.signatures_max;
            }
            if is_arc(field) {
                arc_fields += 1;
                let names = field.value.iter().filter(|byte| **byte == b':').count();
                return field.is(b"arc-message-signature") && names > config.signed_fields_max;
            }
            false
        })
        .collect();
    let without_arc = arc_fields > config.arc_sets_max.saturating_mul(3);
    let ignored = unwanted.iter().filter(|unwanted| **unwanted).count();
    if ignored == 0 && !without_arc {
        return Kept { message: Cow::Borrowed(message), ignored, chain_too_long: false };
    }
    let mut kept = Vec::with_capacity(message.len());
    let mut end = 0;
    for (field, unwanted) in fields.iter().zip(unwanted) {
        let left_out = unwanted || without_arc && is_arc(field);
        if !left_out {
            kept.extend_from_slice(field.octets);
        }
        end += field.octets.len();
    }
    kept.extend_from_slice(message.get(end..).unwrap_or_default());
    Kept { message: Cow::Owned(kept), ignored, chain_too_long: without_arc }
}

fn is_arc(field: &crate::fields::Field<'_>) -> bool {
    field.is(b"arc-seal") || field.is(b"arc-message-signature") || field.is(b"arc-authentication-results")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_left_out() {
        let config = AuthenticationConfig { signatures_max: 2, ..AuthenticationConfig::default() };
        let check = |message: &str, expected: &str, ignored: usize| {
            let kept = removed(message.as_bytes(), &config);
            assert_eq!((std::str::from_utf8(&kept.message).unwrap(), kept.ignored), (expected, ignored));
        };
        check(
            "DKIM-Signature: a\r\nA: b\r\nDKIM-Signature: b\r\n\r\ntext",
            "DKIM-Signature: a\r\nA: b\r\nDKIM-Signature: b\r\n\r\ntext",
            0,
        );
        check(
            "DKIM-Signature: a\r\ndkim-signature: b\r\n c\r\nDKIM-Signature: c\r\n d\r\nA: b\r\n\r\nDKIM-Signature: t",
            "DKIM-Signature: a\r\ndkim-signature: b\r\n c\r\nA: b\r\n\r\nDKIM-Signature: t",
            1,
        );
        let names = "a:".repeat(129);
        check(&format!("DKIM-Signature: h={names}\r\nA: b\r\n\r\n"), "A: b\r\n\r\n", 1);
        let seals = "ARC-Seal: i=1\r\n".repeat(151);
        check(&format!("{seals}A: b\r\n\r\ntext"), "A: b\r\n\r\ntext", 0);
    }
}

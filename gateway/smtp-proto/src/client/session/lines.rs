//! The lines that a client sends.

use envelope::Return;

use super::super::extensions::Extensions;
use super::{To, Transaction};

pub(super) fn mail(extensions: &Extensions, transaction: &Transaction) -> String {
    let mut text = format!("MAIL FROM:<{}>", transaction.reverse_path);
    if extensions.size {
        text.push_str(&format!(" SIZE={}", transaction.size));
    }
    if transaction.smtp_utf8 {
        text.push_str(" SMTPUTF8");
    }
    if (transaction.eight_bit || transaction.smtp_utf8) && extensions.eight_bit {
        text.push_str(" BODY=8BITMIME");
    }
    if transaction.require_tls {
        text.push_str(" REQUIRETLS");
    }
    if extensions.dsn {
        match transaction.returned {
            Some(Return::Full) => text.push_str(" RET=FULL"),
            Some(Return::Headers) => text.push_str(" RET=HDRS"),
            None => {}
        }
        if let Some(id) = &transaction.envelope_id {
            text.push_str(&format!(" ENVID={}", xtext(id)));
        }
    }
    ended(text)
}

pub(super) fn rcpt(extensions: &Extensions, to: &To) -> String {
    let mut text = format!("RCPT TO:<{}>", to.address);
    if extensions.dsn {
        if let Some(notify) = to.notify {
            let wanted = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
            let words: Vec<_> = wanted.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
            let words = if words.is_empty() { "NEVER".to_owned() } else { words.join(",") };
            text.push_str(&format!(" NOTIFY={words}"));
        }
        if let Some(original) = &to.original {
            text.push_str(&format!(" ORCPT={};{}", original.kind, xtext(&original.address)));
        }
    }
    ended(text)
}

/// Values are parsed types; what a configured name could smuggle in ends here.
pub(super) fn ended(mut text: String) -> String {
    text.retain(|c| !c.is_control());
    text.push_str("\r\n");
    text
}

/// ```abnf
/// xtext   = *( xchar / hexchar )      ; RFC 3461 §4
/// hexchar = "+" 2(%x30-39 / %x41-46)
/// ```
/// Characters beyond ASCII as RFC 6533 §3 has them in `utf-8-addr-xtext`: `\x{…}`.
fn xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '!'..='~' if c != '+' && c != '=' && c != '\\' => out.push(c),
            c if c.is_ascii() => out.push_str(&format!("+{:02X}", u32::from(c))),
            c => out.push_str(&format!("\\x{{{:X}}}", u32::from(c))),
        }
    }
    out
}

//! Every parser of the workspace as a fuzz target, and the whole sessions of SMTP, POP3, milters and logins among them.
//!
//! Each room has its entries (`fuzz_*`): they feed octets and assert what must hold whatever these are. The same entries run under the rooms' own tests with
//! octets from proptest. Here libFuzzer looks for the ones that reach something new. `cargo xtask fuzz` builds and runs this.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

type Target = (&'static str, fn(&[u8]));

/// By name. What is fed with whole messages begins with those of `tests/corpus`.
const TARGETS: &[Target] = &[
    ("delivery-message", delivery::fuzz_message),
    ("filters-author", filters::fuzz_author),
    ("filters-changes", filters::fuzz_changes),
    ("filters-counts", filters::reports::fuzz_counts),
    ("filters-dnsbl-answers", filters::reputation::fuzz_answers),
    ("filters-dnsbl-reason", filters::reputation::fuzz_reason),
    ("filters-facts", filters::fuzz_facts),
    ("filters-rspamd-answer", filters::scanner::fuzz_rspamd_answer),
    ("filters-signature", filters::fuzz_signature),
    ("filters-spf", filters::fuzz_spf),
    ("filters-tls-record", filters::reports::fuzz_tls_record),
    ("gateway-binary", gateway::fuzz_binary),
    ("imap-command", imap_proto::fuzz::fuzz_command),
    ("imap-frame", imap_proto::fuzz::fuzz_frame),
    ("imap-mutf7", imap_proto::fuzz::fuzz_mutf7),
    ("milter-command", milter_proto::fuzz_command),
    ("milter-packet", milter_proto::fuzz_packet),
    ("milter-reply", milter_proto::fuzz_reply),
    ("milter-session", milter_proto::fuzz_session),
    ("oauth-tokens", directory::fuzz_tokens),
    ("pop3-client", pop3_proto::fuzz_client),
    ("pop3-command", pop3_proto::fuzz_command),
    ("pop3-session", pop3_proto::fuzz_session),
    ("pop3-stuffing", pop3_proto::fuzz_stuffing),
    ("runtime-certificate", runtime::tls::fuzz_certificate),
    ("runtime-end-point", runtime::tls::fuzz_end_point),
    ("runtime-fetch", runtime::fetch::fuzz_fetch),
    ("runtime-proxy-header", runtime::fuzz_proxy_header),
    ("sasl-exchange", sasl::fuzz_exchange),
    ("sasl-password-hash", sasl::fuzz_password_hash),
    ("sasl-scram-secret", sasl::fuzz_scram_secret),
    ("smtp-chunks", smtp_proto::fuzz_chunks),
    ("smtp-command", smtp_proto::fuzz_command),
    ("smtp-data", smtp_proto::fuzz_data),
    ("smtp-reply", smtp_proto::fuzz_reply),
    ("smtp-session", smtp_proto::fuzz_session),
    ("smtp-stuffing", smtp_proto::fuzz_stuffing),
    ("store-file-name", store::fuzz_file_name),
    ("store-journal", store::fuzz_journal),
    ("store-snapshot", store::fuzz_snapshot),
    ("store-summary", store::fuzz_summary),
    ("store-uid-list", store::fuzz_uid_list),
];

static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();

/// libFuzzer calls one function: which target that is says the environment; with another name all are told.
fn choose() {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let Some((_, target)) = TARGETS.iter().find(|(name, _)| *name == wanted) else {
        let all: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        println!("{}", all.join("\n"));
        std::process::exit(if wanted == "list" { 0 } else { 2 })
    };
    let _ = CHOSEN.set(*target);
}

fuzz_target!(init: choose(), |input: &[u8]| {
    if let Some(target) = CHOSEN.get() {
        target(input);
    }
});

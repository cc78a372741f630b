use envelope::Timestamp;
use mail_parser::{MessageParser, MimeHeaders as _};

use super::*;
use crate::dns::zone::Zone;
use crate::reports::Draft;

const NOON: u64 = 1_764_417_600;

fn submitter() -> Submitter {
    Submitter {
        organization: "Ours \"&\" <co>".to_owned(),
        contact: "tls@ours.test".parse().unwrap(),
        hostname: "mx1.ours.test".to_owned(),
    }
}

fn counts(rows: &[(&TlsRow, u64)]) -> Counts {
    let mut text = String::new();
    for (number, (row, count)) in rows.iter().enumerate() {
        let row = serde_json::to_string(row).unwrap();
        text.push_str(&format!("{{\"n\":{number},\"row\":{row},\"count\":{count}}}\n"));
    }
    let mut all = Counts::default();
    all.add(text.as_bytes());
    all
}

fn row(policy: TlsPolicy, result: Option<TlsResult>) -> TlsRow {
    let failure = result.map(|result| TlsFailure {
        result,
        server: "MX.a.test".to_owned(),
        address: Some("192.0.2.25".parse().unwrap()),
    });
    TlsRow::new(&"a.test".parse().unwrap(), policy, failure).unwrap()
}

fn sts() -> TlsPolicy {
    let lines = ["version: STSv1", "mode: enforce", "mx: *.a.test", "max_age: 60"].map(str::to_owned);
    TlsPolicy::new(TlsPolicyKind::Sts, lines.to_vec(), vec!["*.a.test".to_owned()])
}

#[test]
fn a_report_is_read_back_as_it_was_meant() {
    let good = row(sts(), None);
    let expired = row(sts(), Some(TlsResult::CertificateExpired));
    let plain = row(TlsPolicy::none(), Some(TlsResult::StarttlsNotSupported));
    let found = tls_subjects(&counts(&[(&good, 5), (&expired, 2), (&plain, 1), (&good, 1)]), 10);
    assert_eq!((found.len(), found[0].sessions, found[0].rows()), (1, 9, 2));
    let draft = Draft::tls(&submitter(), Day::of(NOON), &found[0], 0);
    let to = ReportAddress { address: "t@a.test".parse().unwrap(), octets_max: 0 };
    let (_, octets) = draft.mail(&to, 1 << 20, Timestamp::from_unix_milliseconds(1)).unwrap();
    let read = TlsReport::parse_rfc5322(&octets, 1 << 20).unwrap();
    assert_eq!(read, found[0].report(&submitter(), Day::of(NOON), draft.report_id()));
    let [first, second] = read.policies.as_slice() else { panic!("two policies") };
    assert_eq!((first.policy.policy_type, first.policy.policy_domain.as_str()), (PolicyType::Sts, "a.test"));
    assert_eq!(
        (first.policy.policy_string.len(), first.policy.mx_host.as_slice()),
        (4, &["*.a.test".to_owned()][..])
    );
    assert_eq!((first.summary.total_success, first.summary.total_failure), (6, 2));
    assert_eq!(first.failure_details[0].result_type, ResultType::CertificateExpired);
    assert_eq!(first.failure_details[0].receiving_mx_hostname.as_deref(), Some("mx.a.test"));
    assert_eq!(second.policy.policy_type, PolicyType::NoPolicyFound);
    // RFC 8460 §4.4: the names of what a report has.
    let text = draft.text();
    for part in [
        "\"organization-name\":",
        "\"start-datetime\":\"2025-11-29T00:00:00Z\"",
        "\"failed-session-count\":2",
        "\"result-type\":\"starttls-not-supported\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("null"), "{text}");

    let mail = MessageParser::default().parse(&octets[..]).unwrap();
    assert_eq!(mail.header("TLS-Report-Domain").unwrap().as_text(), Some("a.test"));
    assert_eq!(mail.header("TLS-Report-Submitter").unwrap().as_text(), Some("ours.test"));
    let subject = format!("Report Domain: a.test Submitter: ours.test Report-ID: <{}>", draft.report_id());
    assert_eq!(mail.subject(), Some(subject.as_str()));
    assert_eq!(mail.content_type().unwrap().attribute("report-type"), Some("tlsrpt"));
    let attached = mail.attachment(0).unwrap();
    assert_eq!(attached.attachment_name(), Some("ours.test!a.test!1764374400!1764460799.json.gz"));
    assert_eq!(attached.content_type().unwrap().subtype(), Some("tlsrpt+gzip"));
}

#[test]
fn what_servers_chose_is_bounded() {
    let many = (0..30).map(|number| format!("mx: {number}")).collect();
    let odd = vec![
        "x".repeat(LINE_OCTETS_MAX),
        "x".repeat(LINE_OCTETS_MAX + 1),
        "a\u{7}b".to_owned(),
        "\u{e9}".to_owned(),
    ];
    let policy = TlsPolicy::new(TlsPolicyKind::Sts, many, odd);
    assert_eq!((policy.lines.len(), policy.servers.len()), (LINES_MAX, 1));
    let failure =
        TlsFailure { result: TlsResult::ValidationFailure, server: "\"},{".to_owned(), address: None };
    let row = TlsRow::new(&"a.test".parse().unwrap(), TlsPolicy::none(), Some(failure.clone())).unwrap();
    assert_eq!(row.failure.unwrap().server, "");
    assert!(TlsRow::new(&"[192.0.2.1]".parse().unwrap(), TlsPolicy::none(), Some(failure)).is_none());

    let rows: Vec<TlsRow> = (0..5u8)
        .map(|last| {
            let mut row = self::row(sts(), Some(TlsResult::ValidationFailure));
            row.failure.as_mut().unwrap().address = Some([192, 0, 2, last].into());
            row
        })
        .collect();
    let rows: Vec<(&TlsRow, u64)> = rows.iter().map(|row| (row, 2)).collect();
    for (rows_max, kept) in [(4, 4), (5, 5), (6, 5)] {
        let found = tls_subjects(&counts(&rows), rows_max);
        assert_eq!((found[0].policies[0].failures.len(), found[0].policies[0].bad), (kept, 10));
    }
}

#[tokio::test]
async fn addresses_are_those_of_the_record() {
    let check = async |record: &str, expected: &[&str]| {
        let zone = Zone::default().with("TXT", "_smtp._tls.a.test", record).with(
            "TXT",
            "_smtp._tls.a.test",
            "other",
        );
        let said = check_tls(&zone, "a.test", 3).await;
        let said: Vec<String> = said
            .iter()
            .map(|one| match one {
                Checked::Allowed(one) => one.address.to_string(),
                Checked::Refused { address, .. } => format!("{address} refused"),
                Checked::Unknown { .. } => "unknown".to_owned(),
            })
            .collect();
        assert_eq!(said, expected, "{record}");
    };
    check("v=TLSRPTv1; rua=mailto:t@a.test", &["t@a.test"]).await;
    check(
        "v=TLSRPTv1;rua=MAILTO:t@b.test , https://a.test/x,mailto:t@b.test",
        &["t@b.test", "https://a.test/x refused", "t@b.test"],
    )
    .await;
    check(
        "v=TLSRPTv1; x=y; rua=mailto:1@a.test,mailto:2@a.test,mailto:3@a.test,mailto:4@a.test;",
        &["1@a.test", "2@a.test", "3@a.test"],
    )
    .await;
    check("v=TLSRPTv1; rua=mailto:nobody", &["mailto:nobody refused"]).await;
    check("v=TLSRPTv1; rua=\u{e9}", &["\u{e9} refused"]).await;
    check("v=TLSRPTv1", &[]).await;
    check("v=TLSRPTv1; rua=", &[]).await;
    check("v=TLSRPTv2; rua=mailto:t@a.test", &[]).await;
    let two = Zone::default().with("TXT", "_smtp._tls.a.test", "v=TLSRPTv1; rua=mailto:t@a.test").with(
        "TXT",
        "_smtp._tls.a.test",
        "v=TLSRPTv1; rua=mailto:u@a.test",
    );
    assert_eq!(check_tls(&two, "a.test", 3).await, []);
    assert_eq!(check_tls(&Zone::default(), "a.test", 3).await, []);
    let down = Zone::default().failing("_smtp._tls.a.test");
    assert!(matches!(check_tls(&down, "a.test", 3).await.as_slice(), [Checked::Unknown { .. }]));
}

proptest::proptest! {
    #[test]
    fn any_record_can_be_read(text in "(v=TLSRPTv1)?[ ;,=:!?@a-z0-9.\\[\\]\u{e9}]{0,40}(;rua=)?(mailto:)?[ ;,:!?@a-z0-9.%]{0,40}\u{0}?") {
        fuzz_tls_record(text.as_bytes());
    }
}

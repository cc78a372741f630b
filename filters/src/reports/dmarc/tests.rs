use std::sync::Arc;

use bytes::Bytes;
use envelope::{Address, Entrance, Origin, Priority, ReversePath, Timestamp};
use mail_parser::MessageParser;
use prometheus::Registry;

use super::*;
use crate::authentication::{DkimResult as Signature, DmarcResult as Found, ReportUri, SpfFinding};
use crate::reports::{Draft, DraftError, ReportAddress, ReportKind, ReportsConfig, Tally};

const NOON: u64 = 1_764_417_600;

fn envelope(recipients: &[&str]) -> Envelope {
    Envelope {
        id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
        received_at: Timestamp::from_unix_milliseconds(NOON * 1000),
        reverse_path: ReversePath::Address("bounces@mail.a.test".parse().unwrap()),
        recipients: recipients.iter().map(|one| one.parse::<Address>().unwrap().into()).collect(),
        origin: Origin {
            entrance: Entrance::Mx,
            peer: Some("::ffff:192.0.2.1".parse().unwrap()),
            helo: "helo.test".to_owned(),
            authenticated: None,
            tls: false,
        },
        size: 0,
        smtp_utf8: false,
        priority: Priority::Interactive,
        envelope_id: None,
        returned: None,
        require_tls: false,
        list: None,
        filtered: None,
    }
}

fn found() -> Authentication {
    let published = PublishedPolicy {
        domain: "a.test".to_owned(),
        policy: DmarcPolicy::Reject,
        subdomain_policy: DmarcPolicy::Quarantine,
        strict_dkim: true,
        failure_options: "1".to_owned(),
        reports_to: vec![ReportUri { address: "d@a.test".to_owned(), octets_max: 0 }],
        ..PublishedPolicy::default()
    };
    Authentication {
        spf: SpfFinding { result: Word::SoftFail, domain: "mail.a.test".to_owned(), ..SpfFinding::default() },
        dkim: vec![
            Signature {
                result: Word::Pass,
                domain: "a.test".to_owned(),
                selector: "s1".to_owned(),
                ..Signature::default()
            },
            // What is no domain is left out, whoever wrote it.
            Signature { domain: "<b>&\r\n".to_owned(), selector: "s".to_owned(), ..Signature::default() },
            Signature {
                domain: "b.test".to_owned(),
                selector: "\"><!ENTITY".to_owned(),
                ..Signature::default()
            },
        ],
        dmarc: Found {
            result: Word::Pass,
            domain: "www.a.test".to_owned(),
            policy: DmarcPolicy::Quarantine,
            dkim_aligned: true,
            published: Some(published),
            ..Found::default()
        },
        ..Authentication::default()
    }
}

fn row() -> DmarcRow {
    DmarcRow::of(&found(), &envelope(&["x@ours.test", "y@ours.test"]), Applied::default()).unwrap()
}

fn submitter() -> Submitter {
    Submitter {
        organization: "Müller&<Söhne>".to_owned(),
        contact: "reports@ours.test".parse().unwrap(),
        hostname: "mx1.ours.test".to_owned(),
    }
}

fn subjects(counts: &[(&DmarcRow, u64)], rows_max: usize) -> Vec<DmarcSubject> {
    let mut text = String::new();
    for (number, (row, count)) in counts.iter().enumerate() {
        let row = serde_json::to_string(row).unwrap();
        text.push_str(&format!("{{\"n\":{number},\"row\":{row},\"count\":{count}}}\n"));
    }
    let mut all = Counts::default();
    all.add(text.as_bytes());
    dmarc_subjects(&all, rows_max)
}

#[test]
fn a_row_has_domains_and_no_addresses() {
    let row = row();
    assert_eq!((row.envelope_from.as_str(), row.envelope_to.as_str()), ("mail.a.test", "ours.test"));
    assert_eq!((row.header_from.as_str(), row.disposition), ("www.a.test", Disposition::Pass));
    assert_eq!(row.source, "192.0.2.1".parse::<IpAddr>().unwrap());
    assert_eq!(row.dkim.len(), 1);
    let two =
        DmarcRow::of(&found(), &envelope(&["x@ours.test", "y@theirs.test"]), Applied::default()).unwrap();
    assert_eq!(two.envelope_to, "", "recipients of two domains");

    let with = |change: fn(&mut Authentication)| {
        let mut found = found();
        change(&mut found);
        let applied = Applied { disposition: Disposition::Reject, reason: None };
        DmarcRow::of(&found, &envelope(&["x@ours.test"]), applied).map(|row| (row.disposition, row.reason))
    };
    assert_eq!(with(|found| found.dmarc.result = Word::Fail), Some((Disposition::Reject, None)));
    assert_eq!(with(|found| found.dmarc.result = Word::TempError), None);
    assert_eq!(with(|found| found.dmarc.result = Word::None), None);
    assert_eq!(with(|found| found.dmarc.published = None), None, "no policy was looked up");
    let unwanted = with(|found| found.dmarc.published.as_mut().unwrap().reports_to.clear());
    assert_eq!(unwanted, None, "nobody wants to hear of it");
    assert_eq!(with(|found| found.dmarc.domain = "a..test".to_owned()), None);
    let testing = with(|found| {
        found.dmarc.result = Word::Fail;
        found.dmarc.published.as_mut().unwrap().testing = true;
    });
    assert_eq!(testing, Some((Disposition::Reject, Some(Override::PolicyTestMode))));
}

#[test]
fn a_report_is_read_back_as_it_was_meant() {
    let failing = DmarcRow {
        disposition: Disposition::None,
        reason: Some(Override::LocalPolicy),
        dkim_aligned: false,
        envelope_from: String::new(),
        envelope_to: String::new(),
        ..row()
    };
    let subjects = subjects(&[(&row(), 3), (&failing, 5)], 10);
    assert_eq!(subjects.len(), 1);
    let draft = Draft::dmarc(&submitter(), Day::of(NOON), &subjects[0], 0);
    let to = ReportAddress { address: "d@a.test".parse().unwrap(), octets_max: 0 };
    let (envelope, octets) = draft.mail(&to, 1 << 20, Timestamp::from_unix_milliseconds(1)).unwrap();
    assert_eq!((envelope.size, envelope.reverse_path), (octets.len() as u64, ReversePath::Null));

    let read = Report::parse_rfc5322(&octets, 1 << 20).unwrap();
    let metadata = &read.report_metadata;
    assert_eq!((read.version, metadata.org_name.as_str()), (1.0, "Müller&<Söhne>"));
    assert_eq!(
        (metadata.email.as_str(), metadata.report_id.as_str()),
        ("reports@ours.test", draft.report_id())
    );
    assert_eq!((metadata.date_range.begin, metadata.date_range.end), (NOON - 43_200, NOON + 43_199));
    let policy = &read.policy_published;
    assert_eq!(
        (policy.domain.as_str(), policy.p, policy.sp),
        ("a.test", PolicyWord::Reject, PolicyWord::Quarantine)
    );
    assert_eq!((policy.adkim, policy.aspf, policy.testing), (Alignment::Strict, Alignment::Relaxed, false));
    assert_eq!(read.record, [failing.record(5), row().record(3)], "the most frequent first");

    let mail = MessageParser::default().parse(&octets[..]).unwrap();
    let subject = format!("Report Domain: a.test Submitter: ours.test Report-ID: <{}>", draft.report_id());
    assert_eq!(mail.subject(), Some(subject.as_str()));
    assert_eq!(mail.from().unwrap().first().unwrap().address(), Some("reports@ours.test"));
    assert_eq!(mail.from().unwrap().first().unwrap().name(), Some("Müller&<Söhne>"));
    let name = mail_parser::MimeHeaders::attachment_name(mail.attachment(0).unwrap());
    assert_eq!(name, Some("ours.test!a.test!1764374400!1764460799.xml.gz"));
    assert!(octets.split(|byte| *byte == b'\n').all(|line| line.len() <= 998));
    assert!(!draft.text().contains("x@ours.test"), "recipients are nobody else's business");
}

#[test]
fn what_strangers_chose_stays_text() {
    let hostile = DmarcRow {
        envelope_from: "</identifiers><x a=\"&lt;'\">]]>".to_owned(),
        header_from: "&xxe;".to_owned(),
        spf: Some(RowSpf { domain: "<!DOCTYPE a [<!ENTITY x\"y\">]>".to_owned(), result: Word::PermError }),
        ..row()
    };
    let subjects = subjects(&[(&hostile, 1)], 10);
    let draft = Draft::dmarc(&submitter(), Day::of(NOON), &subjects[0], 0);
    assert_eq!(Report::parse_xml(draft.text().as_bytes()).unwrap().record, [hostile.record(1)]);
    assert!(!draft.text().contains("<!") && !draft.text().contains("&xxe"));
}

#[test]
fn a_report_is_as_large_as_is_wanted_and_no_larger() {
    let subjects = subjects(&[(&row(), 1)], 10);
    let draft = Draft::dmarc(&submitter(), Day::of(NOON), &subjects[0], 0);
    let now = Timestamp::from_unix_milliseconds(1);
    let mail = |theirs: u64, ours: u64| {
        let to = ReportAddress { address: "d@a.test".parse().unwrap(), octets_max: theirs };
        match draft.mail(&to, ours, now) {
            Ok(_) => None,
            Err(DraftError::TooLarge { octets_max, .. }) => Some(octets_max),
            Err(DraftError::Write(error)) => panic!("{error}"),
        }
    };
    // Its size changes a little with the date and the boundary.
    assert_eq!(
        [mail(0, 10_000), mail(10_000, 20_000), mail(1000, 20_000), mail(0, 1000)],
        [None, None, Some(1000), Some(1000)]
    );
}

#[test]
fn names_stay_and_sendings_differ() {
    let subjects = subjects(&[(&row(), 1)], 10);
    let (day, to) = (Day::of(NOON), "D@a.test".parse().unwrap());
    let draft = |times, submitter: &Submitter| Draft::dmarc(submitter, day, &subjects[0], times);
    let (one, again) = (draft(0, &submitter()), draft(0, &submitter()));
    assert_eq!((one.report_id(), one.id(&to)), (again.report_id(), again.id(&to)));
    let second = draft(1, &submitter());
    assert!(one.report_id() != second.report_id() && one.id(&to) != second.id(&to));
    let other = draft(0, &Submitter { hostname: "mx2.ours.test".to_owned(), ..submitter() });
    assert!(one.report_id() != other.report_id(), "another node has counts of its own");
    assert!(one.id(&to) != one.id(&"e@a.test".parse().unwrap()));
}

#[test]
fn a_changing_policy_makes_one_report_and_rows_are_bounded() {
    let changed = |number: u32| {
        let reports_to = vec![ReportUri { address: format!("d{number}@a.test"), octets_max: 0 }];
        DmarcRow { policy: PublishedPolicy { reports_to, ..row().policy }, ..row() }
    };
    let rows: Vec<DmarcRow> = (0..50).map(changed).collect();
    let mut counts: Vec<(&DmarcRow, u64)> = rows.iter().map(|row| (row, 1)).collect();
    counts[7].1 = 3;
    let found = subjects(&counts, 10);
    assert_eq!((found.len(), found[0].messages, found[0].rows.len()), (1, 52, 1));
    assert_eq!(found[0].policy, rows[7].policy);

    let sources: Vec<DmarcRow> =
        (0..4u8).map(|last| DmarcRow { source: [192, 0, 2, last].into(), ..row() }).collect();
    let counts: Vec<(&DmarcRow, u64)> = sources.iter().zip([1, 4, 2, 3]).collect();
    for (rows_max, left_out) in [(3, 1), (4, 0), (5, 0)] {
        let found = subjects(&counts, rows_max);
        assert_eq!((found[0].left_out, found[0].messages), (left_out, 10));
        assert_eq!(found[0].rows[0].1, 4);
        let errors = Draft::dmarc(&submitter(), Day::of(NOON), &found[0], 0).text().contains("in no record");
        assert_eq!(errors, left_out > 0);
    }
}

#[test]
fn the_files_of_two_gateways_make_one_report() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let config = ReportsConfig {
        organization: "Ours".to_owned(),
        contact: "r@ours.test".to_owned(),
        ..ReportsConfig::default()
    };
    let mut counts = Counts::default();
    for folder in &folders {
        let tally: Arc<Tally> =
            Tally::new(ReportKind::Dmarc, folder.path().to_owned(), config.clone(), &Registry::new())
                .unwrap();
        (0..2).for_each(|_| tally.count("a.test", &row(), NOON));
        tally.flush(std::time::UNIX_EPOCH + std::time::Duration::from_secs(NOON));
        counts.add_file(&ReportKind::Dmarc.counts_path(folder.path(), Day::of(NOON)), 1 << 20).unwrap();
    }
    let found = dmarc_subjects(&counts, 10);
    assert_eq!((found.len(), found[0].rows.as_slice()), (1, &[(row(), 4)][..]));
    let xml: Bytes = Draft::dmarc(&submitter(), Day::of(NOON), &found[0], 0).text().into();
    assert_eq!(Report::parse_xml(&xml).unwrap().record[0].row.count, 4);
}

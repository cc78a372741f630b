//! Messages through all checks, as far as reports are about them.

use std::path::Path;

use envelope::{Address, Entrance, Envelope, Origin, Priority, ReversePath, Timestamp};
use shared_state::Guarded;

use super::*;
use crate::dns::zone::Zone;
use crate::reports::{Counts, Day, Disposition, DmarcRow, Override, ReportsConfig};
use crate::{DmarcAction, ReputationConfig};

const NOON: u64 = 1_764_417_600;

fn zone() -> Zone {
    let record = |policy: &str| format!("v=DMARC1; p={policy}; rua=mailto:d@a.test!10m,https://a.test/");
    Zone::default()
        .with("TXT", "a.test", "v=spf1 ip4:192.0.2.1 -all exp=why.a.test")
        .with("TXT", "why.a.test", "%{i} is none of ours")
        .with("TXT", "_dmarc.a.test", &record("reject"))
        .with("TXT", "_dmarc.quarantine.test", &record("quarantine"))
        .with("TXT", "_dmarc.trial.test", &record("quarantine; t=y"))
        .with("TXT", "_dmarc.none.test", &record("none"))
        .failing("_dmarc.down.test")
}

fn open(folder: &Path, config: Config) -> Arc<Filters> {
    let dns: Arc<dyn Dns> = Arc::new(zone());
    let registry = Registry::new();
    let reputation =
        Reputation::new(&ReputationConfig::default(), Arc::clone(&dns), Guarded::alone(), None, &registry);
    let deps = Deps {
        registry,
        policy: folder.join("policy"),
        kept: folder.join("filters"),
        dns,
        reputation: Arc::new(reputation.unwrap()),
    };
    Filters::open(config, "mx.ours.test", deps).unwrap()
}

fn reporting() -> Config {
    let reports = ReportsConfig {
        organization: "Ours".to_owned(),
        contact: "reports@ours.test".to_owned(),
        ..ReportsConfig::default()
    };
    Config { reports, ..Config::default() }
}

async fn judge(filters: &Arc<Filters>, listener: &'static str, peer: &str, from: &str) -> Judged {
    let peer: IpAddr = peer.parse().unwrap();
    let client = Client { peer: (peer, 25).into(), listener, our_name: "mx.ours.test".to_owned() };
    let mut session = filters.session(client);
    let envelope = Envelope {
        id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
        received_at: Timestamp::from_unix_milliseconds(NOON * 1000),
        reverse_path: ReversePath::Address("ann@a.test".parse().unwrap()),
        recipients: vec!["bob@ours.test".parse::<Address>().unwrap().into()],
        origin: Origin {
            entrance: Entrance::Mx,
            peer: Some(peer),
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
    };
    let message = format!("From: Ann <ann@{from}>\r\nTo: bob@ours.test\r\nSubject: hi\r\n\r\nHello.\r\n");
    session.message(&envelope, &message.into()).await
}

/// What is in the file when the sessions have ended.
fn counted(folder: &Path, filters: &Filters) -> Vec<(DmarcRow, u64)> {
    filters.close();
    let folder = folder.join("filters/reports");
    let mut counts = Counts::default();
    counts.add_file(&ReportKind::Dmarc.counts_path(&folder, Day::of(NOON)), 1 << 20).unwrap();
    counts.rows()
}

async fn check(config: Config, peer: &str, from: &str, expected: Option<(Disposition, Option<Override>)>) {
    let folder = tempfile::tempdir().unwrap();
    let filters = open(folder.path(), config);
    let judged = judge(&filters, "mx", peer, from).await;
    let rows = counted(folder.path(), &filters);
    let found = rows.first().map(|(row, _)| (row.disposition, row.reason));
    assert_eq!(found, expected, "{from}: {:?}", judged.reasons);
}

#[tokio::test]
async fn reports_tell_what_was_done_because_of_the_policy() {
    let (good, bad) = ("192.0.2.1", "198.51.100.1");
    check(reporting(), good, "a.test", Some((Disposition::Pass, None))).await;
    check(reporting(), bad, "a.test", Some((Disposition::Reject, None))).await;
    check(reporting(), bad, "below.a.test", Some((Disposition::Reject, None))).await;
    check(reporting(), bad, "quarantine.test", Some((Disposition::Quarantine, None))).await;
    check(reporting(), bad, "trial.test", Some((Disposition::None, Some(Override::PolicyTestMode)))).await;
    check(reporting(), bad, "none.test", Some((Disposition::None, None))).await;
    // No policy, one that is not known now, and nobody who reports.
    check(reporting(), bad, "unknown.test", None).await;
    check(reporting(), bad, "down.test", None).await;
    check(Config::default(), bad, "a.test", None).await;
    // Rules of our own.
    let with = |dmarc_reject| {
        let mut config = reporting();
        config.authentication.dmarc_reject = dmarc_reject;
        config
    };
    let kept_back = Some((Disposition::Quarantine, Some(Override::LocalPolicy)));
    check(with(DmarcAction::Quarantine), bad, "a.test", kept_back).await;
    let let_in = Some((Disposition::None, Some(Override::LocalPolicy)));
    check(with(DmarcAction::Accept), bad, "a.test", let_in).await;
}

#[tokio::test]
async fn attack_a_type_without_end_is_refused_unread() {
    let folder = tempfile::tempdir().unwrap();
    let filters = open(folder.path(), Config::default());
    let endless = format!("none.test>\r\nContent-Type: a/b;{}\r\nX: <", "a*1=x;".repeat(100_000));
    for listener in ["mx", "submission", "lmtp"] {
        let judged = judge(&filters, listener, "192.0.2.1", &endless).await;
        let Action::Refuse(refusal) = &judged.action else { panic!("{listener}: {:?}", judged.reasons) };
        assert_eq!((refusal.code, refusal.enhanced), (550, (5, 6, 0)), "{listener}");
        assert_eq!((judged.authentication, judged.rules.as_str()), (None, ""), "nothing else was asked");
    }
}

#[tokio::test]
async fn an_spf_failure_is_told_in_the_domain_s_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.authentication.refuse_spf_fail = true;
    let filters = open(folder.path(), config);
    let judged = judge(&filters, "mx", "198.51.100.1", "none.test").await;
    let Action::Refuse(refusal) = &judged.action else { panic!("{judged:?}") };
    assert_eq!((refusal.code, refusal.enhanced), (550, (5, 7, 23)));
    assert_eq!(
        refusal.text,
        "SPF: 198.51.100.1 does not send for a.test, which explains: 198.51.100.1 is none of ours"
    );
}

#[tokio::test]
async fn only_strangers_mail_is_counted_and_a_domain_s_record_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let filters = open(folder.path(), reporting());
    for _ in 0..3 {
        judge(&filters, "mx", "192.0.2.1", "a.test").await;
    }
    judge(&filters, "submission", "192.0.2.1", "a.test").await;
    judge(&filters, "mx", "127.0.0.1", "a.test").await;
    let rows = counted(folder.path(), &filters);
    let [(row, 3)] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.policy.domain.as_str(), row.envelope_from.as_str()), ("a.test", "a.test"));
    assert_eq!((row.header_from.as_str(), row.envelope_to.as_str()), ("a.test", "ours.test"));
    assert!(row.spf_aligned && !row.dkim_aligned);
    let to: Vec<(&str, u64)> =
        row.policy.reports_to.iter().map(|one| (one.address.as_str(), one.octets_max)).collect();
    assert_eq!(to, [("d@a.test", 10 << 20)], "mail only");
}

//! The checks of one SMTP session.

mod parts;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use envelope::{AccountId, Address, Domain, Envelope, ReversePath};
use tokio::time::Instant;

use super::{Filters, Judged};
use crate::authentication::{
    Authentication, AuthorFault, AuthorRule, DmarcAction, DmarcPolicy, Origin, Word, results_field,
};
use crate::milter::{Authenticated, Connection, MilterSession, Tls};
use crate::peer::reply_text;
use crate::policy::{PeerFacts, ScanFacts, Subject};
use crate::reports::{Applied, Disposition, DmarcRow, Override};
use crate::reputation::{Connected, Content, Event, Happened, Peer, Reason, Sender};
use crate::{Action, Change, Refusal, fields};

/// Who is on the other side.
#[derive(Debug, Clone)]
pub struct Client {
    /// From where.
    pub peer: SocketAddr,
    /// `mx`, `submission`, `submissions` or `lmtp`.
    pub listener: &'static str,
    /// The name of this node.
    pub our_name: String,
}

/// One session.
pub struct FilterSession {
    filters: Arc<Filters>,
    client: Client,
    milters: MilterSession,
    connected: Connected,
    hostname: Option<String>,
    client_certificate: bool,
    helo: String,
    account: Option<AccountId>,
    tls_version: Option<String>,
    /// What MAIL and RCPT brought this transaction.
    transaction: Vec<Reason>,
}

impl FilterSession {
    pub(super) fn new(filters: Arc<Filters>, client: Client) -> Self {
        let connection = Connection {
            peer: Some(client.peer),
            daemon: client.our_name.clone(),
            our_name: client.our_name.clone(),
            listener: client.listener.to_owned(),
            ..Connection::default()
        };
        let milters = filters.milters.session(&connection);
        Self {
            filters,
            client,
            milters,
            connected: Connected::default(),
            hostname: None,
            client_certificate: false,
            helo: String::new(),
            account: None,
            tls_version: None,
            transaction: Vec::new(),
        }
    }

    /// Whether mail from here is checked as a stranger's: on the MX listener, and not from a network of our own.
    fn is_stranger(&self) -> bool {
        self.client.listener == "mx" && !self.filters.authenticator.is_exempt(self.client.peer.ip())
    }

    /// Before the greeting: may this peer speak at all?
    pub async fn connect(&mut self) -> Result<(), Refusal> {
        let (filters, address) = (Arc::clone(&self.filters), self.client.peer.ip());
        let name = async { if self.is_stranger() { filters.name_of(address).await } else { None } };
        let reputation = async {
            if self.client.listener == "mx" {
                filters.reputation.connect(address).await
            } else {
                Connected::default()
            }
        };
        let (name, connected) = tokio::join!(name, reputation);
        self.hostname = name;
        self.connected = connected;
        if let Some(refusal) = self.connected.refusal.clone() {
            return Err(refusal);
        }
        if self.milters.is_empty() {
            return Ok(());
        }
        self.milters.set_hostname(self.hostname.clone());
        self.milters.connect().await
    }

    /// What is held against the peer, or for it, since it connected.
    pub fn reasons(&self) -> &[String] {
        &self.connected.reasons
    }

    /// The peer's name, where the program in front looked it up, instead of [`Self::connect`]: a name that leads back to the peer.
    pub fn named(&mut self, hostname: Option<String>) {
        self.hostname = hostname;
    }

    /// The connection is encrypted now; `certificate` says whether the peer showed one that verified.
    pub fn encrypted(&mut self, version: String, cipher: String, certificate: bool) {
        self.client_certificate = certificate;
        self.tls_version = Some(version.clone());
        self.milters.set_tls(Some(Tls { version, cipher, ..Tls::default() }));
    }

    /// Somebody logged in.
    pub fn logged_in(&mut self, account: AccountId, mechanism: &str) {
        let login = Authenticated { mechanism: mechanism.to_owned(), login: account.to_string() };
        self.milters.set_authenticated(Some(login));
        self.account = Some(account);
    }

    /// What the login said is forgotten (RFC 3207 §4.2).
    pub fn logged_out(&mut self) {
        self.milters.set_authenticated(None);
        self.account = None;
    }

    /// EHLO, HELO or LHLO.
    pub async fn helo(&mut self, name: &str) -> Result<(), Refusal> {
        self.helo.clear();
        self.helo.push_str(name);
        self.milters.helo(name).await
    }

    /// A transaction begins.
    pub async fn mail(&mut self, reverse_path: &ReversePath, parameters: &[&str]) -> Result<(), Refusal> {
        self.transaction.clear();
        if self.asks_reputation() {
            let sender = Sender { path: reverse_path, spf_pass: None };
            let judged = self.filters.reputation.mail(self.peer(), sender).await;
            self.note(judged.reasons);
            if let Some(refusal) = judged.refusal {
                return Err(refusal);
            }
        }
        self.milters.mail(reverse_path, parameters).await
    }

    /// A recipient whom somebody here has, or whom the sender may write to.
    pub async fn rcpt(
        &mut self,
        reverse_path: &ReversePath,
        recipient: &Address,
        parameters: &[&str],
    ) -> Result<(), Refusal> {
        if self.asks_reputation() {
            let sender = Sender { path: reverse_path, spf_pass: None };
            let judged = self.filters.reputation.recipient(self.peer(), sender, recipient).await;
            if let Some(refusal) = judged.refusal {
                return Err(refusal);
            }
            self.note(judged.reasons);
        }
        self.milters.rcpt(recipient, parameters).await
    }

    /// The text comes. A refusal concerns the message.
    pub async fn data(&mut self) -> Result<(), Refusal> {
        self.milters.data().await
    }

    /// A recipient was named whom nobody here knows.
    pub fn unknown_recipient(&self, reverse_path: &ReversePath) {
        self.happened(Happened::UnknownRecipient, reverse_path);
    }

    /// What a limit says of one recipient after the other counts once for the message.
    fn note(&mut self, reasons: Vec<Reason>) {
        for reason in reasons {
            if !self.transaction.iter().any(|known| known.text == reason.text) {
                self.transaction.push(reason);
            }
        }
    }

    /// Judges a message: `message` without the trace field that is put on top of it.
    pub async fn message(&mut self, envelope: &Envelope, message: &Bytes) -> Judged {
        let began = Instant::now();
        let mut judged = Judged::of(message);
        judged.reasons.clone_from(&self.connected.reasons);
        if fields::has_endless_type(message, self.filters.config.type_field_max.as_usize()) {
            // Before anybody takes it apart, here or at the reader's.
            let text = "Message refused: a Content-Type or Content-Disposition field is too long";
            judged.decide(
                Action::Refuse(Refusal::permanent((5, 6, 0), text)),
                ["content-type: endless".to_owned()],
            );
            self.happened(Happened::Rejected, &envelope.reverse_path);
            self.filters.metrics.judged(&judged.action);
            return judged;
        }
        let id = envelope.id.to_string();
        // Signatures are over what came; scanners count fields as those behind us will.
        self.remove_forged(&mut judged, message);
        let clean = judged.message();
        let (found, scanned) =
            tokio::join!(self.authenticate(envelope, message), self.scan(envelope, &id, &clean));
        drop(clean);
        let mut scan = ScanFacts::default();
        for (name, verdict, finding) in scanned {
            parts::note(&mut scan, &name, &finding);
            judged.decide(verdict.action, verdict.reasons);
            judged.changes.extend(verdict.changes);
        }
        let mut applied = Applied::default();
        if let Some(found) = found {
            // Behind what scanners remove: ours stays.
            applied = self.judge_authentication(&mut judged, &found, envelope);
            judged.authentication = Some(found);
        }
        take(&mut judged, self.transaction.clone());
        if !judged.is_refused() && !self.milters.is_empty() {
            self.ask_milters(&mut judged, &mut scan, &id).await;
        }
        if !judged.is_refused() && self.asks_reputation() {
            self.ask_reputation(&mut judged, envelope, message).await;
        }
        if !judged.is_refused() {
            self.ask_policy(&mut judged, &scan, envelope).await;
        }
        if let Action::Refuse(refusal) = &judged.action
            && !refusal.is_temporary()
        {
            self.happened(Happened::Rejected, &envelope.reverse_path);
        }
        self.count_for_report(&judged, applied, envelope);
        self.filters.metrics.judged(&judged.action);
        self.filters.metrics.seconds.observe(began.elapsed().as_secs_f64());
        judged
    }

    /// What is spared for an exempt network is for reputation to say: accounts have limits everywhere.
    fn asks_reputation(&self) -> bool {
        self.client.listener != "lmtp"
    }

    fn peer(&self) -> Peer<'_> {
        Peer { address: self.client.peer.ip(), connected: &self.connected, account: self.account.as_ref() }
    }

    fn happened(&self, what: Happened, reverse_path: &ReversePath) {
        if self.asks_reputation() {
            self.filters.reputation.happened(Event {
                what,
                address: self.client.peer.ip(),
                account: self.account.clone(),
                sender: reverse_path.address().cloned(),
            });
        }
    }

    async fn authenticate(&self, envelope: &Envelope, message: &Bytes) -> Option<Authentication> {
        if !self.is_stranger() || !self.filters.authenticator.config().enabled {
            return None;
        }
        let origin = Origin::of(envelope, &self.filters.hostname)?;
        let found = self.filters.authenticator.check(origin, message).await;
        let count = |method: &str, result: Word| {
            self.filters.metrics.authentication.with_label_values(&[method, result.as_str()]).inc();
        };
        count("spf", found.spf.result);
        count("dmarc", found.dmarc.result);
        found.dkim.iter().for_each(|one| count("dkim", one.result));
        Some(found)
    }

    /// What the author's domain hears of the message. One that is told to come back is counted when it does.
    fn count_for_report(&self, judged: &Judged, applied: Applied, envelope: &Envelope) {
        let (Some(reports), Some(found)) = (&self.filters.reports, &judged.authentication) else { return };
        if matches!(&judged.action, Action::Refuse(refusal) if refusal.is_temporary()) {
            return;
        }
        if let Some(row) = DmarcRow::of(found, envelope, applied) {
            reports.count(&row.policy.domain, &row, envelope.received_at.unix_seconds());
        }
    }

    /// The field with the results, and what follows from them.
    fn judge_authentication(
        &self,
        judged: &mut Judged,
        found: &Authentication,
        envelope: &Envelope,
    ) -> Applied {
        let config = self.filters.authenticator.config();
        let sender = envelope.reverse_path.address().map(ToString::to_string).unwrap_or_default();
        let value = results_field(&self.filters.hostname, found, self.client.peer.ip(), &sender);
        judged.changes.push(Change::InsertField {
            index: 0,
            name: "Authentication-Results".to_owned(),
            value,
        });
        let author = match (config.author, found.author.fault) {
            (AuthorRule::Any, _) | (_, None) => None,
            (AuthorRule::OneField, Some(AuthorFault::SeveralFields)) => found.author.fault,
            (AuthorRule::OneField, Some(_)) => None,
            (AuthorRule::OneDomain, fault) => fault,
        };
        if let Some(fault) = author {
            // RFC 7489 §6.6.1
            let refusal = Refusal::permanent((5, 7, 1), format!("Message refused: {fault}"));
            judged.decide(Action::Refuse(refusal), [format!("author: {fault}")]);
        }
        let applied = self.judge_dmarc(judged, found);
        if config.refuse_spf_fail && found.spf.result == Word::Fail && found.dmarc.result != Word::Pass {
            let mut text = format!("SPF: {} does not send for {}", self.client.peer.ip(), found.spf.domain);
            if !found.spf.explanation.is_empty() {
                // RFC 7208 §6.2: it is told whose words these are.
                text = reply_text(&format!("{text}, which explains: {}", found.spf.explanation));
            }
            // RFC 7372 §3.2
            judged.decide(Action::Refuse(Refusal::permanent((5, 7, 23), text)), ["spf: fail".to_owned()]);
        }
        let temporary = found.dmarc.result == Word::TempError
            || found.spf.result == Word::TempError && found.dmarc.result != Word::Pass;
        if config.tempfail_on_temperror && temporary {
            let refusal =
                Refusal::temporary((4, 7, 24), "The DNS of the sender does not answer, try again later");
            judged.decide(Action::Refuse(refusal), ["authentication: temperror".to_owned()]);
        }
        applied
    }

    /// What is done because of DMARC, as reports call it.
    fn judge_dmarc(&self, judged: &mut Judged, found: &Authentication) -> Applied {
        let config = self.filters.authenticator.config();
        if found.dmarc.result != Word::Fail {
            return Applied::default();
        }
        let asked = match found.dmarc.policy {
            DmarcPolicy::None => return Applied::default(),
            DmarcPolicy::Quarantine => config.dmarc_quarantine,
            DmarcPolicy::Reject => config.dmarc_reject,
        };
        let trusted = |domain: &String| domain.eq_ignore_ascii_case(&found.arc.sealer);
        if found.arc.result == Word::Pass
            && found.arc.saw_dmarc_pass
            && config.arc_trusted.iter().any(trusted)
        {
            judged.reasons.push(format!("dmarc: fail, but {} saw it pass (ARC)", found.arc.sealer));
            return Applied { disposition: Disposition::None, reason: Some(Override::TrustedForwarder) };
        }
        let reason = format!("dmarc: fail, {} says {}", found.dmarc.domain, found.dmarc.policy.as_str());
        let disposition = match asked {
            DmarcAction::Accept => Disposition::None,
            DmarcAction::Quarantine => Disposition::Quarantine,
            DmarcAction::Reject => Disposition::Reject,
        };
        let as_asked = match found.dmarc.policy {
            DmarcPolicy::None => disposition == Disposition::None,
            DmarcPolicy::Quarantine => disposition == Disposition::Quarantine,
            DmarcPolicy::Reject => disposition == Disposition::Reject,
        };
        let action = match asked {
            DmarcAction::Accept => Action::Accept,
            DmarcAction::Quarantine => Action::Quarantine,
            DmarcAction::Reject => {
                let text =
                    format!("Not authenticated: {} asks to refuse mail that fails DMARC", found.dmarc.domain);
                // RFC 7372 §3.3: several checks failed
                Action::Refuse(Refusal::permanent((5, 7, 26), text))
            }
        };
        judged.decide(action, [reason]);
        Applied { disposition, reason: (!as_asked).then_some(Override::LocalPolicy) }
    }

    async fn ask_milters(&mut self, judged: &mut Judged, scan: &mut ScanFacts, id: &str) {
        let message = judged.message();
        let verdict = self.milters.message(id, &message).await;
        if matches!(verdict.action, Action::Quarantine) {
            scan.spam = true;
        }
        scan.symbols.extend(verdict.reasons.iter().cloned());
        judged.decide(verdict.action, verdict.reasons);
        judged.changes.extend(verdict.changes);
    }

    async fn ask_reputation(&self, judged: &mut Judged, envelope: &Envelope, message: &Bytes) {
        let spf = judged.authentication.as_ref().filter(|found| found.spf.result == Word::Pass);
        let spf_pass: Option<Domain> = spf.and_then(|found| found.spf.domain.parse().ok());
        let recipients: Vec<Address> = envelope.recipients.iter().map(|one| one.address.clone()).collect();
        let signed = judged.authentication.iter().flat_map(|found| &found.dkim);
        let signatures: Vec<String> = signed
            .filter(|one| one.result == Word::Pass)
            .map(|one| format!("{}:{}", one.domain, one.signature))
            .collect();
        let content = Content {
            sender: Sender { path: &envelope.reverse_path, spf_pass: spf_pass.as_ref() },
            recipients: &recipients,
            octets: message.len() as u64,
            signatures: &signatures,
        };
        let found = self.filters.reputation.message(self.peer(), content).await;
        take(judged, found.reasons);
        if let Some(refusal) = found.refusal {
            judged.decide(Action::Refuse(refusal), []);
        }
    }

    /// Rules see the message as the checks before them leave it.
    async fn ask_policy(&self, judged: &mut Judged, scan: &ScanFacts, envelope: &Envelope) {
        if self.filters.policy.is_empty() {
            return;
        }
        let message = judged.message();
        let peer = PeerFacts {
            hostname: self.hostname.clone().unwrap_or_default(),
            client_certificate: self.client_certificate,
            lists: self.connected.lists.clone(),
            score: self.connected.score + judged.score,
        };
        let unchecked;
        let authentication = match &judged.authentication {
            Some(found) => found,
            None => {
                unchecked =
                    Authentication { author: crate::Author::read(&message), ..Authentication::default() };
                &unchecked
            }
        };
        let subject = Subject {
            envelope,
            listener: self.client.listener,
            peer: &peer,
            authentication,
            scan,
            message: &message,
        };
        match self.filters.policy.judge(subject).await {
            Ok(decision) => {
                judged.decide(decision.action, decision.reasons);
                judged.changes.extend(decision.changes);
                judged.journals = decision.journals;
                judged.fired = decision.fired;
                judged.score = decision.score;
                judged.rules = decision.version;
            }
            Err(error) => {
                tracing::error!(%error, "the rules could not be asked, message refused for now");
                let refusal = Refusal::temporary((4, 3, 0), "Message could not be checked, try again later");
                judged.decide(Action::Refuse(refusal), ["policy: failed".to_owned()]);
            }
        }
    }
}

/// Points and words of reputation into a judgement.
fn take(judged: &mut Judged, reasons: Vec<Reason>) {
    for reason in reasons {
        judged.score += reason.score;
        judged.reasons.push(reason.text);
    }
}

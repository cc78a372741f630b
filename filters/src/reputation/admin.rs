//! What operators see of it and change: `sluice reputation`.

use std::net::IpAddr;

use envelope::{Address, Domain};
use serde::{Deserialize, Serialize};
use shared_state::{Entry, Held, KeyPrefix, SharedState, Unavailable};
use units::Network;

use super::config::{ListKind, RateAction};
use super::greylist::{GOOD, NEW, PASSED, TRIPLET, Triplet};
use super::lists::Says;
use super::local::{LocalEntry, LocalError, LocalKind};
use super::rates::RATE;
use super::whom::{ROOM, address_word, key, network_of, network_word, word};
use super::{Inner, Reputation};
use crate::Refusal;

/// Triplets that are looked through for those of one network.
const TRIPLETS_MAX: usize = 200_000;

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Who was greylisted, and networks that are passed.
    Greylist,
    /// Lists in the DNS, and the local ones.
    Lists,
    /// Counters.
    Rates,
}

/// One thing that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// `clear` takes it.
    pub key: String,
    /// What it says.
    pub value: String,
    /// Seconds until it is forgotten.
    pub ends_in: Option<u64>,
}

/// Some of what is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// By key.
    pub rows: Vec<Row>,
    /// Whether that is all.
    pub whole: bool,
}

/// What one list says about an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListSays {
    /// Its name.
    pub list: String,
    /// `allow`, `block` or `score`.
    pub kind: ListKind,
    /// Whether the address is on it; none: it is not known.
    pub is_listed: Option<bool>,
    /// Its answers and its text, or why it is not known.
    pub says: String,
}

/// Where one counter stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateSays {
    /// The rule.
    pub rule: String,
    /// The address or network.
    pub whom: String,
    /// What was counted.
    pub sum: u64,
    /// What is allowed.
    pub limit: u64,
    /// Seconds until it begins anew.
    pub ends_in: Option<u64>,
    /// Whether the next one is over the limit.
    pub is_over: bool,
    /// What happens then.
    pub action: RateAction,
    /// Whether that is at the connection already.
    pub at_connect: bool,
    /// What it adds to the score then.
    pub score: i32,
}

/// All that is known of an address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Which.
    pub address: IpAddr,
    /// Its network.
    pub network: Network,
    /// The configuration exempts it from everything.
    pub is_exempt: bool,
    /// Its entry on the local lists.
    pub local: Option<LocalEntry>,
    /// What the lists say.
    pub lists: Vec<ListSays>,
    /// Where its counters and its network's stand.
    pub rates: Vec<RateSays>,
    /// Greylisting passes its network.
    pub network_is_passed: bool,
    /// How often its network came back after greylisting.
    pub came_back: u64,
    /// Why what all nodes remember is not known now; then the counters are this process's own.
    pub away: Option<String>,
    /// What would happen if it connected now: `accepted`, or the reply.
    pub at_connect: String,
    /// With which score.
    pub score: f64,
}

/// Why something can't be shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The local lists could not be changed.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The shared state is away.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It is no key, address, network or domain.
    #[error("`{0}` is no key, address, network or domain that anything is remembered for")]
    Unknown(String),
}

impl Reputation {
    /// What is remembered, at most `limit` of it.
    pub async fn rows(&self, kind: Kind, limit: usize) -> Result<Rows, AdminError> {
        match kind {
            Kind::Greylist => self.inner.remembered(&[PASSED, GOOD, NEW, TRIPLET], limit).await,
            Kind::Rates => self.inner.remembered(&[RATE], limit).await,
            Kind::Lists => Ok(self.inner.listed(limit)),
        }
    }

    /// What is known of an address, and what would happen if it connected now. Counts nothing.
    pub async fn show(&self, address: IpAddr) -> Shown {
        self.inner.show(address.to_canonical()).await
    }

    /// Puts a network on a local list.
    pub async fn set(&self, entry: LocalEntry) -> Result<(), AdminError> {
        Ok(self.inner.local.set(entry).await?)
    }

    /// Forgets a key of [`Reputation::rows`], or everything about an address, a network, a mail address or a domain. Gives how many things.
    pub async fn clear(&self, what: &str) -> Result<u64, AdminError> {
        if let Ok(network) = what.parse::<Network>() {
            return self.inner.clear_network(network).await;
        }
        if let Some(rest) = what.strip_prefix(ROOM).and_then(|rest| rest.strip_prefix(':')) {
            return self.inner.clear_key(what, rest).await;
        }
        let word = match (what.parse::<Address>(), what.parse::<Domain>()) {
            (Ok(address), _) => address_word(&address),
            (_, Ok(domain)) => word(domain.as_str()),
            _ => return Err(AdminError::Unknown(what.to_owned())),
        };
        self.inner.clear_rates(&word).await
    }
}

impl Inner {
    /// What all nodes know. While nobody answers, whoever asks hears so.
    fn remembering(&self) -> &dyn SharedState {
        &*self.state.fallback
    }

    async fn remembered(&self, kinds: &[&'static str], limit: usize) -> Result<Rows, AdminError> {
        let mut found = Rows { rows: Vec::new(), whole: true };
        for what in kinds {
            let prefix = KeyPrefix::new(ROOM, what, "").map_err(|error| Unavailable(error.to_string()))?;
            let listing = self.remembering().list(&prefix, limit.saturating_sub(found.rows.len())).await?;
            found.whole &= listing.whole;
            found.rows.extend(listing.entries.into_iter().map(row));
        }
        Ok(found)
    }

    fn listed(&self, limit: usize) -> Rows {
        let lists = self.lists.standing().into_iter().map(|(list, broken)| Row {
            key: list.zone.clone(),
            value: format!(
                "{} {}",
                kind(list.kind),
                broken.map_or_else(|| "works".to_owned(), |why| format!("does not work: {why}"))
            ),
            ends_in: None,
        });
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
        let local = self.local.all().into_iter().map(|entry| Row {
            key: entry.network.to_string(),
            value: format!("local {} {}", local_kind(entry.kind), entry.reason),
            ends_in: Some(entry.until.saturating_sub(now)),
        });
        let mut rows: Vec<Row> = lists.chain(local).take(limit.saturating_add(1)).collect();
        let whole = rows.len() <= limit;
        rows.truncate(limit);
        Rows { rows, whole }
    }

    async fn show(&self, address: IpAddr) -> Shown {
        let network = self.widths.network(address);
        let names = network_word(network);
        let passed = async {
            let passed = self.remembering().kept(&key(PASSED, &names)?).await?;
            let good = self.remembering().counted(&key(GOOD, &names)?).await?;
            Ok::<_, Unavailable>((passed.is_some(), good.map_or(0, |good| good.sum)))
        };
        let (passed, rates, says) = tokio::join!(passed, self.rates.look(address), self.lists.ask(address));
        let found = self.lists.weigh(address, &says);
        let away = passed.as_ref().err().map(ToString::to_string);
        let (network_is_passed, came_back) = passed.unwrap_or_default();
        let lists = says.into_iter().map(|(list, says)| {
            let (is_listed, says) = match says {
                Says::Listed(answers, reason) => {
                    let answers: Vec<String> = answers.iter().map(ToString::to_string).collect();
                    (Some(true), [answers.join(" "), reason.unwrap_or_default()].join(" ").trim().to_owned())
                }
                Says::Unlisted => (Some(false), String::new()),
                Says::Failed(why) => (None, why),
            };
            ListSays { list: list.title().to_owned(), kind: list.kind, is_listed, says }
        });
        let is_exempt = self.is_exempt(address);
        let local = self.local.find(address);
        let over =
            |action| rates.iter().find(|rate| rate.is_over && rate.at_connect && rate.action == action);
        let scores =
            rates.iter().filter(|rate| rate.is_over && rate.at_connect && rate.action == RateAction::Score);
        let score = found.score + scores.map(|rate| f64::from(rate.score)).sum::<f64>();
        let at_connect = match (is_exempt, local.as_ref().map(|entry| entry.kind)) {
            (true, _) => "accepted: the configuration exempts it".to_owned(),
            (_, Some(LocalKind::Allow)) => "accepted: it is on the local allow list".to_owned(),
            (_, Some(LocalKind::Block)) => "refused: it is on the local block list".to_owned(),
            _ => match (over(RateAction::Reject), over(RateAction::Defer), &found.refusal) {
                (Some(rate), _, _) => format!("refused: over the limit of `{}`", rate.rule),
                (_, Some(rate), _) => format!("told to come back: over the limit of `{}`", rate.rule),
                (_, _, Some(Refusal { code, text, .. })) => format!("{code} {text}"),
                _ if found.allowed => "accepted: on an allow list".to_owned(),
                _ => "accepted".to_owned(),
            },
        };
        Shown {
            address,
            network,
            is_exempt,
            local,
            lists: lists.collect(),
            network_is_passed,
            came_back,
            away,
            at_connect,
            score,
            rates,
        }
    }

    async fn clear_key(&self, what: &str, rest: &str) -> Result<u64, AdminError> {
        let unknown = || AdminError::Unknown(what.to_owned());
        let (kind, whom) = rest.split_once(':').ok_or_else(unknown)?;
        let kinds = [RATE, TRIPLET, PASSED, GOOD, NEW];
        let kind = kinds.into_iter().find(|known| *known == kind).ok_or_else(unknown)?;
        let key = key(kind, whom).map_err(|_| unknown())?;
        Ok(u64::from(self.remembering().forget(&key).await?))
    }

    async fn clear_rates(&self, word: &str) -> Result<u64, AdminError> {
        let mut gone = 0;
        for name in self.rates.names(word) {
            // A name that can't be has nothing under it.
            let Ok(key) = key(RATE, &name) else { continue };
            gone += u64::from(self.remembering().forget(&key).await?);
        }
        Ok(gone)
    }

    /// An address alone stands for itself and for the network that greylisting takes it for.
    async fn clear_network(&self, network: Network) -> Result<u64, AdminError> {
        let mut gone = u64::from(self.local.clear(network).await?);
        let whole = self.widths.network(network.address());
        let is_address = network == Network::from(network.address());
        if is_address {
            gone += self.clear_rates(&network.address().to_string()).await?;
        }
        let about = if is_address { whole } else { network };
        let names = network_word(about);
        gone += self.clear_rates(&names).await?;
        for what in [PASSED, GOOD, NEW] {
            gone += u64::from(self.remembering().forget(&key(what, &names)?).await?);
        }
        let prefix = KeyPrefix::new(ROOM, TRIPLET, "").map_err(|error| Unavailable(error.to_string()))?;
        for entry in self.remembering().list(&prefix, TRIPLETS_MAX).await?.entries {
            if triplet(&entry).is_some_and(|triplet| triplet.network == about) {
                gone += u64::from(self.remembering().forget(&entry.key).await?);
            }
        }
        Ok(gone)
    }
}

fn triplet(entry: &Entry) -> Option<Triplet> {
    match &entry.held {
        Held::Value(value) => serde_json::from_str(value.as_str()).ok(),
        Held::Count(_) => None,
    }
}

fn row(entry: Entry) -> Row {
    let value = match (&entry.held, triplet(&entry)) {
        (_, Some(Triplet { known, network, sender, recipient })) => {
            format!("{} {network} <{sender}> {recipient}", if known { "known" } else { "waiting" })
        }
        (Held::Count(sum), _) => sum.to_string(),
        (Held::Value(value), _) => match network_of(value.as_str()) {
            Some(network) => format!("{network} is passed"),
            None => value.as_str().to_owned(),
        },
    };
    Row { key: entry.key.to_string(), value, ends_in: Some(entry.remaining.as_secs()) }
}

const fn kind(kind: ListKind) -> &'static str {
    match kind {
        ListKind::Allow => "allow",
        ListKind::Block => "block",
        ListKind::Score => "score",
    }
}

const fn local_kind(kind: LocalKind) -> &'static str {
    match kind {
        LocalKind::Allow => "allow",
        LocalKind::Block => "block",
    }
}

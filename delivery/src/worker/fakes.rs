//! A directory for tests.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use directory::{Authentication, Directory, LoginStamp, Resolution, Unavailable};
use envelope::{
    AccountId, Address, Domain, Entrance, Envelope, MessageId, Origin, Quota, ReversePath, Secret, Timestamp,
};
use store::{RealFs, Store};

/// Local parts at example.test: `=account[+tag]` a mailbox, `?` can't say, `!` panics, `…` never answers, else an alias list.
pub(crate) struct Fake(Mutex<HashMap<String, String>>, pub(crate) Mutex<HashMap<AccountId, Quota>>);

impl Fake {
    pub(crate) fn new(entries: &[(&str, &str)]) -> Self {
        let fake = Self(Mutex::default(), Mutex::default());
        entries.iter().for_each(|(name, meaning)| fake.set(name, meaning));
        fake
    }

    pub(crate) fn set(&self, name: &str, meaning: &str) {
        self.0.lock().unwrap().insert(name.to_owned(), meaning.to_owned());
    }
}

pub(crate) fn address(text: &str) -> Address {
    let text = if text.contains('@') { text.to_owned() } else { format!("{text}@example.test") };
    text.parse().unwrap()
}

#[async_trait]
impl Directory for Fake {
    async fn resolve(&self, asked: &Address) -> Result<Resolution, Unavailable> {
        if asked.domain().to_string() != "example.test" {
            return Ok(Resolution::NotLocal);
        }
        let found = self.0.lock().unwrap().get(&asked.canonical().local_part().to_string()).cloned();
        let Some(meaning) = found else { return Ok(Resolution::Unknown) };
        match meaning.as_str() {
            "?" => Err(Unavailable("it is down".to_owned())),
            "!" => panic!("on purpose"),
            "…" => std::future::pending().await,
            mailbox if mailbox.starts_with('=') => {
                let (name, tag) = match mailbox[1..].split_once('+') {
                    Some((name, tag)) => (name, Some(tag.to_owned())),
                    None => (&mailbox[1..], None),
                };
                Ok(Resolution::Mailbox { account: AccountId::new(&address(name)), tag })
            }
            list if list.starts_with('@') => {
                let mut addresses = list[1..].split_whitespace().map(address);
                let owner = addresses.next().unwrap();
                let list = address(asked.local_part().as_str().split('+').next().unwrap());
                Ok(Resolution::List {
                    address: list,
                    owner,
                    members: addresses.collect(),
                    separator: Some('+'),
                })
            }
            list => Ok(Resolution::Alias(list.split_whitespace().map(address).collect())),
        }
    }

    async fn postmaster(&self) -> Result<Option<Address>, Unavailable> {
        Ok(None)
    }

    async fn is_local(&self, domain: &Domain) -> Result<bool, Unavailable> {
        Ok(domain.to_string() == "example.test")
    }

    async fn authenticate(
        &self,
        _: &str,
        _: &Secret<String>,
        _: IpAddr,
    ) -> Result<Authentication, Unavailable> {
        Ok(Authentication::Refused)
    }

    async fn quota(&self, account: &AccountId) -> Result<Quota, Unavailable> {
        Ok(self.1.lock().unwrap().get(account).copied().unwrap_or_default())
    }

    async fn login_stamp(&self, account: &AccountId) -> Result<Option<LoginStamp>, Unavailable> {
        Ok(Some(LoginStamp::of(&account.to_string())))
    }

    async fn may_send_as(&self, _: &AccountId, _: &Address) -> Result<bool, Unavailable> {
        Ok(false)
    }
}

pub(crate) fn id(number: u8) -> MessageId {
    MessageId::new(1_700_000_000_000, [number; 10])
}

pub(crate) fn envelope(number: u8, sender: &str, recipients: &[&str]) -> Envelope {
    let reverse_path =
        if sender.is_empty() { ReversePath::Null } else { ReversePath::Address(address(sender)) };
    Envelope {
        id: id(number),
        received_at: Timestamp::from(std::time::SystemTime::now()),
        reverse_path,
        recipients: recipients.iter().map(|recipient| address(recipient).into()).collect(),
        origin: Origin {
            entrance: Entrance::Mx,
            peer: None,
            helo: String::new(),
            authenticated: None,
            tls: false,
        },
        size: 0,
        smtp_utf8: false,
        priority: envelope::Priority::Interactive,
        envelope_id: None,
        returned: None,
        require_tls: false,
        list: None,
        filtered: None,
    }
}

/// A mail store below `root`.
pub(crate) fn store(root: &Path) -> Store {
    Store::init_volume(root).unwrap();
    let config = store::Config { root: root.to_owned(), ..store::Config::default() };
    Store::open(&config, Arc::new(RealFs), &prometheus::Registry::new()).unwrap()
}

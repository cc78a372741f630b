//! Addresses in fields.

use std::sync::LazyLock;

use cel::Value;
use cel::objects::Key;
use mail_parser::{Addr, Address};

use super::names::visible;
use super::object;

/// What a mailbox has, in the order in which [`values`] gives it.
static FIELDS: LazyLock<[Key; 3]> = LazyLock::new(|| ["address", "domain", "name"].map(Key::from));

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pub(super) address: String,
    pub(super) domain: String,
    pub(super) name: String,
}

impl Mailbox {
    fn of(one: &Addr<'_>) -> Self {
        let address = one.address.as_deref().unwrap_or_default().trim().to_lowercase();
        let domain = address.rsplit_once('@').map(|(_, domain)| domain.to_owned()).unwrap_or_default();
        Self { address, domain, name: visible(one.name.as_deref().unwrap_or_default()) }
    }
}

pub(super) fn first(field: Option<&Address<'_>>) -> Mailbox {
    field.and_then(Address::first).map(Mailbox::of).unwrap_or_default()
}

pub(super) fn values(field: Option<&Address<'_>>, max: usize) -> Value {
    let all = field.into_iter().flat_map(Address::iter).take(max).map(Mailbox::of);
    let values = all.map(|one| object(&FIELDS, [one.address, one.domain, one.name].map(Value::from)));
    values.collect::<Vec<Value>>().into()
}

//! The population as LDIF (RFC 2849), for `slapadd` and `ldapadd`.
//!
//! ```text
//!  dc=mail,dc=example                                    the suffix, as asked for
//!  └─ ou=corp3.example,dc=mail,dc=example                one for each domain     organizationalUnit
//!     └─ uid=ada.novak.2s,ou=corp3.example,…             one for each account    inetOrgPerson (RFC 2798), mail and userPassword
//! ```

use std::io::{self, Write};

use envelope::Secret;

use super::{Account, Population};

/// What all entries have in common.
#[derive(Debug, Clone)]
pub struct LdifEntry {
    /// The suffix under which they stand.
    pub suffix: String,
    /// The value of `userPassword`: a hash with its scheme in front.
    pub password: Secret<String>,
}

/// Writes every domain and every account; calls `progress` with the count after each.
pub fn write(
    population: &Population,
    entry: &LdifEntry,
    out: &mut dyn Write,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<()> {
    let suffix = &entry.suffix;
    // No version line (RFC 2849 has one): slapadd takes it for an attribute.
    if let Some((name, _)) = suffix.strip_prefix("dc=").map(|rest| rest.split_once(',').unwrap_or((rest, "")))
    {
        writeln!(
            out,
            "dn: {suffix}\nobjectClass: dcObject\nobjectClass: organization\ndc: {name}\no: {name}\n"
        )?;
    }
    for domain in population.domains()? {
        writeln!(out, "dn: ou={domain},{suffix}\nobjectClass: organizationalUnit\nou: {domain}\n")?;
    }
    for (count, account) in (1..).zip(population.iter()) {
        person(&account?, entry, out)?;
        progress(count);
    }
    Ok(())
}

/// Names and addresses of a population are plain ASCII: nothing needs base64 (RFC 2849, SAFE-STRING).
fn person(account: &Account, entry: &LdifEntry, out: &mut dyn Write) -> io::Result<()> {
    let address = account.address.to_string();
    let (local, domain) = address.rsplit_once('@').unwrap_or((&address, ""));
    let surname = account.name.rsplit(' ').next().unwrap_or_default();
    writeln!(out, "dn: uid={local},ou={domain},{}", entry.suffix)?;
    writeln!(
        out,
        "objectClass: inetOrgPerson\nuid: {local}\ncn: {}\nsn: {surname}\nmail: {address}",
        account.name
    )?;
    writeln!(out, "employeeType: {}\nuserPassword: {}\n", account.class.as_str(), entry.password.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_for_each() {
        let population = Population::new(1, 50, "example").unwrap();
        let entry = LdifEntry {
            suffix: "dc=mail,dc=example".to_owned(),
            password: Secret::new("{SSHA}x".to_owned()),
        };
        let (mut out, mut last) = (Vec::new(), 0);
        write(&population, &entry, &mut out, |count| last = count).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("dn: dc=mail,dc=example\nobjectClass: dcObject\nobjectClass: organization\ndc: mail\no: mail\n\n"), "{text}");
        let first = population.account(0).unwrap();
        let (local, domain) =
            first.address.to_string().rsplit_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert!(text.contains(&format!("dn: uid={local},ou={domain},dc=mail,dc=example\n")), "{text}");
        assert!(text.contains(&format!("dn: ou={domain},dc=mail,dc=example\n")), "{text}");
        assert_eq!(
            (text.matches("inetOrgPerson").count(), text.matches("userPassword: {SSHA}x\n").count(), last),
            (50, 50, 50)
        );
        assert!(text.is_ascii());
    }
}

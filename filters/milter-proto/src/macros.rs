//! Macros: what a milter may know beside the command.

use crate::text;

/// When macros are sent (`SMFIM_*`): right before the command of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The connection.
    Connect,
    /// HELO and EHLO.
    Helo,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The end of the message.
    EndOfMessage,
    /// The end of the header section.
    EndOfHeaders,
}

/// Names that a milter may ask for at one stage.
const NAMES_MAX: usize = 64;

impl Stage {
    /// In the order of their numbers on the wire.
    pub const ALL: [Self; 7] = [
        Self::Connect,
        Self::Helo,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::EndOfMessage,
        Self::EndOfHeaders,
    ];

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    const fn index(self) -> usize {
        self as usize
    }

    /// What a milter is told that did not say what it wants: what Sendmail and Postfix send, and the client's address and name, which Postfix knows apart from `_`.
    const fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Connect => {
                &["j", "daemon_name", "daemon_addr", "v", "_", "client_addr", "client_name", "client_port"]
            }
            Self::Helo => &["tls_version", "cipher", "cipher_bits", "cert_subject", "cert_issuer"],
            Self::Mail => &[
                "i",
                "auth_type",
                "auth_authen",
                "auth_author",
                "mail_addr",
                "mail_host",
                "mail_mailer",
                "client_addr",
                "client_name",
            ],
            Self::Rcpt => &["i", "rcpt_addr", "rcpt_host", "rcpt_mailer"],
            Self::Data | Self::EndOfHeaders | Self::EndOfMessage => &["i"],
        }
    }
}

/// Which macros are sent at each stage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MacroLists {
    /// By the number of the stage; none: the usual ones.
    lists: [Option<Vec<String>>; 7],
}

impl MacroLists {
    /// Takes a milter's list: names with or without braces, between spaces or commas. `None` for a list that is none, or too long.
    #[must_use]
    pub fn set(&mut self, stage: Stage, list: &[u8]) -> Option<()> {
        let list = str::from_utf8(list).ok()?;
        let names = list.split([' ', ',', '\t']).filter(|name| !name.is_empty());
        let names: Vec<String> = names.map(|name| bare(name).to_owned()).collect();
        let fine = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if names.len() > NAMES_MAX || !names.iter().all(fine) {
            return None;
        }
        *self.lists.get_mut(stage.index())? = Some(names);
        Some(())
    }

    /// The names to send at a stage, without braces.
    pub fn names(&self, stage: Stage) -> Vec<&str> {
        match self.lists.get(stage.index()) {
            Some(Some(names)) => names.iter().map(String::as_str).collect(),
            _ => stage.usual().to_vec(),
        }
    }

    pub(crate) fn fill(&self, out: &mut Vec<u8>) {
        for (number, list) in (0u32..).zip(&self.lists) {
            if let Some(names) = list {
                out.extend_from_slice(&number.to_be_bytes());
                let names: Vec<String> = names.iter().map(|name| written(name)).collect();
                text::put(out, names.join(" ").as_bytes());
            }
        }
    }
}

/// The values that are known, by name without braces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Macros {
    values: Vec<(&'static str, String)>,
}

impl Macros {
    /// Sets a value, or takes it away.
    pub fn set(&mut self, name: &'static str, value: Option<String>) {
        self.values.retain(|(known, _)| *known != name);
        self.values.extend(value.map(|value| (name, value)));
    }

    /// The value of a name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Appends the texts of those of `names` that have a value.
    pub(crate) fn fill(&self, names: &[&str], out: &mut Vec<u8>) {
        for name in names {
            if let Some(value) = self.value(name) {
                text::put(out, written(name).as_bytes());
                text::put(out, value.as_bytes());
            }
        }
    }
}

/// A name of one letter stands alone, a longer one in braces.
fn written(name: &str) -> String {
    if name.len() == 1 { name.to_owned() } else { format!("{{{name}}}") }
}

fn bare(name: &str) -> &str {
    name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_sent() {
        let mut macros = Macros::default();
        macros.set("i", Some("01J".to_owned()));
        macros.set("auth_authen", Some("ann".to_owned()));
        macros.set("auth_type", Some("PLAIN".to_owned()));
        macros.set("auth_type", None);
        let mut out = Vec::new();
        macros.fill(&MacroLists::default().names(Stage::Mail), &mut out);
        assert_eq!(out, b"i\x0001J\0{auth_authen}\0ann\0");
    }

    #[test]
    fn wanted_lists_replace_the_usual_ones() {
        let mut lists = MacroLists::default();
        assert_eq!(lists.names(Stage::Rcpt), ["i", "rcpt_addr", "rcpt_host", "rcpt_mailer"]);
        lists.set(Stage::Rcpt, b"").unwrap();
        assert_eq!(lists.names(Stage::Rcpt), [] as [&str; 0]);
        assert!(lists.set(Stage::Rcpt, b"a \xff").is_none());
        assert!(lists.set(Stage::Rcpt, b"{}").is_none());
        assert!(lists.set(Stage::Rcpt, "i ".repeat(NAMES_MAX).as_bytes()).is_some());
        assert!(lists.set(Stage::Rcpt, "i ".repeat(NAMES_MAX + 1).as_bytes()).is_none());
    }
}

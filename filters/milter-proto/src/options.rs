//! What both sides agree on at the beginning.

use crate::macros::{MacroLists, Stage};
use crate::text;

/// The version that we speak.
pub const VERSION: u32 = 6;
/// The oldest that we still speak.
pub const VERSION_MIN: u32 = 2;

/// What a milter may do to a message (`SMFIF_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Actions(u32);

impl Actions {
    /// Add and insert header fields.
    pub const ADD_HEADERS: Self = Self(0x01);
    /// Replace the body.
    pub const CHANGE_BODY: Self = Self(0x02);
    /// Add recipients.
    pub const ADD_RECIPIENTS: Self = Self(0x04);
    /// Remove recipients.
    pub const REMOVE_RECIPIENTS: Self = Self(0x08);
    /// Change and remove header fields.
    pub const CHANGE_HEADERS: Self = Self(0x10);
    /// Put the message into quarantine.
    pub const QUARANTINE: Self = Self(0x20);
    /// Change the sender.
    pub const CHANGE_FROM: Self = Self(0x40);
    /// Add recipients with ESMTP parameters.
    pub const ADD_RECIPIENTS_WITH_PARAMETERS: Self = Self(0x80);
    /// Say which macros it wants.
    pub const SET_MACRO_LISTS: Self = Self(0x100);
    /// Everything that we can do.
    pub const ALL: Self = Self(0x1ff);

    /// From the number on the wire.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The number on the wire.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Which commands and replies are left out (`SMFIP_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Steps(u32);

impl Steps {
    /// No connection.
    pub const NO_CONNECT: Self = Self(0x01);
    /// No HELO.
    pub const NO_HELO: Self = Self(0x02);
    /// No MAIL.
    pub const NO_MAIL: Self = Self(0x04);
    /// No RCPT.
    pub const NO_RCPT: Self = Self(0x08);
    /// No body.
    pub const NO_BODY: Self = Self(0x10);
    /// No header fields.
    pub const NO_HEADERS: Self = Self(0x20);
    /// No end of the header section.
    pub const NO_END_OF_HEADERS: Self = Self(0x40);
    /// No reply to header fields.
    pub const NO_REPLY_HEADER: Self = Self(0x80);
    /// No unknown commands.
    pub const NO_UNKNOWN: Self = Self(0x100);
    /// No DATA.
    pub const NO_DATA: Self = Self(0x200);
    /// The milter may skip the rest of a kind.
    pub const SKIP: Self = Self(0x400);
    /// The milter wants to see refused recipients. Not offered: a recipient that is unknown here is none of its business.
    pub const REFUSED_RECIPIENTS: Self = Self(0x800);
    /// No reply to a connection.
    pub const NO_REPLY_CONNECT: Self = Self(0x1000);
    /// No reply to HELO.
    pub const NO_REPLY_HELO: Self = Self(0x2000);
    /// No reply to MAIL.
    pub const NO_REPLY_MAIL: Self = Self(0x4000);
    /// No reply to RCPT.
    pub const NO_REPLY_RCPT: Self = Self(0x8000);
    /// No reply to DATA.
    pub const NO_REPLY_DATA: Self = Self(0x1_0000);
    /// No reply to an unknown command.
    pub const NO_REPLY_UNKNOWN: Self = Self(0x2_0000);
    /// No reply to the end of the header section.
    pub const NO_REPLY_END_OF_HEADERS: Self = Self(0x4_0000);
    /// No reply to a piece of the body.
    pub const NO_REPLY_BODY: Self = Self(0x8_0000);
    /// The white space behind a field's colon is part of its value.
    pub const LEADING_SPACE: Self = Self(0x10_0000);
    /// Everything that we can do: all but [`Self::REFUSED_RECIPIENTS`] and packets over 64 KiB.
    pub const ALL: Self = Self(0x1f_f7ff);

    /// From the number on the wire.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The number on the wire.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// An offer, and what a milter makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The protocol's version.
    pub version: u32,
    /// What may be done.
    pub actions: Actions,
    /// What is left out.
    pub steps: Steps,
    /// Which macros the milter wants, where it says so.
    pub macros: MacroLists,
}

/// Why nothing was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// No such packet, or lists that are none.
    #[error("a malformed answer to the offer")]
    Syntax,
    /// A version that we do not speak.
    #[error("version {0} of the protocol")]
    Version(u32),
    /// It wants to do what was not offered.
    #[error("actions that were not offered: {0:#x}")]
    Actions(u32),
    /// It wants steps that were not offered.
    #[error("protocol steps that were not offered: {0:#x}")]
    Steps(u32),
}

impl Options {
    /// What we offer: everything.
    pub fn offer() -> Self {
        Self { version: VERSION, actions: Actions::ALL, steps: Steps::ALL, macros: MacroLists::default() }
    }

    /// Reads the data of a negotiation packet.
    pub(crate) fn parse(mut data: &[u8]) -> Option<Self> {
        let version = text::number(&mut data)?;
        let actions = Actions(text::number(&mut data)?);
        let steps = Steps(text::number(&mut data)?);
        let mut macros = MacroLists::default();
        while !data.is_empty() {
            let stage = Stage::from_number(text::number(&mut data)?)?;
            macros.set(stage, text::take(&mut data)?)?;
        }
        Some(Self { version, actions, steps, macros })
    }

    pub(crate) fn fill(&self, out: &mut Vec<u8>) {
        for number in [self.version, self.actions.0, self.steps.0] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        self.macros.fill(out);
    }

    /// What a milter's answer to [`Self::offer`] comes to. An older milter takes no part in what came later: DATA is of version 4, unknown commands of version 3.
    pub(crate) fn agreed(data: &[u8]) -> Result<Self, OptionsError> {
        let mut answer = Self::parse(data).ok_or(OptionsError::Syntax)?;
        if !(VERSION_MIN..=VERSION).contains(&answer.version) {
            return Err(OptionsError::Version(answer.version));
        }
        if !Actions::ALL.contains(answer.actions) {
            return Err(OptionsError::Actions(answer.actions.0 & !Actions::ALL.0));
        }
        if !Steps::ALL.contains(answer.steps) {
            return Err(OptionsError::Steps(answer.steps.0 & !Steps::ALL.0));
        }
        if answer.version < 4 {
            answer.steps.0 |= Steps::NO_DATA.0;
        }
        if answer.version < 3 {
            answer.steps.0 |= Steps::NO_UNKNOWN.0;
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(version: u32, actions: u32, steps: u32, lists: &[u8]) -> Vec<u8> {
        let mut data: Vec<u8> = [version, actions, steps].iter().flat_map(|n| n.to_be_bytes()).collect();
        data.extend_from_slice(lists);
        data
    }

    fn check(data: &[u8], expected: Result<(u32, u32, u32), OptionsError>) {
        let got = Options::agreed(data).map(|agreed| (agreed.version, agreed.actions.0, agreed.steps.0));
        assert_eq!(got, expected, "{data:?}");
    }

    #[test]
    fn answers() {
        check(&wire(6, 0x1ff, 0x1f_f7ff, b""), Ok((6, 0x1ff, 0x1f_f7ff)));
        check(&wire(6, 0, 0, b""), Ok((6, 0, 0)));
        check(&wire(2, 0x3f, 0x7f, b""), Ok((2, 0x3f, 0x37f)));
        check(&wire(3, 0, 0, b""), Ok((3, 0, 0x200)));
        check(&wire(4, 0, 0, b""), Ok((4, 0, 0)));
        check(&wire(1, 0, 0, b""), Err(OptionsError::Version(1)));
        check(&wire(7, 0, 0, b""), Err(OptionsError::Version(7)));
        check(&wire(6, 0x201, 0, b""), Err(OptionsError::Actions(0x200)));
        check(&wire(6, 0, 0x801, b""), Err(OptionsError::Steps(0x800)));
        check(&wire(6, 0, 0x1000_0000, b""), Err(OptionsError::Steps(0x1000_0000)));
        check(&wire(6, 0, 0, b"")[..11], Err(OptionsError::Syntax));
    }

    #[test]
    fn lists_of_macros() {
        let agreed = Options::agreed(&wire(6, 0, 0, b"\0\0\0\x02{auth_type} i\0\0\0\0\0j,_\0")).unwrap();
        assert_eq!(agreed.macros.names(Stage::Mail), ["auth_type", "i"]);
        assert_eq!(agreed.macros.names(Stage::Connect), ["j", "_"]);
        check(&wire(6, 0, 0, b"\0\0\0\x07i\0"), Err(OptionsError::Syntax));
        check(&wire(6, 0, 0, b"\0\0\0\x02i"), Err(OptionsError::Syntax));
        check(&wire(6, 0, 0, b"\0\0\0"), Err(OptionsError::Syntax));
    }
}

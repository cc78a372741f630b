//! AUTHENTICATE.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envelope::Secret;

use super::{Cursor, Parsed};
use crate::frame::Line;
use crate::{Authenticate, AuthenticateLine, ParseError};

/// Longest mechanism name (RFC 4422 §3.1).
const MECHANISM_LENGTH_MAX: usize = 20;

impl Cursor<'_> {
    /// ```abnf
    /// authenticate = "AUTHENTICATE" SP auth-type [SP (base64 / "=")]     ; RFC 3501 §9, RFC 4959 §7
    /// auth-type    = atom
    /// ```
    pub(super) fn authenticate(&mut self) -> Parsed<Authenticate> {
        let name = self.atom("a mechanism")?;
        if name.len() > MECHANISM_LENGTH_MAX {
            return Err(ParseError::WordTooLong);
        }
        let mechanism = String::from_utf8_lossy(name).to_ascii_uppercase();
        self.skip_trailing_spaces();
        if self.peek().is_none() {
            return Ok(Authenticate { mechanism, initial_response: None });
        }
        self.space()?;
        let response = self.take_while(|octet| octet != b' ' && octet != b'\r');
        let decoded = if response == b"=" { Vec::new() } else { decode(response)? };
        Ok(Authenticate { mechanism, initial_response: Some(Secret::new(decoded)) })
    }
}

/// Parses a line that answers a continuation request of AUTHENTICATE.
///
/// ```abnf
/// authenticate = … *(CRLF base64)                ; RFC 3501 §9; "*" cancels by §6.2.2
/// ```
pub fn parse_authenticate_line(line: &Line) -> Result<AuthenticateLine, ParseError> {
    match line.0.as_slice() {
        b"*" => Ok(AuthenticateLine::Cancel),
        response => Ok(AuthenticateLine::Response(Secret::new(decode(response)?))),
    }
}

/// Strict: padded, no blanks, no left-over bits.
fn decode(octets: &[u8]) -> Parsed<Vec<u8>> {
    STANDARD.decode(octets).map_err(|_| ParseError::Base64)
}

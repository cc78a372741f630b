//! Why an exchange ended without credentials.

/// The exchange failed before any password was looked at. Never holds what the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The client sent `*` (RFC 4954 §4, RFC 5034 §4, RFC 3501 §6.2.2).
    #[error("the client cancelled the authentication")]
    Cancelled,
    /// What the client says of the channel below is not what is there, or not what was announced (RFC 5802 §6).
    #[error("the channel binding does not fit")]
    ChannelBinding,
    /// A response is not canonical base64 (RFC 4648 §4: padded, no other characters, no stray bits).
    #[error("the response is not base64")]
    Encoding,
    /// The decoded response is not the mechanism's form.
    #[error("the response is not usable: {0}")]
    Malformed(&'static str),
    /// A response, a name or a password is over its limit.
    #[error("the response is too long")]
    TooLong,
}

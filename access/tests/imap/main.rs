//! IMAP over TCP, with a real store in a temporary directory.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod login;
#[cfg(test)]
mod model;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod transcripts;

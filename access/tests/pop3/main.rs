//! POP3 over TCP, against a real store in a temporary folder.

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod logins;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod transcripts;

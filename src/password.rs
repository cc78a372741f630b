//! Passwords come from a prompt or from standard input, never from the command line.

use std::io::{IsTerminal as _, Read as _};

use anyhow::{Context as _, bail};
use envelope::Secret;

/// Longest password, in octets.
const LENGTH_MAX: u64 = 1024;

/// Asks twice at a terminal; otherwise takes the first line of standard input.
pub(crate) fn read() -> anyhow::Result<Secret<String>> {
    let password = if std::io::stdin().is_terminal() { prompt()? } else { first_line()? };
    if password.is_empty() {
        bail!("the password is empty: type one, or write it to standard input (echo PASSWORD | sluice …)");
    }
    Ok(Secret::new(password))
}

fn prompt() -> anyhow::Result<String> {
    let first = rpassword::prompt_password("Password: ").context("failed to read the password")?;
    let second = rpassword::prompt_password("Once more: ").context("failed to read the password")?;
    if first != second {
        bail!("the two passwords differ");
    }
    Ok(first)
}

fn first_line() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().take(LENGTH_MAX + 2).read_to_string(&mut text).context("failed to read the password")?;
    let line = text.lines().next().unwrap_or_default();
    if line.len() as u64 > LENGTH_MAX {
        bail!("the password is longer than {LENGTH_MAX} octets");
    }
    Ok(line.to_owned())
}

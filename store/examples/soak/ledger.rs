//! What nodes tried and what they were told, outside of the system under test: one line an event, one write a line.
//!
//! ```text
//! THREAD deliver? LID            THREAD deliver! LID
//! THREAD move? ACCOUNT LID       THREAD move! ACCOUNT LID
//! THREAD flag? KEY KEYWORD 0|1   THREAD flag! …          KEY: account/uidvalidity/uid
//! THREAD expunge? KEY            THREAD expunge! KEY
//! THREAD see KEY LID             THREAD violation TEXT   THREAD error TEXT
//! THREAD told ACCOUNT/UIDVALIDITY UIDNEXT MODSEQ         THREAD moved ACCOUNT VOLUME …
//! ```

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::Outcome;

/// Linux: a write is on disk when it returns.
const O_DSYNC: i32 = 0o10000;

#[derive(Debug)]
pub(crate) struct Ledger(File);

impl Ledger {
    pub(crate) fn open(directory: &Path, name: &str) -> Outcome<Self> {
        let path = directory.join(format!("{name}.ledger"));
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        if std::env::var_os("SOAK_CUT_AFTER").is_some() {
            // The power takes the machine that holds our pages with it.
            options.custom_flags(O_DSYNC);
        }
        Ok(Self(options.open(path)?))
    }

    pub(crate) fn write(&self, thread: usize, event: &str) {
        let line = format!("{thread} {}\n", event.replace('\n', " "));
        // A ledger that can't be written would make the proof void.
        if let Err(error) = (&self.0).write_all(line.as_bytes()) {
            println!("soak: ledger not written: {error}");
            std::process::exit(2);
        }
    }
}

//! The file: its format, and how an older one is brought up to date.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use envelope::Address;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};
use sasl::ScramSecret;

use crate::{Config, OpenError};

/// `SLUC`, in the file's header: tells our file from other databases.
const APPLICATION_ID: i64 = 0x534c_5543;

/// Step n brings a file of format n to format n + 1.
const MIGRATIONS: [&str; 4] = [
    // Format 1.
    "CREATE TABLE domain (
        name TEXT PRIMARY KEY NOT NULL,
        catch_all TEXT,
        postmaster TEXT,
        created_at INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE account (
        address TEXT PRIMARY KEY NOT NULL,
        domain TEXT NOT NULL REFERENCES domain (name),
        password TEXT,
        display_name TEXT NOT NULL,
        login_allowed INTEGER NOT NULL CHECK (login_allowed IN (0, 1)),
        created_at INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX account_domain ON account (domain);
     CREATE TABLE alias (
        address TEXT PRIMARY KEY NOT NULL,
        domain TEXT NOT NULL REFERENCES domain (name),
        created_at INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX alias_domain ON alias (domain);
     CREATE TABLE alias_target (
        alias TEXT NOT NULL REFERENCES alias (address) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        target TEXT NOT NULL,
        canonical TEXT NOT NULL,
        PRIMARY KEY (alias, position)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX alias_target_canonical ON alias_target (canonical);",
    // Format 2: quotas. NULL is the domain's, and there no limit; 0 is no limit.
    "ALTER TABLE account ADD COLUMN quota_octets INTEGER CHECK (quota_octets >= 0);
     ALTER TABLE account ADD COLUMN quota_messages INTEGER CHECK (quota_messages >= 0);
     ALTER TABLE domain ADD COLUMN quota_octets INTEGER CHECK (quota_octets >= 0);
     ALTER TABLE domain ADD COLUMN quota_messages INTEGER CHECK (quota_messages >= 0);",
    // Format 3: an alias with an owner (canonical) is a mailing list.
    "ALTER TABLE alias ADD COLUMN owner TEXT;
     CREATE INDEX alias_owner ON alias (owner) WHERE owner IS NOT NULL;",
    // Format 4: SCRAM secrets, of the same password as `password`; and the key that makes those of names that nobody has.
    "ALTER TABLE account ADD COLUMN scram TEXT;
     CREATE TABLE secret (
        name TEXT PRIMARY KEY NOT NULL,
        value BLOB NOT NULL
     ) STRICT, WITHOUT ROWID;
     INSERT INTO secret (name, value) VALUES ('scram-nobody', randomblob(32));",
];

/// The format that this program writes.
pub(crate) const FORMAT: i64 = MIGRATIONS.len() as i64;

/// Opens the file for reading and writing; makes it, with its folder, when it is missing; brings it up to date.
pub(crate) fn open_writer(config: &Config) -> Result<Connection, OpenError> {
    create_private(&config.path).map_err(|source| OpenError::Create { path: config.path.clone(), source })?;
    let failed = |step| move |source| OpenError::Sqlite { step, path: config.path.clone(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&config.path, flags).map_err(failed("open"))?;
    connection.busy_timeout(config.busy_timeout.as_duration()).map_err(failed("open"))?;
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;")
        .map_err(failed("read"))?;
    migrate(&mut connection, &config.path)?;
    Ok(connection)
}

/// Opens the file for reading only in effect; never makes it.
pub(crate) fn open_reader(config: &Config) -> Result<Connection, rusqlite::Error> {
    // A reader of a WAL database maps the index for writing, so the file is opened read-write and then fenced.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&config.path, flags)?;
    connection.busy_timeout(config.busy_timeout.as_duration())?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;")?;
    let (application, format) = header(&connection)?;
    if application != APPLICATION_ID || format != FORMAT {
        // The file was replaced by something else while we run.
        return Err(rusqlite::Error::InvalidQuery);
    }
    Ok(connection)
}

/// Keeps the SCRAM secret of an account whose password hash is still `stored`.
pub(crate) fn keep_scram(
    config: &Config,
    account: &Address,
    stored: &str,
    secret: &ScramSecret,
) -> Result<(), rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&config.path, flags)?;
    connection.busy_timeout(config.busy_timeout.as_duration())?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;")?;
    if header(&connection)? != (APPLICATION_ID, FORMAT) {
        return Err(rusqlite::Error::InvalidQuery);
    }
    let sql = "UPDATE account SET scram = ?3 WHERE address = ?1 AND password = ?2";
    connection.execute(sql, params![account.to_string(), stored, secret.to_text().expose()]).map(drop)
}

/// The file holds password hashes: nobody but its owner reads it. SQLite gives its companions the same mode.
fn create_private(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |step| move |source| OpenError::Sqlite { step, path: path.to_owned(), source };
    // Most starts change nothing and need not wait for a writer.
    if header(connection).map_err(failed("read"))? == (APPLICATION_ID, FORMAT) {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed("lock"))?;
    let (application, format) = header(&transaction).map_err(failed("read"))?;
    let tables: i64 = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed("read"))?;
    let is_new = application == 0 && format == 0 && tables == 0;
    if !is_new && application != APPLICATION_ID {
        return Err(OpenError::NotOurs { path: path.to_owned() });
    }
    let done = usize::try_from(format).unwrap_or(usize::MAX);
    if done > MIGRATIONS.len() {
        return Err(OpenError::Newer { path: path.to_owned(), found: format, known: FORMAT });
    }
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration).map_err(failed("bring up to date"))?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed("bring up to date"))?;
    transaction.pragma_update(None, "user_version", FORMAT).map_err(failed("bring up to date"))?;
    transaction.commit().map_err(failed("bring up to date"))
}

fn header(connection: &Connection) -> Result<(i64, i64), rusqlite::Error> {
    let read = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok((read("application_id")?, read("user_version")?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config(folder: &tempfile::TempDir) -> Config {
        Config { path: folder.path().join("sub/directory.sqlite"), ..Config::default() }
    }

    #[test]
    fn is_made_once_and_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder);
        assert!(open_reader(&config).is_err(), "a reader makes no file");
        drop(open_writer(&config).unwrap());
        drop(open_writer(&config).unwrap());
        let mode = std::fs::metadata(&config.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let reader = open_reader(&config).unwrap();
        assert!(reader.execute("INSERT INTO domain VALUES ('a', NULL, NULL, 0)", []).is_err());
    }

    #[test]
    fn a_file_of_the_first_format_is_brought_up_to_date_with_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder);
        create_private(&config.path).unwrap();
        let old = Connection::open(&config.path).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.execute_batch(
            "INSERT INTO domain VALUES ('a.test', NULL, NULL, 5);
             INSERT INTO account VALUES ('ann@a.test', 'a.test', NULL, 'Ann', 1, 6);",
        )
        .unwrap();
        drop(old);
        let file = open_writer(&config).unwrap();
        let row: (String, Option<i64>, Option<String>) = file
            .query_row("SELECT display_name, quota_octets, scram FROM account", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .unwrap();
        assert_eq!(row, ("Ann".to_owned(), None, None));
        let key = crate::lookup::nobody_key(&file).unwrap();
        let _ = open_writer(&config).unwrap();
        assert_eq!(crate::lookup::nobody_key(&file).unwrap(), key, "made once");
        assert_eq!(header(&file).unwrap(), (APPLICATION_ID, FORMAT));
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder);
        drop(open_writer(&config).unwrap());
        let raw = Connection::open(&config.path).unwrap();
        raw.pragma_update(None, "user_version", FORMAT + 1).unwrap();
        assert!(matches!(open_writer(&config), Err(OpenError::Newer { found, .. }) if found == FORMAT + 1));
        raw.pragma_update(None, "application_id", 1).unwrap();
        assert!(matches!(open_writer(&config), Err(OpenError::NotOurs { .. })));
        drop(raw);
        std::fs::write(&config.path, "no database at all, but long enough to be looked at".repeat(100))
            .unwrap();
        assert!(matches!(open_writer(&config), Err(OpenError::Sqlite { .. })));
    }
}

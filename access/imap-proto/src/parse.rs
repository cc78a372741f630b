//! From a frame to a command.
//!
//! One file per command, each with its grammar. All of them read from a `Cursor`, which also holds the
//! budgets. Nothing here recurses on what the peer wrote.

mod append;
mod authenticate;
mod cursor;
mod date;
mod fetch;
mod id;
mod list;
mod search;
mod select;
mod set;
mod status;
mod store;
mod string;

use crate::{
    Command, CommandBody, CommandError, Create, Frame, Login, Mailbox, Numbering, ParseError, ParseLimits,
    SpecialUse, Tag, Transfer, frame,
};
use cursor::Cursor;

pub use authenticate::parse_authenticate_line;

/// What a rule of the grammar gives.
type Parsed<T> = Result<T, ParseError>;

/// Parses one complete command.
///
/// ```abnf
/// command = tag SP (command-any / command-auth / command-nonauth / command-select) CRLF  ; RFC 3501 §9
/// ```
///
/// Quirk `trailing-space`: spaces before the end of the line are ignored.
pub fn parse_command(frame: Frame, limits: &ParseLimits) -> Result<Command, CommandError> {
    let Frame { text, literals } = frame;
    let mut cursor = Cursor::new(&text, literals, limits);
    let Ok(tag) = parse_tag(&mut cursor) else {
        return Err(CommandError { tag: None, error: ParseError::Tag });
    };
    let body = parse_body(&mut cursor).and_then(|body| cursor.end().map(|()| body));
    match body {
        Ok(body) => Ok(Command { tag, body }),
        Err(error) => Err(CommandError { tag: Some(tag), error }),
    }
}

/// What an APPEND names as its target, from the part of the frame that is here.
pub(crate) fn append_target(frame: &Frame, limits: &ParseLimits) -> Option<Mailbox> {
    // The last literal is the one to come; it is left out of the copy, which is a line long at most.
    let kept = frame.literals.len().saturating_sub(1);
    let literals: Vec<Vec<u8>> = frame.literals.iter().take(kept).cloned().collect();
    let mut cursor = Cursor::new(&frame.text, literals, limits);
    parse_tag(&mut cursor).ok()?;
    let name = cursor.atom("a command").ok()?;
    if !name.eq_ignore_ascii_case(b"APPEND") {
        return None;
    }
    cursor.space().ok()?;
    cursor.mailbox().ok()
}

fn parse_tag(cursor: &mut Cursor<'_>) -> Parsed<Tag> {
    let word = cursor.take_while(|octet| octet != b' ');
    let tag = frame::tag_of(word).filter(|tag| tag.as_str().len() == word.len()).ok_or(ParseError::Tag)?;
    if cursor.peek().is_some() {
        cursor.space()?;
    }
    Ok(tag)
}

/// ```abnf
/// command-any     = "CAPABILITY" / "LOGOUT" / "NOOP" / id
/// command-auth    = append / create / delete / examine / list / lsub / rename / select / status /
///                   subscribe / unsubscribe / enable / idle / "NAMESPACE"
/// command-nonauth = login / authenticate / "STARTTLS"
/// command-select  = "CHECK" / "CLOSE" / "EXPUNGE" / copy / fetch / store / uid / search / move / "UNSELECT"
/// ```
fn parse_body(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    cursor.skip_trailing_spaces();
    if cursor.peek().is_none() {
        return Err(ParseError::MissingCommand);
    }
    let name = cursor.atom("a command")?.to_ascii_uppercase();
    match name.as_slice() {
        b"CAPABILITY" => Ok(CommandBody::Capability),
        b"NOOP" => Ok(CommandBody::Noop),
        b"LOGOUT" => Ok(CommandBody::Logout),
        b"STARTTLS" => Ok(CommandBody::StartTls),
        b"NAMESPACE" => Ok(CommandBody::Namespace),
        b"IDLE" => Ok(CommandBody::Idle),
        b"CHECK" => Ok(CommandBody::Check),
        b"CLOSE" => Ok(CommandBody::Close),
        b"UNSELECT" => Ok(CommandBody::Unselect),
        b"EXPUNGE" => Ok(CommandBody::Expunge),
        name => {
            if !is_with_arguments(name) {
                return Err(ParseError::UnknownCommand);
            }
            cursor.space()?;
            parse_with_arguments(name, cursor)
        }
    }
}

fn is_with_arguments(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 21] = [
        b"ID",
        b"LOGIN",
        b"AUTHENTICATE",
        b"ENABLE",
        b"SELECT",
        b"EXAMINE",
        b"CREATE",
        b"DELETE",
        b"RENAME",
        b"SUBSCRIBE",
        b"UNSUBSCRIBE",
        b"LIST",
        b"LSUB",
        b"STATUS",
        b"APPEND",
        b"UID",
        b"SEARCH",
        b"FETCH",
        b"STORE",
        b"COPY",
        b"MOVE",
    ];
    NAMES.contains(&name)
}

fn parse_with_arguments(name: &[u8], cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    match name {
        b"ID" => cursor.id().map(CommandBody::Id),
        b"LOGIN" => login(cursor).map(CommandBody::Login),
        b"AUTHENTICATE" => cursor.authenticate().map(CommandBody::Authenticate),
        b"ENABLE" => enable(cursor).map(CommandBody::Enable),
        b"SELECT" => cursor.select().map(CommandBody::Select),
        b"EXAMINE" => cursor.select().map(CommandBody::Examine),
        b"CREATE" => create(cursor).map(CommandBody::Create),
        b"DELETE" => cursor.mailbox().map(CommandBody::Delete),
        b"RENAME" => rename(cursor),
        b"SUBSCRIBE" => cursor.mailbox().map(CommandBody::Subscribe),
        b"UNSUBSCRIBE" => cursor.mailbox().map(CommandBody::Unsubscribe),
        b"LIST" => cursor.list().map(CommandBody::List),
        b"LSUB" => cursor.lsub().map(CommandBody::Lsub),
        b"STATUS" => status(cursor),
        b"APPEND" => cursor.append().map(CommandBody::Append),
        b"UID" => uid(cursor),
        name => numbered(name, Numbering::Sequence, cursor),
    }
}

/// ```abnf
/// uid         = "UID" SP (copy / fetch / search / store / move)     ; RFC 3501 §9, RFC 6851 §4.2
/// uid-expunge = "UID" SP "EXPUNGE" SP sequence-set                  ; RFC 4315 §4
/// ```
fn uid(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let name = cursor.atom("COPY, FETCH, MOVE, SEARCH, STORE or EXPUNGE")?.to_ascii_uppercase();
    cursor.space()?;
    match name.as_slice() {
        b"EXPUNGE" => cursor.message_set().map(CommandBody::UidExpunge),
        name => numbered(name, Numbering::Uid, cursor),
    }
}

/// The commands that come with sequence numbers and with UIDs.
fn numbered(name: &[u8], numbering: Numbering, cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    match name {
        b"SEARCH" => cursor.search(numbering).map(CommandBody::Search),
        b"FETCH" => cursor.fetch(numbering).map(CommandBody::Fetch),
        b"STORE" => cursor.store(numbering).map(CommandBody::Store),
        b"COPY" => transfer(cursor, numbering).map(CommandBody::Copy),
        b"MOVE" => transfer(cursor, numbering).map(CommandBody::Move),
        _ => Err(ParseError::UnknownCommand),
    }
}

/// ```abnf
/// copy = "COPY" SP sequence-set SP mailbox      ; RFC 3501 §9
/// move = "MOVE" SP sequence-set SP mailbox      ; RFC 6851 §4.2
/// ```
fn transfer(cursor: &mut Cursor<'_>, numbering: Numbering) -> Parsed<Transfer> {
    let messages = cursor.message_set()?;
    cursor.space()?;
    Ok(Transfer { numbering, messages, mailbox: cursor.mailbox()? })
}

/// ```abnf
/// login    = "LOGIN" SP userid SP password      ; RFC 3501 §9
/// userid   = astring
/// password = astring
/// ```
fn login(cursor: &mut Cursor<'_>) -> Parsed<Login> {
    let user = cursor.text()?;
    cursor.space()?;
    Ok(Login { user, password: envelope::Secret::new(cursor.astring()?.into_owned()) })
}

/// ```abnf
/// enable = "ENABLE" 1*(SP capability)           ; RFC 5161 §4
/// ```
fn enable(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    let mut names = Vec::new();
    loop {
        cursor.check_list(names.len(), "capabilities")?;
        names.push(String::from_utf8_lossy(cursor.atom("a capability")?).to_ascii_uppercase());
        cursor.skip_trailing_spaces();
        if cursor.peek().is_none() {
            return Ok(names);
        }
        cursor.space()?;
    }
}

/// ```abnf
/// create       = "CREATE" SP mailbox [SP "(" create-param *(SP create-param) ")"]   ; RFC 3501 §9, RFC 4466 §2.2
/// create-param = "USE" SP "(" [use-attr *(SP use-attr)] ")"                         ; RFC 6154 §6
/// ```
fn create(cursor: &mut Cursor<'_>) -> Parsed<Create> {
    let name = cursor.mailbox()?;
    // A trailing delimiter says that children will follow (RFC 3501 §6.3.3); it is no part of the name.
    let mailbox = name.as_str().strip_suffix('/').filter(|rest| !rest.is_empty()).map(Mailbox::from_text);
    let mut create = Create { mailbox: mailbox.unwrap_or(name), special_uses: Vec::new() };
    cursor.skip_trailing_spaces();
    if cursor.peek().is_none() {
        return Ok(create);
    }
    cursor.space()?;
    cursor.parenthesised("CREATE parameters", |cursor| {
        if !cursor.atom("USE")?.eq_ignore_ascii_case(b"USE") {
            return Err(ParseError::Unknown("CREATE parameter"));
        }
        cursor.space()?;
        cursor.parenthesised("special uses", |cursor| {
            cursor.expect(b'\\', "a special use")?;
            let mut name = vec![b'\\'];
            name.extend_from_slice(cursor.atom("a special use")?);
            let special_use = SpecialUse::parse(&name).ok_or(ParseError::Unknown("special use"))?;
            if !create.special_uses.contains(&special_use) {
                create.special_uses.push(special_use);
            }
            Ok(())
        })
    })?;
    Ok(create)
}

/// ```abnf
/// rename = "RENAME" SP mailbox SP mailbox       ; RFC 3501 §9
/// ```
fn rename(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let from = cursor.mailbox()?;
    cursor.space()?;
    Ok(CommandBody::Rename { from, to: cursor.mailbox()? })
}

/// ```abnf
/// status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"    ; RFC 3501 §9
/// ```
fn status(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    Ok(CommandBody::Status { mailbox, items: cursor.status_items()? })
}

#[cfg(test)]
pub(crate) mod tests;

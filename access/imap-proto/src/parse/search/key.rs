//! One search key that holds no other.

use super::negated;
use crate::parse::{Cursor, Parsed};
use crate::{Keyword, ParseError, SearchKey};

impl Cursor<'_> {
    /// ```abnf
    /// search-key = "ALL" / "ANSWERED" / "BCC" SP astring / "BEFORE" SP date / "BODY" SP astring / …
    ///              / "UID" SP sequence-set / sequence-set                ; RFC 3501 §9
    ///              / "OLDER" SP nz-number / "YOUNGER" SP nz-number       ; RFC 5032 §2
    ///              / "MODSEQ" [entry] SP mod-sequence-valzer             ; RFC 7162 §7
    /// ```
    pub(super) fn search_key(&mut self) -> Parsed<SearchKey> {
        if self.peek().is_some_and(|octet| octet.is_ascii_digit() || matches!(octet, b'*' | b'$')) {
            return self.message_set().map(SearchKey::Sequence);
        }
        let name = self.atom("a search key")?.to_ascii_uppercase();
        if let Some(key) = flag_key(&name) {
            return Ok(key);
        }
        if !is_with_argument(&name) {
            return Err(ParseError::Unknown("search key"));
        }
        self.space()?;
        match name.as_slice() {
            b"KEYWORD" => self.keyword().map(SearchKey::Keyword),
            b"UNKEYWORD" => self.keyword().map(|keyword| negated(SearchKey::Keyword(keyword))),
            b"UID" => self.message_set().map(SearchKey::Uid),
            b"LARGER" => self.number64().map(SearchKey::Larger),
            b"SMALLER" => self.number64().map(SearchKey::Smaller),
            b"OLDER" => self.interval().map(SearchKey::Older),
            b"YOUNGER" => self.interval().map(SearchKey::Younger),
            b"MODSEQ" => self.search_mod_seq().map(SearchKey::ModSeq),
            b"HEADER" => {
                let field = self.header_name()?;
                self.space()?;
                Ok(SearchKey::Header { field, text: self.text()? })
            }
            b"BEFORE" => self.date().map(SearchKey::Before),
            b"ON" => self.date().map(SearchKey::On),
            b"SINCE" => self.date().map(SearchKey::Since),
            b"SENTBEFORE" => self.date().map(SearchKey::SentBefore),
            b"SENTON" => self.date().map(SearchKey::SentOn),
            b"SENTSINCE" => self.date().map(SearchKey::SentSince),
            b"BCC" => self.text().map(SearchKey::Bcc),
            b"BODY" => self.text().map(SearchKey::Body),
            b"CC" => self.text().map(SearchKey::Cc),
            b"FROM" => self.text().map(SearchKey::From),
            b"SUBJECT" => self.text().map(SearchKey::Subject),
            b"TEXT" => self.text().map(SearchKey::Text),
            _ => self.text().map(SearchKey::To),
        }
    }

    fn keyword(&mut self) -> Parsed<Keyword> {
        Keyword::parse(self.atom("a keyword")?).ok_or(ParseError::WordTooLong)
    }

    /// `nz-number` of seconds.
    fn interval(&mut self) -> Parsed<u32> {
        match self.number()? {
            0 => Err(ParseError::Number),
            seconds => Ok(seconds),
        }
    }

    /// ```abnf
    /// search-modsequence  = "MODSEQ" [search-modseq-ext] SP mod-sequence-valzer    ; RFC 7162 §7
    /// search-modseq-ext   = SP entry-name SP entry-type-req
    /// entry-type-req      = "priv" / "shared" / "all"
    /// ```
    fn search_mod_seq(&mut self) -> Parsed<u64> {
        if self.peek() == Some(b'"') {
            self.string()?;
            self.space()?;
            let kind = self.atom("an entry type")?.to_ascii_lowercase();
            if !matches!(kind.as_slice(), b"priv" | b"shared" | b"all") {
                return Err(ParseError::Expected("an entry type"));
            }
            self.space()?;
        }
        self.number64()
    }
}

fn is_with_argument(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 22] = [
        b"KEYWORD",
        b"UNKEYWORD",
        b"UID",
        b"LARGER",
        b"SMALLER",
        b"OLDER",
        b"YOUNGER",
        b"MODSEQ",
        b"HEADER",
        b"BEFORE",
        b"ON",
        b"SINCE",
        b"SENTBEFORE",
        b"SENTON",
        b"SENTSINCE",
        b"BCC",
        b"BODY",
        b"CC",
        b"FROM",
        b"SUBJECT",
        b"TEXT",
        b"TO",
    ];
    NAMES.contains(&name)
}

/// Keys without an argument. RFC 3501 §6.4.4: OLD is NOT RECENT, NEW is RECENT UNSEEN.
fn flag_key(name: &[u8]) -> Option<SearchKey> {
    let key = match name {
        b"ALL" => SearchKey::All,
        b"ANSWERED" => SearchKey::Answered,
        b"DELETED" => SearchKey::Deleted,
        b"DRAFT" => SearchKey::Draft,
        b"FLAGGED" => SearchKey::Flagged,
        b"RECENT" => SearchKey::Recent,
        b"SEEN" => SearchKey::Seen,
        b"UNANSWERED" => negated(SearchKey::Answered),
        b"UNDELETED" => negated(SearchKey::Deleted),
        b"UNDRAFT" => negated(SearchKey::Draft),
        b"UNFLAGGED" => negated(SearchKey::Flagged),
        b"UNSEEN" => negated(SearchKey::Seen),
        b"OLD" => negated(SearchKey::Recent),
        b"NEW" => SearchKey::And(vec![SearchKey::Recent, negated(SearchKey::Seen)]),
        _ => return None,
    };
    Some(key)
}

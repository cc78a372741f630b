//! What rules may speak of: variables, their fields and types, and functions. The one place that knows; the checker, the facts and the reference read it.

use std::fmt;

/// The type of an expression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    /// Anything; only of an empty list's elements.
    Any,
    /// True or false.
    Bool,
    /// A number with a fraction.
    Double,
    /// A whole number.
    Int,
    /// A list.
    List(&'static Self),
    /// Something with fields.
    Object(&'static Object),
    /// Text.
    String,
}

/// Something with fields.
#[derive(Debug)]
pub struct Object {
    /// What it is called in messages.
    pub name: &'static str,
    /// Name, type and meaning of each field.
    pub fields: &'static [(&'static str, Type, &'static str)],
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::Bool => f.write_str("bool"),
            Self::Double => f.write_str("double"),
            Self::Int => f.write_str("int"),
            Self::List(of) => write!(f, "list of {of}"),
            Self::Object(object) => f.write_str(object.name),
            Self::String => f.write_str("string"),
        }
    }
}

impl Type {
    /// A list of these; `None` for what lists can't hold.
    pub(super) fn list(self) -> Option<Self> {
        Some(Self::List(match self {
            Self::Any => &Self::Any,
            Self::Bool => &Self::Bool,
            Self::Double => &Self::Double,
            Self::Int => &Self::Int,
            Self::String => &Self::String,
            Self::List(&Self::String) => &STRINGS,
            Self::List(_) => return None,
            Self::Object(object) if *object == PART => &A_PART,
            Self::Object(object) if *object == URL => &A_URL,
            Self::Object(object) if *object == MAILBOX => &A_MAILBOX,
            Self::Object(_) => return None,
        }))
    }

    /// Whether both may stand on the two sides of `==`.
    pub(super) fn is_comparable(self, other: Self) -> bool {
        let number = |one: Self| matches!(one, Self::Int | Self::Double);
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::List(one), Self::List(another)) => one.is_comparable(*another),
            (Self::Object(_), _) | (_, Self::Object(_)) => false,
            _ => self == other || number(self) && number(other),
        }
    }
}

static STRINGS: Type = List(&String);
static A_PART: Type = Type::Object(&PART);
static A_URL: Type = Type::Object(&URL);
static A_MAILBOX: Type = Type::Object(&MAILBOX);

use Type::{Bool, Double, Int, List, String};

/// Everything a rule can name.
pub static VARIABLES: &[(&str, Type, &str)] = &[
    ("auth", Type::Object(&AUTH), "who wrote it, as far as that can be known"),
    ("connection", Type::Object(&CONNECTION), "where it came from"),
    ("envelope", Type::Object(&ENVELOPE), "sender and recipients as SMTP gave them"),
    ("message", Type::Object(&MESSAGE), "its header section and text"),
    ("parts", List(&Type::Object(&PART)), "its parts, attachments among them"),
    ("scan", Type::Object(&SCAN), "what milters and scanners said"),
    ("score", Double, "the points so far: of rules above, of scanners, of block lists"),
    ("urls", List(&Type::Object(&URL)), "links in its text and its HTML"),
];

/// `auth`
pub static AUTH: Object = Object {
    name: "auth",
    fields: &[
        ("arc", String, "none, pass, fail or temperror (RFC 8617)"),
        ("dkim", String, "pass when any signature passed, else the first one's result (RFC 6376)"),
        ("dkim_domains", List(&String), "domains whose signatures passed"),
        ("dmarc", String, "none, pass, fail, temperror or permerror (RFC 9989)"),
        ("dmarc_policy", String, "none, quarantine or reject"),
        ("from_fault", String, "what is wrong with the From field; empty when nothing is"),
        ("spf", String, "none, neutral, pass, fail, softfail, temperror or permerror (RFC 7208)"),
        ("spf_domain", String, "the domain that SPF was asked about"),
    ],
};

/// `connection`
pub static CONNECTION: Object = Object {
    name: "connection",
    fields: &[
        ("account", String, "who logged in; empty when nobody did"),
        ("address", String, "the peer's IP address; empty for mail made here"),
        ("authenticated", Bool, "whether somebody logged in"),
        ("client_certificate", Bool, "whether the peer showed a certificate that verified"),
        ("helo", String, "what the peer calls itself"),
        ("hostname", String, "the peer's name by a reverse and a forward look-up; empty when they disagree"),
        ("listener", String, "mx, submission, submissions or lmtp"),
        ("lists", List(&String), "block and allow lists that know the peer"),
        ("tls", Bool, "whether it is encrypted"),
    ],
};

/// `envelope`
pub static ENVELOPE: Object = Object {
    name: "envelope",
    fields: &[
        ("recipient_count", Int, "recipients"),
        ("recipient_domains", List(&String), "their domains, each once, in lower case"),
        ("recipients", List(&String), "recipients"),
        ("sender", String, "the reverse path; empty for the null one"),
        ("sender_domain", String, "its domain in lower case"),
    ],
};

/// `message`
pub static MESSAGE: Object = Object {
    name: "message",
    fields: &[
        (
            "ambiguous",
            Bool,
            "whether programs may take it apart differently: type, encoding or name said twice, content that is not as said",
        ),
        ("auto_submitted", Bool, "whether a program sent it (RFC 3834)"),
        ("bulk", Bool, "whether it says that it is a list's or bulk (List-Id, List-Unsubscribe, Precedence)"),
        ("cc", List(&Type::Object(&MAILBOX)), "the Cc field"),
        (
            "charset_mix",
            Bool,
            "whether the author's name or the subject mixes letters of several scripts in a word",
        ),
        ("from", List(&Type::Object(&MAILBOX)), "the From field"),
        ("from_address", String, "the first author's address in lower case"),
        ("from_domain", String, "its domain"),
        ("from_name", String, "the name beside it, decoded, without invisible letters"),
        ("has_html", Bool, "whether a part is HTML"),
        ("list_unsubscribe", Bool, "whether it says how to leave the list (RFC 2369)"),
        ("message_id", String, "the Message-ID field"),
        ("received_count", Int, "Received fields"),
        ("reply_to_address", String, "the first Reply-To address in lower case; empty without one"),
        ("reply_to_domain", String, "its domain"),
        ("size", Int, "octets"),
        ("subject", String, "the Subject field, decoded, without invisible letters"),
        (
            "text",
            String,
            "the text of its parts, of messages within it and of files that are text by their names, HTML without tags, without invisible letters, up to text_max",
        ),
        ("to", List(&Type::Object(&MAILBOX)), "the To field"),
    ],
};

/// An address in a field.
pub static MAILBOX: Object = Object {
    name: "mailbox",
    fields: &[
        ("address", String, "in lower case"),
        ("domain", String, "behind the @"),
        ("name", String, "beside it, decoded"),
    ],
};

/// An element of `parts`.
pub static PART: Object = Object {
    name: "part",
    fields: &[
        ("attachment", Bool, "whether it is one (RFC 2183)"),
        ("contains", List(&String), "names of files in an archive, as far as they are looked at"),
        (
            "detected",
            String,
            "what its first octets say it is: pdf, zip, ole, exe, elf, rtf, script, html, svg, png, jpeg, gif, gzip, rar, 7z, cab, chm, iso, lnk, onenote or empty",
        ),
        ("encrypted", Bool, "whether it is an archive, an office document or a PDF with a password"),
        (
            "extension",
            String,
            "the last part of its name in lower case, without what a machine drops behind it",
        ),
        ("macros", Bool, "whether it is an office document with macros"),
        ("name", String, "file name, decoded (RFC 2231, RFC 2047)"),
        ("scripts", Bool, "whether it is a page or a drawing that runs something"),
        ("size", Int, "octets, decoded"),
        ("type", String, "media type in lower case, as the message declares it"),
    ],
};

/// `scan`
pub static SCAN: Object = Object {
    name: "scan",
    fields: &[
        ("spam", Bool, "whether a scanner took it for spam"),
        ("spam_score", Double, "its points"),
        ("symbols", List(&String), "what it found"),
        ("virus", Bool, "whether a scanner found a virus"),
        ("virus_name", String, "which"),
    ],
};

/// An element of `urls`.
pub static URL: Object = Object {
    name: "url",
    fields: &[
        ("domain", String, "the host without its first labels, as far as two labels"),
        ("host", String, "host name in lower case"),
        ("href", String, "the whole link"),
        ("is_address", Bool, "whether the host is an IP address"),
        ("misleading", Bool, "whether its text shows another host than it leads to"),
        ("shown", String, "the text of the link"),
    ],
};

/// A function: name, what it is called on or with, what it gives, meaning. Each may be called as `f(x, y)` or `x.f(y)`.
pub struct Signature {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub takes: &'static [Type],
    /// What it gives.
    pub gives: Type,
    /// What for.
    pub meaning: &'static str,
}

const fn function(
    name: &'static str,
    takes: &'static [Type],
    gives: Type,
    meaning: &'static str,
) -> Signature {
    Signature { name, takes, gives, meaning }
}

/// Functions, those of CEL that are of use here and ours.
pub static FUNCTIONS: &[Signature] = &[
    function("cards", &[String], Int, "numbers of payment cards in a text, by their check digit"),
    function("contains", &[String, String], Bool, "whether a text holds another"),
    function(
        "distance",
        &[String, String],
        Int,
        "letters to change, add, drop or swap between two short texts",
    ),
    function("endsWith", &[String, String], Bool, "whether a text ends with another"),
    function("header", &[String], String, "the first field of that name, decoded; empty without one"),
    function("headers", &[String], STRINGS_TYPE, "all fields of that name, decoded"),
    function("iban", &[String], Int, "bank account numbers in a text, by their check digits"),
    function("in_list", &[String, String], Bool, "whether a text, in any case, is in a named list"),
    function("in_network", &[String, String], Bool, "whether an address is in a network"),
    function("is_under", &[String, String], Bool, "whether a domain is another or below it"),
    function("list", &[String], STRINGS_TYPE, "the values of a named list"),
    function(
        "lookalike",
        &[String, String],
        Bool,
        "whether a domain or name looks like one of a named list and is not in it",
    ),
    function("lower", &[String], String, "a text in lower case"),
    function(
        "matches",
        &[String, String],
        Bool,
        "whether a regular expression, given as it is, matches somewhere",
    ),
    function("size", &[String], Int, "letters of a text, elements of a list"),
    function("skeleton", &[String], String, "a text with letters that look alike made the same"),
    function("startsWith", &[String, String], Bool, "whether a text begins with another"),
];

const STRINGS_TYPE: Type = List(&String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_explained() {
        let check = |what: &str, names: Vec<(&str, &str)>| {
            assert!(names.windows(2).all(|pair| pair[0].0 < pair[1].0), "{what} is not sorted");
            assert!(names.iter().all(|(_, meaning)| !meaning.is_empty()), "{what}");
        };
        check("variables", VARIABLES.iter().map(|(name, _, meaning)| (*name, *meaning)).collect());
        check("functions", FUNCTIONS.iter().map(|one| (one.name, one.meaning)).collect());
        for object in [&AUTH, &CONNECTION, &ENVELOPE, &MESSAGE, &MAILBOX, &PART, &SCAN, &URL] {
            check(object.name, object.fields.iter().map(|(name, _, meaning)| (*name, *meaning)).collect());
        }
    }
}

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

use super::{Faults, Path, Validate, load, load_text, within};

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Whole {
    /// Mail in.
    gateway: Gateway,
    /// The log.
    log: Log,
}

/// How mail comes in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Gateway {
    /// The largest message that is taken.
    message_size_max: ByteSize,
    /// How long a command may take | or not.
    command_max: Span,
    /// Where to listen.
    #[schemars(with = "Vec<String>")]
    listen: Vec<SocketAddr>,
    /// What it calls itself.
    name: Option<String>,
    /// How many at once.
    sessions: u32,
    /// A share of the whole.
    share: f64,
    /// Texts by name.
    texts: BTreeMap<String, String>,
    /// The key.
    key_file: String,
    /// Deeper.
    limits: Limits,
    /// Several of a kind.
    doors: Vec<Door>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Door {
    /// Which it is.
    number: u16,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    /// Recipients of one message.
    recipients_max: u16,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Log {
    /// The form.
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For collectors.
    Json,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            message_size_max: ByteSize::mib(25),
            command_max: Span::mins(5),
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 25))],
            name: None,
            sessions: 1000,
            share: 0.5,
            texts: BTreeMap::new(),
            key_file: String::new(),
            limits: Limits::default(),
            doors: Vec::new(),
        }
    }
}

impl Validate for Whole {
    fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if self.gateway.sessions == 0 {
            faults.push(("sessions".to_owned(), "at least 1".to_owned()));
        }
        within("gateway", faults)
    }
}

fn variables(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn loads(text: &str, list: &[(&str, &str)]) -> Whole {
    load_text("sluice.toml", text, variables(list)).unwrap()
}

/// Each expectation is the beginning of one fault's line.
fn faults(text: &str, list: &[(&str, &str)], expected: &[&str]) {
    let Faults(found) = load_text::<Whole>("sluice.toml", text, variables(list)).unwrap_err();
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(expected) {
        assert!(line.starts_with(start), "{line}\nis not\n{start}");
    }
}

#[test]
fn nothing_said_means_the_defaults() {
    assert_eq!(loads("", &[]), Whole::default());
    assert_eq!(load::<Whole>(None, []).unwrap(), Whole::default());
}

#[test]
fn reads_every_kind_of_value() {
    let text = r#"
        log.format = "json"
        [gateway]
        message_size_max = "50 MiB"
        command_max = "1m 30s"
        listen = ["127.0.0.1:2525", "[::1]:2525"]
        name = "mx1"
        sessions = 0x10
        share = 0.25
        texts = { hello = "a", other = "b" }
        limits.recipients_max = 7
    "#;
    let config = loads(text, &[]);
    assert_eq!(config.log.format, Format::Json);
    assert_eq!(config.gateway.message_size_max, ByteSize::mib(50));
    assert_eq!(config.gateway.command_max, Span::secs(90));
    assert_eq!(config.gateway.listen.len(), 2);
    assert_eq!(config.gateway.name.as_deref(), Some("mx1"));
    assert_eq!((config.gateway.sessions, config.gateway.limits.recipients_max), (16, 7));
    assert_eq!(config.gateway.texts.len(), 2);
}

#[test]
fn tells_every_fault_at_once() {
    let text = r#"
[gateway]
mesage_size_max = "50 MiB"
command_max = 5
listen = ["nonsense"]
sessions = -1
log = 3
[gateway.limits]
recipients_max = 70000
[log]
format = "yaml"
[acess]
x = 1
"#;
    faults(
        text,
        &[("SLUICE_LOG__FORMAT", "xml"), ("SLUICE_GATEWAY__SESIONS", "1"), ("SLUICE_GATEWAY__LIMITS", "1")],
        &[
            "sluice.toml:3: gateway.mesage_size_max: there is no such key; did you mean `message_size_max`?",
            "sluice.toml:4: gateway.command_max: ",
            "sluice.toml:5: gateway.listen: invalid socket address",
            "sluice.toml:6: gateway.sessions: ",
            "sluice.toml:7: gateway.log: there is no such key; possible here: ",
            "sluice.toml:9: gateway.limits.recipients_max: ",
            "sluice.toml:11: log.format: unknown variant `yaml`, expected `text` or `json`",
            "sluice.toml:12: acess: there is no such key; possible here: gateway, log",
            "SLUICE_GATEWAY__LIMITS: gateway.limits: is a section",
            "SLUICE_GATEWAY__SESIONS: gateway.sesions: there is no such key; did you mean `sessions`?",
            "SLUICE_LOG__FORMAT: log.format: unknown variant `xml`",
        ],
    );
}

#[test]
fn tells_what_can_not_be_read_and_what_makes_no_sense() {
    faults("[gateway]\nsessions = 0\n", &[], &["sluice.toml:2: gateway.sessions: at least 1"]);
    faults("", &[("SLUICE_GATEWAY__SESSIONS", "0")], &["gateway.sessions: at least 1"]);
    faults("[gateway\nsessions = 5\n", &[], &["sluice.toml:1: "]);
    faults("gateway = 5\n", &[], &["sluice.toml:1: gateway: is a section: write [gateway]"]);
    faults("[gateway]\nsessions = 99999999999999999999\n", &[], &["sluice.toml:2: the number is too large"]);
    faults(
        "[gateway]\nkey_file = \"/nonexistent/key\"\n",
        &[],
        &["sluice.toml:2: gateway.key_file: can't open `/nonexistent/key`"],
    );
    let missing = load::<Whole>(Some(Path::new("/nonexistent/sluice.toml")), []).unwrap_err();
    assert!(missing.to_string().starts_with("can't read `/nonexistent/sluice.toml`"), "{missing}");
}

#[test]
fn variables_win_over_the_file() {
    let config = loads(
        "[gateway]\nsessions = 5\n",
        &[
            ("SLUICE_GATEWAY__SESSIONS", "6"),
            ("SLUICE_GATEWAY__NAME", "12"),
            ("SLUICE_GATEWAY__LISTEN", r#"["127.0.0.1:1"]"#),
            ("SLUICE_GATEWAY__MESSAGE_SIZE_MAX", "1 MiB"),
            ("SLUICE_GATEWAY__LIMITS__RECIPIENTS_MAX", "9"),
            ("SLUICE_DATA", "elsewhere"),
            ("PATH", "/bin"),
        ],
    );
    assert_eq!(config.gateway.sessions, 6);
    assert_eq!(config.gateway.name.as_deref(), Some("12"));
    assert_eq!(config.gateway.listen.len(), 1);
    assert_eq!(config.gateway.message_size_max, ByteSize::mib(1));
    assert_eq!(config.gateway.limits.recipients_max, 9);
}

#[test]
fn what_is_shown_loads_as_the_same() {
    let mut config = Whole::default();
    assert_eq!(loads(&crate::show(&config).unwrap(), &[]), config);
    config.gateway.name = Some("mx\"1\n".to_owned());
    config.gateway.texts.insert("a.b".to_owned(), "c".to_owned());
    config.log.format = Format::Json;
    assert_eq!(loads(&crate::show(&config).unwrap(), &[]), config);
}

#[test]
fn the_reference_names_every_key() {
    let text = crate::reference::<Whole>();
    for line in [
        "## `[gateway]`",
        "## `[gateway.limits]`",
        "| `message_size_max` | size | `\"25 MiB\"` | The largest message that is taken. |",
        "| `command_max` | duration | `\"5m\"` | How long a command may take \\| or not. |",
        "| `listen` | list of text | `[\"0.0.0.0:25\"]` | Where to listen. |",
        "| `name` | text | none | What it calls itself. |",
        "| `sessions` | whole number | `1000` | How many at once. |",
        "| `format` | `\"text\"` or `\"json\"` | `\"text\"` | The form. |",
        "| `recipients_max` | whole number | `0` | Recipients of one message. |",
        "| `doors` | list of table | `[]` | Several of a kind. |",
        "## `[[gateway.doors]]`\n\nOne of them.",
        "| `number` | whole number | `0` | Which it is. |",
    ] {
        assert!(text.contains(line), "{line}\n\n{text}");
    }
}

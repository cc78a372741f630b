//! Rule files read, checked and compiled: every fault at once, each with its file and line.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use cel::Program;
use regex::{Regex, RegexBuilder};
use sha2::{Digest as _, Sha256};
use time::format_description::well_known::Iso8601;
use time::{Date, Time};

use super::check::{self, Uses};
use super::config::PolicyConfig;
use super::file::{Direction, Effect, ListSource, Mode, RuleFile, RuleSource};
use super::lists::List;
use super::shortcut::Shortcut;
use super::vocabulary::Type;

/// Octets of one compiled regular expression.
const PATTERN_SIZE_MAX: usize = 1 << 20;
/// Octets of a rule's name.
const NAME_MAX: usize = 64;

/// Facts that rules look at, each once: variables with their fields; a variable without fields has an empty name beside it.
pub(super) type FactNames = Vec<(String, String)>;

/// A rule, ready.
#[derive(Debug)]
pub struct Rule {
    /// Unique.
    pub name: String,
    /// Whom to ask.
    pub owner: String,
    /// For people.
    pub description: String,
    /// Where it stands.
    pub place: String,
    pub(super) source: String,
    pub(super) program: Program,
    /// The same, as far as it can be said without the library.
    pub(super) shortcut: Shortcut,
    pub(super) effects: Vec<Effect>,
    pub(super) mode: Mode,
    pub(super) canary: u8,
    pub(super) direction: Direction,
    /// What it looks at: variables with their fields, and fields of the message by name.
    pub(super) looks_at: FactNames,
    pub(super) headers: Vec<String>,
    /// Seconds since 1970 from which it does nothing.
    pub(super) expires: Option<u64>,
}

impl Rule {
    /// Whether its last day is over.
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// What it does when it fits.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// What it asks.
    pub fn when(&self) -> &str {
        &self.source
    }

    /// Whether it does anything.
    pub const fn mode(&self) -> Mode {
        self.mode
    }
}

/// All rules of a folder.
#[derive(Debug, Default)]
pub struct RuleSet {
    pub(super) rules: Vec<Rule>,
    pub(super) lists: HashMap<String, List>,
    pub(super) patterns: HashMap<String, Regex>,
    pub(super) facts: FactNames,
    /// Names this text of the rules.
    pub(super) version: String,
    /// What was read: path below the folder, content.
    pub(super) files: BTreeMap<PathBuf, String>,
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// File and line.
    pub place: String,
    /// What, and what to do.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl RuleSet {
    /// Reads every `*.toml` below the folder but those under `tests`, in the order of their names. A folder that is not there holds no rules; whether it may be missing is for the caller to say.
    pub fn load(folder: &Path, config: &PolicyConfig) -> Result<Self, Vec<Fault>> {
        let files = read_folder(folder, config).map_err(|fault| vec![fault])?;
        Self::compile(files, config)
    }

    /// Compiles what was read before.
    pub(super) fn compile(
        files: BTreeMap<PathBuf, String>,
        config: &PolicyConfig,
    ) -> Result<Self, Vec<Fault>> {
        let mut set = Self { version: version(&files), ..Self::default() };
        let mut faults = Vec::new();
        let mut uses = Vec::new();
        for (path, text) in files.iter().filter(|(path, _)| is_rules(path)) {
            let read: Result<RuleFile, _> = toml::from_str(text);
            let file = match read {
                Ok(file) => file,
                Err(error) => {
                    let line = error.span().map_or(1, |span| line_of(text, span.start));
                    let place = format!("{}:{line}", path.display());
                    faults.push(Fault { place, problem: error.message().to_owned() });
                    continue;
                }
            };
            for (name, source) in &file.list {
                let place = format!("{}:{}", path.display(), line_of(text, source.span().start));
                match list(path, name, source.get_ref(), &files) {
                    Ok(list) => {
                        if set.lists.insert(name.clone(), list).is_some() {
                            let problem = format!("the list `{name}` is there twice");
                            faults.push(Fault { place, problem });
                        }
                    }
                    Err(problem) => faults.push(Fault { place, problem }),
                }
            }
            for source in &file.rule {
                match compile(path, text, source) {
                    Ok((rule, used)) => {
                        uses.push((rule.place.clone(), used));
                        set.rules.push(rule);
                    }
                    Err(found) => faults.extend(found),
                }
            }
        }
        set.take_uses(uses, &mut faults);
        set.check_names(config, &mut faults);
        set.files = files;
        if faults.is_empty() { Ok(set) } else { Err(faults) }
    }

    /// The rules, in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// How many named lists there are.
    pub fn list_count(&self) -> usize {
        self.lists.len()
    }

    /// Names this text of the rules: another text has another one.
    pub fn version(&self) -> &str {
        &self.version
    }

    fn take_uses(&mut self, uses: Vec<(String, Uses)>, faults: &mut Vec<Fault>) {
        for (place, used) in uses {
            for name in used.lists.iter().filter(|name| !self.lists.contains_key(*name)) {
                faults.push(Fault { place: place.clone(), problem: format!("there is no list `{name}`") });
            }
            for pattern in used.patterns {
                match RegexBuilder::new(&pattern).size_limit(PATTERN_SIZE_MAX).build() {
                    Ok(regex) => {
                        self.patterns.insert(pattern, regex);
                    }
                    Err(error) => faults.push(Fault {
                        place: place.clone(),
                        problem: format!("`{pattern}` is no regular expression: {error}"),
                    }),
                }
            }
            self.facts.extend(used.fields);
        }
        self.facts = distinct(&self.facts);
        for rule in &mut self.rules {
            rule.shortcut = Shortcut::of(&rule.program, &self.facts);
        }
    }

    fn check_names(&self, config: &PolicyConfig, faults: &mut Vec<Fault>) {
        let mut names = HashMap::new();
        for rule in &self.rules {
            if let Some(other) = names.insert(&rule.name, &rule.place) {
                let problem = format!("the name `{}` is taken: {other}", rule.name);
                faults.push(Fault { place: rule.place.clone(), problem });
            }
        }
        if self.rules.len() > config.rules_max as usize {
            let problem =
                format!("{} rules; filters.policy.rules_max is {}", self.rules.len(), config.rules_max);
            faults.push(Fault { place: "all files".to_owned(), problem });
        }
    }
}

fn is_rules(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

fn read_folder(folder: &Path, config: &PolicyConfig) -> Result<BTreeMap<PathBuf, String>, Fault> {
    let failed = |path: &Path, error: &std::io::Error| Fault {
        place: path.display().to_string(),
        problem: format!("can't be read: {error}"),
    };
    let mut files = BTreeMap::new();
    let mut octets = 0u64;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        let entries = match fs::read_dir(&current) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && current == folder => break,
            Err(error) => return Err(failed(&current, &error)),
        };
        for entry in entries {
            let path = entry.map_err(|error| failed(&current, &error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') || name == "tests" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if !is_rules(&path) && path.extension().is_none_or(|extension| extension != "txt") {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
            octets = octets.saturating_add(text.len() as u64);
            if octets > config.files_size_max.as_u64() {
                let problem = format!("more than filters.policy.files_size_max ({})", config.files_size_max);
                return Err(Fault { place: folder.display().to_string(), problem });
            }
            files.insert(path.strip_prefix(folder).unwrap_or(&path).to_path_buf(), text);
        }
    }
    Ok(files)
}

fn version(files: &BTreeMap<PathBuf, String>) -> String {
    let mut hash = Sha256::new();
    for (path, text) in files {
        for piece in [path.to_string_lossy().as_bytes(), text.as_bytes()] {
            hash.update((piece.len() as u64).to_be_bytes());
            hash.update(piece);
        }
    }
    hash.finalize().iter().take(6).map(|octet| format!("{octet:02x}")).collect()
}

fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

fn list(
    path: &Path,
    name: &str,
    source: &ListSource,
    files: &BTreeMap<PathBuf, String>,
) -> Result<List, String> {
    let mut values = source.values.clone();
    if let Some(file) = &source.file {
        let beside = path.parent().unwrap_or(Path::new("")).join(file);
        let Some(text) = files.get(&beside) else {
            return Err(format!(
                "the list `{name}` names `{}`, which is no *.txt of this folder",
                file.display()
            ));
        };
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        values.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
    }
    if values.is_empty() {
        return Err(format!("the list `{name}` is empty"));
    }
    Ok(List::new(values))
}

fn compile(path: &Path, text: &str, source: &RuleSource) -> Result<(Rule, Uses), Vec<Fault>> {
    let place_of = |at: usize| format!("{}:{}", path.display(), line_of(text, at));
    let place = place_of(source.name.span().start);
    let name = source.name.get_ref();
    let fault = |place: String, problem: String| Fault { place, problem: format!("`{name}`: {problem}") };
    let mut faults: Vec<Fault> =
        plain_faults(source).into_iter().map(|problem| fault(place.clone(), problem)).collect();
    let expires = source.expires.as_deref().map(last_moment);
    if expires == Some(None) {
        faults.push(fault(place.clone(), "expires is a day such as \"2027-03-31\"".to_owned()));
    }
    let when = source.when.get_ref();
    let raw = text.get(source.when.span()).unwrap_or_default();
    let inner = source.when.span().start + raw.find(when.as_str()).unwrap_or_default();
    let compiled = Program::compile(when).map_err(|errors| {
        let first = errors.errors.first();
        let line = first.map_or(0, |error| usize::try_from(error.pos.0.max(1)).unwrap_or(1) - 1);
        let at = when.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
        let what = first.map_or_else(|| errors.to_string(), |error| error.msg.clone());
        fault(place_of(inner + at), what)
    });
    let checked = compiled.and_then(|program| match check::check(&program) {
        Ok((Type::Bool, uses)) => Ok((program, uses)),
        Ok((other, _)) => {
            Err(fault(place_of(inner), format!("`when` must be true or false, this is a {other}")))
        }
        Err(found) => {
            let at = inner + found.offset.map_or(0, |offset| offset as usize);
            Err(fault(place_of(at), found.to_string()))
        }
    });
    match checked {
        Err(fault) => {
            faults.push(fault);
            Err(faults)
        }
        Ok(_) if !faults.is_empty() => Err(faults),
        Ok((program, uses)) => {
            let rule = Rule {
                name: name.clone(),
                owner: source.owner.clone(),
                description: source.description.clone(),
                place,
                source: when.trim().to_owned(),
                shortcut: Shortcut::Unknown,
                program,
                effects: source.then.clone(),
                mode: source.mode,
                canary: source.canary.unwrap_or(100),
                direction: source.direction,
                looks_at: distinct(&uses.fields),
                headers: distinct(&uses.headers),
                expires: expires.flatten(),
            };
            Ok((rule, uses))
        }
    }
}

/// Each once, in the order of the first mention.
fn distinct<T: Clone + PartialEq>(all: &[T]) -> Vec<T> {
    let mut found: Vec<T> = Vec::new();
    for one in all {
        if !found.contains(one) {
            found.push(one.clone());
        }
    }
    found
}

/// What is wrong with a rule but for its expression.
fn plain_faults(source: &RuleSource) -> Vec<String> {
    let name = source.name.get_ref();
    let mut faults = Vec::new();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(plain) {
        faults.push(format!("a name is 1 to {NAME_MAX} small letters, digits and hyphens"));
    }
    if source.owner.trim().is_empty() {
        faults.push("it has no owner: somebody must answer for it".to_owned());
    }
    if source.then.is_empty() {
        faults.push("it does nothing: `then` is empty".to_owned());
    }
    if source.canary.is_some_and(|percent| percent > 100) {
        faults.push("canary is a percentage, 0 to 100".to_owned());
    }
    faults.extend(source.then.iter().filter_map(effect_fault));
    faults
}

/// Texts of rules reach the wire and the message: one line of what may stand there.
fn effect_fault(effect: &Effect) -> Option<String> {
    let line = |what: &str, text: &str| {
        let bad = text.chars().any(char::is_control) || text.len() > 400;
        bad.then(|| format!("{what} is one line of at most 400 octets"))
    };
    let spoken = |text: &str| {
        if text.is_ascii() {
            line("text", text)
        } else {
            Some("text is ASCII: not every peer reads UTF-8".to_owned())
        }
    };
    let field_name = |name: &str| {
        let good = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        (!good).then(|| format!("`{name}` is no field name"))
    };
    match effect {
        Effect::Reject { text } | Effect::Tempfail { text } => spoken(text),
        Effect::Rate { text, limit, window, .. } => {
            if *limit == 0 || window.as_duration().is_zero() {
                return Some("limit and window are more than nothing".to_owned());
            }
            spoken(text)
        }
        Effect::Header { name, value } => field_name(name).or_else(|| line("value", value)),
        Effect::RemoveHeader { name } => field_name(name),
        Effect::Quarantine { reason } => line("reason", reason),
        Effect::Tag { value } => {
            let good = !value.is_empty()
                && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            (!good).then(|| format!("`{value}`: a tag is letters, digits, hyphens, dots and underscores"))
        }
        Effect::Score { points } => (!points.is_finite()).then(|| "points is a number".to_owned()),
        Effect::Accept
        | Effect::Copy { .. }
        | Effect::Discard
        | Effect::Journal { .. }
        | Effect::Redirect { .. } => None,
    }
}

/// The end of a day, in seconds since 1970.
fn last_moment(day: &str) -> Option<u64> {
    let end = Date::parse(day, &Iso8601::DATE).ok()?.next_day()?.with_time(Time::MIDNIGHT).assume_utc();
    u64::try_from(end.unix_timestamp()).ok()
}

//! HTML read as a browser tokenises it: its text and its links.

use std::cell::RefCell;

use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts, states::RawKind,
};

/// What an HTML text holds.
#[derive(Debug, Default)]
pub(super) struct Html {
    /// Without tags, scripts and styles.
    pub(super) text: String,
    /// Where links lead, and what they show.
    pub(super) links: Vec<(String, String)>,
    /// Where links without a host lead.
    pub(super) base: Option<String>,
}

/// Reads a text; at most `links_max` links.
///
/// What stands in a style, a title or a script is text to one program and, within an `svg` or after cleaning, tags to another: links are taken from it too.
pub(super) fn read(source: &str, links_max: usize) -> Html {
    let mut found = pass(source, links_max, true);
    if found.raw.contains('<') {
        let left = links_max.saturating_sub(found.html.links.len());
        let within = pass(&found.raw, left, false);
        found.html.links.extend(within.html.links);
        found.html.base = found.html.base.or(within.html.base);
    }
    found.html
}

fn pass(source: &str, links_max: usize, raw: bool) -> Found {
    let sink = Sink { found: RefCell::default(), links_max, raw };
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let queue = BufferQueue::default();
    queue.push_back(source.into());
    let _ = tokenizer.feed(&queue);
    tokenizer.end();
    let mut found = tokenizer.sink.found.take();
    found.close_link();
    found
}

#[derive(Debug, Default)]
struct Found {
    html: Html,
    /// The link that is open: where it leads, and where in the text it begins.
    open: Option<(String, usize)>,
    /// Within what is not shown.
    hidden: bool,
    /// Within what has no tags.
    within_raw: bool,
    /// All of that.
    raw: String,
}

struct Sink {
    found: RefCell<Found>,
    links_max: usize,
    /// Whether styles, titles and scripts have no tags within.
    raw: bool,
}

impl Found {
    fn close_link(&mut self) {
        if let Some((href, from)) = self.open.take() {
            let shown = self.html.text.get(from..).unwrap_or_default();
            let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            self.html.links.push((href, shown));
        }
    }

    fn start(&mut self, tag: &Tag, links_max: usize) {
        let attribute = |names: &[&str]| {
            let found = tag.attrs.iter().find(|attribute| names.contains(&&*attribute.name.local));
            found.map(|attribute| attribute.value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let leads = match &*tag.name {
            "a" | "area" => {
                self.close_link();
                if self.html.links.len() < links_max {
                    self.open = attribute(&["href", "xlink:href"]).map(|href| (href, self.html.text.len()));
                }
                None
            }
            "form" => attribute(&["action"]),
            "base" => {
                let base = attribute(&["href"]);
                // The first one counts (HTML Living Standard §4.2.3).
                self.html.base = self.html.base.take().or_else(|| base.clone());
                base
            }
            "button" | "input" => attribute(&["formaction"]),
            "embed" | "frame" | "iframe" => attribute(&["src"]),
            "object" => attribute(&["data"]),
            "meta" if attribute(&["http-equiv"]).is_some_and(|what| what.eq_ignore_ascii_case("refresh")) => {
                attribute(&["content"]).and_then(|content| refresh(&content))
            }
            "br" | "p" | "div" | "tr" | "li" | "td" | "h1" | "h2" | "h3" => {
                self.html.text.push('\n');
                None
            }
            _ => None,
        };
        if let Some(href) = leads.filter(|_| self.html.links.len() < links_max) {
            self.html.links.push((href, String::new()));
        }
    }

    /// What the text up to the end of this tag is (HTML Living Standard §13.2.6.4.4).
    fn begin_raw(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let kind = match &*tag.name {
            "script" => RawKind::ScriptData,
            "iframe" | "noembed" | "noframes" | "style" | "xmp" => RawKind::Rawtext,
            "textarea" | "title" => RawKind::Rcdata,
            _ => return TokenSinkResult::Continue,
        };
        self.within_raw = true;
        self.hidden = !matches!(&*tag.name, "textarea" | "title" | "xmp");
        TokenSinkResult::RawData(kind)
    }
}

/// Where `5; url=…` leads (HTML Living Standard §4.2.5.3).
fn refresh(content: &str) -> Option<String> {
    let at = content.to_ascii_lowercase().find("url")?;
    let rest = content.get(at + 3..)?.trim_start().strip_prefix('=')?;
    Some(rest.trim().trim_matches(['"', '\'']).to_owned())
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let mut found = self.found.borrow_mut();
        match token {
            Token::CharacterTokens(text) => {
                if found.within_raw {
                    found.raw.push_str(&text);
                }
                if !found.hidden {
                    found.html.text.push_str(&text);
                }
            }
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => {
                found.start(&tag, self.links_max);
                if self.raw {
                    return found.begin_raw(&tag);
                }
            }
            Token::TagToken(tag) => {
                (found.hidden, found.within_raw) = (false, false);
                if &*tag.name == "a" {
                    found.close_link();
                }
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_links() {
        let check = |source: &str, text: &str, links: &[(&str, &str)]| {
            let html = read(source, 10);
            let shown = html.text.split_whitespace().collect::<Vec<_>>().join(" ");
            let found: Vec<(&str, &str)> = html.links.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            assert_eq!((shown.as_str(), found.as_slice()), (text, links), "{source}");
        };
        check("a<b>c</b>", "ac", &[]);
        check("<a href='http://x.test/'>go <b>now</b></a>!", "go now!", &[("http://x.test/", "go now")]);
        check("<A\nHREF = http://x.test>go", "go", &[("http://x.test", "go")]);
        check("<a href='http://x&#46;test'>go</a>", "go", &[("http://x.test", "go")]);
        check("<a href=1>a<a href=2>b</a>", "ab", &[("1", "a"), ("2", "b")]);
        check("<style>p{}</style>x<script>y</script>z<!-- c -->", "xz", &[]);
        check("<form action='http://x.test'>", "", &[("http://x.test", "")]);
        check("<a>x</a>", "x", &[]);
    }

    #[test]
    fn attack_many_links() {
        let html = read(&"<a href=x>y</a>".repeat(100_000), 7);
        assert_eq!(html.links.len(), 7);
    }

    #[test]
    fn attack_links_where_scanners_do_not_look() {
        let check = |source: &str, expected: &[&str]| {
            let html = read(source, 10);
            let found: Vec<&str> = html.links.iter().map(|(href, _)| href.as_str()).collect();
            assert_eq!(found, expected, "{source}");
        };
        check("<style><!--</style><a href='http://x.test'>y</a>", &["http://x.test"]);
        check("<title><!--</title><a href='http://x.test'>y</a>", &["http://x.test"]);
        check("<svg><style><p><a href='http://x.test'>y</a>", &["http://x.test"]);
        check("<svg><a xlink:href='http://x.test'>y</a></svg>", &["http://x.test"]);
        check("<meta http-equiv=Refresh content='0; URL=http://x.test'>", &["http://x.test"]);
        check("<form><button formaction='http://x.test'>", &["http://x.test"]);
        check("<iframe src='http://x.test'></iframe>", &["http://x.test"]);
        check("<a href='&#104;ttp&colon;//x.test'>y</a>", &["http://x.test"]);
        check("<a href='http://x.test' href='http://bank.test'>y</a>", &["http://x.test"]);
        check("<img/src=y/><a/href=http://x.test>y", &["http://x.test"]);
        check("<noscript><a href='http://x.test'>y</a></noscript>", &["http://x.test"]);
        check("<!-- <a href='http://no.test'> --><!><a href='http://x.test'>y", &["http://x.test"]);
        assert_eq!(read("<base href='http://x.test/'>", 1).base.as_deref(), Some("http://x.test/"));
    }

    #[test]
    fn attack_words_cut_by_tags() {
        let check = |source: &str, text: &str| assert_eq!(read(source, 1).text, text, "{source}");
        check("pass<!-- x -->wo<b></b>rd", "password");
        check("pass<style>x</style>word", "password");
        check("p&#97;ss&shy;word", "pass\u{ad}word");
        check("pass<script>'</b>'</script>word", "password");
    }
}

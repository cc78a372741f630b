//! HTML read as a browser tokenises it: its text and its links.

use std::cell::RefCell;

use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// What an HTML text holds.
#[derive(Debug, Default)]
pub(super) struct Html {
    /// Without tags, scripts and styles.
    pub(super) text: String,
    /// Where links lead, and what they show.
    pub(super) links: Vec<(String, String)>,
}

/// Reads a text; at most `links_max` links.
pub(super) fn read(source: &str, links_max: usize) -> Html {
    let sink = Sink { found: RefCell::default(), links_max };
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let queue = BufferQueue::default();
    queue.push_back(source.into());
    let _ = tokenizer.feed(&queue);
    tokenizer.end();
    let mut found = tokenizer.sink.found.take();
    found.close_link();
    found.html
}

#[derive(Debug, Default)]
struct Found {
    html: Html,
    /// The link that is open: where it leads, and where in the text it begins.
    open: Option<(String, usize)>,
    /// Within a script or style.
    hidden: bool,
}

struct Sink {
    found: RefCell<Found>,
    links_max: usize,
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
        let attribute = |name: &str| {
            let found = tag.attrs.iter().find(|attribute| &*attribute.name.local == name);
            found.map(|attribute| attribute.value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        match &*tag.name {
            "a" | "area" => {
                self.close_link();
                if self.html.links.len() < links_max {
                    self.open = attribute("href").map(|href| (href, self.html.text.len()));
                }
            }
            "form" | "base" if self.html.links.len() < links_max => {
                let leads = attribute(if &*tag.name == "form" { "action" } else { "href" });
                self.html.links.extend(leads.map(|href| (href, String::new())));
            }
            "script" | "style" => self.hidden = !tag.self_closing,
            "br" | "p" | "div" | "tr" | "li" | "td" | "h1" | "h2" | "h3" => self.html.text.push('\n'),
            _ => {}
        }
    }
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let mut found = self.found.borrow_mut();
        match token {
            Token::CharacterTokens(text) if !found.hidden => found.html.text.push_str(&text),
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => found.start(&tag, self.links_max),
            Token::TagToken(tag) => match &*tag.name {
                "a" => found.close_link(),
                "script" | "style" => found.hidden = false,
                _ => {}
            },
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
}

//! Webmail: people who sign in, look at the list, read some messages, search, and leave.
//!
//! It knows the pages of Sluice's webmail: links, forms and tokens are taken from them as a browser does.
//!
//! | operation | what it is |
//! |---|---|
//! | `web.page` | the sign-in page with its style and script |
//! | `web.sign-in` `web.list` `web.read` `web.search` `web.leave` | a click each, redirections included |
//! | `web.visit` | all of a visit, from when it was due |

use async_trait::async_trait;
use envelope::Secret;

use super::{due, step};
use crate::client::http::{Http, Page, encoded};
use crate::people::People;
use crate::population::Mailer;
use crate::random::Random;
use crate::recorder::{Failure, Recorder};
use crate::run::{Client, Context, Load};
use crate::wire::Target;

/// Redirections that one click may lead through.
const HOPS_MAX: usize = 5;
/// Messages that are read in one visit, at most.
const READ_MAX: u32 = 5;

/// What to do.
#[derive(Clone)]
pub struct WebLoad {
    /// Where.
    pub target: Target,
    /// As whom.
    pub people: People,
    /// The password of all of them.
    pub password: Secret<String>,
    /// The seed of every choice.
    pub seed: u64,
}

impl Load for WebLoad {
    fn client(&self, number: u64) -> Box<dyn Client> {
        Box::new(Surfer { load: self.clone(), random: Random::new(self.seed, number) })
    }
}

struct Surfer {
    load: WebLoad,
    random: Random,
}

#[async_trait]
impl Client for Surfer {
    async fn run(mut self: Box<Self>, context: Context) {
        while let Some(ticket) = context.schedule.take() {
            due(ticket.due).await;
            let outcome = self.visit(ticket.number, &context.recorder).await;
            context.recorder.ended("web.visit", ticket.due, outcome.as_ref().copied());
        }
    }
}

impl Surfer {
    async fn visit(&mut self, number: u64, recorder: &Recorder) -> Result<u64, Failure> {
        let (load, random) = (&self.load, &mut self.random);
        let person = load.people.visitor(number, Mailer::Web, random);
        let person = person.map_err(|error| Failure::new(format_args!("{error:#}")))?;
        let encryption = load.target.drawn(random);
        let mut http = Http::open(&load.target, number, encryption).await?;
        let sign_in = step(recorder, "web.page", first_page(&mut http)).await?;
        let token = sign_in
            .attribute("name=\"token\" value=\"")
            .ok_or_else(|| Failure::new("the sign-in page has no token"))?;
        let login = person.address.to_string();
        let form = [
            ("token", token.as_str()),
            ("name", login.as_str()),
            ("password", load.password.expose().as_str()),
        ];
        let list = step(recorder, "web.sign-in", click(&mut http, "/sign-in", Some(&form))).await?;
        let csrf =
            list.attribute("name=\"csrf\" value=\"").ok_or_else(|| Failure::new("nobody was let in"))?;
        let mut octets = list.text.len() as u64;
        let messages: Vec<String> = list.attributes("href=\"/message/").collect();
        for _ in 0..person.news.clamp(1, READ_MAX) {
            let Some(link) = random.pick(&messages) else { break };
            octets += step(recorder, "web.read", read(&mut http, link)).await?;
        }
        octets +=
            step(recorder, "web.list", click(&mut http, "/folder/INBOX", None)).await?.text.len() as u64;
        if random.chance(0.2) {
            let path = format!("/search?q={}&in=INBOX", encoded("yesterday"));
            octets += step(recorder, "web.search", click(&mut http, &path, None)).await?.text.len() as u64;
        }
        // Most people close the window.
        if random.chance(0.3) {
            step(recorder, "web.leave", click(&mut http, "/sign-out", Some(&[("csrf", &csrf)]))).await?;
        }
        Ok(octets)
    }
}

/// The sign-in page with what a browser fetches along with it.
async fn first_page(http: &mut Http) -> Result<Page, Failure> {
    let page = click(http, "/", None).await?;
    for link in ["/assets/app.css", "/assets/app.js"] {
        http.get(link).await?.ok()?;
    }
    Ok(page)
}

/// A message and the frame that its text stands in.
async fn read(http: &mut Http, link: &str) -> Result<u64, Failure> {
    let page = click(http, &format!("/message/{link}"), None).await?;
    let mut octets = page.text.len() as u64;
    if let Some(frame) = page.attribute("src=\"/body/") {
        octets += http.get(&format!("/body/{frame}")).await?.ok()?.text.len() as u64;
    }
    Ok(octets)
}

/// Follows redirections, as a browser does.
async fn click(http: &mut Http, path: &str, form: Option<&[(&str, &str)]>) -> Result<Page, Failure> {
    let mut page = match form {
        Some(form) => http.post(path, form).await?,
        None => http.get(path).await?,
    };
    for _ in 0..HOPS_MAX {
        if !page.status.is_redirection() {
            return page.ok();
        }
        let location = page.location.take().ok_or_else(|| Failure::new("a redirection to nowhere"))?;
        let path = location.find("://").and_then(|at| {
            location.get(at + 3..)?.find('/').and_then(|slash| location.get(at + 3 + slash..))
        });
        page = http.get(path.unwrap_or(&location)).await?;
    }
    Err(Failure::new("redirections without end"))
}

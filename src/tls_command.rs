//! `sluice tls`.

use clap::Subcommand;
use runtime::tls::{Described, describe};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::arguments::Place;
use crate::listing;
use crate::settings::Settings;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// The certificates that the configuration means, until when they are valid, and which is shown for a name. Fails when one is expired or can't be
    /// used. It reads the files: a running process shows what is in them after its next look (SIGHUP, `tls.reload_interval`).
    Show {
        #[command(flatten)]
        place: Place,
        /// Mark the certificate that a client gets who asks for this name, instead of the default.
        #[arg(long, value_name = "HOST")]
        name: Option<String>,
        /// JSON instead of columns.
        #[arg(long)]
        json: bool,
    },
}

/// One certificate as it is shown.
#[derive(Serialize)]
struct Row {
    /// Whether it is the one for the name that was asked about, or the default.
    chosen: bool,
    origin: &'static str,
    file: String,
    names: Vec<String>,
    /// RFC 3339, UTC.
    not_after: Option<String>,
    /// Negative when it is over.
    days_left: Option<i64>,
    /// SHA-256, hexadecimal.
    fingerprint: Option<String>,
    /// `ok`, `expired`, `not yet valid`, `missing`, or why it can't be used.
    state: String,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Action::Show { place, name, json } = &arguments.action;
    let settings = Settings::load(place)?;
    let data = std::path::absolute(&place.data)?.join("tls");
    let now = OffsetDateTime::now_utc();
    let described = describe(&settings.tls, &data, name.as_deref());
    let rows: Vec<Row> = described.iter().map(|one| row(one, now)).collect();
    let headings = ["shown", "origin", "file", "expires", "days", "state", "names"];
    listing::print(*json, &rows, &headings, |row| {
        vec![
            if row.chosen { "*" } else { "" }.to_owned(),
            row.origin.to_owned(),
            row.file.clone(),
            row.not_after.clone().unwrap_or_default(),
            row.days_left.map(|days| days.to_string()).unwrap_or_default(),
            row.state.clone(),
            row.names.join(" "),
        ]
    })?;
    let bad = described.iter().filter(|one| one.is_bad(now)).count();
    anyhow::ensure!(bad == 0, "{bad} of {} certificates can't be used or are expired", described.len());
    Ok(())
}

fn row(one: &Described, now: OffsetDateTime) -> Row {
    let state = match (&one.problem, &one.facts) {
        (Some(problem), _) => problem.clone(),
        (None, None) => "missing: it is made or ordered by a running process".to_owned(),
        (None, Some(facts)) if facts.is_expired(now) => "expired".to_owned(),
        (None, Some(facts)) if facts.not_before > now => "not yet valid".to_owned(),
        (None, Some(_)) => "ok".to_owned(),
    };
    let facts = one.facts.as_ref();
    Row {
        chosen: one.is_chosen,
        origin: one.origin.name(),
        file: one.certificate_file.display().to_string(),
        names: one.names.clone(),
        not_after: facts.and_then(|facts| facts.not_after.format(&Rfc3339).ok()),
        days_left: facts.map(|facts| (facts.not_after - now).whole_days()),
        fingerprint: facts.map(|facts| facts.fingerprint.clone()),
        state,
    }
}

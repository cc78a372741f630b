//! The report as one page that needs nothing else: no script, no font, no picture from elsewhere.
//!
//! Names of failures and of metrics come from the servers under test: all text is escaped, and the page's policy lets nothing load or run.

use std::fmt::Write as _;

use super::chart::{Chart, Line, Unit, escape};
use super::{Operation, Report, Sample, Series, shown};

/// Most charts of what servers said of themselves.
const METRICS_MAX: usize = 40;
/// Lines of one chart.
const LINES_MAX: usize = 8;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2127; --paper: #fff; --soft: #69717c; --grid: #e3e6ea; --bad: #b3261e; --good: #1b7a3d }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --paper: #16191d; --soft: #98a1ad; --grid: #2c3238; --bad: #ff8a80; --good: #7ed99b } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 900px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.1rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; display: block; overflow-x: auto }
td, th { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--grid); white-space: nowrap } td:first-child, th:first-child { text-align: left }
th { color: var(--soft); font-weight: 500 } .soft { color: var(--soft) } .bad { color: var(--bad); font-weight: 600 } .good { color: var(--good) }
figure { margin: 1rem 0 } figcaption { font-weight: 600 } svg { width: 100%; height: auto } svg polyline { fill: none; stroke-width: 1.6; stroke-linecap: round }
.two { display: grid; grid-template-columns: repeat(auto-fill, minmax(400px, 1fr)); gap: 0 1.5rem } .two .axis { font-size: 20px } .two figcaption { font-size: 12px; font-weight: 500; overflow-wrap: anywhere } .two .legend { font-size: 11px }
.grid { stroke: var(--grid) } .axis { fill: var(--soft); font-size: 11px } .mark { stroke: var(--bad); stroke-dasharray: 4 3; stroke-width: 1.5 }
.legend { margin: 0; font-size: 13px } .legend span { margin-right: 1.2rem } .legend i { display: inline-block; width: 1.1em; height: 3px; margin-right: .4em; vertical-align: middle }
.c0 { stroke: #2f6fdf; background: #2f6fdf } .c1 { stroke: #e07b1a; background: #e07b1a } .c2 { stroke: #2a9d5b; background: #2a9d5b } .c3 { stroke: #c2379b; background: #c2379b }
.c4 { stroke: #7a5be0; background: #7a5be0 } .c5 { stroke: #1aa3a3; background: #1aa3a3 } .c6 { stroke: #b8a013; background: #b8a013 } .c7 { stroke: #8c6d5a; background: #8c6d5a }
";

pub(super) fn page(report: &Report) -> String {
    let title = format!("Load test: {}", escape(&report.load));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>{title}</title><style>{STYLE}</style></head><body>\n\
         <h1>{title}</h1><p class=\"soft\">{}, {:.1} s</p>\n",
        escape(&report.begun),
        report.seconds
    );
    verdicts(report, &mut page);
    operations(report, &mut page);
    charts(report, &mut page);
    marks(report, &mut page);
    page.push_str("<h2>Settings</h2><table>");
    for (name, value) in &report.settings {
        let _ = write!(page, "<tr><td>{}</td><td>{}</td></tr>", escape(name), escape(value));
    }
    page.push_str("</table>\n</body></html>\n");
    page
}

fn verdicts(report: &Report, page: &mut String) {
    if let Some(verdict) = &report.ledger {
        let class = if verdict.is_clean() { "good" } else { "bad" };
        let _ = writeln!(page, "<h2>Ledger</h2><p class=\"{class}\">{}</p>", escape(&verdict.to_string()));
    }
    if !report.requirements.is_empty() {
        page.push_str("<h2>Requirements</h2><ul>");
        for judged in &report.requirements {
            let class = if judged.met { "good" } else { "bad" };
            let _ = write!(page, "<li class=\"{class}\">{}</li>", escape(&judged.to_string()));
        }
        page.push_str("</ul>\n");
    }
}

fn operations(report: &Report, page: &mut String) {
    page.push_str("<h2>Operations</h2><table><tr><th>operation</th><th>done</th><th>failed</th><th>a second</th><th>MB</th><th>p50</th><th>p95</th><th>p99</th><th>p99.9</th><th>slowest</th></tr>");
    for operation in &report.operations {
        let Sample { p50, p95, p99, p999, max } = operation.latency;
        let class = if operation.failed > 0 { "bad" } else { "" };
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td class=\"{class}\">{}</td><td>{:.1}</td><td>{}</td>",
            escape(&operation.name),
            operation.done,
            operation.failed,
            operation.rate,
            operation.octets / 1_000_000
        );
        for microseconds in [p50, p95, p99, p999, max] {
            let _ = write!(page, "<td>{}</td>", shown(microseconds));
        }
        page.push_str("</tr>");
    }
    page.push_str("</table>\n");
    let failures: Vec<(&Operation, &String, &u64)> = report
        .operations
        .iter()
        .flat_map(|one| one.failures.iter().map(move |(kind, count)| (one, kind, count)))
        .collect();
    if !failures.is_empty() {
        page.push_str(
            "<h2>Failures</h2><table><tr><th>operation</th><th>count</th><th>what was said</th></tr>",
        );
        for (operation, kind, count) in failures {
            let _ = write!(
                page,
                "<tr><td>{}</td><td>{count}</td><td>{}</td></tr>",
                escape(&operation.name),
                escape(kind)
            );
        }
        page.push_str("</table>\n");
    }
}

fn charts(report: &Report, page: &mut String) {
    let marks: Vec<(f64, String)> = report.marks.iter().map(|mark| (mark.at, mark.label.clone())).collect();
    let chart = |title: String, unit, logarithmic, lines| {
        Chart { title, unit, logarithmic, lines, marks: marks.clone() }.draw()
    };
    let lines = |operations: &[Operation], value: &dyn Fn(&super::Point) -> f64| {
        let line = |one: &Operation| Line {
            name: one.name.clone(),
            points: one.points.iter().map(|point| (point.at, value(point))).collect(),
        };
        operations.iter().map(line).collect::<Vec<_>>()
    };
    page.push_str("<h2>Throughput</h2>");
    for group in report.operations.chunks(LINES_MAX) {
        page.push_str(&chart(
            "done a second".to_owned(),
            Unit::Plain,
            false,
            lines(group, &|point| point.rate),
        ));
    }
    if report.failed() > 0 {
        let failing: Vec<Operation> =
            report.operations.iter().filter(|one| one.failed > 0).cloned().collect();
        for group in failing.chunks(LINES_MAX) {
            page.push_str(&chart(
                "failed a second".to_owned(),
                Unit::Plain,
                false,
                lines(group, &|point| point.failed),
            ));
        }
    }
    page.push_str("<h2>Latency</h2>");
    for operation in &report.operations {
        let quantile = |name: &str, of: fn(&Sample) -> u64| Line {
            name: name.to_owned(),
            points: operation.points.iter().map(|point| (point.at, micros(of(&point.latency)))).collect(),
        };
        let lines = vec![
            quantile("p50", |sample| sample.p50),
            quantile("p95", |sample| sample.p95),
            quantile("p99", |sample| sample.p99),
            quantile("slowest", |sample| sample.max),
        ];
        page.push_str(&chart(operation.name.clone(), Unit::Time, true, lines));
    }
    if !report.metrics.is_empty() {
        page.push_str("<h2>What the servers said of themselves</h2><div class=\"two\">");
        let moving: Vec<&Series> = report.metrics.iter().filter(|series| series.moves()).collect();
        for series in moving.iter().take(METRICS_MAX) {
            let title =
                if series.is_rate { format!("{} a second", series.name) } else { series.name.clone() };
            let lines = vec![Line { name: series.server.clone(), points: series.points.clone() }];
            page.push_str(&chart(title, Unit::Plain, false, lines));
        }
        page.push_str("</div>");
        if moving.len() > METRICS_MAX {
            let _ =
                write!(page, "<p class=\"soft\">{} more are in the JSON.</p>", moving.len() - METRICS_MAX);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "for a chart")]
const fn micros(microseconds: u64) -> f64 {
    microseconds as f64
}

fn marks(report: &Report, page: &mut String) {
    if report.marks.is_empty() {
        return;
    }
    page.push_str(
        "<h2>What was done meanwhile</h2><table><tr><th>what</th><th>at</th><th>how it ended</th></tr>",
    );
    for mark in &report.marks {
        let outcome = mark.outcome.as_deref().unwrap_or("did not end");
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{:.1} s</td><td>{}</td></tr>",
            escape(&mark.label),
            mark.at,
            escape(outcome)
        );
    }
    page.push_str("</table>\n");
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn everything_is_in_it_and_nothing_runs() {
        let mut report = report(500.0, 25_000, 3);
        report.require(&["smtp.message p99 < 20ms".parse().unwrap()]);
        report.ledger = Some(crate::ledger::Verdict::default());
        let page = page(&report);
        assert_eq!(page.matches("<svg").count(), 3, "throughput, failures, latency");
        for part in [
            "Ledger",
            "NOT met: smtp.message p99 &lt; 20ms",
            "kill a worker",
            "452 4.3.1 &lt;full&gt;",
            "sessions",
            "class=\"mark\"",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        for never in ["<script", "http://", "https://", "<full>"] {
            assert!(!page.contains(never), "{never}");
        }
        assert_eq!(
            (page.matches("<table").count(), page.matches("<figure").count()),
            (page.matches("</table").count(), page.matches("</figure").count())
        );
    }
}

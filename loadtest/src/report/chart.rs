//! Line charts as SVG, drawn here: the page needs no script and nothing from elsewhere.

use std::fmt::Write as _;

/// Size of a chart in its own units, and what the axes take of it.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 28.0;
/// Most points of a line: more are joined, the highest of each group kept, so that no peak is lost.
const POINTS_MAX: usize = 430;
const COLOURS: usize = 8;

/// What the numbers are, for the labels of the axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Microseconds.
    Time,
    /// Anything else.
    Plain,
}

/// One line.
pub(super) struct Line {
    pub(super) name: String,
    /// Seconds since the run began, and a value.
    pub(super) points: Vec<(f64, f64)>,
}

/// One chart.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) unit: Unit,
    /// Whether the axis is logarithmic; values of zero are left out then.
    pub(super) logarithmic: bool,
    pub(super) lines: Vec<Line>,
    /// Upright lines: when, and what.
    pub(super) marks: Vec<(f64, String)>,
}

/// Where values are on the paper.
struct Scale {
    seconds: f64,
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    fn of(chart: &Chart) -> Self {
        let points = || chart.lines.iter().flat_map(|line| line.points.iter());
        let marks = chart.marks.iter().map(|(at, _)| *at);
        let seconds = points().map(|(at, _)| *at).chain(marks).fold(1.0, f64::max);
        let high = points().map(|(_, value)| *value).fold(0.0, f64::max);
        let high = if high > 0.0 { high } else { 1.0 };
        let smallest = points().map(|(_, value)| *value).filter(|value| *value > 0.0).fold(high, f64::min);
        if chart.logarithmic {
            let (low, high) = (smallest.log10().floor(), high.log10().ceil());
            return Self { seconds, low, high: if high > low { high } else { low + 1.0 }, logarithmic: true };
        }
        Self { seconds, low: 0.0, high: round_up(high), logarithmic: false }
    }

    fn x(&self, at: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * at / self.seconds
    }

    fn y(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.log10() } else { value };
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self.low) / (self.high - self.low)
    }

    /// Values that get a line across.
    fn ticks(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        if self.logarithmic {
            let mut power = self.low;
            while power <= self.high {
                ticks.push(10_f64.powf(power));
                power += 1.0;
            }
        } else {
            ticks.extend((0_u8..=4).map(|part| self.high * f64::from(part) / 4.0));
        }
        ticks
    }
}

/// To a number that can be divided by four and looks round.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|round| *round >= value)
        .unwrap_or(value)
}

impl Chart {
    /// As a figure of a page.
    pub(super) fn draw(&self) -> String {
        let scale = Scale::of(self);
        let mut svg = format!(
            "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.title),
            escape(&self.title)
        );
        for tick in scale.ticks() {
            let (y, right) = (scale.y(tick), WIDTH - RIGHT);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/><text class=\"axis\" text-anchor=\"end\" x=\"{}\" y=\"{:.1}\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                self.label(tick)
            );
        }
        for part in 0_u8..=6 {
            let at = scale.seconds * f64::from(part) / 6.0;
            let _ = write!(
                svg,
                "<text class=\"axis\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{}\">{}</text>",
                scale.x(at),
                HEIGHT - 8.0,
                clock(at)
            );
        }
        for (at, label) in &self.marks {
            let x = scale.x(*at);
            let _ = write!(
                svg,
                "<line class=\"mark\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{}\"><title>{} at {at:.0} s</title></line>",
                HEIGHT - BOTTOM,
                escape(label)
            );
        }
        for (number, line) in self.lines.iter().enumerate() {
            self.line(&scale, number, line, &mut svg);
        }
        svg.push_str("</svg><p class=\"legend\">");
        for (number, line) in self.lines.iter().enumerate() {
            let _ = write!(svg, "<span><i class=\"c{}\"></i>{}</span>", number % COLOURS, escape(&line.name));
        }
        svg.push_str("</p></figure>\n");
        svg
    }

    fn line(&self, scale: &Scale, number: usize, line: &Line, svg: &mut String) {
        let shown =
            line.points.iter().filter(|(_, value)| value.is_finite() && (!self.logarithmic || *value > 0.0));
        let points = thinned(&shown.copied().collect::<Vec<_>>());
        let path: Vec<String> =
            points.iter().map(|(at, value)| format!("{:.1},{:.1}", scale.x(*at), scale.y(*value))).collect();
        // A line of one point is no line; round ends make it a dot.
        let path = if let [only] = path.as_slice() { vec![only.clone(), only.clone()] } else { path };
        let highest = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        let _ = write!(
            svg,
            "<polyline class=\"c{}\" points=\"{}\"><title>{}: at most {}</title></polyline>",
            number % COLOURS,
            path.join(" "),
            escape(&line.name),
            self.label(highest)
        );
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "microseconds of a label")]
    fn label(&self, value: f64) -> String {
        match self.unit {
            Unit::Time => super::shown(value.round() as u64),
            Unit::Plain if value >= 1e9 => format!("{:.1} G", value / 1e9),
            Unit::Plain if value >= 1e6 => format!("{:.1} M", value / 1e6),
            Unit::Plain if value >= 1e4 => format!("{:.0} k", value / 1e3),
            Unit::Plain if value >= 10.0 || value == 0.0 => format!("{value:.0}"),
            Unit::Plain => format!("{value:.2}"),
        }
    }
}

fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let group = points.len().div_ceil(POINTS_MAX).max(1);
    let highest = |group: &[(f64, f64)]| group.iter().copied().max_by(|one, other| one.1.total_cmp(&other.1));
    points.chunks(group).filter_map(highest).collect()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a run")]
fn clock(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..120 => format!("{whole} s"),
        120..7200 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{} h {:02}", whole / 3600, whole / 60 % 60),
    }
}

/// Text for a page, whoever wrote it.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(logarithmic: bool, values: &[f64]) -> Chart {
        let points = values
            .iter()
            .enumerate()
            .map(|(at, value)| (f64::from(u32::try_from(at).unwrap()), *value))
            .collect();
        let lines = vec![Line { name: "a <b>".to_owned(), points }];
        Chart {
            title: "t".to_owned(),
            unit: Unit::Plain,
            logarithmic,
            lines,
            marks: vec![(2.0, "kill \"it\"".to_owned())],
        }
    }

    #[test]
    fn values_are_where_they_belong() {
        let svg = chart(false, &[0.0, 50.0, 100.0]).draw();
        // 0 is at the bottom, 100 at the top, time from left to right.
        assert!(svg.contains("points=\"70.0,212.0 459.0,113.0 848.0,14.0\""), "{svg}");
        assert!(
            svg.contains("a &lt;b&gt;: at most 100") && svg.contains("kill &quot;it&quot; at 2 s"),
            "{svg}"
        );
        let svg = chart(true, &[10.0, 0.0, 1000.0]).draw();
        assert!(svg.contains("points=\"70.0,212.0 848.0,14.0\""), "a zero has no place on this axis: {svg}");
    }

    #[test]
    fn peaks_survive_and_nothing_draws_too_much() {
        let mut values = vec![1.0; 5000];
        values[3333] = 777.0;
        let all = thinned(&values.iter().map(|value| (0.0, *value)).collect::<Vec<_>>());
        assert!(all.len() <= POINTS_MAX && all.iter().any(|(_, value)| *value == 777.0), "{}", all.len());
        assert!(chart(false, &[]).draw().contains("<svg") && chart(true, &[0.0]).draw().contains("<svg"));
        assert_eq!([0.7, 3.0, 10.0, 950.0].map(round_up), [0.8, 4.0, 10.0, 1000.0]);
        assert_eq!([30.0, 150.0, 7260.0].map(clock), ["30 s", "2:30", "2 h 01"]);
    }
}

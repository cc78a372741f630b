//! A chart with both axes logarithmic, as SVG: a straight line up at 45° is a cost that grows with the size.

use std::fmt::Write as _;

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 350.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 34.0;
/// Lines are told apart by these, in both light and dark.
const COLOURS: [&str; 10] = [
    "#2f7ed8", "#d8572f", "#3c9d4e", "#9b59b6", "#c9971c", "#1aa3a3", "#c2477f", "#7f8c8d", "#1b2a49",
    "#8a5a2b",
];

/// One figure at each size.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(u64, f64)>,
}

/// Figures of one unit.
pub(super) struct Chart {
    pub(super) axis: &'static str,
    pub(super) unit: &'static str,
    pub(super) lines: Vec<Line>,
}

impl Chart {
    pub(super) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let (left, right) = bounds(points().map(|(size, _)| size as f64));
        let (low, high) = bounds(points().map(|(_, value)| value));
        let x = |size: f64| LEFT + (WIDTH - LEFT - RIGHT) * (size.log10() - left) / (right - left);
        let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value.log10() - low) / (high - low);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n<text x=\"{LEFT}\" y=\"16\" fill=\"#333\">{}, by {}</text>\n",
            escaped(self.unit),
            escaped(self.axis)
        );
        let (bottom, end) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let mut tick = |line: String, (x, y): (f64, f64), anchor: &str, power: f64| {
            let _ = writeln!(
                out,
                "<path d=\"{line}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#555\">{}</text>",
                label(power)
            );
        };
        for power in powers(left, right) {
            let at = x(power);
            tick(format!("M{at:.1} {TOP}V{bottom:.1}"), (at, bottom + 16.0), "middle", power);
        }
        for power in powers(low, high) {
            let at = y(power);
            tick(format!("M{LEFT} {at:.1}H{end:.1}"), (LEFT - 6.0, at + 4.0), "end", power);
        }
        for ((number, line), colour) in self.lines.iter().enumerate().zip(COLOURS.iter().cycle()) {
            let positive = line.points.iter().filter(|(_, value)| *value > 0.0);
            let places: Vec<(f64, f64)> =
                positive.map(|(size, value)| (x(*size as f64), y(*value))).collect();
            let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
            let _ = writeln!(
                out,
                "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join("L")
            );
            for (x, y) in places {
                let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
            }
            let at = TOP + 8.0 + 18.0 * number as f64;
            let _ = writeln!(
                out,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{at:.1}\" fill=\"#333\">{}</text>",
                WIDTH - RIGHT + 12.0,
                at - 9.0,
                WIDTH - RIGHT + 28.0,
                escaped(&line.name)
            );
        }
        out.push_str("</svg>\n");
        out
    }
}

/// The powers of ten around the values.
fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut low, mut high) = (f64::MAX, f64::MIN);
    for value in values.filter(|value| *value > 0.0) {
        (low, high) = (low.min(value.log10()), high.max(value.log10()));
    }
    if low > high {
        return (0.0, 1.0);
    }
    let (low, high) = ((low + 1e-9).floor(), (high - 1e-9).ceil());
    (low, if high > low { high } else { low + 1.0 })
}

fn powers(low: f64, high: f64) -> impl Iterator<Item = f64> {
    (low as i32..=high as i32).map(|power| 10_f64.powi(power))
}

fn label(power: f64) -> String {
    if power < 1.0 { power.to_string() } else { grouped(power as u64) }
}

/// `1,000,000`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_times_the_size_is_a_step_along_and_ten_times_the_cost_a_step_up() {
        let points = vec![(10, 1.0), (100, 10.0), (1000, 100.0)];
        let lines = vec![
            Line { name: "a < b".to_owned(), points },
            Line { name: "none".to_owned(), points: vec![(10, 0.0)] },
        ];
        let svg = Chart { axis: "messages", unit: "ms", lines }.svg();
        assert!(svg.contains("M64.0 286.0L267.0 157.0L470.0 28.0"), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.contains(">1,000<") && svg.contains("ms, by messages"));
        assert_eq!(bounds([10.0, 1000.0].into_iter()), (1.0, 3.0));
        assert_eq!(bounds([5.0].into_iter()), (0.0, 1.0));
        assert_eq!(bounds([0.0].into_iter()), (0.0, 1.0));
        assert_eq!(
            (grouped(999), grouped(1000), grouped(1_234_567)),
            ("999".into(), "1,000".into(), "1,234,567".into())
        );
    }
}

//! A day: how busy a provider is at each hour.

use std::time::Duration;

use crate::pace::Curve;

/// Load of each hour of a working day, as parts of the day's average: quiet nights, a peak in the morning, a second after lunch, an evening at home.
const HOURS: [f64; 24] = [
    0.25, 0.18, 0.15, 0.14, 0.16, 0.26, 0.50, 0.95, 1.60, 2.05, 2.15, 1.95, 1.60, 1.75, 1.95, 1.90, 1.70,
    1.45, 1.20, 1.10, 1.00, 0.85, 0.60, 0.40,
];

/// The busiest hour, as a part of the average.
pub(crate) fn peak() -> f64 {
    HOURS.iter().copied().fold(0.0, f64::max) / mean()
}

#[allow(clippy::cast_precision_loss, reason = "24")]
fn mean() -> f64 {
    HOURS.iter().sum::<f64>() / HOURS.len() as f64
}

/// The rate over a day that takes `day`, from midnight to midnight, `average` operations a second in the mean. A short day goes through the same rates faster.
pub fn curve(average: f64, day: Duration) -> anyhow::Result<Curve> {
    let hour = day / 24;
    let points = (0..).zip(HOURS).map(|(at, part)| (hour * at, average * part / mean()));
    Curve::new(points.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_what_was_asked_for_and_the_peak_is_in_the_morning() {
        let day = Duration::from_secs(2400);
        let curve = curve(100.0, day).unwrap();
        let rates: Vec<f64> = (0..2400).map(|second| curve.at(Duration::from_secs(second))).collect();
        let mean = rates.iter().sum::<f64>() / 2400.0;
        assert!((99.0..101.0).contains(&mean), "{mean}");
        let highest = (0..2400).max_by(|one, other| rates[*one].total_cmp(&rates[*other])).unwrap();
        assert_eq!(highest / 100, 10, "ten o'clock");
        assert!((rates[highest] - 100.0 * peak()).abs() < 1e-6);
        assert!((1.9..2.1).contains(&peak()), "{}", peak());
    }
}

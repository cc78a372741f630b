//! Numbers that look random and are the same for the same seed, on every machine and in every version.
//!
//! What it is not: a source of secrets.

/// A stream of numbers: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), whose state is a counter, so that a stream for each account costs nothing.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream number `stream` of a seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed);
        let first = random.next();
        Self(first ^ stream.wrapping_mul(0xD605_0B33_5C2E_9A77))
    }

    /// The next 64 bits.
    #[allow(clippy::should_implement_trait, reason = "an endless stream needs no Option")]
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// At least 0 and under 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are taken, as many as a float has")]
    pub const fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// At least 0 and under `end`; 0 when `end` is.
    #[allow(clippy::cast_possible_truncation, reason = "the upper half of 128 bits")]
    pub const fn below(&mut self, end: u64) -> u64 {
        ((self.next() as u128 * end as u128) >> 64) as u64
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// How long until the next of independent events that are `mean` apart.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Sizes and counts of the real world: half are under `median`, two thirds within a factor of e^`sigma` of it.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        // Box and Muller: two uniform numbers make a normal one.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.unit()).cos();
        median * (sigma * normal).exp()
    }

    /// One of several; nothing of none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let at = self.below(u64::try_from(of.len()).unwrap_or(u64::MAX));
        of.get(usize::try_from(at).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_for_the_same_seed() {
        // The published first numbers of the generator for the state 1234567.
        let mut known = Random(1_234_567);
        assert_eq!(
            [known.next(), known.next(), known.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
        let first = |seed, stream| Random::new(seed, stream).next();
        assert_eq!(first(1, 2), first(1, 2));
        assert_ne!(first(1, 2), first(1, 3));
        assert_ne!(first(1, 2), first(2, 2));
    }

    #[test]
    fn distributions_are_what_they_are_called() {
        let mut random = Random::new(7, 0);
        let many = 20_000;
        let mean = |draw: &mut dyn FnMut() -> f64| (0..many).map(|_| draw()).sum::<f64>() / f64::from(many);
        let exponential = mean(&mut || random.exponential(4.0));
        assert!((3.8..4.2).contains(&exponential), "{exponential}");
        let under = mean(&mut || f64::from(u8::from(random.log_normal(100.0, 1.5) < 100.0)));
        assert!((0.48..0.52).contains(&under), "{under}");
        let within =
            mean(&mut || f64::from(u8::from((random.log_normal(100.0, 1.5) / 100.0).ln().abs() < 1.5)));
        assert!((0.66..0.71).contains(&within), "{within}");
        let mut seen = [0_u32; 5];
        for _ in 0..many {
            seen[usize::try_from(random.below(5)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|count| (3700..4300).contains(count)), "{seen:?}");
        assert_eq!((random.below(0), random.pick::<u8>(&[])), (0, None));
    }
}

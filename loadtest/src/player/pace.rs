//! When things are meant to happen.

use crate::clock;

/// When something is to be done from a first moment on, whatever came of the times before.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The next moment.
    pub next: u64,
    interval: u64,
    random: bool,
}

impl Pace {
    /// `per_second` times a second; the first within the first interval after `begin`, at random.
    pub fn new(begin: u64, per_second: f64) -> Self {
        let interval = nanoseconds(1.0 / per_second);
        Self {
            next: begin + fastrand::u64(0..interval),
            interval,
            random: false,
        }
    }

    /// At `first` and every `interval` nanoseconds after it.
    pub const fn every(first: u64, interval: u64) -> Self {
        Self {
            next: first,
            interval,
            random: false,
        }
    }

    /// `per_second` times a second on the average after `begin`, each moment independent of the others: a Poisson
    /// process.
    pub fn poisson(begin: u64, per_second: f64) -> Self {
        let interval = nanoseconds(1.0 / per_second);
        Self {
            next: begin + exponential(interval),
            interval,
            random: true,
        }
    }

    /// The moment that has come, after which the next one is set.
    pub fn advance(&mut self) -> u64 {
        let now = self.next;
        self.next += if self.random {
            exponential(self.interval)
        } else {
            self.interval
        };
        now
    }
}

/// A random time with this mean, such as lies between two events of a Poisson process; both in nanoseconds.
pub fn exponential(mean: u64) -> u64 {
    // One minus a number below one is above zero, so that its logarithm is finite.
    let times = -(1.0 - fastrand::f64()).ln();
    nanoseconds(times * mean as f64 / clock::SECOND as f64)
}

/// A time in seconds as nanoseconds, at least one.
pub fn nanoseconds(seconds: f64) -> u64 {
    // Runs are far shorter than the 584 years that fit.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let nanoseconds = (seconds * clock::SECOND as f64) as u64;
    nanoseconds.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    #[test]
    fn a_steady_pace_begins_within_its_first_interval_and_keeps_it() {
        for _ in 0..100 {
            let mut pace = Pace::new(5 * SECOND, 4.0);
            let first = pace.advance();
            assert!((5 * SECOND..5 * SECOND + SECOND / 4).contains(&first));
            assert_eq!(pace.advance(), first + SECOND / 4);
            assert_eq!(pace.next, first + SECOND / 2);
        }
        let mut pace = Pace::every(7, 10);
        assert_eq!([pace.advance(), pace.advance()], [7, 17]);
    }

    #[test]
    fn a_poisson_process_has_its_rate_and_no_memory() {
        fastrand::seed(7);
        let mut pace = Pace::poisson(0, 50.0);
        let mut per_second = vec![0_u32; 2_000];
        loop {
            let second = usize::try_from(pace.advance() / SECOND).unwrap();
            match per_second.get_mut(second) {
                Some(count) => *count += 1,
                None => break,
            }
        }
        let count = per_second.len() as f64;
        let mean = per_second.iter().sum::<u32>() as f64 / count;
        let spread = |held: &u32| (f64::from(*held) - mean).powi(2);
        let variance = per_second.iter().map(spread).sum::<f64>() / count;
        assert!((mean - 50.0).abs() < 1.0, "{mean}");
        // The mark of a Poisson process: the variance of its counts is their mean.
        assert!((variance / mean - 1.0).abs() < 0.15, "{variance}");
    }
}

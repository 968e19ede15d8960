//! Axes: where a value lies between 0 and 1, and which values are written beside them.

use crate::report::number;

/// What the values of a linear axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    PerSecond,
    Cores,
    Bytes,
}

/// One axis of a chart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
    /// Values and what is written beside them, rising.
    ticks: Vec<(f64, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Seconds,
    Linear(Unit),
    Milliseconds,
    Percentiles,
}

/// Exponents of ten that a logarithmic axis of milliseconds may show: 1 ns to about a day.
const EXPONENTS: std::ops::RangeInclusive<i32> = -6..=8;

/// Ticks of a logarithmic axis before only powers of ten are left.
const TICKS_MAX: usize = 9;

impl Axis {
    /// Seconds between the lowest and the highest value; at least one second wide.
    pub(super) fn seconds(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = range(values).unwrap_or((0.0, 1.0));
        let high = high.max(low + 1.0);
        let steps = [
            1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0,
        ];
        let fits = |step: &&f64| (high - low) / **step <= 6.5;
        let step = steps.iter().find(fits).copied();
        let step = step.unwrap_or_else(|| nice((high - low) / 6.0));
        Self {
            low,
            high,
            scale: Scale::Seconds,
            ticks: multiples(low, high, step, |value| format!("{value:.0} s")),
        }
    }

    /// From zero to a round number above all values.
    pub(super) fn from_zero(unit: Unit, values: impl IntoIterator<Item = f64>) -> Self {
        let (_, high) = range(values).unwrap_or((0.0, 0.0));
        let high = if high > 0.0 { high } else { 1.0 };
        let step = match unit {
            Unit::Bytes => (high / 4.0).log2().ceil().exp2().max(1.0),
            Unit::PerSecond | Unit::Cores => nice(high / 4.0),
        };
        let high = (high / step - 1e-9).ceil().max(1.0) * step;
        Self {
            low: 0.0,
            high,
            scale: Scale::Linear(unit),
            ticks: multiples(0.0, high, step, |value| unit.short(value)),
        }
    }

    /// A logarithmic axis around all values above zero.
    pub(super) fn milliseconds(values: impl IntoIterator<Item = f64>) -> Self {
        let above_zero = values.into_iter().filter(|value| *value > 0.0);
        let (low, high) = range(above_zero).unwrap_or((1.0, 10.0));
        let marks: Vec<f64> = EXPONENTS
            .flat_map(|exponent| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(exponent)))
            .collect();
        let first = marks.partition_point(|mark| *mark <= low * (1.0 + 1e-9));
        let first = first.saturating_sub(1).min(marks.len() - 2);
        let last = marks.partition_point(|mark| *mark < high * (1.0 - 1e-9));
        let last = last.clamp(first + 1, marks.len() - 1);
        let ticks: Vec<f64> = if last - first < TICKS_MAX {
            marks[first..=last].to_vec()
        } else {
            let decades = (first..=last).filter(|index| index % 3 == 0);
            decades.map(|index| marks[index]).collect()
        };
        Self {
            low: marks[first],
            high: marks[last],
            scale: Scale::Milliseconds,
            ticks: ticks
                .into_iter()
                .map(|mark| (mark, number::milliseconds(mark)))
                .collect(),
        }
    }

    /// Percentiles by their number of nines: as far from 90 to 99 as from 99 to 99.9. What is beyond the last of the
    /// values below 100, and 100 itself, lies at the end.
    pub(super) fn percentiles(values: impl IntoIterator<Item = f64>) -> Self {
        let below = values.into_iter().filter(|value| *value < 100.0);
        let (_, highest) = range(below).unwrap_or((0.0, 90.0));
        let high = nines(highest).clamp(1.0, 7.0) + 0.5;
        let named = [
            (0.0, "0"),
            (50.0, "50"),
            (90.0, "90"),
            (99.0, "99"),
            (99.9, "99.9"),
            (99.99, "99.99"),
            (99.999, "99.999"),
            (99.9999, "99.9999"),
        ];
        let mut ticks: Vec<(f64, String)> = named
            .iter()
            .filter(|(value, _)| nines(*value) <= high - 0.45)
            .map(|(value, name)| (*value, (*name).to_owned()))
            .collect();
        ticks.push((100.0, "max".to_owned()));
        Self {
            low: 0.0,
            high,
            scale: Scale::Percentiles,
            ticks,
        }
    }

    /// Where the value lies, from 0 to 1; values outside lie at the ends. Always a number.
    pub(super) fn position(&self, value: f64) -> f64 {
        let along = match self.scale {
            Scale::Seconds | Scale::Linear(_) => (value - self.low) / (self.high - self.low),
            Scale::Milliseconds => (value / self.low).ln() / (self.high / self.low).ln(),
            Scale::Percentiles => nines(value) / self.high,
        };
        if along.is_nan() {
            0.0
        } else {
            along.clamp(0.0, 1.0)
        }
    }

    /// Positions of the ticks with what is written beside them.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (f64, &str)> {
        self.ticks
            .iter()
            .map(|(value, text)| (self.position(*value), text.as_str()))
    }

    /// A value in full, for a tooltip.
    pub(super) fn written(&self, value: f64) -> String {
        match self.scale {
            Scale::Seconds => format!("{value:.0} s"),
            Scale::Linear(Unit::PerSecond) => format!("{}/s", number::plain(value)),
            Scale::Linear(Unit::Cores) => number::plain(value),
            Scale::Linear(Unit::Bytes) => number::bytes(value),
            Scale::Milliseconds => number::milliseconds(value),
            Scale::Percentiles if value >= 100.0 => "max".to_owned(),
            Scale::Percentiles => {
                let percentile = format!("{value:.4}");
                format!(
                    "p{}",
                    percentile.trim_end_matches('0').trim_end_matches('.')
                )
            }
        }
    }
}

impl Unit {
    /// Short enough to stand beside an axis: `50k`, `1.2`, `256 MiB`.
    fn short(self, value: f64) -> String {
        match self {
            Self::Bytes => number::bytes(value),
            Self::Cores => number::plain(value),
            Self::PerSecond if value >= 1e6 => format!("{}M", number::plain(value / 1e6)),
            Self::PerSecond if value >= 1e4 => format!("{}k", number::plain(value / 1e3)),
            Self::PerSecond => number::plain(value),
        }
    }
}

fn nines(percentile: f64) -> f64 {
    -(1.0 - percentile / 100.0).max(0.0).log10()
}

/// 1, 2 or 5 times a power of ten, at least `value`.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let digits = [1.0, 2.0, 5.0, 10.0];
    let digit = digits
        .iter()
        .find(|digit| *digit * power >= value * (1.0 - 1e-9));
    digit.unwrap_or(&10.0) * power
}

fn multiples(
    low: f64,
    high: f64,
    step: f64,
    written: impl Fn(f64) -> String,
) -> Vec<(f64, String)> {
    /// Bounds the loop should a step ever be too small for its numbers.
    const MULTIPLES_MAX: u32 = 20;
    let first = (low / step - 1e-9).ceil();
    (0..MULTIPLES_MAX)
        .map(|index| (first + f64::from(index)) * step)
        .take_while(|value| *value <= high + step * 1e-6)
        .map(|value| (value, written(value)))
        .collect()
}

fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    finite.fold(None, |range, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(axis: &Axis) -> Vec<&str> {
        axis.ticks().map(|(_, text)| text).collect()
    }

    #[test]
    fn seconds_have_round_ticks() {
        let axis = Axis::seconds([-5.0, 64.0]);
        assert_eq!(written(&axis), ["0 s", "15 s", "30 s", "45 s", "60 s"]);
        assert_eq!(axis.position(-5.0), 0.0);
        assert_eq!(axis.position(64.0), 1.0);
        assert_eq!(written(&Axis::seconds([7.0])), ["7 s", "8 s"]);
        let day = Axis::seconds([0.0, 86_400.0]);
        assert!((3..9).contains(&day.ticks.len()), "{day:?}");
    }

    #[test]
    fn linear_axes_end_on_a_round_number() {
        let rates = |high: f64| Axis::from_zero(Unit::PerSecond, [high]);
        assert_eq!(written(&rates(49_987.0)), ["0", "20k", "40k", "60k"]);
        assert_eq!(written(&rates(500.0)), ["0", "200", "400", "600"]);
        assert_eq!(written(&rates(0.0)), ["0", "0.5", "1"]);
        let bytes = Axis::from_zero(Unit::Bytes, [330.0 * 1_048_576.0]);
        assert_eq!(written(&bytes), ["0 B", "128 MiB", "256 MiB", "384 MiB"]);
    }

    #[test]
    fn times_are_logarithmic() {
        let axis = Axis::milliseconds([2.4, 190.0, 0.0]);
        assert_eq!(
            written(&axis),
            [
                "2 ms", "5 ms", "10 ms", "20 ms", "50 ms", "100 ms", "200 ms"
            ]
        );
        assert!((axis.position(20.0) - 0.5).abs() < 1e-9);
        assert_eq!(axis.position(0.0), 0.0);
        let wide = Axis::milliseconds([0.003, 4_000.0]);
        assert_eq!(written(&wide).len(), 6, "{wide:?}");
        assert_eq!(written(&Axis::milliseconds([10.0])), ["10 ms", "20 ms"]);
    }

    #[test]
    fn percentiles_count_nines() {
        let axis = Axis::percentiles([0.0, 50.0, 99.9, 100.0]);
        assert_eq!(written(&axis), ["0", "50", "90", "99", "99.9", "max"]);
        assert!((axis.position(99.9) - 3.0 * axis.position(90.0)).abs() < 1e-9);
        assert_eq!(axis.position(100.0), 1.0);
        assert_eq!(axis.written(99.99), "p99.99");
    }

    #[test]
    fn there_is_an_axis_for_everything() {
        let strange = [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300, 1e-300, f64::MAX];
        let mut sets: Vec<Vec<f64>> = strange.iter().map(|value| vec![*value]).collect();
        sets.extend([Vec::new(), strange.to_vec()]);
        for values in sets {
            let values = || values.iter().copied();
            for axis in [
                Axis::seconds(values()),
                Axis::from_zero(Unit::Cores, values()),
                Axis::from_zero(Unit::Bytes, values()),
                Axis::milliseconds(values()),
                Axis::percentiles(values()),
            ] {
                for value in strange {
                    let position = axis.position(value);
                    assert!((0.0..=1.0).contains(&position), "{value} in {axis:?}");
                }
                let ticks: Vec<f64> = axis.ticks().map(|(position, _)| position).collect();
                assert!(!ticks.is_empty(), "{axis:?}");
            }
        }
    }
}

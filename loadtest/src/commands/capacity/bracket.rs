//! The search itself: where between two loads something stops to hold.

use crate::report::Step;

/// From where to where, and how closely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    from: f64,
    to: f64,
    within: f64,
}

/// Why a search can't begin.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum InvalidBounds {
    /// Not a load.
    #[error("--from {0}: the first load must be a number above 0")]
    From(f64),
    /// Not a load.
    #[error("--to {0}: the highest load must be a number above 0")]
    To(f64),
    /// Nothing between.
    #[error("--from {from} is above --to {to}")]
    Reversed {
        /// First load.
        from: f64,
        /// Highest load.
        to: f64,
    },
    /// Not a share.
    #[error("--within {0}: write a share of the limit, above 0 and at most 1, as in 0.1")]
    Within(f64),
}

impl Bounds {
    pub(super) fn new(from: f64, to: f64, within: f64) -> Result<Self, InvalidBounds> {
        let is_load = |load: f64| load.is_finite() && load > 0.0;
        if !is_load(from) {
            return Err(InvalidBounds::From(from));
        }
        if !is_load(to) {
            return Err(InvalidBounds::To(to));
        }
        if from > to {
            return Err(InvalidBounds::Reversed { from, to });
        }
        if !(within > 0.0 && within <= 1.0) {
            return Err(InvalidBounds::Within(within));
        }
        Ok(Self { from, to, within })
    }
}

/// One measurement at one load.
#[derive(Clone, Debug)]
pub(super) struct Tried<T> {
    pub(super) held: bool,
    /// What was measured, in few words.
    pub(super) words: String,
    /// The same with what belongs to it.
    pub(super) detail: String,
    pub(super) result: T,
}

/// Where a search ended.
#[derive(Debug)]
pub(super) struct Found<T> {
    pub(super) steps: Vec<Step>,
    /// The highest load that held.
    pub(super) held: Option<(f64, Tried<T>)>,
    /// The lowest load above it, which broke.
    pub(super) broke: Option<(f64, Tried<T>)>,
}

/// Doubles the load until it breaks, then halves what lies between. `is_same` says of two loads that they come to the
/// same, as 3.5 and 4 players do. An error of `measure` ends the search.
pub(super) async fn search<T, E>(
    bounds: &Bounds,
    is_same: impl Fn(f64, f64) -> bool,
    mut measure: impl AsyncFnMut(f64) -> Result<Tried<T>, E>,
) -> Result<Found<T>, E> {
    let mut found = Found {
        steps: Vec::new(),
        held: None,
        broke: None,
    };
    let mut next = Some(bounds.from);
    while let Some(load) = next {
        let tried = tried_twice(load, &mut measure).await?;
        found.steps.push(Step {
            value: load,
            held: tried.held,
            detail: tried.detail.clone(),
        });
        if tried.held {
            found.held = Some((load, tried));
        } else {
            found.broke = Some((load, tried));
        }
        next = found.next(bounds, &is_same);
    }
    Ok(found)
}

impl<T> Found<T> {
    fn next(&self, bounds: &Bounds, is_same: impl Fn(f64, f64) -> bool) -> Option<f64> {
        let held = self.held.as_ref()?.0;
        let Some((broke, _)) = self.broke else {
            return (held < bounds.to).then(|| (held * 2.0).min(bounds.to));
        };
        if broke - held <= held * bounds.within {
            return None;
        }
        let middle = f64::midpoint(held, broke);
        // A load without a fraction is easier to say, and near enough where there is room for it.
        let middle = if broke - held >= 4.0 {
            middle.round()
        } else {
            middle
        };
        let differs = !is_same(held, middle) && !is_same(middle, broke);
        differs.then_some(middle)
    }
}

/// Measures a second time what broke: a machine has hiccups.
async fn tried_twice<T, E>(
    load: f64,
    measure: &mut impl AsyncFnMut(f64) -> Result<Tried<T>, E>,
) -> Result<Tried<T>, E> {
    let first = measure(load).await?;
    if first.held {
        return Ok(first);
    }
    let mut second = measure(load).await?;
    let both = if second.held {
        "held when repeated"
    } else {
        "broke twice"
    };
    second.detail += &format!("; {both}, the first time: {}", first.words);
    Ok(second)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Searches where loads up to `limit` hold, and says which loads were measured.
    fn searched(bounds: Bounds, limit: f64, hiccup_at: Option<usize>) -> (Found<f64>, Vec<f64>) {
        let mut loads = Vec::new();
        let measure = async |load: f64| {
            loads.push(load);
            let is_hiccup = hiccup_at == Some(loads.len());
            Ok::<_, Infallible>(Tried {
                held: load <= limit && !is_hiccup,
                words: format!("no. {}", loads.len()),
                detail: format!("measurement {}", loads.len()),
                result: load,
            })
        };
        let found = ready(search(&bounds, |one, other| one == other, measure));
        (found, loads)
    }

    /// Nothing in these searches waits.
    fn ready<T>(future: impl Future<Output = Result<T, Infallible>>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        let Ok(value) = runtime.block_on(future);
        value
    }

    fn bounds(from: f64, to: f64, within: f64) -> Bounds {
        Bounds::new(from, to, within).unwrap()
    }

    #[test]
    fn a_limit_is_found_within_the_tolerance() {
        for limit in [100.0, 137.0, 199.9, 200.0, 3_777.0, 99_999.0, 123_456.7] {
            for within in [0.5, 0.1, 0.01] {
                let (found, loads) = searched(bounds(100.0, 1e6, within), limit, None);
                let (held, broke) = (found.held.unwrap().0, found.broke.unwrap().0);
                assert!(held <= limit && limit < broke, "{held} {limit} {broke}");
                assert!(broke - held <= held * within, "{held} {broke} {within}");
                assert!(loads.len() <= 2 * found.steps.len());
                for step in found.steps {
                    assert_eq!(step.held, step.value <= limit);
                }
            }
        }
    }

    #[test]
    fn a_limit_below_the_first_load_is_not_searched_for() {
        let (found, loads) = searched(bounds(100.0, 1e6, 0.1), 99.0, None);
        assert!(found.held.is_none());
        let (broke, tried) = found.broke.unwrap();
        assert_eq!((broke, loads), (100.0, vec![100.0, 100.0]));
        assert_eq!(
            tried.detail,
            "measurement 2; broke twice, the first time: no. 1"
        );
    }

    #[test]
    fn without_a_limit_the_search_ends_at_the_highest_load() {
        let (found, loads) = searched(bounds(100.0, 700.0, 0.1), f64::INFINITY, None);
        assert_eq!(loads, [100.0, 200.0, 400.0, 700.0]);
        assert_eq!(found.held.unwrap().0, 700.0);
        assert!(found.broke.is_none());
        let (found, loads) = searched(bounds(100.0, 100.0, 0.1), f64::INFINITY, None);
        assert_eq!((found.steps.len(), loads), (1, vec![100.0]));
    }

    #[test]
    fn a_hiccup_that_does_not_repeat_is_no_limit() {
        let (found, loads) = searched(bounds(100.0, 400.0, 0.1), f64::INFINITY, Some(2));
        assert_eq!(loads, [100.0, 200.0, 200.0, 400.0]);
        assert_eq!(found.held.unwrap().0, 400.0);
        assert!(found.broke.is_none());
        assert!(found.steps[1].held);
        assert_eq!(
            found.steps[1].detail,
            "measurement 3; held when repeated, the first time: no. 2"
        );
    }

    #[test]
    fn loads_that_come_to_the_same_are_measured_once() {
        let players = |load: f64| load.round();
        let measure = async |load: f64| {
            Ok::<_, Infallible>(Tried {
                held: players(load) < 3.0,
                words: String::new(),
                detail: String::new(),
                result: (),
            })
        };
        let is_same = |one, other| players(one) == players(other);
        let found = ready(search(&bounds(1.0, 64.0, 0.01), is_same, measure));
        assert_eq!(found.held.unwrap().0, 2.0);
        assert_eq!(found.broke.unwrap().0, 3.0);
        assert_eq!(found.steps.len(), 4);
    }

    #[test]
    fn an_error_ends_the_search() {
        let mut loads = Vec::new();
        let measure = async |load: f64| {
            loads.push(load);
            Err::<Tried<()>, _>("no server")
        };
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        let outcome = runtime.block_on(search(&bounds(1.0, 2.0, 0.1), |_, _| false, measure));
        assert_eq!(outcome.unwrap_err(), "no server");
        assert_eq!(loads, [1.0]);
    }

    #[test]
    fn bounds_must_make_sense() {
        use InvalidBounds::{From, Reversed, To, Within};
        for (from, to, within, error) in [
            (0.0, 1.0, 0.1, From(0.0)),
            (-1.0, 1.0, 0.1, From(-1.0)),
            (f64::INFINITY, 1.0, 0.1, From(f64::INFINITY)),
            (1.0, f64::INFINITY, 0.1, To(f64::INFINITY)),
            (1.0, 0.0, 0.1, To(0.0)),
            (2.0, 1.0, 0.1, Reversed { from: 2.0, to: 1.0 }),
            (1.0, 2.0, 0.0, Within(0.0)),
            (1.0, 2.0, 1.1, Within(1.1)),
        ] {
            assert_eq!(Bounds::new(from, to, within), Err(error));
        }
        assert!(Bounds::new(f64::NAN, 1.0, 0.1).is_err());
        assert!(Bounds::new(1.0, f64::NAN, 0.1).is_err());
        assert!(Bounds::new(1.0, 2.0, f64::NAN).is_err());
        assert!(Bounds::new(1.0, 1.0, 1.0).is_ok());
    }
}

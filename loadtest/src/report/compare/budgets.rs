//! By how much a number may become worse.

use std::collections::BTreeMap;
use std::str::FromStr;

use thiserror::Error;

use super::{Kind, Measure};

/// By how much numbers may become worse before it counts, as shares: 0.1 is 10%.
#[derive(Clone, Debug, PartialEq)]
pub struct Budgets {
    /// For figures and rates.
    pub figures: f64,
    /// For p50 and p99 of operations.
    pub latencies: f64,
    named: BTreeMap<String, f64>,
}

/// The budget of one name, written as `p99=30%`.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// A figure's name, an operation's number as `deliver_p99`, or `p50`, `p99`, `achieved` for all operations.
    pub name: String,
    /// The share.
    pub share: f64,
}

/// Why a text is no budget.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidBudget {
    /// There is no `=`.
    #[error("{0:?} is not of the form name=30%")]
    NoEquals(String),
    /// Nothing stands before the `=`.
    #[error("{0:?} has no name before the =")]
    NoName(String),
    /// The number does not end with `%`.
    #[error("{0:?} has no % at the end")]
    NoPercent(String),
    /// What stands between `=` and `%` is no number of 0 or more.
    #[error("{0:?} is not a number of per cent")]
    NoNumber(String),
}

impl Default for Budgets {
    /// 10% for figures and rates, 25% for latencies.
    fn default() -> Self {
        Self {
            figures: 0.10,
            latencies: 0.25,
            named: BTreeMap::new(),
        }
    }
}

impl Budgets {
    /// The default budgets with those of some names replaced. The last one of a name counts.
    #[must_use]
    pub fn with(named: impl IntoIterator<Item = Budget>) -> Self {
        let named = named.into_iter();
        Self {
            named: named.map(|budget| (budget.name, budget.share)).collect(),
            ..Self::default()
        }
    }

    /// The budget of the full name before that of the kind before the default.
    pub(super) fn of(&self, measure: &Measure) -> f64 {
        let default = match measure.kind {
            Kind::Figure | Kind::Rate => self.figures,
            Kind::Latency => self.latencies,
        };
        let exact = self.named.get(&measure.name);
        let of_kind = || {
            let (_, what) = measure.name.rsplit_once('_')?;
            let is_operation = measure.kind != Kind::Figure;
            is_operation.then(|| self.named.get(what)).flatten()
        };
        exact.or_else(of_kind).copied().unwrap_or(default)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }
}

/// Whether a budget of this name can be meant for the number of that name.
pub(super) fn concerns(budget: &str, number: &str) -> bool {
    let ends = || {
        number
            .rsplit_once('_')
            .is_some_and(|(_, what)| what == budget)
    };
    budget == number || (matches!(budget, "p50" | "p99" | "achieved") && ends())
}

impl FromStr for Budget {
    type Err = InvalidBudget;

    fn from_str(text: &str) -> Result<Self, InvalidBudget> {
        let whole = || text.to_owned();
        let (name, share) = text
            .split_once('=')
            .ok_or_else(|| InvalidBudget::NoEquals(whole()))?;
        if name.is_empty() {
            return Err(InvalidBudget::NoName(whole()));
        }
        let number = share
            .strip_suffix('%')
            .ok_or_else(|| InvalidBudget::NoPercent(whole()))?;
        match number.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(Self {
                name: name.to_owned(),
                share: number / 100.0,
            }),
            _ => Err(InvalidBudget::NoNumber(whole())),
        }
    }
}

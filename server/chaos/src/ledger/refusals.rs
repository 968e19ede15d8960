//! Whether a refusal had its reason, judged by the whole history.

use pitturu_protocol::codes::Code;
use pitturu_protocol::types::points::{MovementState, PointsReason};

use super::calls::{Call, Kind};
use super::model::Model;
use super::state::{Refusal, State};
use crate::books::Books;

/// By how much the clock that an answer was noted with, and that of the line that it rests on, may differ, in milliseconds.
const SLACK_MS: u64 = 1_000;

/// Whether a refusal had its reason at some moment between the call and its answer.
pub fn is_justified(model: &Model, state: &State, refusal: &Refusal) -> bool {
    let call = state.calls[refusal.call as usize];
    let books = &model.books[call.player as usize];
    let by = refusal.answered_at + SLACK_MS;
    match refusal.code {
        Code::NotEnoughPoints => had_less(books, call.amount, refusal.low, by),
        Code::NotPending => was_not_pending(books, u64::from(call.target), by),
        Code::MovementNotFound => books.spent_by(u64::from(call.target)).is_none(),
        Code::Blocked => {
            let [one, other] = [(call.player, call.target), (call.target, call.player)];
            state.blocked.contains(&one) || state.blocked.contains(&other)
        }
        Code::InvalidArgument => match call.kind {
            Kind::SetAside => call.until <= by,
            Kind::Post => {
                let pending = books.line(u64::from(call.target));
                pending.is_some_and(|line| call.amount > line.amount)
            }
            _ => was_refunded(books, &call, by),
        },
        _ => false,
    }
}

/// Whether the wallet had less than an amount after some movement, from the acknowledged one on to those at that time.
fn had_less(books: &Books, amount: u64, low: u64, by: u64) -> bool {
    let has_less = |number| books.wallet_after(number).1 < amount.cast_signed();
    let later = (low + 1..=books.head()).take_while(|number| {
        let line = books.line(*number);
        line.is_some_and(|line| line.at <= by)
    });
    has_less(low) || later.into_iter().any(has_less)
}

fn was_not_pending(books: &Books, number: u64, by: u64) -> bool {
    let pending = books.line(number);
    let pending = pending.filter(|line| line.state == MovementState::Pending);
    pending.is_none_or(|line| {
        let ended = books.ended_by(number);
        line.until <= by || ended.is_some_and(|ended| ended.at <= by)
    })
}

/// Whether so much could not be given back by then.
fn was_refunded(books: &Books, call: &Call, by: u64) -> bool {
    let of = u64::from(call.target);
    let spent = books.spent_by(of).unwrap_or(0);
    let refunds = books.lines.iter().skip(call.target as usize);
    let refunds = refunds
        .take_while(|line| line.at <= by)
        .filter(|line| line.reason == PointsReason::Refund && line.of == of);
    let left = spent - refunds.map(|line| line.amount).sum::<u64>().min(spent);
    left == 0 || call.amount > left
}

#[cfg(test)]
mod tests {
    use pitturu_protocol::codec;
    use pitturu_protocol::types::points::{Movement, PointsAccount};

    use super::*;

    /// 10 points come in at 1000, 4 go out at 5000, and so do the other 6 at 9000.
    fn books() -> Books {
        let mut books = Books::default();
        let lines = [(1_000, 10, 10), (5_000, 4, 6), (9_000, 6, 0)];
        for (number, (at, amount, balance)) in (1..).zip(lines) {
            let (debit, credit, reason) = match number {
                1 => (
                    PointsAccount::Issuance,
                    PointsAccount::Wallet,
                    PointsReason::Grant,
                ),
                _ => (
                    PointsAccount::Wallet,
                    PointsAccount::Spend,
                    PointsReason::Spend,
                ),
            };
            let movement = Movement {
                number,
                at,
                debit,
                credit,
                amount,
                state: MovementState::Posted,
                reason,
                reference: None,
                note: None,
                id: None,
                by: None,
                other: None,
                until: None,
                of: None,
                balance,
                available: balance,
            };
            assert_eq!(books.add(&movement, &codec::encode(&movement)), Ok(0));
        }
        books
    }

    #[test]
    fn a_refusal_for_too_few_points_needs_a_moment_with_fewer() {
        let books = books();
        assert!(had_less(&books, 11, 1, 1_000));
        assert!(!had_less(&books, 10, 1, 4_000), "it had ten until then");
        assert!(had_less(&books, 10, 1, 5_000));
        assert!(!had_less(&books, 6, 1, 8_000) && had_less(&books, 6, 1, 9_000));
        assert!(
            had_less(&books, 1, 0, 0),
            "nothing is there before the first"
        );
    }

    #[test]
    fn what_was_refunded_counts_until_the_answer() {
        let books = books();
        let refund = |amount| Call {
            kind: Kind::Refund,
            caller: 0,
            player: 1,
            target: 2,
            amount,
            until: 0,
            key: 0,
        };
        assert!(was_refunded(&books, &refund(5), 9_000));
        assert!(!was_refunded(&books, &refund(4), 9_000));
        assert!(was_not_pending(&books, 2, 0), "it was never pending");
    }
}

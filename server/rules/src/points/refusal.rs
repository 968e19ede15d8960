//! Why a call about points is refused.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::limits::INTEGER_MAX;

/// Why a call was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointsRefusal {
    /// No points, or more than there can be.
    #[error("1 to {INTEGER_MAX} points")]
    NoAmount,
    /// The wallet has fewer.
    #[error("the wallet has {available} points that can be spent")]
    NotEnough {
        /// What can be spent.
        available: i64,
    },
    /// More than books can count.
    #[error("books count to {INTEGER_MAX} points")]
    TooMany,
    /// There is no such movement, or it is none of this kind.
    #[error("there is no such movement")]
    NoMovement,
    /// The movement is not pending: there is none, or it was posted or voided, or its time is over.
    #[error("nothing is pending under this number")]
    NoPending,
    /// None of what is pending, or more than it.
    #[error("1 to {pending} points, which were set aside")]
    NotPart {
        /// What is pending.
        pending: u64,
    },
    /// So much of the movement can't be given back: it was less, or some of it was given back before.
    #[error("{left} points of the movement can be given back")]
    Refunded {
        /// What was not given back yet.
        left: u64,
    },
    /// The end of a pending movement is in the past, or too far away.
    #[error("from now on to at most {days} days from now", days = super::pending::PENDING_DAYS_MAX)]
    NoSuchEnd,
    /// Too many movements are pending.
    #[error("at most {max} movements of one player are pending", max = super::pending::PENDING_MAX)]
    TooManyPending,
    /// The game has no gifts of points.
    #[error("the game has no gifts of points")]
    NoGifts,
    /// A gift is more.
    #[error("a gift is {least} points or more")]
    SmallGift {
        /// The least amount.
        least: u64,
    },
    /// The other player is the giver.
    #[error("another player")]
    Yourself,
}

impl From<PointsRefusal> for Fault {
    fn from(refusal: PointsRefusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            PointsRefusal::NoAmount
            | PointsRefusal::NotPart { .. }
            | PointsRefusal::SmallGift { .. } => Self::invalid("amount", text),
            PointsRefusal::NoGifts => Self::of(Code::GiftsOff),
            PointsRefusal::NotEnough { .. } => Self::new(Code::NotEnoughPoints, text),
            PointsRefusal::TooMany | PointsRefusal::TooManyPending => {
                Self::new(Code::LimitReached, text)
            }
            PointsRefusal::NoMovement => Self::of(Code::MovementNotFound),
            PointsRefusal::NoPending => Self::of(Code::NotPending),
            PointsRefusal::Refunded { .. } => Self::invalid("amount", text),
            PointsRefusal::NoSuchEnd => Self::invalid("until", text),
            PointsRefusal::Yourself => Self::invalid("user", text),
        }
    }
}

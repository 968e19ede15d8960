//! Calls that move points: what is asked, and what a line of the ledger must say if it was carried out.

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::points::{
    DeductPoints, ExpirePoints, GivePoints, GrantPoints, Movement, MovementState, PointsAccount,
    PointsReason, PostPoints, RefundPoints, SetPointsAside, SpendPoints, VoidPoints,
};

/// A person's place in the list of people.
pub type PersonNo = u32;

/// A call's place in the list of calls.
pub type CallNo = u32;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `GrantPoints`.
    Grant,
    /// `DeductPoints`.
    Deduct,
    /// `ExpirePoints`.
    Expire,
    /// `SetPointsAside`.
    SetAside,
    /// `PostPoints`.
    Post,
    /// `VoidPoints`.
    Void,
    /// `RefundPoints`.
    Refund,
    /// `SpendPoints`.
    Spend,
    /// `GivePoints`.
    Give,
}

/// A call. What a request says beside follows from its number, so that each attempt says the same.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// What it does.
    pub kind: Kind,
    /// Who makes it.
    pub caller: PersonNo,
    /// Whose points move.
    pub player: PersonNo,
    /// The other player of a gift, or the number of the movement that is posted, voided or refunded.
    pub target: u32,
    /// How many points; 0 for all that there are, where a request can leave that open.
    pub amount: u64,
    /// Until when points are set aside.
    pub until: u64,
    /// The number in its key: its own, or that of a call about another player.
    pub key: CallNo,
}

/// A request of any method.
#[derive(Clone, Debug)]
pub struct Request {
    /// Number of the method.
    pub method: u16,
    /// The encoded body.
    pub body: Vec<u8>,
    /// The idempotency key.
    pub key: Option<String>,
}

impl Request {
    /// A request, with a key if it has one.
    pub fn new<M: Method>(request: &M, key: Option<String>) -> Self {
        Self {
            method: M::NUMBER,
            body: codec::encode(request),
            key,
        }
    }
}

/// The key with this number.
pub fn key(number: CallNo) -> String {
    format!("k{number}")
}

/// The number in a key.
pub fn number_in(key: &str) -> Option<CallNo> {
    key.strip_prefix('k')?.parse().ok()
}

/// The note of a call.
pub fn note(call: CallNo) -> String {
    format!("n{call}")
}

/// The call that a note belongs to.
pub fn call_in(note: &str) -> Option<CallNo> {
    note.strip_prefix('n')?.parse().ok()
}

/// Every third call says what it is for.
fn reference(call: CallNo) -> Option<String> {
    call.is_multiple_of(3)
        .then(|| format!("item-{}", call % 1_000))
}

impl Call {
    /// The request, the same for each attempt.
    pub fn request(&self, number: CallNo, user_of: impl Fn(PersonNo) -> UserId) -> Request {
        self.asked(number, self.amount, self.target, user_of)
    }

    /// The request with another content under the same key, and the field that differs.
    pub fn altered(
        &self,
        number: CallNo,
        user_of: impl Fn(PersonNo) -> UserId,
    ) -> (Request, &'static str) {
        match self.kind {
            Kind::Void => {
                let request = self.asked(number, self.amount, self.target + 1, user_of);
                (request, "movement")
            }
            _ => {
                let request = self.asked(number, self.amount + 1, self.target, user_of);
                (request, "amount")
            }
        }
    }

    fn asked(
        &self,
        number: CallNo,
        amount: u64,
        target: u32,
        user_of: impl Fn(PersonNo) -> UserId,
    ) -> Request {
        let key = Some(key(self.key));
        let user = user_of(self.player);
        let (reference, note) = (reference(number), note(number));
        match self.kind {
            Kind::Grant => {
                let request = GrantPoints {
                    user,
                    amount,
                    reference,
                    note,
                };
                Request::new(&request, key)
            }
            Kind::Deduct => {
                let request = DeductPoints {
                    user,
                    amount,
                    reference,
                    note,
                };
                Request::new(&request, key)
            }
            Kind::Expire => {
                let request = ExpirePoints {
                    user,
                    amount,
                    reference,
                };
                Request::new(&request, key)
            }
            Kind::SetAside => {
                let request = SetPointsAside {
                    user,
                    amount,
                    until: self.until,
                    reference,
                    note: Some(note),
                };
                Request::new(&request, key)
            }
            Kind::Post | Kind::Void | Kind::Refund => self.about(target, amount, note, user),
            Kind::Spend => Request::new(&SpendPoints { amount, reference }, key),
            Kind::Give => {
                let user = user_of(target);
                let note = Some(note);
                Request::new(&GivePoints { user, amount, note }, key)
            }
        }
    }

    /// A request about an earlier movement.
    fn about(&self, target: u32, amount: u64, note: String, user: UserId) -> Request {
        let key = Some(key(self.key));
        let movement = u64::from(target);
        let amount = (amount > 0).then_some(amount);
        match self.kind {
            Kind::Post => {
                let request = PostPoints {
                    user,
                    movement,
                    amount,
                };
                Request::new(&request, key)
            }
            Kind::Refund => {
                let request = RefundPoints {
                    user,
                    movement,
                    amount,
                    note,
                };
                Request::new(&request, key)
            }
            _ => Request::new(&VoidPoints { user, movement }, key),
        }
    }

    /// Whether a movement is what this call asks.
    pub fn is_carried_out_by(
        &self,
        number: CallNo,
        movement: &Movement,
        user_of: impl Fn(PersonNo) -> UserId,
    ) -> bool {
        use PointsAccount::{Breakage, Issuance, Refunds, Spend, Transit, Wallet};
        let (debit, credit, reason) = match self.kind {
            Kind::Grant => (Issuance, Wallet, PointsReason::Grant),
            Kind::Deduct => (Wallet, Issuance, PointsReason::Deduction),
            Kind::Expire => (Wallet, Breakage, PointsReason::Expiry),
            Kind::SetAside | Kind::Post | Kind::Void | Kind::Spend => {
                (Wallet, Spend, PointsReason::Spend)
            }
            Kind::Refund => (Refunds, Wallet, PointsReason::Refund),
            Kind::Give => (Wallet, Transit, PointsReason::Gift),
        };
        let state = match self.kind {
            Kind::SetAside => MovementState::Pending,
            Kind::Post => MovementState::Post,
            Kind::Void => MovementState::Void,
            _ => MovementState::Posted,
        };
        let is_noted = matches!(
            self.kind,
            Kind::Grant | Kind::Deduct | Kind::SetAside | Kind::Refund | Kind::Give
        );
        let said = is_noted.then(|| note(number));
        let is_of = matches!(self.kind, Kind::Post | Kind::Void | Kind::Refund);
        let by = (self.caller != self.player).then(|| user_of(self.caller));
        let other = (self.kind == Kind::Give).then(|| user_of(self.target));
        let until = (self.kind == Kind::SetAside).then_some(self.until);
        let amount = match self.kind {
            Kind::Void => Some(0),
            _ => (self.amount > 0).then_some(self.amount),
        };
        // A refund is for what was spent; what that was, the books know.
        let is_for = match self.kind {
            Kind::Refund => true,
            Kind::Post | Kind::Void | Kind::Give => movement.reference.is_none(),
            _ => movement.reference == reference(number),
        };
        (movement.debit, movement.credit, movement.reason) == (debit, credit, reason)
            && movement.state == state
            && amount.is_none_or(|amount| movement.amount == amount)
            && movement.note == said
            && movement.of == is_of.then(|| u64::from(self.target))
            && (movement.by, movement.other, movement.until) == (by, other, until)
            && movement.id.as_deref() == Some(&key(self.key))
            && is_for
    }

    /// Whether this call can be refused in this way at all.
    pub fn can_be_refused(&self, fault: &Fault) -> bool {
        let field = fault.field.as_deref();
        match fault.code {
            Code::NotEnoughPoints => matches!(
                self.kind,
                Kind::Deduct | Kind::Expire | Kind::SetAside | Kind::Spend | Kind::Give
            ),
            Code::NotPending => matches!(self.kind, Kind::Post | Kind::Void),
            Code::MovementNotFound => self.kind == Kind::Refund,
            Code::Blocked => self.kind == Kind::Give,
            Code::InvalidArgument => match self.kind {
                Kind::Post | Kind::Refund => field == Some("amount"),
                Kind::SetAside => field == Some("until"),
                _ => false,
            },
            _ => false,
        }
    }
}

//! A server that is built without traces: nothing is noted.

use pitturu_metrics::labels::EntityKind;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{ID_BYTES, UserId};

use super::{CallRead, Work};

/// Names a call that is traced: none is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTrace;

/// What one entity does for a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part;

/// Calls that are told to the followers of an entity in this turn.
#[derive(Debug, Default)]
pub struct Delivering(());

/// A step of a call that lasts as long as this is kept.
#[derive(Debug)]
pub struct Step;

/// The call for which this thread works.
#[inline]
pub const fn current() -> CallTrace {
    CallTrace
}

/// A step of the current call that belongs to no entity.
#[inline]
pub const fn step(_name: &'static str) -> Step {
    Step
}

#[allow(
    clippy::unused_self,
    reason = "what it does where traces are built is in kept.rs"
)]
impl CallTrace {
    /// Not traced.
    pub const NONE: Self = Self;

    /// Decides whether a call is traced, and begins with it.
    #[inline]
    pub fn begin(_read: impl FnOnce() -> CallRead) -> Self {
        Self
    }

    /// Whether anything is noted.
    #[inline]
    pub const fn is_on(self) -> bool {
        false
    }

    /// Notes who has signed in by it.
    #[inline]
    pub const fn signed_in(self, _user: UserId) {}

    /// Notes that it was answered, and with which fault.
    #[inline]
    pub const fn ended(self, _fault: Option<Code>) {}

    /// What the room does that the call goes to.
    #[inline]
    pub const fn room(self) -> Part {
        Part
    }

    /// What a further entity does.
    #[inline]
    pub const fn another(self) -> Part {
        Part
    }

    /// Makes it the current one while the work is polled.
    #[inline]
    pub fn carried_by(self, work: Work) -> Work {
        work
    }
}

#[allow(
    clippy::unused_self,
    reason = "what it does where traces are built is in kept.rs"
)]
impl Part {
    /// Nothing is noted of it.
    pub const NONE: Self = Self;

    /// It waits for its owner.
    #[inline]
    pub fn sent(self, _kind: EntityKind, _id: impl Into<[u8; ID_BYTES]>) {}

    /// It waits for the entity to be loaded.
    #[inline]
    pub const fn loading(self) {}

    /// The owner has begun with it.
    #[inline]
    pub const fn taken(self) {}

    /// It is decided, and waits for the disk: for its own commit, or for what was decided before.
    #[inline]
    pub const fn decided(self, _stores: bool) {}

    /// It is durable, with all that it rests on.
    #[inline]
    pub const fn durable(self) {}

    /// Its answer waits until others have applied what they are told by it.
    #[inline]
    pub const fn held(self) {}

    /// Whoever asked has the answer.
    #[inline]
    pub const fn over(self) {}
}

#[allow(
    clippy::unused_self,
    reason = "what it does where traces are built is in kept.rs"
)]
impl Delivering {
    /// A call is told with the others of this turn.
    #[inline]
    pub const fn begin(&mut self, _part: Part) {}

    /// All were told: so many followers.
    #[inline]
    pub const fn end(&mut self, _followers: usize) {}
}

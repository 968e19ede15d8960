//! The steps of one call.

use std::time::Duration;

use pitturu_metrics::labels::EntityKind;
use pitturu_protocol::ids::ID_BYTES;

/// Most steps of one call: one that opens a hundred rooms has its first ones shown.
const STEPS_MAX: usize = 64;

/// A wait for what was decided before is left out if there was nothing to wait for.
const WAIT_MIN: Duration = Duration::from_micros(20);

/// A step that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// What was done.
    pub name: &'static str,
    /// By which entity.
    pub of: Option<(EntityKind, [u8; ID_BYTES])>,
    /// When it began, after the call.
    pub from: Duration,
    /// When it ended, after the call.
    pub to: Duration,
    /// How many connections followed the entity, where they were told.
    pub followers: Option<usize>,
}

/// The steps of one call: of each part one after the other.
#[derive(Debug, Default)]
pub(super) struct Steps {
    steps: Vec<Begun>,
    delivering: u16,
    left_out: u32,
}

#[derive(Debug)]
struct Begun {
    part: u16,
    name: &'static str,
    of: Option<(EntityKind, [u8; ID_BYTES])>,
    from: Duration,
    to: Option<Duration>,
    followers: Option<usize>,
}

impl Steps {
    /// Whether something is on its way to followers.
    pub(super) const fn is_delivering(&self) -> bool {
        self.delivering > 0
    }

    fn last(&mut self, part: u16) -> Option<&mut Begun> {
        let mut steps = self.steps.iter_mut().rev();
        steps.find(|step| step.part == part)
    }

    /// When something was noted last.
    pub(super) fn last_noted(&self) -> Duration {
        let noted = self.steps.iter().map(|step| step.to.unwrap_or(step.from));
        noted.max().unwrap_or_default()
    }

    /// The part has ended its step.
    pub(super) fn end(&mut self, part: u16, after: Duration) {
        if let Some(step) = self.last(part) {
            step.to.get_or_insert(after);
        }
    }

    /// The part has ended its step, and begins another.
    pub(super) fn begin(&mut self, part: u16, name: &'static str, after: Duration) {
        let of = self.last(part).and_then(|step| step.of);
        self.end(part, after);
        self.push(part, name, of, after);
    }

    /// An entity is sent the part.
    pub(super) fn send(
        &mut self,
        part: u16,
        kind: EntityKind,
        id: [u8; ID_BYTES],
        after: Duration,
    ) {
        self.end(part, after);
        self.push(part, "owner.wait", Some((kind, id)), after);
    }

    fn push(
        &mut self,
        part: u16,
        name: &'static str,
        of: Option<(EntityKind, [u8; ID_BYTES])>,
        from: Duration,
    ) {
        if self.steps.len() >= STEPS_MAX {
            self.left_out += 1;
            return;
        }
        self.steps.push(Begun {
            part,
            name,
            of,
            from,
            to: None,
            followers: None,
        });
    }

    /// What was decided is on its way to followers, and the call not over before they were told.
    pub(super) fn begin_delivery(&mut self, part: u16, after: Duration) {
        self.delivering += 1;
        self.begin(part, "deliver", after);
    }

    /// All were told, of so many followers.
    pub(super) fn end_delivery(&mut self, part: u16, followers: usize, after: Duration) {
        self.delivering = self.delivering.saturating_sub(1);
        if let Some(step) = self.last(part).filter(|step| step.name == "deliver") {
            step.followers = Some(followers);
            step.to.get_or_insert(after);
        }
    }

    /// All of them, and how many were too many; what has not ended ends with the call.
    pub(super) fn into_noted(self, took: Duration) -> (Vec<Noted>, u32) {
        let noted = self.steps.into_iter().map(|step| Noted {
            name: step.name,
            of: step.of,
            from: step.from,
            to: step.to.unwrap_or(took),
            followers: step.followers,
        });
        let is_worth_showing =
            |step: &Noted| step.name != "durable.wait" || step.to - step.from >= WAIT_MIN;
        (noted.filter(is_worth_showing).collect(), self.left_out)
    }
}

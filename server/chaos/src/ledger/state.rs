//! What became of each call, what is to be sent once more, and what was read and told meanwhile.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault, Retry};
use pitturu_protocol::types::points::{
    ListMovements, Movement, MovementState, Movements, MovementsFrom, Wallet,
};

use super::calls::{Call, CallNo, Kind, PersonNo};
use super::report::Counts;
use crate::books::digest;
use crate::model::Violation;

/// Movements of a player that are remembered, to post, void and refund them.
const REMEMBERED_MAX: usize = 40;

/// Violations that are told of; the rest is counted.
const TOLD_MAX: usize = 20;

/// What became of a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    /// Number of its movement, and what stands for the reply.
    pub done: Option<(u64, u64)>,
    /// The newest process that may still carry out an attempt of which nobody heard.
    pub lost: u32,
    /// The last word was a refusal, and no attempt can still be carried out.
    pub is_refused: bool,
    /// Attempts without an answer.
    pub under_way: u16,
    /// Whether it was ever sent.
    pub is_sent: bool,
}

/// An attempt on its way.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The call.
    pub call: CallNo,
    /// Whether it had been answered before.
    pub was_done: bool,
    /// The player's newest acknowledged movement when it was sent.
    pub low: u64,
}

/// A refusal, to be judged when the whole history is known.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The call.
    pub call: CallNo,
    /// Why.
    pub code: Code,
    /// The player's newest acknowledged movement when it was sent.
    pub low: u64,
    /// When it was answered.
    pub answered_at: u64,
}

/// A page that was read while points moved.
#[derive(Clone, Debug)]
pub struct LivePage {
    /// Whose.
    pub player: PersonNo,
    /// What was asked.
    pub asked: ListMovements,
    /// The player's newest acknowledged movement when it was asked.
    pub low: u64,
    /// Number and digest of each movement.
    pub lines: Vec<(u64, u64)>,
    /// Where the next page begins.
    pub next: Option<MovementsFrom>,
}

/// A wallet that was read, or told of, while points moved.
#[derive(Clone, Debug)]
pub struct LiveWallet {
    /// Whose.
    pub player: PersonNo,
    /// What it has.
    pub wallet: Wallet,
    /// The player's newest acknowledged movement when it was asked.
    pub low: u64,
}

/// What is known of a player from answers.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The newest acknowledged movement.
    pub head: u64,
    /// Movements that set points aside.
    pub pending: Vec<u32>,
    /// Movements by which points were spent.
    pub spent: Vec<u32>,
}

/// What clients change.
#[derive(Default)]
pub struct State {
    /// All calls.
    pub calls: Vec<Call>,
    /// What became of each.
    pub fates: Vec<Fate>,
    /// Calls whose key has the number of another one.
    pub twins: HashMap<(PersonNo, PersonNo, CallNo), CallNo>,
    /// What is known of each person.
    pub known: Vec<Known>,
    /// Calls to be sent, by caller.
    pub waiting: BTreeMap<PersonNo, VecDeque<CallNo>>,
    /// Calls to be sent when so many were acknowledged.
    pub later: BinaryHeap<Reverse<(u64, CallNo)>>,
    /// Calls that were refused while an attempt that was lost may still be carried out.
    pub uncertain: Vec<CallNo>,
    /// Attempts without an answer.
    pub under_way: u64,
    /// Who is connected, by client.
    pub connected: Vec<PersonNo>,
    /// Who blocks whom now, as far as anybody knows.
    pub blocks: BTreeSet<(PersonNo, PersonNo)>,
    /// Who has ever blocked whom.
    pub blocked: BTreeSet<(PersonNo, PersonNo)>,
    /// Refusals.
    pub refusals: Vec<Refusal>,
    /// Pages.
    pub pages: Vec<LivePage>,
    /// Wallets.
    pub wallets: Vec<LiveWallet>,
    /// How often what was done.
    pub counts: Counts,
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// What is wrong and not told of.
    pub untold: u64,
}

impl State {
    /// Notes what is wrong.
    pub fn violation(&mut self, rule: &'static str, subject: &str, message: String) {
        if self.violations.len() >= TOLD_MAX {
            self.untold += 1;
            return;
        }
        self.violations.push(Violation {
            rule,
            subject: subject.to_owned(),
            message,
            trace: Vec::new(),
        });
    }

    /// Movements that were acknowledged.
    pub fn progress(&self) -> u64 {
        self.counts.acknowledged.values().sum()
    }

    /// Notes a call that is to be made.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "calls are counted by 32 bits"
    )]
    pub fn make(&mut self, call: Call) -> CallNo {
        let number = self.calls.len() as u32;
        if call.key != number {
            self.twins
                .insert((call.player, call.caller, call.key), number);
        }
        self.calls.push(call);
        self.fates.push(Fate::default());
        number
    }

    /// The number that the next call gets.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "calls are counted by 32 bits"
    )]
    pub const fn next_call(&self) -> CallNo {
        self.calls.len() as u32
    }

    /// The call with this key of this caller about this player.
    pub fn call_of(&self, player: PersonNo, caller: PersonNo, key: CallNo) -> Option<CallNo> {
        let is_it = |call: &&Call| call.player == player && call.caller == caller;
        let own = self.calls.get(key as usize).filter(is_it);
        match own {
            Some(call) if call.key == key => Some(key),
            _ => self.twins.get(&(player, caller, key)).copied(),
        }
    }

    /// Has a call sent as soon as somebody is connected as its caller.
    pub fn send_again(&mut self, call: CallNo) {
        let caller = self.calls[call as usize].caller;
        self.waiting.entry(caller).or_default().push_back(call);
    }

    /// Has a call sent when so many more were acknowledged.
    pub fn send_later(&mut self, call: CallNo, after: u64) {
        let due = self.progress() + after;
        self.later.push(Reverse((due, call)));
    }

    /// Has everything sent that waits for its time.
    pub fn send_all_of_later(&mut self) {
        for Reverse((_, call)) in std::mem::take(&mut self.later) {
            self.send_again(call);
        }
    }

    /// The next call that waits for this caller.
    pub fn take_waiting(&mut self, caller: PersonNo) -> Option<CallNo> {
        let queue = self.waiting.get_mut(&caller)?;
        let call = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&caller);
        }
        call
    }

    /// Begins an attempt.
    pub fn begin(&mut self, number: CallNo) -> Attempt {
        let call = self.calls[number as usize];
        let fate = &mut self.fates[number as usize];
        self.counts.attempts += 1;
        if fate.done.is_some() {
            self.counts.duplicates_of_answered += 1;
        } else if fate.under_way > 0 {
            self.counts.duplicates_at_once += 1;
        } else if fate.lost > 0 {
            self.counts.retries += 1;
        }
        fate.under_way += 1;
        self.under_way += 1;
        fate.is_sent = true;
        fate.is_refused = false;
        Attempt {
            call: number,
            was_done: fate.done.is_some(),
            low: self.known[call.player as usize].head,
        }
    }

    /// Nobody will hear of this attempt, which was sent to that process.
    pub fn lose(&mut self, attempt: Attempt, process: u32) {
        let fate = &mut self.fates[attempt.call as usize];
        fate.under_way -= 1;
        self.under_way -= 1;
        fate.lost = fate.lost.max(process);
        self.counts.lost += 1;
        if fate.done.is_none() {
            self.send_again(attempt.call);
        }
    }

    /// An attempt was carried out, now or before. True: nobody knew.
    pub fn done(&mut self, attempt: Attempt, body: &[u8]) -> bool {
        let number = attempt.call;
        let call = self.calls[number as usize];
        self.fates[number as usize].under_way -= 1;
        self.under_way -= 1;
        let Ok(movement) = codec::decode::<Movement>(body) else {
            self.violation(
                "replies",
                "a call",
                format!("{call:?}: an unreadable reply"),
            );
            return false;
        };
        let reply = (movement.number, digest(body));
        if let Some(first) = self.fates[number as usize].done {
            self.counts.repeated += 1;
            if first != reply {
                let message = format!(
                    "{call:?} under k{} was {first:?}, now it is {movement:?}",
                    call.key
                );
                self.violation("the first movement comes back", "a repetition", message);
            }
            return false;
        }
        self.fates[number as usize].done = Some(reply);
        *self.counts.acknowledged.entry(call.kind).or_default() += 1;
        self.learn(&call, &movement);
        let progress = self.progress();
        while let Some(Reverse((due, _))) = self.later.peek()
            && *due <= progress
            && let Some(Reverse((_, call))) = self.later.pop()
        {
            self.send_again(call);
        }
        true
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "movements of a run are counted by 32 bits"
    )]
    fn learn(&mut self, call: &Call, movement: &Movement) {
        let known = &mut self.known[call.player as usize];
        known.head = known.head.max(movement.number);
        let list = match (call.kind, movement.state) {
            (Kind::SetAside, _) => &mut known.pending,
            (Kind::Spend, _) | (_, MovementState::Post) => &mut known.spent,
            _ => return,
        };
        if list.len() >= REMEMBERED_MAX {
            list.remove(0);
        }
        list.push(movement.number as u32);
    }

    /// An attempt was refused by that process.
    pub fn refused(&mut self, attempt: Attempt, fault: &Fault, process: u32, answered_at: u64) {
        let number = attempt.call;
        let call = self.calls[number as usize];
        let fate = &mut self.fates[number as usize];
        fate.under_way -= 1;
        self.under_way -= 1;
        *self.counts.refused.entry(fault.code.name()).or_default() += 1;
        if fault.code.retry() == Retry::Later {
            if fate.done.is_none() {
                self.send_again(number);
            }
            return;
        }
        if attempt.was_done {
            let message = format!("{call:?} was done, and is refused now: {fault:?}");
            self.violation("the first movement comes back", "a repetition", message);
            return;
        }
        if !call.can_be_refused(fault) {
            let message = format!("{call:?} is refused: {fault:?}");
            self.violation("refusals have a reason", "a call", message);
        }
        self.refusals.push(Refusal {
            call: number,
            code: fault.code,
            low: attempt.low,
            answered_at,
        });
        let fate = &mut self.fates[number as usize];
        if fate.done.is_some() || fate.under_way > 0 {
            return;
        }
        if fate.lost >= process {
            self.uncertain.push(number);
        } else {
            fate.is_refused = true;
        }
    }

    /// A page was read.
    pub fn read_page(&mut self, player: PersonNo, low: u64, asked: ListMovements, body: &[u8]) {
        let Ok(Movements { movements, next }) = codec::decode(body) else {
            self.violation("replies", "a page", format!("{asked:?}: unreadable"));
            return;
        };
        let lines = movements.iter();
        let lines = lines.map(|movement| (movement.number, digest(&codec::encode(movement))));
        self.pages.push(LivePage {
            player,
            asked,
            low,
            lines: lines.collect(),
            next,
        });
    }

    /// Everything that was sent has an answer.
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.under_way == 0
    }
}

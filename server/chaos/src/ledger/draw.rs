//! What a client sends next, drawn by its seed.

use fastrand::Rng;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::INTEGER_MAX;
use pitturu_protocol::types::friends::{BlockPlayer, UnblockPlayer};
use pitturu_protocol::types::points::{
    GetWallet, GivePoints, GrantPoints, ListMovements, MovementsFrom, PointsAccount, PointsReason,
    PostPoints, SetPointsAside, SpendPoints,
};

use super::calls::{Call, CallNo, Kind, PersonNo, Request};
use super::state::{Attempt, State};
use super::world::World;

/// Of a hundred movements, those of the busy players.
const BUSY_SHARE: u32 = 80;

/// Of a hundred calls that services make, how many of each kind.
const OF_SERVICES: &[(u32, Kind)] = &[
    (34, Kind::Grant),
    (18, Kind::SetAside),
    (11, Kind::Post),
    (6, Kind::Void),
    (16, Kind::Refund),
    (9, Kind::Deduct),
    (6, Kind::Expire),
];

/// Gifts that a player finds waiting who is about to be blocked.
const GIFTS_INTO_A_BLOCK: u32 = 4;

/// Something that was sent.
#[derive(Clone, Debug)]
pub enum Sent {
    /// An attempt of a call.
    Attempt(Attempt),
    /// Another request under the key of a call that was carried out, with the field that differs.
    Altered(CallNo, &'static str),
    /// What can't be carried out, and how it is refused.
    Hopeless(&'static str, Code, Option<&'static str>),
    /// A page of a player's movements.
    Page(PersonNo, u64, ListMovements),
    /// A player's wallet.
    Wallet(PersonNo, u64),
    /// A block, or its end.
    Block,
}

impl World {
    /// Any player: four fifths of the time a busy one.
    pub fn any_player(&self, rng: &mut Rng) -> PersonNo {
        match rng.u32(..100) < BUSY_SHARE {
            true => self.busy_player(rng),
            false => rng.u32(self.players()),
        }
    }

    /// A busy player.
    pub fn busy_player(&self, rng: &mut Rng) -> PersonNo {
        self.services + rng.u32(..self.busy)
    }

    /// What this person sends next.
    pub fn draw(&self, state: &mut State, me: PersonNo, rng: &mut Rng) -> (Request, Sent) {
        if let Some(call) = state.take_waiting(me) {
            return self.attempt(state, call);
        }
        match rng.u32(..1_000) {
            0..30 => self.live_read(state, me, rng),
            30..42 => self.hopeless(state, me, rng),
            42..46 if me >= self.services => self.block(state, me, rng),
            _ => self.new_call(state, me, rng),
        }
    }

    /// An attempt of a call.
    pub fn attempt(&self, state: &mut State, call: CallNo) -> (Request, Sent) {
        let request = state.calls[call as usize].request(call, |person| self.user(person));
        (request, Sent::Attempt(state.begin(call)))
    }

    /// What follows the first answer to a call: repetitions at once and much later, and other requests under its key.
    pub fn after_done(
        &self,
        state: &mut State,
        call: CallNo,
        rng: &mut Rng,
    ) -> Option<(Request, Sent)> {
        match rng.u32(..1_000) {
            0..15 => state.send_again(call),
            15..40 => state.send_later(call, rng.u64(..=self.goal / 3)),
            40..50 => {
                state.counts.altered += 1;
                let asked = state.calls[call as usize];
                let (request, field) = asked.altered(call, |person| self.user(person));
                return Some((request, Sent::Altered(call, field)));
            }
            _ => {}
        }
        None
    }

    /// A call that nobody has made; now and then another one, for this is sent later.
    fn new_call(&self, state: &mut State, me: PersonNo, rng: &mut Rng) -> (Request, Sent) {
        loop {
            let call = match me < self.services {
                true => self.of_service(state, me, rng),
                false => self.of_player(state, me, rng),
            };
            let call = state.make(call);
            match rng.u32(..100) {
                0..3 => {
                    state.counts.reordered += 1;
                    state.send_later(call, rng.u64(10..2_000));
                }
                3..5 => {
                    // At once on two connections, or one behind the other on this one.
                    state.send_again(call);
                    return self.attempt(state, call);
                }
                _ => return self.attempt(state, call),
            }
        }
    }

    fn of_service(&self, state: &State, me: PersonNo, rng: &mut Rng) -> Call {
        let all: u32 = OF_SERVICES.iter().map(|(weight, _)| weight).sum();
        let mut left = rng.u32(..all);
        let mut kind = Kind::Grant;
        for (weight, of) in OF_SERVICES {
            kind = *of;
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => break,
            }
        }
        let player = self.any_player(rng);
        let known = &state.known[player as usize];
        let list = match kind {
            Kind::Post | Kind::Void => known.pending.as_slice(),
            Kind::Refund => known.spent.as_slice(),
            _ => &[],
        };
        let of_one = matches!(kind, Kind::Post | Kind::Void | Kind::Refund);
        let target = match rng.u32(..50) {
            // Any movement: it may be of another kind.
            0 if of_one && known.head > 0 => Some(rng.u32(1..=head(known.head))),
            _ => rng.choice(list).copied(),
        };
        if of_one && target.is_none() {
            kind = Kind::Grant;
        }
        let amount = match kind {
            Kind::Post | Kind::Refund if rng.bool() => 0,
            Kind::Grant => rng.u64(1..300),
            _ => rng.u64(1..120),
        };
        let until = match kind {
            Kind::SetAside => self.now() + time_aside(rng),
            _ => 0,
        };
        let own = state.next_call();
        Call {
            kind,
            caller: me,
            player,
            target: target.unwrap_or(0),
            amount: if kind == Kind::Void { 0 } else { amount },
            until,
            key: self.key_of(state, me, player, own, rng),
        }
    }

    /// The call's own number; now and then that of an earlier call about another player, which is another id.
    fn key_of(
        &self,
        state: &State,
        me: PersonNo,
        player: PersonNo,
        own: CallNo,
        rng: &mut Rng,
    ) -> CallNo {
        if own == 0 || rng.u32(..50) > 0 {
            return own;
        }
        let other = rng.u32(..own);
        let earlier = state.calls[other as usize];
        let is_free = state.call_of(player, me, other).is_none();
        match earlier.caller == me && earlier.player != player && is_free {
            true => other,
            false => own,
        }
    }

    fn of_player(&self, state: &State, me: PersonNo, rng: &mut Rng) -> Call {
        let other = self.any_player(rng);
        let kind = match rng.bool() && other != me {
            true => Kind::Give,
            false => Kind::Spend,
        };
        Call {
            kind,
            caller: me,
            player: me,
            target: if kind == Kind::Give { other } else { 0 },
            amount: rng.u64(1..60),
            until: 0,
            key: state.next_call(),
        }
    }

    /// A player blocks somebody who is about to give something, for a moment.
    fn block(&self, state: &mut State, me: PersonNo, rng: &mut Rng) -> (Request, Sent) {
        let connected = rng.choice(&state.connected).copied().unwrap_or(0);
        let other = match connected >= self.services && connected != me {
            true => connected,
            false => self.any_player(rng),
        };
        let user = self.user(other);
        if other == me || state.blocks.remove(&(me, other)) {
            return (Request::new(&UnblockPlayer { user }, None), Sent::Block);
        }
        for _ in 0..GIFTS_INTO_A_BLOCK {
            let gift = state.make(Call {
                kind: Kind::Give,
                caller: other,
                player: other,
                target: me,
                amount: rng.u64(1..10),
                until: 0,
                key: state.next_call(),
            });
            state.send_again(gift);
        }
        state.counts.blocks += 1;
        state.blocks.insert((me, other));
        state.blocked.insert((me, other));
        (Request::new(&BlockPlayer { user }, None), Sent::Block)
    }

    /// Takes back a block of this player's.
    pub fn unblock(&self, state: &mut State, me: PersonNo) -> Option<(Request, Sent)> {
        let mut own = state.blocks.range((me, 0)..=(me, PersonNo::MAX));
        let (_, other) = own.next().copied()?;
        state.blocks.remove(&(me, other));
        let user = self.user(other);
        Some((Request::new(&UnblockPlayer { user }, None), Sent::Block))
    }

    fn live_read(&self, state: &State, me: PersonNo, rng: &mut Rng) -> (Request, Sent) {
        let player = match me < self.services {
            true => self.any_player(rng),
            false => me,
        };
        let low = state.known[player as usize].head;
        let user = (player != me).then(|| self.user(player));
        if rng.bool() {
            let request = Request::new(&GetWallet { user }, None);
            return (request, Sent::Wallet(player, low));
        }
        let now = self.now();
        let asked = ListMovements {
            user,
            limit: Some(rng.u32(1..60)),
            ..any_filter(rng, low, |rng| now.saturating_sub(rng.u64(..120_000)))
        };
        let request = Request::new(&asked, None);
        (request, Sent::Page(player, low, asked))
    }

    /// Something that is refused, whatever was done before.
    fn hopeless(&self, state: &mut State, me: PersonNo, rng: &mut Rng) -> (Request, Sent) {
        state.counts.hopeless += 1;
        let number = state.counts.hopeless;
        let key = || Some(format!("hopeless-{number}"));
        let own = self.user(me);
        let no_note = String::new;
        let refused = |what, code, field| Sent::Hopeless(what, code, field);
        let invalid = |what, field| refused(what, Code::InvalidArgument, Some(field));
        if me >= self.services {
            let spend = |amount| SpendPoints {
                amount,
                reference: None,
            };
            let amount = 1;
            return match rng.u32(..6) {
                0 => (
                    Request::new(&spend(0), key()),
                    invalid("no points", "amount"),
                ),
                1 => (Request::new(&spend(1), None), invalid("no key", "key")),
                2 => {
                    let request = Request::new(&spend(INTEGER_MAX), key());
                    let sent = refused("more than there is", Code::NotEnoughPoints, None);
                    (request, sent)
                }
                3 => {
                    let (user, note) = (own, None);
                    let request = GivePoints { user, amount, note };
                    (Request::new(&request, key()), invalid("to oneself", "user"))
                }
                4 => {
                    let (user, reference, note) = (own, None, no_note());
                    let request = GrantPoints {
                        user,
                        amount,
                        reference,
                        note,
                    };
                    let sent = refused("a player grants", Code::Forbidden, None);
                    (Request::new(&request, key()), sent)
                }
                _ => {
                    let user = Some(self.user(self.services + u32::from(me == self.services)));
                    let sent = refused("somebody else's wallet", Code::Forbidden, None);
                    (Request::new(&GetWallet { user }, None), sent)
                }
            };
        }
        self.hopeless_of_service(state, key(), rng)
    }

    fn hopeless_of_service(
        &self,
        state: &State,
        key: Option<String>,
        rng: &mut Rng,
    ) -> (Request, Sent) {
        let player = self.any_player(rng);
        let user = self.user(player);
        let grant = |user, amount| GrantPoints {
            user,
            amount,
            reference: None,
            note: "hopeless".to_owned(),
        };
        let invalid = |field| Sent::Hopeless("out of range", Code::InvalidArgument, Some(field));
        match rng.u32(..5) {
            0 => (Request::new(&grant(user, 0), key), invalid("amount")),
            1 => {
                let nobody = UserId::from_bytes([7; 10]);
                let sent = Sent::Hopeless("nobody", Code::NotFound, None);
                (Request::new(&grant(nobody, 1), key), sent)
            }
            // Whoever has a movement has got something.
            2 if state.known[player as usize].head > 0 => {
                let sent = Sent::Hopeless("beyond all bounds", Code::LimitReached, None);
                (Request::new(&grant(user, INTEGER_MAX), key), sent)
            }
            3 => {
                let request = PostPoints {
                    user,
                    movement: 1 << 40,
                    amount: None,
                };
                let sent = Sent::Hopeless("nothing is pending", Code::NotPending, None);
                (Request::new(&request, key), sent)
            }
            _ => {
                let request = SetPointsAside {
                    user,
                    amount: 1,
                    until: self.now().saturating_sub(60_000),
                    reference: None,
                    note: None,
                };
                (Request::new(&request, key), invalid("until"))
            }
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "movements of a run are counted by 32 bits"
)]
const fn head(head: u64) -> u32 {
    head as u32
}

/// For how long points are set aside, in milliseconds. Some of it is over before anybody posts or voids them.
fn time_aside(rng: &mut Rng) -> u64 {
    match rng.u32(..10) {
        0..3 => rng.u64(100..5_000),
        3..7 => rng.u64(5_000..120_000),
        _ => rng.u64(3_600_000..20 * 86_400_000),
    }
}

/// Filters and a beginning, drawn for a history of so many movements.
pub fn any_filter(
    rng: &mut Rng,
    head: u64,
    mut any_time: impl FnMut(&mut Rng) -> u64,
) -> ListMovements {
    use PointsAccount::{Breakage, Issuance, Refunds, Rewards, Spend, Transit, Wallet};
    const ACCOUNTS: [PointsAccount; 7] =
        [Wallet, Issuance, Rewards, Spend, Refunds, Breakage, Transit];
    const REASONS: [PointsReason; 8] = [
        PointsReason::Grant,
        PointsReason::Deduction,
        PointsReason::Reward,
        PointsReason::Spend,
        PointsReason::Refund,
        PointsReason::Expiry,
        PointsReason::Gift,
        PointsReason::GiftReturned,
    ];
    let from = match rng.u32(..4) {
        0 => None,
        1 => Some(MovementsFrom::After(rng.u64(..=head + 1))),
        2 => Some(MovementsFrom::After(0)),
        _ => Some(MovementsFrom::Before(rng.u64(..=head + 2))),
    };
    ListMovements {
        user: None,
        from,
        account: match rng.bool() {
            true => rng.choice(ACCOUNTS),
            false => None,
        },
        reason: match rng.u32(..3) {
            0 => rng.choice(REASONS),
            _ => None,
        },
        since: (rng.u32(..3) == 0).then(|| any_time(rng)),
        until: (rng.u32(..3) == 0).then(|| any_time(rng)),
        limit: None,
    }
}

//! A player's entity at its owner.

mod accounts;
mod calls;
mod entity;
mod telling;

use bytes::Bytes;
use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ConnectionId, ID_BYTES, RoomId, UserId};
use pitturu_protocol::types::inbox::{InboxAdded, InboxEntry};
use pitturu_rules::accounts::{Account, AccountEffects, AccountNews};
use pitturu_rules::friends::{FriendEffects, Relations, Standing};
use pitturu_rules::lists::{InboxMark, InboxMarks, Offer, Offers, caused_by};
use pitturu_rules::signals::{Listed, PlayerSignal};
use pitturu_store::clock::now_ms;
use pitturu_store::entities::{Applied, Commit, Entry, KeyedResult, Signal, StreamHead};
use pitturu_store::reservation::Reservation;
use serde::Serialize;

use super::command::{Asker, answer};
use super::store::{INBOX, counts_row, mark_row, offer_row, relation_row, room_row};
use crate::connections::caller::IdempotencyKey;
use crate::owners::held::HeldAnswers;
use crate::owners::journal::Journal;
use crate::owners::keys::Keys;
use crate::owners::line::DurableLine;
use crate::owners::signals::{Batch, Incoming, Outgoing};

/// Bytes that a commit of a player takes in the store's queue, about.
const COMMIT_BYTES: usize = 1_024;

/// Entries after which the rows of those that an inbox keeps no longer are removed.
const TRIM_EVERY: u64 = 64;

/// The connection of what no connection has asked for.
const NO_CONNECTION: ConnectionId = ConnectionId::from_bytes([0; ID_BYTES]);

/// What a player's owner works with.
type Context = crate::owners::entity::Context<LivePlayer>;

/// What a decision changes.
#[derive(Debug, Default)]
struct Effects {
    account: AccountEffects,
    friends: FriendEffects,
    rooms: Vec<(RoomId, bool)>,
    offers: Vec<(RoomId, Option<Offer>)>,
    inbox: Vec<(InboxEntry, u64)>,
    /// Entries of the inbox that go.
    dropped: Vec<u64>,
    /// A commit is made, whatever it holds.
    is_committed_anyway: bool,
}

impl Effects {
    fn is_empty(&self) -> bool {
        !self.is_committed_anyway
            && self.account.is_empty()
            && self.friends == FriendEffects::default()
            && self.rooms.is_empty()
            && self.offers.is_empty()
            && self.inbox.is_empty()
            && self.dropped.is_empty()
    }
}

/// What is told when a decision is durable.
#[derive(Debug)]
enum Answer {
    /// A call's result, and its key with whose it is.
    Call(Asker, Option<(UserId, IdempotencyKey)>, Vec<u8>),
    /// That signals are applied.
    Applied(Batch),
}

/// A decision on its way to the disk.
#[derive(Debug)]
struct Pending {
    answer: Answer,
    /// Others to whom the player now stands in another way.
    changed: Vec<(UserId, bool)>,
    /// What the player's connections hear of the account.
    news: Vec<AccountNews>,
    /// The connection whose call it was.
    by: ConnectionId,
    has_inbox_grown: bool,
    version: u64,
    signals: Vec<Signal>,
}

impl Pending {
    /// What is told of nothing but this.
    const fn of(answer: Answer) -> Self {
        Self {
            answer,
            changed: Vec::new(),
            news: Vec::new(),
            by: NO_CONNECTION,
            has_inbox_grown: false,
            version: 0,
            signals: Vec::new(),
        }
    }
}

/// A player's entity in its shard.
#[derive(Debug)]
pub struct LivePlayer {
    user: UserId,
    life: u64,
    journal: Journal,
    account: Account,
    relations: Relations,
    inbox: StreamHead,
    marks: InboxMarks,
    offers: Offers,
    pending: DurableLine<Pending>,
    keys: Keys<Asker>,
    looking_up: usize,
    incoming: Incoming,
    outgoing: Outgoing,
    held: HeldAnswers<(Asker, Vec<u8>)>,
}

impl LivePlayer {
    fn reserve(context: &Context) -> Result<Reservation, Fault> {
        let reserved = context.environment.players.entities().reserve(COMMIT_BYTES);
        reserved.map_err(Fault::from)
    }

    /// Hands a decision to the store, and puts in line what is told of it.
    fn commit(
        &mut self,
        context: &Context,
        reservation: Reservation,
        mut effects: Effects,
        result: Option<KeyedResult>,
        applied: Option<Applied>,
        mut pending: Pending,
    ) {
        pending.news = std::mem::take(&mut effects.account.news);
        if effects.is_empty() && result.is_none() && applied.is_none() {
            self.pending.push(pending, true);
            self.settle(context);
            return;
        }
        let mut commit = self.journal.next();
        commit.result = result;
        commit.applied = applied;
        self.put(&mut commit, &effects);
        pending.version = commit.version;
        pending.signals.clone_from(&commit.signals);
        pending.has_inbox_grown = !commit.entries.is_empty();
        pending.changed = effects.friends.changed;
        self.pending.push(pending, false);
        let entities = context.environment.players.entities();
        context.hand_over(self.user, self.life, |done| {
            entities.commit(reservation, commit, done);
        });
    }

    fn put(&mut self, commit: &mut Commit, effects: &Effects) {
        self.put_account(commit, &effects.account);
        let relations = effects.friends.rows.iter();
        commit
            .rows
            .extend(relations.map(|(other, row)| relation_row(*other, row.as_ref())));
        if !effects.friends.rows.is_empty() {
            commit.rows.push(counts_row(&self.relations));
        }
        let rooms = effects.rooms.iter();
        commit
            .rows
            .extend(rooms.map(|(room, is_listed)| room_row(*room, *is_listed)));
        let offers = effects.offers.iter();
        commit
            .rows
            .extend(offers.map(|(room, offer)| offer_row(*room, offer.as_ref())));
        self.put_inbox(commit, effects);
        let signals = effects.friends.signals.iter();
        let signals = signals.map(|(to, signal)| (*to, PlayerSignal::Friend(signal.clone())));
        let signals = signals.map(|(to, signal)| super::signal(to, &signal));
        commit.signals.extend(signals);
    }

    /// Appends what comes, and removes what goes for it.
    fn put_inbox(&mut self, commit: &mut Commit, effects: &Effects) {
        let mut gone = effects.dropped.clone();
        for (entry, at) in &effects.inbox {
            self.inbox.head += 1;
            let by = caused_by(entry);
            let mark = InboxMark {
                by,
                is_friend: by.is_some_and(|by| self.is_friend(by)),
            };
            gone.extend(self.marks.add(self.inbox.head, mark));
            commit.rows.push(mark_row(self.inbox.head, Some(&mark)));
            let added = InboxAdded {
                seq: self.inbox.head,
                at: *at,
                entry: entry.clone(),
            };
            commit.entries.push(Entry {
                stream: INBOX,
                number: added.seq,
                row: encoded(&added),
            });
        }
        for seq in gone {
            commit.rows.push(mark_row(seq, None));
            commit.dropped.push((INBOX, seq));
        }
        let first = self.marks.first().unwrap_or(self.inbox.head + 1);
        if first > self.inbox.first {
            self.inbox.first = first;
            commit.firsts.push((INBOX, first));
        }
    }

    fn is_friend(&self, user: UserId) -> bool {
        let standing = self.relations.get(user).map(|row| row.standing);
        matches!(standing, Some(Standing::Friends { .. }))
    }

    /// Puts an entry into the inbox, unless it tells of what a blocked player did.
    fn take_entry(&self, entry: InboxEntry, at: u64, effects: &mut Effects) {
        if caused_by(&entry).is_none_or(|by| self.relations.may_reach(by)) {
            effects.inbox.push((entry, at));
        }
    }

    /// Puts a room into the list of rooms, or takes it out, as the room says. What a blocked player offers is not taken.
    fn take_room(&mut self, room: RoomId, listed: Option<Listed>, at: u64, effects: &mut Effects) {
        let offer = listed.and_then(|listed| Offer::of(listed, at));
        effects.rooms.push((room, listed == Some(Listed::Own)));
        match offer {
            Some(offer) if self.relations.may_reach(offer.by) => {
                let gone = self.offers.add(room, offer);
                effects
                    .offers
                    .extend(gone.into_iter().map(|room| (room, None)));
                effects.offers.push((room, Some(offer)));
            }
            _ if self.offers.remove(room) => effects.offers.push((room, None)),
            _ => {}
        }
    }

    /// A player is blocked: what they have put into the lists goes.
    fn forget_player(&mut self, other: UserId, effects: &mut Effects) {
        effects.dropped.extend(self.marks.remove_of(other));
        let offers = self.offers.remove_of(other).into_iter();
        effects.offers.extend(offers.map(|room| (room, None)));
    }

    fn settle(&mut self, context: &Context) {
        while let Some(pending) = self.pending.next_durable() {
            self.complete(context, pending);
        }
    }

    fn complete(&mut self, context: &Context, pending: Pending) {
        let now = now_ms();
        let notifier = &context.environment.notifier;
        for (other, is_friendship) in &pending.changed {
            notifier.relation_changed(self.user, *other, *is_friendship);
        }
        for news in pending.news {
            self.tell(context, news, pending.by);
        }
        if pending.has_inbox_grown {
            notifier.inbox_grew(self.user);
            self.trim_inbox(context);
        }
        match pending.answer {
            Answer::Call(to, key, body) => {
                if let Some((user, key)) = &key {
                    let reply = Bytes::from(body.clone());
                    for to in self.keys.done(*user, key, reply, 0, now) {
                        answer(to, body.clone(), true);
                    }
                }
                match pending.signals.last() {
                    Some(signal) => {
                        self.held.hold(signal.to, pending.version, now, (to, body));
                    }
                    None => answer(to, body, false),
                }
            }
            Answer::Applied(batch) => batch.applied(),
        }
        self.outgoing.decided(pending.version, pending.signals, now);
    }

    /// Now and then removes the rows of entries that are kept no longer.
    fn trim_inbox(&self, context: &Context) {
        if self.inbox.first > 1 && self.inbox.head.is_multiple_of(TRIM_EVERY) {
            let entities = context.environment.players.entities();
            // What fails here is removed the next time.
            tokio::spawn(entities.trim(self.journal.entity()));
        }
    }
}

fn encoded<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    codec::encode(value)
}

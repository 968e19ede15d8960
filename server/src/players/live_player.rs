//! What a player's entity decides.

mod accounts;
mod calls;
mod items;
mod lists;
mod signals;

use pitturu_metrics::labels::EntityKind;
use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ConnectionId, ID_BYTES, RoomId, UserId};
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_protocol::types::items::ItemChange;
use pitturu_protocol::types::points::Wallet;
use pitturu_rules::accounts::{AccountEffects, AccountNews};
use pitturu_rules::audit_log::Note;
use pitturu_rules::friends::FriendEffects;
use pitturu_rules::items::ItemsEffects;
use pitturu_rules::lists::Offer;
use pitturu_rules::points::PointsEffects;
use pitturu_rules::rewards::RewardsRow;
use pitturu_rules::signals::{PlayerSignal, RoomSignal};
use pitturu_store::StoreError;
use pitturu_store::entities::{Commit, EntityId, KeyedResult, Kind, Signal};
use serde::Serialize;

use super::command::{Ask, Origin, Redacted};
use super::player::Player;
use super::store::{counts_row, items as items_rows, offer_row, points, relation_row, room_row};
use super::{Environment, PLAYER, audit_log, stock};
use crate::owners::answering::{Answering, Decisions, Loaded, Moment};
use crate::owners::signals::Numbered;

/// Entries after which the rows of those that an inbox keeps no longer are removed.
const TRIM_EVERY: u64 = 64;

/// A player's entity at its owner.
pub type LivePlayer = Answering<Player>;

/// What a decision changes.
#[derive(Debug)]
pub struct Effects {
    account: AccountEffects,
    friends: FriendEffects,
    rooms: Vec<(RoomId, bool)>,
    offers: Vec<(RoomId, Option<Offer>)>,
    inbox: Vec<(InboxEntry, u64)>,
    points: PointsEffects,
    items: ItemsEffects,
    /// What is kept of rewards, if that changed.
    rewards: Option<RewardsRow>,
    /// What the audit log is told.
    notes: Vec<Note>,
    /// Entries of the inbox that go.
    dropped: Vec<u64>,
    /// Lines of the books that say less than before.
    redacted: Redacted,
    /// What calls under keys were answered that are kept for good, without what was said.
    answers: Vec<KeyedResult>,
    /// A commit is made, whatever it holds.
    is_committed_anyway: bool,
    /// The connection whose call it is.
    by: ConnectionId,
}

impl Default for Effects {
    fn default() -> Self {
        Self {
            account: AccountEffects::default(),
            friends: FriendEffects::default(),
            rooms: Vec::new(),
            offers: Vec::new(),
            inbox: Vec::new(),
            points: PointsEffects::default(),
            items: ItemsEffects::default(),
            rewards: None,
            notes: Vec::new(),
            dropped: Vec::new(),
            redacted: Redacted::default(),
            answers: Vec::new(),
            is_committed_anyway: false,
            by: Origin::SERVER.conn,
        }
    }
}

/// What is told of a decision, beside the answer.
#[derive(Debug)]
pub struct News {
    /// What the player's connections hear of the account.
    account: Vec<AccountNews>,
    /// The connection whose call it was.
    by: ConnectionId,
    /// Others with whom a friendship began or ended.
    friendships: Vec<UserId>,
    has_inbox_grown: bool,
    /// What the wallet has, if points have moved.
    wallet: Option<Wallet>,
    /// The newest change of what is owned.
    item: Option<ItemChange>,
}

impl Default for News {
    fn default() -> Self {
        Self {
            account: Vec::new(),
            by: Origin::SERVER.conn,
            friendships: Vec::new(),
            has_inbox_grown: false,
            wallet: None,
            item: None,
        }
    }
}

impl Decisions for Player {
    type Id = UserId;
    type Ask = Ask;
    type Effects = Effects;
    type News = News;
    type Environment = Environment;

    const KIND: Kind = PLAYER;
    const LABEL: EntityKind = EntityKind::Players;
    const COMMIT_BYTES: usize = 1_024;

    fn may_join(ask: &Ask) -> bool {
        // Requests of friendship are numbered by their commits.
        matches!(ask, Ask::Points(_) | Ask::Items(_))
    }

    fn id_of(id: [u8; ID_BYTES]) -> UserId {
        UserId::from_bytes(id)
    }

    async fn load(environment: Environment, user: UserId) -> Result<Loaded<Self>, StoreError> {
        let Environment { players, game, .. } = environment;
        players.load(user, game).await
    }

    fn decide(
        &mut self,
        ask: Ask,
        moment: Moment,
        effects: &mut Effects,
    ) -> Result<Vec<u8>, Fault> {
        self.carry_out(ask, moment, effects)
    }

    fn apply(&mut self, from: EntityId, signal: &Numbered, effects: &mut Effects) {
        self.take_signal(from, signal, effects);
    }

    fn is_empty(effects: &Effects) -> bool {
        !effects.is_committed_anyway
            && effects.account.is_empty()
            && effects.friends == FriendEffects::default()
            && effects.rooms.is_empty()
            && effects.offers.is_empty()
            && effects.inbox.is_empty()
            && effects.points.is_empty()
            && effects.items.is_empty()
            && effects.rewards.is_none()
            && effects.notes.is_empty()
            && effects.dropped.is_empty()
            && effects.redacted.movements.is_empty()
            && effects.redacted.items.is_empty()
    }

    fn put(
        &mut self,
        environment: &Environment,
        mut effects: Effects,
        now: u64,
        commit: &mut Commit,
    ) -> News {
        self.account.tidy(now, &mut effects.account);
        self.put_account(commit, &effects.account);
        self.put_friends(environment, commit, &effects.friends);
        let rooms = effects.rooms.iter();
        commit
            .rows
            .extend(rooms.map(|(room, is_listed)| room_row(*room, *is_listed)));
        let offers = effects.offers.iter();
        commit
            .rows
            .extend(offers.map(|(room, offer)| offer_row(*room, offer.as_ref())));
        self.put_points(commit, &mut effects, now);
        points::redact(commit, &effects.redacted.movements);
        items_rows::redact(commit, &effects.redacted.items);
        commit.results.append(&mut effects.answers);
        put_items(commit, &effects);
        self.put_inbox(commit, &effects);
        let notes = effects.notes.drain(..);
        commit.signals.extend(notes.map(audit_log::signal));
        let newest = effects.items.changes.pop();
        News {
            account: effects.account.news,
            by: effects.by,
            friendships: effects.friends.friendships,
            has_inbox_grown: !effects.inbox.is_empty(),
            wallet: effects
                .points
                .entries
                .last()
                .map(|(head, line)| line.wallet(*head)),
            // The player is not told who of the staff it was.
            item: newest.map(|(number, row)| ItemChange {
                by: None,
                ..row.shown(number)
            }),
        }
    }

    fn tell(&mut self, environment: &Environment, news: News) {
        let notifier = &environment.notifier;
        for other in &news.friendships {
            notifier.friendship_changed(self.user, *other);
        }
        for account_news in news.account {
            self.tell_of_account(environment, account_news, news.by);
        }
        if let Some(wallet) = news.wallet {
            notifier.wallet_changed(self.user, wallet);
        }
        if let Some(change) = news.item {
            notifier.inventory_changed(self.user, change);
        }
        if news.has_inbox_grown {
            notifier.inbox_grew(self.user);
            self.trim_inbox(environment);
        }
    }
}

impl Player {
    fn put_friends(&self, environment: &Environment, commit: &mut Commit, friends: &FriendEffects) {
        let relations = friends.rows.iter();
        commit
            .rows
            .extend(relations.map(|(other, row)| relation_row(*other, row.as_ref())));
        if !friends.rows.is_empty() {
            commit.rows.push(counts_row(&self.relations));
        }
        let signals = friends.signals.iter();
        let signals = signals.map(|(to, signal)| (*to, PlayerSignal::Friend(signal.clone())));
        let signals = signals.map(|(to, signal)| super::signal(to, &signal));
        commit.signals.extend(signals);
        for (other, blocks) in &friends.blocks {
            let signal = match blocks {
                true => RoomSignal::Blocked,
                false => RoomSignal::Unblocked,
            };
            commit.signals.push(Signal {
                to: environment.direct_rooms.entity_of(self.user, *other),
                body: encoded(&signal),
            });
        }
    }

    /// What moves points, what is told of it, and what the player finds of it in the inbox.
    fn put_points(&self, commit: &mut Commit, effects: &mut Effects, now: u64) {
        points::put(commit, self.user, &effects.points);
        let signals = effects.points.signals.drain(..);
        let signals = signals.map(|(to, signal)| (to, PlayerSignal::Points(signal)));
        let signals = signals.map(|(to, signal)| super::signal(to, &signal));
        commit.signals.extend(signals);
        for entry in std::mem::take(&mut effects.points.inbox) {
            self.take_entry(entry, now, effects);
        }
    }

    /// Now and then removes the rows of entries that are kept no longer.
    fn trim_inbox(&self, environment: &Environment) {
        if self.inbox.first > 1 && self.inbox.head.is_multiple_of(TRIM_EVERY) {
            let entities = environment.players.entities();
            // What fails here is removed the next time.
            tokio::spawn(entities.trim(super::entity(self.user)));
        }
    }
}

/// What is owned, what stocks are told, and what is kept of rewards.
fn put_items(commit: &mut Commit, effects: &Effects) {
    items_rows::put(commit, &effects.items);
    let signals = effects.items.signals.iter();
    let signals = signals.map(|(item, signal)| stock::signal(item, signal));
    commit.signals.extend(signals);
    if let Some(row) = &effects.rewards {
        items_rows::put_rewards(commit, row);
    }
}

fn encoded<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    codec::encode(value)
}

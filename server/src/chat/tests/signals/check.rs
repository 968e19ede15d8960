//! What has to hold of the commits that were decided, and of what is stored in the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pitturu_protocol::codec;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::inbox::{InboxAdded, InboxEntry};
use pitturu_rules::friends::{FriendEffects, Relation, Relations, Standing};
use pitturu_rules::lists::{Offer, Offers, caused_by};
use pitturu_rules::signals::{Listed, PlayerSignal};
use pitturu_store::entities::{Applied, Commit, EntityId, RowKey, Signal};

use super::World;
use super::faulty::Decided;
use super::process::{Act, OWNER, room};
use crate::players;
use crate::players::tests::{PATIENCE, user};

/// The commits of an entity, in order.
fn log(decided: &Decided, entity: EntityId) -> impl Iterator<Item = &Commit> {
    decided
        .range((entity, 0)..=(entity, u64::MAX))
        .map(|(_, commit)| commit)
}

/// A sender and its version that told a player something which they have not applied. What rooms are told they keep in memory.
fn unapplied(decided: &Decided) -> Option<(EntityId, u64, EntityId)> {
    for commit in decided.values() {
        let to_players = |signal: &&Signal| signal.to.kind() == players::PLAYER;
        for signal in commit.signals.iter().filter(to_players) {
            let mut applied = log(decided, signal.to).filter_map(|commit| commit.applied);
            let (from, version) = (commit.entity, commit.version);
            if !applied.any(|applied| applied.from == from && applied.version >= version) {
                return Some((from, version, signal.to));
            }
        }
    }
    None
}

/// Waits until everything that was told is applied.
pub(super) async fn until_applied(world: &World) {
    let began = Instant::now();
    while let Some(lost) = unapplied(&world.process.store.decided()) {
        let name = &world.name;
        assert!(began.elapsed() < PATIENCE, "{name}: not applied: {lost:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Checks everything.
pub(super) async fn check(world: &World) {
    let decided = world.process.store.decided();
    check_logs(&decided, &world.name);
    check_keys(world, &decided);
    let mut relations = Vec::new();
    for number in [1, 2, OWNER] {
        relations.push(check_player(world, &decided, user(number)).await);
    }
    let [one, other] = [(0, 2), (1, 1)].map(|(of, to)| relations[of].get(&user(to)).copied());
    let agree = match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => match (one.standing, other.standing) {
            (Standing::Requested { id }, Standing::Received { id: received, .. })
            | (Standing::Received { id, .. }, Standing::Requested { id: received }) => {
                id == received && one.since == other.since
            }
            (Standing::Friends { .. }, Standing::Friends { .. }) => one == other,
            (standing, other) => standing == Standing::Blocked && other == Standing::Blocked,
        },
        (Some(one), None) | (None, Some(one)) => one.standing == Standing::Blocked,
    };
    assert!(agree, "{}: {one:?} and {other:?}", world.name);
}

/// Versions are dense, and of one incarnation.
fn check_logs(decided: &Decided, name: &str) {
    let mut before: Option<&Commit> = None;
    for commit in decided.values() {
        let (version, incarnation) = match before {
            Some(before) if before.entity == commit.entity => {
                (before.version + 1, before.incarnation)
            }
            _ => (1, commit.incarnation),
        };
        let place = (commit.version, commit.incarnation);
        assert_eq!(place, (version, incarnation), "{name}: {}", commit.entity);
        before = Some(commit);
    }
}

/// What was answered was carried out once, and what was refused was not.
fn check_keys(world: &World, decided: &Decided) {
    let mut results = HashMap::new();
    for commit in decided.values() {
        for result in &commit.results {
            let key = (commit.entity, result.user, result.key.clone());
            *results.entry(key).or_insert(0) += 1;
        }
    }
    for (key, outcome, act) in &world.outcomes {
        let (caller, entity) = act.caller_and_entity();
        let times = results.remove(&(entity, caller, key.as_str().into()));
        if matches!((act, outcome), (Act::Join(..), Err(Code::RoomNotFound))) && times == Some(1) {
            // A repetition opens what was joined, unless the player was put out meanwhile.
            continue;
        }
        let may_be_so_already = matches!(
            act,
            Act::Request(..)
                | Act::Accept(..)
                | Act::Block(..)
                | Act::Unblock(..)
                | Act::Invite(..)
        );
        if outcome.is_ok() && times.is_none() && may_be_so_already {
            // It changed nothing, and left nothing.
            continue;
        }
        let expected = outcome.is_ok().then_some(1);
        assert_eq!(times, expected, "{}: {act:?}: {outcome:?}", world.name);
    }
    assert!(results.is_empty(), "{}: {results:?}", world.name);
}

/// What a player's commits come to.
#[derive(Default)]
struct Replayed {
    relations: BTreeMap<UserId, Relation>,
    /// The rooms that are the player's own, and those that others offer.
    rooms: BTreeSet<RoomId>,
    offers: BTreeMap<RoomId, Offer>,
    inbox: BTreeMap<u64, InboxEntry>,
    head: u64,
    applied: HashMap<EntityId, Applied>,
}

/// What a batch of signals has to change.
#[derive(Debug, Default, PartialEq)]
struct Changes {
    rows: Vec<(RowKey, Option<Vec<u8>>)>,
    inbox: Vec<InboxEntry>,
    signals: Vec<Signal>,
}

impl Changes {
    /// What a commit changes, but for the row that counts, offers and the marks of entries, which are compared as they are stored.
    fn of(commit: &Commit) -> Self {
        let entries = commit.entries.iter();
        let entry = |row: &Vec<u8>| codec::decode::<InboxAdded>(row).unwrap().entry;
        Self {
            rows: commit
                .rows
                .iter()
                .filter(|(key, _)| !b"cip".contains(&key[0]))
                .cloned()
                .collect(),
            inbox: entries.map(|added| entry(&added.row)).collect(),
            signals: commit.signals.clone(),
        }
    }
}

impl Replayed {
    /// Works out what the signals have to change that a commit says it applies.
    fn apply(
        &mut self,
        decided: &Decided,
        player: UserId,
        applied: Applied,
        name: &str,
    ) -> Changes {
        let before = self.applied.insert(applied.from, applied);
        let after = before.map_or(0, |before| before.version);
        assert!(
            applied.version > after,
            "{name}: applied twice: {applied:?}"
        );
        let commits = log(decided, applied.from).filter(|commit| {
            assert_eq!(commit.incarnation, applied.incarnation, "{name}");
            commit.version > after && commit.version <= applied.version
        });
        let to = players::entity(player);
        let signals = commits.flat_map(|commit| &commit.signals);
        let told: Vec<&Signal> = signals.filter(|signal| signal.to == to).collect();
        assert!(!told.is_empty(), "{name}: nothing was told: {applied:?}");
        let mut relations = Relations::load(player, std::mem::take(&mut self.relations));
        let (mut effects, mut rooms) = (FriendEffects::default(), Vec::new());
        let mut inbox = Vec::new();
        for signal in told {
            match codec::decode(&signal.body).unwrap() {
                PlayerSignal::Inbox { entry, .. } => {
                    let by = caused_by(&entry);
                    let is_taken = by.is_none_or(|by| relations.may_reach(by));
                    inbox.extend(is_taken.then_some(entry));
                }
                PlayerSignal::Room { room, listed } => {
                    let key = [b"o", room.as_bytes().as_slice()].concat();
                    rooms.push((key, (listed == Some(Listed::Own)).then(Vec::new)));
                }
                PlayerSignal::Friend(signal) => {
                    let from = UserId::from_bytes(applied.from.id());
                    relations.apply(from, signal, &mut effects);
                    inbox.append(&mut effects.inbox);
                }
                PlayerSignal::Role { .. } => panic!("{name}: nobody sets roles here"),
                PlayerSignal::Points(_) | PlayerSignal::Items(_) | PlayerSignal::Played { .. } => {
                    panic!("{name}: rooms move no points and give no items")
                }
                PlayerSignal::Placed(_) => panic!("{name}: rooms are no leaderboards"),
            }
        }
        self.relations = relations.rows().collect();
        let relation = |(other, row): &(UserId, Option<Relation>)| {
            let key = [b"f", other.as_bytes().as_slice()].concat();
            (key, row.as_ref().map(codec::encode))
        };
        let signals = effects.signals.iter().map(|(to, signal)| Signal {
            to: players::entity(*to),
            body: codec::encode(&PlayerSignal::Friend(signal.clone())),
        });
        Changes {
            rows: effects.rows.iter().map(relation).chain(rooms).collect(),
            inbox,
            signals: signals.collect(),
        }
    }

    /// Takes a commit's rows and entries as they are.
    fn take(&mut self, commit: &Commit, name: &str) {
        for (key, row) in &commit.rows {
            let id = key.last_chunk().copied();
            match (key[0], row) {
                (b'f', Some(row)) => {
                    let other = UserId::from_bytes(id.unwrap());
                    self.relations.insert(other, codec::decode(row).unwrap());
                }
                (b'f', None) => {
                    self.relations.remove(&UserId::from_bytes(id.unwrap()));
                }
                (b'o', Some(_)) => {
                    self.rooms.insert(RoomId::from_bytes(id.unwrap()));
                }
                (b'o', None) => {
                    self.rooms.remove(&RoomId::from_bytes(id.unwrap()));
                }
                (b'p', Some(row)) => {
                    let room = RoomId::from_bytes(id.unwrap());
                    self.offers.insert(room, codec::decode(row).unwrap());
                }
                (b'p', None) => {
                    self.offers.remove(&RoomId::from_bytes(id.unwrap()));
                }
                _ => {}
            }
        }
        for entry in &commit.entries {
            let added: InboxAdded = codec::decode(&entry.row).unwrap();
            self.head += 1;
            let seq = self.head;
            self.inbox.insert(seq, added.entry);
            assert_eq!((entry.number, added.seq), (seq, seq), "{name}");
        }
        for (_, seq) in &commit.dropped {
            self.inbox.remove(seq);
        }
    }
}

/// Plays a player's commits again, and compares with what is stored. How the player stands to others.
async fn check_player(
    world: &World,
    decided: &Decided,
    player: UserId,
) -> BTreeMap<UserId, Relation> {
    let (name, entity) = (&world.name, players::entity(player));
    let mut replayed = Replayed::default();
    for commit in log(decided, entity) {
        if let Some(applied) = commit.applied {
            let expected = replayed.apply(decided, player, applied, name);
            let version = commit.version;
            assert_eq!(
                Changes::of(commit),
                expected,
                "{name}: {entity} at {version}"
            );
        }
        replayed.take(commit, name);
    }
    for sender in decided.values() {
        if sender.signals.iter().any(|signal| signal.to == entity) {
            let applied = replayed.applied.get(&sender.entity);
            let is_applied = applied.is_some_and(|applied| applied.version >= sender.version);
            assert!(
                is_applied,
                "{name}: lost: {} {}",
                sender.entity, sender.version
            );
        }
    }
    let process = &world.process;
    let stored = process.players.inbox_after(player, 0, 9_999).await.unwrap();
    let entries: Vec<InboxEntry> = stored.into_iter().map(|added| added.entry).collect();
    let expected: Vec<InboxEntry> = replayed.inbox.into_values().collect();
    assert_eq!(entries, expected, "{name}");
    let loaded = process.players.load(player, Arc::default()).await.unwrap();
    let relations: BTreeMap<_, _> = loaded.state.relations.rows().collect();
    assert_eq!(relations, replayed.relations, "{name}");
    assert!(loaded.undelivered.is_empty(), "{name}");
    assert_eq!(
        loaded.state.offers,
        Offers::load(replayed.offers.clone()),
        "{name}"
    );
    let listed = process.players.rooms(player, None, 9).await.unwrap();
    let rooms = replayed.rooms.iter().chain(replayed.offers.keys());
    let expected: BTreeSet<RoomId> = rooms.copied().collect();
    let expected: Vec<RoomId> = expected.into_iter().collect();
    assert_eq!(listed, expected, "{name}");
    for number in [1, 2] {
        let places = process.rooms.places(player, &[room(number)]).await.unwrap();
        let place = places[0].as_ref().filter(|row| row.state.is_listed());
        let is_listed = listed.contains(&room(number));
        // What a blocked player offers is not listed.
        let is_offer = place.is_some_and(|row| row.invited_by.is_some());
        assert!(
            is_listed == place.is_some() || (is_offer && !is_listed),
            "{name}: {player} in room {number}"
        );
    }
    relations
}

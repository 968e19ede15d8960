//! Connections that hear of changes on leaderboards.
//!
//! Followers are kept here and not at the seasons: a season says that it has changed, and a few times a second it is asked once for all who
//! follow. So a leaderboard that changes a thousand times a second costs its followers four events, and its owner four looks.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use metrics::counter;
use parking_lot::Mutex;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{ConnectionId, UserId};
use pitturu_protocol::limits::BOARDS_FOLLOWED_MAX;
use pitturu_protocol::types::boards::{BoardStanding, RankChanged, ScoreEntry};
use pitturu_protocol::{codec, frame};
use pitturu_rules::boards::board_key;
use pitturu_store::clock::now_ms;

use super::{BoardService, Parts};
use crate::boards::BoardNotifier;
use crate::boards::command::{Look, Seen, Wish};
use crate::connections::connection::Connection;
use crate::connections::link::Broadcast;
use crate::connections::outbox::LatestKey;

/// How often followers hear of changes at most.
const TICK: Duration = Duration::from_millis(250);

/// Ticks between two looks for followers that are gone.
const SWEEP_TICKS: u64 = 20;

/// Followers of one leaderboard that are told in one tick; the others are at the next.
const TOLD_AT_ONCE: usize = 2_000;

/// Leaderboards whose followers are told at the same time: each look waits for what its season is about to write.
const TOLD_BOARDS_AT_ONCE: usize = 32;

/// A connection that follows a leaderboard.
#[derive(Clone, Debug)]
struct Follower {
    connection: Arc<Connection>,
    user: UserId,
    /// What it was told last, as a hash.
    told: Option<u64>,
}

impl Follower {
    fn is_there(&self) -> bool {
        !self.connection.is_gone() && self.connection.user() == Some(self.user)
    }
}

#[derive(Debug, Default)]
struct OfBoard {
    followers: Vec<Follower>,
    has_changed: bool,
    /// The next follower to be told, while a round is under way.
    next: Option<usize>,
    /// The season that was told last.
    season: Option<u64>,
}

impl OfBoard {
    /// The next followers to be told; none if there is nothing to tell.
    fn turn(&mut self) -> Vec<Follower> {
        if self.next.is_none() && self.has_changed {
            self.has_changed = false;
            self.next = Some(0);
        }
        let Some(from) = self.next.take() else {
            return Vec::new();
        };
        let turn = self.followers.iter().skip(from).take(TOLD_AT_ONCE);
        let turn: Vec<_> = turn.cloned().collect();
        let to = from + turn.len();
        self.next = (to < self.followers.len()).then_some(to);
        turn
    }
}

#[derive(Debug, Default)]
struct Followed {
    boards: HashMap<String, OfBoard>,
    /// Who follows which leaderboards on each connection.
    connections: HashMap<ConnectionId, (UserId, HashSet<String>)>,
}

impl Followed {
    /// Takes a connection from the followers of a leaderboard. Others go on where they were.
    fn remove(&mut self, board: &str, connection: ConnectionId) {
        let Some((_, names)) = self.connections.get_mut(&connection) else {
            return;
        };
        if !names.remove(board) {
            return;
        }
        if names.is_empty() {
            self.connections.remove(&connection);
        }
        if let Some(of_board) = self.boards.get_mut(board) {
            let mut followers = of_board.followers.iter();
            if let Some(at) = followers.position(|it| it.connection.id == connection) {
                of_board.followers.remove(at);
            }
        }
    }

    /// Forgets what somebody else has followed on this connection.
    fn leave_to(&mut self, user: UserId, connection: ConnectionId) {
        let others = self.connections.get(&connection);
        let others = others.filter(|(before, _)| *before != user);
        for board in others.map(|(_, names)| names.clone()).unwrap_or_default() {
            self.remove(&board, connection);
        }
    }
}

/// The followers of all leaderboards.
#[derive(Debug, Default)]
pub struct Following(Mutex<Followed>);

impl Following {
    /// A connection follows a leaderboard from now on. Whether it did not before.
    ///
    /// # Errors
    /// [`Code::LimitReached`].
    pub fn add(
        &self,
        board: &str,
        connection: &Arc<Connection>,
        user: UserId,
    ) -> Result<bool, Fault> {
        let mut followed = self.0.lock();
        followed.leave_to(user, connection.id);
        let Followed {
            boards,
            connections,
        } = &mut *followed;
        let (_, names) = connections
            .entry(connection.id)
            .or_insert_with(|| (user, HashSet::new()));
        if !names.contains(board) && names.len() >= BOARDS_FOLLOWED_MAX {
            let text = format!("at most {BOARDS_FOLLOWED_MAX} leaderboards on one connection");
            return Err(Fault::new(Code::LimitReached, text));
        }
        let of_board = boards.entry(board.to_owned()).or_default();
        if names.insert(board.to_owned()) {
            of_board.followers.push(Follower {
                connection: Arc::clone(connection),
                user,
                told: None,
            });
            return Ok(true);
        }
        let mut followers = of_board.followers.iter_mut();
        if let Some(follower) = followers.find(|it| it.connection.id == connection.id) {
            follower.told = None;
        }
        Ok(false)
    }

    /// A connection follows a leaderboard no longer.
    pub fn remove(&self, board: &str, connection: ConnectionId) {
        self.0.lock().remove(board, connection);
    }

    /// Forgets followers that are gone, and leaderboards that nobody follows.
    fn sweep(&self) {
        let mut followed = self.0.lock();
        let Followed {
            boards,
            connections,
        } = &mut *followed;
        boards.retain(|board, of_board| {
            for left in of_board.followers.extract_if(.., |it| !it.is_there()) {
                if let Some((_, names)) = connections.get_mut(&left.connection.id) {
                    names.remove(board);
                }
            }
            !of_board.followers.is_empty()
        });
        connections.retain(|_, (_, names)| !names.is_empty());
    }

    /// The leaderboards that somebody follows.
    fn boards(&self) -> Vec<String> {
        self.0.lock().boards.keys().cloned().collect()
    }

    /// The leaderboards that a player follows on some connection.
    #[cfg(test)]
    pub(crate) fn boards_of(&self, user: &UserId) -> Vec<String> {
        let followed = self.0.lock();
        let of_user = followed.boards.iter().filter(|(_, of_board)| {
            let mut followers = of_board.followers.iter();
            followers.any(|follower| follower.user == *user)
        });
        of_user.map(|(board, _)| board.clone()).collect()
    }

    /// The next followers to be told of this leaderboard, whose running season is this one.
    fn turn(&self, board: &str, season: u64) -> Vec<Follower> {
        let mut followed = self.0.lock();
        let Some(of_board) = followed.boards.get_mut(board) else {
            return Vec::new();
        };
        let before = of_board.season.replace(season);
        of_board.has_changed |= before.is_some_and(|before| before != season);
        of_board.turn()
    }

    /// Notes what followers were told.
    fn told(&self, board: &str, told: &HashMap<ConnectionId, u64>) {
        let mut followed = self.0.lock();
        let followers = followed.boards.get_mut(board).into_iter();
        for follower in followers.flat_map(|it| &mut it.followers) {
            if let Some(told) = told.get(&follower.connection.id) {
                follower.told = Some(*told);
            }
        }
    }
}

impl BoardNotifier for Following {
    fn changed(&self, board: &str) {
        if let Some(of_board) = self.0.lock().boards.get_mut(board) {
            of_board.has_changed = true;
        }
    }
}

impl BoardService {
    /// Tells followers until the server stops.
    pub async fn tell_followers(self: Arc<Self>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ticks: u64 = 0;
        loop {
            tick.tick().await;
            ticks += 1;
            if ticks.is_multiple_of(SWEEP_TICKS) {
                self.parts.following.sweep();
            }
            let boards = self.parts.following.boards().into_iter();
            let told = boards.map(|board| self.tell_or_later(board));
            let told: Vec<_> = told.collect();
            stream::iter(told)
                .buffer_unordered(TOLD_BOARDS_AT_ONCE)
                .collect::<()>()
                .await;
        }
    }

    async fn tell_or_later(&self, board: String) {
        if let Err(fault) = self.tell(&board, now_ms()).await {
            tracing::debug!(board, %fault, "followers are told later");
            self.parts.following.changed(&board);
        }
    }

    async fn tell(&self, board: &str, now: u64) -> Result<(), Fault> {
        let of = self.known.running(board, now).await?;
        let followers = self.parts.following.turn(board, of.season.number);
        if followers.is_empty() {
            return Ok(());
        }
        let users = followers.iter().map(|follower| follower.user).collect();
        let look = Wish::Look(Look::Glance(users));
        let seen: Seen = self.parts.ask(&of, look, None, now).await?;
        let standing = BoardStanding {
            board: board.to_owned(),
            season: of.season.number,
            count: seen.count,
            top: self.named(seen.entries).await?,
            own: None,
        };
        let own = self.named(seen.own).await?;
        let own: HashMap<UserId, ScoreEntry> =
            own.into_iter().map(|entry| (entry.user, entry)).collect();
        let told = Parts::send(&followers, &standing, &own);
        self.parts.following.told(board, &told);
        Ok(())
    }
}

impl Parts {
    /// Sends each follower what is new to it. What they were told, as hashes.
    fn send(
        followers: &[Follower],
        standing: &BoardStanding,
        own: &HashMap<UserId, ScoreEntry>,
    ) -> HashMap<ConnectionId, u64> {
        let key = LatestKey::of::<RankChanged>(board_key(&standing.board));
        let common = codec::encode(standing);
        let mut told = HashMap::new();
        for follower in followers {
            let own = own.get(&follower.user);
            let mut hasher = DefaultHasher::new();
            (&common, own.map(codec::encode)).hash(&mut hasher);
            let hash = hasher.finish();
            if follower.told == Some(hash) {
                continue;
            }
            let event = RankChanged {
                standing: BoardStanding {
                    own: own.cloned(),
                    ..standing.clone()
                },
            };
            let state = Broadcast::new(frame::event(&event).into());
            follower.connection.while_signed_in(follower.user, || {
                follower.connection.outbox.latest(key, &state);
            });
            told.insert(follower.connection.id, hash);
        }
        counter!("pitturu_rank_events_total").increment(told.len() as u64);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tests::connection_of;

    #[test]
    fn a_round_reaches_all_and_a_change_in_between_begins_another() {
        let following = Following::default();
        let user = UserId::from_bytes([1; 10]);
        for number in 0..TOLD_AT_ONCE + 5 {
            let connection = connection_of(user, number);
            following.add("b", &connection, user).unwrap();
        }
        assert!(following.turn("b", 1).is_empty(), "nothing has changed");
        following.changed("b");
        assert_eq!(following.turn("b", 1).len(), TOLD_AT_ONCE);
        following.changed("b");
        assert_eq!(following.turn("b", 1).len(), 5);
        assert_eq!(following.turn("b", 1).len(), TOLD_AT_ONCE);
        assert_eq!(following.turn("b", 1).len(), 5);
        assert!(following.turn("b", 1).is_empty());
        assert_eq!(following.turn("b", 2).len(), TOLD_AT_ONCE, "a new season");
    }

    #[test]
    fn a_connection_follows_so_many_and_is_forgotten_when_its_player_goes() {
        let following = Following::default();
        let user = UserId::from_bytes([1; 10]);
        let connection = connection_of(user, 1);
        for number in 0..BOARDS_FOLLOWED_MAX {
            let add = || following.add(&number.to_string(), &connection, user);
            assert_eq!((add().unwrap(), add().unwrap()), (true, false));
        }
        let refused = following.add("more", &connection, user);
        assert_eq!(refused.unwrap_err().code, Code::LimitReached);
        following.remove("0", connection.id);
        following.remove("0", connection.id);
        following.add("more", &connection, user).unwrap();
        following.sweep();
        assert_eq!(following.boards().len(), BOARDS_FOLLOWED_MAX);
        connection.set_player(None);
        following.sweep();
        assert!(following.boards().is_empty());
        assert!(following.0.lock().connections.is_empty());
    }
}

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
use parking_lot::Mutex;
use pitturu_metrics::labels::DeliveryClass;
use pitturu_metrics::table;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{ConnectionId, UserId};
use pitturu_protocol::limits::BOARDS_FOLLOWED_MAX;
use pitturu_protocol::types::boards::{BoardStanding, RankChanged, ScoreEntry};
use pitturu_protocol::{codec, frame};
use pitturu_rules::boards::board_key;
use pitturu_store::clock::now_ms;

use super::BoardService;
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
#[derive(Debug)]
struct Follower {
    connection: Arc<Connection>,
    user: UserId,
    telling: Mutex<Telling>,
}

/// What a follower knows, and from whom it hears next. The answer to a call that follows is a state as well, and no event may come
/// between the moment it is of and itself: that would be newer. Nor may one come behind it that was looked at before.
#[derive(Debug, Default)]
struct Telling {
    /// What the last event said, as a hash. None: there was none since the last answer.
    told: Option<u64>,
    /// Calls to follow so far.
    calls: u64,
    /// How many of them are not answered yet.
    unanswered: u32,
    /// An event was left out for it, and something may be new.
    has_missed: bool,
}

impl Follower {
    fn is_there(&self) -> bool {
        !self.connection.is_gone() && self.connection.user() == Some(self.user)
    }

    /// How many calls were answered before what is looked at from now on. None: an answer is on its way.
    fn calls_before_look(&self) -> Option<u64> {
        let mut telling = self.telling.lock();
        telling.has_missed |= telling.unanswered > 0;
        (telling.unanswered == 0).then_some(telling.calls)
    }
}

/// A follower to be told of what is looked at from now on.
#[derive(Debug)]
struct Told {
    follower: Arc<Follower>,
    /// Its calls so far, all answered.
    calls: u64,
}

/// A call to follow that is not answered yet. To be dropped when its answer is on its way.
#[derive(Debug)]
pub struct Unanswered {
    following: Arc<Following>,
    follower: Arc<Follower>,
    board: String,
    /// Whether the connection did not follow before.
    pub is_new: bool,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let mut telling = self.follower.telling.lock();
        telling.unanswered -= 1;
        if telling.unanswered > 0 {
            return;
        }
        let has_missed = std::mem::take(&mut telling.has_missed);
        drop(telling);
        if has_missed {
            self.following.changed(&self.board);
        }
    }
}

#[derive(Debug, Default)]
struct OfBoard {
    followers: Vec<Arc<Follower>>,
    has_changed: bool,
    /// The next follower to be told, while a round is under way.
    next: Option<usize>,
    /// The season that was told last.
    season: Option<u64>,
}

impl OfBoard {
    /// The next followers to be told; none if there is nothing to tell.
    fn turn(&mut self) -> Vec<Told> {
        if self.next.is_none() && self.has_changed {
            self.has_changed = false;
            self.next = Some(0);
        }
        let Some(from) = self.next.take() else {
            return Vec::new();
        };
        let turn = self.followers.iter().skip(from).take(TOLD_AT_ONCE);
        let to = from + turn.len();
        self.next = (to < self.followers.len()).then_some(to);
        turn.filter_map(|follower| {
            Some(Told {
                follower: Arc::clone(follower),
                calls: follower.calls_before_look()?,
            })
        })
        .collect()
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
                let follower = of_board.followers.remove(at);
                // What is about to be sent to it is not.
                follower.telling.lock().calls += 1;
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
    /// A connection follows a leaderboard from now on, and hears of it once the call is answered.
    ///
    /// # Errors
    /// [`Code::LimitReached`].
    pub fn add(
        self: &Arc<Self>,
        board: &str,
        connection: &Arc<Connection>,
        user: UserId,
    ) -> Result<Unanswered, Fault> {
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
        names.insert(board.to_owned());
        let followers = &mut boards.entry(board.to_owned()).or_default().followers;
        let known = followers
            .iter()
            .find(|it| it.connection.id == connection.id);
        let is_new = known.is_none();
        let follower = known.cloned().unwrap_or_else(|| {
            let follower = Arc::new(Follower {
                connection: Arc::clone(connection),
                user,
                telling: Mutex::default(),
            });
            followers.push(Arc::clone(&follower));
            follower
        });
        let mut telling = follower.telling.lock();
        telling.told = None;
        telling.calls += 1;
        telling.unanswered += 1;
        drop(telling);
        Ok(Unanswered {
            following: Arc::clone(self),
            follower,
            board: board.to_owned(),
            is_new,
        })
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
    fn turn(&self, board: &str, season: u64) -> Vec<Told> {
        let mut followed = self.0.lock();
        let Some(of_board) = followed.boards.get_mut(board) else {
            return Vec::new();
        };
        let before = of_board.season.replace(season);
        of_board.has_changed |= before.is_some_and(|before| before != season);
        of_board.turn()
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
        let users = followers.iter().map(|told| told.follower.user).collect();
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
        self.parts.following.send(&followers, &standing, &own);
        Ok(())
    }
}

impl Following {
    /// Sends each follower what is new to it.
    fn send(&self, to: &[Told], standing: &BoardStanding, own: &HashMap<UserId, ScoreEntry>) {
        let key = LatestKey::of::<RankChanged>(board_key(&standing.board));
        let common = codec::encode(standing);
        let (mut count, mut has_missed) = (0, false);
        for Told { follower, calls } in to {
            let own = own.get(&follower.user);
            let mut hasher = DefaultHasher::new();
            (&common, own.map(codec::encode)).hash(&mut hasher);
            let hash = hasher.finish();
            // Held while it is sent: no call that follows begins meanwhile and is answered before it.
            let mut telling = follower.telling.lock();
            if telling.calls != *calls {
                telling.has_missed |= telling.unanswered > 0;
                has_missed |= telling.unanswered == 0;
                continue;
            }
            if telling.told.replace(hash) == Some(hash) {
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
            count += 1;
        }
        table::RANK_EVENTS.add(count);
        table::DELIVERIES.at(DeliveryClass::Latest).add(count);
        if has_missed {
            self.changed(&standing.board);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tests::connection_of;

    fn standing(count: u32) -> BoardStanding {
        BoardStanding {
            board: "b".to_owned(),
            season: 1,
            count,
            top: Vec::new(),
            own: None,
        }
    }

    /// Whether the connection is sent what the followers of this turn are told.
    fn hears(following: &Following, turn: &[Told], count: u32, connection: &Connection) -> bool {
        following.send(turn, &standing(count), &HashMap::new());
        connection.outbox.take_batch().is_some()
    }

    #[test]
    fn a_round_reaches_all_and_a_change_in_between_begins_another() {
        let following = Arc::new(Following::default());
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
    fn no_event_overtakes_an_answer_and_none_is_missed_for_it() {
        let following = Arc::new(Following::default());
        let user = UserId::from_bytes([1; 10]);
        let connection = connection_of(user, 1);
        let follow = || following.add("b", &connection, user).unwrap();
        let (first, second) = (follow(), follow());
        following.changed("b");
        assert!(following.turn("b", 1).is_empty(), "the answer comes first");
        drop(first);
        assert!(following.turn("b", 1).is_empty(), "both answers");
        drop(second);
        let turn = following.turn("b", 1);
        assert!(hears(&following, &turn, 1, &connection), "what was missed");

        // It follows again while a look is under way: with the answer it knows what is newer.
        following.changed("b");
        let turn = following.turn("b", 1);
        let again = follow();
        assert!(!hears(&following, &turn, 2, &connection));
        drop(again);
        assert!(
            !hears(&following, &turn, 2, &connection),
            "not later either"
        );
        let turn = following.turn("b", 1);
        assert!(hears(&following, &turn, 3, &connection));
        let turn = following.turn("b", 1);
        assert!(turn.is_empty(), "nothing was missed");

        // Answered before the event that was under way is sent: that one is older than the answer.
        following.changed("b");
        let turn = following.turn("b", 1);
        drop(follow());
        assert!(!hears(&following, &turn, 4, &connection));
        assert_eq!(following.turn("b", 1).len(), 1, "what is new comes next");

        following.changed("b");
        let turn = following.turn("b", 1);
        following.remove("b", connection.id);
        assert!(!hears(&following, &turn, 5, &connection), "it has left");
    }

    #[test]
    fn a_connection_follows_so_many_and_is_forgotten_when_its_player_goes() {
        let following = Arc::new(Following::default());
        let user = UserId::from_bytes([1; 10]);
        let connection = connection_of(user, 1);
        for number in 0..BOARDS_FOLLOWED_MAX {
            let add = || following.add(&number.to_string(), &connection, user);
            assert_eq!(
                (add().unwrap().is_new, add().unwrap().is_new),
                (true, false)
            );
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

//! Presence: what players see of each other.

use std::sync::Arc;
use std::time::Duration;

use pitturu_metrics::labels::DeliveryClass;
use pitturu_metrics::table;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::USERS_PER_CALL_MAX;
use pitturu_protocol::types::presence::{
    GetPresence, PlayerPresence, Presence, Presences, SetPresence, Status,
};
use pitturu_protocol::types::system::Done;
use pitturu_text::fields::Texts as _;
use tokio::sync::mpsc;

use super::friends::FriendService;
use crate::connections::caller::Caller;
use crate::connections::link::Broadcast;
use crate::connections::outbox::LatestKey;
use crate::connections::registry::{ChangedPair, Registry, offline};

/// How often changes of presence are passed on: many changes of one player become one event.
const TICK: Duration = Duration::from_millis(500);

/// The calls of [`pitturu_protocol::types::presence`], and news for friends.
pub struct PresenceService {
    registry: Arc<Registry>,
    friends: Arc<FriendService>,
}

impl PresenceService {
    /// Presence over the connections of `registry`.
    pub const fn new(registry: Arc<Registry>, friends: Arc<FriendService>) -> Self {
        Self { registry, friends }
    }

    /// [`SetPresence`].
    pub fn set(&self, caller: &Caller, request: SetPresence) -> Result<Done, Fault> {
        let user = caller.user()?;
        if request.status == Status::InGame {
            return Err(Fault::invalid("status", "in_game is set by the server"));
        }
        let presence = SetPresence {
            status: request.status,
            note: request.note.filter(|note| !note.is_empty()),
        };
        self.registry.set_presence(user, presence);
        Ok(Done {})
    }

    /// What a hello wants others to see, as far as [`SetPresence`] would take it.
    pub fn restored(mut presence: SetPresence) -> SetPresence {
        if presence.settle_texts().is_err() {
            presence.note = None;
        }
        let status = match presence.status {
            Status::InGame => Status::Online,
            status => status,
        };
        let note = presence.note.filter(|note| !note.is_empty());
        SetPresence { status, note }
    }

    /// [`GetPresence`].
    pub async fn get(&self, caller: &Caller, request: GetPresence) -> Result<Presences, Fault> {
        let viewer = caller.user()?;
        if request.users.len() > USERS_PER_CALL_MAX {
            let text = format!("at most {USERS_PER_CALL_MAX} players in one call");
            return Err(Fault::new(Code::LimitReached, text));
        }
        let mut presences = Vec::with_capacity(request.users.len());
        for user in request.users {
            let hidden = self.friends.is_blocked_either(viewer, user).await?;
            presences.push(if hidden {
                offline(user)
            } else {
                self.registry.presence(user)
            });
        }
        Ok(Presences { presences })
    }

    /// Passes changes on to friends until the server stops.
    pub async fn run(self: Arc<Self>, mut pairs: mpsc::UnboundedReceiver<ChangedPair>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.tell_changes().await,
                pair = pairs.recv() => match pair {
                    Some(pair) => self.pair_changed(pair).await,
                    None => return,
                },
            }
        }
    }

    async fn tell_changes(&self) {
        for presence in self.registry.take_changed() {
            let user = presence.user;
            match self.friends.friends_of(user).await {
                Ok(friends) => {
                    for friend in friends {
                        self.tell(friend, &presence);
                    }
                }
                // Friends hear of nobody any more: the server ends.
                Err(error) if error.is_closed() => {}
                Err(error) => tracing::warn!(%user, %error, "friends miss a change of presence"),
            }
        }
    }

    fn tell(&self, friend: UserId, presence: &Presence) {
        let connections = self.registry.connections_of(friend);
        if connections.is_empty() {
            return;
        }
        let event = PlayerPresence {
            presence: presence.clone(),
        };
        let state = Broadcast::new(frame::event(&event).into());
        let count = connections.len() as u64;
        table::PRESENCE_EVENTS.add(count);
        table::DELIVERIES.at(DeliveryClass::Latest).add(count);
        for connection in connections {
            let key = LatestKey::of::<PlayerPresence>(presence.user);
            connection.outbox.latest(key, &state);
        }
    }

    /// New friends see each other at once; friends who parted see each other go.
    async fn pair_changed(&self, (one, other): ChangedPair) {
        match self.friends.friends_of(one).await {
            Ok(friends) => {
                let are_friends = friends.contains(&other);
                for (viewer, seen) in [(one, other), (other, one)] {
                    let presence = if are_friends {
                        self.registry.presence(seen)
                    } else {
                        offline(seen)
                    };
                    self.tell(viewer, &presence);
                }
            }
            Err(error) if error.is_closed() => {}
            Err(error) => {
                tracing::warn!(%one, %other, %error, "players miss a change of friendship")
            }
        }
    }
}

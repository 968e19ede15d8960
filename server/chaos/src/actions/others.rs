//! What players do to one another: in rooms that they keep order in, and as friends.

use std::time::Duration;

use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::{
    BanMember, KickMember, MemberRole, MuteMember, SetMemberRole, UnbanMember,
};
use pitturu_protocol::types::friends::{
    AcceptFriend, BlockPlayer, RemoveFriend, RequestFriend, UnblockPlayer,
};
use tokio::time::sleep;

use super::{Worker, done};
use crate::record::{Ask, Outcome, Reply};

impl Worker<'_> {
    pub(super) async fn moderate(&mut self, room: RoomId) {
        let user = self.other().user;
        let number = self.world.number();
        match self.rng.u8(..10) {
            0..=2 => {
                let reason = format!("k{number}");
                let ask = Ask::Kick {
                    room,
                    user,
                    reason: reason.clone(),
                };
                let request = KickMember {
                    room,
                    user,
                    reason: Some(reason),
                };
                self.call(ask, request, done).await;
            }
            3..=4 => self.ban(room, user, number).await,
            5..=6 => {
                let ask = Ask::Unban { room, user };
                self.call(ask, UnbanMember { room, user }, done).await;
            }
            7 => {
                let until = self.world.now() + 300 + number % 1_000;
                let ask = Ask::Mute { room, user, until };
                self.call(ask, MuteMember { room, user, until }, done).await;
            }
            _ => {
                let role = match self.rng.bool() {
                    true => MemberRole::Moderator,
                    false => MemberRole::Member,
                };
                self.set_role(room, user, role).await;
            }
        }
    }

    async fn ban(&mut self, room: RoomId, user: UserId, number: u64) {
        let reason = format!("b{number}");
        let ask = Ask::Ban {
            room,
            user,
            reason: reason.clone(),
        };
        let request = BanMember {
            room,
            user,
            until: None,
            reason: Some(reason),
        };
        if matches!(self.call(ask, request, done).await, Outcome::Done(_)) {
            // Nobody stays out for long, or there would soon be nobody to talk.
            let pause = self.rng.u64(50..500);
            sleep(Duration::from_millis(pause)).await;
            let ask = Ask::Unban { room, user };
            self.call(ask, UnbanMember { room, user }, done).await;
        }
    }

    pub(super) async fn set_role(&mut self, room: RoomId, user: UserId, role: MemberRole) {
        let ask = Ask::Role { room, user, role };
        self.call(ask, SetMemberRole { room, user, role }, done)
            .await;
    }

    /// With one of the next two players, so that requests and answers meet.
    pub(super) async fn people(&mut self) {
        let players = &self.world.players;
        let step = match self.rng.bool() {
            true => 1,
            false => players.len() - 1,
        };
        let user = players[(self.player.number + step) % players.len()].user;
        match self.rng.u8(..10) {
            0..=3 => {
                let request = RequestFriend { user };
                self.call(Ask::Befriend { user }, request, |_, friend| {
                    Reply::Friend(friend.state)
                })
                .await;
            }
            4..=5 => {
                let request = AcceptFriend { user };
                self.call(Ask::Accept { user }, request, |_, friend| {
                    Reply::Friend(friend.state)
                })
                .await;
            }
            6 => {
                let ask = Ask::Unfriend { user };
                self.call(ask, RemoveFriend { user }, done).await;
            }
            7 => {
                let ask = Ask::Block { user };
                self.call(ask, BlockPlayer { user }, done).await;
            }
            _ => {
                let ask = Ask::Unblock { user };
                self.call(ask, UnblockPlayer { user }, done).await;
            }
        }
    }
}

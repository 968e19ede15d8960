//! The calls of one player in one room take effect in the order in which they were sent, also where one of them first needs
//! something from the store: the result of an earlier try, the message that it changes, a name to show. What the player sends
//! meanwhile waits behind it.

use std::collections::{HashMap, VecDeque};

use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::UserId;
use pitturu_store::clock::Steady;

use super::super::command::{Close, Create, Follow, RoomCall};
use super::following::refuse_follow;
use super::{Context, LiveRoom};

/// What a player asks, in their order.
#[derive(Debug)]
pub(super) enum Asked {
    Call(Box<RoomCall>),
    Follow(Box<Follow>),
    Close(Box<Close>),
}

impl Asked {
    pub(super) fn user(&self) -> UserId {
        match self {
            Self::Call(call) => call.actor.user,
            Self::Follow(follow) => follow.actor.user,
            Self::Close(close) => close.actor.user,
        }
    }

    fn refuse(self, fault: &Fault) {
        match self {
            Self::Call(call) => call.recipient.refuse(call.call, fault),
            Self::Follow(follow) => refuse_follow(*follow, fault),
            Self::Close(close) => close.connection.refuse(close.call, fault),
        }
    }
}

impl From<Box<Create>> for Asked {
    fn from(create: Box<Create>) -> Self {
        Self::Follow(Box::new((*create).into()))
    }
}

/// Players one of whose calls waits for the store, and what they have asked since.
#[derive(Debug, Default)]
pub(super) struct Held(HashMap<UserId, Line>);

#[derive(Debug, Default)]
struct Line {
    waits: bool,
    behind: VecDeque<Asked>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Something that this player has asked waits for the store.
    pub(super) fn hold(&mut self, user: UserId) {
        self.0.entry(user).or_default().waits = true;
    }

    fn next(&mut self, user: UserId) -> Option<Asked> {
        let line = self.0.get_mut(&user).filter(|line| !line.waits)?;
        let next = line.behind.pop_front();
        if next.is_none() {
            self.0.remove(&user);
        }
        next
    }

    /// Refuses everything.
    pub(super) fn refuse_all(&mut self, fault: &Fault) {
        for asked in self.0.drain().flat_map(|(_, line)| line.behind) {
            asked.refuse(fault);
        }
    }
}

impl LiveRoom {
    /// Takes what a player asks, or puts it behind what they have asked before.
    pub(super) fn ask(&mut self, context: &Context, asked: Asked, now: Steady) {
        self.used_at = now;
        match self.held.0.get_mut(&asked.user()) {
            Some(line) => line.behind.push_back(asked),
            None => self.take(context, asked, now),
        }
    }

    fn take(&mut self, context: &Context, asked: Asked, now: Steady) {
        match asked {
            Asked::Call(call) => self.handle_call(context, *call, now),
            Asked::Follow(follow) => self.handle_follow(context, *follow, now),
            Asked::Close(close) => self.handle_close(context, *close, now),
        }
    }

    /// What something of this player's waited for has come: deals with it, and goes on with what is behind it.
    pub(super) fn came(
        &mut self,
        context: &Context,
        user: UserId,
        now: Steady,
        deal: impl FnOnce(&mut Self),
    ) {
        if let Some(line) = self.held.0.get_mut(&user) {
            line.waits = false;
        }
        deal(self);
        while let Some(asked) = self.held.next(user) {
            self.take(context, asked, now);
        }
    }
}

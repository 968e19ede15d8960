//! What a player asks of their own entity.

use futures_util::FutureExt as _;
use pitturu_protocol::codes::Fault;
use pitturu_rules::friends;
use pitturu_store::StoreError;
use pitturu_store::entities::KeyedResult;

use super::super::command::{Ask, PlayerCall, Report, answer};
use super::super::store::FriendRow;
use super::{Answer, Context, Effects, LivePlayer, Pending, encoded};
use crate::owners::keys::{self, Seen, of_this_request};

impl LivePlayer {
    pub(super) fn handle_call(&mut self, context: &Context, call: PlayerCall) {
        let Some(key) = call.key.clone() else {
            self.carry_out(context, call);
            return;
        };
        let ((user, key), mut call) = (key, Some(call));
        let seen = self
            .keys
            .see(user, &key, 0, || call.take().expect("it is taken once").to);
        let Some(call) = call else {
            return;
        };
        match seen {
            Ok(Seen::First | Seen::Waiting) => self.carry_out(context, call),
            Ok(Seen::Before(body)) => answer(call.to, body.into(), true),
            Ok(Seen::LookUp) => {
                let entities = context.environment.players.entities();
                let mut recalling = entities.recall(self.journal.entity(), user, &key.key);
                if let Some(found) = (&mut recalling).now_or_never() {
                    self.recalled(context, call, found);
                    return;
                }
                self.looking_up += 1;
                let reporter = context.reporter(self.user, self.life);
                tokio::spawn(async move {
                    let found = recalling.await;
                    reporter.report(Report::Recalled(Box::new(call), found));
                });
            }
            Err(fault) => call.refuse(&fault),
        }
    }

    pub(super) fn recalled(
        &mut self,
        context: &Context,
        call: PlayerCall,
        found: Result<Option<KeyedResult>, StoreError>,
    ) {
        let Some((user, key)) = &call.key else {
            return;
        };
        let found = found.map_err(Fault::from);
        match found.and_then(|found| of_this_request(found, key)) {
            Ok(None) => self.carry_out(context, call),
            Ok(Some(body)) => {
                let now = call.now;
                let waiters = self.keys.done(*user, key, body.clone(), 0, now);
                for to in waiters.into_iter().chain([call.to]) {
                    answer(to, body.clone().into(), true);
                }
            }
            Err(fault) => self.refuse_call(call, &fault),
        }
    }

    fn refuse_call(&mut self, call: PlayerCall, fault: &Fault) {
        if let Some((user, key)) = &call.key {
            for to in self.keys.refused(*user, key) {
                drop(to.send(Err(fault.clone())));
            }
        }
        call.refuse(fault);
    }

    fn carry_out(&mut self, context: &Context, call: PlayerCall) {
        let decided = Self::reserve(context).and_then(|reservation| {
            let mut effects = Effects::default();
            let body = self.decide(&call, &mut effects)?;
            Ok((reservation, effects, body))
        });
        match decided {
            Ok((reservation, mut effects, body)) => {
                let result = call
                    .key
                    .as_ref()
                    .map(|(user, key)| keys::result(*user, key, body.clone(), call.now));
                if result.is_some() || !effects.is_empty() {
                    self.account.tidy(call.now, &mut effects.account);
                }
                let mut pending = Pending::of(Answer::Call(call.to, call.key, body));
                if let Ask::Account(_, by) = call.ask {
                    pending.by = by;
                }
                self.commit(context, reservation, effects, result, None, pending);
            }
            Err(fault) => self.refuse_call(call, &fault),
        }
    }

    /// Decides what is asked. The encoded result.
    fn decide(&mut self, call: &PlayerCall, effects: &mut Effects) -> Result<Vec<u8>, Fault> {
        let commit = |name| friends::Commit {
            version: self.journal.version() + 1,
            name,
            at: call.now,
        };
        let (relations, friends) = (&mut self.relations, &mut effects.friends);
        Ok(match &call.ask {
            Ask::Request(other, name) => {
                let row = relations.request(&commit(name.as_str()), other, friends)?;
                encoded(&FriendRow::of(other.user, row))
            }
            Ask::Accept(other, name) => {
                let row = relations.accept(&commit(name.as_str()), other, friends)?;
                encoded(&FriendRow::of(other.user, row))
            }
            Ask::Remove(other) => encoded(&relations.remove(*other, friends)?),
            Ask::Block(other) => {
                let before = relations.block(&commit(""), other, friends)?;
                self.forget_player(other.user, effects);
                encoded(&before)
            }
            Ask::Unblock(other) => encoded(&relations.unblock(*other, friends)?),
            Ask::Tell(entry) => {
                self.take_entry(entry.clone(), call.now, effects);
                Vec::new()
            }
            Ask::Account(ask, _) => {
                return self.decide_account((**ask).clone(), call.now, effects);
            }
            Ask::ForgetRooms(rooms) => {
                for room in rooms {
                    self.take_room(*room, None, call.now, effects);
                }
                Vec::new()
            }
        })
    }
}

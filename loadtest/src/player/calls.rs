//! What a player asks of the server.

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{CallId, Cursor, call};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{LoginGuest, SignedIn};
use pitturu_protocol::types::chat::{JoinRoom, OpenRoom, RoomView};
use pitturu_protocol::types::system::{Resume, RoomCursor};

use super::inbox::Expected;
use super::{Failed, PATIENCE, Player};
use crate::clock;
use crate::tally::Op;

impl Player {
    /// Signs in as the guest of this number; the same number is the same account.
    pub async fn sign_in(&mut self, seed: u64, number: u64) -> Result<SignedIn, Failed> {
        let request = LoginGuest {
            secret: format!("loadtest-{seed:016x}-{number:012}"),
            name: Some(format!("player {number}")),
            device: None,
        };
        self.timed(Op::SignIn, &request).await
    }

    /// Joins a room, which opens it.
    pub async fn join(&mut self, room: RoomId) -> Result<(), Failed> {
        self.join_at(room, clock::now()).await
    }

    /// Joins a room at a moment that was meant to be `intended`.
    pub async fn join_at(&mut self, room: RoomId, intended: u64) -> Result<(), Failed> {
        self.open_by(room, &JoinRoom { room }, intended).await
    }

    /// Opens a room that the player is a member of.
    pub async fn open(&mut self, room: RoomId) -> Result<(), Failed> {
        let request = OpenRoom {
            room,
            seq: None,
            rev: None,
        };
        self.open_by(room, &request, clock::now()).await
    }

    async fn open_by<M: Method<Reply = RoomView>>(
        &mut self,
        room: RoomId,
        request: &M,
        intended: u64,
    ) -> Result<(), Failed> {
        self.inbox.followed.begin(room, None);
        let view = self.timed_at(Op::Open, request, intended).await?;
        let at = Cursor {
            seq: view.info.head,
            rev: view.rev,
        };
        self.inbox.followed.opened(room, at);
        Ok(())
    }

    /// No longer counts what a room tells.
    pub fn unfollow(&mut self, room: RoomId) {
        self.inbox.followed.end(room);
    }

    /// Takes up the room where an earlier connection stood. What was missed follows as events.
    pub async fn resume(&mut self, room: RoomId, cursor: Cursor) -> Result<(), Failed> {
        self.inbox.followed.begin(room, Some(cursor));
        let request = Resume {
            epoch: None,
            inbox: None,
            rooms: vec![RoomCursor {
                room,
                seq: cursor.seq,
                rev: cursor.rev,
            }],
        };
        let resumed = self.call(&request).await?;
        let Some(outcome) = resumed.rooms.into_iter().next() else {
            return Err(Failed::Unreadable("a resume without its room".to_owned()));
        };
        let view = outcome.view.ok_or_else(|| {
            let fault = outcome.fault.unwrap_or_else(|| Fault::of(Code::Internal));
            Failed::Refused(fault)
        })?;
        let head = Cursor {
            seq: view.info.head,
            rev: view.rev,
        };
        self.inbox.followed.opened(room, head);
        Ok(())
    }

    /// Takes what comes until the room is live and everything up to its head is there.
    pub async fn catch_up(&mut self, room: RoomId) -> Result<(), Failed> {
        let caught_up = async {
            while !self.place(room).is_some_and(|place| {
                let cursor = place.cursor.unwrap_or_default();
                place.live && cursor.seq >= place.head
            }) {
                self.turn().await?;
            }
            Ok(())
        };
        match tokio::time::timeout(PATIENCE, caught_up).await {
            Ok(outcome) => outcome.map_err(Failed::Lost),
            Err(_) => Err(Failed::TimedOut),
        }
    }

    /// A call whose time is counted.
    pub async fn timed<M: Method>(&mut self, op: Op, request: &M) -> Result<M::Reply, Failed> {
        self.timed_at(op, request, clock::now()).await
    }

    /// A call that was meant to begin at `intended`. The loss of the connection is counted.
    pub async fn timed_at<M: Method>(
        &mut self,
        op: Op,
        request: &M,
        intended: u64,
    ) -> Result<M::Reply, Failed> {
        self.inbox.tally.intend(op);
        let outcome = self.call(request).await;
        match &outcome {
            Ok(_) => self.inbox.tally.done_now(op, intended),
            Err(failed) => {
                self.inbox.tally.failed(op, failed.code());
                if let Failed::Lost(lost) = failed {
                    self.lost(lost.clone());
                }
            }
        }
        outcome
    }

    /// Calls and waits for the answer. What else comes is counted meanwhile.
    pub async fn call<M: Method>(&mut self, request: &M) -> Result<M::Reply, Failed> {
        self.last_call += 1;
        let number = self.last_call;
        self.inbox.awaited = Some(number);
        self.link.out.message(&call(number, request, None));
        let answered = async {
            loop {
                if let Some(answer) = self.inbox.answer.take() {
                    return Ok(answer);
                }
                self.link.turn(&mut self.inbox).await?;
            }
        };
        let answer = match tokio::time::timeout(PATIENCE, answered).await {
            Ok(answer) => answer.map_err(Failed::Lost)?,
            Err(_) => return Err(Failed::TimedOut),
        };
        self.inbox.awaited = None;
        match answer {
            Ok(body) => codec::decode(&body).map_err(|error| Failed::Unreadable(error.to_string())),
            Err(fault) => Err(Failed::Refused(fault)),
        }
    }

    /// Takes what comes until all that was begun is answered.
    pub async fn answered(&mut self) -> Result<(), Failed> {
        let answered = async {
            while self.unanswered() > 0 {
                self.step().await?;
            }
            Ok(())
        };
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(outcome) => outcome.map_err(Failed::Lost),
            Err(_) => Err(Failed::TimedOut),
        }
    }

    /// Begins a call whose answer will be counted as `op` when it comes.
    pub fn begin<M: Method>(&mut self, op: Op, request: &M, intended: u64) {
        self.begin_counted(op, request, intended, None);
    }

    /// Like [`Self::begin`]; a good answer adds one to `count` as well.
    pub fn begin_counted<M: Method>(
        &mut self,
        op: Op,
        request: &M,
        intended: u64,
        count: Option<&'static str>,
    ) {
        self.last_call += 1;
        let frame = call(self.last_call, request, None);
        self.inbox.tally.intend(op);
        self.inbox.expect(Expected {
            call: self.last_call,
            op,
            intended,
            count,
            is_watched: false,
        });
        self.link.out.message(&frame);
    }

    /// Begins a call under a key of its own, as the SDKs do: its number, which [`Self::take_watched`] will return if the answer is good.
    pub fn begin_watched<M: Method>(&mut self, op: Op, request: &M, intended: u64) -> CallId {
        self.last_call += 1;
        let key = format!("{:016x}", fastrand::u64(..));
        let frame = call(self.last_call, request, Some(&key));
        self.inbox.tally.intend(op);
        self.inbox.expect(Expected {
            call: self.last_call,
            op,
            intended,
            count: None,
            is_watched: true,
        });
        self.link.out.message(&frame);
        self.last_call
    }

    /// Numbers of watched calls that had a good answer since the last time.
    pub fn take_watched(&mut self) -> Vec<CallId> {
        std::mem::take(&mut self.inbox.watched)
    }
}

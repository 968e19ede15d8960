//! The task of a client of frames: one connection after the other.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use parking_lot::Mutex;
use pitturu_protocol::codec;
use pitturu_protocol::events::Event;
use pitturu_protocol::frame::{CallId, ClientFrame, Cursor, Missing, ServerFrame, Stream};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::limits::CALLS_IN_FLIGHT_MAX;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{LoginGuest, SignedIn};
use pitturu_protocol::types::boards::RankChanged;
use pitturu_protocol::types::chat::{
    MessageDeleted, MessageEdited, MessageSent, ReactionChanged, RoomLost, RoomUpdated, RoomView,
};
use pitturu_protocol::types::inbox::InboxAdded;
use pitturu_protocol::types::items::InventoryChanged;
use pitturu_protocol::types::points::WalletChanged;
use pitturu_protocol::types::system::{Resume, Resumed, RoomCursor, StreamPosition};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::Message as Packet;

use super::socket::{Gone, SIGN_IN_WITHIN, Socket, hello, open_socket};
use super::{Ended, Follows, Order, Raw, RawCall, Standing, Told};
use crate::record::{Ask, Change, Heard, PlayerNo, Record, What};

/// The client's task.
pub(super) struct Task {
    pub(super) address: SocketAddr,
    pub(super) player: PlayerNo,
    pub(super) login: LoginGuest,
    pub(super) record: Arc<Record>,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) standing: Arc<Mutex<Standing>>,
    pub(super) logins: u64,
}

/// One connection.
struct Connection {
    socket: Socket,
    last_call: CallId,
    pending: HashMap<CallId, (Follows, Told)>,
    /// Until when nothing is read.
    dozes_until: Option<Instant>,
    out: Vec<u8>,
}

impl Task {
    /// Connects, again and again, until nobody holds the client any more.
    pub(super) async fn run(mut self) {
        loop {
            match timeout(SIGN_IN_WITHIN, self.connect()).await {
                Ok(Ok(connection)) => {
                    let goes_on = self.serve(connection).await;
                    self.standing.lock().online = false;
                    self.record.heard(self.player, Heard::Disconnected);
                    if !goes_on {
                        return;
                    }
                }
                _ => {
                    if !self.refuse_waiting() {
                        return;
                    }
                    sleep(Duration::from_millis(30)).await;
                }
            }
        }
    }

    /// Calls that came while there was no connection are not sent. False: nobody holds the client any more.
    fn refuse_waiting(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Call(call)) => (call.told)(Err(Err(super::UNSENT))),
                Ok(_) => {}
                Err(mpsc::error::TryRecvError::Empty) => return true,
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// Opens a socket, signs in, and takes the streams up again.
    async fn connect(&mut self) -> Result<Connection, Gone> {
        let socket = open_socket(self.address).await?;
        let mut connection = Connection {
            socket,
            last_call: 0,
            pending: HashMap::new(),
            dozes_until: None,
            out: Vec::new(),
        };
        hello(None).append(&mut connection.out);
        self.logins += 1;
        // Before sign-in keys stand alone, so they are long and nobody else's.
        let key = format!("{}-login-{}", self.login.secret, self.logins);
        let login = self.login.clone();
        let signed_in: SignedIn = self.ask(&mut connection, &login, Some(key)).await?;
        let standing = {
            let mut standing = self.standing.lock();
            standing.user = Some(signed_in.identity.user);
            standing.clone()
        };
        let rooms: Vec<RoomCursor> = standing
            .rooms
            .iter()
            .map(|(room, cursor)| RoomCursor {
                room: *room,
                seq: cursor.seq,
                rev: cursor.rev,
            })
            .collect();
        let resume = Resume {
            epoch: None,
            inbox: Some(standing.inbox),
            rooms,
        };
        self.resume(&mut connection, resume).await?;
        self.standing.lock().online = true;
        Ok(connection)
    }

    async fn resume(&mut self, connection: &mut Connection, resume: Resume) -> Result<(), Gone> {
        let rooms = resume.rooms.iter().map(|cursor| cursor.room).collect();
        let ask = Ask::Resume { rooms };
        self.record
            .write(self.player, What::Asked(0, ask, String::new()));
        for cursor in &resume.rooms {
            let opened = Heard::Opened(cursor.room, cursor.seq, cursor.rev);
            self.record.heard(self.player, opened);
        }
        let resumed: Resumed = self.ask(connection, &resume, None).await?;
        for room in resumed.rooms {
            if room.view.is_none() {
                self.standing.lock().rooms.remove(&room.room);
                self.record.heard(self.player, Heard::Lost(room.room, None));
            }
        }
        Ok(())
    }

    /// A call whose answer everything else waits for. Events that come before it are taken.
    async fn ask<M: Method>(
        &mut self,
        connection: &mut Connection,
        request: &M,
        key: Option<String>,
    ) -> Result<M::Reply, Gone> {
        let (told, mut answer) = tokio::sync::oneshot::channel();
        let told = Box::new(move |ended: Ended<'_>| {
            let _ = told.send(ended.ok().map(<[u8]>::to_vec));
        });
        connection.begin(Raw::encode(request, key, Follows::Nothing, told));
        loop {
            connection.send().await?;
            let packet = connection.socket.next().await;
            self.take(connection, packet)?;
            if let Ok(body) = answer.try_recv() {
                return codec::decode(&body.ok_or(Gone)?).map_err(|_| Gone);
            }
        }
    }

    /// Serves the connection until it is gone. False: nobody holds the client any more.
    async fn serve(&mut self, mut connection: Connection) -> bool {
        let goes_on = loop {
            if connection.send().await.is_err() {
                break true;
            }
            let takes_calls = connection.pending.len() < CALLS_IN_FLIGHT_MAX;
            let dozes_until = connection.dozes_until;
            tokio::select! {
                order = self.orders.recv(), if takes_calls => match order {
                    None => break false,
                    Some(Order::Call(call)) => connection.begin(call),
                    Some(Order::Doze(time)) => connection.dozes_until = Some(Instant::now() + time),
                    Some(Order::Drop) => break true,
                },
                packet = connection.socket.next(), if dozes_until.is_none() => {
                    if self.take(&mut connection, packet).is_err() {
                        break true;
                    }
                }
                () = sleep_until(dozes_until.unwrap_or_else(Instant::now)), if dozes_until.is_some() => {
                    connection.dozes_until = None;
                }
            }
        };
        for (_, (_, told)) in connection.pending.drain() {
            told(Err(Err("the connection went away")));
        }
        goes_on
    }

    fn take(
        &self,
        connection: &mut Connection,
        packet: Option<Result<Packet, tokio_tungstenite::tungstenite::Error>>,
    ) -> Result<(), Gone> {
        let bytes = match packet {
            Some(Ok(Packet::Binary(bytes))) => bytes,
            Some(Ok(Packet::Ping(_) | Packet::Pong(_))) => return Ok(()),
            _ => return Err(Gone),
        };
        let mut rest: &[u8] = &bytes;
        while !rest.is_empty() {
            let (frame, after) = ServerFrame::read(rest).map_err(|_| Gone)?;
            rest = after;
            self.take_frame(connection, frame)?;
        }
        Ok(())
    }

    fn take_frame(&self, connection: &mut Connection, frame: ServerFrame<'_>) -> Result<(), Gone> {
        match frame {
            ServerFrame::Reply { call, body } => {
                if let Some((follows, told)) = connection.pending.remove(&call) {
                    self.follow(follows, body);
                    told(Ok(body));
                }
            }
            ServerFrame::Fault { call: 0, .. } | ServerFrame::Goaway(_) => {}
            ServerFrame::Fault { call, fault } => {
                if let Some((_, told)) = connection.pending.remove(&call) {
                    told(Err(Ok(fault)));
                }
            }
            ServerFrame::Event { event, body } => self.take_event(connection, event, body)?,
            ServerFrame::Ping { nonce, .. } => {
                ClientFrame::Pong { nonce }.append(&mut connection.out);
            }
            ServerFrame::Gap {
                stream,
                missing,
                to,
                ..
            } => self.take_gap(stream, missing, to),
            ServerFrame::Welcome(_) | ServerFrame::State { .. } => {}
        }
        Ok(())
    }

    fn follow(&self, follows: Follows, body: &[u8]) {
        match follows {
            Follows::Nothing => {}
            Follows::Opens(from) => {
                let Ok(view) = codec::decode::<RoomView>(body) else {
                    return;
                };
                let room = view.info.room;
                let from = from.unwrap_or(Cursor {
                    seq: view.info.head,
                    rev: view.rev,
                });
                self.standing.lock().rooms.insert(room, from);
                self.record
                    .heard(self.player, Heard::Opened(room, from.seq, from.rev));
            }
            Follows::Closes(room) => {
                self.standing.lock().rooms.remove(&room);
                self.record.heard(self.player, Heard::Lost(room, None));
            }
        }
    }

    fn take_gap(&self, stream: Stream, missing: Missing, to: u64) {
        let mut standing = self.standing.lock();
        let heard = match (stream, missing) {
            (Stream::Inbox, _) => {
                standing.inbox = to;
                Heard::GapInbox(to)
            }
            (Stream::Room(room), Missing::Messages) => {
                standing.rooms.entry(room).and_modify(|at| at.seq = to);
                Heard::GapMessages(room, to)
            }
            (Stream::Room(room), Missing::Changes) => {
                standing.rooms.entry(room).and_modify(|at| at.rev = to);
                Heard::GapChanges(room, to)
            }
        };
        self.record.heard(self.player, heard);
    }

    fn take_event(&self, connection: &mut Connection, event: u16, body: &[u8]) -> Result<(), Gone> {
        let mut standing = self.standing.lock();
        let heard = match event {
            MessageSent::NUMBER => {
                let sent: MessageSent = decode(body)?;
                let cursor = standing.rooms.entry(sent.room);
                cursor.and_modify(|at| at.seq = at.seq.max(sent.msg.seq));
                Heard::Message(sent.room, sent.msg)
            }
            MessageEdited::NUMBER | MessageDeleted::NUMBER | ReactionChanged::NUMBER => {
                let (room, rev, change) = change(event, body)?;
                standing
                    .rooms
                    .entry(room)
                    .and_modify(|at| at.rev = at.rev.max(rev));
                Heard::Change(room, rev, change)
            }
            InboxAdded::NUMBER => {
                let added: InboxAdded = decode(body)?;
                standing.inbox = standing.inbox.max(added.seq);
                Heard::Inbox(added.seq, added.entry)
            }
            WalletChanged::NUMBER => Heard::Wallet(decode::<WalletChanged>(body)?.wallet),
            InventoryChanged::NUMBER => {
                Heard::Item(Box::new(decode::<InventoryChanged>(body)?.change))
            }
            RankChanged::NUMBER => Heard::Standing(Box::new(decode::<RankChanged>(body)?.standing)),
            RoomUpdated::NUMBER => Heard::Info(Box::new(decode::<RoomUpdated>(body)?.info)),
            RoomLost::NUMBER => {
                let lost: RoomLost = decode(body)?;
                standing.rooms.remove(&lost.room);
                Heard::Lost(lost.room, Some(lost.reason))
            }
            StreamPosition::NUMBER => {
                let position: StreamPosition = decode(body)?;
                if !position.live
                    && let Ok(stream) = position.stream.parse()
                {
                    let cursor = Cursor {
                        seq: position.seq,
                        rev: position.rev,
                    };
                    ClientFrame::Ack { stream, cursor }.append(&mut connection.out);
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        drop(standing);
        self.record.heard(self.player, heard);
        Ok(())
    }
}

fn decode<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Gone> {
    codec::decode(body).map_err(|_| Gone)
}

fn change(event: u16, body: &[u8]) -> Result<(RoomId, u64, Change), Gone> {
    Ok(match event {
        MessageEdited::NUMBER => {
            let MessageEdited {
                room,
                rev,
                seq,
                text,
                ..
            } = decode(body)?;
            (room, rev, Change::Edited { seq, text })
        }
        MessageDeleted::NUMBER => {
            let MessageDeleted { room, rev, seq, .. } = decode(body)?;
            (room, rev, Change::Deleted { seq })
        }
        _ => {
            let changed: ReactionChanged = decode(body)?;
            let change = Change::Reacted {
                seq: changed.seq,
                user: changed.user,
                emoji: changed.emoji,
                on: changed.on,
                count: changed.count,
            };
            (changed.room, changed.rev, change)
        }
    })
}

impl Connection {
    fn begin(&mut self, call: RawCall) {
        self.last_call += 1;
        ClientFrame::Call {
            call: self.last_call,
            method: call.method,
            body: &call.body,
            key: call.key.as_deref(),
            head: None,
        }
        .append(&mut self.out);
        self.pending
            .insert(self.last_call, (call.follows, call.told));
    }

    async fn send(&mut self) -> Result<(), Gone> {
        if self.out.is_empty() {
            return Ok(());
        }
        let packet = Packet::Binary(std::mem::take(&mut self.out).into());
        self.socket.send(packet).await.map_err(|_| Gone)
    }
}

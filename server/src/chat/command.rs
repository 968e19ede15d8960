//! What is said to a room's owner, and what it hears back.

use std::sync::Arc;

use pitturu_protocol::frame::Cursor;
use pitturu_protocol::ids::{ConnectionId, RoomId, UserId};
use pitturu_protocol::types::chat::{CreateRoom, JoinRoom, OpenRoom, RoomView};
use pitturu_rules::rooms::identity::Handle;
use pitturu_rules::rooms::rows::MessageRow;
use pitturu_rules::rooms::{Actor, Target};
use pitturu_store::StoreError;
use pitturu_store::entities::{KeyedResult, Undelivered};
use tracing::Span;

use super::blocks::Blocks;
use super::joins::Joining;
use super::request::{DecideRequest, EditRequest, FollowRequest, ReadRequest};
use super::store::LoadedRoom;
use crate::call_traces::Part;
use crate::connections::address::Address;
use crate::connections::call::PendingCall;
use crate::connections::caller::IdempotencyKey;
use crate::connections::connection::Connection;
use crate::connections::opening::Opening;
use crate::connections::recipient::Recipient;
use crate::owners::asker::Asker;
use crate::owners::signals::Delivery;

/// Who is answered.
#[derive(Debug)]
pub enum ReplyTo {
    /// A call on the connection.
    Call(PendingCall),
    /// A task that answers by itself. The connection's driver reads nothing further until it has, and takes the stream up
    /// from its cursor afterwards.
    Task(Asker<RoomView>),
}

impl ReplyTo {
    /// What is noted of it.
    pub const fn part(&self) -> Part {
        match self {
            Self::Call(call) => call.trace().room(),
            Self::Task(to) => to.part(),
        }
    }
}

/// What a call asks of a room that it does not follow by it.
#[derive(Debug)]
pub enum Ask {
    /// A page.
    Read(ReadRequest),
    /// A change to a message.
    Edit(EditRequest),
    /// What is decided from memory. The second part is what was read of the player whom the call is about, where the table of
    /// methods names one.
    Decide(DecideRequest, Option<Target>),
    /// What goes with the actor's account. Nobody but the server asks for it.
    Erase(Erase),
}

/// What a room does when a player's account is erased, for the actor who is the player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erase {
    /// The player leaves, and what is kept of their place goes.
    Player,
    /// The message of this sequence has no author any more, if it is theirs.
    Author(u64),
}

/// A change to a message.
#[derive(Clone, Debug, PartialEq)]
pub enum MessageChange {
    /// By a call.
    Asked(EditRequest),
    /// Its author's account is erased.
    EraseAuthor(u64),
}

impl MessageChange {
    /// The message.
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Asked(EditRequest::EditMessage(request)) => request.seq,
            Self::Asked(EditRequest::DeleteMessage(request)) => request.seq,
            Self::Asked(EditRequest::React(request)) => request.seq,
            Self::EraseAuthor(seq) => *seq,
        }
    }
}

/// A call for one room.
#[derive(Debug)]
pub struct RoomCall {
    /// The room.
    pub room: RoomId,
    /// Who is answered.
    pub recipient: Recipient,
    /// Who calls.
    pub actor: Actor,
    /// From where.
    pub address: Address,
    /// The call to answer.
    pub call: PendingCall,
    /// What is asked.
    pub ask: Ask,
    /// Its idempotency key.
    pub key: Option<IdempotencyKey>,
    /// What its log lines belong to.
    pub span: Span,
}

/// A connection begins to follow a room.
#[derive(Debug)]
pub struct Follow {
    /// The connection. Followers are always connections of this process.
    pub connection: Arc<Connection>,
    /// Who asks.
    pub actor: Actor,
    /// What is asked.
    pub request: FollowRequest,
    /// A join counts among the player's rooms as long as this is kept.
    pub joining: Option<Joining>,
    /// The idempotency key of a call that joins or makes the room.
    pub key: Option<IdempotencyKey>,
    /// Who is answered.
    pub to: ReplyTo,
    /// What its log lines belong to.
    pub span: Span,
}

/// A connection ends to follow a room.
#[derive(Debug)]
pub struct Close {
    /// The room.
    pub room: RoomId,
    /// The connection.
    pub connection: Arc<Connection>,
    /// Who asks.
    pub actor: Actor,
    /// The call to answer.
    pub call: PendingCall,
    /// What its log lines belong to.
    pub span: Span,
}

/// What a new room is made from.
#[derive(Debug)]
pub enum NewRoom {
    /// A public or private room.
    Room(CreateRoom),
    /// The public room of a handle, which everybody who asks for it enters.
    Common(Handle),
    /// A direct room with this player.
    Direct(UserId),
}

/// Makes a room, or opens it when it is there already.
#[derive(Debug)]
pub struct Create {
    /// The room's id, drawn or derived by the caller.
    pub room: RoomId,
    /// Where the call came from.
    pub connection: Arc<Connection>,
    /// Who calls.
    pub actor: Actor,
    /// Who is answered.
    pub to: ReplyTo,
    /// What to make.
    pub new_room: NewRoom,
    /// The call's idempotency key, to be kept with the room, so that it is refused for another request.
    pub key: Option<IdempotencyKey>,
    /// Who of a direct room's players has blocked the other, as the owner reads it before it makes the room.
    pub blocks: Blocks,
}

/// What a room's owner is asked by the rest of the server.
#[derive(Debug)]
pub enum Command {
    /// A call.
    Call(Box<RoomCall>),
    /// Begin to follow a room.
    Follow(Box<Follow>),
    /// Follow a room no longer.
    Close(Box<Close>),
    /// Make a room.
    Create(Box<Create>),
    /// A connection has processed its back-fill up to the cursor and may become live.
    Attach(RoomId, Arc<Connection>, Opening, Cursor),
    /// A connection follows the room no longer.
    Detach(RoomId, ConnectionId),
    /// A player with the room open has become hidden, or is so no longer.
    Visibility(RoomId, UserId),
    /// Remove what retention allows no longer.
    Retain(RoomId),
    /// From the owner of another entity.
    Delivery(Delivery),
}

impl Command {
    /// The room it is about.
    pub fn room(&self) -> RoomId {
        match self {
            Self::Call(call) => call.room,
            Self::Follow(follow) => follow.request.room(),
            Self::Close(close) => close.room,
            Self::Create(create) => create.room,
            Self::Attach(room, ..)
            | Self::Detach(room, _)
            | Self::Visibility(room, _)
            | Self::Retain(room) => *room,
            Self::Delivery(delivery) => RoomId::from_bytes(delivery.to().id()),
        }
    }
}

/// A message taken from the store, and what one player reacted to it with, as far as asked for.
#[derive(Debug)]
pub struct FetchedMessage {
    /// The message, if there is one.
    pub message: Option<MessageRow>,
    /// The player's reactions.
    pub reactions: Option<(UserId, Vec<String>)>,
}

/// A room from the store, ready to be taken up.
#[derive(Debug)]
pub struct Fetched {
    /// The room.
    pub room: LoadedRoom,
    /// Who of a direct room's players has blocked the other.
    pub blocks: Blocks,
    /// What it has told players and does not know to be applied.
    pub undelivered: Vec<Undelivered>,
}

/// What a room hears back from work that it gave away.
#[derive(Debug)]
pub enum Report {
    /// The message of this sequence was read from the store.
    Message(u64, Result<Box<FetchedMessage>, StoreError>),
    /// Whether this call was carried out before.
    Recalled(Box<RoomCall>, Result<Option<KeyedResult>, StoreError>),
    /// The display name of a direct room's player, whom this call shows.
    Named(Box<Follow>, Result<Option<Arc<str>>, StoreError>),
    /// Whether this call that makes or joins the room was carried out before.
    FollowRecalled(Box<Follow>, Result<Option<KeyedResult>, StoreError>),
    /// Messages and changes before these bounds are past their time.
    Outlived(Result<(u64, u64), StoreError>),
    /// The store has removed the messages and changes before these bounds.
    Removed(Result<(u64, u64), StoreError>),
}

impl From<Delivery> for Command {
    fn from(delivery: Delivery) -> Self {
        Self::Delivery(delivery)
    }
}

impl From<Box<Create>> for Command {
    fn from(create: Box<Create>) -> Self {
        Self::Create(create)
    }
}

impl From<Create> for Follow {
    /// What to do with a room that is there already.
    fn from(create: Create) -> Self {
        let room = create.room;
        let request = match create.new_room {
            NewRoom::Common(_) => FollowRequest::JoinRoom(JoinRoom { room }),
            NewRoom::Room(_) | NewRoom::Direct(_) => FollowRequest::OpenRoom(OpenRoom {
                room,
                seq: None,
                rev: None,
            }),
        };
        Self {
            connection: create.connection,
            actor: create.actor,
            request,
            joining: None,
            key: create.key,
            to: create.to,
            span: Span::none(),
        }
    }
}

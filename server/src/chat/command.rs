//! What is said to a room's owner, and what it hears back.

use std::sync::Arc;

use pitturu_protocol::codes::Fault;
use pitturu_protocol::frame::Cursor;
use pitturu_protocol::ids::{ConnectionId, RoomId, UserId};
use pitturu_protocol::types::chat::{CreateRoom, OpenRoom, RoomView};
use pitturu_rules::rooms::Actor;
use pitturu_rules::rooms::rows::MessageRow;
use pitturu_store::StoreError;
use pitturu_store::rooms::LoadedRoom;
use tokio::sync::oneshot;
use tracing::Span;

use super::request::{DecideRequest, EditRequest, FollowRequest, ReadRequest};
use crate::connections::call::PendingCall;
use crate::connections::caller::IdempotencyKey;
use crate::connections::connection::Connection;
use crate::connections::opening::Opening;
use crate::connections::recipient::Recipient;

/// Who is answered.
#[derive(Debug)]
pub enum ReplyTo {
    /// A call on the connection.
    Call(PendingCall),
    /// A task that answers by itself. The connection's driver reads nothing further until it has, and takes the stream up
    /// from its cursor afterwards.
    Task(oneshot::Sender<Result<RoomView, Fault>>),
}

/// What a call asks of a room that it does not follow by it.
#[derive(Debug)]
pub enum Ask {
    /// A page.
    Read(ReadRequest),
    /// A change to a message.
    Edit(EditRequest),
    /// What is decided from memory. The second part is the display name of the player whom the call is about, where a row may
    /// have to be made for them.
    Decide(DecideRequest, Option<String>),
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
    /// The call to answer.
    pub call: PendingCall,
    /// What is asked.
    pub ask: Ask,
    /// Its idempotency key. A stored result was looked for before, at `actor.now`.
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
    pub user: UserId,
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
    /// A direct room with this player.
    Direct(UserId, String),
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
    /// A direct room's players blocked each other, or no longer do.
    SetBlocked(RoomId, bool),
    /// Remove what retention allows no longer.
    Retain(RoomId),
}

impl Command {
    /// The room it is about.
    pub const fn room(&self) -> RoomId {
        match self {
            Self::Call(call) => call.room,
            Self::Follow(follow) => follow.request.room(),
            Self::Close(close) => close.room,
            Self::Create(create) => create.room,
            Self::Attach(room, ..)
            | Self::Detach(room, _)
            | Self::SetBlocked(room, _)
            | Self::Retain(room) => *room,
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
    /// Its rows.
    pub loaded: LoadedRoom,
    /// Its newest messages.
    pub recent: Vec<MessageRow>,
    /// Whether a direct room's players have blocked each other.
    pub blocked: bool,
}

/// What a room hears back from work that it gave away.
#[derive(Debug)]
pub enum Report {
    /// The message of this sequence was read from the store.
    Message(u64, Result<Box<FetchedMessage>, StoreError>),
    /// The store has removed messages and changes before these bounds.
    Retained(Result<(u64, u64), StoreError>),
}

impl From<Box<Create>> for Command {
    fn from(create: Box<Create>) -> Self {
        Self::Create(create)
    }
}

impl From<Create> for Follow {
    /// What to do with a room that is there already.
    fn from(create: Create) -> Self {
        let open = OpenRoom {
            room: create.room,
            seq: None,
            rev: None,
        };
        Self {
            connection: create.connection,
            actor: create.actor,
            request: FollowRequest::OpenRoom(open),
            to: create.to,
            span: Span::none(),
        }
    }
}

//! Rooms and messages.

mod events;
mod members;
mod messages;
mod rooms;

pub use events::{
    AuthorErased, EphemeralSent, LostReason, MessageDeleted, MessageEdited, MessageSent,
    ReactionChanged, ReadMarkerMoved, RoomLost, RoomUpdated, TypingStarted,
};
pub use members::{
    Ban, BanMember, Bans, InviteToRoom, JoinRoom, KickMember, LeaveRoom, ListBans, ListMembers,
    Member, MemberRole, Members, Membership, MuteMember, SetMemberRole, UnbanMember,
};
pub use messages::{
    Changed, DeleteMessage, EditMessage, History, HistoryFrom, ListReactions, MarkRead, Message,
    React, Reacted, Reaction, Reactor, Reactors, ReadHistory, ReadMarker, SendEphemeral,
    SendMessage, Sent, Typing,
};
pub use rooms::{
    CloseRoom, CreateRoom, DeleteRoom, EnterRoom, ListMyRooms, ListRooms, MyRoom, MyRooms,
    OpenDirect, OpenRoom, Retention, RoomInfo, RoomKind, RoomView, Rooms, SearchRooms, UpdateRoom,
};

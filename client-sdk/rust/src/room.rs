//! A room, as an application uses it.

use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::{
    CloseRoom, DeleteMessage, EditMessage, HistoryFrom, InviteToRoom, JoinRoom, LeaveRoom,
    ListMembers, MarkRead, OpenRoom, React, ReadHistory, RoomView, SendEphemeral, SendMessage,
    Typing,
};

use crate::call::Call;
use crate::client::Client;

/// A handle to one room. Cheap to make and to clone; whether the room is open is the client's affair, not the handle's.
///
/// Messages and changes of an open room come as [events](Client::events).
#[derive(Clone, Debug)]
pub struct Room {
    client: Client,
    room: RoomId,
}

impl Client {
    /// A handle to a room. Nothing is sent.
    pub fn room(&self, room: RoomId) -> Room {
        Room {
            client: self.clone(),
            room,
        }
    }
}

impl Room {
    /// The room's id.
    pub fn id(&self) -> RoomId {
        self.room
    }

    /// Becomes a member and opens the room.
    pub fn join(&self) -> Call<JoinRoom> {
        self.client.call(JoinRoom { room: self.room })
    }

    /// Opens a room that the player is a member of: events continue from its newest message.
    pub fn open(&self) -> Call<OpenRoom> {
        self.open_from(None)
    }

    /// Opens the room from a view of an earlier run of the program: what came since arrives as events.
    pub fn open_from(&self, view: Option<&RoomView>) -> Call<OpenRoom> {
        self.client.call(OpenRoom {
            room: self.room,
            seq: view.map(|view| view.info.head),
            rev: view.map(|view| view.rev),
        })
    }

    /// Stops the room's events. The membership stays.
    pub fn close(&self) -> Call<CloseRoom> {
        self.client.call(CloseRoom { room: self.room })
    }

    /// Ends the membership.
    pub fn leave(&self) -> Call<LeaveRoom> {
        self.client.call(LeaveRoom { room: self.room })
    }

    /// Sends a message. The reply comes when it is on the server's disk.
    pub fn send(&self, text: impl Into<String>) -> Call<SendMessage> {
        self.client.call(SendMessage {
            room: self.room,
            text: text.into(),
            data: None,
            reply_to: None,
        })
    }

    /// Sends a message that answers another.
    pub fn reply(&self, to: u64, text: impl Into<String>) -> Call<SendMessage> {
        self.client.call(SendMessage {
            room: self.room,
            text: text.into(),
            data: None,
            reply_to: Some(to),
        })
    }

    /// Replaces the text of the player's own message.
    pub fn edit(&self, seq: u64, text: impl Into<String>) -> Call<EditMessage> {
        self.client.call(EditMessage {
            room: self.room,
            seq,
            text: text.into(),
        })
    }

    /// Deletes a message.
    pub fn delete(&self, seq: u64) -> Call<DeleteMessage> {
        self.client.call(DeleteMessage {
            room: self.room,
            seq,
        })
    }

    /// Adds or takes back a reaction.
    pub fn react(&self, seq: u64, emoji: impl Into<String>, on: bool) -> Call<React> {
        self.client.call(React {
            room: self.room,
            seq,
            emoji: emoji.into(),
            on,
        })
    }

    /// A page of messages, oldest first: the newest ones without `from`, at most `limit` or 50.
    ///
    /// ```no_run
    /// # async fn example(room: pitturu_client::Room) -> Result<(), pitturu_client::CallError> {
    /// use pitturu_client::types::chat::HistoryFrom;
    ///
    /// let newest = room.history(None, Some(20)).await?;
    /// if let Some(oldest) = newest.messages.first() {
    ///     let before: pitturu_client::types::chat::History =
    ///         room.history(Some(HistoryFrom::Before(oldest.seq)), Some(20)).await?;
    ///     println!("{} messages before", before.messages.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn history(&self, from: Option<HistoryFrom>, limit: Option<u32>) -> Call<ReadHistory> {
        self.client.call(ReadHistory {
            room: self.room,
            from,
            limit,
        })
    }

    /// Moves the player's read marker forward.
    pub fn mark_read(&self, seq: u64) -> Call<MarkRead> {
        self.client.call(MarkRead {
            room: self.room,
            seq,
        })
    }

    /// Says something for the moment to everybody who has the room open, the player included. It is never stored.
    /// Without a connection it ends with [`Code::Disconnected`](crate::Code::Disconnected) at once, and it is not repeated.
    pub fn send_ephemeral(&self, text: impl Into<String>) -> Call<SendEphemeral> {
        self.client.call(SendEphemeral {
            room: self.room,
            text: text.into(),
        })
    }

    /// Tells the others that the player is writing. Repeat every few seconds. Lost without a connection.
    pub fn typing(&self) -> Call<Typing> {
        self.client.call(Typing { room: self.room })
    }

    /// A page of members in the order of their ids, after `after`.
    pub fn members(&self, online: bool, after: Option<UserId>) -> Call<ListMembers> {
        self.client.call(ListMembers {
            room: self.room,
            online,
            after,
            limit: None,
        })
    }

    /// Lets a player into a private room.
    pub fn invite(&self, user: UserId) -> Call<InviteToRoom> {
        self.client.call(InviteToRoom {
            room: self.room,
            user,
        })
    }
}

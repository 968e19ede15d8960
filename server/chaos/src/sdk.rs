//! What the Rust SDK tells its application, as lines of the record.

use std::sync::Arc;

use pitturu_client::{Client, Gap, Missing, Problem, ServerEvent, Stream, Subscription};

use crate::record::{Change, Heard, PlayerNo, Record};

/// Writes down all that the client hears, on the client's own task: so it stands in the record before any answer that came
/// after it.
pub fn listen(client: &Client, player: PlayerNo, record: Arc<Record>) -> Subscription {
    client.on_any(move |event| {
        if let Some(heard) = heard(event) {
            record.heard(player, heard);
        }
    })
}

fn heard(event: &ServerEvent) -> Option<Heard> {
    Some(match event {
        ServerEvent::MessageSent(sent) => Heard::Message(sent.room, sent.msg.clone()),
        ServerEvent::MessageEdited(edited) => {
            let change = Change::Edited {
                seq: edited.seq,
                text: edited.text.clone(),
            };
            Heard::Change(edited.room, edited.rev, change)
        }
        ServerEvent::MessageDeleted(deleted) => {
            let change = Change::Deleted { seq: deleted.seq };
            Heard::Change(deleted.room, deleted.rev, change)
        }
        ServerEvent::ReactionChanged(changed) => {
            let change = Change::Reacted {
                seq: changed.seq,
                user: changed.user,
                emoji: changed.emoji.clone(),
                on: changed.on,
                count: changed.count,
            };
            Heard::Change(changed.room, changed.rev, change)
        }
        ServerEvent::InboxAdded(added) => Heard::Inbox(added.seq, added.entry.clone()),
        ServerEvent::WalletChanged(changed) => Heard::Wallet(changed.wallet.clone()),
        ServerEvent::InventoryChanged(changed) => Heard::Item(Box::new(changed.change.clone())),
        ServerEvent::RankChanged(changed) => Heard::Standing(Box::new(changed.standing.clone())),
        ServerEvent::RoomUpdated(updated) => Heard::Info(Box::new(updated.info.clone())),
        ServerEvent::RoomLost(lost) => Heard::Lost(lost.room, Some(lost.reason)),
        ServerEvent::StreamLost {
            stream: Stream::Room(room),
            ..
        } => Heard::Lost(*room, None),
        ServerEvent::Gap(gap) => gap_heard(gap),
        ServerEvent::Problem(Problem::Mismatch { why }) => Heard::Mismatch(why.to_string()),
        ServerEvent::Connection(pitturu_client::ConnectionState::Offline { .. }) => {
            Heard::Disconnected
        }
        _ => return None,
    })
}

fn gap_heard(gap: &Gap) -> Heard {
    match (gap.stream, gap.missing) {
        (Stream::Inbox, _) => Heard::GapInbox(gap.to),
        (Stream::Room(room), Missing::Messages) => Heard::GapMessages(room, gap.to),
        (Stream::Room(room), Missing::Changes) => Heard::GapChanges(room, gap.to),
    }
}

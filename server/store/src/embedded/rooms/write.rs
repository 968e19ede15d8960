//! Carrying out one [`RoomWrite`] inside the writer.

use pitturu_protocol::ids::RoomId;
use pitturu_rules::rooms::rows::{ChangeRow, MemberRow, MemberState, MessageRow, RoomRow};

use super::{
    Heads, heads_in, listed, member_key, names, numbered_key, put_heads, reaction_key, room_key,
    user_room_key,
};
use crate::StoreError;
use crate::embedded::engine::Tx;
use crate::embedded::tables::Table;
use crate::embedded::{inboxes, rows};
use crate::rooms::RoomWrite;

/// Memory of a write beside its texts, and of each of its rows: rough, for the bound of the queue.
const ROW_BYTES: usize = 256;

/// About how much memory a write holds.
pub(super) fn weight(write: &RoomWrite) -> usize {
    let rows = 2
        + write.rows.members.len()
        + write.rows.updated.len()
        + write.rows.reactions.len()
        + write.rows.inbox.len();
    let texts: usize = write
        .rows
        .message
        .iter()
        .chain(&write.rows.updated)
        .map(|row| row.msg.text.len() + row.msg.data.as_ref().map_or(0, Vec::len))
        .sum();
    let reply = write
        .key
        .as_ref()
        .map_or(0, |(_, _, record)| record.reply.len());
    rows * ROW_BYTES + texts + reply
}

/// Carries the write out, or refuses it as a whole.
pub(super) fn apply(tx: &mut Tx<'_>, write: &RoomWrite) -> Result<(), StoreError> {
    if write.fence.0 != tx.fence() {
        return Err(StoreError::Conflict("a write before it was lost"));
    }
    let room = write.room;
    let before = heads_in(tx, room)?;
    let mut heads = match before {
        Some(heads) if heads.deleted => return Err(StoreError::Conflict("the room was deleted")),
        Some(heads) => heads,
        None if write.rows.row.is_none() => {
            return Err(StoreError::Conflict("there is no such room"));
        }
        None => Heads::default(),
    };
    if let Some(row) = &write.rows.row {
        put_room(tx, room, row, &mut heads)?;
    }
    for member in &write.rows.members {
        put_member(tx, room, member, &mut heads)?;
    }
    if let Some(message) = &write.rows.message {
        append_message(tx, room, message, &mut heads)?;
    }
    for row in &write.rows.updated {
        if (heads.first..=heads.head).contains(&row.msg.seq) {
            let key = numbered_key(room, row.msg.seq);
            tx.put(Table::Messages, key, rows::encode(row));
        }
    }
    if let Some(change) = &write.rows.change {
        append_change(tx, room, change, &mut heads)?;
    }
    for (seq, user, emoji) in &write.rows.reactions {
        let key = reaction_key(room, *seq, *user);
        if emoji.is_empty() {
            tx.delete(Table::Reactions, key);
        } else if *seq >= heads.first {
            tx.put(Table::Reactions, key, rows::encode(emoji));
        }
    }
    if let Some((user, key, record)) = &write.key {
        tx.remember_key(Some(*user), key, record);
    }
    for (user, entry, at) in &write.rows.inbox {
        inboxes::append(tx, *user, entry, *at)?;
    }
    let only_a_message = before.map(|before| Heads {
        head: heads.head,
        last_at: heads.last_at,
        ..before
    });
    if only_a_message != Some(heads) {
        put_heads(tx, room, &heads);
    } else if before != Some(heads) {
        tx.note_heads(room_key(room), Some(rows::encode(&heads)));
    }
    Ok(())
}

fn put_room(
    tx: &mut Tx<'_>,
    room: RoomId,
    row: &RoomRow,
    heads: &mut Heads,
) -> Result<(), StoreError> {
    if row.room != room {
        return Err(StoreError::Conflict("the settings are another room's"));
    }
    let before = tx
        .get(Table::Rooms, room.as_bytes())?
        .map(|row| rows::decode::<RoomRow>(Table::Rooms, &row))
        .transpose()?;
    names::update(tx, before.as_ref(), row);
    tx.put(Table::Rooms, room_key(room), rows::encode(row));
    if row.deleted {
        heads.deleted = true;
        tx.put(Table::RoomsDeleted, room_key(room), b"");
    }
    Ok(())
}

fn put_member(
    tx: &mut Tx<'_>,
    room: RoomId,
    member: &MemberRow,
    heads: &mut Heads,
) -> Result<(), StoreError> {
    let key = member_key(room, member.user);
    let before = tx
        .get(Table::Members, &key)?
        .map(|row| rows::decode::<MemberRow>(Table::Members, &row))
        .transpose()?
        .map(|row| row.state);
    let was = before == Some(MemberState::Member);
    let is = member.state == MemberState::Member;
    heads.members = (heads.members + u32::from(is)).saturating_sub(u32::from(was));

    if member.state == MemberState::Left {
        tx.delete(Table::Members, key);
    } else {
        tx.put(Table::Members, key, rows::encode(member));
    }
    let was_listed = before.as_ref().is_some_and(listed);
    let is_listed = listed(&member.state);
    if was_listed != is_listed {
        let key = user_room_key(member.user, room);
        if is_listed {
            tx.put(Table::UserRooms, key, b"");
        } else {
            tx.delete(Table::UserRooms, key);
        }
    }
    Ok(())
}

fn append_message(
    tx: &mut Tx<'_>,
    room: RoomId,
    row: &MessageRow,
    heads: &mut Heads,
) -> Result<(), StoreError> {
    if row.msg.seq != heads.head + 1 {
        return Err(StoreError::Conflict("the message is not the next one"));
    }
    if row.msg.at < heads.last_at {
        return Err(StoreError::Conflict(
            "the message is older than the one before",
        ));
    }
    heads.head = row.msg.seq;
    heads.last_at = row.msg.at;
    tx.put(
        Table::Messages,
        numbered_key(room, row.msg.seq),
        rows::encode(row),
    );
    Ok(())
}

fn append_change(
    tx: &mut Tx<'_>,
    room: RoomId,
    row: &ChangeRow,
    heads: &mut Heads,
) -> Result<(), StoreError> {
    if row.rev != heads.rev + 1 {
        return Err(StoreError::Conflict("the change is not the next one"));
    }
    heads.rev = row.rev;
    tx.put(
        Table::Changes,
        numbered_key(room, row.rev),
        rows::encode(row),
    );
    Ok(())
}

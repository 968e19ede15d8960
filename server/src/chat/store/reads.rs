//! What anyone reads of rooms.

use std::collections::BTreeSet;

use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_rules::rooms::rows::{
    ChangeRow, MemberRow, MemberState, MessageRow, ReactionRow, RoomRow, SanctionRow,
};
use pitturu_store::StoreError;
use pitturu_store::entities::{Bounds, PAGE_ROWS_MAX, RowRange, Span};

use super::{
    CHANGES, DELETED, JOINED, MEMBERS, MESSAGES, REACTIONS, ROOMS, RoomStore, RoomSummary,
    SANCTIONS, SETTINGS, decode, deleted_key, entity, member, member_key, reaction_key,
    reactions_of, sanction, sanction_key, settings_of, summary,
};

impl RoomStore {
    /// Summaries, in the order of `rooms`, each as of one moment. Unknown and deleted rooms are left out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn summaries(&self, rooms: &[RoomId]) -> Result<Vec<RoomSummary>, StoreError> {
        self.glance_at(rooms, None).await
    }

    /// As [`Self::summaries`], with this player's places.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn summaries_for(
        &self,
        user: UserId,
        rooms: &[RoomId],
    ) -> Result<Vec<RoomSummary>, StoreError> {
        self.glance_at(rooms, Some(user)).await
    }

    async fn glance_at(
        &self,
        rooms: &[RoomId],
        user: Option<UserId>,
    ) -> Result<Vec<RoomSummary>, StoreError> {
        let entities = rooms.iter().map(|room| entity(*room)).collect();
        let mut rows = vec![SETTINGS.to_vec(), JOINED.to_vec()];
        rows.extend(user.map(member_key));
        let glances = self.entities.glances(entities, rows).await?;
        let known = glances.iter().flatten();
        known
            .filter_map(|glance| summary(glance).transpose())
            .collect()
    }

    /// One player's place in each of these rooms, in their order; none in unknown and deleted ones. The read markers may be behind:
    /// see [`pitturu_rules::rooms::markers`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn places(
        &self,
        user: UserId,
        rooms: &[RoomId],
    ) -> Result<Vec<Option<MemberRow>>, StoreError> {
        let wanted = rooms.iter().map(|room| (entity(*room), member_key(user)));
        let rows = self.entities.rows_of(wanted.collect()).await?;
        let place = |row: &Option<Vec<u8>>| row.as_ref().map(|row| member(row)).transpose();
        rows.iter().map(place).collect()
    }

    /// Of these players, those who have a place in a room, are kept out or limited there, or keep others out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn traces_of(
        &self,
        room: RoomId,
        users: &[UserId],
    ) -> Result<Vec<UserId>, StoreError> {
        let mut found = BTreeSet::new();
        for family in [MEMBERS, SANCTIONS] {
            let mut after = None;
            loop {
                let range = RowRange::prefix(family).after(after.take());
                let bounds = Bounds::rows(PAGE_ROWS_MAX);
                let rows = self.entities.rows(entity(room), range, bounds).await?;
                for (key, row) in &rows {
                    let user = key.last_chunk().copied().map(UserId::from_bytes);
                    found.extend(user);
                    if family == MEMBERS
                        && let MemberState::Banned { by, .. } = member(row)?.state
                    {
                        found.insert(by);
                    }
                }
                if rows.len() < PAGE_ROWS_MAX {
                    break;
                }
                after = rows.into_iter().last().map(|(key, _)| key);
            }
        }
        let users = users.iter().copied();
        Ok(users.filter(|user| found.contains(user)).collect())
    }

    /// All rooms in the order of their ids.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn rooms_page(
        &self,
        after: Option<RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomRow>, StoreError> {
        let range = RowRange::default().after(after.map(|room| room.as_bytes().to_vec()));
        let found = self
            .entities
            .list(ROOMS, range, Bounds::rows(limit))
            .await?;
        found.iter().map(|(_, row)| settings_of(row)).collect()
    }

    /// The oldest kept messages after `after`, oldest first: at most `limit` and about `bytes`, at least one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn messages_after(
        &self,
        room: RoomId,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<MessageRow>, StoreError> {
        self.messages(room, Span::After(after), limit, bytes).await
    }

    /// The newest messages before `before`, oldest first: at most `limit` and about `bytes`, at least one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn messages_before(
        &self,
        room: RoomId,
        before: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<MessageRow>, StoreError> {
        self.messages(room, Span::Before(before), limit, bytes)
            .await
    }

    async fn messages(
        &self,
        room: RoomId,
        span: Span,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let bounds = Bounds { rows, bytes };
        let found = self.entities.entries(entity(room), MESSAGES, span, bounds);
        let found = found.await?;
        found
            .iter()
            .map(|(_, row)| decode("message", row))
            .collect()
    }

    /// One message.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn message(&self, room: RoomId, seq: u64) -> Result<Option<MessageRow>, StoreError> {
        let span = Span::After(seq.saturating_sub(1));
        let found = self.messages(room, span, 1, 0).await?;
        Ok(found.into_iter().find(|row| row.msg.seq == seq))
    }

    /// The oldest kept changes after `after`, oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn changes_after(
        &self,
        room: RoomId,
        after: u64,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<ChangeRow>, StoreError> {
        let (span, bounds) = (Span::After(after), Bounds { rows, bytes });
        let found = self.entities.entries(entity(room), CHANGES, span, bounds);
        let found = found.await?;
        found.iter().map(|(_, row)| decode("change", row)).collect()
    }

    /// Sequence of the first kept message sent at `at` or later; head + 1 if there is none. Times never go back in a room.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn seq_at_time(&self, room: RoomId, at: u64) -> Result<u64, StoreError> {
        let glances = self
            .entities
            .glances(vec![entity(room)], Vec::new())
            .await?;
        let Some(glance) = glances.into_iter().flatten().next() else {
            return Ok(1);
        };
        let stream = glance.head.streams[usize::from(MESSAGES)];
        let (mut low, mut high) = (stream.first, stream.head + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.message(room, middle).await? {
                Some(row) if row.msg.at >= at => high = middle,
                Some(_) => low = middle + 1,
                // Retention has come past it meanwhile.
                None => low = middle + 1,
            }
        }
        Ok(low)
    }

    /// Who reacted to a message, in the order of their ids.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reactions(
        &self,
        room: RoomId,
        seq: u64,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<ReactionRow>, StoreError> {
        let after = after.map(|user| reaction_key(seq, user));
        let range = RowRange::prefix(reactions_of(seq)).after(after);
        let found = self.entities.rows(entity(room), range, Bounds::rows(limit));
        let user = |key: &[u8]| key.last_chunk().copied().map(UserId::from_bytes);
        let found = found.await?;
        found
            .iter()
            .filter_map(|(key, row)| Some((user(key)?, row)))
            .map(|(user, row)| {
                let emoji = decode("reactions", row)?;
                Ok(ReactionRow { user, emoji })
            })
            .collect()
    }

    /// Who reacted with what to which message, after this one's reaction to that message: in the order of messages and ids.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn all_reactions(
        &self,
        room: RoomId,
        after: Option<(u64, UserId)>,
        limit: usize,
    ) -> Result<Vec<(u64, ReactionRow)>, StoreError> {
        let after = after.map(|(seq, user)| reaction_key(seq, user));
        let range = RowRange::prefix(REACTIONS).after(after);
        let found = self.entities.rows(entity(room), range, Bounds::rows(limit));
        let found = found.await?;
        let rows = found.iter().map(|(key, row)| {
            let key = key.strip_prefix(REACTIONS).and_then(|key| {
                let (seq, user) = key.split_first_chunk()?;
                Some((u64::from_be_bytes(*seq), user.try_into().ok()?))
            });
            let (seq, user) = key.ok_or_else(|| StoreError::damaged("a key of reactions"))?;
            let (user, emoji) = (UserId::from_bytes(user), decode("reactions", row)?);
            Ok((seq, ReactionRow { user, emoji }))
        });
        rows.collect()
    }

    /// How a player stands to a room, and what limits them there.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn standing(
        &self,
        room: RoomId,
        user: UserId,
    ) -> Result<(Option<MemberRow>, Option<SanctionRow>), StoreError> {
        let wanted = [member_key(user), sanction_key(user)];
        let wanted = wanted.into_iter().map(|key| (entity(room), key));
        let mut rows = self.entities.rows_of(wanted.collect()).await?.into_iter();
        let place = rows.next().flatten().map(|row| member(&row)).transpose()?;
        let limits = rows.next().flatten().map(|row| sanction(&row));
        Ok((place, limits.transpose()?))
    }

    /// What one player reacted with; nothing if they did not.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reaction_of(
        &self,
        room: RoomId,
        seq: u64,
        user: UserId,
    ) -> Result<Vec<String>, StoreError> {
        let wanted = vec![(entity(room), reaction_key(seq, user))];
        let found = self.entities.rows_of(wanted).await?;
        let row = found.into_iter().next().flatten();
        row.map_or(Ok(Vec::new()), |row| decode("reactions", &row))
    }

    /// How many messages behind `read` and up to `head` are deleted, of those that the room remembers.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn deleted_between(
        &self,
        room: RoomId,
        read: u64,
        head: u64,
    ) -> Result<u64, StoreError> {
        let mut after = Some(deleted_key(read));
        let mut count = 0;
        while let Some(key) = after.take() {
            let range = RowRange {
                before: Some(deleted_key(head + 1)),
                ..RowRange::prefix(DELETED).after(Some(key))
            };
            let bounds = Bounds::rows(PAGE_ROWS_MAX);
            let found = self.entities.rows(entity(room), range, bounds).await?;
            count += found.len() as u64;
            let is_full = found.len() == PAGE_ROWS_MAX;
            after = found.into_iter().last().map(|(key, _)| key);
            after = after.filter(|_| is_full);
        }
        Ok(count)
    }

    /// Removes for good what players reacted with to a message that is deleted.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove_reactions(&self, room: RoomId, seq: u64) -> Result<(), StoreError> {
        let range = RowRange::prefix(reactions_of(seq));
        self.entities.remove(entity(room), range).await
    }

    /// Removes for good what a room keeps no longer: reactions to the messages from `from` on and before `first`, and the rows before
    /// the ends of its streams.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove_between(
        &self,
        room: RoomId,
        from: u64,
        first: u64,
    ) -> Result<(), StoreError> {
        // Reactions first, so that none is left without its message.
        let range = RowRange {
            before: Some(reactions_of(first)),
            ..RowRange::prefix(REACTIONS).after(Some(reactions_of(from)))
        };
        self.entities.remove(entity(room), range).await?;
        let range = RowRange {
            before: Some(deleted_key(first)),
            ..RowRange::prefix(DELETED)
        };
        self.entities.remove(entity(room), range).await?;
        self.entities.trim(entity(room)).await
    }
}

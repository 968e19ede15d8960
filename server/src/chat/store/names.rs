//! Finding public rooms by name: an index of whole names and one of their words.

use pitturu_protocol::ids::{ID_CHARS, RoomId};
use pitturu_protocol::limits::POSITION_BYTES_MAX;
use pitturu_protocol::types::chat::RoomKind;
use pitturu_rules::rooms::rows::RoomRow;
use pitturu_store::StoreError;
use pitturu_store::entities::{Bounds, List, Row, RowKey, RowRange};
use pitturu_text::fold::{order, room_name};
use pitturu_text::words;

use super::RoomStore;

/// Public rooms by name: the order of the name, a zero byte, room.
const NAMES: List = List(2);

/// Public rooms by the words of their names: word, a zero byte, room; of each its folded name.
const WORDS: List = List(3);

/// A page of rooms and where the next one begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomsPage {
    /// The rooms, in the order of the list.
    pub rooms: Vec<RoomId>,
    /// Of each room the position behind it, where the next page begins if this one is cut short there.
    pub positions: Vec<String>,
    /// Position for the next page; absent on the last. A page may be empty and yet have a next one.
    pub next: Option<String>,
}

/// Index rows that one page of a search looks at; a page may end early, and then says where to go on.
const SEARCH_ROWS_MAX: usize = 4_096;

/// Index rows that a search reads at a time.
const SEARCH_ROWS: usize = 256;

/// The words of a folded name, each once.
fn words_of(folded: &str) -> Vec<&str> {
    let mut words = words::words(folded).concat();
    words.sort_unstable();
    words.dedup();
    words
}

fn index_key(text: &str, room: RoomId) -> RowKey {
    [text.as_bytes(), &[0], room.as_bytes()].concat()
}

/// Text and room of an index key.
fn parse_key(key: &[u8]) -> Option<(&str, RoomId)> {
    let room = RoomId::from_bytes(*key.last_chunk()?);
    let text = key.get(..key.len().checked_sub(room.as_bytes().len() + 1)?)?;
    Some((std::str::from_utf8(text).ok()?, room))
}

fn position(text: &str, room: RoomId) -> String {
    format!("{room}{text}")
}

fn key_at(position: &str) -> Result<RowKey, StoreError> {
    let (room, text) = position
        .split_at_checked(ID_CHARS)
        .filter(|_| position.len() <= POSITION_BYTES_MAX)
        .ok_or(StoreError::InvalidPosition)?;
    let room = room.parse().map_err(|_| StoreError::InvalidPosition)?;
    Ok(index_key(text, room))
}

/// What brings the lists in line with a room that is created, renamed or deleted.
pub(super) fn changes(
    before: Option<&RoomRow>,
    row: &RoomRow,
) -> Vec<(List, RowKey, Option<Vec<u8>>)> {
    let listed = |row: &&RoomRow| row.kind == RoomKind::Public && !row.deleted;
    let old = before.filter(listed).map(|row| room_name(&row.name));
    let new = Some(row).filter(listed).map(|row| room_name(&row.name));
    let mut changes = Vec::new();
    if old == new {
        return changes;
    }
    if let Some(old) = old {
        changes.push((NAMES, index_key(&order(&old), row.room), None));
        let words = words_of(&old).into_iter();
        changes.extend(words.map(|word| (WORDS, index_key(word, row.room), None)));
    }
    if let Some(new) = new {
        changes.push((NAMES, index_key(&order(&new), row.room), Some(Vec::new())));
        let words = words_of(&new).into_iter();
        let name = || Some(new.clone().into_bytes());
        changes.extend(words.map(|word| (WORDS, index_key(word, row.room), name())));
    }
    changes
}

impl RoomStore {
    /// One page of all public rooms, in the [`order`] of their folded names.
    ///
    /// # Errors
    /// [`StoreError::InvalidPosition`] for an `after` that is no page's `next`.
    pub async fn public_rooms(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RoomsPage, StoreError> {
        let range = RowRange::default().after(after.map(key_at).transpose()?);
        let bounds = Bounds::rows(limit + 1);
        let mut found = self.entities().list(NAMES, range, bounds).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let mut page = RoomsPage::default();
        for (text, room) in found.iter().filter_map(|(key, _)| parse_key(key)) {
            page.rooms.push(room);
            page.positions.push(position(text, room));
        }
        page.next = page.positions.last().filter(|_| more).cloned();
        Ok(page)
    }

    /// One page of the public rooms whose name has each part of the query that stands between blanks: its words follow
    /// each other there, and the last may be only begun. Names are compared by [`room_name`]. A query without words finds
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError::InvalidPosition`] for an `after` that is no page's `next`.
    pub async fn search(
        &self,
        query: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RoomsPage, StoreError> {
        let folded = room_name(query);
        let parts = words::words(&folded);
        let mut page = RoomsPage::default();
        // The longest word leaves the fewest rows to look at.
        let Some(lead) = parts
            .iter()
            .flatten()
            .max_by_key(|word| word.len())
            .copied()
        else {
            return Ok(page);
        };
        let mut after = after.map(key_at).transpose()?;
        let mut looked_at = 0;
        while looked_at < SEARCH_ROWS_MAX {
            let range = RowRange::prefix(lead).after(after.take());
            let bounds = Bounds::rows(SEARCH_ROWS);
            let rows = self.entities().list(WORDS, range, bounds).await?;
            for row in &rows {
                if page.rooms.len() == limit {
                    return Ok(page);
                }
                looked_at += 1;
                let Some((word, room)) = parse_key(&row.0) else {
                    continue;
                };
                page.next = Some(position(word, room));
                if matches(row, word, lead, &parts) {
                    page.rooms.push(room);
                    page.positions.push(position(word, room));
                }
            }
            match rows.last() {
                Some((key, _)) if rows.len() == SEARCH_ROWS => after = Some(key.clone()),
                _ => {
                    page.next = None;
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }
}

/// Whether the room of this index row has all parts of the query, and this is the first of its rows that the search meets.
fn matches((_, name): &Row, word: &str, lead: &str, parts: &[Vec<&str>]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else {
        return false;
    };
    let first = words_of(name)
        .into_iter()
        .find(|word| word.starts_with(lead));
    let name_words = words::words(name).concat();
    first == Some(word) && parts.iter().all(|part| has_part(&name_words, part))
}

/// Whether the words of a part follow each other in a name; the last may be only begun.
fn has_part(name: &[&str], part: &[&str]) -> bool {
    let Some((last, whole)) = part.split_last() else {
        return true;
    };
    name.windows(part.len()).any(|window| {
        let (begun, before) = (window[whole.len()], &window[..whole.len()]);
        before == whole && begun.starts_with(last)
    })
}

#[cfg(test)]
mod tests {
    use pitturu_protocol::limits::ROOM_NAME_BYTES_MAX;

    use super::*;

    #[test]
    fn a_part_is_found_where_its_words_follow_each_other() {
        let name = ["boss", "raid", "2"];
        for part in [&["boss"][..], &["ra"], &["boss", "ra"], &["raid", "2"], &[]] {
            assert!(has_part(&name, part), "{part:?}");
        }
        for part in [
            &["aid"][..],
            &["bo", "raid"],
            &["raid", "boss"],
            &["raid", "2", "3"],
        ] {
            assert!(!has_part(&name, part), "{part:?}");
        }
        assert_eq!(words_of("boss raid, boss"), ["boss", "raid"]);
    }

    #[test]
    fn the_position_of_the_longest_name_is_taken_back() {
        let room = RoomId::from_bytes([7; 10]);
        let longest = order(&room_name(&"ﷺ".repeat(ROOM_NAME_BYTES_MAX / "ﷺ".len())));
        let key = index_key(&longest, room);
        assert_eq!(key_at(&position(&longest, room)), Ok(key));
    }

    #[test]
    fn positions_survive_and_others_are_refused() {
        let room = RoomId::from_bytes([7; 10]);
        let key = index_key("a b", room);
        assert_eq!(parse_key(&key), Some(("a b", room)));
        assert_eq!(key_at(&position("a b", room)), Ok(key));
        for bad in ["", "x", "가나다라마바사아", "000000000000000!x"] {
            assert_eq!(key_at(bad), Err(StoreError::InvalidPosition), "{bad:?}");
        }
    }
}

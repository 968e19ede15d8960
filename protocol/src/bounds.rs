//! How long the texts, bytes and lists are that servers send: one table, from which schemas state it, and tests fill every
//! reply and event as far as it goes to see that none is longer than a frame.

use crate::ids::ID_CHARS;
use crate::limits::{
    ADDRESS_BYTES_MAX, BOARD_TOP, CERTIFICATE_HASHES_MAX, DATA_BYTES_MAX, DEVICE_BYTES_MAX,
    ECHO_BYTES_MAX, EMAIL_BYTES_MAX, EMOJI_BYTES_MAX, EMOJI_PER_MESSAGE_MAX, EMOJI_PER_PLAYER_MAX,
    EXPORT_BYTES_MAX, FAULT_TEXT_BYTES_MAX, GAME_NAME_BYTES_MAX, KEY_BYTES_MAX, LANGUAGE_BYTES_MAX,
    NAME_BYTES_MAX, NOTE_BYTES_MAX, PAGE_ITEMS_MAX, PLACES_MAX, POINTS_ACCOUNTS,
    POSITION_BYTES_MAX, PRESENCE_NAMED_MAX, REFERENCE_BYTES_MAX, RESUME_ROOMS_MAX,
    REWARD_RULES_MAX, ROOM_NAME_BYTES_MAX, RULE_BYTES_MAX, SCORE_METADATA_BYTES_MAX, SESSIONS_MAX,
    TEXT_BYTES_MAX, TOKEN_BYTES_MAX, USERNAME_CHARS_MAX, USERS_PER_CALL_MAX,
};

/// How long a field gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// So many bytes of UTF-8, or opaque ones.
    Bytes(usize),
    /// So many items.
    Items(usize),
    /// As many items as a page of a list holds: at most [`PAGE_ITEMS_MAX`], and
    /// [`PAGE_BYTES_MAX`](crate::limits::PAGE_BYTES_MAX) of them.
    Page,
}

impl Bound {
    /// The bound of a type's field. Names of fields mean the same in most types.
    pub fn of(owner: &str, field: &str) -> Option<Self> {
        let line = |owner: &str| {
            let mut lines = BOUNDS.iter();
            lines.find(|(named, name, _)| *named == owner && *name == field)
        };
        line(owner).or_else(|| line("")).map(|(_, _, bound)| *bound)
    }
}

/// Hexadecimal digits of a SHA-256 hash.
const DIGEST_CHARS: usize = 64;

/// Bytes that a character takes at most.
const CHAR_BYTES: usize = 4;

/// Type, or nothing for all that have no line of their own; field; bound.
pub const BOUNDS: &[(&str, &str, Bound)] = &[
    ("", "access", Bound::Bytes(TOKEN_BYTES_MAX)),
    ("", "refresh", Bound::Bytes(TOKEN_BYTES_MAX)),
    ("", "token", Bound::Bytes(TOKEN_BYTES_MAX)),
    (
        "",
        "username",
        Bound::Bytes(USERNAME_CHARS_MAX * CHAR_BYTES),
    ),
    ("", "email", Bound::Bytes(EMAIL_BYTES_MAX)),
    ("", "device", Bound::Bytes(DEVICE_BYTES_MAX)),
    ("", "address", Bound::Bytes(ADDRESS_BYTES_MAX)),
    ("", "language", Bound::Bytes(LANGUAGE_BYTES_MAX)),
    ("", "name", Bound::Bytes(NAME_BYTES_MAX)),
    // Of a room, or of the other player of a direct one.
    ("RoomInfo", "name", Bound::Bytes(ROOM_NAME_BYTES_MAX)),
    ("InboxEntry", "name", Bound::Bytes(ROOM_NAME_BYTES_MAX)),
    ("", "avatar", Bound::Bytes(NOTE_BYTES_MAX)),
    ("", "bio", Bound::Bytes(NOTE_BYTES_MAX)),
    ("", "note", Bound::Bytes(NOTE_BYTES_MAX)),
    ("", "reference", Bound::Bytes(REFERENCE_BYTES_MAX)),
    ("Movement", "id", Bound::Bytes(KEY_BYTES_MAX)),
    ("Movements", "movements", Bound::Page),
    ("PointsDays", "accounts", Bound::Items(POINTS_ACCOUNTS)),
    ("PointsTotals", "days", Bound::Page),
    ("DayTotals", "accounts", Bound::Items(POINTS_ACCOUNTS)),
    ("", "board", Bound::Bytes(GAME_NAME_BYTES_MAX)),
    ("", "item", Bound::Bytes(GAME_NAME_BYTES_MAX)),
    ("", "game", Bound::Bytes(GAME_NAME_BYTES_MAX)),
    ("", "rule", Bound::Bytes(GAME_NAME_BYTES_MAX)),
    ("ItemChange", "id", Bound::Bytes(KEY_BYTES_MAX)),
    ("Items", "items", Bound::Page),
    ("Inventory", "items", Bound::Page),
    ("ItemChanges", "changes", Bound::Page),
    ("PlayRecorded", "rewards", Bound::Items(REWARD_RULES_MAX)),
    ("Rewards", "rules", Bound::Items(REWARD_RULES_MAX)),
    ("", "metadata", Bound::Bytes(SCORE_METADATA_BYTES_MAX)),
    ("Boards", "boards", Bound::Page),
    ("Scores", "entries", Bound::Page),
    ("Places", "places", Bound::Items(PLACES_MAX as usize)),
    ("BoardSeasons", "seasons", Bound::Page),
    ("BoardStanding", "top", Bound::Items(BOARD_TOP)),
    ("", "topic", Bound::Bytes(NOTE_BYTES_MAX)),
    (
        "RoomInfo",
        "handle",
        Bound::Bytes(crate::limits::ROOM_NAME_BYTES_MAX),
    ),
    ("", "reason", Bound::Bytes(NOTE_BYTES_MAX)),
    ("AuditLog", "entries", Bound::Page),
    ("Reports", "reports", Bound::Page),
    ("", "digest", Bound::Bytes(DIGEST_CHARS)),
    ("AuditEntry", "previous", Bound::Bytes(DIGEST_CHARS)),
    ("AuditEntry", "details", Bound::Bytes(DIGEST_CHARS)),
    ("AuditDetails", "salt", Bound::Bytes(DIGEST_CHARS / 2)),
    ("", "text", Bound::Bytes(TEXT_BYTES_MAX)),
    ("", "data", Bound::Bytes(DATA_BYTES_MAX)),
    ("Echo", "data", Bound::Bytes(ECHO_BYTES_MAX)),
    ("Echoed", "data", Bound::Bytes(ECHO_BYTES_MAX)),
    ("", "emoji", Bound::Bytes(EMOJI_BYTES_MAX)),
    ("", "stream", Bound::Bytes(ID_CHARS)),
    ("", "next", Bound::Bytes(POSITION_BYTES_MAX)),
    ("Fault", "message", Bound::Bytes(FAULT_TEXT_BYTES_MAX)),
    ("Fault", "field", Bound::Bytes(FAULT_TEXT_BYTES_MAX)),
    ("Fault", "rule", Bound::Bytes(RULE_BYTES_MAX)),
    (
        "QuicAddress",
        "certificate_hashes",
        Bound::Items(CERTIFICATE_HASHES_MAX),
    ),
    ("Profiles", "profiles", Bound::Page),
    ("PlayerExport", "records", Bound::Bytes(EXPORT_BYTES_MAX)),
    ("PlayersFound", "players", Bound::Page),
    ("Friends", "friends", Bound::Page),
    ("Rooms", "rooms", Bound::Page),
    ("MyRooms", "rooms", Bound::Page),
    ("Members", "members", Bound::Page),
    ("Bans", "bans", Bound::Page),
    ("Reactors", "reactors", Bound::Page),
    ("History", "messages", Bound::Page),
    ("Resume", "rooms", Bound::Items(RESUME_ROOMS_MAX)),
    ("Resumed", "rooms", Bound::Items(RESUME_ROOMS_MAX)),
    ("Sessions", "sessions", Bound::Items(SESSIONS_MAX)),
    ("PlayerRecord", "sessions", Bound::Items(SESSIONS_MAX)),
    (
        "PlayerRecord",
        "rooms",
        Bound::Items(PAGE_ITEMS_MAX as usize),
    ),
    ("Presences", "presences", Bound::Items(USERS_PER_CALL_MAX)),
    ("RoomPresence", "users", Bound::Items(PRESENCE_NAMED_MAX)),
    ("Message", "reactions", Bound::Items(EMOJI_PER_MESSAGE_MAX)),
    ("Reactor", "emoji", Bound::Items(EMOJI_PER_PLAYER_MAX)),
];

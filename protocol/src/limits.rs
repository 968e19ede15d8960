//! Named bounds of the protocol. Both sides refuse what exceeds them before allocating for it.

/// A bound as documents and other languages show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Name of the constant.
    pub name: &'static str,
    /// Value, in the unit that the name ends with.
    pub value: u64,
    /// What it bounds.
    pub doc: &'static str,
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ pub const $name:ident: $type:ty = $value:expr;)*) => {
        $($(#[doc = $doc])+ pub const $name: $type = $value;)*

        /// Every bound, in the order of this file.
        pub const LIMITS: &[Limit] = &[$(Limit {
            name: stringify!($name),
            value: $name as u64,
            doc: concat!($($doc),+),
        }),*];
    };
}

limits! {
    /// Longest single frame in bytes, in either direction.
    pub const FRAME_BYTES_MAX: usize = 64 * 1024;

    /// Longest message in bytes, whatever carries it: one or more frames back to back.
    pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

    /// Largest integer: JavaScript keeps no larger one exactly.
    pub const INTEGER_MAX: u64 = (1 << 53) - 1;

    /// Latest time, in milliseconds since 1970: the end of the year 9999.
    pub const TIME_MS_MAX: u64 = 253_402_300_799_999;

    /// Deepest nesting of arrays and maps in one frame, the frame's own array included.
    pub const NESTING_MAX: usize = 16;

    /// Most calls that one connection may have unanswered. The SDKs queue beyond it.
    pub const CALLS_IN_FLIGHT_MAX: usize = 64;

    /// Longest idempotency key in bytes.
    pub const KEY_BYTES_MAX: usize = 64;

    /// Most rooms that one connection may have open.
    pub const ROOMS_OPEN_MAX: usize = 256;

    /// Most rooms in one `Resume`: so many views fit into one frame. More are resumed by further calls.
    pub const RESUME_ROOMS_MAX: usize = 24;

    /// Most opaque bytes in one `Echo`, which come back with a little more.
    pub const ECHO_BYTES_MAX: usize = 60 * 1024;

    /// Longest message text in bytes of UTF-8.
    pub const TEXT_BYTES_MAX: usize = 4 * 1024;

    /// Longest opaque attachment of a message in bytes.
    pub const DATA_BYTES_MAX: usize = 4 * 1024;

    /// Most items that one page of a list holds.
    pub const PAGE_ITEMS_MAX: u32 = 200;

    /// Items in a page when the caller does not say.
    pub const PAGE_ITEMS_DEFAULT: u32 = 50;

    /// Most bytes of encoded items in one page; a page ends early rather than exceed it.
    pub const PAGE_BYTES_MAX: usize = 48 * 1024;

    /// Longest page of an export of a player's data in bytes.
    pub const EXPORT_BYTES_MAX: usize = 48 * 1024;

    /// Longest pause in milliseconds that slow mode asks for between two messages: six hours.
    pub const SLOW_MODE_MS_MAX: u32 = 6 * 60 * 60 * 1_000;

    /// Longest time in milliseconds for which a room can be told to keep messages: a hundred years.
    pub const RETENTION_MS_MAX: u64 = 100 * 365 * 24 * 60 * 60 * 1_000;

    /// Most messages that a room can be told to keep.
    pub const RETENTION_MESSAGES_MAX: u64 = 1_000_000_000;

    /// Most user ids in one request for profiles or presence.
    pub const USERS_PER_CALL_MAX: usize = 100;

    /// Longest user name in characters, as a reader counts them (grapheme clusters).
    pub const USERNAME_CHARS_MAX: usize = 32;

    /// Shortest user name in characters, as a reader counts them.
    pub const USERNAME_CHARS_MIN: usize = 3;

    /// Longest user name in bytes.
    pub const USERNAME_BYTES_MAX: usize = 128;

    /// Longest password in bytes of UTF-8; bcrypt reads no more.
    pub const PASSWORD_BYTES_MAX: usize = 72;

    /// Shortest password in code points.
    pub const PASSWORD_CHARS_MIN: usize = 8;

    /// Shortest secret of a guest in code points.
    pub const GUEST_SECRET_CHARS_MIN: usize = 16;

    /// Longest secret of a guest in code points.
    pub const GUEST_SECRET_CHARS_MAX: usize = 128;

    /// Longest display name in characters, as a reader counts them (grapheme clusters).
    pub const NAME_CHARS_MAX: usize = 40;

    /// Longest display name in bytes.
    pub const NAME_BYTES_MAX: usize = 160;

    /// Longest room name in characters, as a reader counts them (grapheme clusters).
    pub const ROOM_NAME_CHARS_MAX: usize = 64;

    /// Longest room name in bytes.
    pub const ROOM_NAME_BYTES_MAX: usize = 256;

    /// Longest free text of a profile, a room topic, a reason or a presence note in bytes.
    pub const NOTE_BYTES_MAX: usize = 512;

    /// Accounts of a player's books.
    pub const POINTS_ACCOUNTS: usize = 10;

    /// Most rules of rewards that a game has.
    pub const REWARD_RULES_MAX: usize = 100;

    /// Most of an item that one call changes.
    pub const ITEM_COUNT_MAX: u64 = 1_000_000;

    /// Longest reference of a movement of points in bytes.
    pub const REFERENCE_BYTES_MAX: usize = 128;

    /// Longest name of a leaderboard, an item, a rule or a game in bytes.
    pub const GAME_NAME_BYTES_MAX: usize = 32;

    /// Longest metadata of a score in bytes.
    pub const SCORE_METADATA_BYTES_MAX: usize = 256;

    /// Most scores on either side of a player's in one list around it.
    pub const SCORES_AROUND_MAX: u32 = 50;

    /// The best whom a leaderboard shows at a glance.
    pub const BOARD_TOP: usize = 10;

    /// Most leaderboards that one connection follows.
    pub const BOARDS_FOLLOWED_MAX: usize = 16;

    /// Most places in one page of a player's places, each of which may lead to another season.
    pub const PLACES_MAX: u32 = 50;

    /// Longest e-mail address in bytes, as SMTP allows.
    pub const EMAIL_BYTES_MAX: usize = 254;

    /// Longest language tag in bytes: language, script, region and one variant.
    pub const LANGUAGE_BYTES_MAX: usize = 35;

    /// Longest name of a device in bytes.
    pub const DEVICE_BYTES_MAX: usize = 128;

    /// Longest network address as text in bytes.
    pub const ADDRESS_BYTES_MAX: usize = 45;

    /// Most sessions of one account. A further sign-in ends the one that was used longest ago.
    pub const SESSIONS_MAX: usize = 50;

    /// Longest position in a list of rooms, `next` and `after`, in bytes. A name of 256 bytes becomes at most eleven times longer by
    /// folding, and stands twice in the key of its order.
    pub const POSITION_BYTES_MAX: usize = 8 * 1024;

    /// Longest reaction in bytes: one emoji or a short code. The longest emoji, a kiss of two skin tones, has 35.
    pub const EMOJI_BYTES_MAX: usize = 40;

    /// Most distinct emoji on one message.
    pub const EMOJI_PER_MESSAGE_MAX: usize = 32;

    /// Most different reactions of one player on one message, so that six together leave others some of those of the message.
    pub const EMOJI_PER_PLAYER_MAX: usize = 5;

    /// Most room members whose presence is sent by name; larger rooms get counts.
    pub const PRESENCE_NAMED_MAX: usize = 64;

    /// Longest message of a fault, and longest name of its field, in bytes.
    pub const FAULT_TEXT_BYTES_MAX: usize = 512;

    /// Most hashes of certificates that a welcome tells.
    pub const CERTIFICATE_HASHES_MAX: usize = 2;

    /// Length of the hash of a certificate in hexadecimal digits: SHA-256.
    pub const CERTIFICATE_HASH_BYTES: usize = 64;

    /// Longest name of a rule for text, in bytes.
    pub const RULE_BYTES_MAX: usize = 32;

    /// Longest token in bytes, access or refresh.
    pub const TOKEN_BYTES_MAX: usize = 2 * 1024;
}

const _: () = assert!(FRAME_BYTES_MAX <= MESSAGE_BYTES_MAX);
const _: () = assert!(TEXT_BYTES_MAX + DATA_BYTES_MAX + 4 * 1024 <= PAGE_BYTES_MAX);
const _: () =
    assert!(PAGE_BYTES_MAX + TEXT_BYTES_MAX + DATA_BYTES_MAX + 4 * 1024 <= FRAME_BYTES_MAX);
const _: () = assert!(PAGE_BYTES_MAX + POSITION_BYTES_MAX + 1024 <= FRAME_BYTES_MAX);
const _: () = assert!(RESUME_ROOMS_MAX <= ROOMS_OPEN_MAX && ECHO_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(TIME_MS_MAX < INTEGER_MAX && RETENTION_MS_MAX < TIME_MS_MAX);
const _: () = assert!(6 * EMOJI_PER_PLAYER_MAX < EMOJI_PER_MESSAGE_MAX);
const _: () = assert!(PAGE_ITEMS_DEFAULT <= PAGE_ITEMS_MAX);

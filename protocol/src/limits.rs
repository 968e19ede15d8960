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

    /// Longest WebSocket message in bytes: one or more frames back to back.
    pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

    /// Deepest nesting of arrays and maps in one frame, the frame's own array included.
    pub const NESTING_MAX: usize = 16;

    /// Most calls that one connection may have unanswered. The SDKs queue beyond it.
    pub const CALLS_IN_FLIGHT_MAX: usize = 64;

    /// Longest idempotency key in bytes.
    pub const KEY_BYTES_MAX: usize = 64;

    /// Most rooms that one connection may have open.
    pub const ROOMS_OPEN_MAX: usize = 256;

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

    /// Longest name of a device in bytes.
    pub const DEVICE_BYTES_MAX: usize = 128;

    /// Longest e-mail address in bytes, as SMTP allows.
    pub const EMAIL_BYTES_MAX: usize = 254;

    /// Longest language tag in bytes: language, script, region and one variant.
    pub const LANGUAGE_BYTES_MAX: usize = 35;

    /// Longest reaction in bytes: one emoji or a short code. The longest emoji, a kiss of two skin tones, has 35.
    pub const EMOJI_BYTES_MAX: usize = 40;

    /// Most distinct emoji on one message.
    pub const EMOJI_PER_MESSAGE_MAX: usize = 32;

    /// Most room members whose presence is sent by name; larger rooms get counts.
    pub const PRESENCE_NAMED_MAX: usize = 64;

    /// Longest token in bytes, access or refresh.
    pub const TOKEN_BYTES_MAX: usize = 2 * 1024;
}

const _: () = assert!(FRAME_BYTES_MAX <= MESSAGE_BYTES_MAX);
const _: () = assert!(TEXT_BYTES_MAX + DATA_BYTES_MAX + 4 * 1024 <= PAGE_BYTES_MAX);
const _: () =
    assert!(PAGE_BYTES_MAX + TEXT_BYTES_MAX + DATA_BYTES_MAX + 4 * 1024 <= FRAME_BYTES_MAX);
const _: () = assert!(PAGE_ITEMS_DEFAULT <= PAGE_ITEMS_MAX);

//! The layout of every frame. The vectors hold it to the codec in [`pitturu_protocol::frame`].

use pitturu_protocol::limits::INTEGER_MAX;
use serde_json::{Map, Value, json};

/// Who sends a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The server.
    Server,
}

impl Side {
    /// Name in vectors and generated code.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// What stands in one place of a frame's array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// An integer below 2^16.
    U16,
    /// An integer below 2^32.
    U32,
    /// An integer below 2^53.
    Integer,
    /// A room's id, or `inbox`.
    Stream,
    /// A room's id.
    Room,
    /// Opaque bytes.
    Bin,
    /// An idempotency key; absent or nil for none.
    Key,
    /// An integer below 2^53 behind a key; absent or nil for none.
    Head,
    /// 0 for messages, 1 for changes.
    Missing,
    /// A map of the named type.
    Body(&'static str),
    /// A map whose type the number before it tells.
    TableBody,
}

/// One place of a frame's array after the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name in vectors and documents; it does not travel.
    pub name: &'static str,
    /// What stands there.
    pub element: Element,
}

/// One kind of frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameEntry {
    /// First element of the array.
    pub kind: u8,
    /// Name in vectors, documents and generated code.
    pub name: &'static str,
    /// Who sends it.
    pub side: Side,
    /// What it says.
    pub doc: &'static str,
    /// The elements after the kind.
    pub fields: &'static [Field],
}

macro_rules! frames {
    ($($kind:literal $name:literal $side:ident $doc:literal ($($field:ident: $element:expr),*);)*) => {
        /// Every kind of frame.
        pub const FRAMES: &[FrameEntry] = &[$(FrameEntry {
            kind: $kind,
            name: $name,
            side: Side::$side,
            doc: $doc,
            fields: &[$(Field { name: stringify!($field), element: $element }),*],
        }),*];
    };
}

use Element::{Bin, Body, Head, Integer, Key, Missing, Room, Stream, TableBody, U16, U32};

frames! {
    1 "hello" Client "First frame of a connection." (body: Body("Hello"));
    2 "call" Client "A request that wants exactly one reply or fault."
        (call: U32, method: U16, body: TableBody, key: Key, head: Head);
    3 "cancel" Client "The answer to this call is no longer wanted." (call: U32);
    4 "ack" Client "Everything of the stream up to the cursor has been processed; the next page of a back-fill may come."
        (stream: Stream, seq: Integer, rev: Integer);
    5 "pong" Client "Answer to a ping." (nonce: U32);
    6 "input" Client "Game input for a match." (room: Room, seq: Integer, data: Bin);
    8 "welcome" Server "Answer to hello." (body: Body("Welcome"));
    9 "reply" Server "Result of a call." (call: U32, body: TableBody);
    10 "fault" Server "Refusal of a call; call 0 means the connection, which closes after it."
        (call: U32, fault: Body("Fault"));
    11 "event" Server "Something happened." (event: U16, body: TableBody);
    12 "state" Server "State of a match." (room: Room, tick: Integer, data: Bin);
    13 "ping" Server "Are you there? With the server's clock." (nonce: U32, now: Integer);
    14 "goaway" Server "The server will close this connection." (body: Body("Goaway"));
    15 "gap" Server "Part of a stream that no longer exists."
        (stream: Stream, missing: Missing, from: Integer, to: Integer);
}

impl FrameEntry {
    /// The frame of this name.
    pub fn of(name: &str) -> &'static Self {
        FRAMES
            .iter()
            .find(|frame| frame.name == name)
            .unwrap_or_else(|| panic!("no frame is called {name}"))
    }

    /// The array that these named fields make; absent ones are left out.
    pub fn array(&self, fields: &Map<String, Value>) -> Value {
        let present = self
            .fields
            .iter()
            .filter_map(|field| fields.get(field.name).cloned());
        std::iter::once(json!(self.kind)).chain(present).collect()
    }
}

impl Element {
    /// Whether it may be left out, with all that follow it.
    pub const fn is_optional(self) -> bool {
        matches!(self, Key | Head)
    }

    /// JSON Schema of what stands there; `reference` makes the reference to a named type.
    pub fn schema(self, reference: impl Fn(&str) -> Value) -> Value {
        let integer = |maximum: u64| json!({ "type": "integer", "minimum": 0, "maximum": maximum });
        match self {
            U16 => integer(u64::from(u16::MAX)),
            U32 => integer(u64::from(u32::MAX)),
            Integer => integer(INTEGER_MAX),
            Stream => json!({ "type": "string", "description": "A room's id, or `inbox`." }),
            Room => reference("RoomId"),
            Bin => json!({ "type": "string", "format": "binary", "x-msgpack": "bin" }),
            Key => json!({
                "type": ["string", "null"],
                "minLength": 1,
                "maxLength": pitturu_protocol::limits::KEY_BYTES_MAX,
                "description": "Idempotency key; may be left out.",
            }),
            Head => json!({
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": INTEGER_MAX,
                "description": "First attempt only: newest sequence of the room that the client had seen; may be left out.",
            }),
            Missing => json!({ "enum": [0, 1], "description": "0 messages, 1 changes." }),
            Body(name) => reference(name),
            TableBody => json!({ "type": "object" }),
        }
    }
}

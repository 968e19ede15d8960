//! Golden vectors: bytes beside the values that they mean, and bytes that are refused.

use pitturu_protocol::frame::{ClientFrame, InvalidFrame, ServerFrame};
use pitturu_protocol::limits::{FRAME_BYTES_MAX, KEY_BYTES_MAX, NESTING_MAX};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::catalog::{Body, Catalog};
use crate::derived::Derived;
use crate::frames::{FRAMES, FrameEntry, Side};
use crate::sample;
use crate::wire::{bin, from_bytes, from_hex, hex, to_bytes};

/// A value and its bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Encoded {
    /// The bytes, in hexadecimal.
    pub hex: String,
    /// The value; fields in the order in which they travel.
    pub value: Value,
}

/// The bodies of one method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodVectors {
    /// Number on the wire.
    pub number: u16,
    /// Name of the method.
    pub name: String,
    /// Examples of what the caller sends.
    pub requests: Vec<Encoded>,
    /// Examples of what a successful call returns.
    pub replies: Vec<Encoded>,
}

/// The bodies of one event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventVectors {
    /// Number on the wire.
    pub number: u16,
    /// Name of the event.
    pub name: String,
    /// Examples of what it carries.
    pub bodies: Vec<Encoded>,
}

/// A whole frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameVector {
    /// Name of the kind.
    pub frame: String,
    /// Who sends it.
    pub side: String,
    /// The bytes, in hexadecimal.
    pub hex: String,
    /// The elements after the kind, by name.
    pub fields: Map<String, Value>,
}

/// Bytes that are no frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MalformedVector {
    /// What is wrong with it.
    pub name: String,
    /// Who would have sent it.
    pub side: String,
    /// The bytes, in hexadecimal.
    pub hex: String,
    /// How many zero bytes follow.
    pub zeros: usize,
    /// Class of the error.
    pub error: String,
}

/// All vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// Bodies of calls and replies.
    pub methods: Vec<MethodVectors>,
    /// Bodies of events.
    pub events: Vec<EventVectors>,
    /// Whole frames.
    pub frames: Vec<FrameVector>,
    /// Refused bytes.
    pub malformed: Vec<MalformedVector>,
}

impl Vectors {
    /// Derives all vectors from the tables.
    pub fn make(catalog: &Catalog) -> Self {
        let methods = catalog.methods.iter().map(|method| MethodVectors {
            number: method.info.number,
            name: method.info.name.to_owned(),
            requests: bodies(catalog, method.request),
            replies: bodies(catalog, method.reply),
        });
        let events = catalog.events.iter().map(|event| EventVectors {
            number: event.info.number,
            name: event.info.name.to_owned(),
            bodies: bodies(catalog, event.body),
        });
        Self {
            methods: methods.collect(),
            events: events.collect(),
            frames: frames(catalog),
            malformed: malformed(catalog),
        }
    }

    /// The files that hold them.
    pub fn files(&self) -> Vec<Derived> {
        vec![
            Derived {
                path: "schemas/vectors/methods.json",
                content: lines(&self.methods),
            },
            Derived {
                path: "schemas/vectors/events.json",
                content: lines(&self.events),
            },
            Derived {
                path: "schemas/vectors/frames.json",
                content: lines(&self.frames),
            },
            Derived {
                path: "schemas/vectors/malformed.json",
                content: lines(&self.malformed),
            },
        ]
    }
}

/// A JSON array with one entry per line.
fn lines<T: Serialize>(entries: &[T]) -> String {
    let entries: Vec<String> = entries
        .iter()
        .map(|entry| serde_json::to_string(entry).expect("vectors are plain data"))
        .collect();
    format!("[\n{}\n]\n", entries.join(",\n"))
}

fn bodies(catalog: &Catalog, body: Body) -> Vec<Encoded> {
    let mut encoded: Vec<Encoded> = Vec::new();
    for value in sample::values(catalog, body.name) {
        let bytes = (body.recode)(&to_bytes(&value))
            .unwrap_or_else(|error| panic!("the sample of {} does not fit: {error}", body.name));
        let entry = Encoded {
            hex: hex(&bytes),
            value: from_bytes(&bytes),
        };
        if !encoded.contains(&entry) {
            encoded.push(entry);
        }
    }
    encoded
}

fn frames(catalog: &Catalog) -> Vec<FrameVector> {
    FRAMES
        .iter()
        .flat_map(|frame| {
            frame_fields(catalog, frame)
                .into_iter()
                .map(|fields| FrameVector {
                    frame: frame.name.to_owned(),
                    side: frame.side.name().to_owned(),
                    hex: hex(&to_bytes(&frame.array(&fields))),
                    fields,
                })
        })
        .collect()
}

/// The examples of one kind of frame. Kinds with a body of their own take its samples; the bodies behind a number have
/// vectors of their own, so a few stand here.
fn frame_fields(catalog: &Catalog, frame: &FrameEntry) -> Vec<Map<String, Value>> {
    let examples: Vec<Value> = match frame.name {
        "hello" => with_bodies(catalog, "Hello", |body| json!({ "body": body })),
        "welcome" => with_bodies(catalog, "Welcome", |body| json!({ "body": body })),
        "goaway" => with_bodies(catalog, "Goaway", |body| json!({ "body": body })),
        "fault" => with_bodies(
            catalog,
            "Fault",
            |fault| json!({ "call": 3, "fault": fault }),
        ),
        "call" => call_fields(catalog),
        "cancel" => vec![json!({ "call": 0 }), json!({ "call": u32::MAX })],
        "ack" => vec![
            json!({ "stream": "inbox", "seq": 300, "rev": 0 }),
            json!({ "stream": ROOM, "seq": (1u64 << 53) - 1, "rev": 65_536 }),
        ],
        "pong" => vec![json!({ "nonce": 7 }), json!({ "nonce": u32::MAX })],
        "ping" => vec![
            json!({ "nonce": 7, "now": 1_767_225_600_000_u64 }),
            json!({ "nonce": u32::MAX, "now": 0 }),
        ],
        "input" => vec![
            json!({ "room": ROOM, "seq": 128, "data": bin(&[0, 255, 0xc1]) }),
            json!({ "room": ROOM, "seq": 0, "data": bin(&[]) }),
        ],
        "reply" => with_bodies(
            catalog,
            "Sent",
            |body| json!({ "call": 70_000, "body": body }),
        )
        .into_iter()
        .chain([json!({ "call": 1, "body": {} })])
        .collect(),
        "event" => catalog
            .events
            .iter()
            .map(|event| {
                let body = &bodies(catalog, event.body)[0];
                json!({ "event": event.info.number, "body": body.value })
            })
            .collect(),
        "state" => vec![json!({ "room": ROOM, "tick": 65_535, "data": bin(&[1; 300]) })],
        "gap" => vec![
            json!({ "stream": ROOM, "missing": 0, "from": 1, "to": 4_294_967_296u64 }),
            json!({ "stream": "inbox", "missing": 1, "from": 5, "to": 5 }),
        ],
        other => panic!("no example of frame {other}"),
    };
    examples
        .into_iter()
        .map(|example| match example {
            Value::Object(fields) => fields,
            other => panic!("fields are a map, not {other}"),
        })
        .collect()
}

const ROOM: &str = "0123456789abcdef";

fn with_bodies(catalog: &Catalog, name: &str, fields: impl Fn(Value) -> Value) -> Vec<Value> {
    let body = catalog
        .frame_bodies
        .iter()
        .copied()
        .chain(catalog.methods.iter().map(|method| method.reply))
        .find(|body| body.name == name)
        .unwrap_or_else(|| panic!("no body is called {name}"));
    bodies(catalog, body)
        .into_iter()
        .map(|encoded| fields(encoded.value))
        .collect()
}

fn call_fields(catalog: &Catalog) -> Vec<Value> {
    let send = catalog
        .methods
        .iter()
        .find(|method| method.info.name == "SendMessage")
        .expect("the table has it");
    let number = send.info.number;
    let mut fields: Vec<Value> = bodies(catalog, send.request)
        .into_iter()
        .map(|body| json!({ "call": 1, "method": number, "body": body.value, "key": "k" }))
        .collect();
    fields.push(json!({ "call": 65_536, "method": 0, "body": { "data": bin(b"hi") } }));
    fields.push(json!({
        "call": u32::MAX, "method": u16::MAX, "body": {}, "key": "k".repeat(KEY_BYTES_MAX),
    }));
    let first_attempts = [0, 127, 128, 65_536, (1u64 << 53) - 1]
        .map(|head| json!({ "call": 1, "method": number, "body": {}, "key": "k", "head": head }));
    fields.extend(first_attempts);
    fields
}

/// Class of an error in the vectors.
pub fn error_class(error: &InvalidFrame) -> &'static str {
    match error {
        InvalidFrame::Malformed(_) | InvalidFrame::Integer { .. } => "malformed",
        InvalidFrame::TooLong => "too_long",
        InvalidFrame::Kind(_) => "kind",
        InvalidFrame::Key => "key",
        InvalidFrame::Body(_) => "body",
        InvalidFrame::Stream(_) => "stream",
    }
}

/// What the codec says of one frame that `side` sent.
pub fn refusal(side: &str, bytes: &[u8]) -> Option<InvalidFrame> {
    if side == Side::Client.name() {
        ClientFrame::read(bytes).err()
    } else {
        ServerFrame::read(bytes).err()
    }
}

fn malformed(catalog: &Catalog) -> Vec<MalformedVector> {
    let mut cases: Vec<(String, Side, Vec<u8>, usize)> = Vec::new();
    let mut case = |name: &str, side, bytes: Vec<u8>, zeros| {
        cases.push((name.to_owned(), side, bytes, zeros));
    };
    for side in [Side::Client, Side::Server] {
        for (name, bytes) in no_frames() {
            case(name, side, bytes, 0);
        }
    }
    for (name, bytes) in client_faults() {
        case(name, Side::Client, bytes, 0);
    }
    for (name, bytes, zeros) in server_faults() {
        case(name, Side::Server, bytes, zeros);
    }
    for vector in frames(catalog) {
        let bytes = from_hex(&vector.hex).expect("the generator wrote it");
        let side = FrameEntry::of(&vector.frame).side;
        for length in [1, bytes.len() / 2, bytes.len() - 1] {
            let name = format!("{} cut after {length} bytes", vector.frame);
            case(&name, side, bytes[..length].to_vec(), 0);
        }
    }
    cases
        .into_iter()
        .map(|(name, side, bytes, zeros)| {
            let mut whole = bytes.clone();
            whole.resize(bytes.len() + zeros, 0);
            let error = refusal(side.name(), &whole)
                .unwrap_or_else(|| panic!("{name} is a well-formed frame"));
            MalformedVector {
                name,
                side: side.name().to_owned(),
                hex: hex(&bytes),
                zeros,
                error: error_class(&error).to_owned(),
            }
        })
        .collect()
}

fn no_frames() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nothing", vec![]),
        ("a map", vec![0x80]),
        ("an empty array", vec![0x90]),
        ("a kind that is text", vec![0x91, 0xa1, b'x']),
        ("an unknown kind", vec![0x91, 0x63]),
        ("a negative kind", vec![0x91, 0xff]),
        ("the byte that nothing uses", vec![0x91, 0xc1]),
        (
            "an array longer than the bytes",
            vec![0xdd, 0xff, 0xff, 0xff, 0xff, 0x01],
        ),
    ]
}

fn nested(kind: u8, levels: usize) -> Vec<u8> {
    // The map of the body is one level; arrays fill the others.
    let mut bytes = vec![0x93, kind, 0x01, 0x81, 0xa1, b'a'];
    bytes.extend(std::iter::repeat_n(0x91, levels));
    bytes.push(0xc0);
    bytes
}

fn client_faults() -> Vec<(&'static str, Vec<u8>)> {
    let call = FrameEntry::of("call");
    let key = |key: &str| {
        let fields = json!({ "call": 1, "method": 0, "body": {}, "key": key });
        to_bytes(&call.array(fields.as_object().expect("a map")))
    };
    let head = |bytes: &[u8]| [&[0x96, 2, 1, 0, 0x80, 0xa1, b'k'], bytes].concat();
    vec![
        ("a call without a body", vec![0x93, 2, 1, 0]),
        ("a call whose body is text", vec![0x94, 2, 1, 0, 0xa0]),
        (
            "a call number of 2^32",
            vec![0x94, 2, 0xcf, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0x80],
        ),
        (
            "a method number of 2^16",
            vec![0x94, 2, 1, 0xce, 0, 1, 0, 0, 0x80],
        ),
        ("an empty key", key("")),
        (
            "a key that is too long",
            key(&"k".repeat(KEY_BYTES_MAX + 1)),
        ),
        ("a head that is text", head(&[0xa1, b'5'])),
        ("a head that is a boolean", head(&[0xc3])),
        ("a negative head", head(&[0xff])),
        ("a head with a fraction", {
            head(&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0])
        }),
        ("a head of 2^53", head(&[0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0])),
        ("a head without a key", vec![0x96, 2, 1, 0, 0x80, 0xc0, 5]),
        ("a hello whose version is text", {
            to_bytes(&json!([1, { "v": "1", "sdk": "x" }]))
        }),
        (
            "a hello without a version",
            to_bytes(&json!([1, { "sdk": "x" }])),
        ),
        (
            "an ack of an unknown stream",
            to_bytes(&json!([4, "outbox", 1, 1])),
        ),
        (
            "an ack of a stream that is not UTF-8",
            vec![0x94, 4, 0xa1, 0xff, 1, 1],
        ),
        (
            "an ack at 2^53",
            vec![
                0x94, 4, 0xa5, b'i', b'n', b'b', b'o', b'x', 0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0, 0,
            ],
        ),
        (
            "input whose data is text",
            to_bytes(&json!([6, ROOM, 1, "x"])),
        ),
        ("a frame that only servers send", to_bytes(&json!([13, 1]))),
    ]
}

fn server_faults() -> Vec<(&'static str, Vec<u8>, usize)> {
    let size = u32::try_from(FRAME_BYTES_MAX).expect("frames are small");
    let mut long = vec![0x93, 9, 1, 0x81, 0xa1, b'a', 0xc6];
    long.extend_from_slice(&size.to_be_bytes());
    vec![
        ("a reply longer than a frame may be", long, FRAME_BYTES_MAX),
        ("a reply nested too deep", nested(9, NESTING_MAX - 1), 0),
        ("a reply whose body is an array", vec![0x93, 9, 1, 0x90], 0),
        (
            "a reply with an extension type",
            vec![0x93, 9, 1, 0x81, 0xa1, b'a', 0xd4, 0, 0],
            0,
        ),
        (
            "a reply with a text longer than the bytes",
            vec![0x93, 9, 1, 0x81, 0xa1, b'a', 0xdb, 0xff, 0xff, 0xff, 0xff],
            0,
        ),
        (
            "a reply with a map longer than the bytes",
            vec![0x93, 9, 1, 0xdf, 0x7f, 0xff, 0xff, 0xff],
            0,
        ),
        (
            "a fault without a code",
            to_bytes(&json!([10, 1, { "message": "x" }])),
            0,
        ),
        (
            "a welcome without limits",
            to_bytes(&json!([8, { "v": 1 }])),
            0,
        ),
        (
            "a gap of something else",
            to_bytes(&json!([15, "inbox", 2, 1, 1])),
            0,
        ),
        (
            "a frame that only clients send",
            to_bytes(&json!([4, "inbox", 1, 0])),
            0,
        ),
    ]
}

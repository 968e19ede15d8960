//! Holds `docs/protocol.md` and `docs/endpoints.md` to the code: examples are read by the codec, tables compared with
//! the constants, names looked up in the tables of methods and events.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use pitturu_protocol::codec;
use pitturu_protocol::codes::CloseCode;
use pitturu_protocol::events::EVENTS;
use pitturu_protocol::frame::{ClientFrame, InvalidFrame, ServerFrame};
use pitturu_protocol::limits;
use pitturu_protocol::methods::METHODS;
use pitturu_protocol::types::{self, chat};
use pitturu_protocol::{for_each_event, for_each_method};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A fenced block of bytes.
struct Example {
    /// Words after `frame`: the sender, then what is special.
    words: Vec<String>,
    line: usize,
    bytes: Vec<u8>,
}

impl Example {
    fn is(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }
}

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The bytes before the comment, which stands after two spaces.
fn bytes_of(line: &str) -> Vec<u8> {
    let code = line.trim_start().split("  ").next().unwrap_or_default();
    code.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap_or_else(|_| panic!("{byte:?} in {line:?}")))
        .collect()
}

fn examples(text: &str) -> Vec<Example> {
    let mut found = Vec::new();
    let mut open: Option<Example> = None;
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```frame ")) {
            (None, Some(words)) => {
                open = Some(Example {
                    words: words.split(' ').map(str::to_owned).collect(),
                    line: index + 1,
                    bytes: Vec::new(),
                });
            }
            (Some(_), _) if line == "```" => found.extend(open.take()),
            (Some(example), _) => example.bytes.extend(bytes_of(line)),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

/// The frames of one message, each with its kind and its bytes.
fn frames<'a, F: Debug>(
    mut message: &'a [u8],
    read: impl Fn(&'a [u8]) -> Result<(F, &'a [u8]), InvalidFrame>,
) -> Result<Vec<(F, &'a [u8])>, InvalidFrame> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let (frame, rest) = read(message)?;
        found.push((frame, &message[..message.len() - rest.len()]));
        message = rest;
    }
    Ok(found)
}

/// A body that means the same bytes when it is decoded and encoded again has every field in its place.
fn assert_body<T: Serialize + DeserializeOwned>(body: &[u8], line: usize) {
    let value: T = codec::decode(body).unwrap_or_else(|error| panic!("line {line}: {error}"));
    assert_eq!(codec::encode(&value), body, "line {line}");
}

macro_rules! method_bodies {
    ($($number:literal $module:ident::$request:ident => $reply_module:ident::$reply:ident,
        $access:ident, $place:ident, $rate:ident, $effect:ident $(, $column:ident = $value:ident)*;)*) => {
        fn assert_request(method: u16, body: &[u8], line: usize) {
            match method {
                $($number => assert_body::<types::$module::$request>(body, line),)*
                other => panic!("line {line}: no method {other}"),
            }
        }
    };
}

macro_rules! event_bodies {
    ($($number:literal $module:ident::$event:ident, $delivery:ident $(, $column:ident = $value:ident)*;)*) => {
        fn assert_event(event: u16, body: &[u8], line: usize) {
            match event {
                $($number => assert_body::<types::$module::$event>(body, line),)*
                other => panic!("line {line}: no event {other}"),
            }
        }
    };
}

for_each_method!(method_bodies);
for_each_event!(event_bodies);

fn check_client(example: &Example) -> Vec<u8> {
    let line = example.line;
    let frames = frames(&example.bytes, ClientFrame::read)
        .unwrap_or_else(|error| panic!("line {line}: {error}"));
    for (frame, bytes) in &frames {
        assert_eq!(frame.encode(), *bytes, "line {line}");
        if let ClientFrame::Call { method, body, .. } = frame {
            assert_request(*method, body, line);
        }
    }
    frames.iter().map(|(_, bytes)| bytes[1]).collect()
}

fn check_server(example: &Example) -> Vec<u8> {
    let line = example.line;
    let frames = frames(&example.bytes, ServerFrame::read)
        .unwrap_or_else(|error| panic!("line {line}: {error}"));
    for (frame, bytes) in &frames {
        if !example.is("grown") {
            assert_eq!(frame.encode(), *bytes, "line {line}");
        }
        match frame {
            ServerFrame::Event { event, body } => assert_event(*event, body, line),
            ServerFrame::Reply { body, .. } => assert_body::<chat::Sent>(body, line),
            _ => {}
        }
    }
    frames.iter().map(|(_, bytes)| bytes[1]).collect()
}

#[test]
fn every_frame_has_an_example_that_the_codec_reads() {
    let text = document("protocol.md");
    let mut kinds = BTreeSet::new();
    for example in examples(&text) {
        if example.is("refused") {
            let refused = frames(&example.bytes, ClientFrame::read);
            assert!(refused.is_err(), "line {}: {refused:?}", example.line);
        } else if example.is("client") {
            kinds.extend(check_client(&example));
        } else {
            assert!(example.is("server"), "line {}: who sends it?", example.line);
            kinds.extend(check_server(&example));
        }
    }
    assert_eq!(
        kinds.into_iter().collect::<Vec<u8>>(),
        [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15]
    );
}

#[test]
fn the_close_codes_are_all_there() {
    let text = document("protocol.md");
    let listed: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| 4") && line.contains('`'))
        .collect();
    let expected: Vec<String> = CloseCode::ALL
        .iter()
        .map(|code| {
            format!(
                "| {} | `{}` | {} |",
                code.number(),
                code.name(),
                code.meaning()
            )
        })
        .collect();
    assert_eq!(listed, expected);
}

#[test]
fn the_limits_are_those_of_the_code() {
    let text = document("protocol.md");
    for (name, value) in [
        ("longest frame", limits::FRAME_BYTES_MAX),
        ("longest message", limits::MESSAGE_BYTES_MAX),
        ("deepest nesting", limits::NESTING_MAX),
        ("calls without an answer", limits::CALLS_IN_FLIGHT_MAX),
        ("idempotency key", limits::KEY_BYTES_MAX),
        ("rooms open at once", limits::ROOMS_OPEN_MAX),
        ("rooms in one `Resume`", limits::RESUME_ROOMS_MAX),
        ("items of a page", limits::PAGE_ITEMS_MAX as usize),
        ("bytes of a page", limits::PAGE_BYTES_MAX),
    ] {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| {name} |")))
            .unwrap_or_else(|| panic!("no row for {name}"));
        let cell = row.split('|').nth(2).expect("rows have three cells");
        let digits: String = cell.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(digits, value.to_string(), "{name}");
    }
}

#[test]
fn a_wrong_example_would_be_noticed() {
    let broken = examples("```frame client\n92 05  pong\n```\n");
    assert!(std::panic::catch_unwind(|| check_client(&broken[0])).is_err());
    let padded = examples("```frame client\n92 05 cc 01  a pong in too many bytes\n```\n");
    assert!(std::panic::catch_unwind(|| check_client(&padded[0])).is_err());
}

/// Words in back-ticks that look like the name of a call or an event.
fn names(text: &str) -> Vec<&str> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.starts_with(|letter: char| letter.is_ascii_uppercase()))
        .filter(|word| word.chars().all(|letter| letter.is_ascii_alphabetic()))
        .collect()
}

#[test]
fn the_documents_name_only_what_exists() {
    for name in ["protocol.md", "endpoints.md"] {
        let text = document(name);
        let named = names(&text);
        assert!(named.len() > 5, "{name} names nothing");
        for word in named {
            let exists = METHODS.iter().any(|method| method.name == word)
                || EVENTS.iter().any(|event| event.name == word);
            assert!(exists, "{name}: no call or event {word}");
        }
    }
}

//! The committed vectors, read by the Rust codec: the same bytes in, the same bytes out.

use std::path::{Path, PathBuf};

use pitturu_protocol::codec;
use pitturu_protocol::frame::{ClientFrame, ServerFrame};
use pitturu_schemas::catalog::{Body, Catalog};
use pitturu_schemas::frames::{FRAMES, FrameEntry, Side};
use pitturu_schemas::output;
use pitturu_schemas::vectors::{
    Encoded, EventVectors, FrameVector, MalformedVector, MethodVectors, error_class, refusal,
};
use pitturu_schemas::wire::{from_bytes, from_hex, to_bytes};
use serde::de::DeserializeOwned;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = root().join("schemas/vectors").join(name);
    let text = std::fs::read_to_string(&path).expect("the vectors are committed");
    serde_json::from_str(&text).expect("the vectors are JSON")
}

fn holds(what: &str, body: Body, vectors: &[Encoded]) {
    assert!(!vectors.is_empty(), "{what} has no vector");
    for vector in vectors {
        let bytes = from_hex(&vector.hex).expect("vectors are hexadecimal");
        assert_eq!(to_bytes(&vector.value), bytes, "{what}: {}", vector.value);
        assert_eq!(from_bytes(&bytes), vector.value, "{what}");
        assert_eq!(
            (body.recode)(&bytes).as_deref(),
            Ok(bytes.as_slice()),
            "{what}"
        );
    }
}

#[test]
fn derived_files_are_fresh() {
    output::check(&root()).unwrap();
}

#[test]
fn every_method_has_vectors_that_the_codec_reads_and_writes() {
    let catalog = Catalog::collect();
    let vectors: Vec<MethodVectors> = read("methods.json");
    assert_eq!(vectors.len(), catalog.methods.len());
    for (method, vector) in catalog.methods.iter().zip(&vectors) {
        assert_eq!(method.info.number, vector.number);
        holds(method.info.name, method.request, &vector.requests);
        holds(method.info.name, method.reply, &vector.replies);
    }
}

#[test]
fn every_event_has_vectors_that_the_codec_reads_and_writes() {
    let catalog = Catalog::collect();
    let vectors: Vec<EventVectors> = read("events.json");
    assert_eq!(vectors.len(), catalog.events.len());
    for (event, vector) in catalog.events.iter().zip(&vectors) {
        assert_eq!(event.info.number, vector.number);
        holds(event.info.name, event.body, &vector.bodies);
    }
}

#[test]
fn every_frame_has_vectors_that_the_codec_reads_and_writes() {
    let vectors: Vec<FrameVector> = read("frames.json");
    for frame in FRAMES {
        assert!(vectors.iter().any(|vector| vector.frame == frame.name));
    }
    for vector in &vectors {
        let entry = FrameEntry::of(&vector.frame);
        let bytes = from_hex(&vector.hex).unwrap();
        assert_eq!(to_bytes(&entry.array(&vector.fields)), bytes);
        let again = match entry.side {
            Side::Client => {
                let (frame, rest) = ClientFrame::read(&bytes).unwrap();
                assert!(rest.is_empty());
                assert_eq!(client_name(&frame), vector.frame);
                frame.encode()
            }
            Side::Server => {
                let (frame, rest) = ServerFrame::read(&bytes).unwrap();
                assert!(rest.is_empty());
                assert_eq!(server_name(&frame), vector.frame);
                frame.encode()
            }
        };
        assert_eq!(again, bytes, "{}", vector.frame);
    }
}

fn client_name(frame: &ClientFrame<'_>) -> &'static str {
    match frame {
        ClientFrame::Hello(_) => "hello",
        ClientFrame::Call { .. } => "call",
        ClientFrame::Cancel { .. } => "cancel",
        ClientFrame::Ack { .. } => "ack",
        ClientFrame::Pong { .. } => "pong",
        ClientFrame::Input { .. } => "input",
    }
}

fn server_name(frame: &ServerFrame<'_>) -> &'static str {
    match frame {
        ServerFrame::Welcome(_) => "welcome",
        ServerFrame::Reply { .. } => "reply",
        ServerFrame::Fault { .. } => "fault",
        ServerFrame::Event { .. } => "event",
        ServerFrame::State { .. } => "state",
        ServerFrame::Ping { .. } => "ping",
        ServerFrame::Goaway(_) => "goaway",
        ServerFrame::Gap { .. } => "gap",
    }
}

#[test]
fn malformed_bytes_are_refused_with_the_class_of_the_vector() {
    for vector in read::<MalformedVector>("malformed.json") {
        let mut bytes = from_hex(&vector.hex).unwrap();
        bytes.resize(bytes.len() + vector.zeros, 0);
        let error = refusal(&vector.side, &bytes)
            .unwrap_or_else(|| panic!("{}: {} was accepted", vector.side, vector.name));
        assert_eq!(error_class(&error), vector.error, "{}", vector.name);
    }
}

#[test]
fn every_body_is_refused_when_it_is_cut() {
    let catalog = Catalog::collect();
    let vectors: Vec<EventVectors> = read("events.json");
    for (event, vector) in catalog.events.iter().zip(&vectors) {
        for encoded in &vector.bodies {
            let bytes = from_hex(&encoded.hex).unwrap();
            for length in 0..bytes.len() {
                assert!((event.body.recode)(&bytes[..length]).is_err());
            }
        }
    }
}

#[test]
fn a_stale_file_is_named() {
    let folder = std::env::temp_dir().join(format!("pitturu-schemas-{}", std::process::id()));
    output::write(&folder).unwrap();
    output::check(&folder).unwrap();
    std::fs::write(folder.join("schemas/api.json"), "{}").unwrap();
    let error = output::check(&folder).unwrap_err().to_string();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(error.contains("schemas/api.json"), "{error}");
    assert!(!error.contains("asyncapi"), "{error}");
}

#[test]
fn unknown_fields_are_ignored() {
    let value = serde_json::json!({ "seq": 1, "at": 2, "newer": [1, { "a": null }] });
    let sent: pitturu_protocol::types::chat::Sent = codec::decode(&to_bytes(&value)).unwrap();
    assert_eq!(sent.seq, 1);
}

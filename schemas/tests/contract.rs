//! Every body takes exactly the contract: each value of each vector, put in another form that its Rust type might put up
//! with, is refused.

use std::ops::Range;
use std::path::Path;

use pitturu_schemas::catalog::{Body, Catalog};
use pitturu_schemas::vectors::{Encoded, EventVectors, MethodVectors};
use pitturu_schemas::wire::from_hex;
use serde::de::DeserializeOwned;

fn read<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let text = std::fs::read_to_string(folder.join(name)).expect("the vectors are committed");
    serde_json::from_str(&text).expect("the vectors are JSON")
}

/// One value in encoded bytes.
struct Place {
    span: Range<usize>,
    kind: Kind,
}

enum Kind {
    /// A key of a map, at this position in the map.
    Key(usize),
    Text,
    Binary,
    Integer,
    Boolean,
    /// With the spans of its values.
    Map(Vec<Range<usize>>),
}

/// Finds every value in MessagePack.
struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
    places: Vec<Place>,
}

impl Walker<'_> {
    fn big_endian(&mut self, width: usize) -> usize {
        let bytes = &self.bytes[self.at..self.at + width];
        self.at += width;
        bytes
            .iter()
            .fold(0, |value, byte| (value << 8) | usize::from(*byte))
    }

    /// Walks over one value and returns its span.
    fn value(&mut self, key: Option<usize>) -> Range<usize> {
        let start = self.at;
        let marker = self.bytes[start];
        self.at += 1;
        let kind = match marker {
            0x80..=0x8f => Some(self.map(usize::from(marker & 0x0f))),
            0xde => {
                let length = self.big_endian(2);
                Some(self.map(length))
            }
            0x90..=0x9f => self.array(usize::from(marker & 0x0f)),
            0xdc => {
                let length = self.big_endian(2);
                self.array(length)
            }
            0xa0..=0xbf => self.skip(usize::from(marker & 0x1f), Kind::Text),
            0xd9 | 0xda => {
                let length = self.big_endian(usize::from(marker - 0xd8));
                self.skip(length, Kind::Text)
            }
            0xc4 | 0xc5 => {
                let length = self.big_endian(usize::from(marker - 0xc3));
                self.skip(length, Kind::Binary)
            }
            0xc2 | 0xc3 => Some(Kind::Boolean),
            0xc0 => None,
            0x00..=0x7f | 0xe0..=0xff => Some(Kind::Integer),
            0xcc..=0xcf => self.skip(1 << (marker - 0xcc), Kind::Integer),
            0xd0..=0xd3 => self.skip(1 << (marker - 0xd0), Kind::Integer),
            other => panic!("the vectors have no byte 0x{other:02x}"),
        };
        let span = start..self.at;
        let kind = match (key, kind) {
            (Some(place), Some(Kind::Text)) => Some(Kind::Key(place)),
            (_, kind) => kind,
        };
        if let Some(kind) = kind {
            self.places.push(Place {
                span: span.clone(),
                kind,
            });
        }
        span
    }

    fn map(&mut self, length: usize) -> Kind {
        let value = |place| {
            self.value(Some(place));
            self.value(None)
        };
        Kind::Map((0..length).map(value).collect())
    }

    fn array(&mut self, length: usize) -> Option<Kind> {
        for _ in 0..length {
            self.value(None);
        }
        None
    }

    fn skip(&mut self, length: usize, kind: Kind) -> Option<Kind> {
        self.at += length;
        Some(kind)
    }
}

fn places(bytes: &[u8]) -> Vec<Place> {
    let mut walker = Walker {
        bytes,
        at: 0,
        places: Vec::new(),
    };
    walker.value(None);
    assert_eq!(walker.at, bytes.len());
    walker.places
}

/// What text or binary holds, without its header.
fn content(value: &[u8]) -> &[u8] {
    let header = match value[0] {
        0xa0..=0xbf => 1,
        0xc4 | 0xd9 => 2,
        0xc5 | 0xda => 3,
        other => panic!("0x{other:02x} is neither text nor binary"),
    };
    &value[header..]
}

fn sized(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len())
        .expect("vectors are short")
        .to_be_bytes();
    [&[marker], &length[..], content].concat()
}

fn array<'a>(items: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = vec![0xdc];
    out.extend_from_slice(
        &u16::try_from(items.len())
            .expect("vectors are short")
            .to_be_bytes(),
    );
    items.for_each(|item| out.extend_from_slice(item));
    out
}

/// The value in other forms, each with a name.
fn other_forms(bytes: &[u8], place: &Place) -> Vec<(&'static str, Vec<u8>)> {
    let value = &bytes[place.span.clone()];
    let fraction = [&[0xcb], &1.0_f64.to_be_bytes()[..]].concat();
    match &place.kind {
        Kind::Key(at) => vec![
            (
                "a number for a name",
                vec![u8::try_from(*at).expect("types have few fields")],
            ),
            ("binary for a name", sized(0xc5, content(value))),
            ("nil for a name", vec![0xc0]),
        ],
        Kind::Text => vec![
            ("binary for text", sized(0xc5, content(value))),
            ("a number for text", vec![1]),
            ("a list for text", array([value].into_iter())),
        ],
        Kind::Binary => vec![
            (
                "text for binary",
                sized(0xda, &vec![b'a'; content(value).len()]),
            ),
            (
                "a list for binary",
                array(content(&sized(0xc5, &[1, 2])).chunks(1)),
            ),
        ],
        Kind::Integer => vec![
            ("a fraction for a number", fraction),
            ("text for a number", sized(0xda, b"1")),
            ("a boolean for a number", vec![0xc3]),
        ],
        Kind::Boolean => vec![
            ("a number for a boolean", vec![1]),
            ("text for a boolean", sized(0xda, b"true")),
        ],
        Kind::Map(values) => vec![(
            "a list for a map",
            array(values.iter().map(|span| &bytes[span.clone()])),
        )],
    }
}

fn refuses(what: &str, body: Body, vectors: &[Encoded]) -> usize {
    let mut tried = 0;
    for vector in vectors {
        let bytes = from_hex(&vector.hex).expect("vectors are hexadecimal");
        assert!((body.recode)(&bytes).is_ok(), "{what}");
        for place in places(&bytes) {
            for (form, other) in other_forms(&bytes, &place) {
                let mut changed = bytes.clone();
                changed.splice(place.span.clone(), other);
                let read = (body.recode)(&changed);
                assert!(
                    read.is_err(),
                    "{what} ({}) takes {form} at {:?} of {}",
                    body.name,
                    place.span,
                    vector.value
                );
                tried += 1;
            }
        }
        let twice = [&bytes[..], &[0xc0]].concat();
        assert!((body.recode)(&twice).is_err(), "{what} takes more");
    }
    tried
}

#[test]
fn no_body_takes_another_form_than_the_contract_has() {
    let catalog = Catalog::collect();
    let methods: Vec<MethodVectors> = read("methods.json");
    let events: Vec<EventVectors> = read("events.json");
    let mut tried = 0;
    for (method, vectors) in catalog.methods.iter().zip(&methods) {
        tried += refuses(method.info.name, method.request, &vectors.requests);
        tried += refuses(method.info.name, method.reply, &vectors.replies);
    }
    for (event, vectors) in catalog.events.iter().zip(&events) {
        tried += refuses(event.info.name, event.body, &vectors.bodies);
    }
    assert!(tried > 1_000, "only {tried}");
}

//! Nothing that a server can send is longer than what a client takes.

use pitturu_protocol::frame::ServerFrame;
use pitturu_protocol::limits::FRAME_BYTES_MAX;
use pitturu_schemas::catalog::{Catalog, Recode};
use pitturu_schemas::fullest;
use pitturu_schemas::wire::from_hex;

/// Through the type of this name and back.
fn recode(catalog: &Catalog, name: &str) -> Recode {
    let replies = catalog.methods.iter().map(|method| method.reply);
    let events = catalog.events.iter().map(|event| event.body);
    let frames = catalog.frame_bodies.iter().copied();
    let mut bodies = replies.chain(events).chain(frames);
    let found = bodies.find(|body| body.name == name);
    found.expect("the body is of the catalog").recode
}

#[test]
fn the_longest_of_each_frame_is_within_the_limit_and_is_read_as_its_type() {
    let catalog = Catalog::collect();
    let frames = fullest::frames(&catalog);
    for method in &catalog.methods {
        let name = Some(method.reply.name);
        assert!(
            frames.iter().any(|frame| frame.body.as_deref() == name),
            "{name:?}"
        );
    }
    for event in &catalog.events {
        let name = Some(event.body.name);
        assert!(
            frames.iter().any(|frame| frame.body.as_deref() == name),
            "{name:?}"
        );
    }
    for frame in frames {
        let bytes = from_hex(&frame.hex).unwrap();
        let name = frame.body.unwrap();
        assert!(
            bytes.len() <= FRAME_BYTES_MAX,
            "{name}: {} bytes",
            bytes.len()
        );
        let (read, rest) =
            ServerFrame::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(rest.is_empty());
        let (ServerFrame::Reply { body, .. } | ServerFrame::Event { body, .. }) = read else {
            continue;
        };
        let again = recode(&catalog, &name)(body).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(again, body, "{name} changes on its way through its type");
    }
}

#[test]
fn most_of_a_frame_is_used_by_the_longest_lists() {
    let frames = fullest::frames(&Catalog::collect());
    let long = [
        "Rooms", "Bans", "Profiles", "MyRooms", "Reactors", "History", "Resumed",
    ];
    for name in long {
        let frame = frames.iter().find(|it| it.body.as_deref() == Some(name));
        let bytes = frame.expect("it is a reply").hex.len() / 2;
        assert!(
            bytes > FRAME_BYTES_MAX / 3,
            "{name} is filled to {bytes} bytes only"
        );
    }
}

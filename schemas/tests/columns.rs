//! Columns of the tables that speak of fields: requests, replies and bodies have them.

use pitturu_protocol::events::Entry;
use pitturu_protocol::methods::{Change, Order, Target};
use pitturu_schemas::catalog::{Body, Catalog, is_required, referred};

/// The name of the type that a body's field must be of, if the body always has the field.
fn required<'a>(catalog: &'a Catalog, body: Body, field: &str) -> Option<&'a str> {
    let schema = catalog.schema(body.name);
    let part = &schema["properties"][field];
    is_required(schema, field)
        .then(|| referred(part).or(part["type"].as_str()))
        .flatten()
}

#[test]
fn a_request_has_what_its_line_speaks_of() {
    let catalog = Catalog::collect();
    for method in &catalog.methods {
        let (info, request, reply) = (&method.info, method.request, method.reply);
        let field = |name| required(&catalog, request, name);
        if info.order == Some(Order::Room) || info.changes == Change::Closes {
            assert_eq!(field("room"), Some("RoomId"), "{}", info.name);
        }
        if info.target != Target::Nobody {
            assert_eq!(field("user"), Some("UserId"), "{}", info.name);
        }
        match info.changes {
            Change::SignsIn => assert_eq!(reply.name, "SignedIn", "{}", info.name),
            Change::Authenticates => {
                assert_eq!(field("access"), Some("string"), "{}", info.name);
                assert_eq!(reply.name, "Identity", "{}", info.name);
            }
            Change::Opens => assert_eq!(reply.name, "RoomView", "{}", info.name),
            Change::Resumes => assert_eq!(reply.name, "Resumed", "{}", info.name),
            Change::SetsPresence => assert_eq!(request.name, "SetPresence", "{}", info.name),
            Change::Nothing | Change::SignsOut | Change::EndsSession | Change::Closes => {}
        }
    }
}

#[test]
fn what_opens_a_room_asks_for_a_cursor_or_has_no_field_of_that_name() {
    let catalog = Catalog::collect();
    for method in &catalog.methods {
        if method.info.changes != Change::Opens {
            continue;
        }
        let properties = &catalog.schema(method.request.name)["properties"];
        for field in ["seq", "rev"] {
            let asks = properties.get(field).is_some();
            assert_eq!(asks, method.info.name == "OpenRoom", "{}", method.info.name);
        }
    }
}

#[test]
fn an_entry_of_a_stream_says_where_it_stands() {
    let catalog = Catalog::collect();
    for event in &catalog.events {
        let field = |name| required(&catalog, event.body, name);
        match event.info.entry {
            Some(Entry::RoomMessage) => {
                assert_eq!(field("room"), Some("RoomId"), "{}", event.info.name);
                assert_eq!(field("msg"), Some("Message"), "{}", event.info.name);
            }
            Some(Entry::RoomChange) => {
                assert_eq!(field("room"), Some("RoomId"), "{}", event.info.name);
                assert_eq!(field("rev"), Some("integer"), "{}", event.info.name);
            }
            Some(Entry::Inbox) => {
                assert_eq!(field("seq"), Some("integer"), "{}", event.info.name);
            }
            None => {}
        }
    }
}

#[test]
fn what_a_line_leaves_out_is_in_no_document_and_what_it_names_is() {
    let catalog = Catalog::collect();
    let columns = |name: &str| {
        let mut lines = catalog.methods.iter();
        let line = lines.find(|method| method.info.name == name).unwrap();
        serde_json::to_string(&line.columns()).unwrap()
    };
    assert_eq!(
        columns("Echo"),
        r#"{"access":"anyone","place":"caller","rate":"free","effect":"reads"}"#
    );
    assert_eq!(
        columns("SendMessage"),
        r#"{"access":"player","place":"room","rate":"chat","effect":"writes","order":"room"}"#
    );
    assert_eq!(
        columns("Typing"),
        r#"{"access":"player","place":"room","rate":"free","effect":"reads","momentary":true}"#
    );
}

//! Bytes from a server, as a client reads them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pitturu_protocol::codec;
use pitturu_protocol::events::Event;
use pitturu_protocol::for_each_event;
use pitturu_protocol::frame::ServerFrame;
use pitturu_protocol::types;

macro_rules! decode_event {
    ($($number:literal $module:ident::$event:ident, $delivery:ident $(, $column:ident = $value:ident)*;)*) => {
        /// Decodes the body as the event; an event that was read encodes to one that reads the same.
        fn decode_event(event: u16, body: &[u8]) {
            match event {
                $(types::$module::$event::NUMBER => {
                    if let Ok(event) = codec::decode::<types::$module::$event>(body) {
                        let again = codec::decode(&codec::encode(&event));
                        assert_eq!(Ok(event), again);
                    }
                })*
                _ => {}
            }
        }
    };
}

for_each_event!(decode_event);

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok((frame, after)) = ServerFrame::read(rest) {
        let encoded = frame.encode();
        let (again, left) = ServerFrame::read(&encoded).expect("what was encoded can be read");
        assert_eq!(frame, again);
        assert!(left.is_empty());
        if let ServerFrame::Event { event, body } = frame {
            decode_event(event, body);
        }
        rest = after;
    }
});

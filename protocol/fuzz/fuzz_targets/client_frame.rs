//! Bytes from a client, as the server reads them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pitturu_protocol::codec;
use pitturu_protocol::for_each_method;
use pitturu_protocol::frame::ClientFrame;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types;

macro_rules! decode_request {
    ($($number:literal $module:ident::$request:ident => $reply_module:ident::$reply:ident,
        $access:ident, $place:ident, $rate:ident, $effect:ident $(, $column:ident = $value:ident)*;)*) => {
        /// Decodes the body as the method's request; a request that was read encodes to one that reads the same.
        fn decode_request(method: u16, body: &[u8]) {
            match method {
                $(types::$module::$request::NUMBER => {
                    if let Ok(request) = codec::decode::<types::$module::$request>(body) {
                        let again = codec::decode(&codec::encode(&request));
                        assert_eq!(Ok(request), again);
                    }
                })*
                _ => {}
            }
        }
    };
}

for_each_method!(decode_request);

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok((frame, after)) = ClientFrame::read(rest) {
        let encoded = frame.encode();
        let (again, left) = ClientFrame::read(&encoded).expect("what was encoded can be read");
        assert_eq!(frame, again);
        assert!(left.is_empty());
        if let ClientFrame::Call { method, body, .. } = frame {
            decode_request(method, body);
        }
        rest = after;
    }
});

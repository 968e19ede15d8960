//! Sockets. The only place that knows which library speaks WebSocket.

mod websocket;

pub(crate) use websocket::{Connector, Incoming, Socket};

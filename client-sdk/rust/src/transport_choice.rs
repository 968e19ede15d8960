//! What may carry a connection, and which of it an application wants.

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// WebSocket, over TLS or plain.
    WebSocket,
    /// QUIC.
    Quic,
}

/// Which transport a client is to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransportPreference {
    /// QUIC where the server and the network take it, otherwise WebSocket: the client finds out, moves over while it is connected,
    /// and back when the way is lost.
    #[default]
    Auto,
    /// WebSocket alone.
    WebSocket,
    /// QUIC also where it has failed a moment ago, and WebSocket only while it can't be had.
    Quic,
}

//! Sockets to the server, and the first frame.

use std::net::SocketAddr;
use std::time::Duration;

use pitturu_protocol::frame::ClientFrame;
use pitturu_protocol::types::system::Hello;
use pitturu_protocol::{SUBPROTOCOL, VERSION};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// Longest time for the way from the socket to being signed in.
pub const SIGN_IN_WITHIN: Duration = Duration::from_secs(10);

/// Bytes that wait in the system for a reader who does not read.
const RECEIVE_BUFFER: u32 = 32 * 1024;

/// A socket that carries messages.
pub type Socket = WebSocketStream<TcpStream>;

/// The connection is gone.
pub struct Gone;

/// Connects.
pub async fn open_socket(address: SocketAddr) -> Result<Socket, Gone> {
    let socket = TcpSocket::new_v4().map_err(|_| Gone)?;
    socket
        .set_recv_buffer_size(RECEIVE_BUFFER)
        .map_err(|_| Gone)?;
    let stream = socket.connect(address).await.map_err(|_| Gone)?;
    let _ = stream.set_nodelay(true);
    let url = format!("ws://{address}/");
    let mut request = url.into_client_request().map_err(|_| Gone)?;
    request.headers_mut().insert(
        "Sec-WebSocket-Protocol",
        HeaderValue::from_static(SUBPROTOCOL),
    );
    let connected = tokio_tungstenite::client_async(request, stream).await;
    connected.map(|(socket, _)| socket).map_err(|_| Gone)
}

/// The first frame, with an access token if there is one.
pub const fn hello(token: Option<String>) -> ClientFrame<'static> {
    ClientFrame::Hello(Hello {
        v: VERSION,
        sdk: String::new(),
        token,
        presence: None,
    })
}

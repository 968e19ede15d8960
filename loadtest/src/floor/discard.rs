//! A UDP socket that throws away what it receives: what a flood costs others where nobody makes anything of it.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use super::announce;

/// Bytes that the kernel keeps for it, as for the server's socket.
const KERNEL_BYTES: usize = 4 * 1024 * 1024;

/// Receives until the process is stopped.
pub(super) fn serve(listen: SocketAddr) -> io::Result<()> {
    let domain = Domain::for_address(listen);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(KERNEL_BYTES)?;
    socket.bind(&listen.into())?;
    let socket: std::net::UdpSocket = socket.into();
    announce(socket.local_addr()?)?;
    let mut packet = [0; 2048];
    loop {
        match socket.recv(&mut packet) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

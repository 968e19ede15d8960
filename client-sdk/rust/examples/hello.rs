//! The smallest chat: signs in as a guest, enters a room, prints what is said there, and sends each line that is typed.
//!
//! ```sh
//! cargo run -p pitturu-client --example hello -- ws://localhost:7350 lobby Mina
//! ```
//!
//! Over QUIC a server in development mode has a certificate of its own making, whose hash it prints when it starts:
//!
//! ```sh
//! cargo run -p pitturu-client --example hello -- quic://localhost:7350 lobby Mina HASH
//! ```

#![allow(clippy::print_stdout, reason = "it is a chat on standard output")]

use std::error::Error;

use pitturu_client::{
    Client, ClientOptions, ConnectionState, ServerEvent, new_guest_secret, one_line,
};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or("ws://localhost:7350".into());
    let room_name = arguments.next().unwrap_or("lobby".into());
    let name = arguments.next().unwrap_or("guest".into());

    let mut options = ClientOptions::new(url);
    if let Some(digits) = arguments.next() {
        options = options.trust_certificate_hash(hash_of(&digits)?);
    }
    let client = Client::connect(options)?;
    let mut events = client.events();
    client
        .login_guest(&new_guest_secret()?, Some(&name))
        .await?;
    let view = client.enter_room(&room_name).await?;
    let room = client.room(view.info.room);
    println!(
        "in {room_name}, with {} members; type to talk",
        view.info.members
    );
    let newest = room.history(None, Some(10)).await?;
    for message in &newest.messages {
        println!("{}: {}", one_line(&message.name), one_line(&message.text));
    }

    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) if line.is_empty() => {}
                Some(line) => {
                    room.send(line).await?;
                }
                None => return Ok(()),
            },
            event = events.next() => match event {
                Some(ServerEvent::MessageSent(sent)) if sent.msg.seq > newest.head => {
                    println!("{}: {}", one_line(&sent.msg.name), one_line(&sent.msg.text));
                }
                Some(ServerEvent::Connection(ConnectionState::Offline { .. })) => {
                    println!("(connection lost; trying again)");
                }
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
}

/// SHA-256 from 64 hexadecimal digits.
fn hash_of(digits: &str) -> Result<[u8; 32], Box<dyn Error>> {
    let mut hash = [0; 32];
    if digits.len() != 64 {
        return Err("a hash has 64 hexadecimal digits".into());
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        let pair = digits.get(2 * at..2 * at + 2).unwrap_or_default();
        *byte = u8::from_str_radix(pair, 16)?;
    }
    Ok(hash)
}

//! The lines with which the README begins.
//!
//! ```sh
//! cargo run -p pitturu-client --example quickstart -- ws://localhost:7350
//! ```

#![allow(clippy::print_stdout, reason = "it prints what is said")]

use std::error::Error;

use pitturu_client::{Client, ClientOptions, ServerEvent, new_guest_secret, one_line};

/// Enters the lobby, says hello, and prints what is said there until the client is closed.
pub(crate) async fn chat(url: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ClientOptions::new(url))?;
    client
        .login_guest(&new_guest_secret()?, Some("Mina"))
        .await?;
    let lobby = client.enter_room("lobby").await?;
    client.room(lobby.info.room).send("hello").await?;

    let mut events = client.events();
    while let Some(event) = events.next().await {
        if let ServerEvent::MessageSent(sent) = event {
            println!("{}: {}", one_line(&sent.msg.name), one_line(&sent.msg.text));
        }
    }
    Ok(())
}

#[allow(dead_code, reason = "a test has no main")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    chat(&url.unwrap_or("ws://localhost:7350".into())).await
}

//! A player that uses the Rust SDK and notes all that it is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use pitturu_client::types::chat::HistoryFrom;
use pitturu_client::{
    BackOff, Client, ClientOptions, Events, Room, RoomId, ServerEvent, new_guest_secret,
};
use sha2::{Digest as _, Sha256};

/// A message: its sequence and its text.
pub type Message = (u64, String);

/// What one player has seen and done.
pub struct Report {
    pub name: String,
    /// What the live stream brought.
    pub seen: Vec<Message>,
    /// In the order of the answers.
    pub acknowledged: Vec<Message>,
    /// Calls that ended with an error.
    pub failed: Vec<String>,
    /// Events that say that something is missing.
    pub troubles: Vec<String>,
    /// Connections that were welcomed.
    pub connections: u64,
}

/// The player.
#[derive(Clone)]
pub struct RustPlayer {
    pub name: String,
    pub client: Client,
    noted: Arc<Noted>,
}

#[derive(Default)]
struct Noted {
    seen: Mutex<Vec<Message>>,
    acknowledged: Mutex<Vec<Message>>,
    failed: Mutex<Vec<String>>,
    troubles: Mutex<Vec<String>>,
    under_way: AtomicU64,
}

/// SHA-256 over sequence, length and bytes of each message.
pub fn digest<'a>(messages: impl IntoIterator<Item = &'a Message>) -> String {
    let mut hash = Sha256::new();
    for (seq, text) in messages {
        hash.update(seq.to_be_bytes());
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    format!("{:x}", hash.finalize())
}

impl RustPlayer {
    /// Signs in as a new guest.
    pub async fn connect(url: &str, name: &str, back_off: BackOff) -> Self {
        let options = ClientOptions::new(url).back_off(back_off);
        let client = Client::connect(options).unwrap();
        let noted = Arc::<Noted>::default();
        tokio::spawn(note(client.events(), Arc::clone(&noted)));
        let secret = new_guest_secret().unwrap();
        client.login_guest(&secret, Some(name)).await.unwrap();
        Self {
            name: name.to_owned(),
            client,
            noted,
        }
    }

    /// Sends to the room what `next` gives until it gives nothing, with at most `most` messages under way. Calls wait for
    /// their answers as long as it takes.
    pub async fn send_all(
        &self,
        room: RoomId,
        most: usize,
        mut next: impl FnMut() -> Option<String>,
    ) {
        let room = self.client.room(room);
        let mut calls = FuturesUnordered::new();
        let mut ended = false;
        loop {
            while !ended && calls.len() < most {
                let Some(text) = next() else {
                    ended = true;
                    break;
                };
                self.noted.under_way.fetch_add(1, Ordering::Relaxed);
                let call = room.send(text.as_str()).without_deadline().send();
                calls.push(async move { (text, call.await) });
            }
            let Some((text, outcome)) = calls.next().await else {
                break;
            };
            self.noted.under_way.fetch_sub(1, Ordering::Relaxed);
            match outcome {
                Ok(sent) => self
                    .noted
                    .acknowledged
                    .lock()
                    .unwrap()
                    .push((sent.seq, text)),
                Err(error) => self
                    .noted
                    .failed
                    .lock()
                    .unwrap()
                    .push(format!("{text:?}: {error}")),
            }
        }
    }

    pub fn acknowledged(&self) -> u64 {
        self.noted.acknowledged.lock().unwrap().len() as u64
    }

    pub fn under_way(&self) -> u64 {
        self.noted.under_way.load(Ordering::Relaxed)
    }

    /// The newest message that it has seen.
    pub fn head(&self) -> u64 {
        self.noted
            .seen
            .lock()
            .unwrap()
            .last()
            .map_or(0, |(seq, _)| *seq)
    }

    pub fn report(&self) -> Report {
        Report {
            name: self.name.clone(),
            seen: self.noted.seen.lock().unwrap().clone(),
            acknowledged: self.noted.acknowledged.lock().unwrap().clone(),
            failed: self.noted.failed.lock().unwrap().clone(),
            troubles: self.noted.troubles.lock().unwrap().clone(),
            connections: self.client.stats().welcomes,
        }
    }
}

async fn note(mut events: Events, noted: Arc<Noted>) {
    while let Some(event) = events.next().await {
        match event {
            ServerEvent::MessageSent(sent) => {
                noted
                    .seen
                    .lock()
                    .unwrap()
                    .push((sent.msg.seq, sent.msg.text));
            }
            ServerEvent::Gap(_) | ServerEvent::StreamLost { .. } | ServerEvent::SignedOut(_) => {
                noted.troubles.lock().unwrap().push(format!("{event:?}"));
            }
            _ => {}
        }
    }
}

/// All messages of a room, page by page from the beginning.
pub async fn history(room: &Room) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    loop {
        let after = messages.last().map_or(0, |(seq, _)| *seq);
        let page = room
            .history(Some(HistoryFrom::After(after)), Some(200))
            .await
            .unwrap();
        if page.messages.is_empty() {
            return messages;
        }
        messages.extend(
            page.messages
                .into_iter()
                .map(|message| (message.seq, message.text)),
        );
    }
}

//! A game that draws 60 frames a second and never waits for the network: nothing in its loop is async.
//!
//! ```sh
//! cargo run -p pitturu-client --example game_loop -- ws://localhost:7350 Mina
//! ```

#![allow(
    clippy::print_stdout,
    reason = "the screen of this game is standard output"
)]

use std::error::Error;
use std::time::{Duration, Instant};

use pitturu_client::types::chat::SendMessage;
use pitturu_client::{
    Call, CallError, Client, ClientOptions, ConnectionState, Events, Room, ServerEvent,
    new_guest_secret, one_line,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 60);

/// What the network has to say to a frame of the game.
#[derive(Debug)]
pub(crate) enum News {
    Entered,
    Said { name: String, text: String },
    Link(ConnectionState),
    Failed(CallError),
}

/// The network, for code that can't wait. The client works on a thread of its own; every function here returns at once.
pub(crate) struct Network {
    client: Client,
    events: Events,
    entering: Option<oneshot::Receiver<Result<Room, CallError>>>,
    room: Option<Room>,
    sending: Vec<Call<SendMessage>>,
    runtime: Option<Runtime>,
}

impl Network {
    /// Begins to connect, to sign in and to enter a room.
    pub(crate) fn start(url: &str, name: &str, room: &str) -> Result<Self, Box<dyn Error>> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let client = {
            let _inside = runtime.enter();
            Client::connect(ClientOptions::new(url))?
        };
        let (done, entering) = oneshot::channel();
        let entrance = enter(client.clone(), name.to_owned(), room.to_owned());
        // Whoever has left does not want to know.
        runtime.spawn(async move { drop(done.send(entrance.await)) });
        Ok(Self {
            events: client.events(),
            client,
            entering: Some(entering),
            room: None,
            sending: Vec::new(),
            runtime: Some(runtime),
        })
    }

    /// Says something in the room. False: there is no room yet.
    pub(crate) fn say(&mut self, text: &str) -> bool {
        let sending = self.room.as_ref().map(|room| room.send(text).send());
        let is_sent = sending.is_some();
        self.sending.extend(sending);
        is_sent
    }

    /// What has happened since the last frame.
    pub(crate) fn poll(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        if let Some(entering) = &mut self.entering
            && let Ok(entered) = entering.try_recv()
        {
            self.entering = None;
            match entered {
                Ok(room) => {
                    self.room = Some(room);
                    news.push(News::Entered);
                }
                Err(error) => news.push(News::Failed(error)),
            }
        }
        self.sending.retain_mut(|call| match call.try_answer() {
            None => true,
            Some(answer) => {
                news.extend(answer.err().map(News::Failed));
                false
            }
        });
        while let Some(event) = self.events.try_next() {
            match event {
                ServerEvent::MessageSent(sent) => news.push(News::Said {
                    name: sent.msg.name,
                    text: sent.msg.text,
                }),
                ServerEvent::Connection(state) => news.push(News::Link(state)),
                _ => {}
            }
        }
        news
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.client.close();
        if let Some(runtime) = self.runtime.take() {
            // As long as it takes to say goodbye.
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// Several calls that follow each other are easiest to write for the network's thread.
async fn enter(client: Client, name: String, room: String) -> Result<Room, CallError> {
    client
        .login_guest(&new_guest_secret()?, Some(&name))
        .await?;
    let view = client.enter_room(&room).await?;
    Ok(client.room(view.info.room))
}

/// Runs frames until `frame`, which is given the number of the frame and the news, says that it is enough.
pub(crate) fn run(
    network: &mut Network,
    mut frame: impl FnMut(u64, &mut Network, Vec<News>) -> bool,
) {
    let mut due = Instant::now();
    for number in 0.. {
        let news = network.poll();
        if !frame(number, network, news) {
            return;
        }
        due += FRAME;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

#[allow(dead_code, reason = "a test has no main")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or("ws://localhost:7350".into());
    let name = arguments.next().unwrap_or("Mina".into());
    println!("60 frames a second; Ctrl-C ends it");
    let mut network = Network::start(&url, &name, "lobby")?;
    run(&mut network, |number, network, news| {
        for news in news {
            match news {
                News::Entered => println!("frame {number}: in the lobby"),
                News::Said { name, text } => {
                    println!("frame {number}: {}: {}", one_line(&name), one_line(&text));
                }

                News::Link(state) => println!("frame {number}: {state:?}"),
                News::Failed(error) => println!("frame {number}: {error}"),
            }
        }
        if number % 300 == 299 {
            network.say(&format!("still here at frame {number}"));
        }
        true
    });
    Ok(())
}

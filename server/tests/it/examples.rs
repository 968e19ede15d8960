//! The Rust SDK's examples against a real server: the README's first lines, and a game loop.

use std::sync::mpsc;
use std::time::Duration;

use pitturu_client::{Client, ClientOptions, ServerEvent, new_guest_secret};

use crate::launch::Server;

#[path = "../../../client-sdk/rust/examples/game_loop.rs"]
mod game_loop;
#[path = "../../../client-sdk/rust/examples/quickstart.rs"]
mod quickstart;

use game_loop::{Network, News};

const PATIENCE: Duration = Duration::from_secs(30);

fn url(server: &Server) -> String {
    format!("ws://{}", server.ws)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_lines_of_the_readme_chat() {
    let server = Server::start(&[]);
    let listener = Client::connect(ClientOptions::new(url(&server))).unwrap();
    let secret = new_guest_secret().unwrap();
    listener
        .login_guest(&secret, Some("Listener"))
        .await
        .unwrap();
    listener.enter_room("lobby").await.unwrap();
    let mut events = listener.events();
    let heard = async {
        loop {
            match events.next().await {
                Some(ServerEvent::MessageSent(sent)) => return sent.msg,
                Some(_) => {}
                None => panic!("the listener has ended"),
            }
        }
    };
    let address = url(&server);
    let msg = tokio::select! {
        heard = tokio::time::timeout(PATIENCE, heard) => heard.expect("it is heard"),
        ended = quickstart::chat(&address) => panic!("{ended:?}"),
    };
    assert_eq!((msg.name.as_str(), msg.text.as_str()), ("Mina", "hello"));
}

/// Plays until both players have heard each other, and says how many frames that took.
fn play(address: &str, name: &str, ready: &mpsc::Sender<()>, go: &mpsc::Receiver<()>) -> u64 {
    let mut network = Network::start(address, name, "arena").unwrap();
    let mut heard = Vec::new();
    let mut frames = 0;
    game_loop::run(&mut network, |number, network, news| {
        frames = number;
        for news in news {
            match news {
                News::Entered => ready.send(()).unwrap(),
                News::Said { name, .. } => heard.push(name),
                News::Failed(error) => panic!("{error}"),
                News::Link(_) => {}
            }
        }
        if go.try_recv().is_ok() {
            assert!(network.say("hello"));
        }
        assert!(number < 60 * PATIENCE.as_secs(), "{name} heard {heard:?}");
        !(heard.iter().any(|from| from == "Ann") && heard.iter().any(|from| from == "Ben"))
    });
    frames
}

#[test]
fn two_game_loops_hear_each_other_and_neither_waits() {
    let server = Server::start(&[]);
    let address = url(&server);
    // One makes the room, and the other finds it.
    let (ready, is_ready) = mpsc::channel();
    std::thread::scope(|scope| {
        let mut goes = Vec::new();
        let mut players = Vec::new();
        for name in ["Ann", "Ben"] {
            let (go, gone) = mpsc::channel();
            let (address, ready) = (&address, ready.clone());
            players.push(scope.spawn(move || play(address, name, &ready, &gone)));
            is_ready.recv_timeout(PATIENCE).unwrap();
            goes.push(go);
        }
        for go in &goes {
            go.send(()).unwrap();
        }
        for player in players {
            assert!(player.join().unwrap() > 0);
        }
    });
}

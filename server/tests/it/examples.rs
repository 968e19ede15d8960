//! The Rust SDK's examples against a real server: the README's first lines, a game loop, a wallet, and a leaderboard that moves.

use std::sync::mpsc;
use std::time::Duration;

use pitturu_client::types::accounts::{Role, SetRole};
use pitturu_client::types::boards::{BoardStanding, ScoreEntry};
use pitturu_client::types::points::GrantPoints;
use pitturu_client::{Client, ClientOptions, ServerEvent, UserId, new_guest_secret};
use tokio::sync::mpsc::{self as channel, UnboundedReceiver};

use crate::launch::Server;

#[path = "../../../client-sdk/rust/examples/game_loop.rs"]
mod game_loop;
#[path = "../../../client-sdk/rust/examples/leaderboard.rs"]
mod leaderboard;
#[path = "../../../client-sdk/rust/examples/quickstart.rs"]
mod quickstart;
#[path = "../../../client-sdk/rust/examples/wallet.rs"]
mod wallet;

use game_loop::{Network, News};
use leaderboard::GameServer;

const PATIENCE: Duration = Duration::from_secs(30);

const PASSWORD: &str = "a long pass phrase";

/// The settings of a server with the game of the examples.
const GAME: [&str; 2] = [
    "accounts.admins=boss",
    concat!(
        "game.file=",
        env!("CARGO_MANIFEST_DIR"),
        "/../client-sdk/examples/game.toml"
    ),
];

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

/// The game of the examples, with an account of a game server, which is none yet, and its admin.
async fn game() -> (Server, Client, UserId) {
    let server = Server::start(&GAME);
    let connect = || Client::connect(ClientOptions::new(url(&server))).unwrap();
    let (admin, arena) = (connect(), connect());
    admin.register("boss", PASSWORD).await.unwrap();
    let arena = arena.register("arena", PASSWORD).await.unwrap();
    (server, admin, arena.identity.user)
}

fn arena(players: Vec<UserId>) -> GameServer {
    GameServer {
        username: "arena".into(),
        password: PASSWORD.into(),
        is_new: false,
        players,
    }
}

/// What is told, from the first on that fits.
async fn told<T, U>(told: &mut UnboundedReceiver<T>, fits: impl Fn(&T) -> Option<U>) -> U {
    let waiting = async {
        loop {
            let next = told.recv().await.expect("it goes on");
            if let Some(found) = fits(&next) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("told")
}

/// A wallet in its terminal.
struct Shown {
    typed: channel::Sender<String>,
    lines: UnboundedReceiver<String>,
    seen: Vec<String>,
}

impl Shown {
    fn start(address: String, name: &'static str) -> Self {
        let (typed, typing) = channel::channel(16);
        let (showing, lines) = channel::unbounded_channel();
        tokio::spawn(async move {
            let show = |line| drop(showing.send(line));
            let ended = wallet::run(&address, name, typing, show).await;
            assert!(ended.is_ok(), "{name}: {ended:?}");
        });
        Self {
            typed,
            lines,
            seen: Vec::new(),
        }
    }

    async fn enters(&self, line: &str) {
        self.typed.send(line.into()).await.unwrap();
    }

    /// The line with this text, whether it is shown already or will be.
    async fn sees(&mut self, text: &str) -> String {
        let waiting = async {
            loop {
                if let Some(line) = self.seen.iter().find(|line| line.contains(text)) {
                    return line.clone();
                }
                self.seen.push(self.lines.recv().await.expect("it goes on"));
            }
        };
        let seen = tokio::time::timeout(PATIENCE, waiting).await;
        seen.unwrap_or_else(|_| panic!("no {text} in {:#?}", self.seen))
    }

    async fn user(&mut self) -> UserId {
        let line = self.sees("you are ").await;
        let user = line.split([' ', ':']).nth(2).unwrap();
        user.parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_moves_with_what_is_won_bought_and_given() {
    let (server, admin, arena_id) = game().await;
    let refused = arena(vec![]).run(&url(&server), "weekly", |_| {}).await;
    assert!(refused.unwrap_err().to_string().contains("SetRole"));
    let (user, role) = (arena_id, Role::Service);
    admin.call(SetRole { user, role }).await.unwrap();

    let mut mina = Shown::start(url(&server), "Mina");
    let mina_id = mina.user().await;
    mina.sees("wallet: 0 points, 0 free").await;
    let address = url(&server);
    let (telling, mut tells) = channel::unbounded_channel();
    let playing = arena(vec![mina_id]);
    let tell = move |line| drop(telling.send(line));
    let playing = tokio::spawn(async move { playing.run(&address, "weekly", tell).await.unwrap() });
    let won = |line: &String| line.contains(&mina_id.to_string()).then_some(());
    told(&mut tells, won).await;
    mina.sees("wallet: 25 points, 25 free").await;
    playing.abort();

    mina.enters("items").await;
    mina.sees("founders_hat: 15 points, 10 left").await;
    mina.enters("buy potion 2").await;
    mina.sees("you own 2 potion").await;
    mina.enters("use potion").await;
    mina.sees("you own 1 potion").await;
    mina.enters("buy vip").await;
    mina.sees("refused: ").await;

    let mut jun = Shown::start(url(&server), "Jun");
    jun.enters("name jun another-long-one").await;
    jun.sees("others can give to jun").await;
    mina.enters("give jun 6").await;
    jun.sees("Mina gave you 6 points").await;
    jun.sees("wallet: 6 points").await;
    mina.enters("history").await;
    mina.sees("wallet -> transit  makes 9").await;
    mina.sees("no more").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_shows_its_history_page_by_page() {
    let (server, admin, _) = game().await;
    let mut mina = Shown::start(url(&server), "Mina");
    let user = mina.user().await;
    for amount in 1..=7 {
        let (note, reference) = ("for the test".into(), None);
        let grant = GrantPoints {
            user,
            amount,
            reference,
            note,
        };
        admin.call(grant).await.unwrap();
    }
    mina.sees("wallet: 28 points").await;
    mina.enters("history").await;
    mina.sees("   7      7 issuance -> wallet  makes 28").await;
    let last = mina.sees("   3      3 issuance -> wallet  makes 6").await;
    assert_eq!(mina.seen.last(), Some(&last));
    mina.enters("more").await;
    mina.sees("   2      2 issuance -> wallet  makes 3").await;
    mina.sees("no more").await;
    mina.enters("more").await;
    mina.sees("there are no older movements").await;
}

/// A leaderboard on a screen.
fn watch(address: String, name: &'static str) -> UnboundedReceiver<leaderboard::News> {
    let (telling, tells) = channel::unbounded_channel();
    tokio::spawn(async move {
        let tell = |news| drop(telling.send(news));
        leaderboard::follow(&address, "weekly", name, tell)
            .await
            .unwrap();
    });
    tells
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaderboard_moves_and_moves_on_after_a_restart() {
    use leaderboard::News;

    let (mut server, admin, user) = game().await;
    let role = Role::Service;
    admin.call(SetRole { user, role }).await.unwrap();
    let mut news = watch(url(&server), "Mina");
    let mina = told(&mut news, |news| match news {
        News::Player(user) => Some(*user),
        _ => None,
    });
    let mina = mina.await;
    let address = url(&server);
    let playing = arena(vec![mina]);
    tokio::spawn(async move { playing.run(&address, "weekly", |_| {}).await.unwrap() });
    let score_above = |least: i64| {
        move |news: &News| match news {
            News::Standing(standing) => {
                let own = standing.own.as_ref()?;
                assert!(
                    leaderboard::drawn(standing).contains("Mina"),
                    "{standing:?}"
                );
                (own.score > least).then_some(own.score)
            }
            _ => None,
        }
    };
    let before = told(&mut news, score_above(0)).await;
    server.kill();
    let offline = |news: &News| matches!(news, News::Offline(_)).then_some(());
    told(&mut news, offline).await;
    let _server = Server::start_at(&server.ws.to_string(), server.folder(), &GAME);
    // What was won before the end and not shown may be in the first standing; what is won in the next rounds comes as it happens.
    let again = told(&mut news, score_above(before - 1)).await;
    let moved = told(&mut news, score_above(again)).await;
    assert!(moved > before);
}

#[test]
fn a_leaderboard_is_drawn_with_the_own_place_and_clean_names() {
    let entry = |number: u8, name: &str| ScoreEntry {
        user: UserId::from_bytes([number; 10]),
        name: name.into(),
        rank: number.into(),
        score: -i64::from(number),
        at: 0,
        metadata: None,
    };
    let mut standing = BoardStanding {
        board: "weekly".into(),
        season: 3,
        count: 40,
        top: vec![entry(1, "Ann"), entry(2, "\u{1b}[2J\u{202e}Ben")],
        own: Some(entry(31, "Mina")),
    };
    let drawn = leaderboard::drawn(&standing);
    assert_eq!(
        drawn,
        "weekly, season 3, 40 players\n    1.       -1  Ann\n    2.       -2  \u{fffd}[2J\u{fffd}Ben\n>  31.      -31  Mina\n"
    );
    standing.own = Some(entry(1, "Ann"));
    let drawn = leaderboard::drawn(&standing);
    assert_eq!(drawn.matches('>').count(), 1);
    assert!(drawn.contains(">   1.       -1  Ann\n"), "{drawn}");
}

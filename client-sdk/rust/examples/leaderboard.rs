//! A leaderboard that moves: the best ten and the own place, as they change. `--serve` is the other side, a server of a game whose
//! players win points and scores.
//!
//! ```sh
//! cargo run -p pitturu-client --example leaderboard -- ws://localhost:7350 --name Mina
//! GAME_SERVER_PASSWORD=… cargo run -p pitturu-client --example leaderboard -- ws://localhost:7350 --serve --username arena
//! ```

#![allow(clippy::print_stdout, reason = "the leaderboard is shown there")]

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use pitturu_client::types::accounts::Role;
use pitturu_client::types::boards::{BoardStanding, FollowBoard, ScoreEntry, SubmitScore};
use pitturu_client::types::rewards::{PlayOutcome, RecordPlay};
use pitturu_client::{
    CallError, Client, ClientOptions, ConnectionState, ServerEvent, UserId, new_guest_secret,
    one_line,
};

/// Guests who play on the game's server.
const GUESTS: [&str; 12] = [
    "Ann", "Ben", "Cho", "Dae", "Eva", "Finn", "Gil", "Hana", "Ida", "Jun", "Kim", "Lee",
];

/// Time between two matches.
const MATCH: Duration = Duration::from_millis(250);

/// What a follower of a leaderboard hears.
#[derive(Debug)]
pub(crate) enum News {
    /// Who is looking.
    Player(UserId),
    /// How things stand.
    Standing(BoardStanding),
    /// There is no connection, and why.
    Offline(Option<Arc<str>>),
}

/// Tells how things stand on a leaderboard, as often as that changes, until the client is closed.
pub(crate) async fn follow(
    url: &str,
    board: &str,
    name: &str,
    mut tell: impl FnMut(News),
) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ClientOptions::new(url))?;
    let mut events = client.events();
    let me = client.login_guest(&new_guest_secret()?, Some(name)).await?;
    tell(News::Player(me.identity.user));
    // From here on the client follows it on each connection. If this one is lost meanwhile, the call waits for the next.
    let board = board.to_owned();
    let standing = client.call(FollowBoard { board }).without_deadline();
    tell(News::Standing(standing.await?));
    while let Some(event) = events.next().await {
        match event {
            ServerEvent::RankChanged(changed) => tell(News::Standing(changed.standing)),
            ServerEvent::Connection(ConnectionState::Offline { why, .. }) => {
                tell(News::Offline(why));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The leaderboard as text; names are other people's.
pub(crate) fn drawn(standing: &BoardStanding) -> String {
    let (board, season) = (&standing.board, standing.season);
    let mut text = format!("{board}, season {season}, {} players\n", standing.count);
    let mut add = |mark: &str, entry: &ScoreEntry| {
        let name = one_line(&entry.name);
        // Writing to a text does not fail.
        let _ = writeln!(text, "{mark}{:>4}. {:>8}  {name}", entry.rank, entry.score);
    };
    let own = standing.own.as_ref();
    for entry in &standing.top {
        let is_own = own.is_some_and(|own| own.user == entry.user);
        add(if is_own { ">" } else { " " }, entry);
    }
    if let Some(own) = own.filter(|own| standing.top.iter().all(|entry| entry.user != own.user)) {
        add(">", own);
    }
    text
}

/// A server of the game: how it signs in, and who plays there.
pub(crate) struct GameServer {
    pub(crate) username: String,
    pub(crate) password: String,
    /// Whether there is no such account yet.
    pub(crate) is_new: bool,
    pub(crate) players: Vec<UserId>,
}

impl GameServer {
    /// Lets matches be won, one after the other, and submits what the players get for it.
    pub(crate) async fn run(
        self,
        url: &str,
        board: &str,
        mut tell: impl FnMut(String),
    ) -> Result<(), Box<dyn Error>> {
        let client = Client::connect(ClientOptions::new(url))?;
        let me = if self.is_new {
            client.register(&self.username, &self.password).await?
        } else {
            client.login(&self.username, &self.password).await?
        };
        let role = me.identity.role;
        // Admins may the same.
        if !matches!(role, Role::Service | Role::Admin) {
            return Err(format!(
                "{} is no service but {role:?}; an admin calls SetRole",
                self.username
            )
            .into());
        }
        let mut players = self.players;
        for name in GUESTS {
            let guest = Client::connect(ClientOptions::new(url))?;
            let guest = guest.login_guest(&new_guest_secret()?, Some(name)).await?;
            players.push(guest.identity.user);
        }
        for winner in players.into_iter().cycle() {
            tell(won(&client, board, winner).await?);
            tokio::time::sleep(MATCH).await;
        }
        Ok(())
    }
}

/// What a server of a game does after a match. The keys of its calls follow from the match: whoever is in doubt whether they were
/// made, makes them again, and no score and no reward counts twice.
async fn won(client: &Client, board: &str, user: UserId) -> Result<String, CallError> {
    let this_match = new_guest_secret()?;
    let score = fastrand::i64(1..=100);
    let submit = SubmitScore {
        board: board.into(),
        user,
        score,
        metadata: None,
    };
    let submit = client.call(submit).with_key(format!("{this_match}-score"));
    let submitted = submit.without_deadline().await?;
    let play = RecordPlay {
        user,
        game: "arena".into(),
        outcome: PlayOutcome::Won,
    };
    let play = client.call(play).with_key(format!("{this_match}-play"));
    let recorded = play.without_deadline().await?;
    let points: u64 = recorded.rewards.iter().map(|reward| reward.points).sum();
    let rank = submitted.rank;
    Ok(format!(
        "{user} scores {score}: place {rank}, {points} points"
    ))
}

/// Shows a leaderboard that moves, or is the server of the game that moves it.
#[derive(Parser)]
struct Arguments {
    /// Address of the server
    #[arg(default_value = "ws://localhost:7350")]
    url: String,
    /// Which leaderboard
    #[arg(long, default_value = "weekly")]
    board: String,
    /// Name of the player who looks
    #[arg(long, default_value = "guest")]
    name: String,
    /// Be a server of the game
    #[arg(long, requires = "username", requires = "password")]
    serve: bool,
    /// The game server's account, with the role `service`
    #[arg(long, env = "GAME_SERVER_USERNAME")]
    username: Option<String>,
    /// Its password
    #[arg(long, env = "GAME_SERVER_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Make the account first
    #[arg(long)]
    register: bool,
    /// Id of a player who plays beside the server's own guests; more than once for several
    #[arg(long)]
    player: Vec<UserId>,
}

fn show(news: News) {
    match news {
        News::Player(user) => println!("you are {user}"),
        News::Standing(standing) => println!("{}", drawn(&standing)),
        News::Offline(Some(why)) => println!("(no connection: {}; trying again)", one_line(&why)),
        News::Offline(None) => println!("(no connection; trying again)"),
    }
}

async fn begin(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let (url, board) = (&arguments.url, &arguments.board);
    let (true, Some(username), Some(password)) =
        (arguments.serve, arguments.username, arguments.password)
    else {
        return follow(url, board, &arguments.name, show).await;
    };
    let server = GameServer {
        username,
        password,
        is_new: arguments.register,
        players: arguments.player,
    };
    server.run(url, board, |line| println!("{line}")).await
}

#[allow(dead_code, reason = "a test has no main")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tokio::select! {
        ended = begin(Arguments::parse()) => ended,
        pressed = tokio::signal::ctrl_c() => Ok(pressed?),
    }
}

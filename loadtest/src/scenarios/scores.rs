//! Leaderboards: a service submits scores, players follow and ask. In the end every leaderboard has what the submissions say that were
//! answered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use clap::Args;
use pitturu_protocol::frame::CallId;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::boards::{
    FollowBoard, GetScore, ListScoresAround, ListTopScores, SubmitScore,
};
use serde::{Deserialize, Serialize};

use self::books::{Books, compare};
use super::{Play, admin, is_chosen};
use crate::clock;
use crate::link::Lost;
use crate::outcome::Outcome;
use crate::plan::Window;
use crate::player::{Failed, Pace, Player};
use crate::report::{Better, Check, Figure};
use crate::tally::{Op, count};
use crate::thread_players::{ThreadPlayers, Waits};

mod books;

/// Name of the account that submits, which is listed in `accounts.admins`.
const SERVICE: &str = "scores-admin";

/// One connection of this many is the service's.
const CONNECTIONS_OF_SERVICE: u64 = 4;

/// Greatest score of one submission; the least is its negative.
const SCORE_MAX: i64 = 1_000;

/// Entries that one call asks for.
const ASKED: u32 = 10;

/// Parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Options {
    /// Connections. Every fourth is the service's, which submits; each of the others is of a player of its own.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(4..1_000_000))]
    pub connections: u64,
    /// Leaderboards, of which each score goes to one. They add scores up.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub boards: u64,
    /// One leaderboard of this name in their stead, of a server that runs already. It takes the best score or the sum.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// Submissions that each connection of the service has under way, when no rate is given.
    #[arg(long, default_value_t = 8)]
    pub depth: usize,
    /// Submissions per second of all connections together; 0: as many as are answered.
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// Players of a hundred who follow a leaderboard; the others ask.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(..=100))]
    pub followers: u64,
    /// Questions per second of all who ask: for a part of the order, for what is around a player, for the own place.
    #[arg(long, default_value_t = 100.0)]
    pub asks: f64,
    /// Players of each generator thread who get the hot share.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..1_000))]
    pub hot: u64,
    /// Submissions of a hundred that are of a hot player.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(..=100))]
    pub hot_share: u64,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Submit,
    Follow,
    Ask,
}

/// A connection with its part.
struct Hand {
    part: Part,
    player: Player,
    under_way: HashMap<CallId, (usize, UserId, i64)>,
}

impl Waits for Hand {
    fn player(&mut self) -> Option<&mut Player> {
        Some(&mut self.player)
    }
}

type SharedBooks = Rc<RefCell<Books>>;

impl Play for Options {
    fn players(&self) -> u64 {
        self.connections
    }

    fn offered(&self) -> Vec<(Op, f64)> {
        let submitted = (Op::Submit, self.rate);
        let asked = match self.count_of(Part::Ask) {
            0 => (Op::Call, 0.0),
            _ => (Op::Call, self.asks),
        };
        let offered = [submitted, asked].into_iter();
        offered.filter(|(_, rate)| *rate > 0.0).collect()
    }

    fn settings(&self) -> Vec<String> {
        vec![format!("accounts.admins={SERVICE}")]
    }

    fn game(&self) -> Option<String> {
        let board = |name: String| format!("[boards.{name}]\noperator = 'sum'\n");
        let game = self.names().into_iter().map(board).collect();
        Some(game)
    }

    async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let options = Rc::new(self);
        let (mut service, token) = admin::sign_in(&thread, SERVICE).await?;
        let books = Books::of(&mut service, options.names()).await?;
        let books = Rc::new(RefCell::new(books));
        let getting_ready = thread.gather(|number| {
            let (thread, books) = (Rc::clone(&thread), Rc::clone(&books));
            Rc::clone(&options).enter(thread, books, token.clone(), number)
        });
        let waiting = service.listen_while(getting_ready).await?;
        let mut held = books.take();
        held.begin(&mut service).await?;
        submit_first(&mut service, &mut held).await?;
        books.replace(held);
        service.close().await;
        let (window, hands) = thread.ready(waiting).await;
        thread
            .each(hands, |hand| {
                let (options, books) = (Rc::clone(&options), Rc::clone(&books));
                options.take_part(Rc::clone(&thread), books, window, hand)
            })
            .await;
        let service = admin::connect(&thread, thread.players.start, token).await?;
        compare(&thread, service, &books.take()).await;
        Ok(())
    }

    fn figures(&self, outcome: &Outcome) -> Vec<Figure> {
        let followers = self.count_of(Part::Follow) as f64;
        let told = outcome.measured.count(count::RANK_CHANGED) as f64;
        if followers == 0.0 {
            return Vec::new();
        }
        vec![Figure {
            name: "rank_changed_per_follower".to_owned(),
            title: "RankChanged per follower and second".to_owned(),
            value: told / followers / outcome.seconds,
            unit: String::new(),
            better: Some(Better::Higher),
        }]
    }

    fn checks(&self, outcome: &Outcome) -> Vec<Check> {
        let of = |name| outcome.whole.count(name);
        let (right, wrong) = (of(count::SCORES_RIGHT), of(count::SCORES_WRONG));
        let counted = of(count::SCORES_COUNTED);
        // Others may be on a leaderboard that was there before.
        let has_others = self.board.is_none() && counted != right;
        let mut checks = vec![
            outcome.nobody_was_disconnected(),
            outcome.none_failed(Op::Submit),
            Check {
                title: "every leaderboard has what was answered".to_owned(),
                held: wrong == 0 && right > 0 && !has_others,
                detail: format!("{right} entries are right, {wrong} wrong, {counted} there"),
            },
        ];
        if self.asks > 0.0 && self.count_of(Part::Ask) > 0 {
            checks.push(outcome.none_failed(Op::Call));
        }
        if self.count_of(Part::Follow) > 0 {
            let told = of(count::RANK_CHANGED);
            checks.push(Check {
                title: "followers were told".to_owned(),
                held: told > 0,
                detail: format!("{told} times"),
            });
        }
        checks
    }

    fn with_load(mut self, load: f64) -> (Self, &'static str) {
        self.rate = load;
        (self, "rate")
    }
}

impl Options {
    fn names(&self) -> Vec<String> {
        match &self.board {
            Some(name) => vec![name.clone()],
            None => (0..self.boards).map(|it| format!("scores-{it}")).collect(),
        }
    }

    /// What the connection of this number is for.
    const fn part(&self, number: u64) -> Part {
        if number.is_multiple_of(CONNECTIONS_OF_SERVICE) {
            return Part::Submit;
        }
        // Players are numbered without the service's connections.
        let player = number - number / CONNECTIONS_OF_SERVICE - 1;
        match is_chosen(player, self.followers, 100) {
            true => Part::Follow,
            false => Part::Ask,
        }
    }

    fn count_of(&self, part: Part) -> usize {
        let all = 0..self.connections;
        all.filter(|&number| self.part(number) == part).count()
    }

    async fn enter(
        self: Rc<Self>,
        thread: Rc<ThreadPlayers>,
        books: SharedBooks,
        token: String,
        number: u64,
    ) -> Result<Hand, Failed> {
        let part = self.part(number);
        let hand = |player| Hand {
            part,
            player,
            under_way: HashMap::new(),
        };
        if part == Part::Submit {
            return Ok(hand(admin::connect(&thread, number, token).await?));
        }
        let mut player = Player::connect(thread.plan.route(number), None, &thread.tally).await?;
        let signed_in = player.sign_in(thread.plan.seed, number).await?;
        books.borrow_mut().players.push(signed_in.identity.user);
        if part == Part::Follow {
            let board = books.borrow().some_board().name.clone();
            player.call(&FollowBoard { board }).await?;
        }
        Ok(hand(player))
    }

    async fn take_part(
        self: Rc<Self>,
        thread: Rc<ThreadPlayers>,
        books: SharedBooks,
        window: Window,
        mut hand: Hand,
    ) {
        let played = match hand.part {
            Part::Submit => self.submit(&books, window, &mut hand).await,
            Part::Follow => hand.player.listen_until(window.end).await,
            Part::Ask => self.ask(&books, window, &mut hand.player).await,
        };
        // What is lost or never answered is counted where it happens.
        if played.is_ok() && hand.player.answered().await.is_ok() {
            hand.take_answers(&books);
            if hand.part == Part::Follow {
                thread.drain(&mut hand.player).await;
            }
            hand.player.close().await;
        } else {
            hand.take_answers(&books);
            hand.player.leave();
        }
    }

    async fn submit(
        &self,
        books: &SharedBooks,
        window: Window,
        hand: &mut Hand,
    ) -> Result<(), Lost> {
        if books.borrow().players.is_empty() {
            // All players are those of other threads.
            return hand.player.listen_until(window.end).await;
        }
        if self.rate > 0.0 {
            let connections = self.count_of(Part::Submit) as f64;
            let mut pace = Pace::new(window.start, self.rate / connections);
            while pace.next < window.end {
                hand.player.listen_until(pace.next).await?;
                let intended = pace.advance();
                hand.take_answers(books);
                self.begin(books, hand, intended);
            }
            return Ok(());
        }
        loop {
            // Each answer makes room for the next: the latency is that of the server under this depth, not under a rate.
            let now = clock::now();
            if now >= window.end {
                return Ok(());
            }
            while hand.player.unanswered() < self.depth {
                self.begin(books, hand, now);
            }
            hand.player.step().await?;
            hand.take_answers(books);
        }
    }

    fn begin(&self, books: &SharedBooks, hand: &mut Hand, intended: u64) {
        let books = books.borrow();
        let is_hot = fastrand::u64(..100) < self.hot_share;
        let user = books.some_player(is_hot.then_some(self.hot));
        let board = fastrand::usize(..books.boards.len());
        hand.begin(&books, (board, user, some_score()), intended);
    }

    async fn ask(
        &self,
        books: &SharedBooks,
        window: Window,
        player: &mut Player,
    ) -> Result<(), Lost> {
        if self.asks <= 0.0 {
            return player.listen_until(window.end).await;
        }
        let askers = self.count_of(Part::Ask) as f64;
        let pace = Pace::new(window.start, self.asks / askers);
        let ask = |player: &mut Player, intended| ask_something(&books.borrow(), player, intended);
        player.play(window.end, Some(pace), ask).await
    }
}

fn ask_something(books: &Books, player: &mut Player, intended: u64) {
    let board = books.some_board().name.clone();
    match fastrand::u8(..3) {
        0 => {
            let players = u32::try_from(books.players.len()).unwrap_or(u32::MAX);
            let request = ListTopScores {
                board,
                season: None,
                offset: Some(fastrand::u32(..players)),
                limit: Some(ASKED),
            };
            player.begin_counted(Op::Call, &request, intended, Some(count::LIST_TOP_SCORES));
        }
        1 => {
            let request = ListScoresAround {
                board,
                season: None,
                user: Some(books.some_player(None)),
                before: Some(ASKED / 2),
                after: Some(ASKED / 2),
            };
            player.begin_counted(
                Op::Call,
                &request,
                intended,
                Some(count::LIST_SCORES_AROUND),
            );
        }
        _ => {
            let request = GetScore {
                board,
                season: None,
                user: None,
            };
            player.begin_counted(Op::Call, &request, intended, Some(count::GET_SCORE));
        }
    }
}

impl Hand {
    fn begin(&mut self, books: &Books, submitted: (usize, UserId, i64), intended: u64) {
        let request = submission(books, submitted);
        let call = self.player.begin_watched(Op::Submit, &request, intended);
        self.under_way.insert(call, submitted);
    }

    /// Enters what was answered into the books.
    fn take_answers(&mut self, books: &SharedBooks) {
        let mut books = books.borrow_mut();
        for call in self.player.take_watched() {
            if let Some((board, user, score)) = self.under_way.remove(&call) {
                books.boards[board].submitted(user, score);
            }
        }
    }
}

fn submission(books: &Books, (board, user, score): (usize, UserId, i64)) -> SubmitScore {
    SubmitScore {
        board: books.boards[board].name.clone(),
        user,
        score,
        metadata: None,
    }
}

fn some_score() -> i64 {
    fastrand::i64(-SCORE_MAX..=SCORE_MAX)
}

/// Submits a score of every player of the thread on every leaderboard: whoever asks finds one.
async fn submit_first(service: &mut Player, books: &mut Books) -> Result<(), Failed> {
    let mut under_way = HashMap::new();
    for board in 0..books.boards.len() {
        for user in books.players.clone() {
            let submitted = (board, user, some_score());
            let request = submission(books, submitted);
            let call = service.begin_watched(Op::Submit, &request, clock::now());
            under_way.insert(call, submitted);
        }
    }
    service.answered().await?;
    for call in service.take_watched() {
        if let Some((board, user, score)) = under_way.remove(&call) {
            books.boards[board].submitted(user, score);
        }
    }
    Ok(())
}

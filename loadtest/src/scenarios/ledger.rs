//! Points: an admin grants, players spend and give. In the end every wallet has what the movements say that were answered.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use pitturu_protocol::frame::CallId;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::points::{GetWallet, GivePoints, GrantPoints, SpendPoints};
use serde::{Deserialize, Serialize};

use super::{Play, admin, is_chosen};
use crate::clock;
use crate::link::Lost;
use crate::outcome::Outcome;
use crate::plan::Window;
use crate::player::{Failed, Pace, Player};
use crate::report::Check;
use crate::tally::{Op, count};
use crate::thread_players::{ThreadPlayers, Waits};

/// Name of the admin, who is listed in `accounts.admins`.
const ADMIN: &str = "ledger-admin";

/// What each player has before the load: more than they can spend.
const FIRST_GRANT: u64 = 1_000_000_000;

/// Most points of one movement.
const AMOUNT_MAX: u64 = 10;

/// One connection of this many is the admin's.
const CONNECTIONS_OF_ADMIN: u64 = 4;

/// First number of the accounts that several connections share.
const HOT_ACCOUNTS: u64 = 100_000_000_000;

/// Longest time after the load for gifts that are on their way.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// Parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Options {
    /// Connections. Every fourth is the admin's, who grants; the others spend and give.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(4..1_000_000))]
    pub connections: u64,
    /// Movements that each connection has under way, when no rate is given.
    #[arg(long, default_value_t = 1)]
    pub depth: usize,
    /// Movements per second of all connections together; 0: as many as are answered.
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// Players of each generator thread who share the hot connections.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..1_000))]
    pub hot: u64,
    /// Connections of a hundred that are of a hot player; each of the others is of a player of its own.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=100))]
    pub hot_share: u64,
    /// Movements of a hundred of a player that are gifts; the others are spends.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=100))]
    pub gifts: u64,
}

/// What a movement does.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Grant(UserId, u64),
    Spend(u64),
    Gift(UserId, u64),
}

/// Who moves points on a connection.
#[derive(Clone, Copy, Debug)]
enum Mover {
    Admin,
    Player(UserId),
}

/// A connection with what it moves.
struct Hand {
    by: Mover,
    player: Player,
    under_way: HashMap<CallId, Deed>,
}

impl Waits for Hand {
    fn player(&mut self) -> Option<&mut Player> {
        Some(&mut self.player)
    }
}

/// What the connections of one thread share.
#[derive(Default)]
struct Books {
    /// The player of each connection that is not the admin's: who has more of them is moved more often.
    players: Vec<UserId>,
    /// What each wallet has by the movements that were answered.
    wallets: BTreeMap<UserId, i128>,
    /// Access tokens of players who have several connections, by their account.
    tokens: HashMap<u64, Rc<tokio::sync::OnceCell<(UserId, String)>>>,
    /// One connection of each player, once the load is over.
    left: BTreeMap<UserId, Player>,
}

impl Books {
    fn change(&mut self, user: UserId, by: i128) {
        *self.wallets.entry(user).or_default() += by;
    }

    fn some_player(&self) -> UserId {
        self.players[fastrand::usize(..self.players.len())]
    }
}

type SharedBooks = Rc<RefCell<Books>>;

impl Play for Options {
    fn players(&self) -> u64 {
        self.connections
    }

    fn offered(&self) -> Vec<(Op, f64)> {
        if self.rate > 0.0 {
            vec![(Op::Move, self.rate)]
        } else {
            Vec::new()
        }
    }

    fn settings(&self) -> Vec<String> {
        vec![format!("accounts.admins={ADMIN}")]
    }

    async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let options = Rc::new(self);
        let books = SharedBooks::default();
        let (mut admin, token) = admin::sign_in(&thread, ADMIN).await?;
        let getting_ready = thread.gather(|number| {
            let (thread, books) = (Rc::clone(&thread), Rc::clone(&books));
            Rc::clone(&options).enter(thread, books, token.clone(), number)
        });
        let waiting = admin.listen_while(getting_ready).await?;
        grant_first(&mut admin, &books).await?;
        admin.close().await;
        let (window, hands) = thread.ready(waiting).await;
        thread
            .each(hands, |hand| {
                let (options, books) = (Rc::clone(&options), Rc::clone(&books));
                options.move_points(books, window, hand)
            })
            .await;
        look_at_wallets(&thread, &books).await;
        Ok(())
    }

    fn checks(&self, outcome: &Outcome) -> Vec<Check> {
        let right = outcome.whole.count(count::WALLETS_RIGHT);
        let wrong = outcome.whole.count(count::WALLETS_WRONG);
        vec![
            outcome.nobody_was_disconnected(),
            outcome.none_failed(Op::Move),
            Check {
                title: "every wallet has what was answered".to_owned(),
                held: wrong == 0 && right > 0,
                detail: format!("{right} have it, {wrong} have not"),
            },
        ]
    }

    fn with_load(mut self, load: f64) -> (Self, &'static str) {
        self.rate = load;
        (self, "rate")
    }
}

impl Options {
    /// The account that plays on a connection of this thread.
    fn account(&self, thread: &ThreadPlayers, number: u64) -> u64 {
        if is_chosen(number, self.hot_share, 100) {
            HOT_ACCOUNTS + thread.players.start * 1_000 + number % self.hot
        } else {
            number
        }
    }

    async fn enter(
        self: Rc<Self>,
        thread: Rc<ThreadPlayers>,
        books: SharedBooks,
        admin_token: String,
        number: u64,
    ) -> Result<Hand, Failed> {
        if number.is_multiple_of(CONNECTIONS_OF_ADMIN) {
            return Ok(Hand {
                by: Mover::Admin,
                player: admin::connect(&thread, number, admin_token).await?,
                under_way: HashMap::new(),
            });
        }
        let account = self.account(&thread, number);
        let cell = {
            let mut books = books.borrow_mut();
            Rc::clone(books.tokens.entry(account).or_default())
        };
        let mut first = None;
        let signing_in = async {
            let mut player =
                Player::connect(thread.plan.route(number), None, &thread.tally).await?;
            let signed_in = player.sign_in(thread.plan.seed, account).await?;
            first = Some(player);
            Ok::<_, Failed>((signed_in.identity.user, signed_in.access))
        };
        let (user, token) = cell.get_or_try_init(|| signing_in).await?;
        let player = match first {
            Some(player) => player,
            None => admin::connect(&thread, number, token.clone()).await?,
        };
        books.borrow_mut().players.push(*user);
        Ok(Hand {
            by: Mover::Player(*user),
            player,
            under_way: HashMap::new(),
        })
    }

    async fn move_points(self: Rc<Self>, books: SharedBooks, window: Window, mut hand: Hand) {
        let played = if self.rate > 0.0 {
            self.keep_pace(&books, window, &mut hand).await
        } else {
            self.keep_moving(&books, window, &mut hand).await
        };
        // What is lost or never answered is counted where it happens.
        let answered = played.is_ok() && hand.player.answered().await.is_ok();
        hand.take_answers(&books);
        match hand.by {
            Mover::Player(user) if answered => {
                books.borrow_mut().left.insert(user, hand.player);
            }
            _ => hand.player.leave(),
        }
    }

    async fn keep_pace(
        &self,
        books: &SharedBooks,
        window: Window,
        hand: &mut Hand,
    ) -> Result<(), Lost> {
        let mut pace = Pace::new(window.start, self.rate / self.connections as f64);
        while pace.next < window.end {
            hand.player.listen_until(pace.next).await?;
            let intended = pace.advance();
            hand.take_answers(books);
            hand.begin(self.deed(books, hand.by), intended);
        }
        Ok(())
    }

    /// Each answer makes room for the next movement: the latency is that of the server under this depth, not under a rate.
    async fn keep_moving(
        &self,
        books: &SharedBooks,
        window: Window,
        hand: &mut Hand,
    ) -> Result<(), Lost> {
        loop {
            let now = clock::now();
            if now >= window.end {
                return Ok(());
            }
            while hand.player.unanswered() < self.depth {
                hand.begin(self.deed(books, hand.by), now);
            }
            hand.player.step().await?;
            hand.take_answers(books);
        }
    }

    fn deed(&self, books: &SharedBooks, by: Mover) -> Deed {
        let (amount, other) = (fastrand::u64(1..=AMOUNT_MAX), books.borrow().some_player());
        match by {
            Mover::Admin => Deed::Grant(other, amount),
            Mover::Player(user) if fastrand::u64(..100) < self.gifts && other != user => {
                Deed::Gift(other, amount)
            }
            Mover::Player(_) => Deed::Spend(amount),
        }
    }
}

impl Hand {
    fn begin(&mut self, deed: Deed, intended: u64) {
        let player = &mut self.player;
        let call = match deed {
            Deed::Grant(user, amount) => {
                player.begin_watched(Op::Move, &grant(user, amount), intended)
            }
            Deed::Spend(amount) => {
                let request = SpendPoints {
                    amount,
                    reference: None,
                };
                player.begin_watched(Op::Move, &request, intended)
            }
            Deed::Gift(user, amount) => {
                let request = GivePoints {
                    user,
                    amount,
                    note: None,
                };
                player.begin_watched(Op::Move, &request, intended)
            }
        };
        self.under_way.insert(call, deed);
    }

    /// Enters what was answered into the books.
    fn take_answers(&mut self, books: &SharedBooks) {
        let mut books = books.borrow_mut();
        for call in self.player.take_watched() {
            let (Some(deed), by) = (self.under_way.remove(&call), self.by) else {
                continue;
            };
            match (deed, by) {
                (Deed::Grant(user, amount), _) => books.change(user, i128::from(amount)),
                (Deed::Spend(amount), Mover::Player(user)) => {
                    books.change(user, -i128::from(amount));
                }
                (Deed::Gift(to, amount), Mover::Player(user)) => {
                    books.change(user, -i128::from(amount));
                    books.change(to, i128::from(amount));
                }
                (Deed::Spend(_) | Deed::Gift(..), Mover::Admin) => {}
            }
        }
    }
}

fn grant(user: UserId, amount: u64) -> GrantPoints {
    GrantPoints {
        user,
        amount,
        reference: None,
        note: "loadtest".to_owned(),
    }
}

/// Grants every player of the thread what they begin with.
async fn grant_first(admin: &mut Player, books: &SharedBooks) -> Result<(), Failed> {
    let mut players = books.borrow().players.clone();
    players.sort_unstable();
    players.dedup();
    let mut granted = HashMap::new();
    for user in players {
        let request = grant(user, FIRST_GRANT);
        granted.insert(admin.begin_watched(Op::Call, &request, clock::now()), user);
    }
    admin.answered().await?;
    let mut books = books.borrow_mut();
    for call in admin.take_watched() {
        if let Some(user) = granted.remove(&call) {
            books.change(user, i128::from(FIRST_GRANT));
        }
    }
    Ok(())
}

/// Looks whether each wallet has what the answers say. Gifts arrive a moment after their answer.
async fn look_at_wallets(thread: &ThreadPlayers, books: &SharedBooks) {
    let (wallets, mut left) = {
        let mut books = books.borrow_mut();
        (books.wallets.clone(), std::mem::take(&mut books.left))
    };
    let until = tokio::time::Instant::now() + ARRIVES_WITHIN;
    for (user, expected) in wallets {
        let is_right = match left.remove(&user) {
            Some(player) => comes_to(player, expected, until).await,
            None => false,
        };
        let name = match is_right {
            true => count::WALLETS_RIGHT,
            false => count::WALLETS_WRONG,
        };
        thread.tally.count(name, 1);
    }
}

/// Whether a player's wallet has this much before the time comes.
async fn comes_to(mut player: Player, expected: i128, until: tokio::time::Instant) -> bool {
    loop {
        match player.call(&GetWallet::default()).await {
            Ok(wallet) if i128::from(wallet.balance) == expected => {
                player.close().await;
                return true;
            }
            Ok(_) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(_) | Err(_) => return false,
        }
    }
}

//! A player's wallet: shows it live, with its history page by page, buys and uses items, and gives points to others.
//!
//! ```sh
//! cargo run -p pitturu-client --example wallet -- ws://localhost:7350 Mina
//! ```
//!
//! Points come from the game: the example `leaderboard` is a server of one, and rewards the players whose ids it is given.

#![allow(clippy::print_stdout, reason = "it shows the wallet there")]

use std::error::Error;

use pitturu_client::types::accounts::UpgradeGuest;
use pitturu_client::types::inbox::InboxEntry;
use pitturu_client::types::items::{
    BuyItem, ItemInfo, ListInventory, ListItems, OwnedItem, UseItem,
};
use pitturu_client::types::points::{
    GetWallet, GivePoints, ListMovements, Movement, MovementsFrom, Wallet,
};
use pitturu_client::types::profile::{FindPlayer, GetProfile};
use pitturu_client::{
    CallError, Client, ClientOptions, ConnectionState, Events, ServerEvent, new_guest_secret,
    one_line,
};
use tokio::sync::mpsc;

const HELP: &str = "history | more | items | buy ITEM [COUNT] | use ITEM [COUNT] | give USERNAME AMOUNT | name USERNAME PASSWORD";

/// Movements on a page of the history.
const PAGE: u32 = 5;

/// Shows the wallet, and carries out what is typed until that ends.
pub(crate) async fn run(
    url: &str,
    name: &str,
    mut typed: mpsc::Receiver<String>,
    mut show: impl FnMut(String),
) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ClientOptions::new(url))?;
    let mut events = client.events();
    let me = client.login_guest(&new_guest_secret()?, Some(name)).await?;
    show(format!("you are {}: {HELP}", me.identity.user));
    let mut purse = Purse {
        client,
        older: None,
    };
    while let Some(outcome) = purse.next(&mut typed, &mut events).await {
        match outcome {
            // Names and notes are other people's text.
            Ok(lines) => lines.iter().for_each(|line| show(one_line(line))),
            Err(CallError::Closed) => return Err(CallError::Closed.into()),
            // Nothing was moved, and the next one may go well.
            Err(refusal) => show(one_line(&format!("refused: {refusal}"))),
        }
    }
    Ok(())
}

struct Purse {
    client: Client,
    /// Where the history goes on.
    older: Option<MovementsFrom>,
}

impl Purse {
    /// What there is to show next. Nothing more when nothing more is typed.
    async fn next(
        &mut self,
        typed: &mut mpsc::Receiver<String>,
        events: &mut Events,
    ) -> Option<Result<Vec<String>, CallError>> {
        tokio::select! {
            line = typed.recv() => Some(self.carry_out(&line?).await),
            event = events.next() => Some(self.hear(event?).await),
        }
    }

    async fn hear(&self, event: ServerEvent) -> Result<Vec<String>, CallError> {
        Ok(match event {
            // With each connection: what changed while there was none, nobody has told this one.
            ServerEvent::SignedIn(_) => {
                vec![in_words(&self.client.call(GetWallet::default()).await?)]
            }
            ServerEvent::WalletChanged(changed) => vec![in_words(&changed.wallet)],
            ServerEvent::InventoryChanged(changed) => {
                let owned = changed.change.owned;
                vec![format!("you own {} {}", owned.count, owned.item)]
            }
            ServerEvent::InboxAdded(added) => match added.entry {
                InboxEntry::PointsReceived { user, amount, note } => {
                    let from = self.client.call(GetProfile { user: Some(user) }).await?;
                    let note = note.unwrap_or_default();
                    vec![format!("{} gave you {amount} points {note}", from.name)]
                }
                InboxEntry::PointsReturned { amount, .. } => {
                    vec![format!("{amount} points came back")]
                }
                _ => vec![],
            },
            ServerEvent::Connection(ConnectionState::Offline { .. }) => {
                vec!["(no connection; trying again)".into()]
            }
            _ => vec![],
        })
    }

    /// Calls that move points carry a key that the client draws: one that is sent again after a lost connection moves them once.
    async fn carry_out(&mut self, line: &str) -> Result<Vec<String>, CallError> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => Ok(vec![]),
            ["history"] => self.history(None).await,
            ["more"] => match self.older {
                None => Ok(vec!["there are no older movements".into()]),
                older => self.history(older).await,
            },
            ["items"] => self.items().await,
            ["buy", item] => self.buy(item, "1").await,
            ["buy", item, count] => self.buy(item, count).await,
            ["use", item] => self.use_up(item, "1").await,
            ["use", item, count] => self.use_up(item, count).await,
            ["give", username, amount] => self.give(username, amount).await,
            ["name", username, password] => self.take_name(username, password).await,
            _ => Ok(vec![HELP.into()]),
        }
    }

    /// A page of the movements, newest first.
    async fn history(&mut self, from: Option<MovementsFrom>) -> Result<Vec<String>, CallError> {
        let limit = Some(PAGE);
        let page = ListMovements {
            from,
            limit,
            ..ListMovements::default()
        };
        let page = self.client.call(page).await?;
        self.older = page.next;
        let mut lines: Vec<_> = page.movements.iter().map(line_of).collect();
        lines.push(
            if self.older.is_some() {
                "more"
            } else {
                "no more"
            }
            .into(),
        );
        Ok(lines)
    }

    /// What there is, and what the player has.
    async fn items(&self) -> Result<Vec<String>, CallError> {
        let mut lines = Vec::new();
        for info in self.catalogue().await? {
            lines.push(match (info.price, info.left) {
                (None, _) => format!("{}: not for sale", info.item),
                (Some(price), None) => format!("{}: {price} points", info.item),
                (Some(price), Some(left)) => {
                    format!("{}: {price} points, {left} left", info.item)
                }
            });
        }
        let mut after = None;
        loop {
            let page = ListInventory {
                after,
                ..ListInventory::default()
            };
            let page = self.client.call(page).await?;
            let owned = |owned: &OwnedItem| format!("you own {} {}", owned.count, owned.item);
            lines.extend(page.items.iter().map(owned));
            after = page.next;
            if after.is_none() {
                return Ok(lines);
            }
        }
    }

    async fn catalogue(&self) -> Result<Vec<ItemInfo>, CallError> {
        let mut items = Vec::new();
        let mut after = None;
        loop {
            let page = self.client.call(ListItems { after, limit: None }).await?;
            items.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(items);
            }
        }
    }

    async fn buy(&self, item: &str, count: &str) -> Result<Vec<String>, CallError> {
        let items = self.catalogue().await?;
        let price = items.iter().find(|info| info.item == item);
        let (Some(price), Ok(count)) = (price.and_then(|info| info.price), count.parse()) else {
            return Ok(vec!["there is nothing like that for sale".into()]);
        };
        let item = item.to_owned();
        // The price that the player was shown: at another one nothing is bought.
        let bought = self.client.call(BuyItem { item, count, price }).await?;
        Ok(vec![format!("bought for {} points", bought.points)])
    }

    async fn use_up(&self, item: &str, count: &str) -> Result<Vec<String>, CallError> {
        let Ok(count) = count.parse() else {
            return Ok(vec![HELP.into()]);
        };
        let item = item.to_owned();
        self.client.call(UseItem { item, count }).await?;
        Ok(vec!["used".into()])
    }

    async fn give(&self, username: &str, amount: &str) -> Result<Vec<String>, CallError> {
        let Ok(amount) = amount.parse() else {
            return Ok(vec![HELP.into()]);
        };
        let username = username.to_owned();
        let other = self.client.call(FindPlayer { username }).await?;
        let gift = GivePoints {
            user: other.user,
            amount,
            note: None,
        };
        let given = self.client.call(gift).await?;
        Ok(vec![format!("gave {} to {}", given.amount, other.name)])
    }

    /// The guest becomes an account, which others find by its user name.
    async fn take_name(&self, username: &str, password: &str) -> Result<Vec<String>, CallError> {
        let upgrade = UpgradeGuest {
            username: username.into(),
            password: password.into(),
            email: None,
        };
        self.client.call(upgrade).await?;
        Ok(vec![format!("others can give to {username}")])
    }
}

fn in_words(wallet: &Wallet) -> String {
    format!(
        "wallet: {} points, {} free",
        wallet.balance, wallet.available
    )
}

fn line_of(movement: &Movement) -> String {
    format!(
        "{:>4} {:>6} {} -> {} {} makes {}",
        movement.number,
        movement.amount,
        movement.debit.name(),
        movement.credit.name(),
        movement.reference.as_deref().unwrap_or_default(),
        movement.balance
    )
}

#[allow(dead_code, reason = "a test has no main")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or("ws://localhost:7350".into());
    let name = arguments.next().unwrap_or("guest".into());
    let (lines, typed) = mpsc::channel(16);
    // A thread that nobody waits for: it can't be told to stop reading.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    tokio::select! {
        ended = run(&url, &name, typed, |line| println!("{line}")) => ended,
        pressed = tokio::signal::ctrl_c() => Ok(pressed?),
    }
}

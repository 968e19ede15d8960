//! Sign-ins with passwords, which cost much processor time, beside players who chat and must not feel them.

use std::rc::Rc;

use clap::Args;
use pitturu_protocol::codes::Code;
use pitturu_protocol::types::accounts::{Login, Register};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::chat::Chat;
use super::{Play, whole};
use crate::clock;
use crate::outcome::Outcome;
use crate::plan::{Share, Window};
use crate::player::{Delivery, Failed, Pace, Player, nanoseconds};
use crate::report::Check;
use crate::tally::Op;
use crate::thread_players::{Hold, ThreadPlayers, Waits};

/// Password of all accounts.
const PASSWORD: &str = "a password for tests";

/// Connections that may be open at once for each sign-in per second: those who wait in a full queue.
const WAITING_SECONDS: f64 = 60.0;

/// Parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Options {
    /// Sign-ins per second, each on a connection of its own.
    #[arg(long, default_value_t = 20.0)]
    pub rate: f64,
    /// Accounts with a password, made before the run.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub accounts: u64,
    /// Members of the room beside.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub members: u64,
    /// Messages per second in that room.
    #[arg(long, default_value_t = 20.0)]
    pub chat: f64,
    /// Bytes of each message's text.
    #[arg(long, default_value_t = 128)]
    pub size: usize,
}

/// What a player of this scenario is.
enum Part {
    /// A member of the room.
    Neighbour(u64, Box<Player>),
    /// One of the sign-ins of a second, again and again.
    Comer(u64),
}

impl Waits for Part {
    fn player(&mut self) -> Option<&mut Player> {
        match self {
            Self::Neighbour(_, player) => Some(player),
            Self::Comer(_) => None,
        }
    }
}

impl Play for Options {
    fn players(&self) -> u64 {
        self.members + self.comers()
    }

    fn rooms(&self) -> u64 {
        1
    }

    fn offered(&self) -> Vec<(Op, f64)> {
        let deliveries = self.chat * self.members as f64;
        vec![
            (Op::Send, self.chat),
            (Op::Deliver, deliveries),
            (Op::SignIn, self.rate),
        ]
    }

    fn connections(&self) -> u64 {
        self.members + whole(self.rate * WAITING_SECONDS)
    }

    /// All come from one address, and attempts count as wrong until their password has been looked at.
    fn settings(&self) -> Vec<String> {
        vec![
            "accounts.lockout_name_free=1000".to_owned(),
            "accounts.lockout_address_free=1000000".to_owned(),
        ]
    }

    async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let options = Rc::new(self);
        let waiting = thread
            .gather(|number| Rc::clone(&options).get_ready(Rc::clone(&thread), number))
            .await?;
        let (window, parts) = thread.ready(waiting).await;
        thread
            .each(parts, |part| {
                let (options, thread) = (Rc::clone(&options), Rc::clone(&thread));
                async move {
                    match part {
                        Part::Neighbour(number, player) => {
                            options
                                .neighbours()
                                .member(thread, window, number, *player)
                                .await;
                        }
                        Part::Comer(comer) => options.keep_signing_in(thread, window, comer).await,
                    }
                }
            })
            .await;
        Ok(())
    }

    fn checks(&self, outcome: &Outcome) -> Vec<Check> {
        let mut checks = self.neighbours().checks(outcome);
        checks.push(outcome.none_failed(Op::Connect));
        let (done, _) = outcome.ended(Op::SignIn);
        let errors = &outcome.whole.times(Op::SignIn).errors;
        let overloaded = errors.get(Code::Overloaded.name()).copied().unwrap_or(0);
        let others = errors.values().sum::<u64>() - overloaded;
        checks.push(Check {
            title: "every sign-in worked or was refused as too many".to_owned(),
            held: done > 0 && others == 0,
            detail: format!("{done} worked, {overloaded} refused, {others} failed otherwise"),
        });
        checks
    }

    fn with_load(mut self, load: f64) -> (Self, &'static str) {
        self.rate = load;
        (self, "rate")
    }
}

impl Options {
    fn comers(&self) -> u64 {
        whole(self.rate)
    }

    fn neighbours(&self) -> Chat {
        Chat {
            rooms: 1,
            members: self.members,
            rate: self.chat,
            size: self.size,
            delivery: Delivery::Durable,
        }
    }

    async fn get_ready(
        self: Rc<Self>,
        thread: Rc<ThreadPlayers>,
        number: u64,
    ) -> Result<Part, Failed> {
        if number < self.members {
            let player = self.neighbours().enter(&thread, number).await?;
            return Ok(Part::Neighbour(number, Box::new(player)));
        }
        let comer = number - self.members;
        let share = Share {
            index: comer,
            of: self.comers(),
        };
        for account in share.range(self.accounts) {
            let route = thread.plan.route(number);
            let mut player = Player::connect(route, None, &thread.tally).await?;
            let request = Register {
                username: username(thread.plan.seed, account),
                password: PASSWORD.to_owned(),
                name: None,
                email: None,
                device: None,
            };
            player.call(&request).await?;
            player.close().await;
        }
        Ok(Part::Comer(comer))
    }

    /// Begins this comer's share of the sign-ins, whatever becomes of them.
    async fn keep_signing_in(
        self: Rc<Self>,
        thread: Rc<ThreadPlayers>,
        window: Window,
        comer: u64,
    ) {
        let interval = nanoseconds(self.comers() as f64 / self.rate);
        let first = window.start + interval * comer / self.comers();
        let mut pace = Pace::every(first, interval);
        let mut waiting = JoinSet::new();
        let mut next = comer;
        while pace.next < window.end {
            clock::sleep_until(pace.next).await;
            let intended = pace.advance();
            let account = next % self.accounts;
            waiting.spawn_local(sign_in(
                Rc::clone(&thread),
                thread.hold(),
                account,
                intended,
            ));
            next += self.comers();
            while waiting.try_join_next().is_some() {}
        }
        waiting.join_all().await;
    }
}

/// One sign-in, timed from the moment at which its connection was meant to begin.
async fn sign_in(thread: Rc<ThreadPlayers>, hold: Hold, account: u64, intended: u64) {
    let route = thread.plan.route(account);
    // Failures are counted where they happen.
    if let Ok(mut player) = Player::connect_at(route, None, &thread.tally, intended).await {
        let request = Login {
            username: username(thread.plan.seed, account),
            password: PASSWORD.to_owned(),
            device: None,
            known: None,
        };
        match player.timed_at(Op::SignIn, &request, intended).await {
            Ok(_) | Err(Failed::Refused(_)) => player.close().await,
            Err(_) => {}
        }
    }
    drop(hold);
}

/// An account's name; other seeds have others.
fn username(seed: u64, account: u64) -> String {
    format!("load-{seed:016x}-{account}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        let longest = username(u64::MAX, 999_999_999);
        assert!(longest.len() <= 32, "{longest}");
        assert_ne!(username(1, 2), username(1, 3));
        assert_ne!(username(1, 2), username(2, 2));
    }
}

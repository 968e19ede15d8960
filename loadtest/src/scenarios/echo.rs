//! Calls that come back: what a call costs that does nothing.

use std::rc::Rc;

use clap::Args;
use pitturu_protocol::types::system::Echo;
use serde::{Deserialize, Serialize};

use super::Play;
use crate::clock;
use crate::floor::Floor;
use crate::plan::Window;
use crate::player::{Failed, Pace, Player};
use crate::report::Subject;
use crate::tally::Op;
use crate::thread_players::ThreadPlayers;

/// Parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Options {
    /// Connections.
    #[arg(long, default_value_t = 200)]
    pub connections: u64,
    /// Calls that each connection has under way, when no rate is given.
    #[arg(long, default_value_t = 1)]
    pub depth: usize,
    /// Calls per second of all connections together; 0: as many as are answered.
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// Bytes of each call's data.
    #[arg(long, default_value_t = 32)]
    pub size: usize,
}

impl Play for Options {
    fn players(&self) -> u64 {
        self.connections
    }

    fn floor(&self) -> Option<Floor> {
        Some(Floor::Echo)
    }

    fn offered(&self) -> Vec<(Op, f64)> {
        if self.rate > 0.0 {
            vec![(Op::Echo, self.rate)]
        } else {
            Vec::new()
        }
    }

    async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let waiting = thread
            .gather(|number| {
                let thread = Rc::clone(&thread);
                async move {
                    let route = thread.plan.route(number);
                    match thread.plan.subject {
                        Subject::Server => thread.player(number).await,
                        Subject::Floor => Player::bare_echo(route, &thread.tally).await,
                    }
                }
            })
            .await?;
        let (window, players) = thread.ready(waiting).await;
        let options = Rc::new(self);
        thread
            .each(players, |player| {
                Rc::clone(&options).call_on(Rc::clone(&thread), window, player)
            })
            .await;
        Ok(())
    }

    fn with_load(mut self, load: f64) -> (Self, &'static str) {
        self.rate = load;
        (self, "rate")
    }
}

impl Options {
    async fn call_on(
        self: Rc<Self>,
        thread: Rc<ThreadPlayers>,
        window: Window,
        mut player: Player,
    ) {
        let request = Echo {
            data: vec![0x2a; self.size],
        };
        let played = if self.rate > 0.0 {
            let pace = Pace::new(window.start, self.rate / self.connections as f64);
            let call = |player: &mut Player, intended| {
                player.begin(Op::Echo, &request, intended);
            };
            player.play(window.end, Some(pace), call).await
        } else {
            self.keep_calling(window, &mut player, &request).await
        };
        if played.is_ok() {
            thread.drain(&mut player).await;
            player.leave();
        }
    }

    /// Each answer makes room for the next call: the latency is that of the server under this depth, not under a rate.
    async fn keep_calling(
        &self,
        window: Window,
        player: &mut Player,
        request: &Echo,
    ) -> Result<(), crate::link::Lost> {
        loop {
            let now = clock::now();
            if now >= window.end {
                return Ok(());
            }
            while player.unanswered() < self.depth {
                player.begin(Op::Echo, request, now);
            }
            player.step().await?;
        }
    }
}

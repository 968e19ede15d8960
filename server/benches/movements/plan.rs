//! Which movements are made.

use fastrand::Rng;

use crate::Options;

/// What each player is granted before anything is measured: more than they can spend.
pub(crate) const FIRST_GRANT: u64 = 1_000_000_000;

/// Most points of one movement.
const AMOUNT_MAX: u64 = 100;

/// What a movement does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    /// An admin gives points.
    Grant,
    /// The player spends some.
    Spend,
    /// The player gives some to this one.
    Gift(u32),
}

/// One movement.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) player: u32,
    pub(crate) deed: Deed,
    pub(crate) amount: u64,
    /// Idempotency key.
    pub(crate) key: String,
}

/// Makes up movements.
pub(crate) struct Plan {
    random: Rng,
    options: Options,
}

impl Plan {
    pub(crate) fn new(options: &Options, seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            options: options.clone(),
        }
    }

    pub(crate) fn next(&mut self) -> Wish {
        let options = &self.options;
        let random = &mut self.random;
        let player = match random.u32(..100) < options.hot_share {
            true => random.u32(..options.hot),
            false => random.u32(options.hot..options.players),
        };
        let deed = match random.u32(..100) {
            roll if roll < options.gifts => {
                let steps = random.u32(1..options.players);
                Deed::Gift((player + steps) % options.players)
            }
            _ if random.bool() => Deed::Grant,
            _ => Deed::Spend,
        };
        // As long as those of the SDKs, and like them of no order.
        let mut key = String::with_capacity(22);
        key.extend((0..22).map(|_| random.alphanumeric()));
        Wish {
            player,
            deed,
            amount: random.u64(1..=AMOUNT_MAX),
            key,
        }
    }
}

//! What was read and told of points and items meanwhile: parts of the history that there is in the end, and never less of it than was
//! told before.

use std::collections::HashMap;

use pitturu_protocol::types::items::ItemChange;
use pitturu_protocol::types::points::{Movement, Wallet};

use super::points::movements;
use super::{Evidence, Found};
use crate::books::as_player_reads;
use crate::record::{Ask, CallNo, Heard, Outcome, PlayerNo, Reply, What};

const RULE: &str = "told is decided";

/// Movements that a page brings at most, so that a shorter one has come to the end.
const FULL_PAGE: usize = 40;

struct Glimpses<'a, 'e> {
    evidence: &'a Evidence<'e>,
    /// The newest movement of each player that anybody was told of.
    heads: Vec<u64>,
    /// The head that was known when a read began.
    begun: HashMap<CallNo, u64>,
    /// The newest movement and change that each connection was told of.
    heard: Vec<(u64, u64)>,
}

pub(super) fn check(evidence: &Evidence<'_>, found: &mut Found) {
    let count = evidence.users.len();
    let mut glimpses = Glimpses {
        evidence,
        heads: vec![0; count],
        begun: HashMap::new(),
        heard: vec![(0, 0); count],
    };
    for player in 0..count {
        if let Err(wrong) = own(evidence, player) {
            found.add(evidence, RULE, (None, Some(evidence.users[player])), wrong);
        }
    }
    for (place, line) in evidence.lines.iter().enumerate() {
        let player = line.player;
        let seen = match &line.what {
            What::Asked(call, Ask::Wallet | Ask::Movements { .. }, _) => {
                glimpses.begun.insert(*call, glimpses.heads[player]);
                continue;
            }
            What::Answered(call, Outcome::Done(reply)) => glimpses.answered(player, *call, reply),
            What::Heard(Heard::Wallet(wallet)) => glimpses.wallet_changed(player, wallet),
            What::Heard(Heard::Item(change)) => glimpses.inventory_changed(player, change),
            What::Heard(Heard::Disconnected) => {
                glimpses.heard[player] = (0, 0);
                continue;
            }
            _ => continue,
        };
        if let Err(wrong) = seen {
            let about = (None, Some(evidence.users[player]));
            found.add_until(evidence, RULE, about, place, wrong);
        }
    }
}

/// A line as its player reads it: who of the staff made it is told to the staff alone.
fn movement_read(evidence: &Evidence<'_>, player: PlayerNo, line: &Movement) -> Movement {
    match evidence.services.contains(&player) {
        true => line.clone(),
        false => as_player_reads(line),
    }
}

/// A change as its player is told of it.
fn change_told(change: &ItemChange) -> ItemChange {
    ItemChange {
        by: None,
        ..change.clone()
    }
}

/// What a player reads in the end is what a service reads, but who of the staff did it.
fn own(evidence: &Evidence<'_>, player: PlayerNo) -> Result<(), String> {
    let audit = &evidence.audit.players[player];
    let movements = audit.movements.iter();
    let movements = movements.map(|line| movement_read(evidence, player, line));
    if !movements.eq(audit.own_movements.iter().cloned()) {
        let (own, all) = (&audit.own_movements, &audit.movements);
        return Err(format!("a player reads {own:?}, and a service {all:?}"));
    }
    let is_service = evidence.services.contains(&player);
    let changes = audit.changes.iter().map(|change| match is_service {
        true => change.clone(),
        false => change_told(change),
    });
    match changes.eq(audit.own_changes.iter().cloned()) {
        true => Ok(()),
        false => {
            let (own, all) = (&audit.own_changes, &audit.changes);
            Err(format!("a player reads {own:?}, and a service {all:?}"))
        }
    }
}

impl Glimpses<'_, '_> {
    fn line(&self, player: PlayerNo, number: u64) -> Option<&Movement> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        movements(self.evidence, player).get(index)
    }

    fn answered(&mut self, player: PlayerNo, call: CallNo, reply: &Reply) -> Result<(), String> {
        let begun = self.begun.remove(&call).unwrap_or(0);
        let ask = self.evidence.calls.get(&call).map(|call| &call.ask);
        match (ask, reply) {
            (Some(ask), Reply::Moved(movement)) => {
                let user = ask.user().filter(|_| !matches!(ask, Ask::Give { .. }));
                let whose = user.map_or(Some(player), |user| self.evidence.number(user));
                if let Some(whose) = whose {
                    self.heads[whose] = self.heads[whose].max(movement.number);
                }
                Ok(())
            }
            (_, Reply::Bought(bought)) => {
                let head = bought.change.movement.unwrap_or(0);
                self.heads[player] = self.heads[player].max(head);
                Ok(())
            }
            (_, Reply::Wallet(wallet)) => self.wallet(player, wallet, begun),
            (Some(Ask::Movements { after }), Reply::Movements(page)) => {
                self.page(player, *after, page, begun)
            }
            _ => Ok(()),
        }
    }

    /// A wallet is what one line of the history has left, at that line or, of what was set aside, later.
    fn wallet(&mut self, player: PlayerNo, wallet: &Wallet, begun: u64) -> Result<(), String> {
        let line = self.line(player, wallet.head);
        let (balance, available) = line.map_or((0, 0), |line| (line.balance, line.available));
        let is_right = wallet.balance == balance
            && (available..=balance).contains(&wallet.available)
            && line.is_some() == (wallet.head > 0);
        if !is_right {
            return Err(format!("{wallet:?} was told, where {line:?} is"));
        }
        if wallet.head < begun {
            return Err(format!("{wallet:?} was told after movement {begun}"));
        }
        self.heads[player] = self.heads[player].max(wallet.head);
        Ok(())
    }

    fn page(
        &mut self,
        player: PlayerNo,
        after: u64,
        page: &[Movement],
        begun: u64,
    ) -> Result<(), String> {
        for (number, movement) in (after + 1..).zip(page) {
            let line = self.line(player, number);
            let line = line.map(|line| movement_read(self.evidence, player, line));
            if line.as_ref() != Some(movement) {
                return Err(format!("{movement:?} was read, where {line:?} is"));
            }
        }
        let last = after + page.len() as u64;
        if page.len() < FULL_PAGE && last < begun {
            return Err(format!(
                "a page ends with {last}, after movement {begun} was told"
            ));
        }
        if !page.is_empty() {
            self.heads[player] = self.heads[player].max(last);
        }
        Ok(())
    }

    fn wallet_changed(&mut self, player: PlayerNo, wallet: &Wallet) -> Result<(), String> {
        let before = self.heard[player].0;
        self.heard[player].0 = before.max(wallet.head);
        self.wallet(player, wallet, before)
    }

    fn inventory_changed(&mut self, player: PlayerNo, change: &ItemChange) -> Result<(), String> {
        let before = self.heard[player].1;
        self.heard[player].1 = before.max(change.number);
        if change.number < before {
            return Err(format!("{change:?} was told after change {before}"));
        }
        let changes = &self.evidence.audit.players[player].changes;
        let there = changes.iter().find(|it| it.number == change.number);
        match there.map(change_told).as_ref() == Some(change) {
            true => Ok(()),
            false => Err(format!("{change:?} was told, where {there:?} is")),
        }
    }
}

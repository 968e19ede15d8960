//! Acts on players who have broken a rule, as moderators do, by nobody's name. Only players are acted on: moderators, admins and servers of
//! the game are trusted.

use std::sync::Arc;

use futures_util::future::join_all;
use pitturu_metrics::table;
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::audit_log::AuditAct;
use pitturu_rules::accounts::Sanction;
use pitturu_store::clock::now_ms;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::players_access::PlayersAccess;
use crate::connections::automod::{Act, Automod, Breach};
use crate::players::command::{AccountAsk, Ask, Moderation, Origin};

/// Acts that are carried out together: as many wait for the store at most.
const TOGETHER_MAX: usize = 64;

/// Acts on each breach, until nobody hands over any more. One that can't be carried out is dropped, and logged: whoever goes on breaks the rule
/// again.
pub async fn run(
    automod: Arc<Automod>,
    players: PlayersAccess,
    mut breaches: mpsc::Receiver<Breach>,
) {
    let mut taken = Vec::new();
    while breaches.recv_many(&mut taken, TOGETHER_MAX).await > 0 {
        join_all(taken.iter().map(|breach| act_on(&players, breach))).await;
        for breach in taken.drain(..) {
            automod.settled(breach.user, breach.offence);
        }
    }
}

async fn act_on(players: &PlayersAccess, breach: &Breach) {
    let (user, rule) = (breach.user, breach.offence.name());
    match act(players, breach, now_ms()).await {
        Ok(Some(act)) => {
            table::ACTS_BY_RULE.at(breach.offence).increment();
            info!(%user, rule, %act, "act by rule");
        }
        Ok(None) => {}
        Err(fault) => warn!(%user, rule, code = fault.code.name(), "no act by rule"),
    }
}

/// What was done, if anything was: nothing to those who are more than players, and nothing while the same is in force.
async fn act(
    players: &PlayersAccess,
    breach: &Breach,
    now: u64,
) -> Result<Option<AuditAct>, Fault> {
    let Some(account) = players.store.account(breach.user).await? else {
        return Ok(None);
    };
    let shown = account.shown_role();
    if players.staff.role_of(shown, now).await? != Role::Player {
        return Ok(None);
    }
    let rule = &breach.rule;
    let sanction = Sanction {
        by: None,
        at: now,
        until: Some(now.saturating_add(rule.lasts_ms)),
        reason: rule.reason.clone(),
    };
    let moderation = match rule.act {
        Act::Mute => Moderation::Mute(sanction),
        Act::Suspend => Moderation::Suspend(sanction),
    };
    let act = moderation.act();
    let ask = Ask::Account(Box::new(AccountAsk::Moderate(moderation)), Origin::SERVER);
    let answered = players
        .owners
        .ask_under(breach.user, ask, None, now)
        .await?;
    let is_done: bool = codec::decode(&answered.body).map_err(|_| Fault::of(Code::Internal))?;
    Ok(is_done.then_some(act))
}

//! What the staff, or the server by a rule, decides against a player: suspensions, and mutes of the whole product.
//!
//! A sanction whose time is over is as if it had been lifted. All that asks whether one is in force asks here.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use serde::{Deserialize, Serialize};

use super::account::{Account, AccountEffects, AccountNews};
use super::refusal::AccountRefusal;

/// One decision against a player.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sanction {
    /// By whom; `None`: by the server itself, which follows a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
    /// Since when, in milliseconds since 1970.
    pub at: u64,
    /// When it ends by itself; `None`: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// What the player is told.
    pub reason: String,
}

impl Sanction {
    /// Whether it is not over at this time.
    pub fn is_in_force(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether it takes the place of one in force. What one of the staff has decided is never made shorter by a rule.
    const fn replaces(&self, in_force: Option<&Self>) -> bool {
        self.by.is_some() || in_force.is_none()
    }

    /// A refusal for as long as it lasts.
    fn lasting(&self, fault: Fault, now: u64) -> Fault {
        match self.until {
            Some(until) => fault.retry_after_ms(until.saturating_sub(now)),
            None => fault,
        }
    }
}

/// All that was decided against one player, and not lifted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sanctions {
    /// Counts the changes: of two states of one player the one with the higher number is the newer.
    number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspension: Option<Sanction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mute: Option<Sanction>,
}

impl Sanctions {
    /// Whether nothing was ever decided against the player.
    pub const fn is_empty(&self) -> bool {
        self.number == 0
    }

    /// The suspension that is in force at this time.
    pub fn suspension(&self, now: u64) -> Option<&Sanction> {
        let suspension = self.suspension.as_ref();
        suspension.filter(|sanction| sanction.is_in_force(now))
    }

    /// The mute that is in force at this time.
    pub fn mute(&self, now: u64) -> Option<&Sanction> {
        let mute = self.mute.as_ref();
        mute.filter(|sanction| sanction.is_in_force(now))
    }

    /// Whether this is a later state of the same player than the other.
    pub const fn is_newer_than(&self, other: &Self) -> bool {
        self.number > other.number
    }

    /// That the player may sign in, and be signed in.
    ///
    /// # Errors
    /// [`Code::Suspended`].
    pub fn may_sign_in(&self, now: u64) -> Result<(), Fault> {
        match self.suspension(now) {
            Some(suspension) => {
                let fault = Fault::new(Code::Suspended, suspension.reason.as_str());
                Err(suspension.lasting(fault, now))
            }
            None => Ok(()),
        }
    }

    /// That the player may put words before others, as far as the whole product goes.
    ///
    /// # Errors
    /// [`Code::Muted`].
    pub fn may_speak(&self, now: u64) -> Result<(), Fault> {
        match self.mute(now) {
            Some(mute) => {
                let fault = Fault::new(Code::Muted, mute.reason.as_str());
                Err(mute.lasting(fault, now))
            }
            None => Ok(()),
        }
    }
}

impl Account {
    /// Suspends the player, in place of a suspension in force. Sessions stay, and can't be used. By a rule: only if none is in force. Whether
    /// anything was done.
    ///
    /// # Errors
    /// [`AccountRefusal::NoAccount`].
    pub fn suspend(
        &mut self,
        sanction: Sanction,
        effects: &mut AccountEffects,
    ) -> Result<bool, AccountRefusal> {
        let row = self.row.as_ref().ok_or(AccountRefusal::NoAccount)?;
        if !sanction.replaces(row.sanctions.suspension(sanction.at)) {
            return Ok(false);
        }
        self.sanctions(effects)?.suspension = Some(sanction.clone());
        effects.news.push(AccountNews::Suspended(sanction));
        Ok(true)
    }

    /// Ends a suspension. Whether there was one in force.
    ///
    /// # Errors
    /// [`AccountRefusal::NoAccount`].
    pub fn lift_suspension(
        &mut self,
        now: u64,
        effects: &mut AccountEffects,
    ) -> Result<bool, AccountRefusal> {
        let row = self.row.as_ref().ok_or(AccountRefusal::NoAccount)?;
        if row.sanctions.suspension(now).is_none() {
            return Ok(false);
        }
        self.sanctions(effects)?.suspension = None;
        Ok(true)
    }

    /// Mutes the player everywhere, in place of a mute in force. By a rule: only if none is in force. Whether anything was done.
    ///
    /// # Errors
    /// [`AccountRefusal::NoAccount`].
    pub fn mute(
        &mut self,
        sanction: Sanction,
        effects: &mut AccountEffects,
    ) -> Result<bool, AccountRefusal> {
        let row = self.row.as_ref().ok_or(AccountRefusal::NoAccount)?;
        if !sanction.replaces(row.sanctions.mute(sanction.at)) {
            return Ok(false);
        }
        self.sanctions(effects)?.mute = Some(sanction);
        self.tell_sanctions(effects);
        Ok(true)
    }

    /// Ends a mute. Whether there was one in force.
    ///
    /// # Errors
    /// [`AccountRefusal::NoAccount`].
    pub fn unmute(
        &mut self,
        now: u64,
        effects: &mut AccountEffects,
    ) -> Result<bool, AccountRefusal> {
        let row = self.row.as_ref().ok_or(AccountRefusal::NoAccount)?;
        if row.sanctions.mute(now).is_none() {
            return Ok(false);
        }
        self.sanctions(effects)?.mute = None;
        self.tell_sanctions(effects);
        Ok(true)
    }

    /// That the player may put words before others.
    ///
    /// # Errors
    /// [`Code::Muted`].
    pub fn may_speak(&self, now: u64) -> Result<(), Fault> {
        self.row()
            .map_or(Ok(()), |row| row.sanctions.may_speak(now))
    }

    /// What is about to change.
    fn sanctions(
        &mut self,
        effects: &mut AccountEffects,
    ) -> Result<&mut Sanctions, AccountRefusal> {
        let row = self.row.as_mut().ok_or(AccountRefusal::NoAccount)?;
        row.sanctions.number += 1;
        effects.has_account_changed = true;
        Ok(&mut row.sanctions)
    }

    fn tell_sanctions(&self, effects: &mut AccountEffects) {
        let sanctions = self.row().map(|row| row.sanctions.clone());
        effects.news.extend(sanctions.map(AccountNews::Sanctioned));
    }
}

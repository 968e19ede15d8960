//! The end of an account: it is asked for, taken back by signing in, and when its time has come, carried out.
//!
//! What erases other things of the player than the account itself comes in between: [`Account::begin_erasure`] is the point of no return,
//! and [`Account::erase`] the last step, so that whoever was interrupted finds again what is to be erased.

use pitturu_protocol::ids::{ID_BYTES, UserId};
use pitturu_protocol::types::accounts::Role;

use super::account::{Account, AccountEffects, AccountNews};
use super::refusal::AccountRefusal;
use super::rows::Deletion;

/// A player whom nobody is. They stand where somebody stood whose account was erased: as author of their messages, as the one who
/// reported something.
pub const NOBODY: UserId = UserId::from_bytes([0; ID_BYTES]);

impl Account {
    /// Has the account erased at this time, or at an earlier one that was set before, and ends its sessions. Returns the time.
    ///
    /// # Errors
    /// [`AccountRefusal::NoAccount`], `HasRole`.
    pub fn delete(
        &mut self,
        erase_at: u64,
        effects: &mut AccountEffects,
    ) -> Result<u64, AccountRefusal> {
        let row = self.row.as_mut().ok_or(AccountRefusal::NoAccount)?;
        if row.role != Role::Player {
            return Err(AccountRefusal::HasRole);
        }
        let before = row.deletion.map(|deletion| deletion.erase_at);
        let is_earlier = before.is_none_or(|before| erase_at < before);
        if is_earlier {
            let has_begun = row.deletion.is_some_and(|deletion| deletion.has_begun);
            row.deletion = Some(Deletion {
                erase_at,
                has_begun,
            });
            effects.deletions.extend(before.map(|at| (at, false)));
            effects.deletions.push((erase_at, true));
            effects.has_account_changed = true;
        }
        self.end_sessions(None, effects);
        Ok(before.map_or(erase_at, |before| before.min(erase_at)))
    }

    /// Whether the player is being erased, or was. To everybody else there is no such player from then on: whatever still came to them would be
    /// a trace that nobody looks for any more.
    pub fn is_ending(&self) -> bool {
        self.is_erased || self.row.as_ref().is_some_and(super::AccountRow::is_ending)
    }

    /// Whoever signs in keeps the account. Who has a role keeps it anyway, and may come late.
    pub(super) fn take_deletion_back(
        &mut self,
        now: u64,
        effects: &mut AccountEffects,
    ) -> Result<(), AccountRefusal> {
        let Some(row) = self.row.as_mut() else {
            return Ok(());
        };
        let Some(deletion) = row.deletion else {
            return Ok(());
        };
        let is_due = now >= deletion.erase_at && row.role == Role::Player;
        if deletion.has_begun || is_due {
            return Err(AccountRefusal::Erased);
        }
        row.deletion = None;
        effects.deletions.push((deletion.erase_at, false));
        effects.has_account_changed = true;
        Ok(())
    }

    /// Begins to erase an account whose time has come: nothing takes it back from here on. What has begun begins again. Whoever was given
    /// a role meanwhile keeps the account as long as they have it, or the last admin could go so.
    ///
    /// # Errors
    /// [`AccountRefusal::NotDue`].
    pub fn begin_erasure(
        &mut self,
        now: u64,
        effects: &mut AccountEffects,
    ) -> Result<(), AccountRefusal> {
        let row = self.row.as_mut();
        let row = row.filter(|row| row.role == Role::Player);
        let deletion = row.and_then(|row| row.deletion.as_mut());
        let due = deletion.filter(|deletion| deletion.has_begun || deletion.erase_at <= now);
        let deletion = due.ok_or(AccountRefusal::NotDue)?;
        if !deletion.has_begun {
            deletion.has_begun = true;
            effects.has_account_changed = true;
        }
        // Whoever remembers the name looks, and finds nobody.
        effects.news.push(AccountNews::Renamed(String::new()));
        self.end_sessions(None, effects);
        Ok(())
    }

    /// Erases account, sessions, reset tokens and void claims. The id is used up: no account is made under it again. To be called
    /// when everything else has been erased.
    ///
    /// # Errors
    /// [`AccountRefusal::NotDue`] when it has not begun.
    pub fn erase(&mut self, now: u64, effects: &mut AccountEffects) -> Result<(), AccountRefusal> {
        let begun =
            |row: &mut super::AccountRow| row.deletion.is_some_and(|deletion| deletion.has_begun);
        let row = self.row.take_if(begun).ok_or(AccountRefusal::NotDue)?;
        self.end_sessions(None, effects);
        let resets = std::mem::take(&mut self.resets).into_keys();
        effects.resets.extend(resets.map(|token| (token, None)));
        let voids = std::mem::take(&mut self.voids).into_keys();
        effects.voids.extend(voids.map(|claim| (claim, None)));
        let erase_at = row.deletion.map(|deletion| deletion.erase_at);
        effects.deletions.extend(erase_at.map(|at| (at, false)));
        effects.names.push((row.profile.name, false));
        effects.news.push(AccountNews::Renamed(String::new()));
        effects.erased_at = Some(now);
        effects.has_account_changed = true;
        self.is_erased = true;
        Ok(())
    }
}

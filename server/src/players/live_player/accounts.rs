//! Account and sessions: what is asked, what of it is stored, and what connections hear.

use bytes::Bytes;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{ConnectionId, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::audit_log::AuditAct;
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_protocol::types::moderation::PlayerSuspended;
use pitturu_rules::accounts::{AccountEffects, AccountNews, Rotated, Sanction};
use pitturu_rules::audit_log::Note;
use pitturu_rules::signals::StaffSignal;
use pitturu_store::clock::now_ms;
use pitturu_store::entities::{Commit, KeyedRequest, KeyedResult, Signal};

use super::super::command::{AccountAsk, AccountEnd, Moderation, Origin, Redacted};
use super::super::staff;
use super::super::store::{
    account_lists, account_row, erased_row, reset_row, session_row, void_row,
};
use super::{Effects, Environment, Player, encoded};

/// The number of no method: whoever repeats a call that was redacted is told that the key is another one's.
const NO_METHOD: u16 = u16::MAX;

impl Player {
    /// Decides what is asked of the account, and notes what the audit log keeps of it. The encoded result.
    pub(super) fn decide_account(
        &mut self,
        ask: AccountAsk,
        origin: Origin,
        now: u64,
        effects: &mut Effects,
    ) -> Result<Vec<u8>, Fault> {
        let note = note_of(&ask, now);
        let (result, is_worth_noting) = self.carry_out_account(ask, now, effects)?;
        let note = note.filter(|_| is_worth_noting);
        effects.notes.extend(note.map(|note| Note {
            by: origin.user,
            user: Some(self.user),
            address: origin.address.map(|address| address.ip().to_string()),
            ..note
        }));
        Ok(result)
    }

    /// Decides what is asked of the account. The encoded result, and whether anything has come of it that the audit log keeps, if it
    /// keeps such a thing.
    fn carry_out_account(
        &mut self,
        ask: AccountAsk,
        now: u64,
        effects: &mut Effects,
    ) -> Result<(Vec<u8>, bool), Fault> {
        let mut is_worth_noting = true;
        let (account, changed) = (&mut self.account, &mut effects.account);
        let result = match ask {
            AccountAsk::Create(row, session) => {
                encoded(&account.create(*row, session, now, changed)?)
            }
            AccountAsk::Void(claim) => encoded(&account.void(claim, now, changed)),
            AccountAsk::OpenSession {
                version,
                session,
                role,
            } => {
                let grant = account.open_session(version, session, role, changed)?;
                is_worth_noting = !changed.deletions.is_empty();
                encoded(&grant)
            }
            AccountAsk::Rotate(rotation) => {
                let rotated = account.rotate(&rotation, changed)?;
                is_worth_noting = matches!(rotated, Rotated::Reused);
                encoded(&rotated)
            }
            AccountAsk::EndSession(session) => {
                account.end_session(session, changed)?;
                encoded(&())
            }
            AccountAsk::LogOut(session) => {
                account.log_out(session, changed);
                encoded(&())
            }
            AccountAsk::EndSessions => {
                account.end_sessions(None, changed);
                is_worth_noting = !changed.sessions.is_empty();
                encoded(&is_worth_noting)
            }
            AccountAsk::SetPassword(change) => encoded(&account.set_password(change, changed)?),
            AccountAsk::Upgrade(login, by, role) => {
                encoded(&account.upgrade(login, by, role, now, changed)?)
            }
            AccountAsk::AddReset(token, reset) => {
                encoded(&account.add_reset(token, reset, now, changed)?)
            }
            AccountAsk::AddNoReset(reset) => {
                effects.is_committed_anyway = true;
                encoded(&reset)
            }
            AccountAsk::UpdateProfile(change) => {
                if change.has_words() {
                    account.may_speak(now)?;
                }
                encoded(&account.update_profile(change, changed)?)
            }
            AccountAsk::Moderate(act) => {
                let result = self.moderate(act, now, effects)?;
                is_worth_noting = effects.account.has_account_changed;
                result
            }
            AccountAsk::End(step) => {
                let result = self.end(step, now, effects)?;
                is_worth_noting = effects.account.has_account_changed;
                result
            }
        };
        Ok((result, is_worth_noting))
    }

    /// Goes on with the end of the account. The encoded result.
    fn end(&mut self, step: AccountEnd, now: u64, effects: &mut Effects) -> Result<Vec<u8>, Fault> {
        let (account, changed) = (&mut self.account, &mut effects.account);
        Ok(match step {
            AccountEnd::Delete(erase_at, _) => encoded(&account.delete(erase_at, changed)?),
            AccountEnd::Begin => {
                account.begin_erasure(now, changed)?;
                self.relations.end_all(&mut effects.friends);
                encoded(&())
            }
            AccountEnd::Erase(redacted) => {
                account.erase(now, changed)?;
                self.relations.end_all(&mut effects.friends);
                effects.dropped.extend(self.marks.remove_all());
                effects.answers = answers(self.user, &redacted);
                effects.redacted = redacted;
                encoded(&())
            }
        })
    }

    /// Does what the staff, or a rule, has decided about the player, who finds it in the inbox as well. The encoded result.
    fn moderate(
        &mut self,
        act: Moderation,
        now: u64,
        effects: &mut Effects,
    ) -> Result<Vec<u8>, Fault> {
        if self.account.is_ending() {
            return Err(Fault::of(Code::NotFound));
        }
        let (account, changed) = (&mut self.account, &mut effects.account);
        let mut tell = |entry| effects.inbox.push((entry, now));
        Ok(match act {
            Moderation::ResetProfile(change, reason) => {
                let profile = account.update_profile(change, changed)?;
                if changed.has_account_changed {
                    tell(InboxEntry::ProfileReset { reason });
                }
                encoded(&profile)
            }
            Moderation::Suspend(sanction) => {
                let Sanction { until, reason, .. } = sanction.clone();
                let is_suspended = account.suspend(sanction, changed)?;
                if is_suspended {
                    tell(InboxEntry::Suspended { until, reason });
                }
                encoded(&is_suspended)
            }
            Moderation::LiftSuspension => encoded(&account.lift_suspension(now, changed)?),
            Moderation::Mute(sanction) => {
                let Sanction { until, reason, .. } = sanction.clone();
                let is_muted = account.mute(sanction, changed)?;
                if is_muted {
                    tell(InboxEntry::Muted { until, reason });
                }
                encoded(&is_muted)
            }
            Moderation::Unmute => {
                let was_muted = account.unmute(now, changed)?;
                if was_muted {
                    tell(InboxEntry::Unmuted);
                }
                encoded(&was_muted)
            }
        })
    }

    /// Takes the role that was decided for the player.
    pub(super) fn apply_role(&mut self, role: Role, at: u64, effects: &mut Effects) {
        if self.account.set_role(role, &mut effects.account) {
            effects.inbox.push((InboxEntry::RoleChanged { role }, at));
        }
    }

    /// Puts what has changed of the account into a commit.
    pub(super) fn put_account(&self, commit: &mut Commit, changed: &AccountEffects) {
        if changed.has_account_changed {
            commit.rows.push(account_row(self.account.row()));
        }
        commit
            .lists
            .extend(account_lists(self.user, &changed.deletions, &changed.names));
        commit.rows.extend(changed.erased_at.map(erased_row));
        let rows = &mut commit.rows;
        let sessions = changed.sessions.iter();
        rows.extend(sessions.map(|(session, row)| session_row(*session, row.as_ref())));
        let resets = changed.resets.iter();
        rows.extend(resets.map(|(token, row)| reset_row(token, row.as_ref())));
        let voids = changed.voids.iter();
        rows.extend(voids.map(|(claim, since)| void_row(claim, *since)));
        if let Some(role) = changed.configured {
            commit.signals.push(Signal {
                to: staff::entity(),
                body: encoded(&StaffSignal::Configured { role, at: now_ms() }),
            });
        }
    }

    /// Tells the player's connections, and whoever remembers the display name.
    pub(super) fn tell_of_account(
        &self,
        environment: &Environment,
        news: AccountNews,
        by: ConnectionId,
    ) {
        let user: UserId = self.user;
        let notifier = &environment.notifier;
        match news {
            AccountNews::SessionEnded(session) => notifier.session_ended(user, session, by),
            AccountNews::SessionsEnded(except) => notifier.sessions_ended(user, except, by),
            AccountNews::RoleChanged(role) => notifier.role_changed(user, role),
            AccountNews::Upgraded => notifier.upgraded(user),
            AccountNews::Suspended(Sanction { until, reason, .. }) => {
                notifier.suspended(user, &PlayerSuspended { until, reason });
            }
            AccountNews::Sanctioned(sanctions) => notifier.sanctioned(user, &sanctions.into()),
            AccountNews::Renamed(name) => {
                environment.players.names().forget(user);
                notifier.renamed(user, &name);
            }
        }
    }
}

/// What stands under the keys of calls that moved points or items and are kept for good: that there was a call, which no other one is, and
/// the line without what was said.
pub(super) fn answers(user: UserId, redacted: &Redacted) -> Vec<KeyedResult> {
    let answer = |by: Option<UserId>, key: &Option<String>, reply| {
        Some(KeyedResult {
            user: by.unwrap_or(user),
            key: key.as_deref()?.into(),
            method: NO_METHOD,
            request: KeyedRequest::Whole(Bytes::new()),
            reply,
        })
    };
    let movements = redacted.movements.iter();
    let movements = movements.filter_map(|(number, line)| {
        let reply = encoded(&line.clone().movement(*number));
        answer(line.entry.by, &line.entry.id, reply)
    });
    let items = redacted.items.iter();
    let items = items.filter_map(|(number, line)| {
        let reply = encoded(&line.clone().shown(*number));
        answer(line.by, &line.id, reply)
    });
    movements.chain(items).collect()
}

/// What the audit log keeps of what is asked of an account, if it comes to that.
fn note_of(ask: &AccountAsk, now: u64) -> Option<Note> {
    let of = |act| Some(Note::new(act, now));
    match ask {
        AccountAsk::OpenSession { .. } => of(AuditAct::DeletionTakenBack),
        AccountAsk::End(AccountEnd::Delete(erase_at, reason)) => Some(Note {
            until: Some(*erase_at),
            reason: reason.clone(),
            ..Note::new(AuditAct::DeletionAsked, now)
        }),
        AccountAsk::End(AccountEnd::Erase(_)) => of(AuditAct::AccountErased),
        AccountAsk::Rotate(_) => of(AuditAct::RefreshTokenReused),
        AccountAsk::EndSession(_) => of(AuditAct::SessionRevoked),
        AccountAsk::EndSessions => of(AuditAct::SignedOutEverywhere),
        // A hash that is renewed at a sign-in keeps the sessions, and the password.
        AccountAsk::SetPassword(change) if change.end_sessions.is_some() => {
            of(AuditAct::PasswordChanged)
        }
        AccountAsk::Upgrade(..) => of(AuditAct::GuestUpgraded),
        AccountAsk::AddReset(_, reset) if reset.issued_by.is_some() => {
            of(AuditAct::PasswordResetIssued)
        }
        AccountAsk::Moderate(act) => Some(note_of_moderation(act, now)),
        _ => None,
    }
}

fn note_of_moderation(moderation: &Moderation, now: u64) -> Note {
    let (until, reason) = match moderation {
        Moderation::ResetProfile(_, reason) => (None, Some(reason)),
        Moderation::Suspend(sanction) | Moderation::Mute(sanction) => {
            (sanction.until, Some(&sanction.reason))
        }
        Moderation::LiftSuspension | Moderation::Unmute => (None, None),
    };
    Note {
        until,
        reason: reason.cloned(),
        ..Note::new(moderation.act(), now)
    }
}

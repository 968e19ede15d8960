//! Who the client speaks for: tokens, their renewal, and what signing in and out changes.

use crate::codes::{Code, Fault, Retry};
use crate::frame::{Cursor, Stream};
use crate::limits::NOTE_BYTES_MAX;
use crate::types::accounts::{Identity, RefreshTokens, SignedIn};
use crate::types::presence::{SetPresence, Status};
use crate::types::system::Welcome;

use super::calls::Owner;
use super::{Broken, ClientConnection, Output, Phase};

/// Shortest time between two renewals of tokens, so that a server with a wrong clock is not asked without pause.
const REFRESH_MS_MIN: u64 = 1_000;

/// What a client keeps to be signed in again.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Access token for hello. It may have run out; the refresh token then gets a new one.
    pub access: Option<String>,
    /// Refresh token, good for one use.
    pub refresh: Option<String>,
}

impl std::fmt::Debug for Tokens {
    /// Says which tokens there are, not what they are.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("access", &self.access.is_some())
            .field("refresh", &self.refresh.is_some())
            .finish()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Out,
    /// A token is on its way in the hello.
    Assumed,
    In,
}

/// When the tokens that expire then are renewed.
#[derive(Clone, Copy, Debug)]
struct Renewal {
    expires_at: u64,
    at: u64,
}

#[derive(Debug)]
pub(super) struct SignIn {
    pub(super) tokens: Tokens,
    pub(super) refresh_at: Option<u64>,
    planned: Option<Renewal>,
    /// When a renewal was last due.
    refreshed_at: Option<u64>,
    identity: Option<Identity>,
    standing: Standing,
    begun: u32,
    /// The kept tokens were never read.
    unknown: bool,
    /// The kept tokens are being read, because they are needed.
    reading: bool,
    /// What others see of the player, as set last.
    pub(super) presence: Option<SetPresence>,
    /// The server's clock minus ours.
    clock_offset: i128,
}

impl SignIn {
    /// `unknown`: these tokens count only until the kept ones are read.
    pub(super) fn new(tokens: Tokens, unknown: bool) -> Self {
        Self {
            tokens,
            refresh_at: None,
            planned: None,
            refreshed_at: None,
            identity: None,
            standing: Standing::Out,
            begun: 0,
            unknown,
            reading: false,
            presence: None,
            clock_offset: 0,
        }
    }

    pub(super) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Whether the kept tokens have yet to be read for the first time.
    pub(super) fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// Counts the times that a sign-in began on a connection; absent while there is none.
    pub(super) fn number(&self) -> Option<u32> {
        (self.standing != Standing::Out).then_some(self.begun)
    }

    /// The token in the hello will sign the connection in.
    pub(super) fn assume(&mut self) {
        self.begin(Standing::Assumed);
    }

    fn begin(&mut self, standing: Standing) {
        if self.standing == Standing::Out {
            self.begun = self.begun.wrapping_add(1);
        }
        self.standing = standing;
    }

    /// The token in the hello has signed in the next connection of a handover: refusals on the one before say nothing of it.
    pub(super) fn begin_anew(&mut self) {
        let standing = std::mem::replace(&mut self.standing, Standing::Out);
        self.begin(standing);
    }

    /// The server's clock says this.
    pub(super) fn clock(&mut self, now: u64, server: u64) {
        self.clock_offset = i128::from(server) - i128::from(now);
    }

    pub(super) fn disconnected(&mut self) {
        self.standing = Standing::Out;
        self.refresh_at = None;
    }

    fn has_tokens(&self) -> bool {
        self.tokens != Tokens::default()
    }

    /// Tokens are renewed when four fifths of the time are over that they had when they were first used. No later connection puts
    /// that off; one that finds less left, because this clock stood still meanwhile, brings it forward.
    fn plan_refresh(&mut self, now: u64, expires_at: u64) {
        let left = i128::from(expires_at) - (i128::from(now) + self.clock_offset);
        let left = u64::try_from(left).unwrap_or(0);
        let planned = self.planned.filter(|plan| plan.expires_at == expires_at);
        let at = now.saturating_add((left / 5).saturating_mul(4));
        let at = planned.map_or(at, |plan| plan.at.min(at));
        self.planned = Some(Renewal { expires_at, at });
        let earliest = self.refreshed_at.map_or(0, |last| last + REFRESH_MS_MIN);
        self.refresh_at = Some(at.max(earliest));
    }
}

impl ClientConnection {
    pub(super) fn welcomed(&mut self, now: u64, welcome: Welcome) -> Result<(), Broken> {
        self.sign_in.clock(now, welcome.now);
        match (welcome.identity, welcome.refused) {
            (Some(identity), _) => self.signed_in(now, identity),
            (None, Some(fault)) if fault.code.retry() == Retry::Later => {
                return Err(Broken::Unusable);
            }
            (None, Some(fault)) if fault.code == Code::Suspended => {
                return Err(Broken::Suspended(fault));
            }
            (None, Some(fault)) => self.access_refused(fault),
            (None, None) if self.sign_in.standing == Standing::Assumed => {
                return Err(Broken::protocol("the welcome says nothing of the token"));
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// The server knows the player now.
    pub(super) fn signed_in(&mut self, now: u64, identity: Identity) {
        let before = self.sign_in.identity.as_ref().map(|before| before.user);
        let other_player = before.is_some_and(|before| before != identity.user);
        if other_player {
            self.drop_other_player();
            self.streams.forget_all();
            self.boards.clear();
            self.sign_in.presence = None;
        }
        // Of the same player, an inbox that is not followed was lost.
        if before != Some(identity.user) && self.config.resume.inbox.is_some() {
            self.streams.follow(Stream::Inbox, Cursor::default());
        }
        let was_out = self.sign_in.standing == Standing::Out;
        self.sign_in.begin(Standing::In);
        self.sign_in.plan_refresh(now, identity.expires_at);
        self.sign_in.identity = Some(identity.clone());
        self.outputs.push_back(Output::SignedIn(identity));
        if was_out || other_player {
            self.send_resume();
            self.follow_boards();
        }
    }

    /// The next connection of a handover knows the player. The application hears of it where it is news.
    pub(super) fn goes_on_signed_in(&mut self, now: u64, identity: Identity) {
        let told = self.sign_in.identity.as_ref().map(|before| Identity {
            expires_at: identity.expires_at,
            ..before.clone()
        });
        self.sign_in.begin(Standing::In);
        self.sign_in.plan_refresh(now, identity.expires_at);
        self.sign_in.identity = Some(identity.clone());
        if told.as_ref() != Some(&identity) {
            self.outputs.push_back(Output::SignedIn(identity));
        }
    }

    /// New tokens came.
    pub(super) fn take_tokens(&mut self, now: u64, signed_in: SignedIn) {
        self.calls.end_owned(|owner| owner == Owner::Refresh);
        self.sign_in.reading = false;
        self.sign_in.tokens = Tokens {
            access: Some(signed_in.access),
            refresh: Some(signed_in.refresh),
        };
        self.outputs
            .push_back(Output::Tokens(self.sign_in.tokens.clone()));
        self.signed_in(now, signed_in.identity);
    }

    pub(super) fn take_access(&mut self, now: u64, access: String, identity: Identity) {
        self.sign_in.tokens.access = Some(access);
        self.outputs
            .push_back(Output::Tokens(self.sign_in.tokens.clone()));
        self.signed_in(now, identity);
    }

    /// The server does not take the access token any more.
    pub(super) fn access_refused(&mut self, fault: Fault) {
        self.sign_in.standing = Standing::Out;
        self.sign_in.tokens.access = None;
        if self.sign_in.tokens.refresh.is_none() {
            return self.signed_out(Some(fault));
        }
        self.refresh();
    }

    /// Asks for new tokens, unless it has been done. Where others may have used the refresh token meanwhile, the kept tokens
    /// are read before.
    pub(super) fn refresh(&mut self) {
        self.sign_in.refresh_at = None;
        let held = self.sign_in.tokens.refresh.is_some() && !self.calls.has(Owner::Refresh);
        if held && self.config.reads_tokens {
            self.ask_for_tokens();
        } else {
            self.use_refresh_token();
        }
    }

    pub(super) fn ask_for_tokens(&mut self) {
        if !self.sign_in.reading {
            self.sign_in.reading = true;
            self.outputs.push_back(Output::ReadTokens);
        }
    }

    /// The kept tokens were read. `found`: what is kept, if it is to replace what the machine holds because somebody else has
    /// put it there. Without anybody waiting for it, it changes nothing.
    pub fn tokens_read(&mut self, now: u64, found: Option<Tokens>) {
        if !std::mem::take(&mut self.sign_in.reading) {
            return;
        }
        if std::mem::take(&mut self.sign_in.unknown) {
            self.sign_in.tokens = found.unwrap_or(std::mem::take(&mut self.sign_in.tokens));
            if matches!(self.phase, Phase::Loading) {
                self.end_calls_without_player();
                self.connect_at(now);
            }
            return;
        }
        if let Some(Tokens {
            refresh: Some(refresh),
            ..
        }) = found
        {
            // Whose they are shows when they are used: until then no call goes out under them.
            self.sign_in.tokens = Tokens {
                access: None,
                refresh: Some(refresh),
            };
        }
        self.use_refresh_token();
        self.dispatch();
        self.tell();
    }

    fn use_refresh_token(&mut self) {
        let Some(refresh) = self.sign_in.tokens.refresh.clone() else {
            return;
        };
        if !self.calls.has(Owner::Refresh) {
            let key = Some(refresh_key(&refresh));
            self.calls
                .add(Owner::Refresh, &RefreshTokens { refresh }, key);
        }
    }

    pub(super) fn refresh_due(&mut self, now: u64) {
        if self.sign_in.refresh_at.is_some_and(|at| at <= now) {
            self.sign_in.refreshed_at = Some(now);
            self.refresh();
        }
    }

    /// Nobody is signed in any more. Calls that need a player end.
    pub(super) fn signed_out(&mut self, fault: Option<Fault>) {
        let told = !self.sign_in.has_tokens() && self.sign_in.identity.is_none();
        self.calls
            .end_owned(|owner| !matches!(owner, Owner::App | Owner::Detached | Owner::Clock));
        self.drop_other_player();
        self.streams.forget_all();
        self.boards.clear();
        self.sign_in = SignIn {
            begun: self.sign_in.begun,
            clock_offset: self.sign_in.clock_offset,
            ..SignIn::new(Tokens::default(), false)
        };
        let reason = fault
            .clone()
            .unwrap_or_else(|| Fault::of(Code::Unauthenticated));
        self.end_calls_of_player(&reason);
        if !told || fault.is_some() {
            self.outputs.push_back(Output::Tokens(Tokens::default()));
            self.outputs.push_back(Output::SignedOut(fault));
        }
    }

    /// Whether the player is being signed in.
    pub(super) fn is_signing_in(&self) -> bool {
        self.sign_in.standing != Standing::In && (self.sign_in.has_tokens() || self.sign_in.reading)
    }

    /// Whether somebody is signed in, or may be once what is under way has ended.
    pub(super) fn can_become_signed_in(&self) -> bool {
        self.sign_in.standing != Standing::Out
            || self.sign_in.has_tokens()
            || self.sign_in.unknown
            || self.sign_in.reading
            || self.calls.sign_in()
    }

    /// What the hello tells others to see of the player whom the tokens sign in: what a call asks for that has no answer yet, or
    /// what was set last.
    pub(super) fn presence_to_restore(&self) -> Option<SetPresence> {
        if !self.sign_in.has_tokens() {
            return None;
        }
        let mut asked = self.calls.presences_asked_for();
        let asked = asked.find(|presence| can_be_restored(presence));
        asked.or(self.sign_in.presence.as_ref()).cloned()
    }
}

/// What a call asks for may be what the server refuses: in the hello it would show a player who hides, or be too long.
fn can_be_restored(presence: &SetPresence) -> bool {
    let note_bytes = presence.note.as_ref().map_or(0, String::len);
    presence.status != Status::InGame && note_bytes <= NOTE_BYTES_MAX
}

/// The idempotency key of the one use of a refresh token, so that a repetition after a lost reply, also by a later run
/// of the program, gets the first result. It tells tokens apart (FNV-1a of 128 bits) and hides nothing.
fn refresh_key(token: &str) -> String {
    let mut hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    for byte in token.bytes() {
        hash ^= u128::from(byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("refresh-{hash:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_token_has_one_key_and_another_token_another() {
        assert_eq!(refresh_key("a"), "refresh-d228cb696f1a8caf78912b704e4a8964");
        assert_ne!(refresh_key("token-1"), refresh_key("token-2"));
    }

    #[test]
    fn tokens_do_not_show_in_debug_output() {
        let tokens = Tokens {
            access: Some("secret".into()),
            refresh: None,
        };
        assert!(!format!("{tokens:?}").contains("secret"));
    }
}

//! Signing a connection in.

use std::sync::Arc;

use pitturu_metrics::labels::{Outcome, SignInWay};
use pitturu_metrics::table;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::frame::CallId;
use pitturu_protocol::ids::SessionId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{
    Authenticate, Identity, Login, LoginGuest, RefreshTokens, Register, SignedIn,
};
use tracing::{debug, info};

use pitturu_store::clock::now_ms;

use super::handlers::{Call, Handle};
use crate::connections::connection::{Connection, Player};
use crate::log_lines::{SIGN_INS_REFUSED, SIGNED_IN};
use crate::services::Services;

/// Calls that sign the connection in by their reply.
macro_rules! signs_in {
    ($($method:ident $request:ident => $reply:ident, $way:ident, $restores:ident;)*) => {
        $(
            impl Handle<$request> for Services {
                async fn handle(&self, call: &Call, request: $request) -> Result<$reply, Fault> {
                    let outcome = async {
                        let reply = self.accounts.$method(&call.caller, request).await?;
                        let restores = Restores::$restores;
                        sign_in(self, &call.connection, reply.identity(), restores).await?;
                        Ok(reply)
                    };
                    let outcome: Result<$reply, Fault> = outcome.await;
                    let way = Way {
                        by: <$request as Method>::NAME,
                        call: Some(call.caller.call),
                        before: call.caller.identity.as_ref().map(|identity| identity.session),
                    };
                    way.note(&call.connection, outcome.as_ref().map(SignsIn::identity));
                    counted(SignInWay::$way, outcome)
                }
            }
        )*
    };
}

/// How a connection is signed in, for the log.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Name of the method, or of the frame.
    pub by: &'static str,
    /// Number of the call, if it is one.
    pub call: Option<CallId>,
    /// The session that was signed in before.
    pub before: Option<SessionId>,
}

impl Way {
    /// The line of a sign-in or of its refusal. Who goes on with the session that they have is nobody new.
    pub fn note(&self, connection: &Connection, outcome: Result<&Identity, &Fault>) {
        let (conn, address) = (connection.id, connection.peer.address);
        let Self { by, call, before } = *self;
        match outcome {
            Ok(identity) if before == Some(identity.session) => {
                debug!(%conn, call, user = %identity.user, session = %identity.session, by, "sign-in prolonged");
            }
            Ok(identity) if SIGNED_IN.admit() => info!(
                %conn,
                call,
                user = %identity.user,
                session = %identity.session,
                role = ?identity.role,
                guest = identity.guest,
                by,
                %address,
                "signed in"
            ),
            Err(fault) if SIGN_INS_REFUSED.admit() => {
                info!(%conn, call, code = fault.code.name(), by, %address, "sign-in refused");
            }
            _ => {}
        }
    }
}

trait SignsIn {
    fn identity(&self) -> &Identity;
}

impl SignsIn for SignedIn {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl SignsIn for Identity {
    fn identity(&self) -> &Identity {
        self
    }
}

signs_in!(
    register Register => SignedIn, Register, No;
    login Login => SignedIn, Password, No;
    login_guest LoginGuest => SignedIn, Guest, No;
    refresh_tokens RefreshTokens => SignedIn, Refresh, Yes;
    authenticate Authenticate => Identity, Access, No;
);

/// Counts a sign-in by how it ended.
pub fn counted<T>(way: SignInWay, ended: Result<T, Fault>) -> Result<T, Fault> {
    let outcome = match &ended {
        Ok(_) => Outcome::Ok,
        Err(fault) => Outcome::of(fault.code),
    };
    table::SIGN_INS.at((way, outcome)).increment();
    ended
}

/// Whether a sign-in takes up an earlier one of the same client, so that others are to see of the player what its hello said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restores {
    /// By the tokens that the client kept.
    Yes,
    /// By whatever else: nobody knows whether it is the same player.
    No,
}

/// Signs the connection in. Refused when the session has ended since the identity was made.
pub async fn sign_in(
    services: &Services,
    connection: &Arc<Connection>,
    identity: &Identity,
    restores: Restores,
) -> Result<(), Fault> {
    let name = services.profile.display_name(identity.user).await?;
    let player = Player::new(identity.clone(), name.unwrap_or_else(|| Arc::from("")));
    let restored = connection
        .take_restored_presence()
        .filter(|_| restores == Restores::Yes);
    services.registry.sign_in(connection, player, restored);
    // What ended the session before the connection was listed did not reach it.
    let now = now_ms();
    match services.accounts.confirm(identity.clone(), now).await {
        Ok((confirmed, sanctions)) => {
            let is_muted = sanctions.may_speak(now).is_err();
            let sanctions = Arc::new(sanctions);
            connection.update_player(|player| {
                // Whatever has changed since it was listed is newer than what was read.
                if player.identity == *identity {
                    player.identity = confirmed;
                }
                player.take_sanctions(&sanctions);
            });
            if is_muted {
                services.registry.forget_note(identity.user);
            }
            Ok(())
        }
        Err(fault) => {
            services.registry.sign_out(connection);
            Err(fault)
        }
    }
}

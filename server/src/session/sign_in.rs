//! Signing a connection in.

use std::sync::Arc;

use pitturu_metrics::labels::{Outcome, SignInWay};
use pitturu_metrics::table;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::types::accounts::{
    Authenticate, Identity, Login, LoginGuest, RefreshTokens, Register, SignedIn,
};

use super::handlers::{Call, Handle};
use crate::connections::connection::{Connection, Player};
use crate::services::Services;

/// Calls that sign the connection in by their reply.
macro_rules! signs_in {
    ($($method:ident $request:ident => $reply:ident, $way:ident, $restores:ident;)*) => {
        $(
            impl Handle<$request> for Services {
                async fn handle(&self, call: &Call, request: $request) -> Result<$reply, Fault> {
                    let signing_in = async {
                        let reply = self.accounts.$method(&call.caller, request).await?;
                        let restores = Restores::$restores;
                        sign_in(self, &call.connection, reply.identity(), restores).await?;
                        Ok::<_, Fault>(reply)
                    };
                    counted(SignInWay::$way, signing_in.await)
                }
            }
        )*
    };
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
    match services.accounts.confirm(identity.clone()).await {
        Ok(now) => {
            connection.update_player(|player| {
                // Whatever has changed since it was listed is newer than what was read.
                if player.identity == *identity {
                    player.identity = now;
                }
            });
            Ok(())
        }
        Err(fault) => {
            services.registry.sign_out(connection);
            Err(fault)
        }
    }
}

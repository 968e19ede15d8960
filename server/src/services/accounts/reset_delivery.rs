//! How a reset token reaches its player.

pub mod hook;

use pitturu_protocol::ids::UserId;
use pitturu_rules::accounts::Hidden;

/// A reset token on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct ResetMessage {
    /// The player.
    pub user: UserId,
    /// User name.
    pub username: String,
    /// Address for password resets, if the player gave one.
    pub email: Option<String>,
    /// The token.
    pub token: Hidden<String>,
    /// When it runs out.
    pub expires_at: u64,
}

/// Takes reset tokens to players.
pub trait ResetDelivery: Send + Sync {
    /// Sends a token. Returns at once, so that its time tells nothing about the account; what can't be delivered is
    /// logged, and the player asks again.
    fn deliver(&self, delivery: ResetMessage);
}

/// Writes tokens to the log. For development only: whoever reads the log can set passwords.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogDelivery;

impl ResetDelivery for LogDelivery {
    fn deliver(&self, delivery: ResetMessage) {
        let ResetMessage {
            user,
            username,
            token,
            ..
        } = delivery;
        // Under the name of a secret it would be masked.
        tracing::info!(%user, username, reset = token.0, "password reset (development mode)");
    }
}

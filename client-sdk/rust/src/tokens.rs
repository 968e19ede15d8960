//! Where an application keeps its tokens.

use parking_lot::Mutex;

pub use pitturu_protocol::client::Tokens;

/// Keeps tokens, so that a player who was signed in still is when the program runs again.
///
/// Both functions are called by the client's task and hold it up: they should take milliseconds. Tokens are secrets: keep
/// them where only the player can read them.
pub trait TokenStore: Send + Sync + 'static {
    /// What was saved last; nothing when nobody is signed in. Called once, when the client is made.
    fn load(&self) -> Tokens;

    /// The tokens are others now. After a sign-out both are absent. A refresh token that was replaced is used up: keeping
    /// the newest matters.
    fn save(&self, tokens: &Tokens);
}

/// Keeps tokens for as long as the program runs.
#[derive(Debug, Default)]
pub struct MemoryTokens(Mutex<Tokens>);

impl MemoryTokens {
    /// A store that holds these tokens already.
    pub fn new(tokens: Tokens) -> Self {
        Self(Mutex::new(tokens))
    }
}

impl TokenStore for MemoryTokens {
    fn load(&self) -> Tokens {
        self.0.lock().clone()
    }

    fn save(&self, tokens: &Tokens) {
        *self.0.lock() = tokens.clone();
    }
}

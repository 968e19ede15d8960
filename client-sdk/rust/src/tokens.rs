//! Where an application keeps its tokens.

use parking_lot::Mutex;

pub use pitturu_protocol::client::Tokens;

mod file;
mod keeper;

pub use file::FileTokens;
pub use keeper::TOKEN_STORE_WITHIN;
pub(crate) use keeper::{Keeper, Read};

/// Why a [`TokenStore`] could not do what it was asked to.
pub type TokenStoreError = Box<dyn std::error::Error + Send + Sync>;

/// Keeps tokens, so that a player who was signed in still is when the program runs again. [`FileTokens`] is one.
///
/// All functions are called by one thread of the client's, one after the other, so they may block. Whatever they do, the client
/// goes on: an error, a panic and a call that takes longer than [`TOKEN_STORE_WITHIN`] are told by
/// [`ServerEvent::Problem`](crate::ServerEvent::Problem). Tokens are secrets: keep them where only the player can read them.
///
/// Several clients, also in several processes, may share what is kept. Each looks again before it uses its refresh token, which
/// another may have used up meanwhile, and goes on with what it finds; it clears only what it has put there itself or
/// found there.
pub trait TokenStore: Send + Sync + 'static {
    /// What was saved last; [`Tokens::default`] when nobody is signed in.
    fn load(&self) -> Result<Tokens, TokenStoreError>;

    /// The tokens are others now. After a sign-out both are absent. A refresh token that was replaced is used up: keeping
    /// the newest matters.
    fn save(&self, tokens: &Tokens) -> Result<(), TokenStoreError>;

    /// Does `work`, which loads and saves, while nobody else does. For stores that several processes share: take a lock.
    /// By default nothing is locked.
    fn alone(&self, work: &mut dyn FnMut()) -> Result<(), TokenStoreError> {
        work();
        Ok(())
    }
}

/// Keeps tokens for as long as the program runs.
#[derive(Default)]
pub struct MemoryTokens(Mutex<Tokens>);

impl std::fmt::Debug for MemoryTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tokens = self.0.lock().clone();
        f.debug_tuple("MemoryTokens").field(&tokens).finish()
    }
}

impl MemoryTokens {
    /// A store that holds these tokens already.
    pub fn new(tokens: Tokens) -> Self {
        Self(Mutex::new(tokens))
    }
}

impl TokenStore for MemoryTokens {
    fn load(&self) -> Result<Tokens, TokenStoreError> {
        Ok(self.0.lock().clone())
    }

    fn save(&self, tokens: &Tokens) -> Result<(), TokenStoreError> {
        *self.0.lock() = tokens.clone();
        Ok(())
    }
}

impl<S: TokenStore + ?Sized> TokenStore for std::sync::Arc<S> {
    fn load(&self) -> Result<Tokens, TokenStoreError> {
        (**self).load()
    }

    fn save(&self, tokens: &Tokens) -> Result<(), TokenStoreError> {
        (**self).save(tokens)
    }

    fn alone(&self, work: &mut dyn FnMut()) -> Result<(), TokenStoreError> {
        (**self).alone(work)
    }
}

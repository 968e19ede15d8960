//! What may become another one while the server runs.

use std::sync::Arc;

use parking_lot::RwLock;

/// A value that its readers see as it is when they ask. It is asked for once per connection or message, not in loops.
#[derive(Debug)]
pub struct Replaceable<T>(RwLock<Arc<T>>);

impl<T> Replaceable<T> {
    /// Begins with this one.
    pub fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    /// The one in use. Who holds it keeps it.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read())
    }

    /// Goes on with this one.
    pub fn replace(&self, value: T) {
        *self.0.write() = Arc::new(value);
    }
}

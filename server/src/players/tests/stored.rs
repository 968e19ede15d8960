//! The stores that tests of entities run on.

use std::sync::Arc;

use pitturu_store::embedded::Embedded;
use pitturu_store::embedded::engine::EngineOptions;
use pitturu_store::entities::Entities;
use pitturu_store::memory::Memory;
use tempfile::TempDir;

/// A store under test.
pub(crate) trait Stored: Send {
    /// An empty store.
    fn new() -> Self;

    /// The store. What was handed out before a restart is closed after it.
    fn entities(&self) -> Arc<dyn Entities>;

    /// Closes the store in an orderly way and opens it again.
    fn restart(&mut self);
}

/// The embedded store, in a folder of its own.
pub(crate) struct InFolder {
    dir: TempDir,
    store: Embedded,
}

impl Stored for InFolder {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Embedded::open(dir.path(), EngineOptions::default()).unwrap();
        Self { dir, store }
    }

    fn entities(&self) -> Arc<dyn Entities> {
        Arc::new(self.store.clone())
    }

    fn restart(&mut self) {
        self.store.engine().close();
        self.store = Embedded::open(self.dir.path(), EngineOptions::default()).unwrap();
    }
}

impl Stored for Memory {
    fn new() -> Self {
        Self::new()
    }

    fn entities(&self) -> Arc<dyn Entities> {
        Arc::new(self.clone())
    }

    fn restart(&mut self) {
        *self = Self::restart(self);
    }
}

/// Makes two tests of each case: one on the embedded store, one on the store in memory.
macro_rules! on_both_stores {
    ($($case:ident,)*) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    use $crate::players::tests::stored::{InFolder, Stored};
                    super::$case(<InFolder as Stored>::new()).await;
                }
            )*
        }

        mod memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    use $crate::players::tests::stored::Stored;
                    super::$case(<pitturu_store::memory::Memory as Stored>::new()).await;
                }
            )*
        }
    };
}
pub(crate) use on_both_stores;

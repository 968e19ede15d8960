//! The suite of all stores, run on the embedded one.

use tempfile::TempDir;

use super::Embedded;
use super::engine::EngineOptions;
use crate::conformance::{Harness, conformance_suite};

struct InFolder {
    dir: TempDir,
    store: Option<Embedded>,
}

fn open(dir: &TempDir) -> Embedded {
    Embedded::open(dir.path(), EngineOptions::default()).unwrap()
}

impl Harness for InFolder {
    type Store = Embedded;

    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Some(open(&dir));
        Self { dir, store }
    }

    fn store(&self) -> &Embedded {
        self.store.as_ref().unwrap()
    }

    fn restart(&mut self) {
        if let Some(store) = self.store.take() {
            store.engine().close();
        }
        self.store = Some(open(&self.dir));
    }
}

conformance_suite!(InFolder);

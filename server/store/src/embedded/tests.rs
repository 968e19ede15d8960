//! The suites of all stores, run on the embedded one.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::Embedded;
use super::engine::EngineOptions;
use crate::conformance::{self, conformance_suite};
use crate::entities::Entities;

struct InFolder {
    dir: TempDir,
    options: EngineOptions,
    store: Option<Embedded>,
    /// Lets the writer go on when it is dropped.
    held: Mutex<Option<Sender<()>>>,
}

impl InFolder {
    fn with(options: EngineOptions) -> Self {
        let dir = TempDir::new().unwrap();
        let store = Some(Embedded::open(dir.path(), options.clone()).unwrap());
        Self {
            dir,
            options,
            store,
            held: Mutex::new(None),
        }
    }

    fn open_store(&self) -> &Embedded {
        self.store.as_ref().unwrap()
    }

    fn open_again(&mut self) {
        if let Some(store) = self.store.take() {
            store.engine().close();
        }
        self.store = Some(Embedded::open(self.dir.path(), self.options.clone()).unwrap());
    }
}

impl conformance::Harness for InFolder {
    type Store = Embedded;

    fn new() -> Self {
        Self::with(EngineOptions::default())
    }

    fn store(&self) -> &Embedded {
        self.open_store()
    }

    fn restart(&mut self) {
        self.open_again();
    }
}

conformance_suite!(InFolder);

mod entities {
    use super::*;
    use crate::conformance::entities::{Harness, HeldWriter, entities_suite, held_suite};

    impl Harness for InFolder {
        fn new() -> Self {
            Self::with(EngineOptions::default())
        }

        fn store(&self) -> Arc<dyn Entities> {
            Arc::new(self.open_store().clone())
        }

        fn restart(&mut self) {
            self.open_again();
        }
    }

    impl HeldWriter for InFolder {
        fn with_room(jobs: usize, bytes: usize) -> Self {
            Self::with(EngineOptions {
                queue_jobs_max: jobs,
                queue_bytes_max: bytes,
                ..EngineOptions::default()
            })
        }

        fn hold(&self) {
            let (release, released) = mpsc::channel();
            let (begin, begun) = mpsc::channel();
            let engine = self.open_store().engine();
            let reservation = engine.reserve(0).unwrap();
            let job = move |_: &mut super::super::engine::Tx<'_>| {
                begin.send(()).unwrap();
                // Ends when the sender is dropped.
                released.recv().unwrap_err();
                Ok(())
            };
            engine.submit(reservation, 0, Box::new(job), Box::new(|_| ()));
            begun.recv().unwrap();
            *self.held.lock().unwrap() = Some(release);
        }

        fn release(&self) {
            self.held.lock().unwrap().take();
        }
    }

    entities_suite!(InFolder);
    held_suite!(InFolder);
}

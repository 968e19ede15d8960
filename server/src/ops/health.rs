//! Readiness: a latch or a probe per part of the server. The server is ready when every part is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

type Probe = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;
type Count = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The readiness of all parts. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    started: Instant,
    parts: Arc<Mutex<Parts>>,
}

#[derive(Default)]
struct Parts {
    probes: BTreeMap<&'static str, Probe>,
    counts: BTreeMap<&'static str, Count>,
}

/// A part that says by itself whether it is ready.
#[derive(Clone, Debug)]
pub struct Latch {
    state: Arc<Mutex<Result<(), String>>>,
}

/// What `/health/detailed` shows.
#[derive(Debug, Serialize)]
pub struct Detail {
    /// Whether every part is ready.
    pub ready: bool,
    /// Version of the server.
    pub version: &'static str,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Each part, and why it is not ready.
    pub parts: BTreeMap<&'static str, PartDetail>,
    /// How many there are of what.
    pub counts: BTreeMap<&'static str, u64>,
}

/// One part of [`Detail`].
#[derive(Debug, Serialize)]
pub struct PartDetail {
    /// Whether it is ready.
    pub ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Health {
    /// No parts yet, which is ready.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            parts: Arc::default(),
        }
    }

    /// Adds a part that is not ready until it says so.
    pub fn latch(&self, part: &'static str) -> Latch {
        let latch = Latch {
            state: Arc::new(Mutex::new(Err("starting".to_owned()))),
        };
        let state = Arc::clone(&latch.state);
        self.probe(part, move || locked(&state).clone());
        latch
    }

    /// Adds a part, or replaces it, that is asked at each request. The probe must not block.
    pub fn probe(
        &self,
        part: &'static str,
        probe: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        locked(&self.parts).probes.insert(part, Arc::new(probe));
    }

    /// Adds a number to the detail.
    pub fn count(&self, name: &'static str, count: impl Fn() -> u64 + Send + Sync + 'static) {
        locked(&self.parts).counts.insert(name, Arc::new(count));
    }

    /// Whether every part is ready.
    pub fn is_ready(&self) -> bool {
        let probes: Vec<Probe> = locked(&self.parts).probes.values().cloned().collect();
        probes.iter().all(|probe| probe().is_ok())
    }

    /// Everything that is known.
    pub fn detailed(&self) -> Detail {
        let (probes, counts) = {
            let parts = locked(&self.parts);
            (parts.probes.clone(), parts.counts.clone())
        };
        let parts: BTreeMap<_, _> = probes
            .iter()
            .map(|(name, probe)| {
                let reason = probe().err();
                let ready = reason.is_none();
                (*name, PartDetail { ready, reason })
            })
            .collect();
        Detail {
            ready: parts.values().all(|part| part.ready),
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: self.started.elapsed().as_secs(),
            parts,
            counts: counts
                .iter()
                .map(|(name, count)| (*name, count()))
                .collect(),
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = locked(&self.parts);
        f.debug_struct("Health")
            .field("parts", &parts.probes.keys())
            .finish_non_exhaustive()
    }
}

impl Latch {
    /// The part is ready.
    pub fn ready(&self) {
        *locked(&self.state) = Ok(());
    }

    /// The part is not, or no longer, ready.
    pub fn not_ready(&self, reason: impl Into<String>) {
        *locked(&self.state) = Err(reason.into());
    }
}

/// A probe that panicked must not take the health port with it.
fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

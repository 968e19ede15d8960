//! The direction of imports: what stands above uses what stands below, and never the other way round.
//!
//! Within a crate the top-level modules stand in layers, where there is a list of them; elsewhere it is enough that no
//! modules use each other in a ring. Between crates the manifests say it.

use crate::sources::{Source, Violation};

mod graph;
mod manifests;
mod rust;
mod scripts;

use graph::{Graph, Use};

/// A crate whose top-level modules stand in layers.
struct Layered {
    /// The folder of its sources.
    sources: &'static str,
    /// From top to bottom. A module uses only modules of the layers below its own: neither those above it nor those
    /// beside it.
    layers: &'static [&'static [&'static str]],
}

/// The crates that are held to their layers.
const LAYERED: &[&Layered] = &[&SERVER];

/// The server: from what starts everything down to what knows nothing of the product. Its store, its rules and the
/// protocol are crates of their own, below all of these.
const SERVER: Layered = Layered {
    sources: "server/src/",
    layers: &[
        &["main"],
        &["assembly"],
        &["app"],
        // Whoever starts a part hands it its values: nothing below reads the configuration.
        &["config"],
        &["transport", "ops"],
        &["session"],
        &["services"],
        // Rooms tell players what they keep, and seasons of leaderboards their places.
        &["chat", "boards"],
        &["players"],
        &["owners"],
        &["connections"],
        &["io_threads"],
        &["call_traces", "log_lines"],
        &["random", "replaceable", "sync"],
    ],
};

/// Sources whose modules must not use each other in a ring.
struct Ringless {
    /// The folder.
    sources: &'static str,
    /// How they are read.
    read: fn(&[Source], &str) -> Graph,
    /// Whether this holds within every folder, not only between the modules at the top.
    deep: bool,
}

const RINGLESS: &[Ringless] = &[
    Ringless {
        sources: "server/src/",
        read: rust::read,
        deep: true,
    },
    Ringless {
        sources: "server/metrics/src/",
        read: rust::read,
        deep: true,
    },
    Ringless {
        sources: "loadtest/src/",
        read: rust::read,
        deep: true,
    },
    Ringless {
        sources: "testing/lossy-link/src/",
        read: rust::read,
        deep: true,
    },
    Ringless {
        sources: "schemas/src/",
        read: rust::read,
        deep: true,
    },
    Ringless {
        sources: "client-sdk/rust/src/",
        read: rust::read,
        deep: true,
    },
    // The parts of a client's state machine, `client/`, are one type's methods in several files, and call each other.
    Ringless {
        sources: "protocol/src/",
        read: rust::read,
        deep: false,
    },
    Ringless {
        sources: "protocol/text/src/",
        read: rust::read,
        deep: true,
    },
    Ringless {
        sources: "client-sdk/typescript/src/",
        read: scripts::read,
        deep: true,
    },
];

pub(crate) fn check(sources: &[Source]) -> Vec<Violation> {
    let mut violations = manifests::check(sources);
    for layered in LAYERED {
        violations.extend(layered.check(sources));
    }
    for ringless in RINGLESS {
        let graph = (ringless.read)(sources, ringless.sources);
        violations.extend(graph.rings(ringless.deep));
    }
    violations
}

impl Layered {
    fn check(&self, sources: &[Source]) -> Vec<Violation> {
        let graph = rust::read(sources, self.sources);
        let mut violations = self.check_places(&graph);
        violations.extend(
            graph
                .uses
                .iter()
                .filter_map(|used| self.check_use(&graph, used)),
        );
        violations
    }

    /// That every module stands in a layer, and that whatever stands there is a module.
    fn check_places(&self, graph: &Graph) -> Vec<Violation> {
        let modules = graph.top_level();
        let unplaced = modules
            .iter()
            .filter(|(module, _)| self.layer_of(module).is_none())
            .map(|(module, file)| {
                let message = format!(
                    "{module} stands in no layer: place it in the list of layers.rs, above all that it uses and below \
                     all that use it"
                );
                violation(file, 0, message)
            });
        let gone = self
            .layers
            .iter()
            .copied()
            .flatten()
            .filter(|module| !modules.contains_key(*module))
            .map(|module| {
                let message =
                    format!("{module} is no module any more: take it out of the list of layers.rs");
                violation(self.sources, 0, message)
            });
        unplaced.chain(gone).collect()
    }

    fn check_use(&self, graph: &Graph, used: &Use) -> Option<Violation> {
        let from = used.from.first()?;
        let layer = self.layer_of(from)?;
        let Some(to) = used.to.first() else {
            let message =
                format!("{from} brings in the whole crate: name the modules that it uses");
            return Some(violation(&used.file, used.line, message));
        };
        let target = self.layer_of(to)?;
        if to == from || target > layer || !graph.top_level().contains_key(to.as_str()) {
            return None;
        }
        let place = if target < layer { "above" } else { "beside" };
        let below: Vec<&str> = self.layers[layer + 1..].concat();
        let allowed = if below.is_empty() {
            "no other module".to_owned()
        } else {
            format!("only what stands below it, {}", below.join(", "))
        };
        let message = format!(
            "{from} uses {to}, which stands {place} it: {from} may use {allowed}; hand in what it needs, or move what \
             both need below {from}"
        );
        Some(violation(&used.file, used.line, message))
    }

    /// From 0, the top.
    fn layer_of(&self, module: &str) -> Option<usize> {
        self.layers.iter().position(|layer| layer.contains(&module))
    }
}

fn violation(path: &str, line: usize, message: String) -> Violation {
    Violation {
        rule: "layers",
        path: path.to_owned(),
        line,
        message,
    }
}

#[cfg(test)]
mod tests;

//! The modules of a TypeScript package: files that import each other by relative paths.

use super::graph::{Graph, ModulePath, Use};
use crate::links::resolve;
use crate::sources::Source;
use crate::typescript::Script;

/// Reads the package whose sources lie in `folder`, which ends with `/`.
pub(crate) fn read(sources: &[Source], folder: &str) -> Graph {
    let mut graph = Graph::default();
    for source in sources
        .iter()
        .filter(|source| source.is_script() && !source.is_test())
    {
        if let Some(module) = module(&source.path, folder) {
            graph.modules.insert(module, source.path.clone());
        }
    }
    for source in sources {
        let Some(from) = module(&source.path, folder) else {
            continue;
        };
        if graph.modules.get(&from) != Some(&source.path) {
            continue;
        }
        for (line, import) in Script::read(&source.text).imports() {
            if !import.starts_with('.') {
                continue;
            }
            if let Some(to) = imported(&graph, &resolve(&source.path, import), folder) {
                graph.uses.push(Use {
                    from: from.clone(),
                    to,
                    file: source.path.clone(),
                    line,
                });
            }
        }
    }
    graph
}

/// `machine/calls.ts` and `machine/calls.js` are the same module: the one is compiled to the other.
fn module(path: &str, folder: &str) -> Option<ModulePath> {
    let place = path.strip_prefix(folder)?;
    let ending = place.rfind('.').unwrap_or(place.len());
    Some(place[..ending].split('/').map(str::to_owned).collect())
}

/// The module that an import reaches: a file, or the `index` of a folder.
fn imported(graph: &Graph, path: &str, folder: &str) -> Option<ModulePath> {
    let file = module(path, folder)?;
    let index = module(&format!("{path}/index.ts"), folder)?;
    let whole = path
        .strip_prefix(folder)?
        .split('/')
        .map(str::to_owned)
        .collect();
    [file, whole, index]
        .into_iter()
        .find(|module| graph.modules.contains_key(module))
}

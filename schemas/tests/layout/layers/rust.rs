//! The modules of a Rust crate: which file is which, and what its paths mean.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::{Graph, ModulePath, Use};
use crate::sources::Source;
use crate::tokens::{Code, NamedPath};

/// Most names that one name may stand for in a row, `use` after `use`: what names itself ends too.
const RENAMES_MAX: usize = 16;

/// Reads the crate whose sources lie in `folder`, which ends with `/`. Test code is left out. `lib.rs` is the crate
/// itself and no module; what it passes on by name counts as what it is.
pub(crate) fn read(sources: &[Source], folder: &str) -> Graph {
    let files: Vec<File<'_>> = sources
        .iter()
        .filter(|source| source.is_rust() && !source.is_test())
        .filter_map(|source| File::read(source, folder))
        .collect();
    let names = Names::of(&files);
    let mut graph = Graph::default();
    for file in &files {
        if !file.shown_as.is_empty() {
            let path = file.source.path.clone();
            graph.modules.insert(file.shown_as.clone(), path);
        }
        for path in &file.paths {
            if let Some(to) = names.meaning(path, &file.module) {
                let mut from = file.shown_as.clone();
                from.extend(path.inside.iter().cloned());
                graph.uses.push(Use {
                    from,
                    to,
                    file: file.source.path.clone(),
                    line: path.line,
                });
            }
        }
    }
    graph
}

struct File<'a> {
    source: &'a Source,
    /// Where its `self` is.
    module: ModulePath,
    /// Under which name it appears: `main.rs` is a module of its own, although its `self` is the crate.
    shown_as: ModulePath,
    paths: Vec<NamedPath>,
}

impl<'a> File<'a> {
    fn read(source: &'a Source, folder: &str) -> Option<Self> {
        let place = source.path.strip_prefix(folder)?.strip_suffix(".rs")?;
        let shown_as: ModulePath = match place {
            "lib" => Vec::new(),
            place => place.split('/').map(str::to_owned).collect(),
        };
        let module = match place {
            "main" => Vec::new(),
            _ => shown_as.clone(),
        };
        // A file that does not parse is reported by the boundaries.
        let paths = Code::parse(&source.text).ok()?.paths();
        Some(Self {
            source,
            module,
            shown_as,
            paths,
        })
    }
}

/// What the names of a crate mean.
struct Names<'a> {
    modules: BTreeSet<&'a [String]>,
    /// By module and name: what `use` brought in under it, as it is written there.
    brought_in: BTreeMap<(ModulePath, &'a str), &'a [String]>,
}

impl<'a> Names<'a> {
    fn of(files: &'a [File<'a>]) -> Self {
        let has_library = files.iter().any(|file| file.shown_as.is_empty());
        let mut brought_in = BTreeMap::new();
        // Beside a library, `main.rs` is another crate.
        for file in files
            .iter()
            .filter(|file| file.module == file.shown_as || !has_library)
        {
            for path in &file.paths {
                if let Some(name) = &path.brought_in_as {
                    let module = module_around(path, &file.module);
                    let target = path.segments.as_slice();
                    brought_in.entry((module, name.as_str())).or_insert(target);
                }
            }
        }
        let modules = files.iter().map(|file| file.shown_as.as_slice()).collect();
        Self {
            modules,
            brought_in,
        }
    }

    /// What a path of this crate means, from the top of the crate; nothing for what lies outside it, and for what
    /// begins with a name that the file has brought in, which counts where it was brought in.
    fn meaning(&self, path: &NamedPath, file: &[String]) -> Option<ModulePath> {
        let module = module_around(path, file);
        let absolute = self.absolute(&path.segments, &module)?;
        Some(self.without_renames(absolute))
    }

    /// The path from the top of the crate, as it is written.
    fn absolute(&self, segments: &[String], module: &[String]) -> Option<ModulePath> {
        let ups = segments.iter().take_while(|name| *name == "super").count();
        let (base, rest) = match segments.first()?.as_str() {
            "crate" => (&[] as &[String], &segments[1..]),
            "super" => (&module[..module.len().checked_sub(ups)?], &segments[ups..]),
            "self" => {
                let rest = &segments[1..];
                let ups = rest.iter().take_while(|name| *name == "super").count();
                (&module[..module.len().checked_sub(ups)?], &rest[ups..])
            }
            name => {
                let child: ModulePath = joined(module, &[name.to_owned()]);
                if !self.modules.contains(child.as_slice()) {
                    return None;
                }
                (module, segments)
            }
        };
        Some(joined(base, rest))
    }

    /// Replaces names that a module only passes on by what they stand for.
    fn without_renames(&self, mut path: ModulePath) -> ModulePath {
        for _ in 0..RENAMES_MAX {
            let known = (0..path.len())
                .take_while(|&end| end == 0 || self.modules.contains(&path[..end]))
                .last()
                .unwrap_or_default();
            let (module, rest) = path.split_at(known);
            let Some((name, rest)) = rest.split_first() else {
                break;
            };
            let is_module = self
                .modules
                .contains(joined(module, std::slice::from_ref(name)).as_slice());
            let target = self.brought_in.get(&(module.to_vec(), name.as_str()));
            let Some(target) = target.filter(|_| !is_module) else {
                break;
            };
            let is_renamed = |first: &String| {
                let place = (module.to_vec(), first.as_str());
                self.brought_in.contains_key(&place)
            };
            let meant = match self.absolute(target, module) {
                Some(meant) => meant,
                None if target.first().is_some_and(is_renamed) => joined(module, target),
                None => break,
            };
            path = joined(&meant, rest);
        }
        path
    }
}

fn module_around(path: &NamedPath, file: &[String]) -> ModulePath {
    joined(file, &path.inside)
}

fn joined(first: &[String], second: &[String]) -> ModulePath {
    [first, second].concat()
}

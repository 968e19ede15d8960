//! Which module uses which, whatever the language, and the rings among them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::sources::Violation;

/// Names from the top of the sources down: `["report", "html"]` is `report/html.rs` with all below it.
pub(crate) type ModulePath = Vec<String>;

/// One place where a module names another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// The module that names. Empty for what stands at the top, such as `lib.rs`.
    pub(crate) from: ModulePath,
    /// The module named, and what in it.
    pub(crate) to: ModulePath,
    /// The file.
    pub(crate) file: String,
    pub(crate) line: usize,
}

/// The modules below one folder of sources, and how they use each other.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// Every module that has a file, and its file.
    pub(crate) modules: BTreeMap<ModulePath, String>,
    pub(crate) uses: Vec<Use>,
}

/// An arrow between two modules of one folder.
type Arrows<'a> = BTreeMap<&'a str, BTreeMap<&'a str, &'a Use>>;

impl Graph {
    /// The modules at the top, each with a file to show: its own, or the first below it.
    pub(crate) fn top_level(&self) -> BTreeMap<&str, &str> {
        let mut found = BTreeMap::new();
        for (module, file) in &self.modules {
            if let Some(name) = module.first() {
                found.entry(name.as_str()).or_insert(file.as_str());
            }
        }
        found
    }

    /// One ring for each folder that has any, the shortest. With `deep`, folders below the top are looked at too.
    pub(crate) fn rings(&self, deep: bool) -> Vec<Violation> {
        let folders: BTreeSet<&[String]> = self
            .modules
            .keys()
            .flat_map(|module| (0..module.len()).map(|end| &module[..end]))
            .filter(|folder| deep || folder.is_empty())
            .collect();
        folders
            .into_iter()
            .filter_map(|folder| shortest_ring(&self.arrows(folder)))
            .map(|ring| violation(&ring))
            .collect()
    }

    /// Who uses whom among the children of a folder; each child stands for everything below it.
    fn arrows(&self, folder: &[String]) -> Arrows<'_> {
        let depth = folder.len();
        let children: BTreeSet<&str> = self
            .modules
            .keys()
            .filter(|module| module.starts_with(folder))
            .filter_map(|module| module.get(depth))
            .map(String::as_str)
            .collect();
        let mut arrows = Arrows::new();
        for used in &self.uses {
            if !used.from.starts_with(folder) || !used.to.starts_with(folder) {
                continue;
            }
            let (Some(from), Some(to)) = (used.from.get(depth), used.to.get(depth)) else {
                continue;
            };
            if from != to && children.contains(to.as_str()) {
                let targets = arrows.entry(from).or_default();
                targets.entry(to).or_insert(used);
            }
        }
        arrows
    }
}

/// The shortest way from a module back to itself.
fn shortest_ring<'a>(arrows: &Arrows<'a>) -> Option<Vec<&'a Use>> {
    arrows
        .keys()
        .filter_map(|start| way_back(arrows, start))
        .min_by_key(Vec::len)
}

fn way_back<'a>(arrows: &Arrows<'a>, start: &'a str) -> Option<Vec<&'a Use>> {
    // By which module and which use each module was first reached.
    let mut reached: BTreeMap<&str, (&str, &Use)> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(from) = queue.pop_front() {
        for (&to, &used) in arrows.get(from).into_iter().flatten() {
            if reached.contains_key(to) {
                continue;
            }
            reached.insert(to, (from, used));
            queue.push_back(to);
        }
    }
    let mut ring = Vec::new();
    let mut at = start;
    loop {
        let (from, used) = *reached.get(at)?;
        ring.push(used);
        at = from;
        if at == start {
            ring.reverse();
            return Some(ring);
        }
    }
}

fn violation(ring: &[&Use]) -> Violation {
    let depth = depth_of(ring);
    let name = |path: &[String]| path[..=depth].join("/");
    let steps: Vec<String> = ring
        .iter()
        .map(|used| {
            let (from, to) = (name(&used.from), name(&used.to));
            format!("{from} uses {to} at {}:{}", used.file, used.line)
        })
        .collect();
    Violation {
        rule: "layers",
        path: ring[0].file.clone(),
        line: ring[0].line,
        message: format!(
            "a ring: {}; move what they share into a module that all of them may use",
            steps.join(", ")
        ),
    }
}

/// How many names the modules of a ring have in common: the folder that they lie in.
fn depth_of(ring: &[&Use]) -> usize {
    let pairs = ring[0].from.iter().zip(&ring[0].to);
    pairs.take_while(|(from, to)| from == to).count()
}

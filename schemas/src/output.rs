//! Every derived file, and whether the one on disk is up to date.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::catalog::Catalog;
use crate::derived::Derived;
use crate::{api, asyncapi, guide, typescript, vectors};

/// Why the derived files are not in order.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A file cannot be written.
    #[error("{path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Files differ from what the tables say.
    #[error("stale: {}\nrun `cargo run -p pitturu-schemas -- write` and commit the result", .0.join(", "))]
    Stale(Vec<&'static str>),
}

/// Everything that is derived.
pub fn all() -> Vec<Derived> {
    let catalog = Catalog::collect();
    let vectors = vectors::Vectors::make(&catalog);
    let mut files = vec![
        Derived {
            path: "schemas/api.json",
            content: api::text(&catalog),
        },
        Derived {
            path: "schemas/asyncapi.yaml",
            content: asyncapi::text(&catalog),
        },
        Derived {
            path: "docs/api.md",
            content: guide::text(&catalog),
        },
    ];
    files.extend(vectors.files());
    files.extend(typescript::files(&catalog));
    files
}

/// Writes every derived file under `root`.
pub fn write(root: &Path) -> Result<(), OutputError> {
    for file in all() {
        let path = root.join(file.path);
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, &file.content));
        written.map_err(|source| OutputError::Write { path, source })?;
    }
    Ok(())
}

/// Compares every derived file under `root` with the tables. A file that cannot be read is stale.
pub fn check(root: &Path) -> Result<(), OutputError> {
    let stale: Vec<&'static str> = all()
        .iter()
        .filter(|file| {
            fs::read_to_string(root.join(file.path)).ok().as_deref() != Some(&file.content)
        })
        .map(|file| file.path)
        .collect();
    if stale.is_empty() {
        Ok(())
    } else {
        Err(OutputError::Stale(stale))
    }
}

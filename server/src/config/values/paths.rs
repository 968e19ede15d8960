//! Paths. What lies at one is looked at when the configuration is read: a folder is no file.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::Value;

/// Where a file is, or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath(PathBuf);

/// Where a folder is, or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderPath(PathBuf);

impl Value for FilePath {
    const WRITTEN: &'static str = "the path of a file, not of a folder";

    fn parse(text: &str) -> Option<Self> {
        let path = named(text)?;
        // Without a name at its end it is a folder, whether or not that is there.
        let is_file = !text.ends_with('/') && path.file_name().is_some() && !path.is_dir();
        is_file.then_some(Self(path))
    }
}

impl Value for FolderPath {
    const WRITTEN: &'static str = "the path of a folder, not of a file";

    fn parse(text: &str) -> Option<Self> {
        let path = named(text)?;
        (path.is_dir() || !path.exists()).then_some(Self(path))
    }
}

fn named(text: &str) -> Option<PathBuf> {
    let is_name = !text.trim().is_empty() && !text.contains(char::is_control);
    is_name.then(|| text.into())
}

impl Deref for FilePath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Deref for FolderPath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_no_files_and_files_no_folders() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let (dir, file) = (dir.path().display(), file.display());
        for (text, as_file, as_folder) in [
            (format!("{file}"), true, false),
            (format!("{dir}"), false, true),
            (format!("{dir}/not-there"), true, true),
            (format!("{dir}/not-there/"), false, true),
            (format!("{dir}/.."), false, true),
            ("relative.pem".to_owned(), true, true),
            ("/".to_owned(), false, true),
            (String::new(), false, false),
            (" \t".to_owned(), false, false),
            ("a\0b".to_owned(), false, false),
        ] {
            assert_eq!(FilePath::parse(&text).is_some(), as_file, "{text:?}");
            assert_eq!(FolderPath::parse(&text).is_some(), as_folder, "{text:?}");
        }
    }
}

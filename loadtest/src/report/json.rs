//! Reports as JSON files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::error::Category;
use thiserror::Error;

use super::{LAYOUT, Report};

/// Why a report was not written.
#[derive(Debug, Error)]
pub enum WriteReport {
    /// The file or its folder can't be written.
    #[error("{path}: {source}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was written and holds a number that JSON has no word for, such as infinity.
    #[error("{path} was written, and can't be read back: {detail}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where, and what was expected.
        detail: String,
    },
}

/// Why a report was not read.
#[derive(Debug, Error)]
pub enum ReadReport {
    /// There is no such file.
    #[error("{path}: no such file")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there and can't be read.
    #[error("{path}: {source}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file ends in the middle, or is empty.
    #[error("{path}: truncated, ends at line {line} in the middle of the report")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its last line.
        line: usize,
    },
    /// The file holds something else than JSON.
    #[error("{path}: not JSON: {detail}")]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where, and what was expected.
        detail: String,
    },
    /// Another version of this program wrote the file.
    #[error("{path}: layout {found}, this program reads layout {LAYOUT}")]
    OtherLayout {
        /// The file.
        path: PathBuf,
        /// The layout that the file states.
        found: u64,
    },
    /// The file is JSON and no report.
    #[error("{path}: no report: {detail}")]
    NoReport {
        /// The file.
        path: PathBuf,
        /// What is missing or has another type.
        detail: String,
    },
}

/// Replaces the file in one step: whoever reads it meanwhile sees the old one or the new one.
///
/// # Errors
/// When the disk refuses, or when the report holds a number that is none.
pub fn write(path: &Path, report: &Report) -> Result<(), WriteReport> {
    let disk = |source| WriteReport::Disk {
        path: path.to_owned(),
        source,
    };
    let mut text = serde_json::to_string_pretty(report).map_err(|error| disk(error.into()))?;
    text.push('\n');
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    fs::write(&unfinished, &text).map_err(disk)?;
    fs::rename(&unfinished, path).map_err(disk)?;
    match serde_json::from_str::<Report>(&text) {
        Ok(_) => Ok(()),
        Err(error) => Err(WriteReport::Unreadable {
            path: path.to_owned(),
            detail: error.to_string(),
        }),
    }
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// [`ReadReport`] names the file and what is wrong with it.
pub fn read(path: &Path) -> Result<Report, ReadReport> {
    let path = path.to_owned();
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            return Err(ReadReport::Missing { path });
        }
        Err(source) => return Err(ReadReport::Disk { path, source }),
    };
    let stated = match serde_json::from_slice::<Stated>(&text) {
        Ok(stated) => stated,
        Err(error) => return Err(refused(path, &error)),
    };
    match stated.layout {
        Some(found) if found != u64::from(LAYOUT) => {
            return Err(ReadReport::OtherLayout { path, found });
        }
        _ => {}
    }
    serde_json::from_slice(&text).map_err(|error| refused(path, &error))
}

/// What every layout has.
#[derive(Deserialize)]
struct Stated {
    layout: Option<u64>,
}

fn refused(path: PathBuf, error: &serde_json::Error) -> ReadReport {
    let detail = error.to_string();
    match error.classify() {
        Category::Eof => ReadReport::Truncated {
            path,
            line: error.line(),
        },
        Category::Data => ReadReport::NoReport { path, detail },
        Category::Syntax | Category::Io => ReadReport::NotJson { path, detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn reading(text: &[u8]) -> Result<Report, ReadReport> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, text).unwrap();
        let result = read(&path);
        if let Err(error) = &result {
            assert!(error.to_string().contains("report.json: "), "{error}");
        }
        result
    }

    #[test]
    fn a_report_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for report in [sample::report(), sample::empty()] {
            write(&path, &report).unwrap();
            assert_eq!(read(&path).unwrap(), report);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("nowhere/a.json")).unwrap_err();
        assert_eq!(error.to_string(), "nowhere/a.json: no such file");
    }

    #[test]
    fn every_truncation_is_told_as_one() {
        let text = serde_json::to_vec(&sample::report()).unwrap();
        for length in [0, 1, 10, text.len() / 2, text.len() - 1] {
            let error = reading(&text[..length]).unwrap_err();
            assert!(
                matches!(error, ReadReport::Truncated { .. }),
                "{length}: {error}"
            );
        }
    }

    #[test]
    fn what_is_no_report_is_told_apart() {
        let error = reading(b"hello").unwrap_err();
        assert!(matches!(error, ReadReport::NotJson { .. }), "{error}");
        let error = reading(b"{\"layout\": 7, \"unheard\": []}").unwrap_err();
        assert!(
            matches!(error, ReadReport::OtherLayout { found: 7, .. }),
            "{error}"
        );
        for text in [
            &b"{}"[..],
            b"[1]",
            b"{\"layout\": 1}",
            b"{\"layout\": \"one\"}",
        ] {
            let error = reading(text).unwrap_err();
            assert!(matches!(error, ReadReport::NoReport { .. }), "{error}");
        }
    }

    #[test]
    fn a_number_that_is_none_is_told_when_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let mut report = sample::report();
        report.runs[0].seconds = f64::NAN;
        let error = write(&path, &report).unwrap_err();
        assert!(matches!(error, WriteReport::Unreadable { .. }), "{error}");
        assert!(path.exists());
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let error = write(Path::new("nowhere/a.json"), &sample::empty()).unwrap_err();
        assert!(error.to_string().starts_with("nowhere/a.json: "), "{error}");
    }
}

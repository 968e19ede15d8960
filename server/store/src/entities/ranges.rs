//! Parts of what is stored, and bounds of reads.

use super::RowKey;
use crate::StoreError;

/// Most rows that one page of the store holds, whatever the caller asks for.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// A part of an entity's rows, or of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowRange {
    /// Keys that begin with this.
    pub prefix: Vec<u8>,
    /// Only those behind this one.
    pub after: Option<RowKey>,
    /// Only those before this one.
    pub before: Option<RowKey>,
}

impl RowRange {
    /// Keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        Self {
            prefix: prefix.into(),
            ..Self::default()
        }
    }

    /// The same, without `key` and what is before it.
    #[must_use]
    pub fn after(self, key: Option<RowKey>) -> Self {
        Self { after: key, ..self }
    }
}

/// A key and its row.
pub type Row = (RowKey, Vec<u8>);

/// A number and the row of a stream.
pub type Numbered = (u64, Vec<u8>);

/// A part of a stream, towards its end or its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The oldest kept rows behind this number.
    After(u64),
    /// The newest rows before this number.
    Before(u64),
}

/// Bounds of one read. At least one row is returned, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most rows. Above [`PAGE_ROWS_MAX`] it counts as that, except in [`Entities::load`](super::Entities::load).
    pub rows: usize,
    /// About the most bytes.
    pub bytes: usize,
}

impl Bounds {
    /// At most so many rows, of at most 4 MiB.
    pub const fn rows(rows: usize) -> Self {
        Self {
            rows,
            bytes: 4 * 1024 * 1024,
        }
    }

    /// Everything: for an owner whose rules bound what it has.
    pub const ALL: Self = Self {
        rows: usize::MAX,
        bytes: usize::MAX,
    };
}

/// Is shown a key and its row.
pub type TakeRow = Box<dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + Send>;

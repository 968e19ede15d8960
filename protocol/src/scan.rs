//! Walks MessagePack without building values: finds where a value ends, and refuses bad lengths and deep
//! nesting before anything is allocated.

use crate::limits::{INTEGER_MAX, NESTING_MAX};

/// Why bytes are not a well-formed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end inside a value, or a length claims more than there is.
    #[error("the bytes end inside a value")]
    Truncated,
    /// Arrays and maps nest deeper than [`NESTING_MAX`].
    #[error("nested deeper than {NESTING_MAX}")]
    TooDeep,
    /// A byte that MessagePack never uses, or an extension type.
    #[error("byte 0x{0:02x} starts no allowed value")]
    Marker(u8),
    /// A value of another type stands where the frame's layout needs one.
    #[error("expected {0}")]
    Expected(&'static str),
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// An integer further from 0 than [`INTEGER_MAX`], which JavaScript would change.
    #[error("an integer is at most {INTEGER_MAX}")]
    Integer,
}

/// Reads values from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// Starts at the front of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads the header of an array and returns its length.
    pub fn array(&mut self) -> Result<usize, Malformed> {
        let length = match self.byte()? {
            marker @ 0x90..=0x9f => usize::from(marker & 0x0f),
            0xdc => self.length(2)?,
            0xdd => self.length(4)?,
            _ => return Err(Malformed::Expected("an array")),
        };
        self.fits(length)
    }

    /// Reads an unsigned integer of at most 53 bits, the range that JavaScript keeps exactly.
    pub fn uint(&mut self) -> Result<u64, Malformed> {
        let value = match self.byte()? {
            marker @ 0x00..=0x7f => u64::from(marker),
            0xcc => self.big_endian(1)?,
            0xcd => self.big_endian(2)?,
            0xce => self.big_endian(4)?,
            0xcf => self.big_endian(8)?,
            _ => return Err(Malformed::Expected("an unsigned integer")),
        };
        if value > INTEGER_MAX {
            return Err(Malformed::Integer);
        }
        Ok(value)
    }

    /// Reads an unsigned integer of at most 53 bits, or nil.
    pub fn optional_uint(&mut self) -> Result<Option<u64>, Malformed> {
        if self.rest.first() == Some(&0xc0) {
            self.rest = &self.rest[1..];
            return Ok(None);
        }
        self.uint().map(Some)
    }

    /// Reads text.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = match self.byte()? {
            marker @ 0xa0..=0xbf => usize::from(marker & 0x1f),
            0xd9 => self.length(1)?,
            0xda => self.length(2)?,
            0xdb => self.length(4)?,
            _ => return Err(Malformed::Expected("text")),
        };
        std::str::from_utf8(self.take(length)?).map_err(|_| Malformed::Utf8)
    }

    /// Reads text or nil.
    pub fn optional_text(&mut self) -> Result<Option<&'a str>, Malformed> {
        if self.rest.first() == Some(&0xc0) {
            self.rest = &self.rest[1..];
            return Ok(None);
        }
        self.text().map(Some)
    }

    /// Reads opaque bytes.
    pub fn bin(&mut self) -> Result<&'a [u8], Malformed> {
        let length = match self.byte()? {
            0xc4 => self.length(1)?,
            0xc5 => self.length(2)?,
            0xc6 => self.length(4)?,
            _ => return Err(Malformed::Expected("binary")),
        };
        self.take(length)
    }

    /// Reads one map and returns its bytes, walked and found well formed. `depth` is how many arrays
    /// and maps enclose it.
    ///
    /// # Errors
    /// [`Malformed::Integer`] only if nothing else is wrong: then the scanner stands behind the map.
    pub fn map(&mut self, depth: usize) -> Result<&'a [u8], Malformed> {
        match self.rest.first() {
            Some(0x80..=0x8f | 0xde | 0xdf) => self.value(depth),
            Some(_) => Err(Malformed::Expected("a map")),
            None => Err(Malformed::Truncated),
        }
    }

    /// Walks one value of any kind and returns its bytes.
    ///
    /// # Errors
    /// [`Malformed::Integer`] only if nothing else is wrong: then the scanner stands behind the value.
    pub fn value(&mut self, depth: usize) -> Result<&'a [u8], Malformed> {
        let start = self.rest;
        if self.skip(depth)? {
            Ok(&start[..start.len() - self.rest.len()])
        } else {
            Err(Malformed::Integer)
        }
    }

    /// Where in a map, written as `field.inner` or `list[0].field`, the first integer stands that is beyond [`INTEGER_MAX`]; for bytes that
    /// [`Self::map`] refused for it.
    pub fn beyond(bytes: &[u8]) -> Option<String> {
        Scanner::new(bytes).find_beyond(0).ok().flatten()
    }

    fn find_beyond(&mut self, depth: usize) -> Result<Option<String>, Malformed> {
        let (entries, is_map) = match self.rest.first() {
            Some(0x80..=0x8f | 0xde | 0xdf) => (self.map_len()?, true),
            Some(0x90..=0x9f | 0xdc | 0xdd) => (self.array()?, false),
            _ => return Ok((!self.skip(depth)?).then(String::new)),
        };
        if depth >= NESTING_MAX {
            return Err(Malformed::TooDeep);
        }
        for index in 0..entries {
            let mut name = format!("[{index}]");
            if is_map {
                let key = self.rest;
                if !self.skip(depth + 1)? {
                    return Ok(Some(name));
                }
                if let Ok(text) = Scanner::new(key).text() {
                    text.clone_into(&mut name);
                }
            }
            if let Some(inner) = self.find_beyond(depth + 1)? {
                let is_plain = inner.is_empty() || inner.starts_with('[');
                let dot = if is_plain { "" } else { "." };
                return Ok(Some(format!("{name}{dot}{inner}")));
            }
        }
        Ok(None)
    }

    /// The keys of a map with the bytes of their values, in their order; for bytes that [`Self::map`] took. What is no map has
    /// none, and a key that is no text counts as an empty one.
    pub fn fields(bytes: &'a [u8]) -> Vec<(&'a str, &'a [u8])> {
        let mut scanner = Scanner::new(bytes);
        let entries = scanner.map_len().unwrap_or(0);
        let mut fields = Vec::with_capacity(entries);
        for _ in 0..entries {
            let key = scanner.value(1).ok();
            let key = key.and_then(|key| Scanner::new(key).text().ok());
            let Ok(value) = scanner.value(1) else {
                break;
            };
            fields.push((key.unwrap_or_default(), value));
        }
        fields
    }

    fn map_len(&mut self) -> Result<usize, Malformed> {
        let length = match self.byte()? {
            marker @ 0x80..=0x8f => usize::from(marker & 0x0f),
            0xde => self.length(2)?,
            0xdf => self.length(4)?,
            _ => return Err(Malformed::Expected("a map")),
        };
        self.fits(length)
    }

    /// Walks one value. False: all is well but for an integer that is beyond [`INTEGER_MAX`].
    fn skip(&mut self, depth: usize) -> Result<bool, Malformed> {
        let marker = self.byte()?;
        let children = match marker {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => 0,
            0xcf => return Ok(self.big_endian(8)? <= INTEGER_MAX),
            0xd3 => return Ok(self.big_endian(8)?.cast_signed().unsigned_abs() <= INTEGER_MAX),
            0x80..=0x8f => 2 * usize::from(marker & 0x0f),
            0x90..=0x9f => usize::from(marker & 0x0f),
            0xa0..=0xbf => return self.take(usize::from(marker & 0x1f)).map(|_| true),
            0xcc | 0xd0 => return self.take(1).map(|_| true),
            0xcd | 0xd1 => return self.take(2).map(|_| true),
            0xca | 0xce | 0xd2 => return self.take(4).map(|_| true),
            0xcb => return self.take(8).map(|_| true),
            0xc4 | 0xd9 => return self.sized(1),
            0xc5 | 0xda => return self.sized(2),
            0xc6 | 0xdb => return self.sized(4),
            0xdc => self.length(2)?,
            0xdd => self.length(4)?,
            0xde => self.length(2)?.saturating_mul(2),
            0xdf => self.length(4)?.saturating_mul(2),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return Err(Malformed::Marker(marker)),
        };
        if children > 0 && depth >= NESTING_MAX {
            return Err(Malformed::TooDeep);
        }
        let mut is_exact = true;
        for _ in 0..self.fits(children)? {
            is_exact &= self.skip(depth + 1)?;
        }
        Ok(is_exact)
    }

    /// Every element takes at least a byte, so a count above what is left is a lie.
    fn fits(&self, count: usize) -> Result<usize, Malformed> {
        if count > self.rest.len() {
            return Err(Malformed::Truncated);
        }
        Ok(count)
    }

    fn sized(&mut self, width: usize) -> Result<bool, Malformed> {
        let length = self.length(width)?;
        self.take(length).map(|_| true)
    }

    fn length(&mut self, width: usize) -> Result<usize, Malformed> {
        usize::try_from(self.big_endian(width)?).map_err(|_| Malformed::Truncated)
    }

    fn big_endian(&mut self, width: usize) -> Result<u64, Malformed> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .fold(0, |value, &byte| (value << 8) | u64::from(byte)))
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

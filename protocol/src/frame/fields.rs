//! Reading of a frame's elements.

use serde::de::DeserializeOwned;

use super::{InvalidFrame, Stream};
use crate::codec;
use crate::ids::RoomId;
use crate::limits::KEY_BYTES_MAX;
use crate::scan::{Malformed, Scanner};

/// The elements of a frame's array, each read once and in order.
pub(super) struct Fields<'a> {
    scanner: Scanner<'a>,
    left: usize,
}

impl<'a> Fields<'a> {
    /// Reads the header of the frame's array.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut scanner = Scanner::new(bytes);
        let left = scanner.array()?;
        Ok(Self { scanner, left })
    }

    /// Walks over the elements that this version does not know and returns what follows the frame.
    pub(super) fn close(mut self) -> Result<&'a [u8], Malformed> {
        while self.left > 0 {
            self.next()?.value(1)?;
        }
        Ok(self.scanner.rest())
    }

    /// What has not been read yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.scanner.rest()
    }

    fn next(&mut self) -> Result<&mut Scanner<'a>, Malformed> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or(Malformed::Expected("another element"))?;
        Ok(&mut self.scanner)
    }

    pub(super) fn uint(&mut self) -> Result<u64, Malformed> {
        self.next()?.uint()
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.uint()?).map_err(|_| Malformed::Expected("an integer below 2^32"))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        u16::try_from(self.uint()?).map_err(|_| Malformed::Expected("an integer below 2^16"))
    }

    pub(super) fn bin(&mut self) -> Result<&'a [u8], Malformed> {
        self.next()?.bin()
    }

    pub(super) fn raw_body(&mut self) -> Result<&'a [u8], Malformed> {
        self.next()?.map(1)
    }

    pub(super) fn body<T: DeserializeOwned>(&mut self) -> Result<T, InvalidFrame> {
        Ok(codec::decode(self.raw_body()?)?)
    }

    pub(super) fn stream(&mut self) -> Result<Stream, InvalidFrame> {
        Ok(self.next()?.text()?.parse()?)
    }

    pub(super) fn room(&mut self) -> Result<RoomId, InvalidFrame> {
        Ok(self.next()?.text()?.parse()?)
    }

    pub(super) fn key(&mut self) -> Result<Option<&'a str>, InvalidFrame> {
        if self.left == 0 {
            return Ok(None);
        }
        match self.next()?.optional_text()? {
            Some(key) if key.is_empty() || key.len() > KEY_BYTES_MAX => Err(InvalidFrame::Key),
            key => Ok(key),
        }
    }

    /// The sequence that stands behind an idempotency key.
    pub(super) fn head(&mut self, after_a_key: bool) -> Result<Option<u64>, Malformed> {
        if self.left == 0 {
            return Ok(None);
        }
        match self.next()?.optional_uint()? {
            Some(_) if !after_a_key => Err(Malformed::Expected("a key before the head")),
            head => Ok(head),
        }
    }
}

//! What waits in line.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use bytes::Bytes;

/// Frames in the order in which they go. The first lies in the struct itself: mostly it is the only one, and then
/// nothing is allocated to queue it and nothing kept once it is taken.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) first: Option<Bytes>,
    /// Empty if there is no first one.
    pub(super) rest: VecDeque<Bytes>,
    pub(super) bytes: usize,
}

impl Line {
    pub(super) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        if self.first.is_none() {
            self.first = Some(frame);
        } else {
            self.rest.push_back(frame);
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Takes as many of the frames as `frames` says, those that fit into `bytes_max`, but the least number of them however long they
    /// are. When it takes all, it takes the memory that they wait in, too.
    pub(super) fn take(&mut self, bytes_max: usize, frames: RangeInclusive<usize>) -> Self {
        if self.bytes <= bytes_max && self.len() <= *frames.end() {
            return std::mem::take(self);
        }
        let (mut count, mut bytes) = (0, 0);
        for frame in self.first.iter().chain(&self.rest).take(*frames.end()) {
            if count >= *frames.start() && bytes + frame.len() > bytes_max {
                break;
            }
            bytes += frame.len();
            count += 1;
        }
        if count == self.len() {
            return std::mem::take(self);
        }
        if count == 0 {
            return Self::default();
        }
        self.bytes -= bytes;
        let rest = self.rest.drain(..count - 1).collect();
        let first = std::mem::replace(&mut self.first, self.rest.pop_front());
        Self { first, rest, bytes }
    }
}

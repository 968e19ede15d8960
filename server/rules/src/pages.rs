//! Pages of lists: so many items, and so many bytes.

use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::limits::{PAGE_BYTES_MAX, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use serde::Serialize;

/// Items in a page for which the caller gave this `limit`.
///
/// # Errors
/// [`Code::InvalidArgument`](pitturu_protocol::codes::Code::InvalidArgument) when it is 0 or more than a page holds.
pub fn page_items(limit: Option<u32>) -> Result<usize, Fault> {
    let limit = limit.unwrap_or(PAGE_ITEMS_DEFAULT);
    if !(1..=PAGE_ITEMS_MAX).contains(&limit) {
        return Err(Fault::invalid(
            "limit",
            format!("a page holds 1 to {PAGE_ITEMS_MAX} entries"),
        ));
    }
    Ok(limit as usize)
}

/// One page of a list as it is filled, item by item, until it holds as many as were asked for or [`PAGE_BYTES_MAX`] of them
/// encoded. Every list that a client gets goes through it: what does not fit into a page does not fit into a frame.
#[derive(Debug)]
pub struct Page<T> {
    items: Vec<T>,
    items_max: usize,
    bytes: usize,
    is_full: bool,
}

impl<T: Serialize> Page<T> {
    /// An empty page of at most so many items.
    pub const fn new(items_max: usize) -> Self {
        Self {
            items: Vec::new(),
            items_max,
            bytes: 0,
            is_full: false,
        }
    }

    /// A page of the first of these items that fit.
    pub fn of(items_max: usize, items: impl IntoIterator<Item = T>) -> Self {
        let mut page = Self::new(items_max);
        for item in items {
            if !page.push(item) {
                break;
            }
        }
        page
    }

    /// Takes an item. False: it did not fit, nor does any after it.
    pub fn push(&mut self, item: T) -> bool {
        let bytes = self.bytes + codec::encode(&item).len();
        let has_room =
            self.items.len() < self.items_max && (bytes <= PAGE_BYTES_MAX || self.items.is_empty());
        if self.is_full || !has_room {
            self.is_full = true;
            return false;
        }
        self.bytes = bytes;
        self.items.push(item);
        true
    }

    /// The items, and whether one did not fit.
    pub fn into_parts(self) -> (Vec<T>, bool) {
        (self.items, self.is_full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_with_its_items_or_its_bytes_and_says_whether_more_follow() {
        let (items, more) = Page::of(3, ["a"; 3]).into_parts();
        assert_eq!((items.len(), more), (3, false));
        let (items, more) = Page::of(3, ["a"; 4]).into_parts();
        assert_eq!((items.len(), more), (3, true));
        let long = "x".repeat(PAGE_BYTES_MAX / 3);
        let (items, more) = Page::of(200, vec![long.as_str(); 5]).into_parts();
        assert_eq!((items.len(), more), (2, true));
        assert!(codec::encode(&items).len() <= PAGE_BYTES_MAX);
    }

    #[test]
    fn a_page_takes_nothing_behind_what_did_not_fit() {
        let mut page = Page::new(200);
        assert!(page.push("x".repeat(PAGE_BYTES_MAX - 100)));
        assert!(!page.push("x".repeat(200)));
        assert!(!page.push("x".to_owned()), "the order would have a hole");
        assert_eq!(page.into_parts().0.len(), 1);
    }

    #[test]
    fn the_first_item_always_fits_so_that_lists_go_on() {
        let (items, more) = Page::of(200, vec!["x".repeat(PAGE_BYTES_MAX + 1); 2]).into_parts();
        assert_eq!((items.len(), more), (1, true));
    }
}

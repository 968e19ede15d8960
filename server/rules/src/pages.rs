//! Pages of lists.

use pitturu_protocol::codes::Fault;
use pitturu_protocol::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};

/// Items in a page for which the caller gave this `limit`.
///
/// # Errors
/// [`Code::InvalidArgument`](pitturu_protocol::codes::Code::InvalidArgument) when it is 0 or more than a page holds.
pub fn page_items(limit: Option<u32>) -> Result<usize, Fault> {
    let limit = limit.unwrap_or(PAGE_ITEMS_DEFAULT);
    if !(1..=PAGE_ITEMS_MAX).contains(&limit) {
        return Err(Fault::invalid("limit", format!("1 to {PAGE_ITEMS_MAX}")));
    }
    Ok(limit as usize)
}

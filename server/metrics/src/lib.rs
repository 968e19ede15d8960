//! What an operator sees of the server: one table of metrics, and what counts into it.
//!
//! Whoever counts names a line of the [`table`], so there is no metric without a name, a kind, a unit and a help text, and none
//! with a label whose values are not known beforehand. Nothing here knows the product but for the codes and methods of the
//! protocol.
//!
//! Reading order:
//! - [`table`]: every metric;
//! - [`labels`]: what tells the series of a metric apart; [`description`]: what a line says;
//! - [`counter`], [`gauge`], [`histogram`]: what only grows, what goes up and down, how long or how much;
//! - [`timings`]: a histogram for what happens hundreds of thousands of times a second; `stripes`: why counting is cheap;
//! - [`recorder`]: from what was counted to a page for Prometheus; `page`: what is written by hand of it.

pub mod counter;
pub mod description;
pub mod gauge;
pub mod histogram;
pub mod labels;
mod page;
pub mod recorder;
mod stripes;
pub mod table;
pub mod timings;

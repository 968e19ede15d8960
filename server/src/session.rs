//! One connection, from hello to goodbye.

pub mod link;

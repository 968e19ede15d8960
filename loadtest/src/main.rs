//! Placeholder until the driver exists.

fn main() {}

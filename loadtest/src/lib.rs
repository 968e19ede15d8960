//! Capacity tests of a PittuRu server.

pub mod report;

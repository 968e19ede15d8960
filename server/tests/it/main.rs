//! Tests against the running server and its transport. Each starts what it needs on free ports and stops it.

mod conformance;
mod echo;
mod hostile;
mod launch;
mod lifecycle;
mod neighbour;
mod player;
mod raw;
mod rfc6455;
mod rfc6455_cases;

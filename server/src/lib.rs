//! The PittuRu server.
//!
//! - [`config`]: keys and values; [`app`]: what is started in which order, and the way out;
//! - [`assembly`]: the services over one store;
//! - [`io_threads`]: the threads that serve connections;
//! - [`transport`]: sockets; [`session`]: one connection, from hello to goodbye;
//! - [`connections`]: who is connected, and what waits to be sent to them;
//! - [`call_traces`]: what is noted of single calls, for traces;
//! - [`boards`]: leaderboards; [`chat`]: rooms; [`players`]: what players keep; [`owners`]: who owns all of these;
//! - [`services`]: the product's rules;
//! - [`ops`]: health, metrics, logs; [`log_lines`]: kinds of lines that clients can cause without end; [`replaceable`]: what may become another one while the server runs.

pub mod app;
pub mod assembly;
pub mod boards;
pub mod call_traces;
pub mod chat;
pub mod config;
pub mod connections;
pub mod io_threads;
pub mod log_lines;
pub mod ops;
pub mod owners;
pub mod players;
pub mod random;
pub mod replaceable;
pub mod services;
pub mod session;
pub mod sync;
pub mod transport;

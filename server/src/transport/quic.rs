//! QUIC: [`endpoint`] has the socket, admits connections and shakes hands; [`link`] is what a session drives.
//!
//! Nothing outside this folder names quinn.

pub mod endpoint;
pub mod link;

//! Capacity tests of a PittuRu server.
//!
//! `loadtest run` starts a server (or takes one that runs), has many players do what a [`scenarios`] says, at a rate
//! that does not wait for the answers, and reports latencies from the intended moment on, what was lost, and what it
//! cost. With `--floor` it measures a bare program ([`floor`]) under the same load in the same minute, so that results
//! of different machines can be compared as ratios.
//!
//! [`run`] puts one run together: [`target`] starts what is measured, [`setup_rooms`] makes the rooms, [`fleet`] starts
//! generator processes, each a [`worker`] with [`thread_players`] per thread. A [`player`] is a [`link`] and the
//! protocol on it; it counts into a [`tally`]. [`probe`] looks at processes, [`outcome`] sums up, [`report`] shows.
//!
//! Layers, from top to bottom; a module uses only those below its line:
//!
//! | modules | what they are about |
//! |---|---|
//! | [`commands`] | one function per command |
//! | [`cli`] | what may be written on the command line |
//! | [`run`], [`objective`] | one run from start to report; what a load must hold |
//! | [`fleet`], [`setup_rooms`], [`target`] | the generator's processes, the rooms, what is measured |
//! | [`worker`], [`flood`] | one generator process; one process that floods |
//! | [`scenarios`] | what players do, and what must have held |
//! | [`thread_players`], [`outcome`] | the players of one thread; what all of them counted |
//! | [`plan`] | what a process is told beside the scenario |
//! | [`player`], [`probe`] | one player; one look at a process |
//! | [`link`], [`floor`], [`report`] | a connection, a bare program, the data of a report and how it is shown |
//! | [`tally`] | what is counted, and under which names |
//! | [`certificate`], [`clock`], [`cores`], [`stamp`], [`server_settings`] | use nothing of the others |

pub mod certificate;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod cores;
pub mod fleet;
pub mod flood;
pub mod floor;
pub mod link;
pub mod objective;
pub mod outcome;
pub mod plan;
pub mod player;
pub mod probe;
pub mod report;
pub mod run;
pub mod scenarios;
pub mod server_settings;
pub mod setup_rooms;
pub mod stamp;
pub mod tally;
pub mod target;
pub mod thread_players;
pub mod worker;

//! Names of plain counts, in slices and in reports.

/// Sends that the server answered without storing them.
pub const ACCEPTED: &str = "accepted";
/// Sends that were on disk when they were answered.
pub const PERSISTED: &str = "persisted";
/// Messages that reached a player.
pub const DELIVERED: &str = "delivered";
/// Messages of the transport received, of WebSocket or of a QUIC stream; each holds one or more frames.
pub const MESSAGES_IN: &str = "messages_in";
/// Frames received.
pub const FRAMES_IN: &str = "frames_in";
/// Bytes received from sockets.
pub const BYTES_IN: &str = "bytes_in";
/// Bytes written to sockets.
pub const BYTES_OUT: &str = "bytes_out";
/// States of a game that were newer than what the player had.
pub const STATES: &str = "states";
/// States of a game that came behind newer ones, or twice.
pub const STATES_OLD: &str = "states_old";
/// Messages that a player received a second time.
pub const DUPLICATES: &str = "duplicates";
/// Messages that a player was passed over for.
pub const MISSING: &str = "missing";
/// Connections that ended without being asked to.
pub const DISCONNECTS: &str = "disconnects";
/// Heartbeats answered.
pub const PINGS: &str = "pings";
/// Times that a player was told who is in its room.
pub const PRESENCE: &str = "presence";
/// Connections that were tried again.
pub const RETRIES: &str = "retries";
/// Connections that players left on purpose.
pub const LEFT: &str = "left";
/// Rooms made while getting ready.
pub const ROOMS_MADE: &str = "rooms_made";
/// Rooms made per second while getting ready.
pub const ROOMS_MADE_PER_SECOND: &str = "rooms_made_per_second";
/// Rooms that their owners found again.
pub const ROOMS_FOUND: &str = "rooms_found";
/// Wallets that have what the movements say that were answered.
pub const WALLETS_RIGHT: &str = "wallets_right";
/// Wallets that have something else.
pub const WALLETS_WRONG: &str = "wallets_wrong";
/// Entries of leaderboards that are what the submissions say that were answered.
pub const SCORES_RIGHT: &str = "scores_right";
/// Entries of leaderboards that are something else, or are not there.
pub const SCORES_WRONG: &str = "scores_wrong";
/// Entries that leaderboards say they have.
pub const SCORES_COUNTED: &str = "scores_counted";
/// Times that a follower was told of a leaderboard.
pub const RANK_CHANGED: &str = "rank_changed";
/// `ListTopScores` answered.
pub const LIST_TOP_SCORES: &str = "list_top_scores";
/// `ListScoresAround` answered.
pub const LIST_SCORES_AROUND: &str = "list_scores_around";
/// `GetScore` answered.
pub const GET_SCORE: &str = "get_score";
/// `ListRooms` answered.
pub const LIST_ROOMS: &str = "list_rooms";
/// `ReadHistory` answered.
pub const READ_HISTORY: &str = "read_history";
/// `LeaveRoom` answered.
pub const LEAVE_ROOM: &str = "leave_room";
/// `MarkRead` answered.
pub const MARK_READ: &str = "mark_read";
/// `Typing` answered.
pub const TYPING: &str = "typing";

//! What may be typed behind `pitturu admin`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use pitturu_client::types::accounts::Role;
use pitturu_client::types::chat::MemberRole;
use pitturu_client::types::reports::ReportOutcome;
use pitturu_client::{RoomId, UserId};

use crate::times::{Moment, Span};

/// The command line of `pitturu admin`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Admin {
    /// The server, and who asks it.
    #[command(flatten)]
    pub connection: ConnectionArguments,

    /// Prints JSON instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The server, and who asks it.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ConnectionArguments {
    /// The server, as players reach it: ws://, wss:// or quic://.
    #[arg(
        long,
        global = true,
        env = "PITTURU_ADMIN_URL",
        default_value = "ws://127.0.0.1:7350"
    )]
    pub url: String,

    /// File of the tokens that sign-in leaves for later commands [default: pitturu/admin-tokens in the user's folder for state].
    #[arg(long, global = true, env = "PITTURU_ADMIN_TOKENS", value_name = "PATH")]
    pub tokens: Option<PathBuf>,

    /// File with the certificate (PEM) of a server that no public authority vouches for.
    #[arg(long, global = true, value_name = "PATH")]
    pub trust: Option<PathBuf>,
}

/// What the staff does.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Signs in by name and password, which is read from standard input, or from PITTURU_ADMIN_PASSWORD if that is set.
    SignIn {
        /// Who.
        name: String,
    },
    /// Makes an account of this name and signs it in; with a name of accounts.admins this is how the first admin comes to be. The
    /// password comes as with sign-in.
    Register {
        /// The name.
        name: String,
    },
    /// Ends the session, and forgets its tokens.
    SignOut,
    /// Players.
    #[command(subcommand)]
    Player(PlayerCommand),
    /// Rooms.
    #[command(subcommand)]
    Room(RoomCommand),
    /// Reports of players.
    #[command(subcommand)]
    Report(ReportCommand),
    /// The audit log.
    #[command(subcommand)]
    AuditLog(AuditLogCommand),
}

/// What the staff does about players.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum PlayerCommand {
    /// Finds players by the beginning of their display name.
    Find {
        /// What the name begins with.
        name: String,
    },
    /// Shows role, sessions, and what is in force.
    Show {
        /// An id, or @ and the user name.
        player: Player,
    },
    /// Keeps a player out, at once and on every way.
    Suspend(Imposed),
    /// Ends a suspension.
    Lift {
        /// An id, or @ and the user name.
        player: Player,
    },
    /// Keeps a player from putting words before others, everywhere.
    Mute(Imposed),
    /// Ends a mute of the whole product.
    Unmute {
        /// An id, or @ and the user name.
        player: Player,
    },
    /// Ends all sessions of a player.
    SignOut {
        /// An id, or @ and the user name.
        player: Player,
    },
    /// Changes what a player shows of themselves.
    ResetProfile {
        /// An id, or @ and the user name.
        player: Player,
        /// Another display name.
        #[arg(long)]
        name: Option<String>,
        /// Takes the picture away.
        #[arg(long)]
        avatar: bool,
        /// Takes the bio away.
        #[arg(long)]
        bio: bool,
        /// Why, in words for the player.
        #[arg(long)]
        reason: String,
    },
    /// Gives a player another role.
    SetRole {
        /// An id, or @ and the user name.
        player: Player,
        /// The role.
        role: RoleName,
    },
    /// Prints a token with which the player sets a new password.
    ResetPassword {
        /// An id, or @ and the user name.
        player: Player,
    },
    /// Prints everything that is kept about a player, as JSON.
    Export {
        /// An id, or @ and the user name.
        player: Player,
    },
    /// Ends a player's account: everything personal is erased when the time of grace is over, unless the player signs in before.
    Delete(Deletion),
}

/// Whose account ends, and how.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Deletion {
    /// An id, or @ and the user name.
    pub player: Player,
    /// Why, for the audit log.
    #[arg(long)]
    pub reason: String,
    /// Without the time of grace: nothing takes it back.
    #[arg(long)]
    pub at_once: bool,
}

/// What a player is kept from.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Imposed {
    /// An id, or @ and the user name.
    pub player: Player,
    /// Why, in words for the player.
    #[arg(long)]
    pub reason: String,
    /// Until when.
    #[command(flatten)]
    pub ending: Ending,
}

/// When something ends by itself; never without either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
#[group(multiple = false)]
pub struct Ending {
    /// After so long, such as 30m, 12h or 7days.
    #[arg(long = "for", value_name = "TIME")]
    pub span: Option<Span>,
    /// At this time, such as 2027-01-31T00:00:00Z.
    #[arg(long, value_name = "MOMENT")]
    pub until: Option<Moment>,
}

/// What the staff does in rooms.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum RoomCommand {
    /// Lists the members of a room.
    Members {
        /// The room.
        room: RoomId,
    },
    /// Puts a member out, who may come back.
    Kick {
        /// The room.
        room: RoomId,
        /// An id, or @ and the user name.
        player: Player,
        /// Why, in words for the player.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Puts a player out, who may not come back.
    Ban {
        /// The room.
        room: RoomId,
        /// An id, or @ and the user name.
        player: Player,
        /// Why, in words for the player.
        #[arg(long)]
        reason: Option<String>,
        /// Until when.
        #[command(flatten)]
        ending: Ending,
    },
    /// Ends a ban.
    Unban {
        /// The room.
        room: RoomId,
        /// An id, or @ and the user name.
        player: Player,
    },
    /// Keeps a member from writing in the room for a time; 0s ends it.
    Mute {
        /// The room.
        room: RoomId,
        /// An id, or @ and the user name.
        player: Player,
        /// Until when. For no time at all ends a mute.
        #[command(flatten)]
        ending: Ending,
    },
    /// Gives a member another role in the room.
    SetRole {
        /// The room.
        room: RoomId,
        /// An id, or @ and the user name.
        player: Player,
        /// The role.
        role: MemberRoleName,
    },
    /// Deletes a message.
    DeleteMessage {
        /// The room.
        room: RoomId,
        /// The message's number.
        seq: u64,
    },
    /// Deletes the room.
    Delete {
        /// The room.
        room: RoomId,
    },
}

/// What the staff does with reports.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ReportCommand {
    /// Shows reports that nobody has settled, newest first.
    List {
        /// Those that are settled instead.
        #[arg(long, conflicts_with = "about")]
        settled: bool,
        /// All about this player instead: an id, or @ and the user name.
        #[arg(long, value_name = "PLAYER")]
        about: Option<Player>,
        /// Reports before this number only.
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Says that you look after a report.
    Take {
        /// Its number.
        number: u64,
    },
    /// Says what came of a report.
    Settle {
        /// Its number.
        number: u64,
        /// What came of it.
        outcome: OutcomeName,
        /// More, for the staff.
        #[arg(long)]
        note: Option<String>,
    },
}

/// What is done with the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum AuditLogCommand {
    /// Shows entries, newest first.
    List {
        /// Entries about this player alone, or what this one of the staff has done: an id, or @ and the user name.
        #[arg(long, value_name = "PLAYER")]
        about: Option<Player>,
        /// Entries before this number only.
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Reads every entry and checks it against the digests; fails if one was changed, removed or put in.
    Verify,
}

/// A player, as somebody names one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Player {
    /// By id.
    Id(UserId),
    /// By user name.
    Name(String),
}

impl FromStr for Player {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix('@') {
            Some("") => Err("behind @ comes a user name"),
            Some(name) => Ok(Self::Name(name.to_owned())),
            None => text
                .parse()
                .map(Self::Id)
                .map_err(|_| "neither an id of 16 characters, nor @ and a user name"),
        }
    }
}

/// What came of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutcomeName {
    /// Something was done about it.
    Acted,
    /// There was nothing to be done.
    Dismissed,
}

impl From<OutcomeName> for ReportOutcome {
    fn from(name: OutcomeName) -> Self {
        match name {
            OutcomeName::Acted => Self::Acted,
            OutcomeName::Dismissed => Self::Dismissed,
        }
    }
}

/// A role in the whole product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Plays and chats.
    Player,
    /// Keeps order.
    Moderator,
    /// A server of the game.
    Service,
    /// Everything.
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Player => Self::Player,
            RoleName::Moderator => Self::Moderator,
            RoleName::Service => Self::Service,
            RoleName::Admin => Self::Admin,
        }
    }
}

/// A role in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MemberRoleName {
    /// Writes.
    Member,
    /// Keeps order there.
    Moderator,
    /// Everything there.
    Owner,
}

impl From<MemberRoleName> for MemberRole {
    fn from(name: MemberRoleName) -> Self {
        match name {
            MemberRoleName::Member => Self::Member,
            MemberRoleName::Moderator => Self::Moderator,
            MemberRoleName::Owner => Self::Owner,
        }
    }
}

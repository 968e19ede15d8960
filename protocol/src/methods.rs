//! The one table of methods. Derived from it are decoding, dispatch, access checks, rate classes and metric labels of
//! the server; what the client machines keep in order, repeat and follow after a reply; JSON Schema, the AsyncAPI document,
//! TypeScript types and tables, and the golden vectors.
//!
//! To add a method: write its request and reply in [`crate::types`], add a line here, and write the handler that the
//! server then fails to compile without. Numbers are never used again for something else.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::types;

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Access {
    /// Every connection, signed in or not.
    Anyone,
    /// Signed-in players, guests included.
    Player,
    /// Moderators and admins.
    Moderator,
    /// Servers of the game, and admins.
    Service,
    /// Admins.
    Admin,
}

/// Where a method runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Place {
    /// In the caller's own connection: calls of different callers run side by side.
    Caller,
    /// At the room's owner, in the room's order.
    Room,
}

/// Which of the caller's rate limits a call counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Rate {
    /// Cheap calls, limited only as all calls together are.
    Free,
    /// Reads of pages and lists.
    Read,
    /// Changes that reach the disk.
    Write,
    /// Chat messages.
    Chat,
    /// Sign-in and everything that checks a password.
    SignIn,
}

/// What a call leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Effect {
    /// Nothing, or nothing that outlives the connection. May be repeated at will.
    Reads,
    /// A durable change, on disk before the reply. The SDKs send an idempotency key.
    Writes,
}

/// What is kept of the order in which a client makes calls. Only the client machines look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Order {
    /// Calls with the same `room` reach the server in the order in which they were made, also after a reconnect. Once one
    /// was refused for being too fast, those behind it stay back until it has been answered.
    Room,
}

/// What a call's success makes of the caller's connection, beside the reply. A call that changes it is answered before the
/// server reads the connection's next frame, which may depend on it, and before the events of a room that it opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Change {
    /// Nothing.
    #[default]
    Nothing,
    /// Signed in with the tokens of the reply, a `SignedIn`.
    SignsIn,
    /// Signed in with the request's `access`, as the reply says, an `Identity`.
    Authenticates,
    /// Signed out.
    SignsOut,
    /// A session ended, perhaps this connection's. Clients do nothing about it: the server closes what it ends.
    EndsSession,
    /// The room of the reply, a `RoomView`, is open: from the request's `seq` and `rev` where it has them, otherwise from
    /// where the reply stands.
    Opens,
    /// The request's `room` is not open any more.
    Closes,
    /// The streams that the request names are open from their cursors.
    Resumes,
    /// Others see the request's `status` and `note` of the player. Clients say so again in each later hello.
    SetsPresence,
}

impl Change {
    /// Whether the connection stays as it was.
    pub const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// Whom a call acts on beside its room, and what must hold of them before the room decides: the column "refused while
/// blocked".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Target {
    /// Nobody, or nobody who has to be looked up.
    #[default]
    Nobody,
    /// The request's `user`: whoever acts by their role in the whole product, and not by the one they have in the room, needs one
    /// that acts on that player's: a moderator's on a player's, an admin's on all but an admin's.
    Rank,
    /// The request's `user` must be a player that exists, and the caller's role is held against theirs as with `Rank`.
    Player,
    /// The request's `user` must be a player that exists, and while either of the two blocks the other, the call is refused
    /// with `blocked`.
    Unblocked,
}

impl Target {
    /// Whether nobody has to be looked up.
    pub const fn is_nobody(&self) -> bool {
        matches!(self, Self::Nobody)
    }
}

/// What the idempotency key of a call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Key {
    /// A call that writes may carry one. Its result is kept for 24 to 48 hours.
    #[default]
    Kept,
    /// Every call carries one: it is the id of what the call makes, and its result is kept for good. The same key with another
    /// request is refused with `key_reused`, whose `field` names what differs.
    Lasting,
}

impl Key {
    /// Whether results are kept for a day or two.
    pub const fn is_kept(&self) -> bool {
        matches!(self, Self::Kept)
    }
}

/// One call: its request is the implementing type.
pub trait Method: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What a successful call returns.
    type Reply: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The table's line.
    const INFO: MethodInfo;
    /// Number on the wire.
    const NUMBER: u16 = Self::INFO.number;
    /// Name in documents, metrics and SDKs: the type's name.
    const NAME: &'static str = Self::INFO.name;
}

/// What is known of a method without its types: a line of the table. A line names the columns after `effect` only where
/// they differ from the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MethodInfo {
    /// Number on the wire.
    pub number: u16,
    /// Name of the request type.
    pub name: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Where it runs.
    pub place: Place,
    /// Which limit it counts against.
    pub rate: Rate,
    /// What it leaves behind.
    pub effect: Effect,
    /// What is kept of the order of its calls. Absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Whether it is about the moment in which it is made: it does not wait for a connection and is not sent again on
    /// another one, where it would come too late or twice. Absent: no.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub momentary: bool,
    /// What its success makes of the caller's connection. Absent: nothing.
    #[serde(skip_serializing_if = "Change::is_nothing")]
    pub changes: Change,
    /// Whom it acts on, and what must hold of them. Absent: nobody.
    #[serde(skip_serializing_if = "Target::is_nobody")]
    pub target: Target,
    /// What its idempotency key is. Absent: what may be sent with every call that writes.
    #[serde(skip_serializing_if = "Key::is_kept")]
    pub key: Key,
}

impl MethodInfo {
    /// The table's line for this number.
    pub fn of(number: u16) -> Option<&'static Self> {
        let place = PLACES.get(usize::from(number))?;
        METHODS.get(usize::from(*place))
    }

    /// A line that names no more than every line must.
    const fn line(
        number: u16,
        name: &'static str,
        access: Access,
        place: Place,
        rate: Rate,
        effect: Effect,
    ) -> Self {
        Self {
            number,
            name,
            access,
            place,
            rate,
            effect,
            order: None,
            momentary: false,
            changes: Change::Nothing,
            target: Target::Nobody,
            key: Key::Kept,
        }
    }
}

/// Hands the whole table to the macro named by the caller, as lines of
/// `number module::Request => module::Reply, access, place, rate, effect;`, where any number of `, column = value` may
/// stand before the semicolon. Paths are relative to [`crate::types`].
#[macro_export]
macro_rules! for_each_method {
    ($then:ident) => {
        $then! {
            0 system::Echo => system::Echoed, Anyone, Caller, Free, Reads;
            1 system::Resume => system::Resumed, Player, Caller, Read, Reads, changes = Resumes;

            8 accounts::Register => accounts::SignedIn, Anyone, Caller, SignIn, Writes, changes = SignsIn;
            9 accounts::Login => accounts::SignedIn, Anyone, Caller, SignIn, Writes, changes = SignsIn;
            10 accounts::LoginGuest => accounts::SignedIn, Anyone, Caller, SignIn, Writes, changes = SignsIn;
            11 accounts::RefreshTokens => accounts::SignedIn, Anyone, Caller, SignIn, Writes, changes = SignsIn;
            12 accounts::Authenticate => accounts::Identity, Anyone, Caller, Read, Reads, changes = Authenticates;
            13 accounts::UpgradeGuest => accounts::Account, Player, Caller, SignIn, Writes;
            14 accounts::GetAccount => accounts::Account, Player, Caller, Read, Reads;
            15 accounts::Logout => system::Done, Player, Caller, Write, Writes, changes = SignsOut;
            16 accounts::LogoutEverywhere => system::Done, Player, Caller, Write, Writes, changes = SignsOut;
            17 accounts::ListSessions => accounts::Sessions, Player, Caller, Read, Reads;
            18 accounts::RevokeSession => system::Done, Player, Caller, Write, Writes, changes = EndsSession;
            19 accounts::ChangePassword => system::Done, Player, Caller, SignIn, Writes;
            20 accounts::RequestPasswordReset => system::Done, Anyone, Caller, SignIn, Writes;
            21 accounts::ResetPassword => system::Done, Anyone, Caller, SignIn, Writes;
            22 accounts::IssuePasswordReset => accounts::PasswordReset, Admin, Caller, Write, Writes;
            23 accounts::SetRole => system::Done, Admin, Caller, Write, Writes;
            24 accounts::DeleteAccount => accounts::AccountDeletion, Player, Caller, SignIn, Writes, changes = SignsOut;
            25 accounts::ExportPlayer => accounts::PlayerExport, Player, Caller, Read, Reads;

            32 profile::GetProfile => profile::Profile, Player, Caller, Read, Reads;
            33 profile::GetProfiles => profile::Profiles, Player, Caller, Read, Reads;
            34 profile::FindPlayer => profile::Profile, Player, Caller, Read, Reads;
            35 profile::UpdateProfile => profile::Profile, Player, Caller, Write, Writes;

            40 friends::ListFriends => friends::Friends, Player, Caller, Read, Reads;
            41 friends::RequestFriend => friends::Friend, Player, Caller, Write, Writes;
            42 friends::AcceptFriend => friends::Friend, Player, Caller, Write, Writes;
            43 friends::RemoveFriend => system::Done, Player, Caller, Write, Writes;
            44 friends::BlockPlayer => system::Done, Player, Caller, Write, Writes;
            45 friends::UnblockPlayer => system::Done, Player, Caller, Write, Writes;

            48 presence::SetPresence => system::Done, Player, Caller, Write, Reads, changes = SetsPresence;
            49 presence::GetPresence => presence::Presences, Player, Caller, Read, Reads;

            64 chat::CreateRoom => chat::RoomView, Player, Caller, Write, Writes, changes = Opens;
            65 chat::OpenDirect => chat::RoomView, Player, Caller, Write, Writes, changes = Opens;
            66 chat::ListRooms => chat::Rooms, Player, Caller, Read, Reads;
            67 chat::SearchRooms => chat::Rooms, Player, Caller, Read, Reads;
            68 chat::ListMyRooms => chat::MyRooms, Player, Caller, Read, Reads;
            69 chat::JoinRoom => chat::RoomView, Player, Room, Write, Writes, changes = Opens;
            70 chat::LeaveRoom => system::Done, Player, Room, Write, Writes, changes = Closes;
            71 chat::OpenRoom => chat::RoomView, Player, Room, Read, Reads, changes = Opens;
            72 chat::CloseRoom => system::Done, Player, Room, Free, Reads, changes = Closes;
            73 chat::InviteToRoom => system::Done, Player, Room, Write, Writes, target = Unblocked;
            74 chat::KickMember => system::Done, Player, Room, Write, Writes, target = Rank;
            75 chat::BanMember => system::Done, Player, Room, Write, Writes, target = Player;
            76 chat::UnbanMember => system::Done, Player, Room, Write, Writes;
            77 chat::MuteMember => system::Done, Player, Room, Write, Writes, target = Rank;
            78 chat::SetMemberRole => system::Done, Player, Room, Write, Writes, target = Rank;
            79 chat::ListMembers => chat::Members, Player, Room, Read, Reads;
            80 chat::ListBans => chat::Bans, Player, Room, Read, Reads;
            81 chat::UpdateRoom => chat::RoomInfo, Player, Room, Write, Writes;
            82 chat::DeleteRoom => system::Done, Player, Room, Write, Writes, changes = Closes;
            83 chat::SendMessage => chat::Sent, Player, Room, Chat, Writes, order = Room;
            84 chat::EditMessage => chat::Changed, Player, Room, Chat, Writes;
            85 chat::DeleteMessage => chat::Changed, Player, Room, Chat, Writes;
            86 chat::React => chat::Reacted, Player, Room, Chat, Writes;
            87 chat::ListReactions => chat::Reactors, Player, Room, Read, Reads;
            88 chat::ReadHistory => chat::History, Player, Room, Read, Reads;
            89 chat::MarkRead => chat::ReadMarker, Player, Room, Write, Writes;
            90 chat::Typing => system::Done, Player, Room, Free, Reads, momentary = Yes;
            91 chat::SendEphemeral => system::Done, Player, Room, Chat, Reads, momentary = Yes;
            92 chat::EnterRoom => chat::RoomView, Player, Caller, Write, Writes, changes = Opens;

            104 points::GetWallet => points::Wallet, Player, Caller, Read, Reads;
            105 points::ListMovements => points::Movements, Player, Caller, Read, Reads;
            106 points::SpendPoints => points::Movement, Player, Caller, Write, Writes, key = Lasting;
            107 points::GivePoints => points::Movement, Player, Caller, Write, Writes, key = Lasting;
            108 points::GrantPoints => points::Movement, Service, Caller, Write, Writes, key = Lasting;
            109 points::DeductPoints => points::Movement, Service, Caller, Write, Writes, key = Lasting;
            110 points::RefundPoints => points::Movement, Service, Caller, Write, Writes, key = Lasting;
            111 points::ExpirePoints => points::Movement, Service, Caller, Write, Writes, key = Lasting;
            112 points::SetPointsAside => points::Movement, Service, Caller, Write, Writes, key = Lasting;
            113 points::PostPoints => points::Movement, Service, Caller, Write, Writes, key = Lasting;
            114 points::VoidPoints => points::Movement, Service, Caller, Write, Writes, key = Lasting;
            115 points::ListPointsDays => points::PointsDays, Admin, Caller, Read, Reads;

            116 boards::ListBoards => boards::Boards, Player, Caller, Read, Reads;
            117 boards::ListTopScores => boards::Scores, Player, Caller, Read, Reads;
            118 boards::ListScoresAround => boards::Scores, Player, Caller, Read, Reads;
            119 boards::ListFriendScores => boards::Scores, Player, Caller, Read, Reads;
            120 boards::GetScore => boards::PlayerScore, Player, Caller, Read, Reads;
            121 boards::ListPlaces => boards::Places, Player, Caller, Read, Reads;
            122 boards::ListSeasons => boards::BoardSeasons, Player, Caller, Read, Reads;
            123 boards::SubmitScore => boards::ScoreSubmitted, Service, Caller, Write, Writes;
            124 boards::RemoveScore => system::Done, Service, Caller, Write, Writes;
            125 boards::FollowBoard => boards::BoardStanding, Player, Caller, Read, Reads;
            126 boards::UnfollowBoard => system::Done, Player, Caller, Free, Reads;

            130 items::ListItems => items::Items, Player, Caller, Read, Reads;
            131 items::ListInventory => items::Inventory, Player, Caller, Read, Reads;
            132 items::ListItemChanges => items::ItemChanges, Player, Caller, Read, Reads;
            133 items::BuyItem => items::Purchased, Player, Caller, Write, Writes, key = Lasting;
            134 items::UseItem => items::ItemChange, Player, Caller, Write, Writes, key = Lasting;
            135 items::GrantItem => items::ItemChange, Service, Caller, Write, Writes, key = Lasting;
            136 items::TakeItem => items::ItemChange, Service, Caller, Write, Writes, key = Lasting;
            137 rewards::RecordPlay => rewards::PlayRecorded, Service, Caller, Write, Writes, key = Lasting;
            138 rewards::GetRewards => rewards::Rewards, Player, Caller, Read, Reads;

            139 points::ListPointsTotals => points::PointsTotals, Admin, Caller, Read, Reads;

            144 moderation::SuspendPlayer => system::Done, Moderator, Caller, Write, Writes;
            145 moderation::LiftSuspension => system::Done, Moderator, Caller, Write, Writes;
            146 moderation::MutePlayer => system::Done, Moderator, Caller, Write, Writes;
            147 moderation::UnmutePlayer => system::Done, Moderator, Caller, Write, Writes;
            148 moderation::SignOutPlayer => system::Done, Moderator, Caller, Write, Writes;
            149 moderation::ResetProfile => profile::Profile, Moderator, Caller, Write, Writes;
            150 moderation::GetPlayerRecord => moderation::PlayerRecord, Moderator, Caller, Read, Reads;
            151 audit_log::ListAuditLog => audit_log::AuditLog, Moderator, Caller, Read, Reads;

            152 reports::ReportMessage => reports::Reported, Player, Caller, Write, Writes;
            153 reports::ReportPlayer => reports::Reported, Player, Caller, Write, Writes;
            154 reports::ListReports => reports::Reports, Moderator, Caller, Read, Reads;
            155 reports::TakeReport => reports::Report, Moderator, Caller, Write, Writes;
            156 reports::SettleReport => reports::Report, Moderator, Caller, Write, Writes;

            157 moderation::DeletePlayer => accounts::AccountDeletion, Admin, Caller, Write, Writes;
            158 moderation::FindPlayers => moderation::PlayersFound, Moderator, Caller, Read, Reads;
        }
    };
}

/// The value that a line gives to one of the columns that it may leave out.
macro_rules! column {
    (order $value:ident) => {
        Some(Order::$value)
    };
    (momentary Yes) => {
        true
    };
    (changes $value:ident) => {
        Change::$value
    };
    (target $value:ident) => {
        Target::$value
    };
    (key $value:ident) => {
        Key::$value
    };
}

macro_rules! methods {
    ($($number:literal $module:ident::$request:ident => $reply_module:ident::$reply:ident,
        $access:ident, $place:ident, $rate:ident, $effect:ident $(, $column:ident = $value:ident)*;)*) => {
        $(
            impl Method for types::$module::$request {
                type Reply = types::$reply_module::$reply;
                const INFO: MethodInfo = MethodInfo {
                    $($column: column!($column $value),)*
                    ..MethodInfo::line(
                        $number,
                        stringify!($request),
                        Access::$access,
                        Place::$place,
                        Rate::$rate,
                        Effect::$effect,
                    )
                };
            }
        )*

        /// Every method, in the order of its number.
        pub const METHODS: &[MethodInfo] = &[$(<types::$module::$request as Method>::INFO,)*];
    };
}

for_each_method!(methods);

/// For each number its place in [`METHODS`], or one where there is no method.
#[allow(clippy::cast_possible_truncation, reason = "checked at compile time")]
static PLACES: [u8; NUMBERS] = {
    assert!(METHODS.len() < u8::MAX as usize);
    let mut places = [u8::MAX; NUMBERS];
    let mut place = 0;
    while place < METHODS.len() {
        places[METHODS[place].number as usize] = place as u8;
        place += 1;
    }
    places
};

/// Numbers up to the highest one.
const NUMBERS: usize = METHODS[METHODS.len() - 1].number as usize + 1;

/// A number used twice or out of order does not compile.
const _: () = {
    let mut index = 1;
    while index < METHODS.len() {
        assert!(METHODS[index - 1].number < METHODS[index].number);
        index += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the methods whose line says `what`, in the order of the table.
    fn named(what: impl Fn(&MethodInfo) -> bool) -> Vec<&'static str> {
        let lines = METHODS.iter().filter(|method| what(method));
        lines.map(|method| method.name).collect()
    }

    #[test]
    fn what_reaches_the_disk_counts_against_a_limit_of_what_does() {
        for method in METHODS {
            let counts_as_write = matches!(method.rate, Rate::Write | Rate::Chat | Rate::SignIn);
            if method.effect == Effect::Writes {
                assert!(counts_as_write, "{} is {:?}", method.name, method.rate);
            }
        }
    }

    #[test]
    fn every_number_leads_to_its_method_and_no_other_number_to_any() {
        for number in 0..=u16::MAX {
            let listed = METHODS.iter().find(|method| method.number == number);
            let found = MethodInfo::of(number);
            assert_eq!(
                found.map(|method| method.name),
                listed.map(|method| method.name)
            );
        }
    }

    #[test]
    fn sends_alone_keep_the_order_of_their_room() {
        assert_eq!(named(|method| method.order.is_some()), ["SendMessage"]);
    }

    #[test]
    fn what_moves_points_or_gives_items_has_a_lasting_key() {
        let moves = METHODS.iter().filter(|method| {
            (106..=114).contains(&method.number) || (133..=137).contains(&method.number)
        });
        for method in moves {
            assert_eq!(
                (method.effect, method.key),
                (Effect::Writes, Key::Lasting),
                "{}",
                method.name
            );
        }
        assert_eq!(named(|method| method.key == Key::Lasting).len(), 14);
    }

    #[test]
    fn signs_of_the_moment_are_momentary() {
        assert_eq!(
            named(|method| method.momentary),
            ["Typing", "SendEphemeral"]
        );
    }

    #[test]
    fn what_changes_a_connection_says_so() {
        for (change, names) in [
            (
                Change::SignsIn,
                &["Register", "Login", "LoginGuest", "RefreshTokens"][..],
            ),
            (Change::Authenticates, &["Authenticate"]),
            (
                Change::SignsOut,
                &["Logout", "LogoutEverywhere", "DeleteAccount"],
            ),
            (Change::EndsSession, &["RevokeSession"]),
            (
                Change::Opens,
                &[
                    "CreateRoom",
                    "OpenDirect",
                    "JoinRoom",
                    "OpenRoom",
                    "EnterRoom",
                ],
            ),
            (Change::Closes, &["LeaveRoom", "CloseRoom", "DeleteRoom"]),
            (Change::Resumes, &["Resume"]),
            (Change::SetsPresence, &["SetPresence"]),
        ] {
            assert_eq!(
                named(|method| method.changes == change),
                names,
                "{change:?}"
            );
        }
    }

    #[test]
    fn what_acts_on_a_player_who_must_exist_says_so() {
        for (target, names) in [
            (
                Target::Rank,
                &["KickMember", "MuteMember", "SetMemberRole"][..],
            ),
            (Target::Player, &["BanMember"]),
            (Target::Unblocked, &["InviteToRoom"]),
        ] {
            assert_eq!(named(|method| method.target == target), names);
        }
    }
}

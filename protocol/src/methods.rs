//! The one table of methods. Decoding, dispatch, access checks, rate classes, metric labels, JSON Schema, the
//! AsyncAPI document, TypeScript types and golden vectors are derived from it.
//!
//! To add a method: write its request and reply in [`crate::types`], add a line here, and write the handler that the
//! server then fails to compile without. Numbers are never used again for something else.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::types::{accounts, chat, friends, presence, profile, system};

/// Who may call a method. Each level includes those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Every connection, signed in or not.
    Anyone,
    /// Signed-in players, guests included.
    Player,
    /// Moderators and admins.
    Moderator,
    /// Admins.
    Admin,
}

/// Where a method runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the caller's own connection: calls of different callers run side by side.
    Caller,
    /// At the room's owner, in the room's order.
    Room,
}

/// Which of the caller's rate limits a call counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
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
pub enum Effect {
    /// Nothing, or nothing that outlives the connection. May be repeated at will.
    Reads,
    /// A durable change, on disk before the reply. The SDKs send an idempotency key.
    Writes,
}

/// One call: its request is the implementing type.
pub trait Method: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What a successful call returns.
    type Reply: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Number on the wire.
    const NUMBER: u16;
    /// Name in documents, metrics and SDKs: the type's name.
    const NAME: &'static str;
    /// Who may call it.
    const ACCESS: Access;
    /// Where it runs.
    const PLACE: Place;
    /// Which limit it counts against.
    const RATE: Rate;
    /// What it leaves behind.
    const EFFECT: Effect;
}

/// What is known of a method without its types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
}

impl MethodInfo {
    /// The table's line for this number.
    pub fn of(number: u16) -> Option<&'static Self> {
        let place = PLACES.get(usize::from(number))?;
        METHODS.get(usize::from(*place))
    }
}

/// Hands the whole table to the macro named by the caller, as lines of
/// `number module::Request => module::Reply, access, place, rate, effect;`. Paths are relative to [`crate::types`].
#[macro_export]
macro_rules! for_each_method {
    ($then:ident) => {
        $then! {
            0 system::Echo => system::Echoed, Anyone, Caller, Free, Reads;
            1 system::Resume => system::Resumed, Player, Caller, Read, Reads;

            8 accounts::Register => accounts::SignedIn, Anyone, Caller, SignIn, Writes;
            9 accounts::Login => accounts::SignedIn, Anyone, Caller, SignIn, Writes;
            10 accounts::LoginGuest => accounts::SignedIn, Anyone, Caller, SignIn, Writes;
            11 accounts::RefreshTokens => accounts::SignedIn, Anyone, Caller, SignIn, Writes;
            12 accounts::Authenticate => accounts::Identity, Anyone, Caller, Read, Reads;
            13 accounts::UpgradeGuest => accounts::Account, Player, Caller, SignIn, Writes;
            14 accounts::GetAccount => accounts::Account, Player, Caller, Read, Reads;
            15 accounts::Logout => system::Done, Player, Caller, Write, Writes;
            16 accounts::LogoutEverywhere => system::Done, Player, Caller, Write, Writes;
            17 accounts::ListSessions => accounts::Sessions, Player, Caller, Read, Reads;
            18 accounts::RevokeSession => system::Done, Player, Caller, Write, Writes;
            19 accounts::ChangePassword => system::Done, Player, Caller, SignIn, Writes;
            20 accounts::RequestPasswordReset => system::Done, Anyone, Caller, SignIn, Writes;
            21 accounts::ResetPassword => system::Done, Anyone, Caller, SignIn, Writes;
            22 accounts::IssuePasswordReset => accounts::PasswordReset, Admin, Caller, Write, Writes;
            23 accounts::SetRole => system::Done, Admin, Caller, Write, Writes;

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

            48 presence::SetPresence => system::Done, Player, Caller, Write, Reads;
            49 presence::GetPresence => presence::Presences, Player, Caller, Read, Reads;

            64 chat::CreateRoom => chat::RoomView, Player, Caller, Write, Writes;
            65 chat::OpenDirect => chat::RoomView, Player, Caller, Write, Writes;
            66 chat::ListRooms => chat::Rooms, Player, Caller, Read, Reads;
            67 chat::SearchRooms => chat::Rooms, Player, Caller, Read, Reads;
            68 chat::ListMyRooms => chat::MyRooms, Player, Caller, Read, Reads;
            69 chat::JoinRoom => chat::RoomView, Player, Room, Write, Writes;
            70 chat::LeaveRoom => system::Done, Player, Room, Write, Writes;
            71 chat::OpenRoom => chat::RoomView, Player, Room, Read, Reads;
            72 chat::CloseRoom => system::Done, Player, Room, Free, Reads;
            73 chat::InviteToRoom => system::Done, Player, Room, Write, Writes;
            74 chat::KickMember => system::Done, Player, Room, Write, Writes;
            75 chat::BanMember => system::Done, Player, Room, Write, Writes;
            76 chat::UnbanMember => system::Done, Player, Room, Write, Writes;
            77 chat::MuteMember => system::Done, Player, Room, Write, Writes;
            78 chat::SetMemberRole => system::Done, Player, Room, Write, Writes;
            79 chat::ListMembers => chat::Members, Player, Room, Read, Reads;
            80 chat::ListBans => chat::Bans, Player, Room, Read, Reads;
            81 chat::UpdateRoom => chat::RoomInfo, Player, Room, Write, Writes;
            82 chat::DeleteRoom => system::Done, Player, Room, Write, Writes;
            83 chat::SendMessage => chat::Sent, Player, Room, Chat, Writes;
            84 chat::EditMessage => chat::Changed, Player, Room, Chat, Writes;
            85 chat::DeleteMessage => chat::Changed, Player, Room, Chat, Writes;
            86 chat::React => chat::Reacted, Player, Room, Chat, Writes;
            87 chat::ListReactions => chat::Reactors, Player, Room, Read, Reads;
            88 chat::ReadHistory => chat::History, Player, Room, Read, Reads;
            89 chat::MarkRead => chat::ReadMarker, Player, Room, Free, Writes;
            90 chat::Typing => system::Done, Player, Room, Free, Reads;
            91 chat::SendEphemeral => system::Done, Player, Room, Chat, Reads;
        }
    };
}

macro_rules! methods {
    ($($number:literal $module:ident::$request:ident => $reply_module:ident::$reply:ident,
        $access:ident, $place:ident, $rate:ident, $effect:ident;)*) => {
        $(
            impl Method for $module::$request {
                type Reply = $reply_module::$reply;
                const NUMBER: u16 = $number;
                const NAME: &'static str = stringify!($request);
                const ACCESS: Access = Access::$access;
                const PLACE: Place = Place::$place;
                const RATE: Rate = Rate::$rate;
                const EFFECT: Effect = Effect::$effect;
            }
        )*

        /// Every method, in the order of its number.
        pub const METHODS: &[MethodInfo] = &[$(MethodInfo {
            number: $number,
            name: stringify!($request),
            access: Access::$access,
            place: Place::$place,
            rate: Rate::$rate,
            effect: Effect::$effect,
        },)*];
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
}

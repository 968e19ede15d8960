//! The text fields of every method, each with its kind.

use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::{
    accounts, audit_log, boards, chat, friends, items, moderation, points, presence, profile,
    reports, rewards, system,
};

use crate::kind::Kind;

/// A request whose texts can be brought into their normal forms. Every method's is one: a server decodes no other.
pub trait Texts {
    /// Its text fields.
    const TEXTS: &'static [(&'static str, Kind)];

    /// Brings every text into its normal form.
    ///
    /// # Errors
    /// The first field that breaks a rule, and the rule.
    fn settle_texts(&mut self) -> Result<(), Fault>;
}

/// A request as a server takes it: decoded, its texts in their normal forms.
///
/// # Errors
/// [`BadRequest`](pitturu_protocol::codes::Code::BadRequest) for a body that does not fit the method, [`InvalidArgument`](pitturu_protocol::codes::Code::InvalidArgument) for a number out of its
/// range or a text that breaks a rule.
pub fn decode<M: Method + Texts>(body: &[u8]) -> Result<M, Fault> {
    let mut request: M = codec::decode_request(body)?;
    request.settle_texts()?;
    Ok(request)
}

/// The text fields of one method.
#[derive(Clone, Copy, Debug)]
pub struct MethodTexts {
    /// The method's name.
    pub method: &'static str,
    /// Its text fields.
    pub fields: &'static [(&'static str, Kind)],
}

/// A field that may be absent or not.
trait Field {
    fn settle(&mut self, name: &str, kind: Kind) -> Result<(), Fault>;
}

impl Field for String {
    fn settle(&mut self, name: &str, kind: Kind) -> Result<(), Fault> {
        kind.settle(self).map_err(|refusal| refusal.fault(name))
    }
}

impl Field for Option<String> {
    fn settle(&mut self, name: &str, kind: Kind) -> Result<(), Fault> {
        self.as_mut().map_or(Ok(()), |text| text.settle(name, kind))
    }
}

macro_rules! texts {
    ($($module:ident::$request:ident { $($field:ident: $kind:ident),* })*) => {
        $(
            impl Texts for $module::$request {
                const TEXTS: &'static [(&'static str, Kind)] =
                    &[$((stringify!($field), Kind::$kind),)*];

                fn settle_texts(&mut self) -> Result<(), Fault> {
                    $(self.$field.settle(stringify!($field), Kind::$kind)?;)*
                    Ok(())
                }
            }
        )*

        /// Every method, in the order of the table of methods.
        pub const TEXTS: &[MethodTexts] = &[$(MethodTexts {
            method: stringify!($request),
            fields: <$module::$request as Texts>::TEXTS,
        },)*];
    };
}

texts! {
    system::Echo {}
    system::Resume {}
    accounts::Register {
        username: Username, password: NewPassword, name: DisplayName, email: Email, device: Device
    }
    accounts::Login { username: ClaimedUsername, password: ClaimedPassword, device: Device, known: Issued }
    accounts::LoginGuest { secret: Secret, name: DisplayName, device: Device }
    accounts::RefreshTokens { refresh: Issued }
    accounts::Authenticate { access: Issued }
    accounts::UpgradeGuest { username: Username, password: NewPassword, email: Email }
    accounts::GetAccount {}
    accounts::Logout {}
    accounts::LogoutEverywhere {}
    accounts::ListSessions {}
    accounts::RevokeSession {}
    accounts::ChangePassword { old: ClaimedPassword, new: NewPassword }
    accounts::RequestPasswordReset { username: ClaimedUsername }
    accounts::ResetPassword { token: Issued, password: NewPassword }
    accounts::IssuePasswordReset {}
    accounts::SetRole {}
    accounts::DeleteAccount { password: ClaimedPassword }
    accounts::ExportPlayer { after: Issued }
    profile::GetProfile {}
    profile::GetProfiles {}
    profile::FindPlayer { username: Username }
    profile::UpdateProfile { name: DisplayName, avatar: Address, bio: Note, language: Language }
    friends::ListFriends {}
    friends::RequestFriend {}
    friends::AcceptFriend {}
    friends::RemoveFriend {}
    friends::BlockPlayer {}
    friends::UnblockPlayer {}
    presence::SetPresence { note: Note }
    presence::GetPresence {}
    chat::CreateRoom { name: RoomName, topic: Note }
    chat::OpenDirect {}
    chat::ListRooms { after: Issued }
    chat::SearchRooms { query: Query, after: Issued }
    chat::ListMyRooms {}
    chat::JoinRoom {}
    chat::LeaveRoom {}
    chat::OpenRoom {}
    chat::CloseRoom {}
    chat::InviteToRoom {}
    chat::KickMember { reason: Note }
    chat::BanMember { reason: Note }
    chat::UnbanMember {}
    chat::MuteMember {}
    chat::SetMemberRole {}
    chat::ListMembers {}
    chat::ListBans {}
    chat::UpdateRoom { name: RoomName, topic: Note }
    chat::DeleteRoom {}
    chat::SendMessage { text: Message }
    chat::EditMessage { text: Message }
    chat::DeleteMessage {}
    chat::React { emoji: Reaction }
    chat::ListReactions {}
    chat::ReadHistory {}
    chat::MarkRead {}
    chat::Typing {}
    chat::SendEphemeral { text: Message }
    chat::EnterRoom { handle: RoomName }
    points::GetWallet {}
    points::ListMovements {}
    points::SpendPoints { reference: Reference }
    points::GivePoints { note: Note }
    points::GrantPoints { reference: Reference, note: Note }
    points::DeductPoints { reference: Reference, note: Note }
    points::RefundPoints { note: Note }
    points::ExpirePoints { reference: Reference }
    points::SetPointsAside { reference: Reference, note: Note }
    points::PostPoints {}
    points::VoidPoints {}
    points::ListPointsDays {}
    boards::ListBoards { after: Issued }
    boards::ListTopScores { board: Issued }
    boards::ListScoresAround { board: Issued }
    boards::ListFriendScores { board: Issued }
    boards::GetScore { board: Issued }
    boards::ListPlaces { after: Issued }
    boards::ListSeasons { board: Issued }
    boards::SubmitScore { board: Issued, metadata: Metadata }
    boards::RemoveScore { board: Issued, note: Note }
    boards::FollowBoard { board: Issued }
    boards::UnfollowBoard { board: Issued }
    items::ListItems { after: Issued }
    items::ListInventory { after: Issued }
    items::ListItemChanges { item: Issued }
    items::BuyItem { item: Issued }
    items::UseItem { item: Issued }
    items::GrantItem { item: Issued, note: Note }
    items::TakeItem { item: Issued, note: Note }
    rewards::RecordPlay { game: Issued }
    rewards::GetRewards {}
    points::ListPointsTotals {}
    moderation::SuspendPlayer { reason: Note }
    moderation::LiftSuspension {}
    moderation::MutePlayer { reason: Note }
    moderation::UnmutePlayer {}
    moderation::SignOutPlayer {}
    moderation::ResetProfile { name: DisplayName, reason: Note }
    moderation::GetPlayerRecord {}
    audit_log::ListAuditLog {}
    reports::ReportMessage { note: Note }
    reports::ReportPlayer { note: Note }
    reports::ListReports {}
    reports::TakeReport {}
    reports::SettleReport { note: Note }
    moderation::DeletePlayer { reason: Note }
    moderation::FindPlayers { name: Query, after: Issued }
}

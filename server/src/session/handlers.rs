//! Which service answers which call. A method without a handler here does not compile.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::limits::{ECHO_BYTES_MAX, RESUME_ROOMS_MAX};
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{
    ChangePassword, DeleteAccount, ExportPlayer, GetAccount, IssuePasswordReset, ListSessions,
    Logout, LogoutEverywhere, RequestPasswordReset, ResetPassword, RevokeSession, SetRole,
    UpgradeGuest,
};
use pitturu_protocol::types::audit_log::ListAuditLog;
use pitturu_protocol::types::boards::{
    BoardStanding, FollowBoard, GetScore, ListBoards, ListFriendScores, ListPlaces,
    ListScoresAround, ListSeasons, ListTopScores, RemoveScore, SubmitScore, UnfollowBoard,
};
use pitturu_protocol::types::chat::{
    CreateRoom, EnterRoom, ListMyRooms, ListRooms, MyRooms, OpenDirect, OpenRoom, RoomView, Rooms,
    SearchRooms,
};
use pitturu_protocol::types::friends::{
    AcceptFriend, BlockPlayer, ListFriends, RemoveFriend, RequestFriend, UnblockPlayer,
};
use pitturu_protocol::types::items::{
    BuyItem, GrantItem, ItemChanges, ListInventory, ListItemChanges, ListItems, TakeItem, UseItem,
};
use pitturu_protocol::types::moderation::{
    DeletePlayer, FindPlayers, GetPlayerRecord, LiftSuspension, MutePlayer, ResetProfile,
    SignOutPlayer, SuspendPlayer, UnmutePlayer,
};
use pitturu_protocol::types::points::{
    DeductPoints, ExpirePoints, GetWallet, GivePoints, GrantPoints, ListMovements, ListPointsDays,
    ListPointsTotals, Movements, PostPoints, RefundPoints, SetPointsAside, SpendPoints, VoidPoints,
};
use pitturu_protocol::types::presence::{GetPresence, Presences, SetPresence};
use pitturu_protocol::types::profile::{FindPlayer, GetProfile, GetProfiles, UpdateProfile};
use pitturu_protocol::types::reports::{
    ListReports, ReportMessage, ReportPlayer, SettleReport, TakeReport,
};
use pitturu_protocol::types::rewards::{GetRewards, RecordPlay};
use pitturu_protocol::types::system::{Done, Echo, Echoed, Resume, Resumed, ResumedRoom};
use pitturu_rules::rooms::Actor;
use pitturu_store::clock::Steady;
use tracing::Span;

use crate::chat::command::{Command, Follow, ReplyTo};
use crate::chat::request::FollowRequest;
use crate::connections::caller::Caller;
use crate::connections::connection::{Connection, UNKNOWN_ROOM_AFTER};
use crate::owners::asker::Asker;
use crate::services::Services;

/// Rooms of a `Resume` that count as one read. A client that comes back with all its rooms needs a part of its burst; one that
/// resumes without end opens no more rooms than a few times as many as by `OpenRoom`.
const RESUMED_PER_READ: usize = 4;

/// A call on its way to a service.
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// Where it came from.
    pub connection: Arc<Connection>,
    /// What ends once the answer is on its way.
    pub until_answered: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Call {
    /// The caller as rooms see them.
    pub fn actor(&self) -> Result<Actor, Fault> {
        let player = self
            .connection
            .player()
            .ok_or_else(|| Fault::of(Code::Unauthenticated))?;
        Ok(Actor {
            user: player.identity.user,
            name: player.name,
            role: player.identity.role,
            sanctions: player.sanctions,
            now: self.caller.now,
            steady_ms: self.caller.steady.as_ms(),
        })
    }
}

/// Answers one method that runs for its caller.
pub trait Handle<M: Method> {
    /// Whether the handler never waits: its call is then answered on the spot.
    const AT_ONCE: bool = false;

    /// How many calls it counts as against the caller's limit.
    fn cost(_: &M) -> u32 {
        1
    }

    /// Carries the call out.
    fn handle(
        &self,
        call: &Call,
        request: M,
    ) -> impl Future<Output = Result<M::Reply, Fault>> + Send;
}

/// Methods that a service answers by a function of its own.
macro_rules! served_by {
    ($service:ident: $($method:ident $request:ident),* $(,)?) => {
        $(
            impl Handle<$request> for Services {
                async fn handle(
                    &self,
                    call: &Call,
                    request: $request,
                ) -> Result<<$request as Method>::Reply, Fault> {
                    self.$service.$method(&call.caller, request).await
                }
            }
        )*
    };
}

served_by!(points:
    get_wallet GetWallet,
    spend SpendPoints,
    give GivePoints,
    grant GrantPoints,
    deduct DeductPoints,
    refund RefundPoints,
    expire ExpirePoints,
    set_aside SetPointsAside,
    post PostPoints,
    void VoidPoints,
    list_days ListPointsDays,
    list_totals ListPointsTotals,
);

served_by!(boards:
    list_boards ListBoards,
    top ListTopScores,
    around ListScoresAround,
    of_friends ListFriendScores,
    score GetScore,
    places ListPlaces,
    seasons ListSeasons,
    submit SubmitScore,
    remove RemoveScore,
);

impl Handle<FollowBoard> for Services {
    async fn handle(&self, call: &Call, request: FollowBoard) -> Result<BoardStanding, Fault> {
        let following = self.boards.follow(&call.caller, &call.connection, request);
        let (standing, unanswered) = following.await?;
        // One handler answers a call, so there is nothing in its place.
        let _is_first = call.until_answered.set(Box::new(unanswered));
        Ok(standing)
    }
}

impl Handle<UnfollowBoard> for Services {
    const AT_ONCE: bool = true;

    async fn handle(&self, call: &Call, request: UnfollowBoard) -> Result<Done, Fault> {
        self.boards.unfollow(&call.connection, &request)
    }
}
served_by!(items:
    list_items ListItems,
    list_inventory ListInventory,
    buy BuyItem,
    use_up UseItem,
    grant GrantItem,
    take TakeItem,
);

served_by!(rewards:
    record_play RecordPlay,
    get_rewards GetRewards,
);

served_by!(accounts:
    upgrade_guest UpgradeGuest,
    get_account GetAccount,
    logout Logout,
    logout_everywhere LogoutEverywhere,
    list_sessions ListSessions,
    revoke_session RevokeSession,
    change_password ChangePassword,
    request_password_reset RequestPasswordReset,
    reset_password ResetPassword,
    issue_password_reset IssuePasswordReset,
    set_role SetRole,
    delete_account DeleteAccount,
);

served_by!(export:
    export ExportPlayer,
);

served_by!(audit_log:
    list ListAuditLog,
);

served_by!(reports:
    report_message ReportMessage,
    report_player ReportPlayer,
    list ListReports,
    take TakeReport,
    settle SettleReport,
);

served_by!(moderation:
    suspend SuspendPlayer,
    lift_suspension LiftSuspension,
    mute MutePlayer,
    unmute UnmutePlayer,
    sign_out SignOutPlayer,
    reset_profile ResetProfile,
    record GetPlayerRecord,
    delete_player DeletePlayer,
    find_players FindPlayers,
);

served_by!(profile:
    get_profile GetProfile,
    get_profiles GetProfiles,
    find_player FindPlayer,
    update_profile UpdateProfile,
);

served_by!(friends:
    list_friends ListFriends,
    request_friend RequestFriend,
    accept_friend AcceptFriend,
    remove_friend RemoveFriend,
    block_player BlockPlayer,
    unblock_player UnblockPlayer,
);

impl Handle<Echo> for Services {
    const AT_ONCE: bool = true;

    async fn handle(&self, call: &Call, request: Echo) -> Result<Echoed, Fault> {
        if request.data.len() > ECHO_BYTES_MAX {
            let range = format!("at most {ECHO_BYTES_MAX} bytes");
            return Err(Fault::invalid("data", range));
        }
        Ok(Echoed {
            data: request.data,
            now: call.caller.now,
        })
    }
}

impl Handle<SetPresence> for Services {
    const AT_ONCE: bool = true;

    async fn handle(&self, call: &Call, request: SetPresence) -> Result<Done, Fault> {
        let has_words = request.note.as_ref().is_some_and(|note| !note.is_empty());
        if has_words {
            call.actor()?.may_speak()?;
        }
        self.presence.set(&call.caller, request)
    }
}

impl Handle<GetPresence> for Services {
    async fn handle(&self, call: &Call, request: GetPresence) -> Result<Presences, Fault> {
        self.presence.get(&call.caller, request).await
    }
}

impl Handle<ListRooms> for Services {
    async fn handle(&self, call: &Call, request: ListRooms) -> Result<Rooms, Fault> {
        self.directory.list(&call.caller, request).await
    }
}

impl Handle<SearchRooms> for Services {
    async fn handle(&self, call: &Call, request: SearchRooms) -> Result<Rooms, Fault> {
        self.directory.search(&call.caller, request).await
    }
}

impl Handle<ListMyRooms> for Services {
    async fn handle(&self, call: &Call, request: ListMyRooms) -> Result<MyRooms, Fault> {
        self.directory.mine(&call.caller, request).await
    }
}

impl Handle<CreateRoom> for Services {
    async fn handle(&self, call: &Call, request: CreateRoom) -> Result<RoomView, Fault> {
        self.directory
            .create(&call.caller, call.actor()?, &call.connection, request)
            .await
    }
}

impl Handle<OpenDirect> for Services {
    async fn handle(&self, call: &Call, request: OpenDirect) -> Result<RoomView, Fault> {
        self.directory
            .open_direct(&call.caller, call.actor()?, &call.connection, request)
            .await
    }
}

impl Handle<EnterRoom> for Services {
    async fn handle(&self, call: &Call, request: EnterRoom) -> Result<RoomView, Fault> {
        self.directory
            .enter(&call.caller, call.actor()?, &call.connection, request)
            .await
    }
}

/// What a filtered page of a history counts as: it may look through twenty-five times as many lines as a full one shows.
const FILTERED_READS: u32 = 10;

impl Handle<ListMovements> for Services {
    fn cost(request: &ListMovements) -> u32 {
        let ListMovements {
            account,
            reason,
            since,
            until,
            ..
        } = request;
        let in_time = since.is_some() || until.is_some();
        match account.is_some() || reason.is_some() || in_time {
            true => FILTERED_READS,
            false => 1,
        }
    }

    async fn handle(&self, call: &Call, request: ListMovements) -> Result<Movements, Fault> {
        self.points.list_movements(&call.caller, request).await
    }
}

impl Handle<ListItemChanges> for Services {
    fn cost(request: &ListItemChanges) -> u32 {
        match request.item {
            Some(_) => FILTERED_READS,
            None => 1,
        }
    }

    async fn handle(&self, call: &Call, request: ListItemChanges) -> Result<ItemChanges, Fault> {
        self.items.list_changes(&call.caller, request).await
    }
}

impl Handle<Resume> for Services {
    fn cost(request: &Resume) -> u32 {
        let rooms = request.rooms.len().min(RESUME_ROOMS_MAX);
        u32::try_from(rooms.div_ceil(RESUMED_PER_READ)).map_or(u32::MAX, |cost| cost.max(1))
    }

    async fn handle(&self, call: &Call, request: Resume) -> Result<Resumed, Fault> {
        let actor = call.actor()?;
        if request.rooms.len() > RESUME_ROOMS_MAX {
            let range = format!("at most {RESUME_ROOMS_MAX} rooms in one call");
            return Err(Fault::invalid("rooms", range));
        }
        let head = self.players.inbox(actor.user).await?.head;
        // What was read of another history of the store says nothing of this one.
        let counts = request.epoch.is_none_or(|named| named == self.epoch);
        let mut views = Vec::with_capacity(request.rooms.len());
        for held in request.rooms {
            let (to, view) = Asker::of_this_call();
            let open = OpenRoom {
                room: held.room,
                seq: counts.then_some(held.seq),
                rev: counts.then_some(held.rev),
            };
            self.rooms.send(Command::Follow(Box::new(Follow {
                connection: Arc::clone(&call.connection),
                actor: actor.clone(),
                request: FollowRequest::OpenRoom(open),
                joining: None,
                key: None,
                to: ReplyTo::Task(to),
                span: Span::current(),
            })));
            views.push((held.room, view));
        }
        let mut rooms = Vec::with_capacity(views.len());
        for (room, view) in views {
            let outcome = view
                .await
                .unwrap_or_else(|_| Err(Fault::of(Code::Unavailable)));
            let (view, fault) = match outcome {
                Ok(view) => (Some(view), None),
                Err(fault) => (None, Some(fault)),
            };
            rooms.push(ResumedRoom { room, view, fault });
        }
        let mut faults = rooms.iter().filter_map(|room| room.fault.as_ref());
        if faults.any(|fault| fault.code == Code::RoomNotFound) {
            // Both are cut to milliseconds, so that it may be up to one less.
            let since = Steady::now().since_ms(call.caller.steady).saturating_sub(1);
            let left = UNKNOWN_ROOM_AFTER.saturating_sub(Duration::from_millis(since));
            tokio::time::sleep(left).await;
        }
        if let Some(seq) = request.inbox {
            // No call reads the inbox, so a client that knows nothing of it gets all of it.
            let from = if counts { seq.min(head) } else { 0 };
            call.connection.follow_inbox(actor.user, from);
        }
        Ok(Resumed { inbox: head, rooms })
    }
}

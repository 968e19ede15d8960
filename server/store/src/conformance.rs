//! One suite for every store: what the ports promise, checked through the ports alone.
//!
//! An implementation supplies a [`Harness`] and calls [`conformance_suite`], which makes one test of each case.

pub(crate) mod accounts;
pub(crate) mod entities;
pub(crate) mod friends;
pub(crate) mod idempotency;
pub(crate) mod inboxes;
pub(crate) mod lists;
pub(crate) mod messages;
pub(crate) mod model;
pub(crate) mod removal;
pub(crate) mod rooms;

use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::{MemberRole, Message, Retention, RoomKind};
use pitturu_rules::rooms::rows::{MemberRow, MemberState, MessageRow, RoomRow};
use tokio::sync::oneshot;

use super::StoreError;
use super::accounts::Accounts;
use super::friends::Friends;
use super::idempotency::KeyedResults;
use super::inboxes::Inboxes;
use super::rooms::{Fence, Messages, RoomWrite, Rooms};

/// A store under test.
pub(crate) trait Harness {
    /// What implements the ports.
    type Store: Rooms + Messages + Inboxes + KeyedResults + Accounts + Friends;

    /// An empty store.
    fn new() -> Self;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// Closes the store and opens it again, as a restart of the process does.
    fn restart(&mut self);
}

/// Makes a test of each case for the harness.
macro_rules! conformance_suite {
    ($harness:ty: $($module:ident::$case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let harness = <$harness as $crate::conformance::Harness>::new();
                $crate::conformance::$module::$case(harness).await;
            }
        )*
    };
    ($harness:ty) => {
        $crate::conformance::conformance_suite! { $harness:
            rooms::unknown_rooms_are_empty,
            rooms::a_room_comes_back_as_it_was_written,
            rooms::writes_are_whole_or_refused,
            rooms::writes_report_in_order,
            rooms::members_come_and_go,
            rooms::large_rooms_load,
            messages::messages_come_in_pages_and_byte_for_byte,
            messages::changes_are_numbered_by_themselves,
            messages::reactions_belong_to_a_player_and_a_message,
            messages::times_lead_to_sequences,
            lists::public_rooms_are_listed_by_name,
            lists::rooms_are_found_by_words,
            lists::players_have_lists_of_rooms,
            removal::retention_removes_the_oldest,
            removal::deleted_rooms_go_for_good,
            inboxes::inboxes_are_dense_and_bounded,
            idempotency::results_are_recalled_by_player_and_key,
            model::random_histories_match_a_model,
            accounts::names_and_secrets_belong_to_one_account,
            accounts::a_keyed_creation_happens_once,
            accounts::a_session_rotates_once_per_generation,
            accounts::sessions_are_bounded_and_end,
            accounts::a_password_changes_once_per_version_and_token,
            accounts::old_reset_tokens_are_swept_in_steps,
            accounts::the_last_admin_stays,
            accounts::profiles_change_field_by_field,
            accounts::signing_keys_have_one_successor,
            friends::random_acts_match_a_model,
            friends::lists_are_paged_and_filtered,
        }
    };
}
pub(crate) use conformance_suite;

pub(crate) fn room(number: u16) -> RoomId {
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    RoomId::from_bytes(bytes)
}

pub(crate) fn user(number: u16) -> UserId {
    let mut bytes = [1; 10];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    UserId::from_bytes(bytes)
}

pub(crate) fn room_row(room: RoomId, name: &str) -> RoomRow {
    RoomRow {
        room,
        kind: RoomKind::Public,
        name: name.to_owned(),
        topic: None,
        slow_mode_ms: 0,
        retention: Retention::default(),
        created_at: 1,
        peers: None,
        deleted: false,
    }
}

pub(crate) fn member(user: UserId, state: MemberState) -> MemberRow {
    MemberRow {
        user,
        name: "player".to_owned(),
        role: MemberRole::Member,
        state,
        read: 0,
        muted_until: None,
        joined_at: 1,
        invited_by: None,
    }
}

/// A message sent at its sequence times ten.
pub(crate) fn message(seq: u64, text: &str) -> MessageRow {
    MessageRow {
        msg: Message {
            seq,
            from: user(1),
            name: "player".to_owned(),
            text: text.to_owned(),
            at: seq * 10,
            data: None,
            reply_to: None,
            edited_at: None,
            deleted_by: None,
            reactions: Vec::new(),
        },
        rev: 0,
    }
}

/// Writes and waits for the outcome.
pub(crate) async fn write<S: Rooms>(store: &S, write: RoomWrite) -> Result<(), StoreError> {
    let (report, outcome) = oneshot::channel();
    let reservation = store.reserve(0)?;
    store.write(
        reservation,
        write,
        Box::new(move |result| report.send(result).unwrap()),
    );
    outcome.await.unwrap()
}

pub(crate) async fn create<S: Rooms>(store: &S, row: RoomRow) -> Fence {
    let fence = store.fence();
    let mut first = RoomWrite::new(row.room, fence);
    first.rows.row = Some(row);
    write(store, first).await.unwrap();
    fence
}

pub(crate) async fn send<S: Rooms>(store: &S, room: RoomId, row: MessageRow) {
    let mut next = RoomWrite::new(room, store.fence());
    next.rows.message = Some(row);
    write(store, next).await.unwrap();
}

/// Sends messages `1..=count`, many at once.
pub(crate) async fn send_many<S: Rooms>(store: &S, room: RoomId, count: u64) {
    let mut outcomes = Vec::new();
    for seq in 1..=count {
        let mut next = RoomWrite::new(room, store.fence());
        next.rows.message = Some(message(seq, &format!("text {seq}")));
        let (report, outcome) = oneshot::channel();
        let reservation = store.reserve(0).unwrap();
        store.write(
            reservation,
            next,
            Box::new(move |result| report.send(result).unwrap()),
        );
        outcomes.push(outcome);
    }
    for outcome in outcomes {
        outcome.await.unwrap().unwrap();
    }
}

pub(crate) fn seqs(rows: &[MessageRow]) -> Vec<u64> {
    rows.iter().map(|row| row.msg.seq).collect()
}

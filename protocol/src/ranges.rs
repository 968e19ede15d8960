//! Ranges of the integers in bodies, narrower than their types: one table, which requests are held to, stored values are
//! brought into, and schemas state.
//!
//! What is not in the table lies between 0 and the largest value of its type, and never above
//! [`INTEGER_MAX`], which the scanner sees to.

use std::any::Any;

use crate::codes::Fault;
use crate::limits::{
    INTEGER_MAX, ITEM_COUNT_MAX, PAGE_ITEMS_MAX, PLACES_MAX, RETENTION_MESSAGES_MAX,
    RETENTION_MS_MAX, SCORES_AROUND_MAX, SLOW_MODE_MS_MAX, TIME_MS_MAX,
};
use crate::methods::Method;
use crate::types::{
    accounts, audit_log, boards, chat, friends, inbox, items, moderation, points, profile, reports,
    rewards, system,
};

/// The range of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Name of the type.
    pub owner: &'static str,
    /// Name of the field.
    pub field: &'static str,
    /// Least value.
    pub min: u64,
    /// Largest value.
    pub max: u64,
}

impl Range {
    /// The table's line for this field.
    pub fn of(owner: &str, field: &str) -> Option<&'static Self> {
        RANGES
            .iter()
            .find(|range| range.owner == owner && range.field == field)
    }
}

/// A type with fields in the table.
pub trait Ranged {
    /// Refuses a value beyond its range with a fault that names the field and says the range.
    fn check(&self) -> Result<(), Fault>;

    /// Brings each value into its range: for what was stored before there were ranges.
    fn clamp(&mut self);
}

impl<T: Ranged> Ranged for Option<T> {
    fn check(&self) -> Result<(), Fault> {
        self.as_ref().map_or(Ok(()), Ranged::check)
    }

    fn clamp(&mut self) {
        if let Some(held) = self {
            held.clamp();
        }
    }
}

/// A field that holds an integer, or may.
trait Number {
    fn within(&mut self, min: u64, max: u64);
    fn number(&self) -> Option<u64>;
}

impl Number for u64 {
    fn within(&mut self, min: u64, max: u64) {
        *self = (*self).clamp(min, max);
    }

    fn number(&self) -> Option<u64> {
        Some(*self)
    }
}

impl Number for u32 {
    fn within(&mut self, min: u64, max: u64) {
        *self = Self::try_from(u64::from(*self).clamp(min, max)).unwrap_or(Self::MAX);
    }

    fn number(&self) -> Option<u64> {
        Some(u64::from(*self))
    }
}

impl<T: Number> Number for Option<T> {
    fn within(&mut self, min: u64, max: u64) {
        if let Some(held) = self {
            held.within(min, max);
        }
    }

    fn number(&self) -> Option<u64> {
        self.as_ref().and_then(Number::number)
    }
}

/// Refuses a value beyond its range.
fn check(field: &str, value: Option<u64>, min: u64, max: u64) -> Result<(), Fault> {
    match value {
        Some(value) if value < min || value > max => {
            Err(Fault::invalid(field, format!("{min} to {max}")))
        }
        _ => Ok(()),
    }
}

/// The same fault about a field of `outer`.
fn under(outer: &str, fault: Fault) -> Fault {
    let inner = fault.field.clone().unwrap_or_default();
    fault.of_field(&format!("{outer}.{inner}"))
}

/// Lines of `module::Type { field: min..=max, …; field that has such fields itself, … }`.
macro_rules! ranges {
    ($($module:ident::$type:ident {
        $($field:ident: $min:literal..=$max:expr),* $(; $($nested:ident),*)?
    })*) => {
        $(
            impl Ranged for $module::$type {
                fn check(&self) -> Result<(), Fault> {
                    $(check(stringify!($field), self.$field.number(), $min, u64::from($max))?;)*
                    $($(self.$nested.check().map_err(|fault| under(stringify!($nested), fault))?;)*)?
                    Ok(())
                }

                fn clamp(&mut self) {
                    $(self.$field.within($min, u64::from($max));)*
                    $($(self.$nested.clamp();)*)?
                }
            }
        )*

        /// Every range, in the order of this file.
        pub const RANGES: &[Range] = &[$($(Range {
            owner: stringify!($type),
            field: stringify!($field),
            min: $min,
            max: $max as u64,
        },)*)*];

        /// Holds a request to the table.
        ///
        /// # Errors
        /// [`InvalidArgument`](crate::codes::Code::InvalidArgument) with the field and its range.
        pub fn check_request<M: Method>(request: &M) -> Result<(), Fault> {
            let request: &dyn Any = request;
            $(
                if let Some(request) = request.downcast_ref::<$module::$type>() {
                    return request.check();
                }
            )*
            Ok(())
        }
    };
}

ranges! {
    // Requests.
    chat::CreateRoom { slow_mode_ms: 0..=SLOW_MODE_MS_MAX; retention }
    chat::UpdateRoom { slow_mode_ms: 0..=SLOW_MODE_MS_MAX; retention }
    chat::BanMember { until: 0..=TIME_MS_MAX }
    chat::MuteMember { until: 0..=TIME_MS_MAX }
    chat::ListRooms { limit: 1..=PAGE_ITEMS_MAX }
    chat::SearchRooms { limit: 1..=PAGE_ITEMS_MAX }
    chat::ListMyRooms { limit: 1..=PAGE_ITEMS_MAX }
    chat::ListMembers { limit: 1..=PAGE_ITEMS_MAX }
    chat::ListBans { limit: 1..=PAGE_ITEMS_MAX }
    chat::ListReactions { limit: 1..=PAGE_ITEMS_MAX }
    chat::ReadHistory { limit: 1..=PAGE_ITEMS_MAX }
    friends::ListFriends { limit: 1..=PAGE_ITEMS_MAX }

    points::ListMovements { since: 0..=TIME_MS_MAX, until: 0..=TIME_MS_MAX, limit: 1..=PAGE_ITEMS_MAX }
    points::ListPointsTotals { limit: 1..=PAGE_ITEMS_MAX }
    points::SpendPoints { amount: 1..=INTEGER_MAX }
    points::GivePoints { amount: 1..=INTEGER_MAX }
    points::GrantPoints { amount: 1..=INTEGER_MAX }
    points::DeductPoints { amount: 1..=INTEGER_MAX }
    points::RefundPoints { amount: 1..=INTEGER_MAX }
    points::ExpirePoints { amount: 1..=INTEGER_MAX }
    points::SetPointsAside { amount: 1..=INTEGER_MAX, until: 0..=TIME_MS_MAX }
    points::PostPoints { amount: 1..=INTEGER_MAX }
    items::ListItems { limit: 1..=PAGE_ITEMS_MAX }
    items::ListInventory { limit: 1..=PAGE_ITEMS_MAX }
    items::ListItemChanges { limit: 1..=PAGE_ITEMS_MAX }
    items::BuyItem { count: 1..=ITEM_COUNT_MAX, price: 1..=INTEGER_MAX }
    items::UseItem { count: 1..=ITEM_COUNT_MAX }
    items::GrantItem { count: 1..=ITEM_COUNT_MAX }
    items::TakeItem { count: 1..=ITEM_COUNT_MAX }

    moderation::SuspendPlayer { until: 0..=TIME_MS_MAX }
    moderation::MutePlayer { until: 0..=TIME_MS_MAX }
    audit_log::ListAuditLog { limit: 1..=PAGE_ITEMS_MAX }
    moderation::FindPlayers { limit: 1..=PAGE_ITEMS_MAX }
    reports::ListReports { limit: 1..=PAGE_ITEMS_MAX }

    boards::ListBoards { limit: 1..=PAGE_ITEMS_MAX }
    boards::ListTopScores { limit: 1..=PAGE_ITEMS_MAX }
    boards::ListScoresAround { before: 0..=SCORES_AROUND_MAX, after: 0..=SCORES_AROUND_MAX }
    boards::ListFriendScores { limit: 1..=PAGE_ITEMS_MAX }
    boards::ListPlaces { limit: 1..=PLACES_MAX }
    boards::ListSeasons { limit: 1..=PAGE_ITEMS_MAX }

    // Both ways.
    chat::Retention { age_ms: 1..=RETENTION_MS_MAX, messages: 1..=RETENTION_MESSAGES_MAX }

    // Replies and events.
    system::Welcome { now: 0..=TIME_MS_MAX }
    system::Echoed { now: 0..=TIME_MS_MAX }
    accounts::Identity { expires_at: 0..=TIME_MS_MAX }
    accounts::SignedIn { refresh_expires_at: 0..=TIME_MS_MAX; identity }
    accounts::Account { created_at: 0..=TIME_MS_MAX }
    accounts::Session { created_at: 0..=TIME_MS_MAX, used_at: 0..=TIME_MS_MAX }
    accounts::AccountDeletion { erase_at: 0..=TIME_MS_MAX }
    accounts::PasswordReset { expires_at: 0..=TIME_MS_MAX }
    profile::Profile { created_at: 0..=TIME_MS_MAX }
    friends::Friend { since: 0..=TIME_MS_MAX }
    inbox::InboxAdded { at: 0..=TIME_MS_MAX; entry }
    chat::RoomInfo { slow_mode_ms: 0..=SLOW_MODE_MS_MAX, created_at: 0..=TIME_MS_MAX; retention }
    chat::Membership { muted_until: 0..=TIME_MS_MAX, joined_at: 0..=TIME_MS_MAX }
    chat::Member { muted_until: 0..=TIME_MS_MAX, joined_at: 0..=TIME_MS_MAX }
    chat::Ban { until: 0..=TIME_MS_MAX }
    chat::Sent { at: 0..=TIME_MS_MAX }
    chat::Changed { at: 0..=TIME_MS_MAX }
    chat::Message { at: 0..=TIME_MS_MAX, edited_at: 0..=TIME_MS_MAX }
    chat::MessageEdited { at: 0..=TIME_MS_MAX }
    chat::AuthorErased { at: 0..=TIME_MS_MAX }
    chat::MessageDeleted { at: 0..=TIME_MS_MAX }
    chat::EphemeralSent { at: 0..=TIME_MS_MAX }
    points::Movement { at: 0..=TIME_MS_MAX, until: 0..=TIME_MS_MAX }
    boards::BoardSeason { starts_at: 0..=TIME_MS_MAX, ends_at: 0..=TIME_MS_MAX }
    boards::ScoreEntry { at: 0..=TIME_MS_MAX }
    boards::PlayerPlace { at: 0..=TIME_MS_MAX }
    boards::PlayerScore { percentile: 0..=10_000u32 }
    items::OwnedItem { until: 0..=TIME_MS_MAX }
    items::ItemChange { at: 0..=TIME_MS_MAX }
    rewards::Rewards { day_ends_at: 0..=TIME_MS_MAX }
    moderation::PlayerRecord { erase_at: 0..=TIME_MS_MAX }
    moderation::Sanction { at: 0..=TIME_MS_MAX, until: 0..=TIME_MS_MAX }
    moderation::PlayerSuspended { until: 0..=TIME_MS_MAX }
    reports::Report { at: 0..=TIME_MS_MAX }
    reports::ReportedMessage { at: 0..=TIME_MS_MAX }
    reports::Settlement { at: 0..=TIME_MS_MAX }
    audit_log::AuditEntry { at: 0..=TIME_MS_MAX, until: 0..=TIME_MS_MAX }
}

impl Ranged for inbox::InboxEntry {
    fn check(&self) -> Result<(), Fault> {
        match self {
            Self::RoomBanned {
                until: Some(until), ..
            }
            | Self::Suspended {
                until: Some(until), ..
            }
            | Self::Muted {
                until: Some(until), ..
            }
            | Self::RoomMuted { until, .. } => check("until", Some(*until), 0, TIME_MS_MAX),
            _ => Ok(()),
        }
    }

    fn clamp(&mut self) {
        match self {
            Self::RoomBanned {
                until: Some(until), ..
            }
            | Self::Suspended {
                until: Some(until), ..
            }
            | Self::Muted {
                until: Some(until), ..
            }
            | Self::RoomMuted { until, .. } => until.within(0, TIME_MS_MAX),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_in_the_table_once() {
        for (index, range) in RANGES.iter().enumerate() {
            assert!(range.min <= range.max, "{range:?}");
            let first = RANGES
                .iter()
                .position(|other| (other.owner, other.field) == (range.owner, range.field));
            assert_eq!(first, Some(index), "{range:?}");
        }
    }

    #[test]
    fn a_value_beyond_its_range_is_named_with_its_place() {
        let mut request = chat::UpdateRoom {
            room: crate::ids::RoomId::from_bytes([1; 10]),
            name: None,
            topic: None,
            slow_mode_ms: None,
            retention: Some(chat::Retention {
                age_ms: None,
                messages: Some(0),
            }),
        };
        let fault = check_request(&request).expect_err("0 messages");
        assert_eq!(fault.field.as_deref(), Some("retention.messages"));
        assert_eq!(fault.message, "1 to 1000000000");
        request.clamp();
        assert_eq!(check_request(&request), Ok(()));
    }

    #[test]
    fn stored_entries_come_into_their_range() {
        let mut entry = inbox::InboxEntry::RoomMuted {
            room: crate::ids::RoomId::from_bytes([1; 10]),
            by: crate::ids::UserId::from_bytes([2; 10]),
            until: u64::MAX,
        };
        entry.check().expect_err("no such time");
        entry.clamp();
        assert_eq!(entry.check(), Ok(()));
    }
}

//! Tests of friendship: two players in every order, many at random, and the single rules.

mod interleavings;
mod pair;
mod single;
mod walks;

use pitturu_protocol::ids::UserId;

use super::relations::Caps;
use super::{Commit, FriendEffects, FriendRefusal, Other, Relations};

fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 10])
}

/// What a player may ask about another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ask {
    Request,
    Accept,
    Remove,
    Block,
    Unblock,
}

const ASKS: [Ask; 5] = [
    Ask::Request,
    Ask::Accept,
    Ask::Remove,
    Ask::Block,
    Ask::Unblock,
];

fn ask(
    relations: &mut Relations,
    what: Ask,
    commit: &Commit<'_>,
    other: &Other,
) -> Result<FriendEffects, FriendRefusal> {
    let mut effects = FriendEffects::default();
    match what {
        Ask::Request => drop(relations.request(commit, other, &mut effects)?),
        Ask::Accept => drop(relations.accept(commit, other, &mut effects)?),
        Ask::Remove => drop(relations.remove(other.user, &mut effects)?),
        Ask::Block => drop(relations.block(commit, other, &mut effects)?),
        Ask::Unblock => relations.unblock(other.user, &mut effects)?,
    }
    Ok(effects)
}

/// What a caller believes of another player who was read long ago: all is well.
fn stale(user: UserId) -> Other {
    Other {
        exists: true,
        ..Other::missing(user)
    }
}

/// How the rows of two players fit each other when no signal is under way; none if they do not.
fn agreement(one: &Relations, other: &Relations) -> Option<&'static str> {
    use super::Standing::{Blocked, Friends, Received, Requested};
    let rows = [one.get(user_of(other)), other.get(user_of(one))];
    let since = rows.map(|row| row.map(|row| row.since));
    let same = since[0] == since[1];
    match rows.map(|row| row.map(|row| row.standing)) {
        [None, None] => Some("nothing"),
        [Some(Blocked), None] | [None, Some(Blocked)] => Some("one block"),
        [Some(Blocked), Some(Blocked)] => Some("two blocks"),
        [Some(Friends { ids }), Some(Friends { ids: theirs })] if ids == theirs && same => {
            Some(if ids.iter().count() == 1 {
                "friends"
            } else {
                "friends who crossed"
            })
        }
        [Some(Requested { id }), Some(Received { id: theirs, .. })]
        | [Some(Received { id: theirs, .. }), Some(Requested { id })]
            if id == theirs && same =>
        {
            Some("a request")
        }
        _ => None,
    }
}

fn user_of(relations: &Relations) -> UserId {
    relations.seen_by(user(0)).user
}

/// The counts that the rows give.
fn recounted(relations: &Relations) -> super::FriendCounts {
    Relations::load(user_of(relations), relations.rows()).counts()
}

fn with_caps(user: UserId, friends: u32, requests: u32, blocks: u32) -> Relations {
    let mut relations = Relations::load(user, []);
    relations.caps = Caps {
        friends,
        requests,
        blocks,
    };
    relations
}

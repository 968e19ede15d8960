//! The single rules: refusals, limits, what is told, and how rows and signals are written.

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::types::friends::FriendState;
use pitturu_protocol::types::inbox::InboxEntry;

use super::super::{
    BLOCKS_MAX, Commit, EndedWhy, FRIEND_REQUESTS_MAX, FRIENDS_MAX, FriendEffects, FriendIds,
    FriendLimit, FriendRefusal, FriendSignal, Other, Relation, Relations, RequestId, Standing,
};
use super::{stale, user, with_caps};

const COMMIT: Commit<'static> = Commit {
    version: 7,
    name: "ana",
    at: 70,
};

fn id(from: u8, number: u64) -> RequestId {
    RequestId {
        from: user(from),
        number,
    }
}

fn ended(id: RequestId, why: EndedWhy) -> FriendSignal {
    FriendSignal::Ended { id, why }
}

fn asked(id: RequestId) -> FriendSignal {
    FriendSignal::Requested {
        id,
        name: "ben".into(),
        at: 50,
    }
}

fn agreed(id: RequestId) -> FriendSignal {
    FriendSignal::Accepted {
        id,
        name: "ben".into(),
        at: 60,
    }
}

/// Player 1, standing so to player 2.
fn one(standing: Standing) -> Relations {
    let row = Relation {
        standing,
        since: 10,
    };
    Relations::load(user(1), [(user(2), row)])
}

fn apply(relations: &mut Relations, signal: FriendSignal) -> FriendEffects {
    let mut effects = FriendEffects::default();
    relations.apply(user(2), signal, &mut effects);
    effects
}

fn request(relations: &mut Relations, other: &Other) -> Result<Relation, FriendRefusal> {
    relations.request(&COMMIT, other, &mut FriendEffects::default())
}

fn accept(relations: &mut Relations, other: &Other) -> Result<Relation, FriendRefusal> {
    relations.accept(&COMMIT, other, &mut FriendEffects::default())
}

fn block(relations: &mut Relations, other: &Other) -> Result<Option<FriendState>, FriendRefusal> {
    relations.block(&COMMIT, other, &mut FriendEffects::default())
}

fn friends_with(ids: FriendIds) -> Standing {
    Standing::Friends { ids }
}

#[test]
fn a_request_is_numbered_by_its_commit_and_told() {
    let mut relations = Relations::load(user(1), []);
    let mut effects = FriendEffects::default();
    let row = relations.request(&COMMIT, &stale(user(2)), &mut effects);
    let expected = Relation {
        standing: Standing::Requested { id: id(1, 7) },
        since: 70,
    };
    assert_eq!(row, Ok(expected));
    let signal = FriendSignal::Requested {
        id: id(1, 7),
        name: "ana".into(),
        at: 70,
    };
    assert_eq!(effects.rows, [(user(2), Some(expected))]);
    assert_eq!(effects.signals, [(user(2), signal)]);
    assert!(effects.inbox.is_empty() && effects.friendships.is_empty());

    let again = Commit {
        version: 8,
        ..COMMIT
    };
    let mut effects = FriendEffects::default();
    let row = relations.request(&again, &stale(user(2)), &mut effects);
    assert_eq!(row, Ok(expected), "asking twice changes nothing");
    assert_eq!(effects, FriendEffects::default());
}

#[test]
fn nobody_befriends_or_blocks_themselves_or_nobody() {
    let mut relations = Relations::load(user(1), []);
    for (other, refusal) in [
        (stale(user(1)), FriendRefusal::Yourself),
        (Other::missing(user(9)), FriendRefusal::NoPlayer),
    ] {
        assert_eq!(request(&mut relations, &other), Err(refusal));
        assert_eq!(block(&mut relations, &other), Err(refusal));
        let accepted = accept(&mut relations, &other);
        assert_eq!(accepted, Err(FriendRefusal::NotFriends));
    }
}

#[test]
fn a_block_keeps_the_other_out_and_is_not_told_from_a_refusal() {
    let mut blocker = one(Standing::Blocked);
    assert!(!blocker.may_reach(user(2)) && blocker.may_reach(user(3)));
    assert!(!blocker.seen_by(user(2)).reachable && blocker.seen_by(user(3)).reachable);
    let stranger = stale(user(2));
    assert_eq!(
        request(&mut blocker, &stranger),
        Err(FriendRefusal::Blocked)
    );
    assert_eq!(accept(&mut blocker, &stranger), Err(FriendRefusal::Blocked));
    let mut effects = FriendEffects::default();
    let removed = blocker.remove(user(2), &mut effects);
    assert_eq!(removed, Err(FriendRefusal::NotFriends));

    let blocking = Other {
        reachable: false,
        ..stale(user(2))
    };
    let mut open = one(Standing::Received {
        id: id(2, 3),
        number: 1,
    });
    assert_eq!(request(&mut open, &blocking), Err(FriendRefusal::Blocked));
    assert_eq!(accept(&mut open, &blocking), Err(FriendRefusal::Blocked));

    let refused = ended(id(2, 5), EndedWhy::Refused);
    let answer = apply(&mut blocker, asked(id(2, 5)));
    assert_eq!(answer.signals, [(user(2), refused.clone())]);
    assert!(answer.rows.is_empty() && answer.inbox.is_empty());
    // Whoever has to go for a newer request hears the same.
    let mut full = with_caps(user(1), 9, 1, 9);
    apply(&mut full, asked(id(2, 5)));
    let from_another = FriendSignal::Requested {
        id: id(3, 1),
        name: "cai".into(),
        at: 60,
    };
    let mut effects = FriendEffects::default();
    full.apply(user(3), from_another, &mut effects);
    assert_eq!(effects.signals, [(user(2), refused)]);
}

#[test]
fn blocking_ends_what_was_there() {
    let ids = FriendIds::crossed(id(2, 4), id(1, 3));
    let mut relations = one(friends_with(ids));
    let mut effects = FriendEffects::default();
    let before = relations.block(&COMMIT, &stale(user(2)), &mut effects);
    assert_eq!(before, Ok(Some(FriendState::Friend)));
    let told: Vec<_> = effects.signals.into_iter().map(|signal| signal.1).collect();
    let both = [id(1, 3), id(2, 4)].map(|id| ended(id, EndedWhy::Blocked));
    assert_eq!(told, both);
    assert_eq!(effects.friendships, [user(2)]);
    assert_eq!(effects.blocks, [(user(2), true)]);
    let again = block(&mut relations, &stale(user(2)));
    assert_eq!(again, Ok(Some(FriendState::Blocked)));
    let mut effects = FriendEffects::default();
    assert_eq!(relations.unblock(user(2), &mut effects), Ok(()));
    assert_eq!(
        (effects.rows, effects.blocks),
        (vec![(user(2), None)], vec![(user(2), false)])
    );
    assert!(effects.friendships.is_empty());
    let mut effects = FriendEffects::default();
    let unblocked = relations.unblock(user(2), &mut effects);
    assert_eq!(unblocked, Err(FriendRefusal::NotBlocked));
}

#[test]
fn requests_that_cross_make_friends_who_store_the_same() {
    let mut one = one(Standing::Requested { id: id(1, 3) });
    let effects = apply(&mut one, asked(id(2, 4)));
    let row = one.get(user(2)).unwrap();
    let ids = FriendIds::crossed(id(2, 4), id(1, 3));
    assert_eq!(row.standing, friends_with(ids));
    assert_eq!(ids, FriendIds::crossed(id(1, 3), id(2, 4)));
    assert_eq!(row.since, 50, "since the later of the two");
    assert!(effects.signals.is_empty());
    let accepted = InboxEntry::FriendAccepted {
        user: user(2),
        name: "ben".into(),
    };
    assert_eq!(effects.inbox, [accepted]);
    assert_eq!(effects.friendships, [user(2)]);

    let effects = apply(&mut one, ended(id(2, 4), EndedWhy::Cancelled));
    let other = ended(id(1, 3), EndedWhy::Removed);
    assert_eq!(
        effects.signals,
        [(user(2), other)],
        "the other one ends as well"
    );
    let removed = InboxEntry::FriendRemoved { user: user(2) };
    assert_eq!(effects.inbox, [removed]);
    assert_eq!(one.get(user(2)), None);
}

#[test]
fn signals_about_other_requests_change_nothing() {
    let standings = [
        Standing::Requested { id: id(1, 3) },
        Standing::Received {
            id: id(2, 3),
            number: 1,
        },
        friends_with(FriendIds::accepted(id(1, 3))),
        Standing::Blocked,
    ];
    for standing in standings {
        let mut relations = one(standing);
        for other in [id(1, 2), id(2, 2), id(2, 4)] {
            let effects = apply(&mut relations, ended(other, EndedWhy::Removed));
            assert_eq!(effects, FriendEffects::default(), "{standing:?} {other:?}");
        }
        let effects = apply(&mut relations, agreed(id(1, 2)));
        let over = ended(id(1, 2), EndedWhy::Refused);
        assert_eq!(effects.signals, [(user(2), over)], "{standing:?}");
        assert!(effects.rows.is_empty() && effects.inbox.is_empty());
        let effects = apply(&mut relations, asked(id(3, 9)));
        assert_eq!(
            effects,
            FriendEffects::default(),
            "a request of somebody else"
        );
    }
}

#[test]
fn a_friendship_that_finds_no_room_is_refused_and_both_are_told() {
    let mut requester = with_caps(user(1), 1, 9, 9);
    request(&mut requester, &stale(user(2))).unwrap();
    requester.caps.friends = 0;
    let effects = apply(&mut requester, agreed(id(1, 7)));
    let refused = ended(id(1, 7), EndedWhy::Refused);
    assert_eq!(effects.signals, [(user(2), refused)]);
    let removed = InboxEntry::FriendRemoved { user: user(2) };
    assert_eq!(effects.inbox, std::slice::from_ref(&removed));
    assert_eq!(requester.get(user(2)), None);

    let mut accepter = one(friends_with(FriendIds::accepted(id(2, 7))));
    let refused = ended(id(2, 7), EndedWhy::Refused);
    let effects = apply(&mut accepter, refused);
    assert_eq!(effects.inbox, [removed]);
    assert_eq!(effects.friendships, [user(2)]);
}

/// Cannot happen while signals keep their order: the other's rows were lost or restored.
#[test]
fn a_new_request_replaces_what_the_other_no_longer_has() {
    let left = [
        Standing::Received {
            id: id(2, 3),
            number: 1,
        },
        friends_with(FriendIds::accepted(id(1, 3))),
    ];
    for standing in left {
        let mut relations = one(standing);
        apply(&mut relations, asked(id(2, 9)));
        let row = relations.get(user(2)).unwrap();
        assert_eq!(
            row.standing,
            Standing::Received {
                id: id(2, 9),
                number: 1,
            }
        );
        assert_eq!(relations.counts().received, 1);
        assert_eq!(relations.counts().friends, 0);
    }
}

/// Player 1 with so many others in one state.
fn crowd(count: u32, standing: impl Fn(u8) -> Standing) -> Relations {
    let rows = (0..count).map(|number| {
        let mut bytes = [100; 10];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        let row = Relation {
            standing: standing(100),
            since: 1,
        };
        (pitturu_protocol::ids::UserId::from_bytes(bytes), row)
    });
    Relations::load(user(1), rows)
}

#[test]
fn each_list_has_its_limit() {
    let friends = |from| friends_with(FriendIds::accepted(id(from, 1)));
    let other = stale(user(2));
    let refused = |limit| Err(FriendRefusal::Limit(limit));

    let mut full = crowd(FRIENDS_MAX, friends);
    assert_eq!(request(&mut full, &other), refused(FriendLimit::Friends));
    apply(&mut full, asked(id(2, 1)));
    assert_eq!(request(&mut full, &other), refused(FriendLimit::Friends));
    assert_eq!(accept(&mut full, &other), refused(FriendLimit::Friends));
    assert!(!full.seen_by(user(2)).room_for_friend);
    let mut almost = crowd(FRIENDS_MAX - 1, friends);
    assert!(almost.seen_by(user(2)).room_for_friend);
    apply(&mut almost, asked(id(2, 1)));
    let unable = Other {
        room_for_friend: false,
        ..other
    };
    assert_eq!(
        accept(&mut almost, &unable),
        refused(FriendLimit::TheirFriends)
    );
    assert!(accept(&mut almost, &other).is_ok());

    let requested = |_| Standing::Requested { id: id(1, 1) };
    let mut full = crowd(FRIEND_REQUESTS_MAX, requested);
    assert_eq!(request(&mut full, &other), refused(FriendLimit::Sent));
    let mut almost = crowd(FRIEND_REQUESTS_MAX - 1, requested);
    assert!(request(&mut almost, &other).is_ok());

    let received = |from| Standing::Received {
        id: id(from, 1),
        number: 1,
    };
    let mut full = crowd(FRIEND_REQUESTS_MAX, received);
    let effects = apply(&mut full, asked(id(2, 1)));
    // The oldest is told that it was not answered.
    assert_eq!(effects.signals.len(), 1);
    assert_ne!(effects.signals[0].0, user(2));
    assert!(full.get(user(2)).is_some());
    assert_eq!(full.counts().received, FRIEND_REQUESTS_MAX);
    let mut almost = crowd(FRIEND_REQUESTS_MAX - 1, received);
    apply(&mut almost, asked(id(2, 1)));
    assert!(almost.get(user(2)).is_some());

    let mut full = crowd(BLOCKS_MAX, |_| Standing::Blocked);
    let blocks = FriendRefusal::Limit(FriendLimit::Blocks);
    assert_eq!(block(&mut full, &other), Err(blocks));
    let mut almost = crowd(BLOCKS_MAX - 1, |_| Standing::Blocked);
    assert_eq!(block(&mut almost, &other), Ok(None));
}

#[test]
fn refusals_are_faults_that_say_what_is_wrong() {
    let fault = Fault::from(FriendRefusal::Limit(FriendLimit::Sent));
    assert_eq!(fault.code, Code::LimitReached);
    assert!(fault.message.contains("200"), "{}", fault.message);
    let codes = [
        (FriendRefusal::Yourself, Code::InvalidArgument),
        (FriendRefusal::NoPlayer, Code::NotFound),
        (FriendRefusal::Blocked, Code::Blocked),
        (FriendRefusal::NotFriends, Code::NotFriends),
        (FriendRefusal::NotBlocked, Code::NotFound),
    ];
    for (refusal, code) in codes {
        assert_eq!(Fault::from(refusal).code, code);
    }
}

#[test]
fn rows_and_signals_are_read_as_they_were_written() {
    let standings = [
        Standing::Requested { id: id(1, 3) },
        Standing::Received {
            id: id(2, 3),
            number: 1,
        },
        friends_with(FriendIds::accepted(id(1, 3))),
        friends_with(FriendIds::crossed(id(1, 3), id(2, 4))),
        Standing::Blocked,
    ];
    for standing in standings {
        let row = Relation {
            standing,
            since: 10,
        };
        let bytes = codec::encode(&row);
        assert!(bytes.windows(8).any(|name| name == b"standing"));
        assert_eq!(codec::decode::<Relation>(&bytes), Ok(row));
    }
    for signal in [
        asked(id(2, 1)),
        agreed(id(1, 1)),
        ended(id(1, 1), EndedWhy::Declined),
    ] {
        let bytes = codec::encode(&signal);
        assert!(bytes.windows(2).any(|name| name == b"id"));
        assert_eq!(codec::decode::<FriendSignal>(&bytes), Ok(signal));
    }
}

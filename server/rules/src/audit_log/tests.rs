use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::audit_log::{AuditAct, AuditRecord};
use pitturu_protocol::types::chat::MemberRole;

use super::{ChainFault, Head, Note};

const BY: UserId = UserId::from_bytes([1; 10]);
const USER: UserId = UserId::from_bytes([2; 10]);
const ROOM: RoomId = RoomId::from_bytes([3; 10]);

/// Entries of each form.
fn log() -> Vec<AuditRecord> {
    let notes = [
        Note::new(AuditAct::RefreshTokenReused, 5),
        Note {
            by: Some(BY),
            user: Some(USER),
            until: Some(90),
            reason: Some("spam".to_owned()),
            address: Some("192.0.2.7".to_owned()),
            ..Note::new(AuditAct::Suspended, 10)
        },
        Note {
            by: Some(BY),
            room: Some(ROOM),
            seq: Some(4),
            ..Note::new(AuditAct::MessageDeleted, 9)
        },
        Note {
            by: Some(BY),
            user: Some(USER),
            role: Some(Role::Moderator),
            address: Some("2001:db8::1".to_owned()),
            ..Note::new(AuditAct::RoleChanged, 11)
        },
    ];
    let mut head = Head::default();
    let mut salt = 0;
    notes
        .map(|note| {
            salt += 1;
            head.append(note, [salt; 16])
        })
        .into()
}

fn faults(log: &[AuditRecord]) -> Vec<ChainFault> {
    let mut head = Head::default();
    let follow = |record| head.follow(record).err();
    log.iter().filter_map(follow).collect()
}

#[test]
fn a_log_as_it_was_written_has_no_faults() {
    let log = log();
    assert_eq!(faults(&log), []);
    let numbers: Vec<u64> = log.iter().map(|record| record.entry.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(log[0].entry.previous, "");
    assert!(log[1].digest.len() == 64);
    let has_details = log.iter().map(|record| record.details.is_some());
    assert!(has_details.eq([false, true, false, true]));
}

#[test]
fn details_can_be_erased() {
    let mut log = log();
    for record in &mut log {
        record.details = None;
    }
    assert_eq!(faults(&log), []);
}

/// A change of an entry.
type Change = fn(&mut AuditRecord);

/// Whatever is changed of any entry is found there.
#[test]
fn whatever_is_changed_is_found() {
    let changes: [Change; 12] = [
        |it| it.entry.at += 1,
        |it| it.entry.act = AuditAct::Kicked,
        |it| it.entry.by = Some(UserId::from_bytes([7; 10])),
        |it| it.entry.user = Some(UserId::from_bytes([7; 10])),
        |it| it.entry.room = Some(RoomId::from_bytes([7; 10])),
        |it| it.entry.seq = Some(99),
        |it| it.entry.until = Some(99),
        |it| it.entry.role = Some(Role::Player),
        |it| it.entry.room_role = Some(MemberRole::Owner),
        |it| it.entry.details = Some("0".repeat(64)),
        |it| it.entry.previous = "0".repeat(64),
        |it| it.digest = "0".repeat(64),
    ];
    for index in 0..log().len() {
        for (number, change) in changes.iter().enumerate() {
            let mut log = self::log();
            change(&mut log[index]);
            assert!(!faults(&log).is_empty(), "change {number} of entry {index}");
            // Whoever also makes a new digest tears the chain behind it, unless it is the newest, or nothing else was changed.
            log[index].digest = super::digest(&log[index].entry);
            let is_as_before = log[index].entry == self::log()[index].entry;
            assert!(
                index == 3 || is_as_before || !faults(&log).is_empty(),
                "change {number} of entry {index}"
            );
        }
    }
}

#[test]
fn changed_details_are_found() {
    let changes: [Change; 4] = [
        |it| it.details.as_mut().unwrap().reason = Some("nothing".to_owned()),
        |it| it.details.as_mut().unwrap().address = None,
        |it| it.details.as_mut().unwrap().salt = None,
        |it| it.details.as_mut().unwrap().salt = Some("00".repeat(16)),
    ];
    for index in [1, 3] {
        for change in changes {
            let mut log = log();
            change(&mut log[index]);
            assert_eq!(faults(&log), [ChainFault::DetailsChanged]);
        }
    }
    // Nor can details be put to an entry that never had any.
    let mut log = log();
    log[0].details = log[1].details.clone();
    assert_eq!(faults(&log), [ChainFault::DetailsChanged]);
}

#[test]
fn removed_doubled_and_swapped_entries_are_found() {
    for index in 0..3 {
        let mut removed = log();
        removed.remove(index);
        let missing = u64::try_from(index).unwrap() + 1;
        assert_eq!(faults(&removed), [ChainFault::Missing(missing)]);
        let mut doubled = log();
        doubled.insert(index, doubled[index].clone());
        assert!(!faults(&doubled).is_empty());
        let mut swapped = log();
        swapped.swap(index, index + 1);
        assert!(!faults(&swapped).is_empty());
    }
}

//! Reports: whoever is reported learns nothing of it, by whatever is read; what was settled stays so; nobody is no player to report.

use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::accounts::{ExportPlayer, Role, SetRole};
use pitturu_protocol::types::audit_log::{AuditAct, ListAuditLog};
use pitturu_protocol::types::moderation::DeletePlayer;
use pitturu_protocol::types::reports::{
    ListReports, ReportMessage, ReportOutcome, ReportPlayer, ReportReason, SettleReport, TakeReport,
};

use super::world::{World, message};
use crate::connections::link::memory::Options;

#[tokio::test]
async fn neither_a_player_nor_one_of_the_staff_reads_of_a_report_about_them() {
    let world = World::new().await;
    let (mut admin, _) = world.registered("root").await;
    let (mut one, first) = world.registered("moderator").await;
    let (mut other, second) = world.registered("another").await;
    for user in [&first, &second].map(|who| who.identity.user) {
        let role = Role::Moderator;
        admin
            .call(&SetRole { user, role })
            .await
            .expect("an admin may");
    }
    let (mut player, third) = world.guest("player", Options::default()).await;
    let (mut reporter, _) = world.guest("reporter", Options::default()).await;
    for user in [first.identity.user, third.identity.user] {
        let report = ReportPlayer {
            user,
            reason: ReportReason::Spam,
            note: Some("between us".to_owned()),
        };
        let number = reporter.call(&report).await.expect("anybody may").number;
        let settle = SettleReport {
            number,
            outcome: ReportOutcome::Acted,
            note: Some("we watch them".to_owned()),
        };
        other.call(&settle).await.expect("a moderator may");
    }

    // About themselves, about who settled it, and page by page.
    for user in [first.identity.user, second.identity.user] {
        let mut before = None;
        loop {
            let list = ListAuditLog {
                user: Some(user),
                before,
                limit: Some(1),
            };
            let page = one.call(&list).await.expect("a moderator may");
            let theirs = page.entries.iter().filter(|record| {
                let entry = &record.entry;
                entry.act == AuditAct::ReportSettled && entry.user == Some(first.identity.user)
            });
            assert_eq!(theirs.count(), 0, "{page:?}");
            assert!(page.next.is_none() || !page.entries.is_empty(), "{page:?}");
            before = page.next;
            if before.is_none() {
                break;
            }
        }
    }
    // No page has a place where one was, either.
    for user in [None, Some(first.identity.user)] {
        for settled in [false, true] {
            let list = ListReports {
                user,
                settled,
                limit: Some(1),
                ..ListReports::default()
            };
            let page = one.call(&list).await.expect("a moderator may");
            assert_eq!(page.next, None, "{page:?}");
            assert!(page.reports.iter().all(|it| it.user != first.identity.user));
        }
    }
    let about = ListReports {
        settled: true,
        ..ListReports::default()
    };
    let shown = one.call(&about).await.expect("a moderator may").reports;
    assert_eq!(shown.len(), 1, "that of the player");
    let list = ListAuditLog {
        user: Some(first.identity.user),
        ..ListAuditLog::default()
    };
    let entries = admin.call(&list).await.expect("an admin may").entries;
    let mut acts = entries.iter().map(|record| record.entry.act);
    assert!(
        acts.any(|act| act == AuditAct::ReportSettled),
        "it is there"
    );

    for client in [&mut player, &mut one] {
        let export = ExportPlayer {
            user: None,
            after: None,
        };
        let records = client.call(&export).await.expect("their own").records;
        for word in ["report_settled", "we watch them", "between us"] {
            assert!(!records.contains(word), "{word}: {records}");
        }
    }
}

fn settle(number: u64, outcome: ReportOutcome) -> SettleReport {
    SettleReport {
        number,
        outcome,
        note: None,
    }
}

#[tokio::test]
async fn a_report_stays_as_it_was_settled_first() {
    let world = World::new().await;
    let (mut admin, _) = world.registered("root").await;
    let (mut one, first) = world.registered("moderator").await;
    let user = first.identity.user;
    let role = Role::Moderator;
    admin
        .call(&SetRole { user, role })
        .await
        .expect("an admin may");
    let (_, bad) = world.guest("bad", Options::default()).await;
    let (mut reporter, _) = world.guest("reporter", Options::default()).await;
    let mut numbers = Vec::new();
    for user in [bad.identity.user, user] {
        let report = ReportPlayer {
            user,
            reason: ReportReason::Spam,
            note: None,
        };
        let reported = reporter.call(&report).await.expect("anybody may");
        numbers.push(reported.number);
    }
    for &number in &numbers {
        let settled = admin.call(&settle(number, ReportOutcome::Acted)).await;
        let settled = settled.expect("an admin may");
        let again = admin.call(&settle(number, ReportOutcome::Dismissed)).await;
        assert_eq!(again, Ok(settled));
    }
    let [of_other, of_own] = numbers[..] else {
        panic!("two were reported");
    };
    let again = one.call(&settle(of_other, ReportOutcome::Dismissed)).await;
    let outcome = again
        .expect("a moderator may")
        .settled
        .map(|how| how.outcome);
    assert_eq!(outcome, Some(ReportOutcome::Acted));
    // A report about themselves is none.
    for number in [of_own, 99] {
        let settled = one.call(&settle(number, ReportOutcome::Dismissed)).await;
        let taken = one.call(&TakeReport { number }).await;
        let codes = [settled, taken].map(|done| done.map_err(|fault| fault.code));
        assert_eq!(codes, [Err(Code::NotFound), Err(Code::NotFound)]);
    }
}

#[tokio::test]
async fn a_message_of_nobody_is_reported_no_more() {
    let world = World::new().await;
    let (mut admin, _) = world.registered("root").await;
    let (mut author, signed_in) = world.guest("author", Options::default()).await;
    let (mut reader, _) = world.guest("reader", Options::default()).await;
    let room = reader.create_room().await;
    author.join(room).await;
    let seq = author.call(&message(room)).await.expect("a member may").seq;
    let delete = DeletePlayer {
        user: signed_in.identity.user,
        at_once: true,
        reason: "for the test".to_owned(),
    };
    admin.call(&delete).await.expect("an admin may");
    let nobody = UserId::from_bytes([0; 10]);
    let erased = async {
        loop {
            let row = world.context.services.room_store.message(room, seq).await;
            let row = row.expect("the store answers").expect("it is kept");
            if row.msg.from == nobody {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::PATIENCE, erased)
        .await
        .expect("the author is erased");
    let report = ReportMessage {
        room,
        seq,
        reason: ReportReason::Spam,
        note: None,
    };
    let refused = reader.call(&report).await;
    assert_eq!(refused.map_err(|fault| fault.code), Err(Code::NotFound));
}

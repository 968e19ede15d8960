//! Whoever is reported learns nothing of it, by whatever is read.

use pitturu_protocol::types::accounts::{ExportPlayer, Role, SetRole};
use pitturu_protocol::types::audit_log::{AuditAct, ListAuditLog};
use pitturu_protocol::types::reports::{
    ListReports, ReportOutcome, ReportPlayer, ReportReason, SettleReport,
};

use super::world::World;
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
            before = page.next;
            if before.is_none() {
                break;
            }
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

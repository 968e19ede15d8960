//! Calls under one key: the first result, however often and wherever they are made.

use std::collections::BTreeMap;

use super::{Evidence, Found};
use crate::record::{Ask, Outcome, PlayerNo, Reply};

pub(super) fn check(evidence: &Evidence<'_>, found: &mut Found) {
    let mut first: BTreeMap<(PlayerNo, &str), &Reply> = BTreeMap::new();
    for call in evidence.calls.values() {
        let Outcome::Done(reply) = &call.outcome else {
            continue;
        };
        // These act anew, and show what is there now.
        let acts_anew = matches!(
            call.ask,
            Ask::Join { .. } | Ask::Direct { .. } | Ask::Enter { .. }
        );
        if acts_anew || !call.ask.writes() {
            continue;
        }
        let earlier = first.entry((call.player, &call.key)).or_insert(reply);
        let is_same = match (*earlier, reply) {
            (Reply::View(room, ..), Reply::View(again, ..)) => room == again,
            // What has changed nothing is answered as things are now, and acts if it can then.
            (Reply::Marker(..), Reply::Marker(..)) | (Reply::Friend(_), Reply::Friend(_)) => true,
            (Reply::Changed(None), Reply::Changed(changed)) => {
                if changed.is_some() {
                    *earlier = reply;
                }
                true
            }
            (earlier, reply) => earlier == reply,
        };
        if !is_same {
            let message = format!(
                "{:?} under {} was answered with {earlier:?} and with {reply:?}",
                call.ask, call.key
            );
            let user = evidence.users[call.player];
            let about = (call.ask.room(), Some(user));
            found.add_until(
                evidence,
                "sending twice is safe",
                about,
                call.answered,
                message,
            );
        }
    }
}

//! The suite of [`Entities`]: what the port promises, checked through it alone.
//!
//! An implementation supplies a [`Harness`] and calls [`entities_suite`]. Where its harness can also hold the writer back
//! ([`HeldWriter`]), let commits fail ([`FailingCommits`]) or crash ([`Crashing`]), it calls [`held_suite`], [`failing_suite`] and
//! [`crashing_suite`] too.

pub(crate) mod claims;
pub(crate) mod commits;
pub(crate) mod crashing;
pub(crate) mod ends;
pub(crate) mod failing;
pub(crate) mod held;
pub(crate) mod random;
pub(crate) mod ranges;
pub(crate) mod rows;
pub(crate) mod seen;
pub(crate) mod signals;
pub(crate) mod streams;

use std::sync::Arc;

use tokio::sync::oneshot;

use super::user;
use crate::StoreError;
use crate::entities::{
    Applied, Commit, Entities, EntityId, Entry, Fence, Head, KeyedRequest, KeyedResult, Kind, List,
    Loaded, Reading, Signal,
};

/// A store under test.
pub(crate) trait Harness {
    /// An empty store.
    fn new() -> Self;

    /// The store. What was handed out before a restart is closed after it.
    fn store(&self) -> Arc<dyn Entities>;

    /// Closes the store in an orderly way and opens it again.
    fn restart(&mut self);
}

/// A store whose writer can be held back, with little room.
pub(crate) trait HeldWriter: Harness {
    /// An empty store in which so many commits of so many bytes together may wait.
    fn with_room(jobs: usize, bytes: usize) -> Self;

    /// Nothing that is handed over from now on is carried out before [`Self::release`].
    fn hold(&self);

    /// The writer goes on.
    fn release(&self);
}

/// A store whose commits fail on demand.
pub(crate) trait FailingCommits: Harness {
    /// The next commit fails; it may be on the disk if `is_unknown`.
    fn fail_next(&self, is_unknown: bool);

    /// Returns when the store writes again.
    fn recover(&self);
}

/// A store that can end as it does when its process is killed.
pub(crate) trait Crashing: HeldWriter + FailingCommits {
    /// Kills it and opens what is left; `seed` says what of that which nobody was told is there.
    fn crash(&mut self, seed: u64);
}

/// Makes a test of each case for the harness.
macro_rules! entities_suite {
    ($harness:ty: $($module:ident::$case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let harness = <$harness as $crate::conformance::entities::Harness>::new();
                $crate::conformance::entities::$module::$case(harness).await;
            }
        )*
    };
    // Cases that make stores of their own.
    (making $harness:ty: $($module:ident::$case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::conformance::entities::$module::$case::<$harness>().await;
            }
        )*
    };
    ($harness:ty) => {
        $crate::conformance::entities::entities_suite! { $harness:
            commits::versions_are_dense,
            commits::an_empty_commit_is_one,
            commits::refused_commits_change_nothing,
            commits::refused_commits_leave_those_around_them_alone,
            commits::one_of_two_owners_wins,
            commits::commits_report_in_order_and_once,
            commits::the_listener_hears_of_reports,
            commits::loads_are_of_one_moment,
            commits::loads_come_behind_what_was_handed_over,
            commits::reported_commits_are_read,
            commits::what_joined_a_commit_is_there_and_nothing_else,
            commits::commits_survive_a_restart_whole,
            streams::entries_are_dense,
            streams::kept_entries_are_replaced,
            streams::dropped_entries_are_gone,
            streams::single_entries_leave_holes,
            streams::bounds_of_streams_only_rise,
            streams::trimmed_streams_stay_where_they_were,
            streams::spans_go_both_ways,
            streams::pages_of_entries_are_bounded,
            streams::the_newest_entries_are_loaded,
            streams::streams_are_apart,
            ranges::rows_come_in_ranges,
            ranges::rows_are_shown_in_ranges,
            ranges::lists_come_in_ranges,
            ranges::parts_are_loaded_in_ranges,
            ranges::ranges_are_removed,
            rows::rows_of_all_sizes_come_back,
            rows::rows_are_put_replaced_and_removed,
            rows::entities_are_apart,
            rows::pages_of_rows_are_bounded,
            rows::lists_belong_to_nobody,
            rows::glances_and_single_rows,
            rows::removal_lets_other_writes_through,
            ends::ended_entities_show_nothing,
            ends::ended_entities_take_no_commits,
            ends::ended_entities_are_swept_in_steps,
            ends::ended_entities_are_known_for_two_days,
            ends::ended_entities_wait_for_their_signals,
            ends::those_who_wait_for_their_signals_hold_nobody_up,
            ends::results_belong_to_entity_player_and_key,
            ends::results_outlive_their_entity,
            claims::of_two_claims_at_once_one_wins,
            claims::a_claim_is_replaced_from_the_named_holder_alone,
            claims::a_claim_is_freed_by_its_holder_alone,
            claims::claims_of_other_keys_and_spaces_are_apart,
            claims::claims_outlive_a_restart_and_their_entities,
            signals::signals_wait_in_order,
            signals::signals_are_delivered_in_any_order,
            signals::senders_come_in_pages,
            signals::the_highest_applied_version_counts,
            random::appending_and_one_thing_more_matches_memory,
            random::random_histories_match_memory,
        }
    };
}
pub(crate) use entities_suite;

/// Makes a test of each case that needs the writer held back.
macro_rules! held_suite {
    ($harness:ty) => {
        $crate::conformance::entities::entities_suite! { making $harness:
            held::reservations_are_given_back,
            held::full_queues_refuse_by_jobs_and_bytes,
            held::reserved_commits_are_taken,
            held::what_joins_a_commit_shares_its_outcome,
        }
        $crate::conformance::entities::entities_suite! { $harness:
            held::reports_that_come_together_are_told_once,
            held::loads_wait_for_what_was_handed_over,
            held::reads_show_decided_commits_only,
        }
    };
}
pub(crate) use held_suite;

/// Makes a test of each case that needs commits to fail.
macro_rules! failing_suite {
    ($harness:ty) => {
        $crate::conformance::entities::entities_suite! { $harness:
            failing::lost_commits_are_never_seen,
            failing::unknown_commits_are_never_seen,
            failing::nothing_rests_on_a_lost_commit,
            failing::what_joined_a_lost_commit_is_lost,
            failing::failed_entities_load_again,
        }
    };
}
pub(crate) use failing_suite;

/// Makes a test of each case that needs a crash.
macro_rules! crashing_suite {
    ($harness:ty) => {
        $crate::conformance::entities::entities_suite! { $harness:
            crashing::reported_commits_outlive_a_crash,
        }
        $crate::conformance::entities::entities_suite! { making $harness:
            crashing::untold_commits_are_whole_and_dense,
            crashing::unknown_commits_are_whole_after_a_crash,
        }
    };
}
pub(crate) use crashing_suite;

/// A fence that no store has handed out.
pub(crate) const STALE: Fence = Fence(u64::MAX);

/// One of some entities, which lie side by side in the order of the ids.
pub(crate) fn entity(number: u8) -> EntityId {
    let mut id = [0xff; 10];
    id[9] = number;
    EntityId::new(Kind(1), id)
}

/// Hands a commit over; what the store will report.
pub(crate) fn hand_over(
    store: &dyn Entities,
    commit: Commit,
) -> oneshot::Receiver<Result<(), StoreError>> {
    let reservation = store.reserve(64).unwrap();
    let (report, outcome) = oneshot::channel();
    let done = move |result| report.send(result).unwrap();
    store.commit(reservation, commit.into(), Box::new(done));
    outcome
}

/// Hands a commit over and waits for the outcome.
pub(crate) async fn commit(store: &dyn Entities, commit: Commit) -> Result<(), StoreError> {
    hand_over(store, commit).await.unwrap()
}

pub(crate) fn is_conflict(outcome: &Result<(), StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Conflict(_)))
}

/// Whoever commits to one entity.
pub(crate) struct Owner {
    pub(crate) store: Arc<dyn Entities>,
    pub(crate) entity: EntityId,
    pub(crate) fence: Fence,
    pub(crate) version: u64,
    pub(crate) incarnation: u64,
}

impl Owner {
    /// Of an entity that is not there yet; its first commit creates it.
    pub(crate) fn new(harness: &impl Harness, entity: EntityId) -> Self {
        let store = harness.store();
        Self {
            entity,
            fence: store.fence(),
            store,
            version: 0,
            incarnation: 0x1234_5678_9abc_def0,
        }
    }

    /// Of a new entity with no rows.
    pub(crate) async fn created(harness: &impl Harness, entity: EntityId) -> Self {
        let mut owner = Self::new(harness, entity);
        owner.commit(|_| {}).await;
        owner
    }

    /// Of an entity that is there.
    pub(crate) async fn loaded(harness: &impl Harness, entity: EntityId) -> Self {
        let store = harness.store();
        let loaded = store.load(entity, Vec::new()).await.unwrap().unwrap();
        Self {
            store,
            entity,
            fence: loaded.fence,
            version: loaded.head.version,
            incarnation: loaded.head.incarnation,
        }
    }

    /// The next commit, which changes nothing yet.
    pub(crate) fn next(&mut self) -> Commit {
        self.version += 1;
        Commit::new(self.entity, self.fence, self.version, self.incarnation)
    }

    /// Hands over the next commit.
    pub(crate) fn hand_over(
        &mut self,
        change: impl FnOnce(&mut Commit),
    ) -> oneshot::Receiver<Result<(), StoreError>> {
        let mut next = self.next();
        change(&mut next);
        hand_over(&*self.store, next)
    }

    /// Makes the next commit, which succeeds.
    pub(crate) async fn commit(&mut self, change: impl FnOnce(&mut Commit)) {
        self.hand_over(change).await.unwrap().unwrap();
    }

    /// Makes a commit that is refused, so that the one after it is still the next.
    pub(crate) async fn refused(&mut self, change: impl FnOnce(&mut Commit)) {
        let outcome = self.hand_over(change).await.unwrap();
        assert!(is_conflict(&outcome), "{outcome:?}");
        self.version -= 1;
    }

    /// Where the entity stands.
    pub(crate) async fn head(&self) -> Head {
        let loaded = self.store.load(self.entity, Vec::new()).await;
        loaded.unwrap().unwrap().head
    }
}

pub(crate) fn put(commit: &mut Commit, key: &[u8], row: &[u8]) {
    commit.rows.push((key.to_vec(), Some(row.to_vec())));
}

/// Puts entries, each with a row of its number and this text.
pub(crate) fn append(
    commit: &mut Commit,
    stream: u8,
    numbers: impl Iterator<Item = u64>,
    text: &str,
) {
    commit.entries.extend(numbers.map(|number| Entry {
        stream,
        number,
        row: numbered(number, text),
    }));
}

/// The row that [`append`] makes.
pub(crate) fn numbered(number: u64, text: &str) -> Vec<u8> {
    format!("{number} {text}").into_bytes()
}

pub(crate) fn keyed_result(who: u16, key: &str, reply: &[u8]) -> KeyedResult {
    KeyedResult {
        user: user(who),
        key: key.into(),
        method: 7,
        request: KeyedRequest::Hash([3; 16]),
        reply: reply.to_vec(),
    }
}

/// Fills a commit with something of everything but an end. The entries are the stream's next two if `number` commits of this
/// kind came before.
pub(crate) fn fill(commit: &mut Commit, number: u64) {
    let text = format!("commit {number}");
    put(commit, b"same", text.as_bytes());
    put(commit, text.as_bytes(), b"");
    commit.rows.push((b"gone".to_vec(), None));
    for stream in [0, 1] {
        append(commit, stream, 2 * number + 1..2 * number + 3, &text);
    }
    commit.firsts.push((1, 2 * number));
    let key = [&[commit.entity.id()[9]], b"list".as_slice()].concat();
    let row = Some(text.clone().into_bytes());
    commit.lists.push((List(1), key, row));
    commit.results = vec![keyed_result(1, "key", text.as_bytes())];
    for to in [3, 4] {
        commit.signals.push(Signal {
            to: entity(to),
            body: text.clone().into_bytes(),
        });
    }
    commit.applied = Some(Applied {
        from: entity(5),
        incarnation: 1,
        version: number + 1,
    });
}

/// Loads until the store has recovered.
pub(crate) async fn load_again(store: &dyn Entities, entity: EntityId) -> Option<Loaded> {
    loop {
        let reading: Reading<Option<Loaded>> = store.load(entity, Vec::new());
        match reading.await {
            Ok(loaded) => return loaded,
            Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

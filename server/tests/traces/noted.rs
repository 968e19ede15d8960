//! What is noted of calls, in this process.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use pitturu_metrics::labels::EntityKind;
use pitturu_metrics::table;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{ConnectionId, ID_BYTES};
use pitturu_protocol::methods::Method as _;
use pitturu_protocol::types::chat::SendMessage;
use pitturu_server::call_traces::{
    CallRead, CallTrace, Delivering, Trace, UNANSWERED_MAX, current, finish_old, open, set_share,
    shut, step,
};
use tokio::sync::mpsc;

/// Tests that trace take turns: what is traced is decided for the whole process.
static TURN: Mutex<()> = Mutex::new(());

fn read(call: u32) -> CallRead {
    CallRead {
        conn: ConnectionId::from_bytes([1; 10]),
        user: None,
        call,
        method: SendMessage::NUMBER,
        ago: Duration::from_millis(5),
    }
}

fn traced(share: f64, room: usize) -> mpsc::Receiver<Trace> {
    let (to, ended) = mpsc::channel(room);
    open(to);
    set_share(share);
    ended
}

fn ended_now(ended: &mut mpsc::Receiver<Trace>) -> Vec<Trace> {
    std::iter::from_fn(|| ended.try_recv().ok()).collect()
}

fn names(trace: &Trace) -> Vec<&'static str> {
    trace.steps.iter().map(|step| step.name).collect()
}

#[test]
fn without_a_collector_no_call_is_traced() {
    let _turn = TURN.lock();
    shut();
    set_share(1.0);
    assert!(!CallTrace::begin(|| read(1)).is_on());
}

#[test]
fn a_share_of_the_calls_is_traced() {
    let _turn = TURN.lock();
    for (share, least, most) in [(0.0, 0, 0), (0.25, 2_000, 3_000), (1.0, 10_000, 10_000)] {
        let _ended = traced(share, 1);
        let begun = (0..10_000)
            .map(|call| CallTrace::begin(|| read(call)))
            .filter(|trace| trace.is_on())
            .inspect(|trace| trace.ended(None))
            .count();
        assert!((least..=most).contains(&begun), "{begun} of {share}");
        shut();
    }
}

#[test]
fn a_call_is_over_when_it_is_answered_and_its_events_are_delivered() {
    let _turn = TURN.lock();
    let mut ended = traced(1.0, 100_000);
    let call = CallTrace::begin(|| read(1));
    let room = call.room();
    room.sent(EntityKind::Rooms, [2; ID_BYTES]);
    room.taken();
    room.decided(true);
    room.durable();
    let mut delivering = Delivering::default();
    delivering.begin(room);
    call.ended(None);
    assert!(ended_now(&mut ended).is_empty(), "it is being delivered");
    delivering.end(3);
    let traces = ended_now(&mut ended);
    shut();
    let [trace] = &traces[..] else {
        panic!("{traces:?}");
    };
    assert_eq!(names(trace), ["owner.wait", "decide", "commit", "deliver"]);
    assert_eq!(trace.steps[3].followers, Some(3));
    let of = Some((EntityKind::Rooms, [2; ID_BYTES]));
    assert!(trace.steps.iter().all(|step| step.of == of));
    assert!(trace.steps[0].from >= Duration::from_millis(5));
    for pair in trace.steps.windows(2) {
        assert!(pair[0].to <= pair[1].from, "{pair:?}");
    }
    assert!(trace.is_answered && trace.took >= trace.steps[3].to);
}

#[test]
fn what_is_noted_after_the_end_is_forgotten() {
    let _turn = TURN.lock();
    let mut ended = traced(1.0, 100_000);
    let call = CallTrace::begin(|| read(1));
    call.ended(Some(Code::Cancelled));
    call.room().decided(true);
    call.ended(None);
    let traces = ended_now(&mut ended);
    shut();
    assert_eq!(traces.len(), 1);
    assert_eq!(traces[0].fault, Some(Code::Cancelled));
    assert!(traces[0].steps.is_empty());
}

#[test]
fn a_call_that_nobody_answers_ends_with_its_age() {
    let _turn = TURN.lock();
    let mut ended = traced(1.0, 100_000);
    let call = CallTrace::begin(|| read(1));
    call.another().taken();
    finish_old(Duration::from_secs(60));
    assert!(ended_now(&mut ended).is_empty());
    finish_old(Duration::from_millis(5));
    let traces = ended_now(&mut ended);
    shut();
    assert_eq!(traces.len(), 1);
    assert!(!traces[0].is_answered);
    assert_eq!(names(&traces[0]), ["decide"]);
}

#[test]
fn too_many_are_dropped_and_counted() {
    let _turn = TURN.lock();
    let mut ended = traced(1.0, 2);
    let before = table::TRACES_DROPPED.value();
    for call in 0..5 {
        CallTrace::begin(|| read(call)).ended(None);
    }
    assert!(ended_now(&mut ended).len() <= 2);
    assert!(table::TRACES_DROPPED.value() - before >= 3);
    let kept = (0..10_000).filter(|call| CallTrace::begin(|| read(*call)).is_on());
    assert!(kept.count() <= UNANSWERED_MAX);
    shut();
}

#[test]
fn a_call_of_very_many_steps_says_how_many_are_left_out() {
    let _turn = TURN.lock();
    let mut ended = traced(1.0, 100_000);
    let call = CallTrace::begin(|| read(1));
    for _ in 0..100 {
        call.another().taken();
    }
    call.ended(None);
    let traces = ended_now(&mut ended);
    shut();
    assert_eq!((traces[0].steps.len(), traces[0].left_out), (64, 36));
}

#[test]
fn the_current_call_is_current_while_its_work_is_polled() {
    let _turn = TURN.lock();
    let mut ended = traced(1.0, 1);
    let call = CallTrace::begin(|| read(1));
    let mut is_woken = false;
    let seen = std::future::poll_fn(move |_| {
        assert_eq!(current(), call);
        if !std::mem::replace(&mut is_woken, true) {
            return Poll::Pending;
        }
        drop(step("password.hash"));
        call.ended(None);
        Poll::Ready(())
    });
    let mut work = call.carried_by(Box::pin(seen));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(work.as_mut().poll(&mut cx).is_pending());
    assert_eq!(current(), CallTrace::NONE);
    assert!(work.as_mut().poll(&mut cx).is_ready());
    let traces = ended_now(&mut ended);
    shut();
    assert_eq!(names(&traces[0]), ["password.hash"]);
}

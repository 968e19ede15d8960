use std::collections::HashMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const MINUTE: u64 = 60_000;

fn network(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, number))
}

fn lockout() -> Lockout {
    Lockout::new(LockoutConfig::default())
}

/// An attempt that nothing else is under way beside.
fn admit<'a>(lockout: &'a Lockout, name: &str, from: IpAddr, now: u64) -> Result<Attempt<'a>, u64> {
    let mut admitted = Box::pin(lockout.admit(name, from, || now));
    match admitted
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(admitted) => admitted,
        Poll::Pending => panic!("nobody is before it"),
    }
}

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Attempt<'a>, u64>> + 'a>>;

/// Takes out those that need not wait any longer.
fn ready<'a>(waiting: &mut Vec<Waiting<'a>>) -> Vec<Result<Attempt<'a>, u64>> {
    let mut context = Context::from_waker(Waker::noop());
    let mut admitted = Vec::new();
    waiting.retain_mut(|next| match next.as_mut().poll(&mut context) {
        Poll::Ready(outcome) => {
            admitted.push(outcome);
            false
        }
        Poll::Pending => true,
    });
    admitted
}

fn guess(lockout: &Lockout, name: &str, from: IpAddr, now: u64) -> Result<(), u64> {
    admit(lockout, name, from, now).map(|attempt| attempt.failed(now))
}

#[test]
fn whoever_waits_is_admitted_after_each_delay_and_the_delay_doubles() {
    let lockout = lockout();
    for _ in 0..6 {
        guess(&lockout, "ana", HERE, 0).expect("five are free, and the sixth begins the delays");
    }
    let (mut now, mut delay) = (0, 1_000);
    // For a quarter of an hour, in which the first of them leaks.
    for _ in 0..9 {
        for early in [0, delay / 2, delay - 1] {
            let wait = guess(&lockout, "ana", HERE, now + early);
            assert_eq!(wait, Err(delay - early), "what is refused extends nothing");
        }
        now += delay;
        guess(&lockout, "ana", HERE, now).expect("waited");
        delay *= 2;
    }
    assert!(guess(&lockout, "ben", HERE, now).is_ok(), "another name");
    assert!(
        guess(&lockout, "ana", THERE, now).is_ok(),
        "another network"
    );
}

#[test]
fn a_right_password_takes_back_nothing_but_its_own_attempt() {
    let lockout = lockout();
    for _ in 0..5 {
        guess(&lockout, "ana", HERE, 0).expect("free");
    }
    drop(admit(&lockout, "ana", HERE, 0).expect("free"));
    guess(&lockout, "ana", HERE, 0).expect("the sixth wrong one");
    assert_eq!(guess(&lockout, "ana", HERE, 10), Err(990));
    // It does not begin the delay anew either.
    drop(admit(&lockout, "ana", HERE, 1_000).expect("waited"));
    guess(&lockout, "ana", HERE, 1_000).expect("the seventh");
    assert_eq!(guess(&lockout, "ana", HERE, 1_000), Err(2_000));
}

#[test]
fn a_network_with_honest_typos_recovers() {
    let lockout = lockout();
    for n in 0..51 {
        guess(&lockout, &format!("typist{n}"), HERE, 0).expect("free");
    }
    for _ in 0..1_000 {
        assert!(guess(&lockout, "hasty", HERE, 500).is_err());
    }
    drop(admit(&lockout, "other", HERE, 1_000).expect("one second later"));
    let leaked = 51 * 90_000;
    for n in 0..51 {
        guess(&lockout, &format!("typist{n}"), HERE, leaked).expect("all has leaked");
    }
}

#[test]
fn attempts_under_way_are_no_failures_and_no_way_past() {
    let lockout = lockout();
    let mut running: Vec<_> = (0..5)
        .map(|_| admit(&lockout, "ana", HERE, 0).expect("free"))
        .collect();
    let mut waiting: Vec<Waiting<'_>> = (0..20)
        .map(|_| Box::pin(lockout.admit("ana", HERE, || 0)) as Waiting<'_>)
        .collect();
    assert!(
        ready(&mut waiting).is_empty(),
        "neither refused nor let past"
    );
    // Right ones make place.
    running.pop();
    let mut next = ready(&mut waiting);
    assert_eq!(next.len(), 1);
    running.push(next.remove(0).expect("place"));
    for attempt in running {
        attempt.failed(0);
    }
    let mut guesses = 5;
    loop {
        let mut next = ready(&mut waiting);
        if next.iter().any(Result::is_err) {
            assert!(
                next.iter()
                    .all(|outcome| *outcome.as_ref().unwrap_err() == 1_000)
            );
            break;
        }
        assert_eq!(next.len(), 1, "one after the other");
        next.remove(0).expect("place").failed(0);
        guesses += 1;
    }
    assert_eq!(guesses, 6);
    assert!(waiting.is_empty());
    let tables = lockout.tables.lock();
    assert!(tables.buckets.iter().all(|table| table.pending.is_empty()));
    assert!(tables.waiting.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_guesses_do_not_slip_past() {
    let lockout = Arc::new(lockout());
    let tasks: Vec<_> = (0..400)
        .map(|_| {
            let lockout = Arc::clone(&lockout);
            tokio::spawn(async move {
                let attempt = lockout.admit("ana", HERE, || 0).await;
                let Ok(attempt) = attempt else { return false };
                tokio::task::yield_now().await;
                attempt.failed(0);
                true
            })
        })
        .collect();
    let mut admitted = 0;
    for task in tasks {
        admitted += usize::from(task.await.unwrap());
    }
    assert_eq!(admitted, 6);
}

#[test]
fn those_who_wait_are_limited_in_each_network_and_in_all() {
    let lockout = lockout();
    let networks = WAITING_MAX / WAITING_PER_NETWORK_MAX;
    let mut held = Vec::new();
    let mut waiting: Vec<Waiting<'_>> = Vec::new();
    for number in 0..networks {
        let from = network(u8::try_from(number).unwrap());
        held.extend((0..5).map(|_| admit(&lockout, "ana", from, 0).expect("free")));
        for _ in 0..=WAITING_PER_NETWORK_MAX {
            waiting.push(Box::pin(lockout.admit("ana", from, || 0)));
        }
        let refused: Vec<_> = ready(&mut waiting)
            .into_iter()
            .map(Result::unwrap_err)
            .collect();
        assert_eq!(refused, [COME_BACK_MS], "the one too many of its network");
    }
    held.extend((0..5).map(|_| admit(&lockout, "ana", HERE, 0).expect("free")));
    waiting.push(Box::pin(lockout.admit("ana", HERE, || 0)));
    let refused = ready(&mut waiting).into_iter().map(Result::unwrap_err);
    assert_eq!(refused.collect::<Vec<_>>(), [COME_BACK_MS], "of all");
    drop(waiting);
    assert!(lockout.tables.lock().waiting.is_empty());
}

#[test]
fn one_guess_per_longest_delay_is_all_that_patience_buys() {
    let lockout = lockout();
    let (mut now, mut admitted) = (0, 0);
    while now < 15 * MINUTE * 50 {
        admitted += usize::from(guess(&lockout, "ana", HERE, now).is_ok());
        now += 5_000;
    }
    assert!((50..=70).contains(&admitted), "{admitted}");
}

#[test]
fn many_networks_together_guess_no_faster_than_the_name_allows() {
    let lockout = lockout();
    let (mut now, mut admitted) = (0, 0);
    while now < 24 * 60 * MINUTE {
        for number in 0..=255 {
            admitted += usize::from(guess(&lockout, "ana", network(number), now).is_ok());
        }
        now += 30_000;
    }
    let leaks = usize::try_from(24 * 60 * MINUTE / 90_000).unwrap();
    assert!(admitted <= 110 + leaks, "{admitted}");
}

#[test]
fn memory_is_bounded_whatever_is_tried() {
    let lockout = Lockout::with_capacity(LockoutConfig::default(), 100);
    for n in 0..100_000_u32 {
        let from = IpAddr::V4(n.into());
        guess(&lockout, &format!("name{n}"), from, 0).expect("new");
        if n % 50 == 0 {
            guess(&lockout, "ana", HERE, 0).ok();
        }
    }
    let tables = lockout.tables.lock();
    for table in &tables.buckets {
        assert!(table.raised.len() <= 100 && table.order.len() == table.raised.len());
        assert!(table.pending.is_empty());
    }
    let (kind, id) = buckets_of("ana", HERE)[0];
    let kept = tables.buckets[kind as usize].raised.get(&id);
    assert!(kept.is_some(), "raised again and again");
}

#[test]
fn any_configuration_counts_without_overflow() {
    for (first, max) in [
        (0, 0),
        (1, u64::MAX / 2),
        (u64::MAX / 4, u64::MAX / 4),
        (1_000, 1),
    ] {
        let lockout = Lockout::new(LockoutConfig {
            name_failures_free: 0,
            name_total_free: 0,
            address_failures_free: u32::MAX - 1,
            delay_first_ms: first,
            delay_max_ms: max,
        });
        for now in (0..200).chain([u64::MAX - 1, u64::MAX]) {
            guess(&lockout, "ana", HERE, now).ok();
        }
    }
}

/// What an attacker or bystander does, and how long they rest before.
#[derive(Clone, Copy, Debug)]
struct Step {
    rest_ms: u64,
    network: u8,
    is_victims_name: bool,
    is_right: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rest = prop_oneof![
        3 => 0..50_u64,
        3 => 0..5_000_u64,
        2 => 0..20 * MINUTE,
        1 => 0..24 * 60 * MINUTE,
    ];
    let step = (
        rest,
        0..5_u8,
        proptest::bool::weighted(0.8),
        proptest::bool::weighted(0.05),
    );
    let step = step.prop_map(|(rest_ms, network, is_victims_name, is_right)| Step {
        rest_ms,
        network,
        is_victims_name,
        is_right,
    });
    proptest::collection::vec(step, 1..1_500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Up to five networks try whatever they like on the victim's name and others. The victim's password gets in at once from any
    /// other network and from a known device; from a network that an attacker shares, a minute and a half after the attacker stops trying on all names, and
    /// fifteen minutes after that on the victim's.
    #[test]
    fn strangers_hold_nobody_else_up(steps in steps()) {
        let lockout = lockout();
        let mut now = 1_000;
        let mut refused: HashMap<u8, u64> = HashMap::new();
        for (n, step) in steps.into_iter().enumerate() {
            now += step.rest_ms;
            let from = network(step.network);
            let other = format!("other{}", n % 30);
            let name = if step.is_victims_name { "victim" } else { &other };
            match admit(&lockout, name, from, now) {
                Ok(attempt) if step.is_right => drop(attempt),
                Ok(attempt) => attempt.failed(now),
                Err(wait) => {
                    prop_assert!(wait <= 15 * MINUTE);
                    *refused.entry(step.network).or_default() += 1;
                }
            }
            prop_assert!(admit(&lockout, "victim", THERE, now).is_ok(), "from elsewhere");
            let device = lockout.admit_device(&[b"victim", b"session"], HERE, || now);
            let known = std::pin::pin!(device);
            let known = known.poll(&mut Context::from_waker(Waker::noop()));
            prop_assert!(matches!(known, Poll::Ready(Ok(_))), "from a known device");
        }
        for number in 0..5 {
            prop_assert!(admit(&lockout, "bystander", network(number), now + 90_000).is_ok());
            prop_assert!(admit(&lockout, "victim", network(number), now + 15 * MINUTE).is_ok());
        }
    }
}

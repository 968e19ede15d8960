//! Who is refused, and for how long.

use super::*;

fn user(byte: u8) -> RateKey {
    RateKey::User(UserId::from_bytes([byte; 10]))
}

fn three_at_once() -> Rates {
    Rates::new(&Allowances {
        chat: Allowance::new(1, 3),
        ..Allowances::default()
    })
}

#[test]
fn a_burst_passes_and_then_each_caller_waits_alone() {
    let rates = three_at_once();
    let (mut one, mut other) = (CachedBuckets::default(), CachedBuckets::default());
    for _ in 0..3 {
        rates
            .admit(&mut one, user(1), Rate::Chat)
            .expect("within the burst");
    }
    let fault = rates
        .admit(&mut one, user(1), Rate::Chat)
        .expect_err("beyond the burst");
    assert_eq!(fault.code, Code::RateLimited);
    assert!(
        fault
            .retry_after_ms
            .is_some_and(|wait| wait > 0 && wait <= 1_001)
    );
    rates
        .admit(&mut other, user(2), Rate::Chat)
        .expect("has its own burst");
    rates
        .admit(&mut one, user(1), Rate::Read)
        .expect("another class");
}

#[test]
fn a_player_has_one_allowance_over_all_connections_also_after_they_end() {
    let rates = three_at_once();
    let mut connections = [CachedBuckets::default(), CachedBuckets::default()];
    for connection in [0, 1, 0] {
        rates
            .admit(&mut connections[connection], user(1), Rate::Chat)
            .expect("within the burst");
    }
    for connection in &mut connections {
        rates
            .admit(connection, user(1), Rate::Chat)
            .expect_err("the burst was used up by both");
    }
    drop(connections);
    rates.forget_idle();
    rates
        .admit(&mut CachedBuckets::default(), user(1), Rate::Chat)
        .expect_err("a new connection brings no new burst");
}

#[test]
fn calls_that_are_refused_together_are_told_to_come_one_after_the_other() {
    let rates = Rates::new(&Allowances {
        chat: Allowance::new(10, 3),
        ..Allowances::default()
    });
    let mut connection = CachedBuckets::default();
    let mut admit = || rates.admit(&mut connection, user(1), Rate::Chat);
    for _ in 0..3 {
        admit().expect("within the burst");
    }
    let mut told = Vec::new();
    for _ in 0..200 {
        let refused = admit().expect_err("nothing has come back yet");
        told.push(refused.retry_after_ms.expect("it says how long"));
    }
    // Ten in a second, as many as will be let through.
    for (before, after) in told.iter().zip(&told[10..]).take(80) {
        let apart = after - before;
        assert!((500..=1_000).contains(&apart), "{told:?}");
    }
    let longest = told.iter().max().unwrap();
    assert!(*longest <= 10_001, "{told:?}");
}

/// One server of a game speaks for all of its players.
#[test]
fn what_a_service_reads_and_changes_has_an_allowance_of_its_own() {
    let rates = Rates::new(&Allowances {
        read: Allowance::new(1, 1),
        write: Allowance::new(1, 1),
        chat: Allowance::new(1, 1),
        service: Allowance::new(1, 4),
        ..Allowances::default()
    });
    let mut connection = CachedBuckets::default();
    let service = RateKey::Service(UserId::from_bytes([1; 10]));
    for rate in [Rate::Write, Rate::Read, Rate::Write, Rate::Read] {
        rates
            .admit(&mut connection, service, rate)
            .expect("within its burst");
    }
    for rate in [Rate::Write, Rate::Read] {
        let refused = rates.admit(&mut connection, service, rate);
        assert_eq!(refused.unwrap_err().code, Code::RateLimited);
    }
    let mut chat = || rates.admit(&mut connection, service, Rate::Chat);
    chat().expect("the first message");
    chat().expect_err("in rooms it is a player like any other");
}

#[test]
fn a_connection_counts_for_whoever_is_signed_in() {
    let rates = three_at_once();
    let mut connection = CachedBuckets::default();
    for who in [user(1), user(2)] {
        for _ in 0..3 {
            rates
                .admit(&mut connection, who, Rate::Chat)
                .expect("within the burst of each");
        }
    }
    rates
        .admit(&mut connection, user(1), Rate::Chat)
        .expect_err("the first one's burst was used up");
}

#[test]
fn callers_are_forgotten_once_nobody_holds_them_and_they_have_waited() {
    let limiters = Limiters::new(&Allowances::default());
    // So long ago that what was used up has come back.
    let rates = Rates::of(Limiters {
        start: limiters.start.saturating_sub(Nanos::from(2 * KEPT_NS)),
        ..limiters
    });
    let mut connection = CachedBuckets::default();
    rates
        .admit(&mut connection, user(1), Rate::Chat)
        .expect("the first call");
    let count = || rates.used.read().buckets.len();
    let buckets = rates.used.read().buckets(user(1));
    for full_at in buckets.0.iter() {
        full_at.store(0, Ordering::Release);
    }
    drop(buckets);
    rates.forget_idle();
    assert_eq!(count(), 1, "the connection holds it");
    drop(connection);
    rates.forget_idle();
    assert_eq!(count(), 0);
}

#[test]
fn a_call_that_counts_as_several_takes_them_from_the_burst() {
    let rates = three_at_once();
    let mut connection = CachedBuckets::default();
    let two = NonZeroU32::new(2).unwrap();
    let mut more = |calls| rates.admit_more(&mut connection, user(1), Rate::Chat, calls);
    more(two).expect("within the burst");
    let fault = more(two).expect_err("one is left");
    assert_eq!(fault.code, Code::RateLimited);
    assert!(fault.retry_after_ms.is_some());
    more(NonZeroU32::MIN).expect("the last one");
    let mut other = CachedBuckets::default();
    let many = NonZeroU32::MAX;
    rates
        .admit_more(&mut other, user(2), Rate::Chat, many)
        .expect("what is more than any burst takes all of it");
    rates
        .admit(&mut other, user(2), Rate::Chat)
        .expect_err("nothing is left");
}

#[test]
fn the_addresses_of_one_network_have_one_allowance() {
    let rates = three_at_once();
    let admit = |text: &str| {
        let who = RateKey::Address(Network::of(text.parse().unwrap()));
        rates.admit(&mut CachedBuckets::default(), who, Rate::Chat)
    };
    for host in ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:1"] {
        admit(host).expect("within the burst");
    }
    admit("2001:db8::3").expect_err("one customer has them all");
    admit("2001:db8:0:1::1").expect("another customer");
    for host in ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"] {
        admit(host).expect("within the burst");
    }
    admit("::ffff:192.0.2.1").expect_err("the same address");
    admit("192.0.2.2").expect("another address");
}

#[test]
fn calls_at_the_same_time_are_all_counted() {
    let rates = Rates::new(&Allowances {
        chat: Allowance::new(1, 1_000),
        ..Allowances::default()
    });
    let admitted = AtomicU64::new(0);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let mut connection = CachedBuckets::default();
                for _ in 0..400 {
                    let outcome = rates.admit(&mut connection, user(1), Rate::Chat);
                    admitted.fetch_add(u64::from(outcome.is_ok()), Ordering::Relaxed);
                }
            });
        }
    });
    // A whole second would have to pass for each one above the burst.
    let admitted = admitted.into_inner();
    assert!((1_000..1_600).contains(&admitted), "{admitted}");
}

#[test]
fn other_allowances_hold_at_once_also_for_those_who_are_there() {
    let rates = three_at_once();
    let mut connection = CachedBuckets::default();
    let mut admitted = |rates: &Rates| {
        let mut admit = || rates.admit(&mut connection, user(1), Rate::Chat);
        (0..20).take_while(|_| admit().is_ok()).count()
    };
    assert_eq!(admitted(&rates), 3);
    let chat = |burst| Allowances {
        chat: Allowance::new(1, burst),
        ..Allowances::default()
    };
    rates.replace(&chat(3));
    assert_eq!(admitted(&rates), 0, "the same brings no new burst");
    rates.replace(&chat(7));
    assert_eq!(admitted(&rates), 7);
    rates.replace(&chat(2));
    assert_eq!(admitted(&rates), 2);
}

//! The client machine: who may call when, what is repeated, what is the same on each connection, and tokens that others
//! may change.

use pitturu_protocol::client::{Config, Connection, Output, Request, Tokens};
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame;
use pitturu_protocol::methods::{Access, Effect, METHODS, Method};
use pitturu_protocol::types::accounts::{GetAccount, LoginGuest, Logout, RefreshTokens};
use pitturu_protocol::types::presence::{SetPresence, Status};
use pitturu_protocol::types::system::{Done, Echo};

use crate::machine::{Driven, any_call, hidden, identity, player, signed_in, tokens, welcome};

const SIGNED_OUT: Result<(), Code> = Err(Code::Unauthenticated);

fn login() -> LoginGuest {
    LoginGuest {
        secret: "s".repeat(16),
        name: None,
        device: None,
    }
}

#[test]
fn exactly_what_does_no_harm_is_repeated_when_the_server_says() {
    for method in METHODS {
        for key in [None, Some("key")] {
            for code in [Code::RateLimited, Code::Overloaded] {
                let mut test = Driven::online(player());
                let ticket = test.machine.call(any_call(method, key)).unwrap();
                let call = test.said().calls[0].call;
                test.fault(call, Fault::of(code).retry_after_ms(4_000));
                let harmless = match method.effect {
                    Effect::Reads => !method.momentary,
                    Effect::Writes => key.is_some(),
                };
                let what = format!("{} with {key:?} after {code:?}", method.name);
                if !harmless {
                    assert_eq!(test.answers(), [(ticket, Err(code))], "{what}");
                    continue;
                }
                test.pass(3_999);
                assert_eq!(test.said().calls, [], "{what} too early");
                test.pass(1_002);
                let again = test.said().calls;
                assert_eq!(again.len(), 1, "{what}");
                assert_eq!(again[0].method, method.number);
                assert_eq!(test.answers(), [], "{what}");
            }
        }
    }
}

#[test]
fn a_call_that_needs_a_player_ends_at_once_while_nobody_could_be_signed_in() {
    type State = (&'static str, fn() -> Driven);
    let states: [State; 4] = [
        ("never started", || Driven::new(Config::default())),
        ("connecting", || {
            let mut test = Driven::new(Config::default());
            test.machine.start(test.now);
            test.outputs();
            test
        }),
        ("online", || Driven::online(Config::default())),
        ("after signing out", || {
            let mut test = Driven::online(player());
            test.call(&Logout {}, Some("bye"));
            let call = test.called::<Logout>();
            test.receive(&frame::reply(call, &Done {}));
            test.outputs();
            test
        }),
    ];
    for (state, make) in states {
        for method in METHODS {
            let mut test = make();
            let ticket = test.machine.call(any_call(method, Some("key"))).unwrap();
            let ended = test.answers() == [(ticket, SIGNED_OUT)];
            let needs_player = method.access != Access::Anyone;
            assert_eq!(ended, needs_player, "{} {state}", method.name);
        }
    }
}

#[test]
fn calls_wait_for_a_sign_in_under_way_and_end_with_it() {
    type Way = (&'static str, fn(&mut Driven));
    let ways: [Way; 3] = [
        ("refused", |test| {
            let call = test.called::<LoginGuest>();
            test.fault(call, Fault::of(Code::Forbidden));
        }),
        ("no connection and no key", |test| {
            test.said();
            test.machine.disconnected(test.now, None);
        }),
        ("a reply that can't be read", |test| {
            let call = test.called::<LoginGuest>();
            test.receive(&frame::reply(call, &Done {}));
        }),
    ];
    for (what, end) in ways {
        let mut test = Driven::online(Config::default());
        test.call(&login(), None);
        let waiting = test.call(&GetAccount {}, None);
        assert_eq!(test.answers(), [], "{what}");
        end(&mut test);
        let ended = test.answers();
        assert!(ended.contains(&(waiting, SIGNED_OUT)), "{what}: {ended:?}");
        assert_eq!(ended.len(), 2, "{what}");
    }

    let mut test = Driven::online(Config::default());
    let ticket = test.call(&login(), Some("key"));
    let waiting = test.call(&GetAccount {}, None);
    test.machine.disconnected(test.now, None);
    test.machine.cancel(ticket);
    assert_eq!(test.answers(), [(waiting, SIGNED_OUT)], "cancelled");

    let mut test = Driven::new(Config::default());
    let mut request = Request::of(&login());
    request.deadline = Some(test.now + 5_000);
    test.machine.call(request).unwrap();
    let waiting = test.call(&GetAccount {}, None);
    test.pass(5_000);
    assert!(test.answers().contains(&(waiting, SIGNED_OUT)), "too late");
}

/// What the hello of the next connection says of the presence.
fn next_hello(test: &mut Driven) -> Option<SetPresence> {
    test.reconnect().hello.unwrap().presence
}

#[test]
fn what_others_see_is_told_with_each_hello() {
    let mut test = Driven::online(player());
    assert_eq!(next_hello(&mut test), None);
    test.receive(&welcome(Some(identity(1))));
    test.call(&hidden(), None);
    let call = test.called::<SetPresence>();
    assert_eq!(next_hello(&mut test), Some(hidden()), "without its reply");
    let _ = call;
    test.receive(&welcome(Some(identity(1))));
    let away = SetPresence {
        status: Status::Away,
        note: Some("tea".into()),
    };
    let call = test.said().calls;
    assert_eq!(call, [], "it was repeated with the hello");
    test.receive(&frame::reply(1, &Done {}));
    assert_eq!(next_hello(&mut test), Some(hidden()), "with its reply");
    test.receive(&welcome(Some(identity(1))));
    test.call(&away, None);
    let call = test.called::<SetPresence>();
    test.fault(call, Fault::of(Code::InvalidArgument));
    assert_eq!(next_hello(&mut test), Some(hidden()), "another was refused");
}

#[test]
fn what_the_server_would_refuse_is_not_in_the_hello() {
    let refused = [
        SetPresence {
            status: Status::InGame,
            note: None,
        },
        SetPresence {
            status: Status::Online,
            note: Some("é".repeat(257)),
        },
        SetPresence {
            status: Status::Online,
            note: Some("x".repeat(60_000)),
        },
    ];
    for presence in refused {
        let mut test = Driven::online(player());
        test.call(&hidden(), None);
        let call = test.called::<SetPresence>();
        test.receive(&frame::reply(call, &Done {}));
        test.call(&presence, None);
        assert_eq!(next_hello(&mut test), Some(hidden()), "{presence:?}");
    }
}

#[test]
fn what_others_see_ends_with_the_player() {
    let mut test = Driven::online(player());
    test.call(&hidden(), None);
    let call = test.called::<SetPresence>();
    test.receive(&frame::reply(call, &Done {}));
    test.call(&login(), Some("key"));
    let call = test.called::<LoginGuest>();
    test.receive(&frame::reply(call, &signed_in(2, 2)));
    assert_eq!(next_hello(&mut test), None, "another player");

    test.receive(&welcome(Some(identity(2))));
    test.call(&hidden(), None);
    let call = test.called::<SetPresence>();
    test.receive(&frame::reply(call, &Done {}));
    test.call(&Logout {}, Some("bye"));
    let call = test.called::<Logout>();
    test.receive(&frame::reply(call, &Done {}));
    assert_eq!(next_hello(&mut test), None, "nobody");
}

/// A player whose tokens others may change.
fn shared() -> Config {
    Config {
        reads_tokens: true,
        ..Config::default()
    }
}

/// Online with the tokens of [`tokens`] 1.
fn shared_online() -> Driven {
    let mut test = Driven::new(shared());
    test.machine.start(test.now);
    test.machine.tokens_read(test.now, Some(tokens(1)));
    test.machine.connected(test.now);
    test.receive(&welcome(Some(identity(1))));
    test.outputs();
    test.said();
    test
}

#[test]
fn a_client_that_reads_its_tokens_waits_for_them_before_it_connects() {
    let mut test = Driven::new(shared());
    let waiting = test.call(&GetAccount {}, None);
    test.machine.start(test.now);
    assert_eq!(
        test.outputs(),
        [
            Output::ReadTokens,
            Output::Connection(Connection::Connecting)
        ]
    );
    test.pass(100_000);
    assert_eq!(test.outputs(), []);
    test.machine.tokens_read(test.now, Some(tokens(1)));
    assert_eq!(test.outputs(), [Output::Connect]);
    test.machine.connected(test.now);
    let said = test.said();
    assert_eq!(said.hello.unwrap().token.as_deref(), Some("access 1"));
    assert_eq!(said.calls[0].method, GetAccount::NUMBER);
    assert_eq!(test.answers(), []);

    let mut nobody = Driven::new(shared());
    let ended = nobody.call(&GetAccount {}, None);
    nobody.machine.start(nobody.now);
    nobody.machine.tokens_read(nobody.now, None);
    assert_eq!(nobody.answers(), [(ended, SIGNED_OUT)]);
    let _ = waiting;

    let mut stopped = Driven::new(shared());
    stopped.machine.start(stopped.now);
    stopped.machine.stop();
    stopped.machine.tokens_read(stopped.now, Some(tokens(1)));
    stopped.pass(100_000);
    let outputs = stopped.outputs();
    assert!(!outputs.contains(&Output::Connect), "{outputs:?}");
    assert_eq!(
        stopped.machine.connection(),
        Connection::Stopped { code: None }
    );
}

/// The refresh token that the only call on the wire uses.
fn refreshed_with(test: &mut Driven) -> String {
    let calls = test.said().calls;
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0].method, RefreshTokens::NUMBER);
    let request: RefreshTokens = pitturu_protocol::codec::decode(&calls[0].body).unwrap();
    request.refresh
}

#[test]
fn a_refresh_token_is_read_again_before_it_is_used() {
    for (found, used) in [
        (None, "refresh 1"),
        (Some(Tokens::default()), "refresh 1"),
        (Some(tokens(7)), "refresh 7"),
    ] {
        let mut test = shared_online();
        test.machine.disconnected(test.now, Some(4200));
        let said = test.reconnect();
        assert_eq!(said.hello.unwrap().token, None);
        assert_eq!(said.calls, []);
        test.receive(&welcome(None));
        assert_eq!(test.machine.connection(), Connection::CatchingUp);
        test.machine.tokens_read(test.now, found.clone());
        assert_eq!(refreshed_with(&mut test), used, "{found:?}");
        test.machine.tokens_read(test.now, Some(tokens(9)));
        assert_eq!(test.said().calls, [], "nobody waits for them");
    }
}

#[test]
fn what_one_player_wanted_is_not_done_by_another_whose_tokens_were_found() {
    let mut test = shared_online();
    test.machine.disconnected(test.now, Some(4200));
    let wanted = test.call(&GetAccount {}, None);
    test.reconnect();
    test.receive(&welcome(None));
    test.machine.tokens_read(test.now, Some(tokens(7)));
    let call = test.called::<RefreshTokens>();
    test.receive(&frame::reply(call, &signed_in(2, 8)));
    assert_eq!(test.answers(), [(wanted, SIGNED_OUT)]);
    assert_eq!(test.said().calls, []);

    let mut test = shared_online();
    test.machine.disconnected(test.now, Some(4200));
    test.call(&GetAccount {}, None);
    test.reconnect();
    test.receive(&welcome(None));
    test.machine.tokens_read(test.now, Some(tokens(7)));
    let call = test.called::<RefreshTokens>();
    test.receive(&frame::reply(call, &signed_in(1, 8)));
    assert_eq!(test.answers(), []);
    assert_eq!(test.called::<GetAccount>(), call + 1);
}

#[test]
fn a_sign_in_ends_the_reading_that_a_refresh_began() {
    let mut test = shared_online();
    test.machine.disconnected(test.now, Some(4200));
    test.reconnect();
    test.receive(&welcome(None));
    test.call(&login(), Some("key"));
    let call = test.called::<LoginGuest>();
    test.receive(&frame::reply(call, &signed_in(2, 3)));
    test.machine.tokens_read(test.now, Some(tokens(1)));
    test.call(&Echo { data: Vec::new() }, None);
    test.called::<Echo>();
}

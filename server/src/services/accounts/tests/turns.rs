use futures_util::FutureExt as _;
use pitturu_protocol::codes::Code;
use pitturu_protocol::types::accounts::Login;

use super::{PASSWORD, World, code, login, register};
use crate::services::accounts::passwords::{Asker, PasswordConfig, Rank};

#[tokio::test]
async fn a_network_full_of_sign_ins_has_a_place_for_known_devices_and_no_other() {
    let mut config = super::config();
    config.passwords = PasswordConfig {
        cost: 4,
        threads: 1,
    };
    let world = World::with(config).await;
    let tokens = world.register("ana").await;
    let other = world.register("eve").await;
    let (caller, passwords) = (world.anyone(), world.accounts.passwords());
    let stranger = Asker::of(&caller, Rank::SignIn);
    let held = passwords.hold(stranger);
    while passwords.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    let mut strangers = Vec::new();
    loop {
        let mut next = Box::pin(passwords.verify(stranger, "a password", None));
        match (&mut next).now_or_never() {
            None => strangers.push(next),
            Some(refused) => break assert_eq!(code(refused), Code::Overloaded),
        }
    }

    let refused = world.accounts.register(&caller, register("new"));
    let mut answers = vec![refused.await.unwrap_err()];
    for name in ["ana", "nobody"] {
        for known in [None, Some(other.refresh.clone())] {
            let login = Login {
                known,
                ..login(name, PASSWORD)
            };
            let refused = world.accounts.login(&caller, login).await;
            answers.push(refused.unwrap_err());
        }
    }
    assert_eq!(answers[0].code, Code::Overloaded);
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "known and unknown names get the same answer: {answers:?}"
    );

    let known = Login {
        known: Some(tokens.refresh.clone()),
        ..login("ana", PASSWORD)
    };
    let waiting = strangers.len();
    let mut displaced = strangers.pop().expect("a stranger waits");
    let (signed_in, ()) = tokio::join!(world.accounts.login(&caller, known), async {
        let told = (&mut displaced).await;
        assert_eq!(code(told), Code::Overloaded);
        assert_eq!(passwords.waiting(), waiting);
        drop(held);
    });
    assert_eq!(signed_in.unwrap().identity.user, tokens.identity.user);
    for stranger in strangers {
        assert_eq!(stranger.await, Ok(false));
    }
}

//! One suite for every store: what the ports promise, checked through the ports alone.
//!
//! An implementation supplies a [`Harness`] and calls [`conformance_suite`], which makes one test of each case.

pub(crate) mod auth_keys;
pub(crate) mod entities;

use pitturu_protocol::ids::UserId;

use super::auth_keys::AuthKeys;

/// A store under test.
pub(crate) trait Harness {
    /// What implements the ports.
    type Store: AuthKeys;

    /// An empty store.
    fn new() -> Self;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// Closes the store and opens it again, as a restart of the process does.
    fn restart(&mut self);
}

/// Makes a test of each case for the harness.
macro_rules! conformance_suite {
    ($harness:ty: $($module:ident::$case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let harness = <$harness as $crate::conformance::Harness>::new();
                $crate::conformance::$module::$case(harness).await;
            }
        )*
    };
    ($harness:ty) => {
        $crate::conformance::conformance_suite! { $harness:
            auth_keys::signing_keys_have_one_successor,
            auth_keys::a_secret_is_drawn_once,
        }
    };
}
pub(crate) use conformance_suite;

pub(crate) fn user(number: u16) -> UserId {
    let mut bytes = [1; 10];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    UserId::from_bytes(bytes)
}

//! What nobody can guess.

use pitturu_protocol::codes::{Code, Fault};

use crate::error::CallError;

/// A new secret for [`Client::login_guest`](crate::Client::login_guest): 32 characters that nobody can guess.
pub fn new_guest_secret() -> Result<String, CallError> {
    random_text()
}

/// 128 random bits as text.
pub(crate) fn random_text() -> Result<String, CallError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        CallError::Fault(Fault::new(
            Code::Internal,
            format!("the system gives no random numbers: {error}"),
        ))
    })?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

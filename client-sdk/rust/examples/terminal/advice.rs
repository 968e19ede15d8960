//! What went wrong, in a sentence, with what to do about it.

use pitturu_client::{CallError, Code, Fault, Refused};

/// What failed and why: `The room could not be opened: you are banned from it.`
pub(crate) fn sentence(what: &str, error: &CallError) -> String {
    format!("{what}: {}.", reason(error))
}

/// Why, and what to do, without a full stop.
pub(crate) fn reason(error: &CallError) -> String {
    match error {
        CallError::Fault(fault) => of_fault(fault),
        CallError::NotTaken(Refused::QueueFull) => {
            "too much waits for the connection already; try again when it is back".to_owned()
        }
        CallError::NotTaken(refused) => refused.to_string(),
        CallError::Closed => "the connection has ended for good; Ctrl-R tries again".to_owned(),
        CallError::Reply(_) => {
            "the server's answer is not understood; is it of another version?".to_owned()
        }
    }
}

fn of_fault(fault: &Fault) -> String {
    let advice = match fault.code {
        Code::Deadline | Code::Disconnected | Code::Unavailable => {
            "no answer came; look at the connection and try again"
        }
        Code::Overloaded | Code::RateLimited => return wait("that was too fast", fault),
        Code::Internal | Code::StorageUnavailable => {
            "the server has a fault of its own and changed nothing; try again later"
        }
        Code::Unauthenticated | Code::TokenExpired | Code::TokenInvalid | Code::RefreshReused => {
            "you are not signed in; try again in a moment"
        }
        Code::Forbidden => "your role does not allow that",
        Code::NotFound => "nobody is known by that name; an id from /me works too",
        Code::Blocked => "one of you has blocked the other",
        Code::RoomNotFound => "there is no such room; /search finds rooms, /create makes one",
        Code::NotAMember => "you are not in that room; /join it first",
        Code::Banned => "you are banned from that room",
        Code::Muted => return wait("you may not write here now", fault),
        Code::SlowMode => return wait("this room is in slow mode", fault),
        Code::RoomFull => "the room is full; try later",
        Code::MessageNotFound => "that message is not there any more",
        Code::MessageDeleted => "that message was deleted",
        Code::TextRefused => "the room does not allow these words; change them",
        Code::NotInRoom => "that player is not in the room",
        _ => {
            return crate::text::clean_line(&fault.message)
                .trim_end_matches('.')
                .to_owned();
        }
    };
    advice.to_owned()
}

fn wait(what: &str, fault: &Fault) -> String {
    match fault.retry_after_ms {
        Some(ms) => format!("{what}; wait {} s and try again", ms.div_ceil(1000).max(1)),
        None => format!("{what}; wait a little and try again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_makes_a_sentence_for_people() {
        for code in Code::ALL {
            let text = sentence("Not sent", &Fault::of(*code).retry_after_ms(1200).into());
            assert!(
                text.starts_with("Not sent: ") && text.ends_with('.'),
                "{text}"
            );
            assert!(
                !text.ends_with("..") && !text.contains(code.name()) || !code.name().contains('_'),
                "{text}"
            );
        }
        let slow = Fault::of(Code::SlowMode).retry_after_ms(1200).into();
        assert_eq!(
            sentence("Not sent", &slow),
            "Not sent: this room is in slow mode; wait 2 s and try again."
        );
    }
}

//! The kinds of text and their rules.

use pitturu_protocol::limits::{
    DEVICE_BYTES_MAX, EMAIL_BYTES_MAX, GUEST_SECRET_CHARS_MAX, GUEST_SECRET_CHARS_MIN,
    LANGUAGE_BYTES_MAX, NAME_BYTES_MAX, NAME_CHARS_MAX, NOTE_BYTES_MAX, PASSWORD_BYTES_MAX,
    PASSWORD_CHARS_MIN, REFERENCE_BYTES_MAX, ROOM_NAME_BYTES_MAX, ROOM_NAME_CHARS_MAX,
    SCORE_METADATA_BYTES_MAX, TEXT_BYTES_MAX,
};

use crate::characters::{check_line, check_lines, check_typed, count, shows_something};
use crate::fold::{composed, one_blank_between};
use crate::reaction;
use crate::refusal::{Refusal, Rule};
use crate::username::Username;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident $shown:literal,)*) => {
        /// What a text is for, which decides its rules.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in documents.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $shown,)* }
            }
        }
    };
}

kinds! {
    /// A user name that must be one: [`Username`].
    Username "user name",
    /// A user name that somebody claims to have. One that can't be a name is nobody's, and no refusal says so.
    ClaimedUsername "claimed user name",
    /// What a player is called by others: one line, and something to see.
    DisplayName "display name",
    /// What a room is called: one line, and something to see.
    RoomName "room name",
    /// What somebody searches for: one line.
    Query "query",
    /// A message: any text, as it was written.
    Message "message",
    /// What a game keeps beside a score: any text, as it was written; empty for none.
    Metadata "metadata",
    /// A few words that others read: a topic, a reason, a bio. May have several lines; empty for none.
    Note "note",
    /// [`reaction`].
    Reaction "reaction",
    /// A password that is to be set: as RFC 8265 has it (OpaqueString).
    NewPassword "new password",
    /// A password that somebody claims to have set. One that can't be a password is wrong, and no refusal says so.
    ClaimedPassword "claimed password",
    /// A guest's secret: like a password.
    Secret "secret",
    /// An e-mail address, as far as a server can check it; empty for none.
    Email "e-mail address",
    /// What a device calls itself: one line; empty for none.
    Device "device",
    /// What a movement of points is for, an item, an order: one line; empty for none.
    Reference "reference",
    /// The address or key of a picture: one line, kept as written; empty for none.
    Address "address",
    /// A language tag; empty for none.
    Language "language tag",
    /// A token or position that the server gave out: it is what it was, or refused by whoever reads it.
    Issued "issued",
}

/// How many times longer than its bound a text may be before it is normalised: composing makes three letters of Korean one
/// syllable, and takes marks into letters.
const RAW_FACTOR: usize = 8;

impl Kind {
    /// Brings a text into its normal form.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn settle(self, text: &mut String) -> Result<(), Refusal> {
        let settled = match self {
            Self::Message if text.len() > TEXT_BYTES_MAX => {
                return Err(Refusal::new(
                    Rule::Long,
                    &format!("A message has at most {TEXT_BYTES_MAX} bytes."),
                ));
            }
            Self::Metadata if text.len() > SCORE_METADATA_BYTES_MAX => {
                return Err(Refusal::new(
                    Rule::Long,
                    &format!("Metadata has at most {SCORE_METADATA_BYTES_MAX} bytes."),
                ));
            }
            Self::Message | Self::Metadata | Self::Issued => return Ok(()),
            Self::Username => Username::parse(text)?.shown,
            Self::ClaimedUsername => composed(text).into_owned(),
            Self::DisplayName => DISPLAY_NAME.settle(text)?,
            Self::RoomName => ROOM_NAME.settle(text)?,
            Self::Query => query(text)?,
            Self::Note => note(text)?,
            Self::Reaction => reaction::settle(text)?,
            Self::NewPassword => PASSWORD.settle(text)?,
            Self::ClaimedPassword => opaque(text),
            Self::Secret => SECRET.settle(text)?,
            Self::Email => email(text)?,
            Self::Device => DEVICE.settle(text)?,
            Self::Reference => REFERENCE.settle(text)?,
            Self::Address => address(text)?,
            Self::Language => language(text)?,
        };
        *text = settled;
        Ok(())
    }
}

/// The bounds of a text of one line. Characters are those that a reader sees.
struct Line {
    takes: &'static str,
    chars_max: usize,
    bytes_max: usize,
    may_be_empty: bool,
}

const DISPLAY_NAME: Line = Line {
    takes: "A display name is one line of 1 to 40 characters that show, in at most 160 bytes.",
    chars_max: NAME_CHARS_MAX,
    bytes_max: NAME_BYTES_MAX,
    may_be_empty: false,
};

const ROOM_NAME: Line = Line {
    takes: "The name of a room is one line of 1 to 64 characters that show, in at most 256 bytes.",
    chars_max: ROOM_NAME_CHARS_MAX,
    bytes_max: ROOM_NAME_BYTES_MAX,
    may_be_empty: false,
};

const DEVICE: Line = Line {
    takes: "The name of a device is one line of at most 128 bytes.",
    chars_max: DEVICE_BYTES_MAX,
    bytes_max: DEVICE_BYTES_MAX,
    may_be_empty: true,
};

const REFERENCE: Line = Line {
    takes: "A reference is one line of at most 128 bytes.",
    chars_max: REFERENCE_BYTES_MAX,
    bytes_max: REFERENCE_BYTES_MAX,
    may_be_empty: true,
};

impl Line {
    fn settle(&self, text: &str) -> Result<String, Refusal> {
        let refuse = |rule| Refusal::new(rule, self.takes);
        if text.len() > RAW_FACTOR * self.bytes_max {
            return Err(refuse(Rule::Long));
        }
        let text = composed(text);
        check_line(&text).map_err(refuse)?;
        let line = one_blank_between(&text);
        match line.len() {
            0 if self.may_be_empty => Ok(line),
            0 => Err(refuse(Rule::Blank)),
            bytes if bytes > self.bytes_max || count(&line) > self.chars_max => {
                Err(refuse(Rule::Long))
            }
            _ => Ok(line),
        }
    }
}

/// The bounds of a text that is only compared, in code points and bytes.
struct Opaque {
    takes: &'static str,
    chars_min: usize,
    chars_max: usize,
    bytes_max: usize,
}

const PASSWORD: Opaque = Opaque {
    takes: "A password is one line of 8 characters to 72 bytes.",
    chars_min: PASSWORD_CHARS_MIN,
    chars_max: PASSWORD_BYTES_MAX,
    bytes_max: PASSWORD_BYTES_MAX,
};

const SECRET: Opaque = Opaque {
    takes: "A guest's secret is 16 to 128 random characters.",
    chars_min: GUEST_SECRET_CHARS_MIN,
    chars_max: GUEST_SECRET_CHARS_MAX,
    bytes_max: 4 * GUEST_SECRET_CHARS_MAX,
};

impl Opaque {
    fn settle(&self, text: &str) -> Result<String, Refusal> {
        let refuse = |rule| Refusal::new(rule, self.takes);
        if text.len() > RAW_FACTOR * self.bytes_max {
            return Err(refuse(Rule::Long));
        }
        let text = opaque(text);
        match check_line(&text) {
            // It is never shown, so it may begin with any character.
            Ok(()) | Err(Rule::Marks) => {}
            Err(rule) => return Err(refuse(rule)),
        }
        let chars = text.chars().count();
        if chars < self.chars_min {
            Err(refuse(Rule::Short))
        } else if chars > self.chars_max || text.len() > self.bytes_max {
            Err(refuse(Rule::Long))
        } else {
            Ok(text)
        }
    }
}

/// RFC 8265, section 4.2: blanks of all kinds are blanks, nothing else is mapped, and the text is composed.
fn opaque(text: &str) -> String {
    let blanks = text.chars().map(|c| {
        let is_space =
            c.is_whitespace() && !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}');
        if is_space { ' ' } else { c }
    });
    composed(&blanks.collect::<String>()).into_owned()
}

fn query(text: &str) -> Result<String, Refusal> {
    let takes = format!(
        "A query is one line of 1 to {ROOM_NAME_CHARS_MAX} characters in at most {ROOM_NAME_BYTES_MAX} bytes."
    );
    let refuse = |rule| Refusal::new(rule, &takes);
    if text.is_empty() {
        return Err(refuse(Rule::Short));
    }
    if text.len() > RAW_FACTOR * ROOM_NAME_BYTES_MAX {
        return Err(refuse(Rule::Long));
    }
    let text = composed(text);
    check_typed(&text).map_err(refuse)?;
    if text.len() > ROOM_NAME_BYTES_MAX || count(&text) > ROOM_NAME_CHARS_MAX {
        return Err(refuse(Rule::Long));
    }
    Ok(text.into_owned())
}

fn note(text: &str) -> Result<String, Refusal> {
    let takes = format!("At most {NOTE_BYTES_MAX} bytes of text in lines.");
    let refuse = |rule| Refusal::new(rule, &takes);
    if text.len() > RAW_FACTOR * NOTE_BYTES_MAX {
        return Err(refuse(Rule::Long));
    }
    let lines = text.replace("\r\n", "\n");
    let lines = lines.replace(['\r', '\u{85}', '\u{2028}', '\u{2029}'], "\n");
    let lines = composed(&lines);
    check_lines(&lines).map_err(refuse)?;
    if lines.len() > NOTE_BYTES_MAX {
        return Err(refuse(Rule::Long));
    }
    Ok(if shows_something(&lines) {
        lines.into_owned()
    } else {
        String::new()
    })
}

fn email(text: &str) -> Result<String, Refusal> {
    let takes = format!(
        "An e-mail address has something before and after one @, in at most {EMAIL_BYTES_MAX} bytes."
    );
    let refuse = |rule| Refusal::new(rule, &takes);
    if text.len() > RAW_FACTOR * EMAIL_BYTES_MAX {
        return Err(refuse(Rule::Long));
    }
    let text = composed(text.trim());
    check_line(&text).map_err(refuse)?;
    if text.len() > EMAIL_BYTES_MAX {
        return Err(refuse(Rule::Long));
    }
    let split = text
        .split_once('@')
        .is_some_and(|(left, right)| !left.is_empty() && right.len() > 2 && !right.contains('@'));
    if text.is_empty() || split && !text.contains(char::is_whitespace) {
        Ok(text.into_owned())
    } else {
        Err(refuse(Rule::Form))
    }
}

/// A key is looked up by its bytes elsewhere, so nothing of it is changed.
fn address(text: &str) -> Result<String, Refusal> {
    let takes = format!("An address or key is one line of at most {NOTE_BYTES_MAX} bytes.");
    let refuse = |rule| Refusal::new(rule, &takes);
    if text.len() > NOTE_BYTES_MAX {
        return Err(refuse(Rule::Long));
    }
    check_line(text).map_err(refuse)?;
    Ok(text.to_owned())
}

/// Letters and digits in groups of 1 to 8, the first of 2 to 8 letters (the form of BCP 47).
fn language(text: &str) -> Result<String, Refusal> {
    let refuse = |rule| Refusal::new(rule, "A language tag is one such as ko or en-GB.");
    if text.len() > LANGUAGE_BYTES_MAX {
        return Err(refuse(Rule::Long));
    }
    let group = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let first = |part: &str| part.len() >= 2 && part.bytes().all(|b| b.is_ascii_alphabetic());
    let well_formed = text.split('-').all(group) && text.split('-').next().is_some_and(first);
    if text.is_empty() || well_formed {
        Ok(text.to_owned())
    } else {
        Err(refuse(Rule::Form))
    }
}

#[cfg(test)]
mod tests;

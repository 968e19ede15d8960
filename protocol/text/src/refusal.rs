//! The rules that a text can break.

use pitturu_protocol::codes::Fault;

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $name:ident $wire:literal,)*) => {
        /// A rule that a text can break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in a fault's `rule`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $wire,)* }
            }

            /// What the text breaks, for developers.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)* }
            }
        }
    };
}

rules! {
    /// The text is longer than this field allows, in characters or in bytes.
    Long "long",
    /// The text is shorter than this field allows.
    Short "short",
    /// Nothing of the text can be seen.
    Blank "blank",
    /// A line break, in a field of one line.
    LineBreak "line_break",
    /// A control character.
    Control "control",
    /// A character that turns the direction of the text around it.
    Direction "direction",
    /// A character that shows nothing where it stands, such as a zero-width space, a filler or a stray joiner.
    Invisible "invisible",
    /// A combining mark without a letter before it, or too many on one letter.
    Marks "marks",
    /// A character that Unicode has not assigned.
    Unassigned "unassigned",
    /// A character for private use: no two devices show the same.
    PrivateUse "private_use",
    /// A code point that Unicode keeps from being a character.
    Noncharacter "noncharacter",
    /// A character that this field does not take.
    Character "character",
    /// The text has not the form that this field asks for.
    Form "form",
}

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that it breaks.
    pub rule: Rule,
    /// What to do, in English.
    pub message: String,
}

impl Refusal {
    /// A refusal that says what is wrong and what the field takes.
    pub fn new(rule: Rule, takes: &str) -> Self {
        Self {
            rule,
            message: format!("{} {takes}", rule.meaning()),
        }
    }

    /// The fault of a call whose field was refused.
    pub fn fault(self, field: &str) -> Fault {
        Fault {
            rule: Some(self.rule.name().to_owned()),
            ..Fault::invalid(field, self.message)
        }
    }
}

#[cfg(test)]
mod tests {
    use pitturu_protocol::limits::RULE_BYTES_MAX;

    use super::*;

    #[test]
    fn names_of_rules_stay_within_their_bound() {
        for rule in Rule::ALL {
            assert!(rule.name().len() <= RULE_BYTES_MAX, "{}", rule.name());
        }
    }
}

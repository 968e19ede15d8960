//! What Unicode says of single characters, and which of them may stand where.

use icu_properties::props::{
    Alphabetic, CanonicalCombiningClass, DefaultIgnorableCodePoint, Emoji, EmojiModifier,
    ExtendedPictographic, GeneralCategory, Ideographic, JoiningType, NoncharacterCodePoint,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::reaction;
use crate::refusal::Rule;

/// Most combining marks on one letter. Burmese and Tibetan need five, stacked Sanskrit six.
pub const MARKS_MAX: usize = 8;

/// Flag whose tags spell a region; no other character takes tags.
const TAGGED_FLAG: char = '\u{1f3f4}';

/// Ends the tags of a flag.
const TAGS_END: char = '\u{e007f}';

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';

/// What a character is, as far as rules ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Plain,
    Mark,
    /// Breaks the rule in texts of one line.
    Odd(Rule),
    /// Breaks the rule in every text that has rules.
    Bad(Rule),
}

fn class(c: char) -> Class {
    match c {
        ' '..='~' => Class::Plain,
        '\n' | '\u{2028}' | '\u{2029}' => Class::Odd(Rule::LineBreak),
        '\t' => Class::Odd(Rule::Control),
        '\r' | '\u{b}' | '\u{c}' | '\u{85}' => Class::Bad(Rule::LineBreak),
        '\u{202d}' | '\u{202e}' => Class::Bad(Rule::Direction),
        '\u{202a}'..='\u{202c}' | '\u{2066}'..='\u{2069}' => Class::Odd(Rule::Direction),
        // Deprecated, or with a meaning only for programs.
        '\u{206a}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => Class::Bad(Rule::Invisible),
        // The blank of Braille, a note without a head, and what stands for an embedded object.
        '\u{2800}' | '\u{1d159}' | '\u{fffc}' => Class::Odd(Rule::Invisible),
        _ if is::<NoncharacterCodePoint>(c) => Class::Bad(Rule::Noncharacter),
        _ => by_category(c),
    }
}

fn by_category(c: char) -> Class {
    match category(c) {
        GeneralCategory::Control => Class::Bad(Rule::Control),
        GeneralCategory::Unassigned => Class::Odd(Rule::Unassigned),
        GeneralCategory::PrivateUse => Class::Odd(Rule::PrivateUse),
        _ if is_ignorable(c) => Class::Odd(Rule::Invisible),
        GeneralCategory::NonspacingMark
        | GeneralCategory::SpacingMark
        | GeneralCategory::EnclosingMark => Class::Mark,
        _ => Class::Plain,
    }
}

fn is<P: icu_properties::props::BinaryProperty>(c: char) -> bool {
    CodePointSetData::new::<P>().contains(c)
}

fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

/// Whether a character shows nothing by itself.
pub(crate) fn is_ignorable(c: char) -> bool {
    is::<DefaultIgnorableCodePoint>(c)
}

/// A letter or a number of any script.
pub(crate) fn is_letter_or_number(c: char) -> bool {
    is::<Alphabetic>(c)
        || matches!(
            category(c),
            GeneralCategory::DecimalNumber
                | GeneralCategory::LetterNumber
                | GeneralCategory::OtherNumber
        )
}

/// A mark that belongs to the letter before it.
pub(crate) fn is_mark(c: char) -> bool {
    class(c) == Class::Mark
}

/// Whether something of the text can be seen.
pub(crate) fn shows_something(text: &str) -> bool {
    text.chars().any(|c| {
        !c.is_whitespace()
            && matches!(
                class(c),
                Class::Plain | Class::Odd(Rule::Unassigned | Rule::PrivateUse)
            )
    })
}

/// How many characters a reader sees (extended grapheme clusters).
pub fn count(text: &str) -> usize {
    text.graphemes(true).count()
}

/// Checks a text of one line in its normal form: whatever it holds shows, and stands where its script uses it.
pub(crate) fn check_line(text: &str) -> Result<(), Rule> {
    let characters: Vec<char> = text.chars().collect();
    let mut tags_end = 0;
    for (at, &c) in characters.iter().enumerate() {
        match class(c) {
            Class::Plain | Class::Mark => {}
            Class::Odd(Rule::Invisible) if may_stand(&characters, at) => {}
            Class::Bad(Rule::Invisible) if at < tags_end => {}
            Class::Bad(Rule::Invisible) => {
                tags_end = flag_end(&characters, at).ok_or(Rule::Invisible)?;
            }
            Class::Odd(rule) | Class::Bad(rule) => return Err(rule),
        }
    }
    check_marks(&characters)
}

/// Checks a text that may have several lines.
pub(crate) fn check_lines(text: &str) -> Result<(), Rule> {
    let characters: Vec<char> = text.chars().collect();
    let mut tags_end = 0;
    for (at, &c) in characters.iter().enumerate() {
        if let Class::Bad(rule) = class(c)
            && at >= tags_end
        {
            tags_end = flag_end(&characters, at).ok_or(rule)?;
        }
    }
    check_marks(&characters)
}

/// Checks what cannot be part of any text that was typed.
pub(crate) fn check_typed(text: &str) -> Result<(), Rule> {
    let found = text.chars().find_map(|c| match class(c) {
        Class::Bad(rule @ (Rule::Control | Rule::LineBreak | Rule::Noncharacter))
        | Class::Odd(rule @ (Rule::Control | Rule::LineBreak)) => Some(rule),
        _ => None,
    });
    found.map_or(Ok(()), Err)
}

/// That every mark has a letter before it, and no letter more than it can carry.
fn check_marks(characters: &[char]) -> Result<(), Rule> {
    let mut marks = MARKS_MAX;
    for &c in characters {
        if is_mark(c) {
            marks += 1;
        } else if c.is_whitespace() {
            marks = MARKS_MAX;
        } else if !is_ignorable(c) {
            marks = 0;
        }
        if marks > MARKS_MAX {
            return Err(Rule::Marks);
        }
    }
    Ok(())
}

/// Where the tags end that begin here, if they belong to a flag.
fn flag_end(characters: &[char], at: usize) -> Option<usize> {
    let flag = at.checked_sub(1)?;
    let length = characters[at..].iter().position(|&c| c == TAGS_END)? + 1;
    let sequence: String = characters[flag..at + length].iter().collect();
    let is_flag = characters[flag] == TAGGED_FLAG && reaction::emoji(&sequence).is_some();
    is_flag.then_some(at + length)
}

/// Whether a character that shows nothing by itself changes how its neighbours are shown.
fn may_stand(characters: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| characters[before]);
    let after = characters.get(at + 1).copied();
    let Some(before) = before else {
        return false;
    };
    match characters[at] {
        ZERO_WIDTH_JOINER => {
            is_virama(before)
                || after.is_some_and(is_virama) && is_letter_or_number(before)
                || joins_forward(&characters[..at])
                || joins_emoji(&characters[..at], after)
        }
        ZERO_WIDTH_NON_JOINER => {
            is_virama(before)
                || after.is_some_and(is_virama) && is_letter_or_number(before)
                || joins_forward(&characters[..at]) && joins_backward(&characters[at + 1..])
        }
        '\u{fe0e}' | '\u{fe0f}' => is::<Emoji>(before),
        '\u{fe00}'..='\u{fe02}' | '\u{e0100}'..='\u{e01ef}' => is::<Ideographic>(before),
        '\u{180b}'..='\u{180d}' | '\u{180f}' => ('\u{1820}'..='\u{18aa}').contains(&before),
        _ => false,
    }
}

fn is_virama(c: char) -> bool {
    CodePointMapData::<CanonicalCombiningClass>::new().get(c) == CanonicalCombiningClass::Virama
}

fn joining(c: char) -> JoiningType {
    CodePointMapData::<JoiningType>::new().get(c)
}

/// Whether the text ends with a letter that joins the next one, as Arabic's do.
fn joins_forward(characters: &[char]) -> bool {
    let mut letters = characters.iter().rev().map(|&c| joining(c));
    let letter = letters.find(|&kind| kind != JoiningType::Transparent);
    matches!(
        letter,
        Some(JoiningType::DualJoining | JoiningType::LeftJoining)
    )
}

/// Whether the text begins with a letter that joins the one before it.
fn joins_backward(characters: &[char]) -> bool {
    let mut letters = characters.iter().map(|&c| joining(c));
    let letter = letters.find(|&kind| kind != JoiningType::Transparent);
    matches!(
        letter,
        Some(JoiningType::DualJoining | JoiningType::RightJoining)
    )
}

/// Whether a joiner stands between two pictures.
fn joins_emoji(characters: &[char], after: Option<char>) -> bool {
    let mut pictures = characters.iter().rev().copied();
    let picture = pictures.find(|&c| c != '\u{fe0f}' && !is::<EmojiModifier>(c));
    picture.is_some_and(is::<ExtendedPictographic>) && after.is_some_and(is::<ExtendedPictographic>)
}

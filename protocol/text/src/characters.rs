//! What Unicode says of single characters, and which of them may stand where.

use icu_properties::props::{
    Alphabetic, CanonicalCombiningClass, DefaultIgnorableCodePoint, Emoji, EmojiModifier,
    ExtendedPictographic, GeneralCategory, GeneralCategoryGroup, Ideographic,
    IndicSyllabicCategory, JoiningType, NoncharacterCodePoint, PrependedConcatenationMark, Script,
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

/// No emoji has more characters, without its selectors.
const JOINED_CHARS_MAX: usize = 16;

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';

/// What a character is, as far as rules ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Plain,
    Mark,
    /// A mark that shows nothing itself: it links, or shapes, characters of its own script.
    Link(Link),
    /// Breaks the rule in texts of one line.
    Odd(Rule),
    /// Breaks the rule in every text that has rules.
    Bad(Rule),
}

/// What a mark that shows nothing itself needs beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Puts the letter after it below the one before it.
    Stacker,
    /// Joins what is before it with what is after it.
    Joiner,
    /// Shapes what is before it.
    Shaper,
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
        _ if is_wide_blank(c) => Class::Odd(Rule::Invisible),
        // A note without a head, what stands for an embedded object, and what fills a cluster of Khitan. No property tells them.
        '\u{1d159}' | '\u{fffc}' | '\u{16fe4}' => Class::Odd(Rule::Invisible),
        // The block of controls, blanks and damages of hieroglyphs, which only editors of inscriptions use.
        '\u{13430}'..='\u{1345f}' => Class::Odd(Rule::Invisible),
        _ if is::<NoncharacterCodePoint>(c) => Class::Bad(Rule::Noncharacter),
        _ => by_category(c),
    }
}

fn by_category(c: char) -> Class {
    match category(c) {
        GeneralCategory::Control => Class::Bad(Rule::Control),
        _ if is_ignorable(c) => Class::Odd(Rule::Invisible),
        GeneralCategory::Unassigned => Class::Odd(Rule::Unassigned),
        GeneralCategory::PrivateUse => Class::Odd(Rule::PrivateUse),
        // Those before a number (the sign of a year) are signs of their own.
        GeneralCategory::Format if !is::<PrependedConcatenationMark>(c) => {
            Class::Odd(Rule::Invisible)
        }
        GeneralCategory::NonspacingMark
        | GeneralCategory::SpacingMark
        | GeneralCategory::EnclosingMark => link(c).map_or(Class::Mark, Class::Link),
        _ => Class::Plain,
    }
}

/// What a mark needs beside it to show, if it shows nothing itself.
fn link(c: char) -> Option<Link> {
    let syllabic = CodePointMapData::<IndicSyllabicCategory>::new().get(c);
    match (syllabic, script(c)) {
        (IndicSyllabicCategory::InvisibleStacker, _) => Some(Link::Stacker),
        (IndicSyllabicCategory::NumberJoiner, _) => Some(Link::Joiner),
        // What combines as a virama and is none of any kind joins letters, as in Tifinagh.
        (IndicSyllabicCategory::Other, _) if is_virama(c) => Some(Link::Joiner),
        (_, Script::Duployan | Script::SignWriting) => Some(Link::Shaper),
        _ => None,
    }
}

/// A blank with a width that Unicode counts among letters and signs: those of Hangul, Braille and hieroglyphs.
pub(crate) fn is_wide_blank(c: char) -> bool {
    matches!(
        c,
        '\u{3164}' | '\u{ffa0}' | '\u{2800}' | '\u{13441}' | '\u{13442}'
    )
}

fn script(c: char) -> Script {
    CodePointMapData::<Script>::new().get(c)
}

fn is<P: icu_properties::props::BinaryProperty>(c: char) -> bool {
    CodePointSetData::new::<P>().contains(c)
}

fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

/// Whether software that does not know a character shows nothing for it.
fn is_ignorable(c: char) -> bool {
    is::<DefaultIgnorableCodePoint>(c)
}

/// Whether a character shows nothing by itself. A link shows with its neighbours: [`is_idle`].
pub(crate) fn is_invisible(c: char) -> bool {
    let (Class::Odd(rule) | Class::Bad(rule)) = class(c) else {
        return false;
    };
    matches!(rule, Rule::Invisible | Rule::Direction)
}

/// Whether a character shows wherever it stands.
pub(crate) fn is_always_visible(c: char) -> bool {
    match class(c) {
        Class::Plain | Class::Mark => true,
        Class::Link(_) => false,
        Class::Odd(rule) | Class::Bad(rule) => !matches!(rule, Rule::Invisible | Rule::Direction),
    }
}

/// Whether the character after `before` is a link that has nothing to link or to shape there.
pub(crate) fn is_idle(before: Option<char>, c: char, after: &[char]) -> bool {
    let Class::Link(link) = class(c) else {
        return false;
    };
    let own = |other: char| script(other) == script(c);
    let letter = |other: char| {
        let group = GeneralCategoryGroup::Letter.union(GeneralCategoryGroup::Number);
        own(other) && !is_invisible(other) && group.contains(category(other))
    };
    // The normal form moves some marks, such as those of tone, behind a stacker.
    let mut next = after.iter().copied().skip_while(|&c| combines(c));
    match link {
        Link::Shaper => !before.is_some_and(own),
        Link::Stacker | Link::Joiner => {
            !before.is_some_and(own) || !next.next().is_some_and(letter)
        }
    }
}

/// A mark that shows at most to those whose font knows it: it joins, or shapes.
pub(crate) fn is_faint_link(c: char) -> bool {
    matches!(class(c), Class::Link(Link::Joiner | Link::Shaper))
}

fn combines(c: char) -> bool {
    CodePointMapData::<CanonicalCombiningClass>::new().get(c)
        != CanonicalCombiningClass::NotReordered
        && !is_virama(c)
}

/// A symbol of any kind.
pub(crate) fn is_symbol(c: char) -> bool {
    GeneralCategoryGroup::Symbol.contains(category(c))
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
    matches!(class(c), Class::Mark | Class::Link(_))
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
            Class::Link(_) => {
                let before = at.checked_sub(1).map(|before| characters[before]);
                if is_idle(before, c, &characters[at + 1..]) {
                    return Err(Rule::Invisible);
                }
            }
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
        } else if !is_invisible(c) {
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

/// Joins pictures of an emoji, or spells the region of a flag.
pub(crate) fn is_of_emoji(c: char) -> bool {
    matches!(c, ZERO_WIDTH_JOINER | '\u{e0020}'..=TAGS_END)
}

/// How many characters the emoji at the beginning has, where joiners or tags make one of several. Without selectors of shape.
pub(crate) fn joined_emoji(characters: &[char]) -> Option<usize> {
    if !is::<ExtendedPictographic>(*characters.first()?) {
        return None;
    }
    let is_part =
        |&&c: &&char| is_of_emoji(c) || is::<EmojiModifier>(c) || is::<ExtendedPictographic>(c);
    let run = characters
        .iter()
        .take(JOINED_CHARS_MAX)
        .take_while(is_part)
        .count();
    (2..=run).rev().find(|&length| {
        let emoji = &characters[..length];
        emoji.iter().any(|&c| is_of_emoji(c))
            && reaction::emoji(&emoji.iter().collect::<String>()).is_some()
    })
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
                || ends_arabic(&characters[..at]) && begins_arabic(&characters[at + 1..])
        }
        '\u{fe0e}' | '\u{fe0f}' => is::<Emoji>(before),
        '\u{fe00}'..='\u{fe02}' | '\u{e0100}'..='\u{e01ef}' => {
            is::<Ideographic>(before) || characters[at] == '\u{fe00}' && has_dotted_form(before)
        }
        '\u{180b}'..='\u{180d}' | '\u{180f}' => is_mongolian(before),
        // Parts the last vowel of a word, which it shapes, from the letters before it.
        '\u{180e}' => {
            let mut letters = characters[..at].iter().rev();
            let letter = letters.find(|c| !matches!(c, '\u{180b}'..='\u{180d}' | '\u{180f}'));
            letter.is_some_and(|&c| is_mongolian(c)) && after.is_some_and(is_mongolian)
        }
        _ => false,
    }
}

fn is_mongolian(c: char) -> bool {
    ('\u{1820}'..='\u{18aa}').contains(&c)
}

/// The Burmese characters for which StandardizedVariants.txt (Unicode 17) has a dotted form, which Khamti and Aiton write.
fn has_dotted_form(c: char) -> bool {
    matches!(
        c,
        '\u{1000}' | '\u{1002}' | '\u{1004}' | '\u{1010}' | '\u{1011}' | '\u{1015}'
            | '\u{1019}'..='\u{101a}'
            | '\u{101c}'..='\u{101d}'
            | '\u{1022}' | '\u{1031}' | '\u{1075}' | '\u{1078}' | '\u{107a}' | '\u{1080}'
            | '\u{aa60}'..='\u{aa66}'
            | '\u{aa6b}'..='\u{aa6c}'
            | '\u{aa6f}' | '\u{aa7a}'
    )
}

/// A letter of Arabic script, whether or not it joins.
fn is_arabic(c: char) -> bool {
    script(c) == Script::Arabic && GeneralCategoryGroup::Letter.contains(category(c))
}

fn ends_arabic(characters: &[char]) -> bool {
    let mut letters = characters.iter().rev().copied();
    let letter = letters.find(|&c| joining(c) != JoiningType::Transparent);
    letter.is_some_and(is_arabic)
}

fn begins_arabic(characters: &[char]) -> bool {
    characters.first().copied().is_some_and(is_arabic)
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

#[cfg(test)]
mod tests;

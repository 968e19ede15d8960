//! What players may write, and when two texts are the same: one place for all text that comes from outside.
//!
//! Nothing here performs I/O, reads a clock or draws a random number. Unicode's data and algorithms come from ICU4X,
//! `unicode-segmentation` and `emojis`. `docs/text.md` shows the rules to users.
//!
//! Reading order:
//! - [`fields`]: the text fields of every method, each with its kind;
//! - [`kind`]: the kinds of text and their rules; [`refusal`]: the rules that a text can break;
//! - [`username`], [`reaction`]: kinds with a form of their own;
//! - [`fold`]: normal forms, and the form in which two texts are the same; [`words`]: a text's words;
//! - [`plain`]: text as it is shown where it must do nothing but be read: logs and terminals;
//! - [`characters`]: what Unicode says of single characters.

pub mod characters;
pub mod fields;
pub mod fold;
pub mod kind;
pub mod plain;
pub mod reaction;
pub mod refusal;
pub mod username;
pub mod words;

//! The text of each key, and where it came from.

use std::collections::BTreeMap;

use crate::config::Source;
use crate::config::key::Key;

/// The text and the source of every key.
#[derive(Clone, Debug)]
pub struct Collected {
    values: BTreeMap<&'static str, (String, Source)>,
}

impl Collected {
    /// Texts and sources by the names of their keys. Every key of the table has to be among them.
    pub fn new(values: impl Iterator<Item = (&'static str, (String, Source))>) -> Self {
        Self {
            values: values.collect(),
        }
    }

    /// Text and source of a key.
    pub fn of(&self, key: &Key) -> (&str, &Source) {
        let held = self.values.get(key.name);
        let (text, source) = held.expect("all keys of the table have a text");
        (text, source)
    }

    /// Replaces the text of a key.
    pub fn set(&mut self, key: &Key, text: String, source: Source) {
        self.values.insert(key.name, (text, source));
    }
}

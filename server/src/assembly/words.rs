//! The word filter of the configuration, which is read again while the server runs.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use pitturu_protocol::ids::RoomId;
use pitturu_rules::rooms::TextFilter;
use pitturu_rules::word_list::WordList;

use crate::app::StartError;
use crate::config::Config;
use crate::replaceable::Replaceable;

/// The filter in use, the same for rooms and for the notes of gifts. Without a file it lets everything pass.
#[derive(Clone, Debug)]
pub(super) struct Words(Arc<Replaceable<WordList>>);

impl Words {
    /// What the configuration names.
    pub(super) fn open(config: &Config) -> Result<Self, StartError> {
        Ok(Self(Arc::new(Replaceable::new(read(config)?))))
    }

    /// Goes on with this list.
    pub(super) fn replace(&self, list: WordList) {
        self.0.replace(list);
    }
}

impl TextFilter for Words {
    fn allows(&self, room: Option<RoomId>, text: &str) -> bool {
        self.0.get().allows(room, text)
    }
}

/// Reads the list that the configuration names; one without words when it names none.
pub(super) fn read(config: &Config) -> Result<WordList, StartError> {
    let Some(path) = &config.chat.word_filter else {
        return Ok(WordList::default());
    };
    let path: &Path = path;
    let text = fs::read_to_string(path).map_err(|error| StartError::Misconfigured {
        key: "chat.word_filter",
        reason: format!("{}: {error}", path.display()),
    })?;
    Ok(WordList::new(text.lines()))
}

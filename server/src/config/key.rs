//! One row of the table of keys.

/// One key as documents and refusals know it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `section.key`.
    pub name: &'static str,
    /// How its values are written.
    pub written: &'static str,
    /// Text of the default.
    pub default: &'static str,
    /// Text of the default in development mode, where that differs.
    pub dev: Option<&'static str>,
    /// Texts of the least and the greatest allowed value.
    pub range: Option<(&'static str, &'static str)>,
    /// Whether its value is masked when it is shown.
    pub secret: bool,
    /// Whether it is taken over on SIGHUP; every other key needs a restart.
    pub reloads: bool,
    /// What it means.
    pub meaning: &'static str,
}

impl Key {
    /// What its values look like and where they lie.
    pub fn allowed(&self) -> String {
        match self.range {
            Some((least, greatest)) => {
                format!("{}, at least {least} and at most {greatest}", self.written)
            }
            None => self.written.to_owned(),
        }
    }
}

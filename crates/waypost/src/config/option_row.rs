//! An option as a row of the reference.

use toml::Spanned;

/// One option, as the reference shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionRow {
    /// Its section: empty for the top of the file, `[name]` or `[[name]]`.
    pub section: &'static str,
    /// The purpose of the section.
    pub about: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its name in earlier versions, which is still read.
    pub former: Option<&'static str>,
    /// The kind of its value.
    pub kind: String,
    /// The default as TOML, if it has one.
    pub default: Option<String>,
    /// Its meaning.
    pub doc: &'static str,
}

/// An option in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionInForce {
    /// Its section, as in [`OptionRow`].
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its value as TOML; `None` if it is not set.
    pub value: Option<String>,
    /// The default as TOML, if it has one.
    pub default: Option<String>,
    /// Its meaning.
    pub doc: &'static str,
}

/// A part of the file that has options.
pub(super) trait OptionPart {
    fn rows(rows: &mut Vec<OptionRow>);
    fn in_force(&self, options: &mut Vec<OptionInForce>);
}

impl<T: OptionPart> OptionPart for Vec<Spanned<T>> {
    fn rows(rows: &mut Vec<OptionRow>) {
        T::rows(rows);
    }

    fn in_force(&self, options: &mut Vec<OptionInForce>) {
        self.iter().for_each(|part| part.get_ref().in_force(options));
    }
}

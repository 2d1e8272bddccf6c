//! The configuration file: its options, how it is read, and what it says to the flow.
//!
//! Invariant: each option is defined once, in [`options`]; the reader, the defaults, the reference and the file that `setup`
//! writes come from there.

mod certificates;
mod error;
mod load;
mod option_row;
mod options;
mod pages;
mod reference;
pub mod secrets;
mod settings;
mod values;
mod words;

pub use error::{ConfigError, ConfigErrors};
pub use load::{Config, DEFAULT_SUBMIT_SOCKET, load, parse};
pub use options::Log;
pub use reference::{reference, template};
pub use settings::private_line;
pub use words::{DmarcWord, FlowWord, LogFormat, ValidateWord};

/// Where the configuration is looked for unless something else is said.
pub const DEFAULT_PATH: &str = "/etc/waypost/waypost.toml";

#[cfg(test)]
mod tests;

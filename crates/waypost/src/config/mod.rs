//! The configuration file: its options, how it is read, and the settings that it makes.
//!
//! Invariant: each option is defined once, in [`options`]; the reader, the defaults, the reference and the file that `setup`
//! writes come from there.

mod certificates;
mod error;
mod load;
mod memory;
mod option_row;
mod options;
mod pages;
mod reference;
mod renamed;
pub mod secrets;
mod settings;
mod store;
mod store_url;
mod values;
mod words;

pub use error::{ConfigError, ConfigErrors};
pub use load::{Config, DEFAULT_SUBMIT_SOCKET, load, options_of, parse};
pub use option_row::OptionInForce;
pub use options::{FileOptions, LogOptions};
pub use reference::{reference, template};
pub use settings::private_line;
pub use store_url::{StoreFault, StoreUrl};
pub use words::{DmarcWord, FlowWord, LogFormat, ValidateWord};

/// The configuration file if no other is named.
pub const DEFAULT_PATH: &str = "/etc/waypost/waypost.toml";

#[cfg(test)]
mod tests;

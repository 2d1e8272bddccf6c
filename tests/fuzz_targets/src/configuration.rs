//! The configuration file, and the words of a message for a list.

use std::path::Path;

use mta::Headline;

use crate::checks::{INPUT_MAX_BYTES, assert_one_line, text};

/// A configuration is accepted as a whole, or every fault is said with its place in the text.
pub fn configuration(data: &[u8]) {
    let text = text(data);
    let path = Path::new("/nonexistent/waypost/waypost.toml");
    match waypost::config::parse(path, &text) {
        Ok(config) => assert!(config.admin_socket().is_absolute() && config.submit_socket().is_absolute()),
        Err(errors) => {
            assert!(!errors.0.is_empty());
            let lines = text.split('\n').count();
            assert!(
                errors.0.iter().all(|error| error.at.is_none_or(|(line, column)| (1..=lines).contains(&line) && column >= 1)),
                "{errors}"
            );
        }
    }
}

/// Author and subject of a message for a list are one line each, whatever is encoded in them.
pub fn headlines(data: &[u8]) {
    let headline = Headline::of(&data[..data.len().min(INPUT_MAX_BYTES)]);
    assert_one_line(&headline.author);
    assert_one_line(&headline.subject);
}

//! Names in the documents: source files that a page mentions, and tests that docs/threats.md mentions, must exist.
//!
//! Invariant: a renamed file or test makes the page that mentions it fail, so pages do not become wrong silently. Decisions (docs/adr) are history
//! and not checked.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::checkout::root;

/// Fails with every name that leads nowhere.
pub fn check() -> Result<()> {
    let mut sources = Vec::new();
    for dir in ["crates", "tests", "xtask/src"] {
        collect(&root().join(dir), &mut sources)?;
    }
    let mut functions = String::new();
    for path in &sources {
        functions.push_str(&fs::read_to_string(path)?);
    }
    let mut unknown = Vec::new();
    for entry in fs::read_dir(root().join("docs"))? {
        let page = entry?.path();
        let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if page.extension().is_none_or(|e| e != "md") || name == "code-map.md" {
            continue;
        }
        for (number, line) in fs::read_to_string(&page)?.lines().enumerate() {
            let files = quoted(line).filter(|word| word.ends_with(".rs") && !word.contains(' '));
            let missing_files = files.filter(|file| !sources.iter().any(|path| path.ends_with(file)));
            let tests = if name == "threats.md" { tests_in(line) } else { Vec::new() };
            let missing_tests = tests.into_iter().filter(|test| !functions.contains(&format!("fn {test}(")));
            unknown.extend(missing_files.chain(missing_tests).map(|word| format!("docs/{name}:{}: {word}", number + 1)));
        }
    }
    unknown.sort();
    if !unknown.is_empty() {
        bail!("files or tests that do not exist:\n  {}", unknown.join("\n  "));
    }
    println!("    the files and tests that docs/ mentions exist");
    Ok(())
}

/// What is between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The tests in a row of the table of hostile inputs: number, input, where, test, remark.
fn tests_in(line: &str) -> Vec<&str> {
    let cell = line.split('|').nth(4).unwrap_or_default();
    let is_name = |word: &&str| word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    quoted(cell).filter(is_name).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "node_modules") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_read_from_the_fourth_cell_only() {
        let row = "| 1 | x | `a_b` | threat-1; `one_test`, `two_tests`; `tests/it/x.rs` | `an_option` |";
        assert_eq!(tests_in(row), ["one_test", "two_tests"]);
        assert_eq!(quoted("see `a.rs` and `b.rs`").collect::<Vec<_>>(), ["a.rs", "b.rs"]);
    }
}

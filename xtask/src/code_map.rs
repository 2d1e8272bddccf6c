//! docs/code-map.md: each crate, and each of its files with the sentence that it opens with.
//!
//! Invariant: the map holds nothing that is not in the sources, so it cannot be wrong, only stale, and the test command compares it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::checkout::root;

/// The crates, those that people enter by first. A crate that is missing here comes last.
const ORDER: [&str; 16] = [
    "waypost",
    "control_api",
    "public_http",
    "mta",
    "policy",
    "smtp",
    "sasl",
    "directory",
    "mail",
    "store",
    "net",
    "msgauth",
    "reports",
    "spam_filter",
    "dns_plan",
    "dns_providers",
];

const OPENING: &str = "\
# Code map

Each crate, and each file with the first sentence of its `//!` comment. Written by `cargo xtask docs`; [architecture](architecture.md) says how the
parts work together and where to start for a change. Tests beside the code (`tests.rs`, `*_tests.rs`) are left out.
";

/// The page, as the sources have it now.
pub fn page() -> Result<String> {
    let mut page = OPENING.to_owned();
    for dir in crate_folders()? {
        let name = name_of(&dir);
        let _ = write!(page, "\n## {name}\n\n`crates/{name}/src`\n\n| file | job |\n|---|---|\n");
        rows(&dir.join("src"), &mut page)?;
    }
    page.push_str("\n## The laboratory of the integration tests\n\n`tests/lab`; the tests themselves are in `tests/it`.\n\n| file | job |\n|---|---|\n");
    rows(&root().join("tests/lab"), &mut page)?;
    Ok(page)
}

/// The folders of the crates, in that order.
pub fn crate_folders() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("crates"))? {
        let dir = entry?.path();
        if dir.join("Cargo.toml").is_file() {
            found.push(dir);
        }
    }
    found.sort_by_key(|dir| {
        let name = name_of(dir);
        (ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len()), name)
    });
    Ok(found)
}

/// The last part of a path.
pub fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A row for each source file below `dir`.
fn rows(dir: &Path, page: &mut String) -> Result<()> {
    for file in sources(dir)? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let Some(job) = first_sentence(&text) else { bail!("{} does not open with //!", file.display()) };
        let shown = file.strip_prefix(dir).unwrap_or(&file).display();
        let _ = writeln!(page, "| `{shown}` | {} |", job.replace('|', "\\|"));
    }
    Ok(())
}

/// The source files below a directory, without those of tests, in the order of the page.
pub fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(dir, &mut files)?;
    files.sort_by_key(|file| order_in(dir, file));
    Ok(files)
}

/// A folder's own file (`lib.rs`, `main.rs`, `mod.rs`) before the others in it.
fn order_in(dir: &Path, file: &Path) -> (PathBuf, bool, PathBuf) {
    let inside = file.strip_prefix(dir).unwrap_or(file);
    let folder = inside.parent().unwrap_or(Path::new("")).to_owned();
    let opens = matches!(name_of(file).as_str(), "lib.rs" | "main.rs" | "mod.rs");
    (folder, !opens, inside.to_owned())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let name = name_of(&path);
        if path.is_dir() {
            if name != "tests" {
                collect(&path, files)?;
            }
        } else if name.ends_with(".rs") && name != "tests.rs" && !name.ends_with("_tests.rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The first sentence of the comment that a file opens with; links of rustdoc become plain names.
fn first_sentence(text: &str) -> Option<String> {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let paragraph = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let sentence = paragraph.split_inclusive(". ").next()?.trim().replace("[`", "`").replace("`]", "`");
    (!sentence.is_empty()).then_some(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_sentence_spans_lines_and_ends_at_a_full_stop() {
        let text = "//! Delivers by [`Lane`], one transaction\n//! each. More.\n//!\n//! Invariant: none.\n\nuse x;\n";
        assert_eq!(first_sentence(text).as_deref(), Some("Delivers by `Lane`, one transaction each."));
        assert_eq!(first_sentence("use x;\n"), None);
    }
}

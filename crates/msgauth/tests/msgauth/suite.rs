//! Finds and reads the public suites.
//!
//! What comes from PyPI is fetched by `cargo xtask prepare` into target/suites. Invariant: a missing suite fails the test, with the
//! command that fetches it; it is never skipped.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use yaml_rust2::{Yaml, YamlLoader};

/// A file or folder of a suite, below `WAYPOST_SUITES` or target/suites.
pub fn path(relative: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let dir = std::env::var_os("WAYPOST_SUITES").map_or_else(|| target.join("suites"), PathBuf::from);
    let path = dir.join(relative);
    assert!(path.exists(), "{} is missing: run `cargo xtask suites`, or name another folder in WAYPOST_SUITES", path.display());
    path
}

/// The documents of a suite in YAML.
pub fn yaml(path: &Path) -> Vec<Yaml> {
    let bytes = std::fs::read(path).unwrap();
    YamlLoader::load_from_str(&with_unique_keys(&String::from_utf8_lossy(&bytes))).unwrap()
}

/// The ARC suite has two cases with the same name, which YAML forbids; both count.
fn with_unique_keys(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut seen = HashSet::new();
    for line in text.lines() {
        if line.starts_with("---") {
            seen.clear();
        }
        let key = line.strip_prefix("  ").filter(|key| !key.starts_with([' ', '#', '-'])).and_then(|key| key.strip_suffix(':'));
        match key {
            Some(key) if !seen.insert(key) => out.push_str(&format!("  {key}_again:")),
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// A scalar as text; the reader converts some to numbers.
pub fn text(value: &Yaml) -> String {
    match value {
        Yaml::String(text) | Yaml::Real(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        Yaml::Null | Yaml::BadValue => String::new(),
        other => panic!("not a scalar: {other:?}"),
    }
}

/// Fails with all cases that do not agree.
pub fn all_agree(name: &str, cases: usize, wrong: &[String]) {
    println!("{name}: {} of {cases}", cases - wrong.len());
    assert!(wrong.is_empty(), "{name}: {} of {cases} agree; these do not:\n  {}", cases - wrong.len(), wrong.join("\n  "));
}

//! The documents that the program writes: man pages and the configuration reference.
//!
//! Invariant: an option is described once, where it is defined; what is committed under docs/ equals what the program says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::checkout::{cargo, must, output_of, program, root, target, waypost};

/// Writes them anew.
pub fn write() -> Result<()> {
    let fresh = generate()?;
    let man = root().join("docs/man");
    if man.exists() {
        fs::remove_dir_all(&man)?;
    }
    for (name, text) in &fresh {
        let path = root().join("docs").join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    println!("    wrote docs/config.md and {} man pages", fresh.len() - 1);
    Ok(())
}

/// Compares them with what is committed.
pub fn check() -> Result<()> {
    let fresh = generate()?;
    let mut committed = BTreeMap::new();
    let config = root().join("docs/config.md");
    if config.exists() {
        committed.insert("config.md".to_owned(), fs::read_to_string(config)?);
    }
    read_pages(&root().join("docs/man"), &mut committed)?;
    let names = fresh.keys().chain(committed.keys()).collect::<std::collections::BTreeSet<_>>();
    let stale: Vec<String> =
        names.into_iter().filter(|name| fresh.get(*name) != committed.get(*name)).map(|name| format!("docs/{name}")).collect();
    if !stale.is_empty() {
        bail!("not what the program says: {}; run `cargo xtask docs` and commit the result", stale.join(", "));
    }
    println!("    docs/config.md and {} man pages are current", fresh.len() - 1);
    Ok(())
}

fn generate() -> Result<BTreeMap<String, String>> {
    must(&mut cargo("build --bin waypost"))?;
    let scratch = target().join("docs-man");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    let mut fresh = BTreeMap::new();
    must(program(waypost("debug")).arg("man").arg(&scratch))?;
    read_pages(&scratch, &mut fresh)?;
    if fresh.is_empty() {
        bail!("`waypost man` wrote no page");
    }
    fresh.insert("config.md".into(), output_of(program(waypost("debug")).args(["config", "reference"]))?);
    Ok(fresh)
}

fn read_pages(dir: &Path, into: &mut BTreeMap<String, String>) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        into.insert(format!("man/{}", entry.file_name().to_string_lossy()), fs::read_to_string(entry.path())?);
    }
    Ok(())
}

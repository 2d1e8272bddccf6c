//! The generated documents: man pages, the configuration reference, the OpenAPI document, the list of events, the code map.
//!
//! Invariant: an option is described once, where it is defined; what is committed under docs/ equals what the program and the sources say.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::checkout::{BINARIES, cargo, must, output_of, program, root, target, waypost};
use crate::{code_map, doc_names, limits};

/// Generated pages in docs/ itself; the man pages are in docs/man.
const PAGES: [&str; 5] = ["config.md", "events.md", "limits.md", "code-map.md", "openapi.json"];

/// Writes them.
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
    println!("    wrote {} and {} man pages", PAGES.join(", "), fresh.len() - PAGES.len());
    Ok(())
}

/// Writes the code map and the limits, for which nothing has to be built.
pub fn write_code_map() -> Result<()> {
    let page = root().join("docs/code-map.md");
    fs::write(&page, code_map::page()?).with_context(|| page.display().to_string())?;
    let page = root().join("docs/limits.md");
    fs::write(&page, limits::page()?).with_context(|| page.display().to_string())
}

/// Compares them with the committed ones.
pub fn check() -> Result<()> {
    doc_names::check()?;
    let fresh = generate()?;
    let mut committed = BTreeMap::new();
    for name in PAGES {
        let page = root().join("docs").join(name);
        if page.exists() {
            committed.insert(name.to_owned(), fs::read_to_string(page)?);
        }
    }
    read_pages(&root().join("docs/man"), &mut committed)?;
    let names = fresh.keys().chain(committed.keys()).collect::<std::collections::BTreeSet<_>>();
    let stale: Vec<String> =
        names.into_iter().filter(|name| fresh.get(*name) != committed.get(*name)).map(|name| format!("docs/{name}")).collect();
    if !stale.is_empty() {
        bail!("not what the program and the sources say: {}; run `cargo xtask docs` and commit the result", stale.join(", "));
    }
    println!("    {} and {} man pages are current", PAGES.join(", "), fresh.len() - PAGES.len());
    Ok(())
}

fn generate() -> Result<BTreeMap<String, String>> {
    must(&mut cargo(BINARIES))?;
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
    fresh.insert("openapi.json".into(), output_of(program(waypost("debug")).arg("openapi"))?);
    fresh.insert("events.md".into(), output_of(program(waypost("debug")).arg("event-kinds"))?);
    fresh.insert("code-map.md".into(), code_map::page()?);
    fresh.insert("limits.md".into(), limits::page()?);
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

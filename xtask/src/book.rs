//! The documents as a book, by mdbook and docs/book.toml, and a check of its links.
//!
//! Invariant: each page in docs/ is in the table of contents, and each link in the book leads to a page, to a heading that exists, or to a file of
//! the repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};

use crate::checkout::{must, program, root, target};
use crate::tools::Tool;

const MDBOOK: Tool = Tool { name: "mdbook", version: "0.5.4", options: &["--no-default-features"] };

/// Builds the book into target/book and checks it.
pub fn check() -> Result<()> {
    let docs = root().join("docs");
    let missing = pages_left_out(&docs)?;
    if !missing.is_empty() {
        bail!("not in docs/SUMMARY.md: {}", missing.join(", "));
    }
    let book = target().join("book");
    must(program(MDBOOK.get()?).args(["build", "docs", "--dest-dir"]).arg(&book))?;
    let mut pages = BTreeMap::new();
    read_pages(&book, &mut pages)?;
    let dead = dead_links(&book, &pages);
    if !dead.is_empty() {
        bail!("links that lead nowhere:\n  {}", dead.join("\n  "));
    }
    println!("    {} pages in {}, no dead link", pages.len(), book.display());
    Ok(())
}

/// Markdown files below docs/ that the table of contents does not name.
fn pages_left_out(docs: &Path) -> Result<Vec<String>> {
    let summary = fs::read_to_string(docs.join("SUMMARY.md"))?;
    let mut left_out = Vec::new();
    for dir in [docs.to_owned(), docs.join("adr")] {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.strip_prefix(docs).unwrap_or(&path).to_string_lossy().into_owned();
            if path.extension().is_some_and(|e| e == "md") && name != "SUMMARY.md" && !summary.contains(&format!("]({name})")) {
                left_out.push(name);
            }
        }
    }
    left_out.sort();
    Ok(left_out)
}

fn read_pages(dir: &Path, pages: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            read_pages(&path, pages)?;
        } else if path.extension().is_some_and(|e| e == "html")
            && path.file_name().is_some_and(|n| n != "print.html" && n != "toc.html" && n != "404.html")
        {
            let text = fs::read_to_string(&path)?;
            pages.insert(path, text);
        }
    }
    Ok(())
}

fn dead_links(book: &Path, pages: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let mut dead = Vec::new();
    for (page, text) in pages {
        // What precedes <main> is mdbook's own.
        let content = text.split_once("<main>").map_or(text.as_str(), |(_, content)| content);
        for link in content.split(" href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            if file.contains(':') {
                continue;
            }
            let there = if file.is_empty() { page.clone() } else { resolve(page, file) };
            let leads = match pages.get(&there) {
                Some(text) => fragment.is_empty() || text.contains(&format!("id=\"{fragment}\"")),
                None => there.exists() || in_repository(book, page, file).exists(),
            };
            if !leads {
                dead.push(format!("{}: {link}", page.strip_prefix(book).unwrap_or(page).display()));
            }
        }
    }
    dead
}

/// Where a link that leaves the book leads in the repository, seen from the page's source in docs/; mdbook turns `.md` into `.html` there too.
fn in_repository(book: &Path, page: &Path, link: &str) -> PathBuf {
    let there = resolve(&root().join("docs").join(page.strip_prefix(book).unwrap_or(page)), link);
    if there.extension().is_some_and(|e| e == "html") { there.with_extension("md") } else { there }
}

/// `link` as seen from the folder of `page`, with `..` taken out.
fn resolve(page: &Path, link: &str) -> PathBuf {
    let mut path = page.parent().unwrap_or(Path::new("/")).to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_and_missing_headings_are_found() {
        let book = Path::new("/book");
        let page = |name: &str, text: &str| (book.join(name), format!("<a href=\"none.html\"></a><main>{text}"));
        let pages = BTreeMap::from([
            page("a.html", r##"<a href="b.html#x"></a><a href="b.html#y"></a><a href="#top"></a><a href="https://x.test/"></a>"##),
            page("b.html", r#"<h2 id="x"></h2><a href="adr/none.html"></a><a href="../Cargo.toml"></a>"#),
        ]);
        assert_eq!(dead_links(book, &pages), ["a.html: b.html#y", "a.html: #top", "b.html: adr/none.html"]);
    }
}

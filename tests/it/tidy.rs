//! Checks of the style guide for every file: sizes, first lines, cited RFCs, forbidden words, links.
//!
//! docs/style.md has the reasons. Invariant: a failing check lists every offender, not only the first.

#![allow(clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_WARN: usize = 400;
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// The wings of mta and the files beside them, in order: each may import those after it, and none before it.
const WINGS: [&str; 11] =
    ["server", "explain", "receive", "accept", "queue", "deliver", "reporting", "notify", "context", "settings", "support"];

/// Crates without clock, file system, sockets and runtime.
const PURE: [&str; 8] = ["mail", "smtp", "sasl", "directory", "policy", "reports", "dns_plan", "events"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the checkout").to_owned()
}

/// The files in `dir` with this extension, except built and downloaded ones.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return found };
    for entry in entries {
        let path = entry.expect("a folder of the checkout can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn sources(dirs: &[&str]) -> Vec<(String, String)> {
    let read = |path: PathBuf| (shown(&path), fs::read_to_string(&path).expect("a source file can be read"));
    dirs.iter().flat_map(|dir| files(&root().join(dir), "rs")).map(read).collect()
}

/// The sources of the crates themselves, without their tests folders.
fn crate_sources() -> Vec<(String, String)> {
    sources(&["crates"]).into_iter().filter(|(path, _)| path.split('/').nth(2) == Some("src")).collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn none(offenders: Vec<String>, rule: &str) {
    assert!(offenders.is_empty(), "{rule}:\n  {}\n", offenders.join("\n  "));
}

/// The lines before the tests at the end of a file, with their numbers.
fn own_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(n, line)| (n + 1, line)).take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// A line without its string and character literals and its comment, so that only the code's braces are left.
fn without_literals(line: &str) -> String {
    let (mut out, mut chars) = (String::new(), line.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '\'' => {
                let mut ahead = chars.clone();
                let escaped = ahead.next() == Some('\\');
                if escaped {
                    chars.next();
                    chars.next();
                    chars.by_ref().find(|c| *c == '\'');
                } else if ahead.next() == Some('\'') {
                    chars.next();
                    chars.next();
                }
            }
            '/' if chars.peek() == Some(&'/') => break,
            other => out.push(other),
        }
    }
    out
}

/// The first lines and lengths of functions with more than `max` lines.
fn long_functions(text: &str, max: usize) -> Vec<(usize, usize)> {
    let mut long = Vec::new();
    let mut open: Vec<(usize, i64)> = Vec::new();
    let (mut depth, mut signature) = (0i64, None);
    for (number, line) in own_lines(text) {
        let code = without_literals(line);
        let words = format!(" {} ", code.replace(['(', '<'], " "));
        if signature.is_none() && words.contains(" fn ") && !is_comment(line) {
            signature = Some(number);
        }
        for c in code.chars() {
            match c {
                '{' => {
                    if let Some(start) = signature.take() {
                        open.push((start, depth));
                    }
                    depth += 1;
                }
                '}' => {
                    depth -= 1;
                    if let Some((start, _)) = open.pop_if(|(_, at)| *at == depth) {
                        let lines = number - start + 1;
                        if lines > max {
                            long.push((start, lines));
                        }
                    }
                }
                // A function of a trait, without a body; a type `fn(...)` ends here too.
                ';' if signature.is_some() && !code.contains('[') => signature = None,
                _ => {}
            }
        }
    }
    long
}

#[test]
fn files_are_short() {
    let mut offenders = Vec::new();
    for (path, text) in sources(&["crates", "xtask", "tests", "examples"]) {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            offenders.push(format!("{path}: {lines} lines"));
        } else if lines > FILE_LINES_WARN {
            println!("warning: {path} has {lines} lines; {FILE_LINES_WARN} are enough for most");
        }
    }
    none(offenders, &format!("files of more than {FILE_LINES_MAX} lines"));
}

#[test]
fn functions_are_short() {
    let of_file = |(path, text): (String, String)| -> Vec<String> {
        long_functions(&text, FUNCTION_LINES_MAX).into_iter().map(|(line, length)| format!("{path}:{line}: {length} lines")).collect()
    };
    let offenders = sources(&["crates", "xtask", "tests"]).into_iter().flat_map(of_file).collect();
    none(offenders, &format!("functions of more than {FUNCTION_LINES_MAX} lines"));
}

#[test]
fn every_file_opens_with_its_job() {
    let offenders = crate_sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    none(offenders, "files that do not open with //!");
}

/// The RFC numbers that a text cites.
fn rfcs(text: &str) -> BTreeSet<u32> {
    let number = |rest: &str| rest.trim_start().chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    text.split("RFC").skip(1).filter_map(number).collect()
}

#[test]
fn every_cited_rfc_is_in_standards_md() {
    let table = fs::read_to_string(root().join("docs/standards.md")).expect("docs/standards.md can be read");
    let rows: String = table.lines().filter(|line| line.starts_with("| RFC ")).collect::<Vec<_>>().join("\n");
    let listed = rfcs(&rows);
    let mut offenders = Vec::new();
    for (path, text) in sources(&["crates", "tests"]) {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| line.contains("RFC")) {
            offenders.extend(rfcs(line).difference(&listed).map(|rfc| format!("{path}:{}: RFC {rfc}", number + 1)));
        }
    }
    none(offenders, "cited, but without a row in docs/standards.md");
}

#[test]
fn no_todo_comments() {
    // Put together here, so that this file does not offend.
    let words = [["todo", "!("].concat(), ["unimplemented", "!("].concat(), ["FIX", "ME"].concat(), ["X", "XX"].concat()];
    let mut offenders = Vec::new();
    for (path, text) in sources(&["crates", "xtask", "tests", "examples"]) {
        for (number, line) in text.lines().enumerate() {
            offenders.extend(words.iter().filter(|word| has_word(line, word)).map(|word| format!("{path}:{}: {word}", number + 1)));
        }
    }
    none(offenders, "left for later");
}

/// Whether it is a whole word.
fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        !joins(before) && (word.ends_with('(') || !joins(after))
    })
}

#[test]
fn file_names_are_specific() {
    let vague = ["util", "utils", "common", "manager", "helper", "helpers", "misc"];
    let is_vague = |path: &String| path.trim_end_matches(".rs").split('/').any(|part| vague.contains(&part));
    none(sources(&["crates", "xtask", "tests"]).into_iter().map(|(path, _)| path).filter(is_vague).collect(), "names that say nothing");
}

#[test]
fn pure_crates_have_no_io() {
    let forbidden = [
        "tokio",
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "TcpStream",
        "UdpSocket",
        "SystemTime",
        "Instant",
        "std::thread",
        "std::env",
    ];
    let mut offenders = Vec::new();
    for name in PURE {
        for (path, text) in sources(&[&format!("crates/{name}/src")]) {
            for (number, line) in own_lines(&text).filter(|(_, line)| !is_comment(line)) {
                offenders.extend(forbidden.iter().filter(|word| has_word(line, word)).map(|word| format!("{path}:{number}: {word}")));
            }
        }
        let manifest = format!("crates/{name}/Cargo.toml");
        let text = fs::read_to_string(root().join(&manifest)).expect("a manifest can be read");
        let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default().split("\n[").next().unwrap_or_default();
        let outward = ["tokio", "mio", "socket2", "rustls", "rusqlite", "nix", "net", "store", "mta"];
        let names = dependencies.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
        offenders.extend(
            names
                .filter(|name| outward.iter().any(|o| name == o || name.starts_with(&format!("{o}-"))))
                .map(|d| format!("{manifest}: {d}")),
        );
    }
    none(offenders, "crates without IO that reach out");
}

/// The wing of mta that a source file belongs to, by its path below `src`.
fn wing(path: &str) -> Option<usize> {
    let name = path.split_once("/src/")?.1.split(['/', '.']).next()?;
    WINGS.iter().position(|wing| *wing == name)
}

/// The imports of a file that go to an upper wing, or whose wing cannot be seen, with their lines.
fn upward_imports(path: &str, text: &str) -> Vec<(usize, String)> {
    let Some(own) = wing(path) else { return Vec::new() };
    let of_line = |(number, line): (usize, &str)| -> Vec<(usize, String)> {
        let code = without_literals(line);
        let after = code.split("crate::").skip(1);
        let names = after.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned());
        let is_upward = |name: &String| WINGS.iter().position(|wing| wing == name).is_none_or(|imported| imported < own);
        names.filter(is_upward).map(|_| (number, line.trim().to_owned())).collect()
    };
    own_lines(text).flat_map(of_line).collect()
}

#[test]
fn imports_between_the_wings_of_mta_go_one_way() {
    let of_file = |(path, text): (String, String)| -> Vec<String> {
        upward_imports(&path, &text).into_iter().map(|(line, import)| format!("{path}:{line}: {import}")).collect()
    };
    let all = sources(&["crates/mta/src"]);
    let strays = all.iter().map(|(path, _)| path).filter(|path| wing(path).is_none() && !path.ends_with("/lib.rs")).cloned();
    none(strays.collect(), "files of mta outside of the wings");
    none(all.into_iter().flat_map(of_file).collect(), &format!("imports to an upper wing (the order is {})", WINGS.join(" > ")));
}

/// The types that a source file declares, with their lines. Associated types are not.
fn declared_types(text: &str) -> Vec<(usize, String)> {
    let of_line = |(number, line): (usize, &str)| {
        let bare = without_literals(line);
        let is_visibility = |word: &&str| matches!(*word, "pub" | "in" | "crate" | "unsafe") || word.ends_with(')');
        let words = bare.split([' ', '<', '(', '{', ';', ':', '=']).filter(|word| !word.is_empty());
        let mut words = words.skip_while(is_visibility);
        let is_type = match words.next()? {
            "struct" | "enum" | "trait" | "union" => true,
            "type" => !line.starts_with(' '),
            _ => false,
        };
        if is_type { Some((number, words.next()?.to_owned())) } else { None }
    };
    own_lines(text).filter_map(of_line).collect()
}

/// The names that stand twice among the declarations (crate, place, name), each with all its places.
fn twice(declared: &[(String, String, String)]) -> Vec<String> {
    let mut places: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (of_crate, place, name) in declared {
        places.entry((of_crate, name)).or_default().push(place);
    }
    let several = places.into_iter().filter(|(_, places)| places.len() > 1);
    several.map(|((_, name), places)| format!("{name}: {}", places.join(", "))).collect()
}

#[test]
fn a_type_name_stands_once_in_a_crate() {
    let is_test = |path: &str| path.ends_with("tests.rs") || path.contains("/tests/");
    let mut declared = Vec::new();
    for (path, text) in crate_sources().into_iter().filter(|(path, _)| !is_test(path)) {
        let of_crate = path.split("/src/").next().unwrap_or_default().to_owned();
        declared.extend(declared_types(&text).into_iter().map(|(line, name)| (of_crate.clone(), format!("{path}:{line}"), name)));
    }
    none(twice(&declared), "type names that stand twice in a crate");
}

#[test]
fn links_in_documents_resolve() {
    let top = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root().join(name));
    let documents = top.into_iter().chain(files(&root().join("docs"), "md")).chain(files(&root().join("examples"), "md"));
    let mut offenders = Vec::new();
    for document in documents {
        let Ok(text) = fs::read_to_string(&document) else {
            offenders.push(format!("{} is missing", shown(&document)));
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = target.split('#').next().unwrap_or_default();
                let is_file = !file.is_empty() && !file.contains("://") && !file.starts_with("mailto:");
                if is_file && !document.parent().is_some_and(|dir| dir.join(file).exists()) {
                    offenders.push(format!("{}:{}: {target}", shown(&document), number + 1));
                }
            }
        }
    }
    none(offenders, "links that lead nowhere");
}

#[test]
fn the_checks_find_their_offenders() {
    let body = "    let x = '{';\n".repeat(10);
    let text = format!(
        "impl X {{\n    fn long(\n        a: u8,\n    ) -> u8 {{\n        let s = \"}}}}\"; // }}\n{body}    }}\n    fn short() {{}}\n}}\n"
    );
    assert_eq!(long_functions(&text, 12), [(2, 15)]);
    assert_eq!(long_functions(&text, 15), []);
    assert_eq!(rfcs("RFC 5321 s.4.5.2, RFC 3464 and RFCs"), BTreeSet::from([3464, 5321]));
    let file = "//! crate::receive is above.\nuse crate::queue::x;\nuse crate::support::y;\nfn f() { crate::receive::g() }\n#[cfg(test)]\nuse crate::accept::z;\n";
    let found = upward_imports("crates/mta/src/deliver/lane/worker.rs", file);
    assert_eq!(found, [(2, "use crate::queue::x;".to_owned()), (4, "fn f() { crate::receive::g() }".to_owned())]);
    assert_eq!(upward_imports("crates/mta/src/receive/listen.rs", file), []);
    let types = "pub(crate) struct Seen<'a>(&'a u8);\nenum Read {\nimpl X {\n    type Err = Y;\n// struct No\ntype Line = u8;\n    struct Inner;\npub(in crate::x) trait Says {}\n";
    let names: Vec<(usize, String)> = declared_types(types);
    assert_eq!(names, [(1, "Seen"), (2, "Read"), (6, "Line"), (7, "Inner"), (8, "Says")].map(|(line, name)| (line, name.to_owned())));
    let declared = [("a", "1", "Read"), ("a", "2", "Read"), ("b", "3", "Read")].map(|(c, p, n)| (c.to_owned(), p.to_owned(), n.to_owned()));
    assert_eq!(twice(&declared), ["Read: 1, 2"]);
    assert!(has_word("use tokio::net;", "tokio") && !has_word("use mytokio;", "tokio") && !has_word("fn tokio_like()", "tokio"));
}

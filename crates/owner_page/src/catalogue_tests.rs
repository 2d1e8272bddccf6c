//! Tests of the texts: the same keys in every language, each used, each key in the code defined.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fluent_bundle::FluentResource;
use maud::html;

use super::*;

/// Beginnings of keys that the code makes from a list of values; the values are tested where the list is.
const MADE: &[&str] = &["check-", "record-why-", "kind-", "nav-", "month-", "theme-"];

fn keys(files: &[&str]) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for file in files {
        FluentResource::try_new((*file).to_owned()).map_err(|(_, errors)| errors).expect("the file is Fluent");
        let starts_message = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase());
        for line in file.lines().filter(starts_message) {
            let key = line.split([' ', '=']).next().unwrap_or_default().to_owned();
            assert!(keys.insert(key), "{line} occurs twice");
        }
    }
    keys
}

/// All sources of the crate, without its tests.
fn sources(dir: &Path, out: &mut String) {
    for entry in fs::read_dir(dir).expect("the sources can be read") {
        let path = entry.expect("the sources can be read").path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("catalogue_tests.rs") {
            let text = fs::read_to_string(&path).expect("a source can be read");
            out.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
        }
    }
}

/// The literals in the code that look like a key: the argument of a function that takes one.
fn used(source: &str) -> BTreeSet<String> {
    let calls = [".say(", ".with(", ".plain(", ".rich(", "key("];
    let mut found = BTreeSet::new();
    for call in calls {
        for (at, _) in source.match_indices(call) {
            let rest = source.get(at + call.len()..).unwrap_or_default().trim_start();
            if let Some(literal) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                found.insert(literal.to_owned());
            }
        }
    }
    found
}

#[test]
fn languages_have_the_same_keys() {
    let (english, chinese) = (keys(ENGLISH), keys(CHINESE));
    let missing: Vec<_> = english.difference(&chinese).collect();
    let surplus: Vec<_> = chinese.difference(&english).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "zh-CN lacks {missing:?}, and has too many: {surplus:?}");
}

#[test]
fn every_key_in_the_code_exists_and_every_key_is_used() {
    let mut source = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut source);
    let (used, defined) = (used(&source), keys(ENGLISH));
    let undefined: Vec<_> = used.iter().filter(|key| !defined.contains(*key)).collect();
    assert!(undefined.is_empty(), "in the code, but in no file of texts: {undefined:?}");
    let is_made = |key: &&String| MADE.iter().any(|prefix| key.starts_with(prefix));
    // A key may also stand in a table of the code, as a literal of its own.
    let unused: Vec<_> = defined.iter().filter(|key| !is_made(key) && !source.contains(&format!("\"{key}\""))).collect();
    assert!(unused.is_empty(), "in the files of texts, but not in the code: {unused:?}");
}

#[test]
fn languages_use_the_same_values_in_each_text() {
    let values = |files: &[&str]| -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        let mut key = String::new();
        for line in files.iter().flat_map(|file| file.lines()).filter(|line| !line.starts_with('#')) {
            if line.starts_with(|c: char| c.is_ascii_lowercase()) {
                key = line.split([' ', '=']).next().unwrap_or_default().to_owned();
            }
            for piece in line.split('$').skip(1) {
                let name: String = piece.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').collect();
                found.insert((key.clone(), name));
            }
        }
        found
    };
    assert_eq!(values(ENGLISH), values(CHINESE));
}

#[test]
fn numbers_are_grouped_and_strings_isolated() {
    assert_eq!(grouped(0), "0");
    assert_eq!(grouped(1_234_567), "1,234,567");
    assert_eq!(grouped(-100), "-100");
    let text = Text(Language::English).with("page-title", [("screen", "a\u{202e}b\u{1b}".into()), ("host", "mx.example.com".into())]);
    assert!(text.contains("\u{2068}a\u{fffd}b\u{fffd}\u{2069}"), "{text}");
}

#[test]
fn elements_take_the_place_of_values_and_the_rest_is_escaped() {
    let part = html! { b { "x<y" } };
    let text = Text(Language::English).rich("page-title", [("screen", part)], [("host", "<script>".into())]);
    assert!(text.0.contains("<b>x&lt;y</b>") && text.0.contains("&lt;script&gt;"), "{}", text.0);
}

//! Golden files: what a run printed or sent, as text in tests/golden, compared after its variable parts are masked.
//!
//! `UPDATE_GOLDENS=1` writes the files anew; read the diff before you commit it. Invariant: a comparison that fails shows the first line that differs and
//! how to renew the file.

use std::fs;
use std::path::Path;

use crate::Lab;

/// Set to 1 to write the files instead of comparing them.
const UPDATE: &str = "UPDATE_GOLDENS";

/// A golden file, with what to mask before the comparison; the masks apply in the order in which they are given.
#[derive(Debug)]
pub struct Golden {
    name: String,
    masks: Vec<Mask>,
}

#[derive(Debug)]
enum Mask {
    /// This text.
    Text(String, String),
    /// The word after this text.
    After(String, String),
    /// The rest of the line after this text.
    Rest(String, String),
    /// Words of this shape.
    Shape(String, String),
    /// Base64 of at least this many characters.
    Base64(usize, String),
}

impl Golden {
    /// The file tests/golden/`name`.txt.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), masks: Vec::new() }
    }

    /// Masks the lab's directory as DIR and its network as 127.0.0. A lab of [`Lab::numbered`] keeps columns aligned.
    #[must_use]
    pub fn of_lab(self, lab: &Lab) -> Self {
        let own = lab.address(1).to_string();
        let network = own.strip_suffix('1').unwrap_or(&own);
        self.text(&lab.path().display().to_string(), "DIR").text(network, "127.0.0.")
    }

    /// Masks each occurrence of a text.
    #[must_use]
    pub fn text(self, text: &str, mask: &str) -> Self {
        assert!(!text.is_empty(), "an empty text cannot be masked");
        self.with(Mask::Text(text.to_owned(), mask.to_owned()))
    }

    /// Masks the word after each occurrence of a text: up to a blank, a quotation mark, a semicolon, a comma or a closing bracket.
    #[must_use]
    pub fn after(self, text: &str, mask: &str) -> Self {
        self.with(Mask::After(text.to_owned(), mask.to_owned()))
    }

    /// Masks the rest of the line after each occurrence of a text.
    #[must_use]
    pub fn rest(self, text: &str, mask: &str) -> Self {
        self.with(Mask::Rest(text.to_owned(), mask.to_owned()))
    }

    /// Masks keys and signatures: base64 of 40 characters and more.
    #[must_use]
    pub fn keys(self) -> Self {
        self.with(Mask::Base64(40, "KEY".into()))
    }

    /// Masks words of a shape: `9` matches a digit, `a` an ASCII letter, `x` a letter or a digit, anything else itself.
    #[must_use]
    pub fn shape(self, shape: &str, mask: &str) -> Self {
        self.with(Mask::Shape(shape.to_owned(), mask.to_owned()))
    }

    /// Masks dates of header fields (RFC 5322 s.3.3) and ISO 8601 dates.
    #[must_use]
    pub fn dates(self) -> Self {
        self.shape("aaa, 99 aaa 9999 99:99:99 +9999", "DATE")
            .shape("aaa, 9 aaa 9999 99:99:99 +9999", "DATE")
            .shape("9999-99-99T99:99:99Z", "DATE")
            .shape("9999-99-99", "DATE")
    }

    fn with(mut self, mask: Mask) -> Self {
        self.masks.push(mask);
        self
    }

    /// Compares a text with the file, or writes the file. CRLF counts as LF.
    pub fn check(self, text: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{}.txt", self.name));
        let masked = self.masks.iter().fold(text.replace("\r\n", "\n"), |text, mask| mask.apply(&text));
        if std::env::var_os(UPDATE).is_some_and(|value| value == "1") {
            fs::create_dir_all(path.parent().expect("a folder")).expect("tests/golden can be made");
            return fs::write(&path, masked).expect("the golden file can be written");
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(masked == expected, "{}", difference(&path, &expected, &masked));
    }
}

/// What to print where a file differs.
fn difference(path: &Path, expected: &str, found: &str) -> String {
    let line = |text: &str, n: usize| text.lines().nth(n).map_or_else(|| "(the end)".to_owned(), |line| format!("{line:?}"));
    let first =
        (0..).find(|n| line(expected, *n) != line(found, *n) || expected.lines().count().max(found.lines().count()) < *n).unwrap_or(0);
    format!(
        "{} differs from line {}:\n  file   {}\n  found  {}\nall that was found, masked:\n{found}\nIf this is right, renew the file: {UPDATE}=1 cargo test -p it",
        path.display(),
        first + 1,
        line(expected, first),
        line(found, first)
    )
}

impl Mask {
    fn apply(&self, text: &str) -> String {
        match self {
            Self::Text(found, mask) => text.replace(found, mask),
            Self::After(before, mask) => {
                let mut parts = text.split(before.as_str());
                let mut all = parts.next().unwrap_or_default().to_owned();
                for part in parts {
                    // A value with characters such as "/" is quoted (RFC 8601 s.2.2).
                    let quoted = part.strip_prefix('"').filter(|_| !before.ends_with('"')).and_then(|rest| rest.find('"'));
                    let word = || part.find(|c: char| c.is_whitespace() || "\"';,)>]".contains(c)).unwrap_or(part.len());
                    let end = quoted.map_or_else(word, |closing| closing + 2);
                    all.push_str(before);
                    all.push_str(if end == 0 { "" } else { mask });
                    all.push_str(&part[end..]);
                }
                all
            }
            Self::Rest(before, mask) => {
                let line = |line: &str| match line.split_once(before.as_str()) {
                    Some((start, _)) => format!("{start}{before}{mask}"),
                    None => line.to_owned(),
                };
                text.split('\n').map(line).collect::<Vec<_>>().join("\n")
            }
            Self::Shape(shape, mask) => without_shape(text, shape, mask),
            Self::Base64(least, mask) => without_base64(text, *least, mask),
        }
    }
}

fn without_base64(text: &str, least: usize, mask: &str) -> String {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let (mut all, mut rest) = (String::new(), text);
    while let Some(start) = rest.find(is_base64) {
        let (before, from) = rest.split_at(start);
        let (run, after) = from.split_at(from.find(|c| !is_base64(c)).unwrap_or(from.len()));
        // `p=` before a key stays, and so does a path.
        let (name, value) = run.split_once('=').filter(|(_, value)| value.len() >= least).map_or(("", run), |(name, value)| (name, value));
        all.push_str(before);
        if !name.is_empty() {
            all.push_str(&format!("{name}="));
        }
        all.push_str(if value.len() >= least { mask } else { value });
        rest = after;
    }
    all + rest
}

fn without_shape(text: &str, shape: &str, mask: &str) -> String {
    let (chars, shape): (Vec<char>, Vec<char>) = (text.chars().collect(), shape.chars().collect());
    let fits = |c: char, wanted: char| match wanted {
        '9' => c.is_ascii_digit(),
        'a' => c.is_ascii_alphabetic(),
        'x' => c.is_ascii_alphanumeric(),
        other => c == other,
    };
    let joins = |c: Option<&char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let (mut all, mut at) = (String::new(), 0);
    while let Some(c) = chars.get(at) {
        let end = at + shape.len();
        let is_found = chars.get(at..end).is_some_and(|word| word.iter().zip(&shape).all(|(c, wanted)| fits(*c, *wanted)));
        if is_found && !joins(at.checked_sub(1).and_then(|before| chars.get(before))) && !joins(chars.get(end)) {
            all.push_str(mask);
            at = end;
        } else {
            all.push(*c);
            at += 1;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_hide_only_their_words() {
        let golden = Golden::new("none").text("/tmp/x", "DIR").after("p=", "KEY").dates().shape("01xxxx", "ID");
        let text = "DATE: Sat, 28 Nov 2026 15:10:03 +0000; 2026-11-28 12026-11-28 /tmp/x/a \"v=DKIM1; p=MIIB\" p= p=\"a/b\" 01abcd 01abcde";
        let masked = golden.masks.iter().fold(text.to_owned(), |text, mask| mask.apply(&text));
        assert_eq!(masked, "DATE: DATE; DATE 12026-11-28 DIR/a \"v=DKIM1; p=KEY\" p= p=KEY ID 01abcde");
        let golden = Golden::new("none").rest("disk: ", "SIZES").keys();
        let key = "A".repeat(40) + "/+=";
        let masked = golden.masks.iter().fold(format!("disk: 1 of 2\np={key}; {key} b=short"), |text, mask| mask.apply(&text));
        assert_eq!(masked, "disk: SIZES\np=KEY; KEY b=short");
    }

    #[test]
    fn a_difference_names_its_line_and_the_way_to_renew_the_file() {
        let text = difference(Path::new("golden/a.txt"), "one\ntwo\n", "one\nthree\n");
        assert!(text.contains("line 2") && text.contains("\"two\"") && text.contains("UPDATE_GOLDENS=1"), "{text}");
        let text = difference(Path::new("golden/a.txt"), "one\n", "one\nthree\n");
        assert!(text.contains("line 2") && text.contains("(the end)"), "{text}");
    }
}

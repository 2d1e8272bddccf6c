//! Transcripts: sessions as text.
//!
//! A line is `C: ` (said by the client), `S: ` (said by the server) or another letter that the runner of that side knows;
//! `X<: ` has no CRLF, `X*3: ` stands three times, `{a*100}` is a hundred times `a`, and `\r \n \0 \xHH \\` are escapes.
//! An expected line that ends with ` ...` stands for any line that starts so. `#` is a comment, `@key value` a setting.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One line, escapes resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub who: char,
    pub bytes: Vec<u8>,
}

pub struct Transcript {
    pub settings: HashMap<String, String>,
    pub lines: Vec<Line>,
}

pub fn all(side: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(side);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

pub fn read(path: &Path) -> Transcript {
    let text = std::fs::read_to_string(path).unwrap();
    let mut transcript = Transcript { settings: HashMap::new(), lines: Vec::new() };
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(setting) = line.strip_prefix('@') {
            let (key, value) = setting.split_once(' ').unwrap_or((setting, ""));
            transcript.settings.insert(key.into(), value.into());
            continue;
        }
        let (head, text) = line.split_once(':').unwrap_or_else(|| panic!("{}: {line}", path.display()));
        let who = head.chars().next().unwrap();
        let count = head.split_once('*').map_or(1, |(_, n)| n.parse().unwrap());
        let mut bytes = unescape(text.strip_prefix(' ').unwrap_or(text));
        if matches!(who, 'C' | 'S') && !head.contains('<') {
            bytes.extend_from_slice(b"\r\n");
        }
        transcript.lines.extend(std::iter::repeat_n(Line { who, bytes }, count));
    }
    transcript
}

/// Compares what was said with what was expected; the error is the first difference.
pub fn compare(expected: &[Line], got: &[Line]) -> Result<(), String> {
    for i in 0..expected.len().max(got.len()) {
        let (want, have) = (expected.get(i), got.get(i));
        if !matches!((want, have), (Some(w), Some(h)) if fits(w, h)) {
            let show = |l: Option<&Line>| l.map_or("nothing".into(), |l| format!("{}: {}", l.who, escape(&l.bytes)));
            return Err(format!("line {i}: expected {}, got {}", show(want), show(have)));
        }
    }
    Ok(())
}

fn fits(want: &Line, have: &Line) -> bool {
    let end = if want.who == 'S' { &b"...\r\n"[..] } else { b"..." };
    want.who == have.who && (want.bytes == have.bytes || want.bytes.strip_suffix(end).is_some_and(|start| have.bytes.starts_with(start)))
}

/// Writes a transcript anew: comments, settings and what was put in stay, what came out is replaced.
pub fn update(path: &Path, inputs: &[char], got: &[Line]) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut out = String::new();
    let mut got = got.iter().peekable();
    let mut begun = false;
    for line in text.lines() {
        let who = line.chars().next().filter(|_| !line.starts_with(['#', '@']));
        match who {
            Some(who) if !inputs.contains(&who) => continue,
            Some(_) => {
                let count = line.split_once(':').and_then(|(h, _)| h.split_once('*')).map_or(1, |(_, n)| n.parse().unwrap());
                write_outputs(&mut out, inputs, &mut got);
                got.by_ref().take(count).for_each(drop);
                begun = true;
            }
            None if begun => write_outputs(&mut out, inputs, &mut got),
            None => {}
        }
        out.push_str(line);
        out.push('\n');
    }
    write_outputs(&mut out, inputs, &mut got);
    std::fs::write(path, out).unwrap();
}

fn write_outputs(out: &mut String, inputs: &[char], got: &mut std::iter::Peekable<std::slice::Iter<'_, Line>>) {
    while let Some(line) = got.next_if(|l| !inputs.contains(&l.who)) {
        let mut count = 1;
        while got.next_if_eq(&line).is_some() {
            count += 1;
        }
        let times = if count > 1 { format!("*{count}") } else { String::new() };
        let whole = line.bytes.strip_suffix(b"\r\n").filter(|_| matches!(line.who, 'C' | 'S'));
        let mark = if whole.is_none() && matches!(line.who, 'C' | 'S') { "<" } else { "" };
        let _ = writeln!(out, "{}{mark}{times}: {}", line.who, escape(whole.unwrap_or(&line.bytes)));
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((inner, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}'))
            && let Some((what, count)) = inner.rsplit_once('*')
            && let Ok(count) = count.parse::<usize>()
        {
            out.extend_from_slice(&unescape(what).repeat(count));
            rest = after;
            continue;
        }
        let mut used = c.len_utf8();
        if c == '\\' {
            used = 2;
            match rest.as_bytes()[1] {
                b'r' => out.push(b'\r'),
                b'n' => out.push(b'\n'),
                b'0' => out.push(0),
                b'x' => {
                    out.push(u8::from_str_radix(&rest[2..4], 16).unwrap());
                    used = 4;
                }
                other => out.push(other),
            }
        } else {
            out.extend_from_slice(&rest.as_bytes()[..used]);
        }
        rest = &rest[used..];
    }
    out
}

pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\r' => out.push_str("\\r"),
                '\n' => out.push_str("\\n"),
                '\0' => out.push_str("\\0"),
                '\\' => out.push_str("\\\\"),
                c if c.is_ascii_control() => {
                    let _ = write!(out, "\\x{:02x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        for b in chunk.invalid() {
            let _ = write!(out, "\\x{b:02x}");
        }
    }
    out
}

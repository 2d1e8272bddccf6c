//! Transcripts: sessions as text.
//!
//! A line is `C: ` (from the client), `S: ` (from the server) or another letter that the runner of that side knows;
//! `X<: ` has no CRLF, `X*3: ` is three such lines, `{a*100}` is `a` a hundred times, and `\r \n \0 \xHH \\` are escapes.
//! `S: <EHLO far>` includes the block of that name in ehlo.txt. An expected line that ends with ` ...` matches any line
//! that starts so. `#` is a comment, `@key value` a setting.

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

/// Lines that many transcripts share.
struct Block {
    name: String,
    lines: Vec<Line>,
}

/// The blocks of ehlo.txt.
fn blocks() -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/ehlo.txt");
    let mut blocks: Vec<Block> = Vec::new();
    for line in std::fs::read_to_string(&path).unwrap().lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        match line.strip_prefix("@block ") {
            Some(name) => blocks.push(Block { name: format!("<{name}>"), lines: Vec::new() }),
            None => blocks.last_mut().unwrap().lines.append(&mut parse(line, &path, &[])),
        }
    }
    blocks
}

/// The lines that one line of a file means.
fn parse(line: &str, path: &Path, blocks: &[Block]) -> Vec<Line> {
    let (head, text) = line.split_once(':').unwrap_or_else(|| panic!("{}: {line}", path.display()));
    let text = text.strip_prefix(' ').unwrap_or(text);
    if head == "S" && text.starts_with('<') {
        let block = blocks.iter().find(|b| b.name == text).unwrap_or_else(|| panic!("{}: no block {text}", path.display()));
        return block.lines.clone();
    }
    let who = head.chars().next().unwrap();
    let count = head.split_once('*').map_or(1, |(_, n)| n.parse().unwrap());
    let mut bytes = unescape(text);
    if matches!(who, 'C' | 'S') && !head.contains('<') {
        bytes.extend_from_slice(b"\r\n");
    }
    vec![Line { who, bytes }; count]
}

pub fn read(path: &Path) -> Transcript {
    let text = std::fs::read_to_string(path).unwrap();
    let mut transcript = Transcript { settings: HashMap::new(), lines: Vec::new() };
    let blocks = blocks();
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(setting) = line.strip_prefix('@') {
            let (key, value) = setting.split_once(' ').unwrap_or((setting, ""));
            transcript.settings.insert(key.into(), value.into());
            continue;
        }
        transcript.lines.append(&mut parse(line, path, &blocks));
    }
    transcript
}

/// Compares a session with what was expected; the error is the first difference.
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

/// Writes a transcript anew: comments, settings and inputs stay, outputs are replaced.
pub fn update(path: &Path, inputs: &[char], got: &[Line]) {
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = blocks();
    let mut out = String::new();
    let mut got = got;
    let mut begun = false;
    for line in text.lines() {
        let who = line.chars().next().filter(|_| !line.starts_with(['#', '@']));
        match who {
            Some(who) if !inputs.contains(&who) => continue,
            Some(_) => {
                write_outputs(&mut out, inputs, &mut got, &blocks);
                got = got.get(parse(line, path, &blocks).len()..).unwrap_or_default();
                begun = true;
            }
            None if begun => write_outputs(&mut out, inputs, &mut got, &blocks),
            None => {}
        }
        out.push_str(line);
        out.push('\n');
    }
    write_outputs(&mut out, inputs, &mut got, &blocks);
    std::fs::write(path, out).unwrap();
}

/// Writes the outputs at the front of `got`, and takes them off.
fn write_outputs(out: &mut String, inputs: &[char], got: &mut &[Line], blocks: &[Block]) {
    while let Some(line) = got.first().filter(|l| !inputs.contains(&l.who)) {
        if let Some(block) = blocks.iter().find(|b| got.starts_with(&b.lines)) {
            let _ = writeln!(out, "S: {}", block.name);
            *got = &got[block.lines.len()..];
            continue;
        }
        let count = got.iter().take_while(|l| *l == line).count();
        let times = if count > 1 { format!("*{count}") } else { String::new() };
        let whole = line.bytes.strip_suffix(b"\r\n").filter(|_| matches!(line.who, 'C' | 'S'));
        let mark = if whole.is_none() && matches!(line.who, 'C' | 'S') { "<" } else { "" };
        let _ = writeln!(out, "{}{mark}{times}: {}", line.who, escape(whole.unwrap_or(&line.bytes)));
        *got = &got[count..];
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

//! What is measured: groups of cells, and the servers of each group.

use std::str::FromStr;

use anyhow::{Result, bail};

use crate::content::BYTES_MAX;

const KIB: usize = 1024;

/// Maximum messages in a session of a client that forwards mail.
const MESSAGES_EACH: u32 = 50;

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Sessions in parallel.
    pub sessions: usize,
    /// Octets of each message.
    pub bytes: usize,
    /// Messages in all.
    pub messages: u64,
    /// Maximum messages in a session.
    pub messages_each: u32,
}

impl Cell {
    const fn new(sessions: usize, bytes: usize, messages: u64, messages_each: u32) -> Self {
        Self { sessions, bytes, messages, messages_each }
    }

    /// The same with more or fewer messages.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn scaled(self, scale: f64) -> Self {
        Self { messages: ((self.messages as f64 * scale) as u64).max(10), ..self }
    }

    /// How it is named in results: `10 KiB x 100`, with the messages of a session where they are few.
    pub fn name(self) -> String {
        let size = if self.bytes >= KIB * KIB { format!("{} MiB", self.bytes / KIB / KIB) } else { format!("{} KiB", self.bytes / KIB) };
        let each = if self.messages_each == 1 { ", 1 a session" } else { "" };
        format!("{size} x {}{each}", self.sessions)
    }
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<u64>, _> = text.split('x').map(str::parse).collect();
        let form = || format!("`{text}` is not SESSIONSxBYTESxMESSAGES");
        let to_usize = |n: &u64| usize::try_from(*n).map_err(|_| form());
        match numbers.map_err(|_| form())?.as_slice() {
            [_, bytes, ..] if *bytes > BYTES_MAX as u64 => Err(format!("`{text}`: a message has at most {BYTES_MAX} octets")),
            [sessions, bytes, messages] => Ok(Self::new(to_usize(sessions)?, to_usize(bytes)?, *messages, MESSAGES_EACH)),
            [sessions, bytes, messages, each] => {
                Ok(Self::new(to_usize(sessions)?, to_usize(bytes)?, *messages, u32::try_from(*each).map_err(|_| form())?))
            }
            _ => Err(form()),
        }
    }
}

/// Measurements that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupOfCells {
    /// Mail for an alias goes to a target.
    Forward,
    /// Mail of an account, with TLS and a login.
    Submit,
    /// Sessions that wait.
    Idle,
    /// The target is down, then it is back.
    Backlog,
    /// A slow target beside a fast one.
    Tarpit,
    /// Forwarding with SPF, DKIM, DMARC, return addresses and signatures.
    Full,
}

impl GroupOfCells {
    const ALL: [Self; 6] = [Self::Forward, Self::Submit, Self::Idle, Self::Backlog, Self::Tarpit, Self::Full];

    /// The groups of these names.
    pub fn named(names: &[String]) -> Result<Vec<Self>> {
        if names.iter().any(|name| name == "all") {
            return Ok(Self::ALL.to_vec());
        }
        let find = |name: &String| match Self::ALL.into_iter().find(|group| group.name() == name) {
            Some(group) => Ok(group),
            None => bail!("no group `{name}`; there are {}", Self::ALL.map(Self::name).join(", ")),
        };
        names.iter().map(find).collect()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Submit => "submit",
            Self::Idle => "idle",
            Self::Backlog => "backlog",
            Self::Tarpit => "tarpit",
            Self::Full => "full",
        }
    }

    /// The servers that are measured, in their order; `against` only with a binary.
    pub fn peers(self) -> &'static [&'static str] {
        match self {
            Self::Forward => &["postfix", "waypost", "against", "waypost:cut", "against:cut"],
            Self::Idle => &["postfix:idle", "waypost", "against"],
            Self::Full => &["postfix-full", "waypost:full"],
            Self::Submit => &["postfix", "waypost", "waypost:signed", "against"],
            Self::Backlog | Self::Tarpit => &["postfix", "waypost", "against"],
        }
    }

    /// Its usual cells.
    pub fn cells(self) -> Vec<Cell> {
        match self {
            Self::Forward => vec![
                Cell::new(10, KIB, 4000, MESSAGES_EACH),
                Cell::new(100, KIB, 4000, MESSAGES_EACH),
                Cell::new(10, 10 * KIB, 4000, MESSAGES_EACH),
                Cell::new(100, 10 * KIB, 4000, MESSAGES_EACH),
                Cell::new(10, 100 * KIB, 1500, MESSAGES_EACH),
                Cell::new(100, 100 * KIB, 1500, MESSAGES_EACH),
                Cell::new(10, KIB * KIB, 200, MESSAGES_EACH),
                Cell::new(100, KIB * KIB, 200, MESSAGES_EACH),
            ],
            Self::Submit => vec![
                Cell::new(1, KIB, 500, MESSAGES_EACH),
                Cell::new(10, KIB, 4000, MESSAGES_EACH),
                Cell::new(100, KIB, 4000, MESSAGES_EACH),
                Cell::new(10, KIB, 1000, 1),
                Cell::new(100, KIB, 1000, 1),
            ],
            Self::Full => vec![Cell::new(100, 10 * KIB, 2000, MESSAGES_EACH)],
            Self::Idle | Self::Backlog | Self::Tarpit => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_and_named() {
        let cell: Cell = "10x1024x4000".parse().unwrap();
        assert_eq!((cell, cell.name().as_str()), (Cell::new(10, 1024, 4000, 50), "1 KiB x 10"));
        let cell: Cell = "1x1048576x9x1".parse().unwrap();
        assert_eq!(cell.name(), "1 MiB x 1, 1 a session");
        assert!("10x99999999x1".parse::<Cell>().is_err() && "10x10".parse::<Cell>().is_err() && "axbxc".parse::<Cell>().is_err());
    }

    #[test]
    fn groups_have_their_names() {
        let named = |names: &[&str]| GroupOfCells::named(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(named(&["idle", "forward"]).unwrap(), [GroupOfCells::Idle, GroupOfCells::Forward]);
        assert_eq!(named(&["all"]).unwrap().len(), 6);
        assert!(named(&["frward"]).is_err());
    }
}

//! The state of a recipient in the queue, with its number in the database and the SQL conditions on it.
//!
//! Invariant: no other file writes these numbers; the conditions are those of the partial indexes, so that SQLite uses them.

use std::fmt;

use crate::engine::{FromValue, ToValue, Value};

/// The state of a recipient in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecipientState {
    /// It waits for its next attempt.
    Waiting = 0,
    /// It is being delivered, until the lease ends.
    Claimed = 1,
    /// Its record is unreadable. It is not tried again until the operator retries it.
    SetAside = 2,
    /// Its message is held until the operator releases it.
    Held = 3,
}

/// The recipients of a lane: waiting or claimed.
pub(crate) const IS_ACTIVE: &str = "state < 2";

/// A recipient that waits.
pub(crate) const IS_WAITING: &str = "state = 0";

/// A recipient that is being delivered.
pub(crate) const IS_CLAIMED: &str = "state = 1";

/// A recipient whose record is unreadable.
pub(crate) const IS_SET_ASIDE: &str = "state = 2";

/// A recipient whose message is held.
pub(crate) const IS_HELD: &str = "state = 3";

impl RecipientState {
    const ALL: [Self; 4] = [Self::Waiting, Self::Claimed, Self::SetAside, Self::Held];

    /// The word for lists and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Claimed => "claimed",
            Self::SetAside => "set aside",
            Self::Held => "held",
        }
    }
}

/// The number in the database.
impl fmt::Display for RecipientState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (*self as u8).fmt(f)
    }
}

impl ToValue for RecipientState {
    fn to_value(&self) -> Value<'_> {
        Value::Int((*self as u8).into())
    }
}

impl FromValue for RecipientState {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        let number = i64::from_value(value)?;
        Self::ALL.into_iter().find(|state| i64::from(*state as u8) == number).ok_or_else(|| format!("{number} is no state"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn conditions_match_their_states() {
        use RecipientState::{Claimed, Held, SetAside, Waiting};
        let db = Connection::open_in_memory().unwrap();
        for (condition, states) in [
            (IS_ACTIVE, &[Waiting, Claimed][..]),
            (IS_WAITING, &[Waiting]),
            (IS_CLAIMED, &[Claimed]),
            (IS_SET_ASIDE, &[SetAside]),
            (IS_HELD, &[Held]),
        ] {
            for state in RecipientState::ALL {
                let sql = format!("SELECT {condition} FROM (SELECT ? AS state)");
                let matches: bool = db.query_row(&sql, [state.to_value()], |row| row.get(0)).unwrap();
                assert_eq!(matches, states.contains(&state), "{condition} {state:?}");
            }
        }
    }

    #[test]
    fn an_unknown_number_is_an_error() {
        assert_eq!(RecipientState::from_value(Value::Int(3)), Ok(RecipientState::Held));
        assert!(RecipientState::from_value(Value::Int(4)).is_err());
    }
}

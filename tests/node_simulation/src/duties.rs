//! Who has which duty, by what nodes were told.
//!
//! Invariant: a duty is given to a node only if the one before has it no longer, and refused only if another has it.

use std::collections::BTreeMap;

use store::Duty;

/// The duties of a run, and for how long a node asks for each, in milliseconds.
pub const DUTIES: [(Duty, i64); 3] = [(Duty::ExpireHeld, 180_000), (Duty::Notices, 20_000), (Duty::DnsWatch, 600_000)];

/// A node and its stay, until when it has a duty, by the database's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    node: String,
    stay: i64,
    until_ms: i64,
}

/// Who has which duty; `None` if an answer was lost.
#[derive(Debug, Default)]
pub struct Duties(BTreeMap<&'static str, Option<Holder>>);

/// The database's clock, the stays that live, and until when the duty is taken.
#[derive(Debug)]
pub struct DutyFacts {
    pub now_ms: i64,
    pub alive: BTreeMap<String, i64>,
    pub until_ms: i64,
}

impl Duties {
    /// A node has asked for a duty. Returns what is wrong with the answer.
    pub fn note(&mut self, node: &str, duty: Duty, facts: &DutyFacts, is_given: bool) -> Option<String> {
        let name = duty.as_str();
        let is_unknown = self.0.get(name) == Some(&None);
        let has_it = |holder: &&Holder| holder.until_ms >= facts.now_ms && facts.alive.get(&holder.node) == Some(&holder.stay);
        let other = self.0.get(name).and_then(Option::as_ref).filter(has_it).filter(|holder| holder.node != node);
        let stay = facts.alive.get(node).copied();
        let wrong = match (is_given, other, stay) {
            (true, Some(other), _) => Some(format!("TWO HAVE A DUTY: {name} was given to {node}, and {other:?} has it; {facts:?}")),
            (false, None, Some(_)) if !is_unknown => Some(format!("A DUTY IS IDLE: {name} was refused to {node}, and no node has it")),
            _ => None,
        };
        if let (true, Some(stay)) = (is_given, stay) {
            self.0.insert(name, Some(Holder { node: node.to_owned(), stay, until_ms: facts.until_ms }));
        }
        wrong
    }

    /// A node has no answer: it may have the duty or not.
    pub fn doubt(&mut self, duty: Duty) {
        self.0.insert(duty.as_str(), None);
    }
}

//! The accounts of every letter: what its sender knows, what arrived, what was reported.
//!
//! Invariants that it checks: nothing that was accepted is lost, and nothing is delivered more often than lost replies and deaths explain.

use std::collections::BTreeMap;

use crate::scenario::{LetterPlan, OURS, Way};

/// The time between the acceptance by a host and the end of the message in our queue, at most, in milliseconds.
const SETTLED_WITHIN_MS: i64 = 120_000;

/// What the sender of a letter knows about a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing final: the sender will try again.
    None,
    /// We have accepted it, at this time.
    Accepted(i64),
    /// We have refused it for good, or the sender has given up.
    Refused,
}

/// A recipient of a letter.
#[derive(Debug)]
pub struct Addressee {
    /// The address that the sender wrote.
    pub address: String,
    /// The mailboxes behind it.
    pub targets: Vec<String>,
    /// What the sender knows.
    pub answer: Answer,
    /// How often the sender lost the reply to its content: each time we may have accepted it.
    pub doubts: usize,
}

/// A letter.
#[derive(Debug)]
pub struct Letter {
    /// Its recipients.
    pub to: Vec<Addressee>,
    /// Recipients whose answer the sender waits for: the content is sent.
    pub waiting: Vec<usize>,
    /// Attempts of the sender.
    pub attempts: i64,
    /// When the sender tries next.
    pub next_ms: i64,
    /// The plan.
    pub plan: LetterPlan,
}

/// What happened to a copy of a letter: of this number, to this mailbox.
#[derive(Debug, Default)]
struct Copy {
    delivered_ms: Vec<i64>,
    /// Deliveries of which we cannot know.
    excused: usize,
    /// Listed as failed without a report.
    listed: bool,
}

/// The accounts.
#[derive(Debug, Default)]
pub struct Ledger {
    letters: Vec<Letter>,
    copies: BTreeMap<(usize, String), Copy>,
    /// Reports that arrived, by letter and address.
    reported: BTreeMap<(usize, String), usize>,
    /// Letters whose report could not be delivered, and is listed.
    unreported: BTreeMap<usize, usize>,
    /// Broken invariants.
    pub broken: Vec<String>,
}

/// What waits in the queue.
#[derive(Debug, Default)]
pub struct Queued {
    /// Letters, by mailbox.
    pub copies: BTreeMap<(usize, String), bool>,
    /// Reports, by letter and address.
    pub reports: BTreeMap<(usize, String), usize>,
}

/// The letter that an address of a sender belongs to.
pub fn letter_of(sender: &str) -> Option<usize> {
    let local = sender.split('@').next()?;
    local.strip_prefix("letter-").or_else(|| local.strip_prefix("me+"))?.parse().ok()
}

impl Letter {
    /// The letter of a plan.
    pub fn new(plan: LetterPlan) -> Self {
        let addressee = |(address, targets): &(String, Vec<String>)| Addressee {
            address: address.clone(),
            targets: targets.clone(),
            answer: Answer::None,
            doubts: 0,
        };
        Self { to: plan.to.iter().map(addressee).collect(), waiting: Vec::new(), attempts: 0, next_ms: plan.at_ms, plan }
    }

    /// The sender's address; it has the number of the letter.
    pub fn sender(&self, n: usize) -> String {
        match self.plan.way {
            Way::Server => format!("letter-{n}@d{}.test", self.plan.from),
            Way::Program => format!("me+{n}@{OURS}"),
        }
    }

    /// Recipients without a final answer.
    pub fn open(&self) -> Vec<usize> {
        (0..self.to.len()).filter(|k| self.to[*k].answer == Answer::None).collect()
    }

    /// The body: lines that need dots, and lines that do not.
    pub fn body(&self, n: usize) -> String {
        let line = |k: i64| match k % 7 {
            3 => format!(".line {k} of letter {n}\r\n"),
            5 => "..\r\n".to_owned(),
            _ => format!("line {k} of letter {n}, {}\r\n", "and so on ".repeat(usize::try_from(k % 5).unwrap_or_default())),
        };
        (0..self.plan.lines).map(line).collect()
    }
}

impl Ledger {
    /// The accounts of these letters.
    pub fn new(letters: Vec<Letter>) -> Self {
        Self { letters, ..Self::default() }
    }

    /// A letter.
    pub fn letter(&mut self, n: usize) -> &mut Letter {
        &mut self.letters[n]
    }

    /// The number of letters.
    pub fn len(&self) -> usize {
        self.letters.len()
    }

    /// Records that the sender lost the reply to its content.
    pub fn doubt(&mut self, n: usize) {
        let letter = &mut self.letters[n];
        for k in std::mem::take(&mut letter.waiting) {
            letter.to[k].doubts += 1;
        }
    }

    /// Records the death of our process: whoever waits for a reply has lost it.
    ///
    /// The memory of what targets have taken dies too. If a commit has failed after one target of several had taken its copy, the sender got a 4xx and will
    /// try again, and that target gets another copy (docs/queue.md).
    pub fn process_died(&mut self) {
        (0..self.letters.len()).for_each(|n| self.doubt(n));
        for (n, letter) in self.letters.iter().enumerate() {
            for target in letter.to.iter().filter(|addressee| addressee.answer == Answer::None).flat_map(|addressee| &addressee.targets) {
                let explained = 1 + self.addressee(n, target).map_or(0, |addressee| addressee.doubts);
                if let Some(copy) = self.copies.get_mut(&(n, target.clone()))
                    && copy.delivered_ms.len() == explained + copy.excused
                {
                    copy.excused += 1;
                }
            }
        }
    }

    fn addressee(&self, n: usize, target: &str) -> Option<&Addressee> {
        self.letters.get(n)?.to.iter().find(|addressee| addressee.targets.iter().any(|t| t == target))
    }

    /// How often a copy may be delivered by now.
    fn allowed(&self, n: usize, target: &str) -> usize {
        let doubts = self.addressee(n, target).map_or(0, |addressee| addressee.doubts);
        1 + doubts + self.copies.get(&(n, target.to_owned())).map_or(0, |copy| copy.excused)
    }

    /// Records a delivery at a host.
    pub fn delivered(&mut self, n: usize, target: &str, body: &str, at_ms: i64) {
        let Some(letter) = self.letters.get(n) else { return self.broken.push(format!("an unknown letter {n} was delivered")) };
        if self.addressee(n, target).is_none() {
            return self.broken.push(format!("letter {n} was delivered to {target}, to which it was not sent"));
        }
        if letter.body(n) != body {
            self.broken.push(format!("letter {n} arrived changed at {target}: {} octets instead of {}", body.len(), letter.body(n).len()));
        }
        let allowed = self.allowed(n, target);
        let copy = self.copies.entry((n, target.to_owned())).or_default();
        copy.delivered_ms.push(at_ms);
        if copy.delivered_ms.len() > allowed {
            self.broken
                .push(format!("letter {n} was delivered to {target} {} times, and {allowed} are explained", copy.delivered_ms.len()));
        }
    }

    /// Records that we cannot know of the last delivery of a copy.
    pub fn excuse(&mut self, n: usize, target: &str) {
        self.copies.entry((n, target.to_owned())).or_default().excused += 1;
    }

    /// Records a report that arrived: the address in it has failed.
    pub fn reported(&mut self, n: usize, address: &str) {
        *self.reported.entry((n, address.to_owned())).or_default() += 1;
    }

    /// Records a row of the list of failures without a report.
    pub fn listed(&mut self, from: &str, target: &str) {
        match (letter_of(from), letter_of(target)) {
            (Some(n), _) => self.copies.entry((n, target.to_owned())).or_default().listed = true,
            (None, Some(n)) => *self.unreported.entry(n).or_default() += 1,
            // A report to an account of ours, behind its alias: any of them.
            (None, None) => *self.unreported.entry(usize::MAX).or_default() += 1,
        }
    }

    /// Forgets the list of failures, before it is read again.
    pub fn forget_listed(&mut self) {
        self.copies.values_mut().for_each(|copy| copy.listed = false);
        self.unreported.clear();
    }

    /// Checks every letter that was accepted before `now_ms`, when the queue was read, against it. `restarted_ms` is when the last process died, if this one has not begun.
    pub fn check(&mut self, queued: &Queued, now_ms: i64, restarted_ms: Option<i64>) {
        let mut broken = Vec::new();
        for (n, letter) in self.letters.iter().enumerate() {
            for addressee in &letter.to {
                let Answer::Accepted(at_ms) = addressee.answer else { continue };
                if at_ms >= now_ms {
                    continue;
                }
                let key = |target: &str| (n, target.to_owned());
                let is_kept = |target: &str| {
                    queued.copies.contains_key(&key(target))
                        || self.copies.get(&key(target)).is_some_and(|copy| copy.listed || !copy.delivered_ms.is_empty())
                };
                let missing: Vec<&String> = addressee.targets.iter().filter(|target| !is_kept(target)).collect();
                let report = (n, addressee.address.clone());
                let reports = self.reported.get(&report).copied().unwrap_or_default()
                    + queued.reports.get(&report).copied().unwrap_or_default()
                    + self.unreported.get(&n).copied().unwrap_or_default()
                    + if letter.plan.way == Way::Program { self.unreported.get(&usize::MAX).copied().unwrap_or_default() } else { 0 };
                if missing.len() > reports {
                    broken.push(format!(
                        "letter {n} to {} was accepted at {at_ms}, and is lost for {missing:?}: neither delivered nor reported ({reports}) nor queued",
                        addressee.address
                    ));
                }
            }
        }
        self.broken.extend(broken);
        self.check_settled(queued, now_ms, restarted_ms);
    }

    /// Checks that what is delivered leaves the queue at once. What was delivered just before a process died may be delivered again.
    fn check_settled(&mut self, queued: &Queued, now_ms: i64, restarted_ms: Option<i64>) {
        for (n, target) in queued.copies.keys() {
            let allowed = self.allowed(*n, target);
            let Some(copy) = self.copies.get_mut(&(*n, target.clone())) else { continue };
            let Some(last_ms) = copy.delivered_ms.last().copied() else { continue };
            if copy.delivered_ms.len() < allowed {
                continue;
            }
            if now_ms.min(restarted_ms.unwrap_or(now_ms)) - last_ms > SETTLED_WITHIN_MS {
                self.broken.push(format!("letter {n} was delivered to {target} at {last_ms}, and is still queued"));
            } else if restarted_ms.is_some() {
                copy.excused += 1;
            }
        }
    }

    /// Letters to these mailboxes that were accepted before `before_ms` and are not delivered.
    pub fn late(&self, before_ms: i64, is_steady: impl Fn(&str) -> bool) -> Vec<String> {
        let mut late = Vec::new();
        for (n, letter) in self.letters.iter().enumerate() {
            for addressee in &letter.to {
                let Answer::Accepted(at_ms) = addressee.answer else { continue };
                for target in addressee.targets.iter().filter(|target| at_ms < before_ms && is_steady(target)) {
                    if self.copies.get(&(n, target.clone())).is_none_or(|copy| copy.delivered_ms.is_empty()) {
                        late.push(format!("letter {n} to {target}, accepted at {at_ms}"));
                    }
                }
            }
        }
        late
    }

    /// Whether every sender has a final answer.
    pub fn all_answered(&self) -> bool {
        self.letters.iter().all(|letter| letter.open().is_empty())
    }

    /// Counts: accepted, refused, delivered, delivered more than once, reported, listed.
    pub fn summary(&self) -> String {
        let answers: Vec<Answer> = self.letters.iter().flat_map(|letter| &letter.to).map(|addressee| addressee.answer).collect();
        let accepted = answers.iter().filter(|answer| matches!(answer, Answer::Accepted(_))).count();
        let refused = answers.iter().filter(|answer| matches!(answer, Answer::Refused)).count();
        let delivered = self.copies.values().filter(|copy| !copy.delivered_ms.is_empty()).count();
        let twice = self.copies.values().filter(|copy| copy.delivered_ms.len() > 1).count();
        let listed = self.copies.values().filter(|copy| copy.listed).count();
        format!(
            "{} letters, {accepted} recipients accepted, {refused} refused, {delivered} copies delivered, {twice} of them more than once, {} reported, {listed} listed",
            self.letters.len(),
            self.reported.len()
        )
    }
}

//! Decides which DNS records to add, replace and remove, and which to leave to the operator.
//!
//! Invariant: a record that this command did not write is neither changed nor removed unless its name was given with --replace.

use std::collections::{BTreeMap, BTreeSet};

use dns_plan::{Finding, PlannedRecord, Question, RecordKind, RecordState, RecordType};

use super::written::WrittenRecords;

/// The contents of a zone: the values of each name and type.
pub type Present = BTreeMap<Question, Vec<String>>;

/// A change of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChange {
    pub owner: String,
    pub record_type: RecordType,
    /// With their types, because a CNAME conflicts with any other.
    pub remove: Vec<(RecordType, String)>,
    pub add: Option<PlannedRecord>,
}

/// All changes, and those that are blocked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub list: Vec<RecordChange>,
    /// Names with records that this command did not write.
    pub blocked: Vec<Blocked>,
}

/// Records that this command did not write and must not replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    pub owner: String,
    pub record_type: RecordType,
    pub values: Vec<String>,
}

/// Which records may be changed.
pub struct Rights<'a> {
    pub written: &'a WrittenRecords,
    /// Names given with --replace.
    pub replace: &'a [String],
}

impl Rights<'_> {
    fn may_remove(&self, owner: &str, record_type: RecordType, value: &str) -> bool {
        let is_named = self.replace.iter().any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(owner.trim_end_matches('.')));
        is_named || self.written.has(owner, record_type.as_str(), value)
    }
}

/// The names and types whose present values the decision needs.
pub fn affected_names(findings: &[Finding], written: &WrittenRecords) -> BTreeSet<Question> {
    let wrong = findings.iter().filter(|finding| is_to_change(finding)).map(|finding| &finding.record);
    let mut places: BTreeSet<Question> = BTreeSet::new();
    for record in wrong {
        places.insert(Question::new(&record.owner, record.record_type));
        places.insert(Question::new(&record.owner, RecordType::Cname));
    }
    // An extra address may be of either type.
    for finding in findings.iter().filter(|finding| finding.state == RecordState::Extra) {
        if finding.record.kind == RecordKind::HostAddress {
            places.extend([RecordType::A, RecordType::Aaaa].map(|kind| Question::new(&finding.record.owner, kind)));
        }
    }
    places.extend(written.entries().filter_map(|entry| Some(Question::new(&entry.owner, type_named(&entry.record_type)?))));
    places
}

fn type_named(word: &str) -> Option<RecordType> {
    use RecordType::{A, Aaaa, Caa, Cname, Mx, Ptr, Srv, Tlsa, Txt};
    [A, Aaaa, Cname, Mx, Txt, Srv, Tlsa, Caa, Ptr].into_iter().find(|record_type| record_type.as_str() == word)
}

fn is_to_change(finding: &Finding) -> bool {
    let state = matches!(finding.state, RecordState::Missing | RecordState::Differs | RecordState::Extra);
    state && finding.record.record_type != RecordType::Ptr && finding.record.is_complete()
}

/// Decides the changes. `plan` is the whole plan, so that records of other domains are not mistaken for left-overs.
pub fn decide(plan: &[PlannedRecord], findings: &[Finding], present: &Present, rights: &Rights<'_>) -> Changes {
    let mut changes = Changes::default();
    let mut removed: BTreeSet<(String, RecordType, String)> = BTreeSet::new();
    let is_planned = |owner: &str, record_type, value: &str| {
        plan.iter().any(|r| r.owner == owner && r.record_type == record_type && r.value.eq_ignore_ascii_case(value))
    };
    let there = |owner: &str, record_type| present.get(&Question::new(owner, record_type)).cloned().unwrap_or_default();
    for finding in findings.iter().filter(|finding| is_to_change(finding)) {
        let record = &finding.record;
        let owner = &record.owner;
        if finding.state == RecordState::Extra {
            remove_extra(finding, &there, rights, &mut changes, &mut removed);
            continue;
        }
        let current = there(owner, record.record_type);
        if current.iter().any(|value| value.eq_ignore_ascii_case(&record.value)) && current.len() == 1 {
            continue;
        }
        let mut in_the_way: Vec<(RecordType, String)> = current
            .iter()
            .filter(|value| conflicts(record, value) && !is_planned(owner, record.record_type, value))
            .map(|value| (record.record_type, value.clone()))
            .collect();
        if record.record_type != RecordType::Cname {
            in_the_way.extend(there(owner, RecordType::Cname).into_iter().map(|value| (RecordType::Cname, value)));
        }
        in_the_way.retain(|(record_type, value)| !removed.contains(&(owner.clone(), *record_type, value.clone())));
        let foreign: Vec<String> =
            in_the_way.iter().filter(|(kind, value)| !rights.may_remove(owner, *kind, value)).map(|(_, value)| value.clone()).collect();
        if !foreign.is_empty() {
            changes.blocked.push(Blocked { owner: owner.clone(), record_type: record.record_type, values: foreign });
            continue;
        }
        removed.extend(in_the_way.iter().map(|(kind, value)| (owner.clone(), *kind, value.clone())));
        changes.list.push(RecordChange {
            owner: owner.clone(),
            record_type: record.record_type,
            remove: in_the_way,
            add: Some(record.clone()),
        });
    }
    remove_left_overs(plan, present, rights.written, &mut changes, &mut removed);
    changes.list.sort_by_key(|change| rank(change.record_type));
    changes
}

fn remove_extra(
    finding: &Finding,
    there: &dyn Fn(&str, RecordType) -> Vec<String>,
    rights: &Rights<'_>,
    changes: &mut Changes,
    removed: &mut BTreeSet<(String, RecordType, String)>,
) {
    let owner = &finding.record.owner;
    let kinds = if finding.record.kind == RecordKind::HostAddress {
        vec![RecordType::A, RecordType::Aaaa]
    } else {
        vec![finding.record.record_type]
    };
    for (record_type, value) in kinds.iter().flat_map(|kind| there(owner, *kind).into_iter().map(|value| (*kind, value))) {
        if !finding.found.contains(&value) || removed.contains(&(owner.clone(), record_type, value.clone())) {
            continue;
        }
        if rights.may_remove(owner, record_type, &value) {
            removed.insert((owner.clone(), record_type, value.clone()));
            changes.list.push(RecordChange { owner: owner.clone(), record_type, remove: vec![(record_type, value)], add: None });
        } else {
            changes.blocked.push(Blocked { owner: owner.clone(), record_type, values: vec![value] });
        }
    }
}

/// Removes records that were written for an older plan.
fn remove_left_overs(
    plan: &[PlannedRecord],
    present: &Present,
    written: &WrittenRecords,
    changes: &mut Changes,
    removed: &mut BTreeSet<(String, RecordType, String)>,
) {
    for entry in written.entries() {
        let Some(record_type) = type_named(&entry.record_type) else { continue };
        let is_planned = plan.iter().any(|r| r.owner == entry.owner && r.record_type == record_type && r.value == entry.value);
        let is_there = present.get(&Question::new(&entry.owner, record_type)).is_some_and(|values| values.contains(&entry.value));
        if is_planned || !is_there || !removed.insert((entry.owner.clone(), record_type, entry.value.clone())) {
            continue;
        }
        let remove = vec![(record_type, entry.value.clone())];
        changes.list.push(RecordChange { owner: entry.owner.clone(), record_type, remove, add: None });
    }
}

/// Whether an unplanned value conflicts with the record.
fn conflicts(record: &PlannedRecord, value: &str) -> bool {
    match record.kind {
        // Other TXT records may coexist.
        RecordKind::Spf => value.to_ascii_lowercase().contains("v=spf1"),
        RecordKind::Caa => value.contains(" issue "),
        _ => true,
    }
}

/// Addresses come first: some servers refuse an MX record whose host does not exist.
fn rank(record_type: RecordType) -> u8 {
    match record_type {
        RecordType::A | RecordType::Aaaa => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dns_plan::DnsSeverity;

    fn record(owner: &str, kind: RecordKind, record_type: RecordType, value: &str) -> PlannedRecord {
        let severity = DnsSeverity::Required;
        PlannedRecord { domain: None, owner: owner.into(), record_type, value: value.into(), ttl_s: 3600, kind, severity, why: "" }
    }

    fn finding(record: &PlannedRecord, state: RecordState, found: &[&str]) -> Finding {
        let found = found.iter().map(ToString::to_string).collect();
        Finding { record: record.clone(), state, found, severity: record.severity, why: String::new(), fix: None, loss: None }
    }

    fn decided(record: &PlannedRecord, state: RecordState, there: &[&str], ours: &[&str], replace: &[&str]) -> Changes {
        let dir = tempfile::tempdir().unwrap();
        let mut written = WrittenRecords::read(dir.path()).unwrap();
        for value in ours {
            let (owner, record_type) = (record.owner.clone(), record.record_type.to_string());
            written.add(super::super::written::WrittenRecord { zone: "example.com".into(), owner, record_type, value: (*value).into() });
        }
        let values: Vec<String> = there.iter().map(ToString::to_string).collect();
        let present = Present::from([(Question::new(&record.owner, record.record_type), values)]);
        let replace: Vec<String> = replace.iter().map(ToString::to_string).collect();
        let rights = Rights { written: &written, replace: &replace };
        decide(std::slice::from_ref(record), &[finding(record, state, there)], &present, &rights)
    }

    #[test]
    fn only_own_and_named_records_are_changed() {
        let spf = record("example.com.", RecordKind::Spf, RecordType::Txt, "v=spf1 mx ~all");
        let new = decided(&spf, RecordState::Missing, &["other text"], &[], &[]);
        assert!(new.blocked.is_empty() && new.list[0].remove.is_empty() && new.list[0].add.as_ref() == Some(&spf));
        let old = ["v=spf1 include:old.example -all", "other text"];
        let foreign = decided(&spf, RecordState::Differs, &old, &[], &[]);
        assert!(foreign.list.is_empty() && foreign.blocked[0].values == [old[0]]);
        for changes in
            [decided(&spf, RecordState::Differs, &old, &old[..1], &[]), decided(&spf, RecordState::Differs, &old, &[], &["Example.com"])]
        {
            assert_eq!(changes.list[0].remove, [(RecordType::Txt, old[0].to_owned())]);
            assert!(changes.list[0].add.is_some() && changes.blocked.is_empty());
        }
    }

    #[test]
    fn own_left_overs_are_removed_and_others_stay() {
        let mx = record("example.com.", RecordKind::Mx, RecordType::Mx, "10 mx.example.com.");
        let old = "1 old.example.";
        assert_eq!(decided(&mx, RecordState::Extra, &[old], &[], &[]).blocked[0].values, [old]);
        let ours = decided(&mx, RecordState::Extra, &[old], &[old], &[]);
        assert!(ours.list.len() == 1 && ours.list[0].add.is_none(), "{ours:?}");
        let unplanned = decided(&mx, RecordState::Ok, &["10 mx.example.com.", old], &[old], &[]);
        assert_eq!(unplanned.list[0].remove, [(RecordType::Mx, old.to_owned())]);
        assert_eq!(decided(&mx, RecordState::Ok, &["10 mx.example.com.", old], &[], &[]), Changes::default());
    }
}

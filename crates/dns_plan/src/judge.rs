//! Judges one answer against one record of the plan.
//!
//! RFC 7208 s.4.5 (exactly one record), RFC 7505 s.3. Invariant: each record is judged as
//! if all others were as planned, so that one mistake gives one finding.

use std::collections::BTreeSet;
use std::net::IpAddr;

use mail::evidence::SpfResult as Says;

use super::finding::{NOT_THERE, escaped};
use super::judge_texts::{dmarc, key, no_text, packed, tagged, texts};
use super::mistakes::{doubled, is_proxy};
use super::spf::{self, Evaluation, Stop};
use super::{Answer, Answers, Data, DnsSeverity, DomainLoss, Found, PlannedRecord, Question, RecordKind, RecordType, zone_among};

/// What a judgement depends on besides record and answer.
pub(super) struct Context<'a> {
    pub plan: &'a [PlannedRecord],
    pub answers: &'a Answers,
    pub domains: Vec<mail::Domain>,
}

/// The result of a judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    Missing(String),
    Differs(String),
    /// The mail of a hosted domain does not come here any more.
    Lost(DomainLoss, String),
    /// Differs, with a severity of its own.
    Lesser(DnsSeverity, String),
    Unknown(String),
    /// This question must be asked first.
    Need(Question),
}

use Verdict::{Differs, Lesser, Lost, Missing, Need, Same, Unknown};

/// Judges the answer.
pub(super) fn judge(context: &Context<'_>, record: &PlannedRecord, answer: &Answer) -> Verdict {
    if let Answer::Failed(why) = answer {
        return Unknown(escaped(why));
    }
    if let Some(verdict) = unregistered(record, answer) {
        return verdict;
    }
    let found = answer.records();
    if let Some(verdict) = alias_in_the_way(record, found) {
        return verdict;
    }
    match record.kind {
        RecordKind::Mx | RecordKind::NullMx => mx(context, record, found),
        RecordKind::HostAddress => address(context, record, found),
        RecordKind::Spf => sender_policy(context, record, found),
        RecordKind::Dkim => key(record, found),
        RecordKind::Dmarc => dmarc(record, found),
        RecordKind::MtaSts | RecordKind::TlsRpt => tagged(record, found),
        RecordKind::Ptr => pointer(record, found),
        RecordKind::MtaStsHost | RecordKind::Autoconfig => leads_here(context, record, found),
        RecordKind::Srv => service(context, record, found),
        RecordKind::Tlsa | RecordKind::Caa => exact(record, found),
    }
}

/// Second labels under which registries of countries register: `example.co.uk`.
const REGISTRY_LABELS: [&str; 9] = ["ac", "co", "com", "edu", "gov", "ne", "net", "or", "org"];

/// Whether a zone looks like a registry's: a missing name in another zone may only have lost its records.
fn is_of_registry(zone: &str) -> bool {
    match zone.trim_end_matches('.').split('.').collect::<Vec<_>>().as_slice() {
        [_] => true,
        [second, country] => country.len() == 2 && REGISTRY_LABELS.contains(second),
        _ => false,
    }
}

/// The MX record of a hosted domain that its registry does not know.
fn unregistered(record: &PlannedRecord, answer: &Answer) -> Option<Verdict> {
    let (Answer::NoName { zone, .. }, RecordKind::Mx, DnsSeverity::Required) = (answer, record.kind, record.severity) else { return None };
    let why = format!(
        "the servers of {} say that the domain does not exist: it is not registered, or its registration has lapsed",
        escaped(zone)
    );
    is_of_registry(zone).then_some(Lost(DomainLoss::Unregistered, why))
}

pub(super) fn nothing() -> Verdict {
    Missing(NOT_THERE.into())
}

/// An alias hides all other records at its name, which mail needs.
fn alias_in_the_way(record: &PlannedRecord, found: &[Found]) -> Option<Verdict> {
    let alias = found.iter().find_map(|found| if let Data::Alias(target) = &found.data { Some(escaped(target)) } else { None })?;
    let why = match record.kind {
        RecordKind::Mx | RecordKind::NullMx => {
            format!("the name is an alias (CNAME) of {alias}: an alias must not have other records, so its MX record is ignored")
        }
        RecordKind::HostAddress => format!("the name is an alias (CNAME) of {alias}: the host of an MX record must not be an alias"),
        _ => return None,
    };
    Some(Differs(why))
}

fn mx(context: &Context<'_>, record: &PlannedRecord, found: &[Found]) -> Verdict {
    let host = mail_host(record);
    let hosts: Vec<&str> = found.iter().filter_map(|f| if let Data::Mx(_, host) = &f.data { Some(host.as_str()) } else { None }).collect();
    if hosts.is_empty() {
        return nothing();
    }
    if hosts.iter().any(|found| found.eq_ignore_ascii_case(host)) {
        return Same;
    }
    let zone = zone_among(&record.owner, &context.domains);
    if hosts.iter().any(|found| found.eq_ignore_ascii_case(&doubled(host, &zone))) {
        return Differs(format!("the zone's name is doubled: the provider's form appends {zone} itself, or needs a dot at the end"));
    }
    if record.kind == RecordKind::NullMx {
        return Differs("it accepts mail".into());
    }
    // Of several servers that share the mail, another one has it.
    let others: Vec<String> = context.mail_hosts().collect();
    if record.severity != DnsSeverity::Required || hosts.iter().any(|found| others.iter().any(|other| other.eq_ignore_ascii_case(found))) {
        return nothing();
    }
    Lost(DomainLoss::Elsewhere, "mail goes to another server".into())
}

/// The host of a planned MX record, with the final dot.
pub(super) fn mail_host(record: &PlannedRecord) -> &str {
    record.value.split(' ').nth(1).unwrap_or_default()
}

fn addresses(found: &[Found]) -> Vec<IpAddr> {
    found.iter().filter_map(|f| if let Data::Address(address) = f.data { Some(address) } else { None }).collect()
}

fn address(context: &Context<'_>, record: &PlannedRecord, found: &[Found]) -> Verdict {
    let found = addresses(found);
    if !record.is_complete() {
        return if found.is_empty() { nothing() } else { Same };
    }
    if found.iter().any(|address| address.to_string() == record.value) {
        return Same;
    }
    match found.as_slice() {
        [] => nothing(),
        // A name that is no host of an MX record may lead to any of the servers that share the mail.
        found if context.leads_to_another(&record.owner, found) => Same,
        found if found.iter().any(|address| is_proxy(*address)) => {
            Differs("it leads to Cloudflare's proxy, which does not relay mail: disable the proxy for this name (DNS only)".into())
        }
        _ => Differs("it is the address of another machine".into()),
    }
}

fn sender_policy(context: &Context<'_>, record: &PlannedRecord, found: &[Found]) -> Verdict {
    let found = match spf::records(texts(found)).as_slice() {
        [] => return no_text(record, found),
        [one] => (*one).to_owned(),
        several => return Differs(format!("there are {} SPF records, so receivers use none: merge them into one", several.len())),
    };
    if spf::terms(&found).any(spf::allows_all) {
        return Differs("+all lets every server send under this name".into());
    }
    let missing = spf::terms(&record.value).find(|term| {
        let is_include = term.starts_with("include:");
        is_include && !spf::terms(&found).any(|there| there.trim_start_matches('+').eq_ignore_ascii_case(term))
    });
    if let Some(include) = missing {
        return Differs(format!("{include} is missing, so mail through that relay fails SPF"));
    }
    let domain = record.owner.trim_end_matches('.');
    let lookup = |question: &Question| context.as_planned(question).or_else(|| context.answers.best(question).cloned());
    let run = |record: &str, address| Evaluation::new(address, &lookup).run(record, domain);
    match run(&found, None) {
        Err(stop) => return stopped(stop),
        Ok(Says::Neutral | Says::Pass) => {
            return Lesser(DnsSeverity::Recommended, "it does not end with ~all or -all, so it says nothing about other servers".into());
        }
        Ok(_) => {}
    }
    let mut candidates: BTreeSet<IpAddr> = spf::named_addresses(&record.value).into_iter().collect();
    candidates.extend(context.host_addresses().chain(context.other_addresses()));
    for address in candidates {
        let planned = run(&record.value, Some(address));
        match (planned, run(&found, Some(address))) {
            (Err(stop), _) | (_, Err(stop)) => return stopped(stop),
            (Ok(Says::Pass), Ok(Says::Pass)) => {}
            (Ok(Says::Pass), Ok(_)) => return Differs(format!("mail from {address} fails SPF")),
            (Ok(_), Ok(Says::Pass)) => return Differs(format!("mail from {address} passes, and should not")),
            (Ok(_), Ok(_)) => {}
        }
    }
    Same
}

fn stopped(stop: Stop) -> Verdict {
    match stop {
        Stop::Need(question) => Need(question),
        Stop::Broken(why) => Differs(format!("receivers cannot evaluate it: {why}")),
        Stop::NoAnswer(why) => Unknown(why),
    }
}

impl Context<'_> {
    /// The answer of the plan to a question: mistakes in other records are found there.
    fn as_planned(&self, question: &Question) -> Option<Answer> {
        let same = |r: &&PlannedRecord| r.owner == question.name && r.record_type == question.record_type && r.is_complete();
        let data = |record: &PlannedRecord| match record.record_type {
            RecordType::A | RecordType::Aaaa => record.value.parse().ok().map(Data::Address),
            RecordType::Mx => {
                let (preference, host) = record.value.split_once(' ')?;
                Some(Data::Mx(preference.parse().ok()?, host.to_owned()))
            }
            _ => None,
        };
        let found: Vec<Found> = self.plan.iter().filter(same).filter_map(data).map(|data| Found { data, ttl_s: 0 }).collect();
        if found.is_empty() { None } else { Some(Answer::Records(found)) }
    }

    /// The hosts of the planned MX records, with the final dot: this server, and the others that share the mail.
    pub fn mail_hosts(&self) -> impl Iterator<Item = String> {
        self.plan.iter().filter(|r| r.kind == RecordKind::Mx).map(|r| mail_host(r).to_owned())
    }

    /// The addresses that DNS has for the hosts of planned MX records.
    pub fn other_addresses(&self) -> BTreeSet<IpAddr> {
        let questions = self.mail_hosts().flat_map(|host| [RecordType::A, RecordType::Aaaa].map(|kind| Question::new(&host, kind)));
        let own: BTreeSet<&str> = self.plan.iter().filter(|r| r.kind == RecordKind::HostAddress).map(|r| r.owner.as_str()).collect();
        let answers =
            questions.filter(|question| !own.contains(question.name.as_str())).filter_map(|question| self.answers.best(&question));
        answers.flat_map(|answer| addresses(answer.records())).collect()
    }

    fn leads_to_another(&self, owner: &str, found: &[IpAddr]) -> bool {
        let others = self.other_addresses();
        !self.mail_hosts().any(|host| host == owner) && found.iter().all(|address| others.contains(address))
    }

    /// The addresses of this server.
    pub fn host_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.plan.iter().filter(|r| r.kind == RecordKind::HostAddress).filter_map(|r| r.value.parse().ok())
    }
}

fn pointer(record: &PlannedRecord, found: &[Found]) -> Verdict {
    let names: Vec<&str> = found.iter().filter_map(|f| if let Data::Name(name) = &f.data { Some(name.as_str()) } else { None }).collect();
    if names.is_empty() {
        return nothing();
    }
    if names.iter().any(|name| name.eq_ignore_ascii_case(&record.value)) {
        return Same;
    }
    Differs("the address has another name than the host name of this server".into())
}

fn leads_here(context: &Context<'_>, record: &PlannedRecord, found: &[Found]) -> Verdict {
    if let Some(target) = found.iter().find_map(|f| if let Data::Alias(target) = &f.data { Some(target) } else { None }) {
        let is_ours = target.eq_ignore_ascii_case(&record.value) || context.mail_hosts().any(|host| host.eq_ignore_ascii_case(target));
        return if is_ours { Same } else { Differs("it points elsewhere".into()) };
    }
    // An address of this server is right too.
    let question = Question::new(&record.owner, RecordType::A);
    let Some(answer) = context.answers.best(&question) else { return Need(question) };
    let ours: Vec<IpAddr> = context.host_addresses().chain(context.other_addresses()).collect();
    match addresses(answer.records()).as_slice() {
        [] => nothing(),
        found if found.iter().all(|address| ours.contains(address)) => Same,
        _ => Differs("it points elsewhere".into()),
    }
}

fn service(context: &Context<'_>, record: &PlannedRecord, found: &[Found]) -> Verdict {
    let place = |text: &str| text.split(' ').skip(2).map(str::to_ascii_lowercase).collect::<Vec<_>>();
    // The same service of the servers that share the mail.
    let ours: Vec<String> = context.mail_hosts().map(|host| host.to_ascii_lowercase()).collect();
    let is_own = place(&record.value).get(1).is_some_and(|host| ours.contains(host));
    let is_same = |text: &str| match (place(text).as_slice(), place(&record.value).as_slice()) {
        ([port, host], [planned, _]) if is_own => port == planned && ours.contains(host),
        (there, planned) => there == planned,
    };
    let denied = record.value.ends_with(" .");
    let others: Vec<&str> = found.iter().filter_map(|f| if let Data::Other(text) = &f.data { Some(text.as_str()) } else { None }).collect();
    if others.is_empty() {
        return nothing();
    }
    let is_right = |text: &&str| if denied { text.ends_with(" .") } else { is_same(text) };
    let is_there = others.iter().any(is_right);
    match is_there && others.iter().all(is_right) {
        true => Same,
        false if denied => Differs("it announces a service that this server does not have".into()),
        false if is_there => Lesser(DnsSeverity::Recommended, "it announces other servers too".into()),
        false => Differs("it announces another server or port".into()),
    }
}

fn exact(record: &PlannedRecord, found: &[Found]) -> Verdict {
    let others: Vec<&str> = found.iter().filter_map(|f| if let Data::Other(text) = &f.data { Some(text.as_str()) } else { None }).collect();
    let same = |text: &&str| packed(text).eq_ignore_ascii_case(&packed(&record.value));
    match record.kind {
        _ if others.iter().any(same) => Same,
        _ if others.is_empty() => nothing(),
        RecordKind::Caa if !others.iter().any(|text| text.contains("issue ")) => nothing(),
        RecordKind::Caa => Lesser(DnsSeverity::Required, "it does not allow the certificate authority that this server uses".into()),
        _ => Differs("it is not the key of this server".into()),
    }
}

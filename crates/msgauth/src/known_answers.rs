//! Answers of DNS that were used a moment ago, by their names as text: a message asks for the same few names several times, and so does the next one.
//!
//! RFC 1035 s.3.2.1, RFC 2308 s.5. It stands before the resolver's own cache, which costs ten times as much a look-up. Invariant: an answer is used no
//! longer than its TTL; what was not answered is not known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::rr::RecordType;

use crate::lookup::Missing;

/// Maximum names of one type; when there are more, all are forgotten.
const NAMES_MAX: usize = 2000;

/// Maximum time for which an answer is used: a busy server asks again soon enough, an idle one keeps nothing long.
const KEPT_MAX: Duration = Duration::from_secs(10);

/// Maximum records of an answer that is kept.
const RECORDS_MAX: usize = 50;

/// An answer: its records, or why there are none.
pub(crate) type Known = Arc<Result<Lookup, Missing>>;

/// The answers of one type, and when each ends.
type ByName = HashMap<Box<str>, (Instant, Known)>;

/// The answers.
#[derive(Default)]
pub struct KnownAnswers(Mutex<HashMap<RecordType, ByName>>);

impl KnownAnswers {
    fn lock(&self) -> MutexGuard<'_, HashMap<RecordType, ByName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer about a name, if it is known.
    pub(crate) fn get(&self, name: &str, kind: RecordType) -> Option<Known> {
        let answers = self.lock();
        let (until, known) = answers.get(&kind)?.get(name)?;
        (now() < *until).then(|| known.clone())
    }

    /// Keeps an answer for its TTL.
    pub(crate) fn keep(&self, name: &str, kind: RecordType, answer: Result<Lookup, NetError>, missing: fn(&NetError) -> Missing) -> Known {
        let now = now();
        let until = match &answer {
            Ok(lookup) if lookup.answers().len() > RECORDS_MAX => now,
            Ok(lookup) => lookup.valid_until().min(now + KEPT_MAX),
            Err(error) => now + negative_ttl(error).min(KEPT_MAX),
        };
        let known: Known = Arc::new(answer.map_err(|error| missing(&error)));
        if now < until && !matches!(*known, Err(Missing::Temporary)) {
            let mut answers = self.lock();
            let of_kind = answers.entry(kind).or_default();
            if of_kind.len() >= NAMES_MAX {
                of_kind.clear();
            }
            of_kind.insert(name.into(), (until, known.clone()));
        }
        known
    }
}

fn negative_ttl(error: &NetError) -> Duration {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { negative_ttl: Some(ttl), .. })) => Duration::from_secs(u64::from(*ttl)),
        _ => Duration::ZERO,
    }
}

#[allow(clippy::disallowed_methods)] // the resolver counts TTLs by the system's clock, too; a simulated DNS is never cached
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::{Query, ResponseCode};
    use hickory_resolver::proto::rr::Name;

    fn nothing(ttl: Option<u32>, code: ResponseCode) -> Result<Lookup, NetError> {
        let mut none = NoRecords::new(Query::query(Name::root(), RecordType::TXT), code);
        none.negative_ttl = ttl;
        Err(NetError::Dns(DnsError::NoRecordsFound(none)))
    }

    fn missing(error: &NetError) -> Missing {
        if error.is_nx_domain() { Missing::Name } else { Missing::Temporary }
    }

    #[test]
    fn only_answers_with_a_ttl_are_known() {
        let known = KnownAnswers::default();
        for (name, ttl, code, is_kept) in [
            ("a.test", Some(5), ResponseCode::NXDomain, true),
            ("b.test", Some(0), ResponseCode::NXDomain, false),
            ("c.test", None, ResponseCode::NXDomain, false),
            ("d.test", Some(5), ResponseCode::ServFail, false),
        ] {
            known.keep(name, RecordType::TXT, nothing(ttl, code), missing);
            assert_eq!(known.get(name, RecordType::TXT).is_some(), is_kept, "{name}");
            assert!(known.get(name, RecordType::A).is_none());
        }
        for n in 0..3 * NAMES_MAX {
            known.keep(&format!("{n}.test"), RecordType::TXT, nothing(Some(5), ResponseCode::NXDomain), missing);
        }
        assert!(known.lock().values().map(ByName::len).sum::<usize>() <= NAMES_MAX);
    }
}

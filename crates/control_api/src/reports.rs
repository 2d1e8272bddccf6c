//! `/api/v1/reports`: DMARC reports and TLS reports by other servers about our mail.
//!
//! RFC 9990, RFC 8460. Invariant: reports are read one by one, so that they do not block mail in the store; a name that DNS does not return in time is
//! omitted.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ::reports::advice::advice;
use ::reports::dmarc::{Class, Own, Row};
use ::reports::summary::{DomainSummary, Messages, Period, reporter};
use axum::Json;
use axum::extract::{Path, State};
use mail::Domain;
use mta::LiveDirectory;
use net::{Clock, Resolver};
use store::{KeptReport, KeptRows, KeptTlsPolicy, ReportFilter, Store};

use crate::api::{
    DomainReports, FailingSource, MessagesByClass, OrganisationView, Page, ReportView, ReportsQuery, ReportsSummary, RowView, SummaryQuery,
    TlsFailureView, TlsPolicyView, TlsSessions, WholeReport,
};
use crate::error::ApiError;
use crate::extract::{Params, parsed};
use crate::paging::{cut, page_limit};

/// Maximum reports in a summary.
const REPORTS_MAX: u32 = 20_000;

/// Default days of a summary.
const DAYS: u32 = 30;

/// Maximum days of a summary: reports are not kept longer.
const DAYS_MAX: u32 = 400;

/// Maximum sources shown of a domain.
const SOURCES_SHOWN: usize = 20;

/// Maximum TLS failures shown of a domain.
const FAILURES_SHOWN: usize = 20;

/// Maximum addresses whose names are looked up.
const NAMED_MAX: usize = 20;

/// Maximum time to look up names.
const NAMES_WAIT: Duration = Duration::from_secs(5);

/// Facts about this server that classify the rows of reports.
#[derive(Debug, Clone)]
pub struct ReportFacts {
    /// The addresses of outgoing mail.
    pub addresses: Vec<IpAddr>,
    /// The forwarding domain.
    pub forwarding: Domain,
}

/// Reads reports and the facts that classify them.
#[derive(Clone)]
pub(crate) struct ReportReader {
    pub store: Store,
    pub live: Arc<LiveDirectory>,
    pub facts: ReportFacts,
}

impl ReportReader {
    fn own(&self) -> Own {
        let directory = self.live.current();
        let domains = directory.contents().domains.iter().map(|domain| domain.name.to_string()).collect();
        Own { addresses: self.facts.addresses.clone(), forwarding: self.facts.forwarding.to_string(), domains }
    }
}

fn domain(text: Option<&String>) -> Result<Option<String>, ApiError> {
    text.map(|text| parsed::<Domain>("a domain", text).map(|domain| domain.to_string())).transpose()
}

pub(crate) async fn summary(
    State(reader): State<ReportReader>,
    State(clock): State<Clock>,
    State(resolver): State<Option<Resolver>>,
    Params(query): Params<SummaryQuery>,
) -> Result<Json<ReportsSummary>, ApiError> {
    let days = query.days.unwrap_or(DAYS).clamp(1, DAYS_MAX);
    let (own, only) = (reader.own(), domain(query.domain.as_ref())?);
    let since_s = clock.now_ms() / 1000 - i64::from(days) * 86_400;
    // A TLS report can be about several domains, so its policies are filtered one by one.
    let filter = ReportFilter { since_s, domain: None, before: None, limit: REPORTS_MAX };
    let heads = reader.store.reports(filter).await?;
    let is_cut = heads.len() == REPORTS_MAX as usize;
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    let silent = own.domains.iter().filter(|name| wanted(name)).map(|name| (name.clone(), DomainSummary::default()));
    let mut summaries: BTreeMap<String, DomainSummary> = silent.collect();
    for head in heads {
        if head.kind != "tls" && !wanted(&head.domain) {
            continue;
        }
        let Some((head, rows)) = reader.store.report(head.n).await? else { continue };
        match rows {
            KeptRows::Dmarc(rows) => add_dmarc(summaries.entry(head.domain.clone()).or_default(), &own, &head, &rows),
            KeptRows::Tls(policies) => policies.iter().filter(|p| wanted(&p.domain)).for_each(|policy| {
                add_tls(summaries.entry(policy.domain.clone()).or_default(), policy);
            }),
        }
    }
    let mut domains: Vec<DomainReports> = summaries.iter().map(|(name, summary)| view(name, summary)).collect();
    name_sources(resolver.as_ref(), &mut domains).await;
    Ok(Json(ReportsSummary { days, is_cut, domains }))
}

fn add_dmarc(summary: &mut DomainSummary, own: &Own, head: &KeptReport, rows: &[Row]) {
    let period = Period { begin_s: head.begin_s, end_s: head.end_s };
    let who = reporter(&head.organisation, &head.submitter);
    summary.add_report(period, &head.policy, head.messages_left_out);
    rows.iter().for_each(|row| summary.add_row(own, &who, period, row));
}

fn add_tls(summary: &mut DomainSummary, policy: &KeptTlsPolicy) {
    summary.tls_reports += 1;
    summary.add_tls(policy.successful, policy.failed);
    policy.failures.iter().for_each(|f| summary.add_tls_failure(&f.result, &f.mx_host, f.sessions, &f.reason));
}

fn by_class(messages: &Messages) -> MessagesByClass {
    let count = |class| messages.get(&class).copied().unwrap_or(0);
    MessagesByClass {
        ours: count(Class::Ours),
        ours_failing: count(Class::OursFailing),
        forward: count(Class::Forward),
        our_forward: count(Class::OurForward),
        foreign: count(Class::Foreign),
    }
}

fn view(name: &str, summary: &DomainSummary) -> DomainReports {
    let failing: Vec<FailingSource> = summary
        .worst(SOURCES_SHOWN)
        .into_iter()
        .map(|(class, address, source)| FailingSource {
            address: address.to_string(),
            name: None,
            class: class.as_str().to_owned(),
            header_from: source.header_from.clone(),
            messages: source.messages,
            first_s: source.first_s,
            last_s: source.last_s,
            why: source.why.clone(),
        })
        .collect();
    let mut organisations: Vec<OrganisationView> =
        summary.organisations.iter().map(|(name, seen)| OrganisationView { name: name.clone(), messages: by_class(seen) }).collect();
    organisations.sort_by_key(|o| std::cmp::Reverse(summary.organisations.get(&o.name).map_or(0, |seen| seen.values().sum::<u64>())));
    let mut failures: Vec<TlsFailureView> = summary
        .tls_failures
        .iter()
        .map(|((result, mx_host), failure)| TlsFailureView {
            result: result.clone(),
            mx_host: mx_host.clone(),
            sessions: failure.sessions,
            reason: failure.reason.clone(),
        })
        .collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.sessions));
    failures.truncate(FAILURES_SHOWN);
    DomainReports {
        domain: name.to_owned(),
        reports: summary.reports,
        tls_reports: summary.tls_reports,
        policy: summary.policy.clone(),
        messages: by_class(&summary.messages),
        organisations,
        failing_left_out: (summary.failing.len() - failing.len()) as u64,
        failing,
        messages_left_out: summary.messages_left_out,
        tls: TlsSessions { successful: summary.tls_successful, failed: summary.tls_failed, failures },
        advice: advice(name, summary),
    }
}

/// Looks up the names of the sources concurrently.
async fn name_sources(resolver: Option<&Resolver>, domains: &mut [DomainReports]) {
    let Some(resolver) = resolver else { return };
    let sources: Vec<&mut FailingSource> = domains.iter_mut().flat_map(|domain| &mut domain.failing).take(NAMED_MAX).collect();
    let asked: Vec<_> = sources
        .into_iter()
        .filter_map(|source| {
            let (resolver, address) = (resolver.clone(), source.address.parse::<IpAddr>().ok()?);
            Some((source, tokio::spawn(async move { resolver.authenticator().confirmed_name(address).await.1 })))
        })
        .collect();
    let answers = async {
        for (source, asked) in asked {
            source.name = asked.await.ok().flatten();
        }
    };
    // A name that does not arrive in time is omitted.
    let _ = tokio::time::timeout(NAMES_WAIT, answers).await;
}

pub(crate) async fn list(State(store): State<Store>, Params(query): Params<ReportsQuery>) -> Result<Json<Page<ReportView>>, ApiError> {
    let limit = page_limit(query.limit)?;
    let before = query.cursor.map(|cursor| parsed("a cursor", &cursor)).transpose()?;
    let filter = ReportFilter { since_s: 0, domain: domain(query.domain.as_ref())?, before, limit: limit + 1 };
    Ok(Json(cut(limit, store.reports(filter).await?.into_iter().map(head), |report| report.id.to_string())))
}

pub(crate) async fn show(State(reader): State<ReportReader>, Path(id): Path<String>) -> Result<Json<WholeReport>, ApiError> {
    let n: i64 = parsed("the number of a report", &id)?;
    let Some((kept, rows)) = reader.store.report(n).await? else {
        return Err(ApiError::missing(format!("no such report: {n}")).hint("waypost reports list shows all reports"));
    };
    let own = reader.own();
    let (rows, policies) = match rows {
        KeptRows::Dmarc(rows) => (rows.iter().map(|found| row(&own, found)).collect(), Vec::new()),
        KeptRows::Tls(policies) => (Vec::new(), policies.into_iter().map(policy).collect()),
    };
    Ok(Json(WholeReport { report: head(kept), rows, policies }))
}

fn head(kept: KeptReport) -> ReportView {
    ReportView {
        id: kept.n,
        kind: kept.kind,
        domain: kept.domain,
        organisation: kept.organisation,
        submitter: kept.submitter,
        report_id: kept.report_id,
        policy: kept.policy,
        begin_s: kept.begin_s,
        end_s: kept.end_s,
        received_ms: kept.received_ms,
        rows: kept.rows,
        rows_left_out: kept.rows_left_out,
        messages_left_out: kept.messages_left_out,
    }
}

fn row(own: &Own, row: &Row) -> RowView {
    let dkim = row.dkim.iter().map(|d| format!("DKIM {} of {} ({})", d.result.as_str(), d.domain, d.selector));
    let spf = row.spf.iter().map(|s| format!("SPF {} of {}", s.result.as_str(), s.domain));
    let reasons = row.reasons.iter().map(|r| format!("{} {}", r.kind.as_str(), r.comment).trim_end().to_owned());
    RowView {
        source: row.source.to_string(),
        count: row.count,
        class: own.classify(row).as_str().to_owned(),
        disposition: row.disposition.as_str().to_owned(),
        dkim_aligned: row.dkim_aligned,
        spf_aligned: row.spf_aligned,
        header_from: row.header_from.clone(),
        envelope_from: row.envelope_from.clone(),
        envelope_to: row.envelope_to.clone(),
        details: dkim.chain(spf).chain(reasons).collect(),
    }
}

fn policy(kept: KeptTlsPolicy) -> TlsPolicyView {
    let failures = kept.failures.into_iter().map(|failure| TlsFailureView {
        result: failure.result,
        mx_host: failure.mx_host,
        sessions: failure.sessions,
        reason: failure.reason,
    });
    let sessions = TlsSessions { successful: kept.successful, failed: kept.failed, failures: failures.collect() };
    TlsPolicyView { kind: kept.kind, domain: kept.domain, sessions }
}

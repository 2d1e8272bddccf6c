//! DKIM: the server signs a test message, and the signature is verified through DNS as a receiver does.
//!
//! RFC 6376 s.6. Invariant: a domain without a key is a finding.

use anyhow::Result;
use control_api::api::{KeyTest, Page};

use super::DoctorContext;
use control_api::api::{HealthFinding as Finding, Severity};

pub(super) async fn check(context: &mut DoctorContext) -> Result<Vec<Finding>> {
    let Page { items: tests, .. }: Page<KeyTest> = context.api()?.post("/api/v1/keys/test", &()).await?;
    let mut domains: Vec<String> = context.domains.iter().map(ToString::to_string).collect();
    domains.push(context.config.settings.forward.srs.domain.to_string());
    let without = domains.iter().filter(|domain| !tests.iter().any(|test| test.domain == **domain));
    let missing = |domain: &String| {
        let fix = format!("waypost key add {domain}, then publish what it prints");
        Finding::bad(Severity::Error, "dkim", domain.clone(), "has no DKIM key: its mail leaves unsigned", fix)
    };
    let mut findings: Vec<Finding> = without.map(missing).collect();
    let is_used = |test: &&KeyTest| domains.contains(&test.domain);
    findings.extend(tests.iter().filter(is_used).map(judge_test));
    findings.extend(unused_keys(tests.iter().filter(|test| !is_used(test)).map(|test| test.domain.as_str())));
    Ok(findings)
}

/// Keys of domains that are no longer hosted, which do no harm.
fn unused_keys<'a>(domains: impl Iterator<Item = &'a str>) -> Vec<Finding> {
    let mut domains: Vec<&str> = domains.collect();
    domains.dedup();
    let one = |domain: &&str| {
        let fix = format!("waypost key remove {domain}; or host the domain again: waypost domain add {domain}");
        Finding::bad(Severity::Notice, "dkim", *domain, "has DKIM keys, but is not hosted here", fix)
    };
    domains.iter().map(one).collect()
}

fn judge_test(test: &KeyTest) -> Finding {
    let about = format!("{}._domainkey.{}", test.selector, test.domain);
    if test.verifies {
        return Finding::good("dkim", about, "a signature verifies");
    }
    // Few receivers verify Ed25519; RSA signs beside it.
    let severity = if test.key_type == "rsa" { Severity::Error } else { Severity::Warning };
    let why = test.reason.clone().unwrap_or_else(|| "verification failed".into());
    let fix = format!("publish this TXT record at {about}:\n{}", test.record);
    Finding::bad(severity, "dkim", about, format!("a signature does not verify: {why}"), fix)
}

//! What remains to be done elsewhere: DNS records, and Gmail's form.
//!
//! Invariant: the records are those of the plan, and nothing is promised that this version does not do.

use control_api::api::{KeyView, Login};
use mail::Domain;
use policy::dns_plan::{PlannedRecord, RecordType, plan};
use serde::Serialize;

use super::Report;
use crate::config::Config;
use crate::output::{BOLD, DIM, GOOD, WARN, styled};

/// A record to publish.
#[derive(Serialize)]
pub struct DnsRecord {
    name: String,
    kind: &'static str,
    value: String,
    /// `needed now`, `better` or `for mail programs`.
    needed: &'static str,
}

/// The values for Gmail's form "Send mail as".
#[derive(Serialize)]
pub struct GmailForm {
    address: String,
    smtp_server: String,
    port: u16,
    security: &'static str,
    user_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

/// The records to publish: of the domain, of this server, and of the domain under which forwards leave.
pub fn dns(domain: &Domain, config: &Config, keys: &[KeyView]) -> Vec<PlannedRecord> {
    let facts = crate::dns::of_keys(config, vec![domain.clone()], keys);
    let mut records: Vec<PlannedRecord> = plan(&facts).into_iter().filter(|record| record.record_type != RecordType::Ptr).collect();
    records.sort_by_key(PlannedRecord::usage);
    records
}

/// The same as JSON.
pub fn as_json(records: &[PlannedRecord]) -> Vec<DnsRecord> {
    let one = |r: &PlannedRecord| DnsRecord {
        value: r.quoted(),
        name: r.owner.clone(),
        kind: r.record_type.as_str(),
        needed: r.usage().as_str(),
    };
    records.iter().map(one).collect()
}

/// The forms for the accounts.
pub fn gmail(hostname: &str, logins: &[Login]) -> Vec<GmailForm> {
    let form = |login: &Login| GmailForm {
        address: login.login.clone(),
        smtp_server: hostname.to_owned(),
        port: 587,
        security: "TLS",
        user_name: login.login.clone(),
        password: login.password.clone(),
    };
    logins.iter().map(form).collect()
}

/// The report for people.
pub fn text(report: &Report) -> String {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(report.done.iter().map(|done| format!("{}  {done}", styled(GOOD, "made"))));
    lines.extend(report.kept.iter().map(|kept| format!("{}  {kept}", styled(DIM, "kept"))));
    lines.extend(report.looks.iter().map(|look| {
        let word = if look.good { styled(GOOD, "seen") } else { styled(WARN, "look") };
        format!("{word}  {}", look.text)
    }));
    if !report.smarthosts.is_empty() {
        lines.push(format!("\n{}", styled(BOLD, "The smarthost")));
        lines.extend(report.smarthosts.iter().map(|tried| indented(&crate::commands::route::shown(tried))));
    }
    lines.push(format!("\nThree things remain, in this order.\n\n{}", styled(BOLD, "1. Publish these DNS records")));
    lines.push(indented(&crate::dns::show::in_rows(&report.records)));
    lines.push(indented(&format!(
        "Ask your hoster to set the PTR record of the address to {}, and to open outgoing port 25.\n\
         waypost dns check{} says whether they are there; waypost dns apply writes them, where a provider is named under [dns].\n\
         A TXT record longer than 255 characters is published as several strings; most providers split it themselves. Raise p=none\n\
         of the domain to quarantine and reject once reports show that all your mail passes.",
        report.hostname,
        option(report)
    )));
    lines.push(format!("\n{}", styled(BOLD, "2. Start the server")));
    lines.push(indented(&format!("{}\nThen see that all is well: waypost doctor{}", styled(BOLD, &report.start), option(report))));
    lines.extend(about_certificate(report).map(|text| indented(&text)));
    lines.push(format!("\n{}", styled(BOLD, "3. Send as your address from Gmail")));
    if report.gmail.is_empty() {
        lines.push(indented(
            "waypost account add ADDRESS makes somebody who may send; waypost sendas ADDRESS says what to type into Gmail.",
        ));
    } else {
        lines.push(indented("Settings > Accounts and Import > Send mail as > Add another email address; then, for each:"));
        lines.extend(report.gmail.iter().map(|form| indented(&shown(form))));
        lines.push(indented("Or port 465 with SSL. Gmail mails a code to the address; it arrives through the alias. Once the server runs,\nwaypost sendas ADDRESS tries the ports as Gmail will, and shows the code."));
    }
    // Last, where the eye is.
    if !report.warnings.is_empty() {
        lines.push(format!("\n{}", styled(BOLD, "To look at")));
        lines.extend(report.warnings.iter().map(|warning| indented(&format!("{} {warning}", styled(WARN, "note:")))));
    }
    lines.join("\n")
}

/// What further commands need, where the configuration is not in its usual place.
fn option(report: &Report) -> String {
    match report.config == std::path::Path::new(crate::config::DEFAULT_PATH) {
        true => String::new(),
        false => format!(" --config {}", report.config.display()),
    }
}

fn about_certificate(report: &Report) -> Option<String> {
    let (note, hostname, config) = (styled(WARN, "note:"), &report.hostname, report.config.display());
    if let Some(authority) = &report.authority {
        return Some(format!(
            "{note} once the server runs it orders certificates from {authority}. You agree to that authority's terms of service with it.\n\
             Port 80 of {hostname} must be reachable. `waypost cert status` shows how it goes."
        ));
    }
    report.self_signed.then(|| {
        format!(
            "{note} the certificate is self-signed: other servers take it for mail to you, but Gmail's form refuses it. Let the server get one\n\
             from Let's Encrypt: enabled = true under [acme] in {config}; or name the files of one for {hostname} under [tls]."
        )
    })
}

fn shown(form: &GmailForm) -> String {
    let password = form.password.as_ref().map_or_else(
        || styled(DIM, "(the one that was shown when the account was made)"),
        |password| format!("{}  {}", styled(BOLD, password), styled(DIM, "(shown this once)")),
    );
    format!(
        "\n  Email address  {}\n  SMTP server    {}\n  Port           {} with {}\n  User name      {}\n  Password       {password}",
        form.address, form.smtp_server, form.port, form.security, form.user_name
    )
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { String::new() } else { format!("   {line}") }).collect::<Vec<_>>().join("\n")
}

//! The report of `waypost setup`: what was done, and the remaining steps (DNS records, start, Gmail's form).
//!
//! Invariant: the records are those of the plan.

use control_api::api::{KeyView, Login, NodeView};
use dns_plan::{PlannedRecord, RecordType, plan};
use mail::Domain;
use serde::Serialize;

use super::SetupReport;
use crate::config::Config;
use crate::dns_facts::{beside, of_keys};
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

/// The records to publish: those of the domain, of this server and of the forwarding domain; and what other servers that share the mail need of the domain.
pub fn dns(domain: &Domain, config: &Config, keys: &[KeyView], nodes: &[NodeView]) -> Vec<PlannedRecord> {
    let facts = beside(of_keys(config, vec![domain.clone()], keys), config, nodes);
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

/// A form for each account.
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
pub fn text(report: &SetupReport) -> String {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(report.done.iter().map(|done| format!("{}     {done}", styled(GOOD, "done"))));
    lines.extend(report.kept.iter().map(|kept| format!("{}     {kept}", styled(DIM, "kept"))));
    lines.extend(report.checks.iter().map(|check| {
        let word = if check.good { styled(GOOD, "ok     ") } else { styled(WARN, "warning") };
        format!("{word}  {}", check.text)
    }));
    if !report.smarthosts.is_empty() {
        lines.push(format!("\n{}", styled(BOLD, "The smarthost")));
        lines.extend(report.smarthosts.iter().map(|test| indented(&crate::commands::route::shown(test))));
    }
    lines.push(format!("\nThree steps remain, in this order.\n\n{}", styled(BOLD, "1. Publish these DNS records")));
    lines.push(indented(&crate::commands::dns::show::in_rows(&report.records)));
    lines.push(String::new());
    lines.push(indented(&format!(
        "Ask your hoster to set the PTR record of the server's address to {}, and to open outgoing port 25.\n\
         To verify the records:  waypost dns check{option}\n\
         To publish them, if [dns] names a provider:  waypost dns apply{option}\n\
         TXT records longer than 255 characters are split into several strings; most providers do so themselves.\n\
         Raise p=none of the domain to quarantine, then reject, once reports show that all your mail passes.",
        report.hostname,
        option = option(report)
    )));
    lines.push(format!("\n{}", styled(BOLD, "2. Start the server")));
    lines.push(indented(&format!(
        "{}\nThen check that everything works:  waypost doctor{option}\nand open the owner's page:  waypost web login-link{option}",
        styled(BOLD, &report.start),
        option = option(report)
    )));
    lines.extend(about_certificate(report).map(|text| indented(&text)));
    lines.push(format!("\n{}", styled(BOLD, "3. Send as your address from Gmail")));
    if report.gmail.is_empty() {
        lines
            .push(indented("Add an account with waypost account add ADDRESS; waypost sendas ADDRESS then shows what to enter into Gmail."));
    } else {
        lines.push(indented("Settings > Accounts and Import > Send mail as > Add another email address. Enter:"));
        lines.extend(report.gmail.iter().map(|form| indented(&shown(form))));
        lines.push(indented("\nPort 465 with SSL works too. Gmail sends a code to the address, which arrives through the alias.\nOnce the server runs, waypost sendas ADDRESS tests the ports as Gmail does, and shows the code."));
    }
    // Last, where the operator looks first.
    if !report.warnings.is_empty() {
        lines.push(format!("\n{}", styled(BOLD, "Notes")));
        lines.extend(report.warnings.iter().map(|warning| indented(&format!("{} {warning}", styled(WARN, "-")))));
    }
    lines.join("\n")
}

/// The option that further commands need if the configuration is not in its default place.
fn option(report: &SetupReport) -> String {
    match report.config == std::path::Path::new(crate::config::DEFAULT_PATH) {
        true => String::new(),
        false => format!(" --config {}", report.config.display()),
    }
}

fn about_certificate(report: &SetupReport) -> Option<String> {
    let (note, hostname, config) = (styled(WARN, "note:"), &report.hostname, report.config.display());
    if let Some(authority) = &report.authority {
        return Some(format!(
            "{note} the server orders its certificates from {authority}; by that you accept the authority's terms of service.\n\
             Port 80 of {hostname} must be reachable. To see the progress:  waypost cert status"
        ));
    }
    report.self_signed.then(|| {
        format!(
            "{note} the certificate is self-signed: other servers accept it when they deliver mail, but Gmail's form refuses it.\n\
             Let the server get one from Let's Encrypt: enabled = true under [acme] in {config};\n\
             or name the files of a certificate for {hostname} under [tls]."
        )
    })
}

fn shown(form: &GmailForm) -> String {
    let password = form.password.as_ref().map_or_else(
        || styled(DIM, "(shown when the account was created)"),
        |password| format!("{}  {}", styled(BOLD, password), styled(DIM, "(shown only once)")),
    );
    format!(
        "\n  Email address  {}\n  SMTP server    {}\n  Port           {} with {}\n  Username       {}\n  Password       {password}",
        form.address, form.smtp_server, form.port, form.security, form.user_name
    )
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { String::new() } else { format!("   {line}") }).collect::<Vec<_>>().join("\n")
}

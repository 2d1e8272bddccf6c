//! `waypost setup`: prepares a machine for a domain, and prints what to enter into DNS and Gmail.
//!
//! Invariant: keeps what exists, and says so; a second run changes nothing.

mod advice;
mod ask;
mod edit;
mod files;
mod plan;
mod preflight;
mod service;
mod wait;

pub use files::{create_certificate, write_new};

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use control_api::api::{
    AccountView, AliasView, Changed, DomainView, KeyView, KeysChanged, Login, NewAccount, NewAlias, NewDomain, NewKeys, NodeView, Reloaded,
};
use dns_plan::PlannedRecord;
use serde::Serialize;

use crate::cli::SetupArgs;
use crate::commands::route::{self, SmarthostTest};
use crate::config::{self, Config};
use crate::dns_facts::public_addresses;
use crate::output::{DIM, Output, WARN, note, styled};
use crate::owner::give;
use crate::transport::Transport;
use advice::{DnsRecord, GmailForm};
use plan::{Forward, SetupPlan};
use preflight::PreflightCheck;

/// What was done, and what remains for the operator.
#[derive(Serialize)]
pub struct SetupReport {
    domain: String,
    hostname: String,
    config: std::path::PathBuf,
    done: Vec<String>,
    kept: Vec<String>,
    warnings: Vec<String>,
    /// The results of the preflight checks.
    #[serde(rename = "looks")]
    checks: Vec<PreflightCheck>,
    /// Whether an existing configuration was changed.
    #[serde(skip)]
    changed_config: bool,
    logins: Vec<Login>,
    self_signed: bool,
    /// The ACME directory of the authority that issues certificates.
    authority: Option<String>,
    dns: Vec<DnsRecord>,
    #[serde(skip)]
    records: Vec<PlannedRecord>,
    gmail: Vec<GmailForm>,
    /// The tests of the smarthosts.
    smarthosts: Vec<SmarthostTest>,
    /// The command that starts the server.
    start: String,
}

/// Runs the command.
pub async fn run(config_path: &Path, args: SetupArgs, out: Output) -> Result<ExitCode> {
    let args = ask::complete(args)?;
    let plan = SetupPlan::read(&args)?;
    let mut report = SetupReport {
        domain: plan.domain.to_string(),
        hostname: String::new(),
        config: config_path.into(),
        done: Vec::new(),
        kept: Vec::new(),
        warnings: Vec::new(),
        checks: Vec::new(),
        changed_config: false,
        logins: Vec::new(),
        self_signed: false,
        authority: None,
        dns: Vec::new(),
        records: Vec::new(),
        gmail: Vec::new(),
        smarthosts: Vec::new(),
        start: String::new(),
    };
    let config = files::load_or_create_configuration(config_path, &plan, &mut report)?;
    report.hostname = config.settings.hostname.to_string();
    files::create_data_dir(&config, &mut report)?;
    report.self_signed = files::load_or_create_certificate(&config, &mut report)?;
    report.authority = config.acme().map(|acme| acme.directory);
    make_secrets(&config)?;
    let filled = fill_directory(&config, &plan, &args, &mut report, out).await;
    let (keys, nodes) = filled.map_err(|error| beside_others(&config, error))?;
    report.records = advice::dns(&plan.domain, &config, &keys, &nodes);
    report.dns = advice::as_json(&report.records);
    report.gmail = advice::gmail(&report.hostname, &report.logins);
    if config.file.dns.addresses.is_empty() && public_addresses().is_empty() {
        let warning =
            "no interface of this machine has a public address: set the one that leads here with --address, or as addresses under [dns]";
        report.warnings.push(warning.into());
    }
    if config.file.route.iter().any(|route| route.get_ref().user.is_some() && route.get_ref().spf_include.is_none())
        && config.file.dns.spf_includes.is_empty()
    {
        let warning = "the smarthost is not in your SPF record: set spf in its [[route]] to what its instructions show after include:";
        report.warnings.push(warning.into());
    }
    report.start = service::write_unit(&args, &config, &mut report)?;
    report.smarthosts = test_smarthosts(&config, &plan, &args, out).await;
    out.show(&report, advice::text)?;
    let is_there = match args.wait {
        Some(limit_s) => wait::wait(&config, Duration::from_secs(limit_s), out).await?,
        None => true,
    };
    Ok(if is_there { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Over a PostgreSQL, another node may have added the same in the meantime.
fn beside_others(config: &Config, error: anyhow::Error) -> anyhow::Error {
    if config.file.store.url.is_none() || format!("{error:#}").contains("\n  hint: ") {
        return error;
    }
    anyhow!(
        "{error:#}\n  hint: if setup runs on another node too, wait until it has ended there, then run it again here: what is there already is kept"
    )
}

/// Creates the secrets of return addresses (SRS) unless they exist.
fn make_secrets(config: &Config) -> Result<()> {
    let (secrets, data) = (config.file.srs_secrets(), &config.file.data_dir);
    let is_new = !secrets.exists();
    config::secrets::make(&secrets)?;
    if is_new && secrets.starts_with(data) { give(&secrets, data) } else { Ok(()) }
}

/// Tests the smarthosts as the server uses them. A failure is reported and stops nothing.
async fn test_smarthosts(config: &Config, plan: &SetupPlan, args: &SetupArgs, out: Output) -> Vec<SmarthostTest> {
    let routes: Vec<_> = route::smarthosts(config).collect();
    if routes.is_empty() {
        return Vec::new();
    }
    if !out.json {
        note(&styled(DIM, "testing the smarthost ..."));
    }
    match route::check(config, Some(plan.domain.as_str()), &routes, !args.no_trial).await {
        Ok(tests) => tests,
        Err(error) => {
            note(&format!("{} the smarthost could not be tested: {error:#}", styled(WARN, "note:")));
            Vec::new()
        }
    }
}

/// Creates domain, aliases, accounts and keys. Returns the DKIM keys whose records must be published, and the servers that share the mail.
async fn fill_directory(
    config: &Config,
    plan: &SetupPlan,
    args: &SetupArgs,
    report: &mut SetupReport,
    out: Output,
) -> Result<(Vec<KeyView>, Vec<NodeView>)> {
    let mut api = Transport::open(config).await?;
    if report.changed_config && api.is_server() {
        match api.post::<Reloaded>("/api/v1/reload", &()).await {
            Ok(reloaded) => report.done.push(reloaded.message),
            Err(error) => report.warnings.push(format!("the running server keeps its old configuration: {error:#}")),
        }
    }
    if !args.no_preflight {
        if !out.json {
            note(&styled(DIM, "checking DNS, ports and outgoing connections ..."));
        }
        report.checks = preflight::run(config, &plan.domain, api.is_server()).await;
    }
    let domains: Vec<DomainView> = api.list("/api/v1/domains", &[]).await?;
    let domain = plan.domain.to_string();
    if domains.iter().any(|d| d.name == domain) {
        report.kept.push(format!("domain {domain}"));
    } else {
        let done: Changed = api.post("/api/v1/domains", &NewDomain { name: domain }).await?;
        report.done.push(done.changed);
    }
    let aliases: Vec<AliasView> = api.list("/api/v1/aliases", &[]).await?;
    for forward in &plan.forwards {
        add_alias(&mut api, forward, &aliases, report).await?;
    }
    for forward in plan.roles(&aliases) {
        add_alias(&mut api, &forward, &aliases, report).await?;
    }
    let accounts: Vec<AccountView> = api.list("/api/v1/accounts", &[]).await?;
    let mut has_owner = accounts.iter().any(|account| account.owner);
    for login in plan.logins() {
        if accounts.iter().any(|account| account.login.eq_ignore_ascii_case(&login)) {
            report.kept.push(format!("account {login} and its password (to replace it: waypost account passwd {login})"));
            report.logins.push(Login { login, name: String::new(), password: None, warnings: Vec::new() });
        } else {
            let new = NewAccount { login, password: None, name: None, may_send_as: Vec::new(), owner: !has_owner };
            has_owner = true;
            let made: Login = api.post("/api/v1/accounts", &new).await?;
            report.done.push(format!("account {}", made.login));
            report.logins.push(made);
        }
    }
    let mut keys = Vec::new();
    for domain in [&plan.domain, &config.settings.forward.srs.domain] {
        let made: KeysChanged = api.post("/api/v1/keys", &NewKeys { domain: domain.to_string() }).await?;
        if made.is_new { &mut report.done } else { &mut report.kept }.push(format!("DKIM keys of {domain}"));
        keys.extend(made.keys.into_iter().filter(|key| key.state != "retired"));
    }
    Ok((keys, api.list("/api/v1/nodes", &[]).await?))
}

async fn add_alias(api: &mut Transport, forward: &Forward, aliases: &[AliasView], report: &mut SetupReport) -> Result<()> {
    let source = forward.source.to_string();
    let targets: Vec<String> = forward.targets.iter().map(ToString::to_string).collect();
    match aliases.iter().find(|alias| alias.source.eq_ignore_ascii_case(&source)) {
        Some(old) if old.targets == targets => report.kept.push(format!("alias {source} → {}", targets.join(", "))),
        Some(old) => {
            report.kept.push(format!("alias {source} → {}", old.targets.join(", ")));
            report.warnings.push(format!("to change it: waypost alias add {source} {} --replace", targets.join(" ")));
        }
        None => {
            let done: Changed = api.post("/api/v1/aliases", &NewAlias { source, targets, replace: false }).await?;
            report.done.push(format!("alias {}", done.changed));
            // Aliases with the same target give the same warning.
            for warning in done.warnings {
                if !report.warnings.contains(&warning) {
                    report.warnings.push(warning);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn args(dir: &Path) -> SetupArgs {
        SetupArgs {
            domain: Some("Example.test".into()),
            forward: vec!["me=foo@gmail.test".into(), "team@example.test=bar@gmail.test".into(), "me=second@gmail.test".into()],
            data: Some(dir.join("data")),
            no_preflight: true,
            ..SetupArgs::default()
        }
    }

    async fn set_up(config: &Path, args: SetupArgs) -> Result<()> {
        run(config, args, Output { json: true }).await.map(|_| ())
    }

    #[tokio::test]
    async fn a_second_run_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("waypost.toml");
        set_up(&path, args(dir.path())).await.unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let config = crate::config::load(&path).unwrap();
        let key = fs::read(config.key()).unwrap();
        assert_eq!(fs::metadata(config.key()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&config.file.data_dir).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(config.settings.postmaster.as_ref().unwrap().to_string(), "foo@gmail.test");
        let state = || async {
            let mut api = Transport::in_process(&config).await.unwrap();
            let aliases: Vec<AliasView> = api.list("/api/v1/aliases", &[]).await.unwrap();
            let accounts: Vec<AccountView> = api.list("/api/v1/accounts", &[]).await.unwrap();
            (aliases, accounts)
        };
        let (aliases, accounts) = state().await;
        let shown: Vec<String> = aliases.iter().map(|a| format!("{} {}", a.source, a.targets.join(" "))).collect();
        assert_eq!(
            shown,
            [
                "abuse@example.test foo@gmail.test",
                "me@example.test foo@gmail.test second@gmail.test",
                "postmaster@example.test foo@gmail.test",
                "team@example.test bar@gmail.test"
            ]
        );
        assert_eq!(accounts.len(), 2);
        set_up(&path, args(dir.path())).await.unwrap();
        assert_eq!(state().await, (aliases, accounts));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::read(config.key()).unwrap(), key);
    }

    #[tokio::test]
    async fn an_existing_configuration_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("waypost.toml");
        let mine = "# mine\nhostname = \"mail.example.test\"\ndata_dir = \"data\"\n";
        fs::write(&path, mine).unwrap();
        set_up(&path, args(dir.path())).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), mine);
        fs::write(&path, "hostname = 7").unwrap();
        assert!(set_up(&path, args(dir.path())).await.unwrap_err().to_string().contains("waypost.toml:1:12"));
    }

    #[tokio::test]
    async fn a_second_run_applies_its_flags() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("waypost.toml");
        set_up(&path, args(dir.path())).await.unwrap();
        let before = fs::read_to_string(&path).unwrap();
        let again = SetupArgs {
            certificate: crate::cli::CertificateFrom::Acme,
            postmaster: Some("boss@elsewhere.test".into()),
            addresses: vec![[192, 0, 2, 10].into()],
            ..args(dir.path())
        };
        set_up(&path, again).await.unwrap();
        let config = crate::config::load(&path).unwrap();
        assert_eq!(config.settings.postmaster.as_ref().unwrap().to_string(), "boss@elsewhere.test");
        assert_eq!(config.acme().unwrap().contact, ["boss@elsewhere.test"]);
        assert_eq!(config.file.dns.addresses.len(), 1);
        let (old, new): (Vec<&str>, String) = (before.lines().collect(), fs::read_to_string(&path).unwrap());
        assert!(new.lines().filter(|line| !old.contains(line)).count() <= 4, "{new}");
        assert!(old.iter().filter(|line| line.starts_with('#')).all(|line| new.contains(*line)), "comments stay");
    }

    #[test]
    fn over_a_database_a_failure_says_that_another_node_may_have_been_faster() {
        let config = |store: &str| config::parse(Path::new("/etc/w.toml"), &format!("hostname = \"a.b\"\n{store}")).unwrap();
        let shared = config("[store]\nurl = \"postgres://db.example/x\"\n");
        let failed = || anyhow!("there is already a domain example.test");
        let said = beside_others(&shared, failed()).to_string();
        assert!(said.contains("example.test\n  hint: if setup runs on another node too"), "{said}");
        assert_eq!(beside_others(&config(""), failed()).to_string(), failed().to_string());
        let hinted = || anyhow!("full\n  hint: free some space");
        assert_eq!(beside_others(&shared, hinted()).to_string(), hinted().to_string());
    }

    #[tokio::test]
    async fn invalid_arguments_are_refused_before_anything_is_created() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("waypost.toml");
        for forward in ["me", "me=", "=foo@gmail.test", "me=foo", "me=me@example.test"] {
            let args = SetupArgs { forward: vec![forward.into()], ..args(dir.path()) };
            assert!(set_up(&path, args).await.is_err(), "{forward}");
        }
        assert!(!path.exists());
    }
}

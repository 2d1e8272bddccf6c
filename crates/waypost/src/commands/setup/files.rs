//! The files that `setup` creates: configuration, data directory, certificate and key.
//!
//! Invariant: existing files are kept, except for configuration options given on the command line; a key is never readable by others, not even for an instant.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use super::SetupReport;
use super::edit::{self, OptionEdit};
use super::plan::{SetupPlan, Smarthost};
use crate::config::{self, Config};
use crate::owner::give;

/// Reads the configuration, or creates one.
pub fn load_or_create_configuration(path: &Path, plan: &SetupPlan, report: &mut SetupReport) -> Result<Config> {
    if !path.exists() {
        let text = text(plan)?;
        config::parse(path, &text)?;
        write_new(path, &text, 0o644)?;
        report.done.push(format!("configuration {}", path.display()));
        return Ok(config::load(path)?);
    }
    let config = update(path, config::load(path)?, plan, report)?;
    if let Some(asked) = plan.hostname.as_ref().filter(|asked| **asked != config.settings.hostname) {
        report.warnings.push(format!(
            "hostname stays {}, because certificate and DNS records depend on it; to change it, write hostname = \"{asked}\" into {}, then publish \
             the records that waypost dns show prints",
            config.settings.hostname,
            path.display()
        ));
    }
    let wanted = plan.smarthost.as_ref().filter(|wanted| !config.settings.delivery.routes.iter().any(|route| route.host == wanted.host));
    if let Some(wanted) = wanted {
        report.warnings.push(format!(
            "mail is not sent through {} yet; add this to {}:{}",
            wanted.host,
            path.display(),
            route(wanted).replace('\n', "\n        ")
        ));
    }
    if let Some(asked) = &plan.data
        && std::path::absolute(asked)? != config.file.data_dir
    {
        bail!(
            "{} has the data directory {}, but --data is {}\n  hint: leave --data out, or name another file with --config",
            path.display(),
            config.file.data_dir.display(),
            asked.display()
        );
    }
    Ok(config)
}

/// Applies the options of the command line to an existing configuration.
fn update(path: &Path, config: Config, plan: &SetupPlan, report: &mut SetupReport) -> Result<Config> {
    let edits = edits(&config, plan);
    if edits.is_empty() {
        report.kept.push(format!("configuration {}", path.display()));
        return Ok(config);
    }
    match edit::apply(path, &edits) {
        Ok(()) => {
            report.done.push(format!("set in {}: {}", path.display(), edit::by_hand(&edits)));
            report.changed_config = true;
            Ok(config::load(path)?)
        }
        Err(error) => {
            report.kept.push(format!("configuration {}", path.display()));
            report.warnings.push(format!("{} could not be changed ({error:#}); write by hand: {}", path.display(), edit::by_hand(&edits)));
            Ok(config)
        }
    }
}

/// The options that the command line gives and the file lacks.
fn edits(config: &Config, plan: &SetupPlan) -> Vec<OptionEdit> {
    let mut edits: Vec<OptionEdit> = Vec::new();
    if let Some(postmaster) = plan.named_postmaster.as_ref().filter(|asked| Some(*asked) != config.settings.postmaster.as_ref()) {
        edits.push(OptionEdit::text("", "postmaster", postmaster.to_string()));
    }
    if plan.acme && !config.file.acme.enabled {
        edits.push(OptionEdit::new("[acme]", "enabled", "true"));
        let contact = plan.named_postmaster.as_ref().or(config.settings.postmaster.as_ref()).filter(|_| config.file.acme.contact.is_none());
        edits.extend(contact.map(|contact| OptionEdit::text("[acme]", "contact", contact.to_string())));
    }
    if plan.staging && !config.file.acme.staging {
        edits.push(OptionEdit::new("[acme]", "staging", "true"));
    }
    let named: Vec<std::net::IpAddr> = config.file.dns.addresses.iter().map(|address| address.0).collect();
    if !plan.addresses.is_empty() && plan.addresses != named {
        let addresses: Vec<String> = plan.addresses.iter().map(|address| toml::Value::String(address.to_string()).to_string()).collect();
        edits.push(OptionEdit::new("[dns]", "addresses", format!("[{}]", addresses.join(", "))));
    }
    edits
}

fn text(plan: &SetupPlan) -> Result<String> {
    let quoted = |text: String| toml::Value::String(text).to_string();
    let hostname = plan.hostname.as_ref().map_or_else(|| format!("mx.{}", plan.domain), ToString::to_string);
    let mut set = vec![("", "hostname", quoted(hostname))];
    if let Some(data) = &plan.data {
        set.push(("", "data_dir", quoted(std::path::absolute(data)?.to_string_lossy().into_owned())));
    }
    if let Some(postmaster) = &plan.postmaster {
        set.push(("", "postmaster", quoted(postmaster.to_string())));
    }
    if plan.acme {
        set.push(("[acme]", "enabled", "true".into()));
        if plan.staging {
            set.push(("[acme]", "staging", "true".into()));
        }
        if let Some(postmaster) = &plan.postmaster {
            set.push(("[acme]", "contact", quoted(postmaster.to_string())));
        }
    }
    set.push(("[forward]", "domain", quoted(format!("fwd.{}", plan.domain))));
    if !plan.addresses.is_empty() {
        let addresses: Vec<String> = plan.addresses.iter().map(|address| quoted(address.to_string())).collect();
        set.push(("[dns]", "addresses", format!("[{}]", addresses.join(", "))));
    }
    Ok(config::template(&set) + &plan.smarthost.as_ref().map_or_else(String::new, route))
}

/// The section of the smarthost.
fn route(smarthost: &Smarthost) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text = format!("\n[[route]]\nhost = {}\nport = {}\n", quoted(smarthost.host.as_str()), smarthost.port);
    text.push_str(match smarthost.port {
        465 => "tls = \"implicit\"\n",
        25 if smarthost.login.is_none() => "tls = \"opportunistic\"\nverify = false\n",
        _ => "tls = \"required\"\n",
    });
    if let Some((user, file)) = &smarthost.login {
        text.push_str(&format!("user = {}\npassword_file = {}\n", quoted(user), quoted(&file.to_string_lossy())));
    }
    if let Some(spf) = &smarthost.spf {
        text.push_str(&format!("spf_include = {}\n", quoted(spf.as_str())));
    }
    if !smarthost.flows.is_empty() {
        let flows: Vec<String> = smarthost.flows.iter().map(|flow| quoted(flow)).collect();
        text.push_str(&format!("flows = [{}]\n", flows.join(", ")));
    }
    text
}

/// Creates the data directory.
pub fn create_data_dir(config: &Config, report: &mut SetupReport) -> Result<()> {
    let data = &config.file.data_dir;
    if data.is_dir() {
        report.kept.push(format!("data directory {}", data.display()));
        return Ok(());
    }
    private_dir(data)?;
    report.done.push(format!("data directory {}", data.display()));
    Ok(())
}

/// Creates a certificate unless one exists. Returns whether the one in use is self-signed by Waypost.
pub fn load_or_create_certificate(config: &Config, report: &mut SetupReport) -> Result<bool> {
    let (certificate, key) = (config.certificate(), config.key());
    if config.file.tls.certificate.is_some() || certificate.exists() || key.exists() {
        net::ServerTls::load(&certificate, &key).map_err(|e| anyhow!("the certificate is not usable: {e}"))?;
        report.kept.push(format!("certificate {}", certificate.display()));
        return Ok(config.file.tls.certificate.is_none());
    }
    create_certificate(config)?;
    report.done.push(format!("self-signed certificate {}", certificate.display()));
    Ok(true)
}

/// Creates the first certificate and key, for the host name.
pub fn create_certificate(config: &Config) -> Result<()> {
    let (certificate_pem, key_pem) = net::self_signed(&[config.settings.hostname.to_string()])?;
    let key = config.key();
    if let Some(dir) = key.parent() {
        private_dir(dir)?;
    }
    write_new(&key, &key_pem, 0o600)?;
    write_new(&config.certificate(), &certificate_pem, 0o644)?;
    let directory = key.parent().map(Path::to_path_buf);
    let made = [Some(key), Some(config.certificate()), directory];
    made.into_iter()
        .flatten()
        .filter(|path| path.starts_with(&config.file.data_dir))
        .try_for_each(|path| give(&path, &config.file.data_dir))
}

fn private_dir(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| denied(path))
}

fn denied(path: &Path) -> String {
    format!("{} cannot be created (use sudo, or name writable places with --config and --data)", path.display())
}

/// Writes a new file.
pub fn write_new(path: &Path, text: &str, mode: u32) -> Result<()> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty() && !p.exists()) {
        DirBuilder::new().recursive(true).mode(0o755).create(parent).with_context(|| denied(parent))?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = match file {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => bail!("{} exists already and is kept\n  hint: run setup again", path.display()),
        other => other.with_context(|| denied(path))?,
    };
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(|| format!("{} cannot be written", path.display()))
}

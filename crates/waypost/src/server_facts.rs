//! The server as the page shows it: version, listeners, disk, and the options in force with where they come from.
//!
//! Invariant: shows paths of secrets, never their contents.

use std::fs;
use std::path::Path;

use control_api::api::{ListenerView, ServerView, SettingView, SubmissionFacts};
use nix::sys::statvfs::statvfs;

use crate::config::Config;

/// The server with this configuration. Reads the data directory.
pub fn server(config: &Config) -> ServerView {
    let data = &config.file.data_dir;
    let disk = statvfs(data.as_path()).ok();
    ServerView {
        version: env!("CARGO_PKG_VERSION").into(),
        hostname: config.settings.hostname.to_string(),
        forwarding: config.settings.forward.srs.domain.to_string(),
        config_file: config.path.display().to_string(),
        data_dir: data.display().to_string(),
        databases_bytes: databases_bytes(data),
        disk_free_bytes: disk.map(|disk| disk.blocks_available() * disk.fragment_size()),
        disk_bytes: disk.map(|disk| disk.blocks() * disk.fragment_size()),
        listeners: listeners(config),
        settings: settings(config),
    }
}

/// Where mail programs submit mail.
pub fn submission(config: &Config) -> SubmissionFacts {
    let ports = config.submission_ports();
    SubmissionFacts { host: config.settings.hostname.to_string(), starttls_port: ports.submission, tls_port: ports.submissions }
}

/// The sizes of the databases and their logs, which are in the data directory itself.
fn databases_bytes(data: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(data) else { return 0 };
    let files = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().contains(".db"));
    files.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

fn listeners(config: &Config) -> Vec<ListenerView> {
    let mail = config.listeners().into_iter().map(|listener| (listener.kind.as_str(), listener.address));
    let web = ["http", "https"].into_iter().zip(config.web_addresses());
    let web = web.flat_map(|(kind, addresses)| addresses.list.into_iter().map(move |address| (kind, address)));
    mail.chain(web).map(|(kind, address)| ListenerView { kind: kind.into(), address: address.to_string() }).collect()
}

fn settings(config: &Config) -> Vec<SettingView> {
    let option = |option: crate::config::OptionInForce| SettingView {
        section: option.section.into(),
        name: option.name.into(),
        origin: if option.value == option.default { "default".into() } else { "file".into() },
        value: option.value,
        default: option.default,
        meaning: option.doc.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    config.file.options_in_force().into_iter().map(option).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_say_where_they_come_from_and_show_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("waypost.toml");
        let secret = dir.path().join("smarthost");
        fs::write(&secret, "tanstaafl\n").unwrap();
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let text = "hostname = \"mx.example.test\"\ndata_dir = \"data\"\n[limits]\nrecipients = 200\n\
                    [[route]]\nhost = \"smtp.example.net\"\nuser = \"me\"\npassword_file = \"smarthost\"\n\
                    [store]\nurl = \"postgres://me:geheim@db.example.net/waypost?password=geheim&sslmode=require\"\n";
        let config = crate::config::parse(&path, text).unwrap();
        let view = server(&config);
        let of = |section: &str, name: &str| view.settings.iter().find(|s| s.section == section && s.name == name).unwrap();
        assert_eq!((of("[limits]", "recipients").value.as_deref(), of("[limits]", "recipients").origin.as_str()), (Some("200"), "file"));
        assert_eq!(of("[limits]", "sessions").origin, "default");
        assert_eq!(of("[[route]]", "host").value.as_deref(), Some("\"smtp.example.net\""));
        assert!(of("[[route]]", "password_file").value.as_ref().unwrap().contains("smarthost"));
        assert!(!format!("{view:?}").contains("tanstaafl"));
        let shown = Some("\"postgres://me:***@db.example.net/waypost?password=***&sslmode=require\"");
        assert_eq!(of("[store]", "url").value.as_deref(), shown);
        assert!(!format!("{view:?} {:?}", config.file).contains("geheim"));
        assert!(view.listeners.iter().any(|listener| listener.kind == "mx" && listener.address == "0.0.0.0:25"));
        assert_eq!(submission(&config), SubmissionFacts { host: "mx.example.test".into(), starttls_port: Some(587), tls_port: Some(465) });
    }
}

//! `waypost config`: checks the configuration file, or prints the reference of all options.

mod virtual_check;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::cli::ConfigCommand;
use crate::config;
use crate::output::{GOOD, Output, WARN, print, styled};
use crate::serve::startup_check;

/// `config check` and `config reference`.
pub fn config(path: &Path, command: ConfigCommand, out: Output) -> Result<ExitCode> {
    match command {
        ConfigCommand::Reference => print(&config::reference())?,
        ConfigCommand::Check => {
            match config::load(path).and_then(virtual_check::checked).and_then(|config| startup_check::run(&config).map(|()| config)) {
                Ok(config) => {
                    let summary = summary(&config);
                    let notices: Vec<_> = config.notices.iter().map(error_as_json).collect();
                    out.show(&serde_json::json!({ "ok": true, "path": path, "summary": summary, "notices": notices }), |_| {
                        let mut lines: Vec<String> = summary.iter().map(|(name, value)| format!("  {name:<10} {value}")).collect();
                        lines.extend(config.notices.iter().map(|notice| styled(WARN, notice)));
                        format!("{} {}\n{}", styled(GOOD, "OK"), path.display(), lines.join("\n"))
                    })?;
                }
                Err(errors) => {
                    let list: Vec<_> = errors.0.iter().map(error_as_json).collect();
                    out.show(&serde_json::json!({ "ok": false, "path": path, "errors": list }), |_| errors.to_string())?;
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn error_as_json(error: &config::ConfigError) -> serde_json::Value {
    let (line, column) = error.at.unzip();
    serde_json::json!({ "path": error.path, "line": line, "column": column, "error": error.what, "hint": error.hint })
}

fn summary(config: &config::Config) -> std::collections::BTreeMap<&'static str, String> {
    let listeners: Vec<String> = config.listeners().iter().map(|l| format!("{} {}", l.kind.as_str(), l.address)).collect();
    let routes: Vec<String> = config.settings.delivery.routes.iter().map(|r| format!("{}:{}", r.host, r.port)).collect();
    let or_none = |list: Vec<String>, none: &str| if list.is_empty() { none.to_owned() } else { list.join(", ") };
    [
        ("hostname", config.settings.hostname.to_string()),
        ("store", config.store_place()),
        ("data", config.file.data_dir.display().to_string()),
        ("listens", or_none(listeners, "on no port")),
        ("next hops", or_none(routes, "by MX records")),
        ("socket", config.admin_socket().display().to_string()),
    ]
    .into()
}

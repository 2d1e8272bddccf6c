//! The systemd unit of the server.
//!
//! Invariant: the unit of examples/ with this machine's paths; an existing one is kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{SetupReport, write_new};
use crate::cli::SetupArgs;
use crate::config::{Config, DEFAULT_PATH};

/// The unit for the default paths.
const UNIT: &str = include_str!("../../../../../examples/waypost.service");

/// Where systemd checks for local units.
const PLACE: &str = "/etc/systemd/system/waypost.service";

/// The user that the server runs as.
const USER: &str = "waypost";

/// Writes the unit if one is wanted. Returns the command that starts the server.
pub fn write_unit(args: &SetupArgs, config: &Config, report: &mut SetupReport) -> Result<String> {
    let by_hand = match config.path == Path::new(DEFAULT_PATH) {
        true => "waypost serve".to_owned(),
        false => format!("waypost serve --config {}", config.path.display()),
    };
    let is_usual = config.path == Path::new(DEFAULT_PATH) && config.file.data_dir == Path::new("/var/lib/waypost");
    let has_systemd = nix::unistd::geteuid().is_root() && Path::new("/run/systemd/system").is_dir();
    let place = match &args.service {
        Some(place) => place.clone(),
        None if !args.no_service && is_usual && has_systemd => PathBuf::from(PLACE),
        None => return Ok(by_hand),
    };
    let place = std::path::absolute(place)?;
    if place.exists() {
        report.kept.push(format!("unit {}", place.display()));
    } else {
        let program = std::env::current_exe().context("the path of this program is unknown")?;
        write_new(&place, &unit(&program, config)?, 0o644)?;
        report.done.push(format!("unit {}", place.display()));
        if place == Path::new(PLACE) {
            create_user(report);
            run(Command::new("systemctl").arg("daemon-reload"), report);
        } else {
            report.warnings.push(format!(
                "the unit needs the user {USER}: useradd --system --home-dir {} --shell /usr/sbin/nologin {USER}",
                config.file.data_dir.display()
            ));
        }
    }
    Ok(match place == Path::new(PLACE) {
        true => "systemctl enable --now waypost".into(),
        // systemctl enable links a unit from any path.
        false => format!("systemctl enable --now {}", place.display()),
    })
}

fn unit(program: &Path, config: &Config) -> Result<String> {
    let serve = match config.path == Path::new(DEFAULT_PATH) {
        true => format!("ExecStart={} serve", program.display()),
        false => format!("ExecStart={} --config {} serve", program.display(), std::path::absolute(&config.path)?.display()),
    };
    let text = UNIT.replace("ExecStart=/usr/local/bin/waypost serve", &serve);
    if config.file.data_dir == Path::new("/var/lib/waypost") {
        return Ok(text);
    }
    // systemd creates state directories only below /var/lib.
    Ok(text.replace("StateDirectory=waypost\nStateDirectoryMode=0700", &format!("ReadWritePaths={}", config.file.data_dir.display())))
}

fn create_user(report: &mut SetupReport) {
    if matches!(nix::unistd::User::from_name(USER), Ok(Some(_))) {
        report.kept.push(format!("user {USER}"));
        return;
    }
    if run(Command::new("useradd").args(["--system", "--home-dir", "/var/lib/waypost", "--shell", "/usr/sbin/nologin", USER]), report) {
        report.done.push(format!("user {USER}"));
    }
}

/// Runs a command; if it fails, the operator is asked to run it.
fn run(command: &mut Command, report: &mut SetupReport) -> bool {
    let shown = format!("{command:?}").replace('"', "");
    match command.output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            report
                .warnings
                .push(format!("this command failed, run it by hand: {shown}: {}", String::from_utf8_lossy(&output.stderr).trim()));
            false
        }
        Err(error) => {
            report.warnings.push(format!("this command failed, run it by hand: {shown}: {error}"));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_has_this_machines_paths() {
        let config =
            crate::config::parse(Path::new("/opt/mail/waypost.toml"), "hostname = \"mx.example.test\"\ndata_dir = \"data\"\n").unwrap();
        let text = unit(Path::new("/opt/bin/waypost"), &config).unwrap();
        assert!(text.contains("\nExecStart=/opt/bin/waypost --config /opt/mail/waypost.toml serve\n"), "{text}");
        assert!(text.contains("\nReadWritePaths=/opt/mail/data\n") && !text.contains("StateDirectory="), "{text}");
        let config = crate::config::parse(Path::new(DEFAULT_PATH), "hostname = \"mx.example.test\"\n").unwrap();
        let text = unit(Path::new("/usr/bin/waypost"), &config).unwrap();
        assert!(text.contains("\nExecStart=/usr/bin/waypost serve\n") && text.contains("\nStateDirectory=waypost\n"), "{text}");
    }
}

//! The other software that tests talk to: Postfix, mail clients, a DNS server, spam filters.
//!
//! Invariant: no installed package starts a daemon, and each missing program is named with its package.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::checkout::{is_installed, must, output_of, program, root, succeeds};
use crate::suites;

/// A program that tests run, and its Debian packages.
struct Need {
    program: &'static str,
    packages: &'static [&'static str],
}

const fn need(program: &'static str, packages: &'static [&'static str]) -> Need {
    Need { program, packages }
}

const NEEDS: &[Need] = &[
    need("cc", &["gcc", "libc6-dev"]),
    need("postfix", &["postfix", "libsasl2-modules"]),
    need("postmap", &["postfix"]),
    need("dovecot", &["dovecot-imapd", "dovecot-pop3d", "dovecot-lmtpd"]),
    need("haproxy", &["haproxy"]),
    need("smtp-sink", &["postfix"]),
    need("smtp-source", &["postfix"]),
    need("swaks", &["swaks"]),
    need("gsasl", &["gsasl"]),
    need("saslpasswd2", &["sasl2-bin"]),
    need("mkpasswd", &["whois"]),
    need("curl", &["curl", "ca-certificates"]),
    need("msmtp", &["msmtp"]),
    need("python3", &["python3"]),
    need("pip3", &["python3-pip"]),
    need("opendkim", &["opendkim"]),
    need("rspamd", &["rspamd"]),
    need("postsrsd", &["postsrsd"]),
    need("node", &["nodejs"]),
    need("npm", &["npm"]),
    need("systemd-analyze", &["systemd"]),
    need("knotd", &["knot"]),
    need("kdig", &["knot-dnsutils"]),
    need("knsupdate", &["knot-dnsutils"]),
    need("unbound", &["unbound"]),
    need("posttls-finger", &["postfix"]),
    need("unshare", &["util-linux"]),
    need("strace", &["strace"]),
    need("faketime", &["faketime"]),
    need("ip", &["iproute2"]),
    need("sqlite3", &["sqlite3"]),
    need("psql", &["postgresql"]),
    need("setpriv", &["util-linux"]),
    need("openssl", &["openssl"]),
    need("pebble", &["pebble"]),
    need("pebble-challtestsrv", &["pebble"]),
    need("testssl", &["testssl.sh"]),
    need("mutt", &["mutt"]),
    need("php", &["php-cli"]),
    need("/usr/lib/git-core/git-send-email", &["git-email"]),
    need("setpriv", &["util-linux"]),
    need("xmllint", &["libxml2-utils"]),
    need("mta-sts-query", &["postfix-mta-sts-resolver"]),
    need("prometheus", &["prometheus"]),
    need("promtool", &["prometheus"]),
    need("chromium", &["chromium", "fonts-dejavu-core", "fonts-noto-cjk"]),
    need("firefox-esr", &["firefox-esr"]),
    need("tmux", &["tmux"]),
    need("mkfs.ext4", &["e2fsprogs"]),
    need("mkfs.xfs", &["xfsprogs"]),
    need("xfs_io", &["xfsprogs"]),
    need("losetup", &["mount"]),
    need("eatmydata", &["eatmydata"]),
    need("gnuplot", &["gnuplot-nox"]),
];

/// swaks speaks TLS only with the first two; the third makes return addresses, the fourth reads and writes aggregate reports; git send-email reads addresses by the last.
const PERL_MODULES: &[(&str, &str)] = &[
    ("Net::SSLeay", "libnet-ssleay-perl"),
    ("IO::Socket::SSL", "libio-socket-ssl-perl"),
    ("Mail::SRS", "libmail-srs-perl"),
    ("Mail::DMARC", "libmail-dmarc-perl"),
    ("Mail::Address", "libmailtools-perl"),
];

/// Python's packages, and the modules that they bring.
const PYTHON_PACKAGES: &[&str] = &[
    "dkimpy==1.1.8",
    "authres==1.2.0",
    "pysrs==1.0.3",
    "dnspython==2.9.2",
    "PyNaCl==1.6.2",
    "prometheus_client==0.26.0",
    "standardwebhooks==1.1.0",
    "schemathesis==4.32.5",
];
const PYTHON_MODULES: &str = "import dkim, authres, SRS, dns.resolver, nacl, prometheus_client, standardwebhooks, schemathesis";

/// Maximum wait for the locks of another package manager.
const LOCK_WAIT: Duration = Duration::from_secs(600);

/// Polling interval while a lock is held.
const LOCK_POLL: Duration = Duration::from_secs(3);

/// Installs what is missing, by apt-get if possible.
pub fn prepare() -> Result<()> {
    let packages = missing_packages();
    if !packages.is_empty() {
        install(&packages)?;
        let left = missing_packages();
        if !left.is_empty() {
            bail!("still missing after the installation: {}", left.join(" "));
        }
    }
    let programs: Vec<&str> = NEEDS.iter().map(|n| n.program).collect();
    println!("    found {}", programs.join(" "));
    node_packages()?;
    suites::fetch()?;
    python_packages()
}

fn missing_packages() -> Vec<&'static str> {
    let mut packages: Vec<&str> = NEEDS.iter().filter(|n| !is_installed(n.program)).flat_map(|n| n.packages).copied().collect();
    let lacks = |module: &str| !succeeds(program("perl").arg(format!("-M{module}")).args(["-e", "1"]));
    packages.extend(PERL_MODULES.iter().filter(|(module, _)| lacks(module)).map(|(_, package)| package));
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn install(packages: &[&str]) -> Result<()> {
    let by_hand = format!("install these: apt-get install --no-install-recommends {}", packages.join(" "));
    if !is_installed("apt-get") {
        bail!("{by_hand} (or their equivalents on this system)");
    }
    if output_of(program("id").arg("-u"))?.trim() != "0" {
        bail!("{by_hand}");
    }
    let _no_daemons = NoDaemons::new()?;
    apt_get(&["update", "-qq"])?;
    apt_get(&[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat()).context(by_hand)
}

/// Runs apt-get. While another package manager holds a lock, waits for it, at most [`LOCK_WAIT`].
///
/// apt-get's own `DPkg::Lock::Timeout` covers the locks of dpkg, but not those of the package lists and the download cache.
#[allow(clippy::disallowed_methods)] // this wait is not part of the mail flow
fn apt_get(arguments: &[&str]) -> Result<()> {
    let end = Instant::now() + LOCK_WAIT;
    let shown = format!("apt-get {}", arguments.join(" "));
    println!("    $ {shown}");
    loop {
        let mut command = program("apt-get");
        command.args(["-o", &format!("DPkg::Lock::Timeout={}", LOCK_WAIT.as_secs())]).args(arguments);
        let output = command
            .envs([("DEBIAN_FRONTEND", "noninteractive"), ("LC_ALL", "C")])
            .stdout(Stdio::null())
            .output()
            .with_context(|| format!("`{shown}` cannot be run"))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return Ok(());
        }
        if !names_a_held_lock(&errors) || Instant::now() >= end {
            bail!("`{shown}` ended with {}:\n{}", output.status, errors.trim_end());
        }
        println!("    another package manager is running; waiting for its lock: {}", errors.lines().next().unwrap_or_default());
        thread::sleep(LOCK_POLL);
    }
}

/// Whether apt-get failed only because another process holds one of its locks.
fn names_a_held_lock(errors: &str) -> bool {
    errors.lines().any(|line| line.starts_with("E: Could not get lock ") && line.contains("It is held by process"))
}

/// While it exists, package scripts start no daemon: a policy-rc.d that refuses, unless there is one already.
struct NoDaemons(Option<PathBuf>);

impl NoDaemons {
    fn new() -> Result<Self> {
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self(None));
        }
        fs::write(&path, "#!/bin/sh\nexit 101\n").with_context(|| path.display().to_string())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(Some(path)))
    }
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_file(path)
        {
            eprintln!("{} could not be removed: {error}; remove it", path.display());
        }
    }
}

/// Node's packages in tests/node: a client that submits mail, the driver of the browser, and its judge of accessibility.
const NODE_PACKAGES: &[&str] = &["nodemailer", "playwright-core", "axe-core"];

fn node_packages() -> Result<()> {
    let dir = root().join("tests/node");
    let script: String = NODE_PACKAGES.iter().map(|name| format!("require('{name}');")).collect();
    let loads = || succeeds(program("node").current_dir(&dir).args(["-e", &script]));
    if !loads() {
        must(program("npm").current_dir(&dir).args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]))?;
    }
    if !loads() {
        bail!("{} cannot be loaded in {}", NODE_PACKAGES.join(" "), dir.display());
    }
    println!("    found {}", NODE_PACKAGES.join(" "));
    Ok(())
}

/// Other implementations of DKIM and SRS, in Python, in their own directory.
fn python_packages() -> Result<()> {
    let dir = root().join("target/python");
    let loads = || succeeds(program("python3").env("PYTHONPATH", &dir).args(["-c", PYTHON_MODULES]));
    if !loads() {
        must(program("python3").args(["-m", "pip", "install", "--quiet", "--target"]).arg(&dir).args(PYTHON_PACKAGES))?;
    }
    if !loads() {
        bail!("{} cannot be loaded from {}", PYTHON_PACKAGES.join(" "), dir.display());
    }
    println!("    found {}", PYTHON_PACKAGES.join(" "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lock_that_another_process_holds_is_waited_for() {
        let lists = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 27925 (python3)\nE: Unable to lock directory /var/lib/apt/lists/";
        let cache = "E: Could not get lock /var/cache/apt/archives/lock. It is held by process 7 (apt-get)";
        let forbidden = "E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)";
        let missing = "E: Unable to locate package pebbles";
        assert_eq!([lists, cache, forbidden, missing].map(names_a_held_lock), [true, true, false, false]);
    }
}

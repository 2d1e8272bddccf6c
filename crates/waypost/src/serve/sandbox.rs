//! What the server needs of the machine, derived from its configuration, and the restriction to it.
//!
//! Invariant: the restriction is complete before the process has a second thread and before it reads an octet from the network.

use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sandbox::{Confinement, Needs, SandboxUser};

use super::sandbox_paths::{BROAD, SYSTEM, SYSTEM_PROGRAMS};
use crate::config::{Config, FileOptions};
use crate::owner;

/// Ports below this one need a capability.
const FREE_PORTS_FROM: u16 = 1024;

/// Mode of a directory for sockets that the server creates: every user reaches the socket for local mail.
const SOCKETS_MODE: u32 = 0o755;

/// Changes from root to the owner of the data directory. Returns whether it did: then the configuration must be read again, as that user.
pub fn leave_root(config: &Config) -> Result<bool> {
    let Some((uid, gid)) = owner::other_than_root(&config.file.data_dir) else { return Ok(false) };
    make_socket_directories(config, Some((uid, gid)));
    let keeps_ports = ports(config).iter().any(|port| (1..FREE_PORTS_FROM).contains(port));
    sandbox::become_user(SandboxUser { uid, gid, keeps_ports }).with_context(|| {
        format!("the data directory {} belongs to {}, which the server runs as", config.file.data_dir.display(), owner::name(uid))
    })?;
    Ok(true)
}

/// Creates the directories of the sockets that are missing, as systemd's RuntimeDirectory does, for this user. A failure shows when the socket is bound.
fn make_socket_directories(config: &Config, user: Option<(nix::unistd::Uid, nix::unistd::Gid)>) {
    for socket in [config.admin_socket(), config.submit_socket()] {
        let Some(directory) = socket.parent().filter(|directory| !directory.exists()) else { continue };
        // Independent of the umask.
        let made = fs::create_dir(directory).and_then(|()| fs::set_permissions(directory, Permissions::from_mode(SOCKETS_MODE)));
        let given = made.and_then(|()| match user {
            Some((uid, gid)) => std::os::unix::fs::lchown(directory, Some(uid.as_raw()), Some(gid.as_raw())),
            None => Ok(()),
        });
        if let Err(error) = given {
            tracing::info!(%error, directory = %directory.display(), "cannot create the directory of a socket");
        }
    }
}

/// Restricts the process to what this configuration needs.
///
/// # Errors
/// `sandbox.required` is set and the kernel cannot do it.
pub(super) fn enter(config: &Config) -> Result<Option<Needs>> {
    let options = &config.file.sandbox;
    if !options.enabled {
        tracing::info!("the process is not restricted: sandbox.enabled is false");
        return Ok(None);
    }
    // It must exist to be allowed.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.file.data_dir).context("cannot create the data directory")?;
    // Nor could a directory be made for a socket later.
    make_socket_directories(config, None);
    let needs = needs(config);
    let confinement = sandbox::confine(&needs);
    report(&confinement);
    if options.required && !confinement.is_in_force() {
        bail!(
            "the process cannot be restricted, and sandbox.required is set: {}\n  hint: use a kernel with Landlock (5.13) and seccomp, or remove the option",
            confinement.faults.join("; ")
        );
    }
    Ok(Some(needs))
}

fn report(confinement: &Confinement) {
    let Confinement { files, landlock, calls, faults } = confinement;
    match faults.as_slice() {
        [] => tracing::info!(?files, landlock, ?calls, "the process is restricted to what its configuration names"),
        faults => tracing::warn!(
            ?files,
            landlock,
            ?calls,
            "the process is not fully restricted: {}; a newer kernel can do it, and the server works without it",
            faults.join("; ")
        ),
    }
}

/// Returns what a server with this configuration needs.
pub fn needs(config: &Config) -> Needs {
    let mut needs = file_needs(&config.path, &config.file);
    needs.ports = ports(config);
    needs
}

/// The same without ports: for a configuration that may be invalid otherwise.
fn file_needs(path: &Path, file: &FileOptions) -> Needs {
    let mut readable: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    readable.extend(["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().filter_map(std::env::var_os).map(PathBuf::from));
    readable.extend([path.to_owned()].iter().chain(named_files(file)).flat_map(|path| around(path)));
    readable.extend(
        file.store
            .url
            .as_ref()
            .and_then(|url| store::root_certificates(url.get_ref().0.with_password()))
            .iter()
            .flat_map(|path| around(path)),
    );
    readable.extend(file.sandbox.readable.iter().cloned());
    let mut writable = vec![file.data_dir.clone(), PathBuf::from("/dev/null")];
    writable.extend(file.sandbox.writable.iter().cloned());
    writable.extend(sockets(file).iter().filter_map(|socket| socket.parent()).map(Path::to_owned));
    // The server creates them.
    let made = [file.srs_secrets(), file.password_key()];
    writable.extend(made.iter().filter(|path| !path.exists()).filter_map(|path| path.parent()).map(Path::to_owned));
    writable.extend(file.route.iter().filter_map(|route| route.get_ref().maildir.as_ref()).map(|place| existing(&place.0.root())));
    let programs = programs(file);
    if !programs.is_empty() {
        writable.extend(["/tmp", "/var/tmp"].map(PathBuf::from));
    }
    Needs { readable, writable, programs, ports: Vec::new() }
}

/// The directories of programs: none, unless a hook is configured.
fn programs(file: &FileOptions) -> Vec<PathBuf> {
    let Some(hook) = file.acme.dns_hook.as_ref().filter(|_| file.acme.enabled) else { return Vec::new() };
    SYSTEM_PROGRAMS.iter().map(PathBuf::from).chain(around(hook)).collect()
}

fn sockets(file: &FileOptions) -> Vec<PathBuf> {
    [&file.admin_socket, &file.submit_socket]
        .into_iter()
        .flatten()
        .cloned()
        .chain([PathBuf::from(crate::config::DEFAULT_SUBMIT_SOCKET)])
        .collect()
}

/// Returns the keys, certificates and other files that the configuration names.
pub fn named_files(file: &FileOptions) -> Vec<&PathBuf> {
    let tls = &file.tls;
    let optional = [
        &tls.certificate,
        &tls.key,
        &tls.extra_authorities,
        &file.acme.authority_root,
        &file.dns.trust_anchor,
        &file.dns.tsig_secret_file,
        &file.dns.token_file,
        &file.forward.secrets_file,
        &file.submission.password_key_file,
        &file.virtual_file,
        &file.notices.webhook_secret_file,
        &file.notices.ntfy_token_file,
    ];
    let pairs = tls.pair.iter().map(toml::Spanned::get_ref).flat_map(|pair| [&pair.certificate, &pair.key]);
    let passwords = file
        .route
        .iter()
        .filter_map(|route| route.get_ref().password_file.as_ref())
        .chain(&file.oauth.client_secret_file)
        .chain(&file.store.password_file);
    optional.into_iter().chain(pairs).flatten().chain(passwords.map(toml::Spanned::get_ref)).collect()
}

/// The directory of a file, since editors and renewals replace files; of a link, also that of its target. Of a directory that many programs use, only the
/// file.
fn around(path: &Path) -> Vec<PathBuf> {
    let real = fs::canonicalize(path).ok();
    let all = [Some(path.to_owned()), real].into_iter().flatten();
    all.map(|path| match path.parent() {
        Some(parent) if !BROAD.iter().any(|broad| parent == Path::new(broad)) => parent.to_owned(),
        _ => path,
    })
    .collect()
}

/// The deepest directory of a path that exists.
fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.is_dir()).unwrap_or(path).to_owned()
}

/// The ports that the server binds; 0 is for outgoing connections from a configured address.
fn ports(config: &Config) -> Vec<u16> {
    let web = config.web_addresses().into_iter().chain(config.owner_addresses()).flat_map(|addresses| addresses.list);
    let metrics = config.file.listen.metrics.iter().map(|address| address.0);
    let mail = config.listeners().into_iter().map(|listener| listener.address);
    let mut ports: Vec<u16> = mail.chain(web).chain(metrics).map(|address| address.port()).chain([0]).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Returns what a changed configuration needs beyond what the process was restricted to at its start.
pub(super) fn beyond(granted: &Needs, path: &Path, file: &FileOptions) -> Option<String> {
    let new = file_needs(path, file);
    let is_below = |path: &PathBuf, granted: &[PathBuf]| granted.iter().any(|granted| path.starts_with(granted));
    let unreadable = new.readable.iter().filter(|path| !is_below(path, &granted.readable) && !is_below(path, &granted.writable));
    let unwritable = new.writable.iter().filter(|path| !is_below(path, &granted.writable));
    let programs = new.programs.iter().filter(|path| !is_below(path, &granted.programs));
    let mut all: Vec<String> = unreadable.chain(unwritable).chain(programs).map(|path| path.display().to_string()).collect();
    all.dedup();
    (!all.is_empty()).then(|| {
        format!(
            "since its start the server may not use {}\n  hint: restart it, so that it may: systemctl restart waypost; the old configuration stays in effect",
            all.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> FileOptions {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_new_directory_needs_a_restart_and_a_new_file_in_a_known_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("waypost.toml");
        let data = format!("data_dir = \"{}\"\n", dir.path().join("data").display());
        let granted = file_needs(&path, &file(&data));
        let beyond = |more: &str| beyond(&granted, &path, &file(&format!("{data}{more}")));
        assert_eq!(beyond(&format!("virtual_file = \"{}\"\n", dir.path().join("virtual").display())), None);
        let told = beyond("virtual_file = \"/srv/lists/virtual\"\n").unwrap();
        assert!(told.contains("/srv/lists") && told.contains("hint: restart"), "{told}");
        let told = beyond("[acme]\nenabled = true\ndns_hook = \"/srv/hook/run\"\n").unwrap();
        assert!(told.contains("/srv/hook") && told.contains("/usr/bin"), "{told}");
        assert!(beyond("[[route]]\nmaildir = \"/usr/share/{user}\"\n").unwrap().contains("/usr/share"));
    }

    #[test]
    fn a_file_in_a_shared_directory_does_not_open_the_directory() {
        assert!(!around(Path::new("/etc/hosts")).contains(&PathBuf::from("/etc")));
        assert_eq!(around(Path::new("/srv/mail/virtual")), [PathBuf::from("/srv/mail")]);
        let hidden = file_needs(Path::new("/etc/waypost/waypost.toml"), &file(""));
        assert!(!hidden.readable.iter().any(|path| Path::new("/etc/shadow").starts_with(path) || Path::new("/root/x").starts_with(path)));
        assert!(hidden.programs.is_empty());
    }
}

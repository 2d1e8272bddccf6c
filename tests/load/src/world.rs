//! Where measurements happen: namespaces of their own (network with loopback only, mounts, processes), a file system in an image, a certificate, a name
//! server (Knot).
//!
//! Invariant: no packet leaves them, and what was mounted and started goes with them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::wire::SERVER_NAME;

/// Where servers under test listen.
pub const SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Where the sink listens; the zone's MX of sink.test.
pub const SINK: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Where the slow sink listens; the zone's MX of slow.test.
pub const SLOW: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Where the name server answers.
pub const DNS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);

const INSIDE: &str = "WAYPOST_LOAD_INSIDE";

/// A root zone, so that every other name has an answer that can be cached (RFC 2308).
const ZONE: &str = "\
$ORIGIN test.
$TTL 300
. SOA ns.test. hostmaster.test. 1 3600 600 86400 300
. NS ns.test.
ns A 127.0.0.53
example MX 10 mx.example
mx.example A 127.0.0.1
fwd.example MX 10 mx.example
fwd.example TXT \"v=spf1 ip4:127.0.0.0/8 -all\"
sink MX 10 mx.sink
mx.sink A 127.0.0.2
slow MX 10 mx.slow
mx.slow A 127.0.0.3
origin MX 10 mx.origin
origin TXT \"v=spf1 ip4:127.0.0.0/8 -all\"
mx.origin A 127.0.0.9
bench.origin A 127.0.0.9
";

/// Becomes the same command in namespaces of its own; returns once it is inside.
pub fn enter(priority: i32) -> Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    // The shell is the first process of its namespace: when the command ends, however it does, the kernel ends every server that it has started.
    let inside = "ip link set lo up && ulimit -n 1000000 2>/dev/null; nice -n \"$0\" \"$@\"; exit $?";
    let spaces = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--propagation", "private"];
    let error = Command::new("unshare")
        .args(spaces)
        .args(["sh", "-c", inside, &priority.to_string()])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(error).context("`unshare` cannot be run; it needs root and util-linux")
}

/// The folder, the certificate and the name server of a measurement.
pub struct World {
    /// A folder on the file system of [`Disk`], for a server's files.
    pub home: PathBuf,
    /// The certificate of all servers under test.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Trusts that certificate.
    pub tls: Arc<rustls::ClientConfig>,
    knot: Child,
}

impl World {
    /// Prepares a folder.
    pub fn new(home: &Path) -> Result<Self> {
        fs::create_dir_all(home.join("dns"))?;
        let (certificate, key) = (home.join("cert.pem"), home.join("key.pem"));
        if !certificate.is_file() {
            make_certificate(&certificate, &key)?;
        }
        let mut roots = rustls::RootCertStore::empty();
        for der in CertificateDer::pem_file_iter(&certificate)? {
            roots.add(der?)?;
        }
        let tls = Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
        fs::write(home.join("resolv.conf"), format!("nameserver {DNS}\noptions timeout:2\n"))?;
        run(Command::new("mount").arg("--bind").arg(home.join("resolv.conf")).arg("/etc/resolv.conf"))?;
        let knot = name_server(&home.join("dns"))?;
        Ok(Self { home: home.to_owned(), certificate, key, tls, knot })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.knot.kill();
        let _ = self.knot.wait();
    }
}

fn make_certificate(certificate: &Path, key: &Path) -> Result<()> {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650", "-subj"]);
    command.arg(format!("/CN={SERVER_NAME}")).args(["-addext", &format!("subjectAltName=DNS:{SERVER_NAME}")]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"]).arg(key).arg("-out").arg(certificate);
    run(command.stderr(Stdio::null()))
}

fn name_server(dir: &Path) -> Result<Child> {
    let shown = dir.display();
    // An earlier run was killed, and in this namespace another process has its number: knotd would not start.
    let _ = fs::remove_file(dir.join("knot.pid"));
    fs::write(dir.join("root.zone"), ZONE)?;
    let configuration = format!(
        "server:\n  rundir: \"{shown}\"\n  listen: {DNS}@53\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
         database:\n  storage: \"{shown}\"\nzone:\n  - domain: .\n    storage: \"{shown}\"\n    file: root.zone\n    zonefile-load: whole\n    \
         zonefile-sync: -1\n    journal-content: none\n"
    );
    fs::write(dir.join("knot.conf"), configuration)?;
    let log = fs::File::create(dir.join("log"))?;
    // One that was killed leaves its number, and in a new namespace another process may have it.
    let _ = fs::remove_file(dir.join("knot.pid"));
    let mut command = Command::new("knotd");
    command.arg("-c").arg(dir.join("knot.conf")).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let knot = command.spawn().context("knotd (Debian's package knot) cannot be run")?;
    let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04test\x00\x00\x06\x00\x01";
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    wait("the name server", Duration::from_secs(10), || {
        let mut answer = [0; 512];
        socket.send_to(question, (DNS, 53)).is_ok() && socket.recv(&mut answer).is_ok()
    })?;
    Ok(knot)
}

/// A file system in an image, mounted from a loop device.
pub struct Disk {
    kind: String,
    image: PathBuf,
    /// Where it is mounted.
    pub at: PathBuf,
}

impl Disk {
    /// Makes and mounts a file system (ext4, xfs) of this size.
    pub fn new(kind: &str, dir: &Path, mib: u64) -> Result<Self> {
        let disk = Self { kind: kind.to_owned(), image: dir.join(format!("{kind}.img")), at: dir.join(kind) };
        fs::create_dir_all(&disk.at)?;
        let _ = fs::remove_file(&disk.image);
        fs::File::create(&disk.image)?.set_len(mib << 20)?;
        let force = if kind == "ext4" { "-F" } else { "-f" };
        run(Command::new(format!("mkfs.{kind}")).args(["-q", force]).arg(&disk.image))?;
        disk.mount()?;
        Ok(disk)
    }

    /// Mounts it.
    pub fn mount(&self) -> Result<()> {
        run(Command::new("mount").args(["-t", &self.kind, "-o", "loop,noatime"]).arg(&self.image).arg(&self.at))
    }

    /// Unmounts it, and waits until its device is free: else the next mount would be of the file system in memory.
    pub fn unmount(&self) -> Result<()> {
        let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
        wait("the file system to be unmounted", Duration::from_secs(10), || quiet(Command::new("umount").arg(&self.at)))?;
        wait("the loop device to be free", Duration::from_secs(30), || {
            let list = Command::new("losetup").arg("-j").arg(&self.image).output();
            list.is_ok_and(|list| list.stdout.is_empty())
        })
    }

    /// Shuts the file system down without writing its log: what was not synced is gone (FS_IOC_SHUTDOWN).
    pub fn cut(&self) -> Result<()> {
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.at))
    }

    /// The name of its device, such as `loop0`.
    pub fn device(&self) -> Result<String> {
        let output = Command::new("findmnt").args(["-n", "-o", "SOURCE", "--target"]).arg(&self.at).output()?;
        let name = String::from_utf8(output.stdout)?;
        name.trim().rsplit('/').next().filter(|name| !name.is_empty()).map(ToOwned::to_owned).context("the file system has no device")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).stderr(Stdio::null()).status();
        let _ = fs::remove_file(&self.image);
    }
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{shown} cannot be run"))?;
    if !output.status.success() {
        bail!("{shown} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Waits until something holds.
pub fn wait(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + limit;
    while !holds() {
        if Instant::now() > end {
            bail!("waited {} s for {what}", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Whether a server greets at this address.
pub fn greets(address: SocketAddr) -> bool {
    use std::io::Read;
    let Ok(mut stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(2)) else { return false };
    let mut greeting = [0; 3];
    stream.set_read_timeout(Some(Duration::from_secs(10))).is_ok() && stream.read_exact(&mut greeting).is_ok() && &greeting == b"220"
}

//! `waypost doctor` with complete DNS records, and with each of them damaged.

use it::{Dns, Golden, Lab, MX_PORT, Process, Sink, Unbound, Waypost, wait_for};
use serde_json::Value;

/// The lab's server with all its DNS records, and a distant host that accepts mail.
struct Ward {
    lab: Lab,
    waypost: Waypost,
    _afar: Sink,
    /// The lab's address of the distant host in DNS.
    afar_at: u8,
}

impl Ward {
    fn open() -> Self {
        Self::in_lab(Lab::new())
    }

    fn in_lab(lab: Lab) -> Self {
        let afar = Sink::start(lab.address(2), MX_PORT);
        let mut waypost = Waypost::configured(
            &lab,
            "postmaster = \"me@example.test\"\n[forward]\ndomain = \"fwd.example.test\"\n[tls]\nextra_authorities = \"cert.pem\"\n[mta_sts]\nmode = \"none\"\n",
        );
        waypost.start_hosting("foo@inbox.test");
        Self { lab, waypost, _afar: afar, afar_at: 2 }
    }

    /// The records of a complete installation, without lines that begin with one of `without`, then `more`.
    fn dns(&self, keys: &str, without: &[&str], more: &str) -> Dns {
        let us = self.lab.address(1);
        let all = format!(
            "example MX 10 mx.example\nmx.example A {us}\nexample TXT \"v=spf1 ip4:{us} -all\"\nmx.example TXT \"v=spf1 a -all\"\n\
             fwd.example MX 10 mx.example\nfwd.example TXT \"v=spf1 ip4:{us} -all\"\ninbox MX 10 mx.inbox\nmx.inbox A {us}\n{keys}"
        );
        let kept: String =
            all.lines().filter(|line| !without.iter().any(|w| line.starts_with(w))).map(|line| format!("{line}\n")).collect();
        Dns::with_zone(
            &self.lab,
            &format!("{kept}{more}"),
            "com",
            &format!("gmail MX 5 mx.gmail\nmx.gmail A {}\n", self.lab.address(self.afar_at)),
        )
    }

    /// The findings, and whether the command succeeded.
    fn doctor(&self, more: &[&str]) -> (Vec<Value>, bool) {
        let output =
            self.waypost.command(&[&["--json", "doctor"][..], if more.is_empty() { &["--time-server", ""][..] } else { more }].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let report: Value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        (report["findings"].as_array().unwrap().clone(), output.status.success())
    }
}

/// Check and subject of errors and warnings, except those that a lab cannot avoid (a public certificate and PTR records) and
/// the records of `dns check`, which have tests of their own.
fn bad(findings: &[Value]) -> Vec<String> {
    let of = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let is_bad = |finding: &&Value| ["error", "warning"].contains(&finding["severity"].as_str().unwrap());
    let is_of_the_lab =
        |finding: &&Value| ["ptr", "dns"].contains(&of(finding, "check").as_str()) || of(finding, "found").contains("self-signed");
    findings.iter().filter(is_bad).filter(|f| !is_of_the_lab(f)).map(|f| format!("{} {}", of(f, "check"), of(f, "about"))).collect()
}

#[test]
fn doctor_reports_each_missing_record() {
    let ward = Ward::open();
    let us = ward.lab.address(1);
    let keys = [ward.waypost.keys("example.test"), ward.waypost.keys("fwd.example.test")].concat();
    {
        let _dns = ward.dns(&keys, &[], "");
        let (findings, _) = ward.doctor(&[]);
        assert_eq!(bad(&findings), Vec::<String>::new(), "{findings:#?}");
        for check in ["configuration", "address", "server", "disk", "queue", "port", "relay", "resolver", "spf", "dkim", "outbound"] {
            assert!(findings.iter().any(|f| f["check"] == check && f["severity"] == "good"), "{check}: {findings:#?}");
        }
    }
    let damages: [(&[&str], String, &str); 5] = [
        (&["example TXT"], String::new(), "spf example.test from"),
        (&["example TXT"], "example TXT \"v=spf1 ip4:192.0.2.1 -all\"\n".into(), "spf example.test from"),
        (&[], "example TXT \"v=spf1 +all\"\n".into(), "spf example.test from"),
        (&["fwd.example TXT"], String::new(), "spf fwd.example.test from"),
        (&["mx.example TXT"], String::new(), "spf mx.example.test from"),
    ];
    for (without, more, expected) in damages {
        let mut waypost_sees_it = Vec::new();
        let _dns = ward.dns(&keys, without, &more);
        // The server has the old answers in its cache; the command does not.
        wait_for(&format!("{expected} to be red"), || {
            waypost_sees_it = bad(&ward.doctor(&[]).0);
            (!waypost_sees_it.is_empty()).then_some(())
        });
        assert_eq!(waypost_sees_it, [format!("{expected} {us}")], "{without:?} {more:?}");
    }
    ward.waypost.assert_no_bugs();
}

#[test]
fn doctor_reports_a_stopped_server_an_unpublished_key_and_a_blocked_port_25() {
    let mut ward = Ward::open();
    let us = ward.lab.address(1).to_string();
    let keys = ward.waypost.keys("example.test");
    ward.afar_at = 3;
    ward.waypost.stop();
    let _dns = ward.dns(&keys.replace("p=MII", "p=NII"), &[], "");
    let (findings, is_well) = ward.doctor(&[]);
    assert!(!is_well);
    let found = bad(&findings);
    let has = |text: &str| found.iter().any(|f| f.starts_with(text));
    assert!(has("server waypost") && has(&format!("port {us}:{MX_PORT}")) && has("outbound"), "{found:?}");
    assert!(has("dkim r1._domainkey.example.test") && !has("dkim e1._domainkey.example.test"), "{found:?}");
    assert!(has("dkim fwd.example.test"), "a domain without a key: {found:?}");
    let outbound = findings.iter().find(|f| f["check"] == "outbound").unwrap();
    assert!(outbound["fix"].as_str().unwrap().contains("[[route]]"), "{outbound}");
    let shown = String::from_utf8(ward.waypost.command(&["doctor", "--quiet", "--time-server", ""]).stdout).unwrap();
    assert!(shown.contains("fix: ") && !shown.contains("\nok "), "{shown}");
}

/// The whole screen of a command: standard output.
fn screen(waypost: &Waypost, arguments: &[&str]) -> String {
    String::from_utf8(waypost.command(arguments).stdout).unwrap()
}

#[test]
fn the_screens_of_doctor_are_the_golden_ones() {
    let mut ward = Ward::in_lab(Lab::numbered(1));
    let keys = [ward.waypost.keys("example.test"), ward.waypost.keys("fwd.example.test")].concat();
    let golden = |name: &str| Golden::new(name).of_lab(&ward.lab).rest("disk          DIR/data: ", "SIZES").keys();
    let (good, damaged) = (golden("doctor-good"), golden("doctor-damaged"));
    {
        let _dns = ward.dns(&keys, &[], "");
        good.check(&screen(&ward.waypost, &["doctor", "--time-server", ""]));
    }
    ward.waypost.stop();
    let _dns = ward.dns(&keys.replace("p=MII", "p=NII"), &["example TXT", "fwd.example MX"], "");
    damaged.check(&screen(&ward.waypost, &["doctor", "--time-server", ""]));
}

#[test]
fn the_screens_of_setup_are_the_golden_ones() {
    let lab = Lab::numbered(2);
    let path = |name: &str| lab.path().join(name).display().to_string();
    let (config, data, unit) = (path("fresh/waypost.toml"), path("fresh/data"), path("fresh/waypost.service"));
    let golden = |name: &str| Golden::new(name).of_lab(&lab).keys().after("Password       ", "PASSWORD");
    let forward = ["setup", "example.test", "--forward", "me=foo@inbox.test", "--address", "192.0.2.10"];
    let more = ["--data", &data, "--service", &unit, "--no-preflight"];
    let mut command = std::process::Command::new(it::binary());
    let output = command.args(["--config", &config]).args(forward).args(more).output().unwrap();
    // The system's resolver may or may not know inbox.test.
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("domain inbox.test")).collect();
    golden("setup-first").check(&(lines.join("\n") + "\n"));
    // On a server that runs, with a configuration of its own and a smarthost.
    let _dns = Dns::with_zone(
        &lab,
        &format!("example MX 10 mx.old\nsmart A {}\n", lab.address(9)),
        "com",
        &format!("gmail MX 5 mx.gmail\nmx.gmail A {}\n", lab.address(2)),
    );
    let _afar = Sink::start(lab.address(2), MX_PORT);
    let mut waypost = Waypost::configured(
        &lab,
        "postmaster = \"me@example.test\"\n[[route]]\ndomains = [\"inbox.test\"]\nhost = \"smart.test\"\nport = 2525\ntls = \"none\"\n",
    );
    waypost.start_hosting("foo@inbox.test");
    let again = [&forward[..], &["--hostname", "mx.new.test", "--postmaster", "boss@inbox.test", "--no-service"]].concat();
    golden("setup-again").check(&screen(&waypost, &again));
    waypost.assert_no_bugs();
}

/// Two time servers: a right one, and one that is an hour behind.
const TIME: &str = "
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 1123))
while True:
    data, peer = s.recvfrom(100)
    s.sendto(b'\\x24\\x01' + bytes(38) + struct.pack('>II', int(time.time()) + 2208988800 - int(sys.argv[2]), 0), peer)
";

#[test]
fn doctor_reports_a_wrong_clock() {
    let ward = Ward::open();
    let _dns = ward.dns("", &[], "");
    for (host, off, severity) in [(8, "0", "good"), (9, "3600", "error")] {
        let address = ward.lab.address(host).to_string();
        let mut command = std::process::Command::new("python3");
        let _server = Process::start(command.args(["-c", TIME, &address, off]));
        // Without a time server the clock cannot be compared.
        let clock = wait_for("the time server", || {
            let findings = ward.doctor(&["--time-server", &format!("{address}:1123")]).0;
            findings.into_iter().find(|f| f["check"] == "clock" && f["severity"] != "notice")
        });
        assert_eq!(clock["severity"], severity, "{clock}");
    }
}

#[test]
fn setup_and_dns_apply_satisfy_doctor() {
    let lab = Lab::new();
    let us = lab.address(1);
    // The zone is signed, and the resolver in use validates it.
    let dns = Dns::start_for_updates(&lab, &format!("inbox A {}\n", lab.address(2)));
    let unbound = Unbound::start(&lab, &dns);
    lab.write("tsig.secret", &format!("{}\n", it::UPDATE_SECRET));
    std::fs::set_permissions(lab.path().join("tsig.secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let _afar = Sink::start(lab.address(2), MX_PORT);
    let mut waypost = Waypost::configured(
        &lab,
        &format!(
            "postmaster = \"me@example.test\"\n[forward]\ndomain = \"fwd.example.test\"\nmode = \"queue\"\n[tls]\nextra_authorities = \"cert.pem\"\n\
             [dns]\nservers = [\"{}:{}\"]\nvalidate = \"upstream\"\ntlsa = true\naddresses = [\"{us}\"]\nprovider = \"rfc2136\"\nupdate_server = \"{}:5353\"\n\
             tsig_name = \"lab\"\ntsig_secret_file = \"tsig.secret\"\n\
             [[route]]\nhost = \"[{}]\"\nport = {MX_PORT}\ntls = \"none\"\nverify = false\n",
            unbound.address,
            it::DNS_PORT,
            dns.address,
            lab.address(2)
        ),
    );
    let said = waypost.ok(&["setup", "example.test", "--forward", "me=foo@inbox.test", "--hostname", "mx.example.test"]);
    assert!(said.contains("account me@example.test"), "{said}");
    waypost.start();
    let doctor = |waypost: &Waypost| {
        let output = waypost.command(&["--json", "doctor", "--time-server", "", "--address", &us.to_string()]);
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
        let errors = |f: &&Value| f["severity"] == "error" && f["check"] != "ptr";
        let found: Vec<String> =
            report["findings"].as_array().unwrap().iter().filter(errors).map(|f| format!("{} {}", f["check"], f["about"])).collect();
        found
    };
    let red = doctor(&waypost);
    assert!(
        red.len() > 4
            && red.iter().filter(|f| f.contains("not published, needed now")).count() == 1
            && red.iter().any(|f| f.starts_with("\"dkim")),
        "{red:#?}"
    );
    waypost.ok(&["dns", "apply", "--yes"]);
    // The server caches old answers for the TTL of the zone.
    waypost.stop();
    waypost.start();
    // The resolver keeps the negative answer for a second or two.
    wait_for("all to be green", || doctor(&waypost).is_empty().then_some(()));
    dns.update("test.", "del fwd.example.test. MX 10 mx.example.test.");
    wait_for("the resolver to forget it", || (!doctor(&waypost).is_empty()).then_some(()));
    assert_eq!(doctor(&waypost), ["\"dns\" \"not published, needed now\""]);
    assert!(waypost.ok(&["dns", "show"]).contains("TLSA"));
    waypost.assert_no_bugs();
}

#[test]
fn setup_waits_for_the_dns_records() {
    let lab = Lab::new();
    let us = lab.address(1);
    let _dns = Dns::start_for_updates(&lab, "");
    lab.write("tsig.secret", &format!("{}\n", it::UPDATE_SECRET));
    std::fs::set_permissions(lab.path().join("tsig.secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut waypost = Waypost::configured(
        &lab,
        &format!(
            "[forward]\ndomain = \"fwd.example.test\"\n[dns]\naddresses = [\"{us}\"]\nprovider = \"rfc2136\"\nupdate_server = \"{}:5353\"\n\
             tsig_name = \"lab\"\ntsig_secret_file = \"tsig.secret\"\n",
            lab.address(53)
        ),
    );
    waypost.start();
    let setup = |wait: &str| {
        let arguments = ["setup", "example.test", "--forward", "me=foo@inbox.test", "--wait", wait];
        let output = waypost.command(&arguments);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (is_there, said) = setup("0");
    assert!(!is_there && said.contains("still missing or wrong: example.test. MX") && said.contains("more"), "{said}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| setup("60"));
        waypost.ok(&["dns", "apply", "--yes"]);
        let (is_there, said) = waiting.join().unwrap();
        assert!(is_there && said.contains("all required records are published"), "{said}");
    });
}

//! `waypost doctor`: the checks of names, blocklists, certificates, policies, ports and the machine.

use it::{
    Dns, Lab, LabAuthority, MX_PORT, Mount, PolicyAnswer, PolicyHost, Process, Script, Sink, Waypost, obedient, run_ok, tlsa_digest,
    wait_for, zone,
};
use serde_json::Value;

/// All findings.
fn doctor(waypost: &Waypost, more: &[&str]) -> Vec<Value> {
    let output = waypost.command(&[&["--json", "doctor", "--time-server", ""][..], more].concat());
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    report["findings"].as_array().unwrap().clone()
}

/// Severity and text of the findings of a check about a subject.
fn found(findings: &[Value], check: &str, about: &str) -> Vec<String> {
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let is_it = |finding: &&Value| finding["check"] == check && text(finding, "about").contains(about);
    let found = findings.iter().filter(is_it).map(|f| format!("{}: {} | {}", text(f, "severity"), text(f, "found"), text(f, "fix")));
    found.collect()
}

fn one(findings: &[Value], check: &str, about: &str) -> String {
    let all = found(findings, check, about);
    assert_eq!(all.len(), 1, "{check} {about}: {findings:#?}");
    all.into_iter().next().unwrap()
}

/// A documentation address, assigned to this machine for the duration of the test.
struct Ours(&'static str);

impl Ours {
    fn new(address: &'static str) -> Self {
        run_ok("ip", &["addr", "replace", address, "dev", "lo"]);
        Self(address)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        it::run("ip", &["addr", "del", self.0, "dev", "lo"]);
    }
}

#[test]
fn doctor_checks_reverse_dns_and_blocklists() {
    let _ours = Ours::new("192.0.2.77/32");
    let lab = Lab::new();
    let waypost = Waypost::configured(&lab, "[mta_sts]\nmode = \"none\"\n");
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let world = |ptr: &str, zen: &str, cop: &str| {
        let records = "example MX 10 mx.example\nmx.example A 192.0.2.77\nother.example A 192.0.2.77\nback.example A 192.0.2.1\n\
             static.77.2.0.192.clients.example A 192.0.2.77\n";
        let zones = [
            ("2.0.192.in-addr.arpa", ptr),
            ("spamhaus.org", zen),
            ("spamcop.net", cop),
            ("barracudacentral.org", "2.0.0.127.b A 127.0.0.2\n"),
        ];
        let _dns = Dns::with_zones(&lab, records, &zones);
        doctor(&waypost, &["--address", "192.0.2.77"])
    };
    for (ptr, expected, words) in [
        ("77 PTR mx.example.test.\n", "good", "mx.example.test matches both ways"),
        ("", "error", "has no PTR record"),
        ("77 PTR back.example.test.\n", "error", "back.example.test does not lead back to it"),
        ("77 PTR other.example.test.\n", "warning", "but the server's host name is mx.example.test"),
        ("77 PTR static.77.2.0.192.clients.example.test.\n", "warning", "the hoster's default name"),
    ] {
        let findings = world(ptr, "2.0.0.127.zen A 127.0.0.2\n", "2.0.0.127.bl A 127.0.0.2\n");
        let said = one(&findings, "ptr", "192.0.2.77");
        assert!(said.starts_with(expected) && said.contains(words), "{ptr}: {said}");
        assert!(found(&findings, "blocklist", "").iter().all(|said| said.starts_with("good: not listed")), "{findings:#?}");
    }
    let findings = world("", "77.2.0.192.zen A 127.0.0.2\n", "77.2.0.192.bl A 127.255.255.254\n");
    assert!(one(&findings, "blocklist", "zen.spamhaus.org").starts_with("error: listed (127.0.0.2)"));
    assert!(one(&findings, "blocklist", "bl.spamcop.net").starts_with("notice: the list refuses queries from this resolver"));
    assert!(one(&findings, "blocklist", "barracudacentral").starts_with("good"));
    // A resolver that a blocklist does not answer.
    let findings = world("", "", "");
    let said = one(&findings, "blocklist", "zen.spamhaus.org, bl.spamcop.net");
    assert!(said.starts_with("notice: the lists refuse queries from this resolver"), "{said}");
    let findings = world("", "77.2.0.192.zen A 127.0.0.11\n", "77.2.0.192.bl A 203.0.113.9\n");
    assert!(one(&findings, "blocklist", "zen.spamhaus.org").contains("its hoster declares that this range sends no mail"));
    assert!(one(&findings, "blocklist", "bl.spamcop.net").starts_with("notice"), "a forged answer is not a listing");
}

#[test]
fn doctor_checks_the_certificate_from_outside() {
    let lab = Lab::new();
    let authority = LabAuthority::new(&lab);
    let now_s = net::Clock::system().now_s();
    let right = authority.issue(&["mx.example.test"]);
    let worlds = [
        (authority.issue(&["mx.example.test"]), "good", "the certificate for mx.example.test is trusted", "good"),
        (authority.issue(&["elsewhere.test"]), "warning", "the certificate is not for this name", "error"),
        (authority.issue_at(&["mx.example.test"], 30, now_s - 40 * 86_400), "warning", "the certificate has expired", "error"),
        (LabAuthority::new(&Lab::new()).issue(&["mx.example.test"]), "warning", "issuer is not trusted", "good"),
    ];
    for (issued, severity, words, by_itself) in worlds {
        let record = format!("_{MX_PORT}._tcp.mx.example TLSA 3 1 1 {}\n", tlsa_digest(&right, 0, 1));
        let _dns = Dns::start(&lab, &(zone(&lab) + &record));
        let mut waypost = Waypost::configured(&lab, "[tls]\nextra_authorities = \"authority.pem\"\n[mta_sts]\nmode = \"none\"\n");
        lab.write("cert.pem", &issued.chain);
        lab.write("key.pem", &issued.key);
        waypost.ok(&["domain", "add", "--bare", "example.test"]);
        waypost.start();
        let findings = doctor(&waypost, &[]);
        let said = one(&findings, "tls", "STARTTLS");
        assert!(said.starts_with(severity) && said.contains(words), "{said}");
        let own = found(&findings, "certificate", "");
        assert!(own.iter().any(|said| said.starts_with(by_itself)), "{words}: {own:#?}");
        // None of them is the record's key.
        let said = one(&findings, "tlsa", "");
        assert!(said.starts_with("error") && said.contains("does not match its TLSA record"), "{said}");
        waypost.stop();
        std::fs::remove_dir_all(&waypost.data).unwrap();
        std::fs::create_dir(&waypost.data).unwrap();
    }
    let record = format!("_{MX_PORT}._tcp.mx.example TLSA 3 1 1 {}\n", tlsa_digest(&right, 0, 1));
    let _dns = Dns::start(&lab, &(zone(&lab) + &record));
    let mut waypost = Waypost::configured(&lab, "");
    lab.write("cert.pem", &right.chain);
    lab.write("key.pem", &right.key);
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    waypost.start();
    assert!(one(&doctor(&waypost, &[]), "tlsa", "").starts_with("good: the certificate matches one of 1 records"));
}

#[test]
fn doctor_checks_the_mta_sts_policy() {
    let lab = Lab::new();
    let authority = LabAuthority::new(&lab);
    let records = format!("{}mta-sts.example A {}\n", zone(&lab), lab.address(12));
    let _dns = Dns::start(&lab, &records);
    let waypost =
        Waypost::configured(&lab, "[tls]\nextra_authorities = \"authority.pem\"\n[mta_sts]\nmode = \"enforce\"\nmax_age = \"7d\"\n");
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let said = || one(&doctor(&waypost, &[]), "mta-sts", "mta-sts.example.test");
    assert!(said().starts_with("warning: mta-sts.example.test cannot be reached"), "{}", said());
    let host = PolicyHost::start(
        lab.address(12),
        &authority.issue(&["mta-sts.example.test"]),
        PolicyAnswer::policy("enforce", &["mx.example.test"], 604_800),
    );
    assert!(said().starts_with("good: "), "{}", said());
    host.say(Some(PolicyAnswer::policy("enforce", &["mx.elsewhere.test"], 604_800)));
    assert!(said().starts_with("warning: the published policy differs"), "{}", said());
    host.say(Some(PolicyAnswer { head: "404 Not Found".into(), body: String::new() }));
    assert!(said().contains("answers 404"), "{}", said());
}

#[test]
fn doctor_reports_a_port_in_use() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let waypost = Waypost::configured(&lab, "[mta_sts]\nmode = \"none\"\n");
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    // Another server under our name, and under its own.
    let _open = Script::answering(lab.address(1), MX_PORT, |_, command| match command {
        "" => Some("220 mx.example.test ESMTP\r\n".into()),
        _ => obedient(command),
    });
    let _other = Script::answering(lab.address(1), it::SUBMISSION_PORT, |_, command| obedient(command));
    let findings = doctor(&waypost, &[]);
    assert!(
        one(&findings, "relay", "").starts_with("error: open relay: it accepts mail from anywhere to anywhere: 250 ok"),
        "{findings:#?}"
    );
    assert!(one(&findings, "port", "(submission)").starts_with("error: another server answers: 220 host.test"), "{findings:#?}");
    assert!(one(&findings, "port", "(submissions)").starts_with("error: does not answer"), "{findings:#?}");
    assert!(one(&findings, "server", "").starts_with("error: no server runs"), "{findings:#?}");
}

#[test]
fn doctor_checks_machine_queue_and_configuration() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut waypost = Waypost::configured(&lab, "[mta_sts]\nmode = \"none\"\n");
    let mount = Mount::small(&waypost.data);
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.start();
    // Nothing listens at the inbox.
    it::Talk::greeted(waypost.address, MX_PORT).taken("her@foreign.test", "me@example.test", "From: her@foreign.test\r\n\r\nx\r\n");
    waypost.wait_for_reason("cannot connect to");
    let findings = doctor(&waypost, &[]);
    assert!(one(&findings, "queue", "waiting").starts_with("good: 1 recipients waiting"), "{findings:#?}");
    assert!(one(&findings, "disk", "").starts_with("error: "), "{findings:#?}");
    assert!(found(&findings, "configuration", "").iter().any(|said| said.starts_with("warning: no postmaster is set")), "{findings:#?}");
    waypost.stop();
    let database = waypost.data.join("waypost.db").display().to_string();
    assert!(std::path::Path::new(&database).exists(), "{:?}", std::fs::read_dir(&waypost.data).unwrap().collect::<Vec<_>>());
    let later = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('UPDATE message SET arrived_ms = arrived_ms - 18000000'); db.commit()";
    it::python(&["-c", later, &database], "");
    let said = one(&doctor(&waypost, &[]), "queue", "waiting");
    assert!(said.starts_with("warning: 1 recipients waiting") && said.contains("the oldest message has waited for 5h"), "{said}");
    drop(mount);
}

#[test]
fn doctor_checks_configured_next_hops() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &format!("{}smart A {}\n", zone(&lab), lab.address(12)));
    let missing = lab.path().join("nowhere").display().to_string();
    let waypost = Waypost::configured(
        &lab,
        &format!(
            "postmaster = \"me@example.test\"\n[mta_sts]\nmode = \"none\"\n\
             [[route]]\ndomains = [\"a.test\"]\nsocket = \"{missing}/lmtp\"\n[[route]]\ndomains = [\"b.test\"]\nmaildir = \"{missing}/{{user}}\"\n\
             [[route]]\nhost = \"smart.test\"\nport = {MX_PORT}\ntls = \"none\"\n"
        ),
    );
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let findings = doctor(&waypost, &[]);
    assert!(one(&findings, "outbound", "mailboxes at").starts_with("error: does not answer"), "{findings:#?}");
    assert!(one(&findings, "outbound", "mailboxes in").contains("is not writable"), "{findings:#?}");
    assert!(one(&findings, "outbound", "smarthost").starts_with("error: connection"), "{findings:#?}");
    std::fs::create_dir(&missing).unwrap();
    let _smart = Sink::deciding(lab.address(12), MX_PORT, |_| Some(mail::Reply::new(550, (5, 7, 1), "relaying denied")));
    let findings = doctor(&waypost, &[]);
    assert!(one(&findings, "outbound", "mailboxes in").starts_with("good"), "{findings:#?}");
    let said = one(&findings, "outbound", "smarthost");
    assert!(
        said.starts_with("error: own mail: from postmaster@example.test: 550 5.7.1") && said.contains("register example.test"),
        "{said}"
    );
}

#[test]
fn doctor_watch_ends_without_errors() {
    let _ours = Ours::new("192.0.2.78/32");
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, "[mta_sts]\nmode = \"none\"\n[forward]\ndomain = \"mx.example.test\"\n");
    // It also listens at an address that can have a PTR record.
    waypost.configure(|config| {
        for (listener, port) in [("mx", MX_PORT), ("submission", it::SUBMISSION_PORT), ("submissions", it::SUBMISSIONS_PORT)] {
            config.set(&format!("listen.{listener}"), vec![format!("{}:{port}", lab.address(1)), format!("192.0.2.78:{port}")]);
        }
        config
    });
    waypost.ok(&["key", "add", "mx.example.test"]);
    waypost.start();
    let _afar = Sink::start(lab.address(2), MX_PORT);
    let log = lab.path().join("watch.log");
    let start = || {
        let mut command = std::process::Command::new(it::binary());
        let out = std::fs::File::create(&log).unwrap();
        command.arg("--config").arg(&waypost.config).args(["doctor", "--watch", "1", "--time-server", "", "--address", "192.0.2.78"]);
        Process::start(command.stdout(out.try_clone().unwrap()).stderr(out))
    };
    let records = |more: &str| {
        let keys = waypost.keys("mx.example.test");
        let far = format!("gmail MX 5 mx.gmail\nmx.gmail A {}\n", lab.address(2));
        let test = format!("mx.example A 192.0.2.78\n{more}{keys}");
        let lists = [("spamhaus.org", ""), ("spamcop.net", ""), ("barracudacentral.org", "")];
        let zones = [&[("com", far.as_str()), ("2.0.192.in-addr.arpa", "78 PTR mx.example.test.\n")][..], &lists].concat();
        Dns::with_zones(&lab, &test, &zones)
    };
    let dns = records("");
    let mut watching = start();
    let said = || std::fs::read_to_string(&log).unwrap();
    wait_for("two looks", || (said().matches("checking again in 1 s").count() >= 2).then_some(()));
    assert!(watching.is_running() && said().contains("problems found"), "{}", said());
    drop(dns);
    let _dns = records("mx.example MX 10 mx.example\nmx.example TXT \"v=spf1 ip4:192.0.2.78 -all\"\n");
    wait_for("the end of the watch", || {
        let text = said();
        assert!(text.matches("checking again").count() < 15, "{text}");
        (!watching.is_running()).then_some(())
    });
    assert!(said().trim_end().ends_with("0 errors"), "{}", said());
}

//! Domains and accounts are created and removed completely, and leftovers are listed.

use it::{Dns, Lab, Waypost, zone};

fn office(lab: &Lab) -> Waypost {
    Waypost::configured(lab, "postmaster = \"boss@inbox.test\"\n[mta_sts]\nmode = \"none\"\n[forward]\ndomain = \"fwd.example.test\"\n")
}

#[test]
fn domain_add_creates_keys_postmaster_and_records() {
    let lab = Lab::new();
    let waypost = office(&lab);
    let said = waypost.ok(&["domain", "add", "example.test"]);
    for part in
        ["DKIM keys for example.test", "postmaster@example.test → boss@inbox.test", "abuse@example.test", "r1._domainkey.example.test."]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let places =
        ["Needed now", "example.test.", "Better", "For mail programs", "_submission._tcp"].map(|part| said.find(part).expect(part));
    assert!(places.is_sorted(), "{said}");
    assert!(waypost.ok(&["alias", "test", "postmaster@example.test"]).contains("goes to: boss@inbox.test"));

    let said = waypost.command(&["account", "add", "me@example.test"]);
    let warned = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success() && warned.contains("waypost alias add me@example.test"), "{warned}");
    let said = waypost.command(&["account", "add", "you@example.test", "--forward", "foo@inbox.test"]);
    assert!(!String::from_utf8_lossy(&said.stderr).contains("warning"), "{said:?}");
    assert!(waypost.ok(&["alias", "test", "you@example.test"]).contains("goes to: foo@inbox.test"));
}

#[test]
fn domain_remove_lists_leftovers() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let waypost = office(&lab);
    for domain in ["example.test", "old.test"] {
        waypost.ok(&["domain", "add", domain]);
        waypost.account(&format!("me@{domain}"));
    }
    waypost.ok(&["key", "add", "fwd.example.test"]);
    let order = waypost.data.join("certificates/old.test");
    std::fs::create_dir_all(&order).unwrap();
    std::fs::write(order.join("state.json"), r#"{"failures":3,"last_error":"it is gone"}"#).unwrap();
    assert!(waypost.refused(&["domain", "remove", "old.test"]).contains("--everything"));
    assert!(waypost.refused(&["key", "remove", "example.test"]).contains("--force"));
    let gone = waypost.command(&["domain", "remove", "old.test", "--with-aliases"]);
    let left = String::from_utf8_lossy(&gone.stderr).into_owned();
    for command in ["waypost account remove me@old.test", "waypost key remove old.test", "certificate", "DNS records"] {
        assert!(gone.status.success() && left.contains(command), "{command}: {left}");
    }
    let about_old = || -> Vec<String> {
        let output = waypost.command(&["--json", "doctor", "--time-server", ""]);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = said["findings"].as_array().unwrap();
        let old = findings.iter().filter(|f| f["about"].as_str().unwrap().contains("old.test"));
        old.map(|f| f["severity"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(about_old(), ["notice", "notice"], "keys and an order of a removed domain are only notices");
    waypost.ok(&["key", "remove", "old.test"]);
    assert!(waypost.refused(&["key", "remove", "old.test"]).contains("no such DKIM key"));
    waypost.ok(&["domain", "add", "old.test"]);
    assert!(waypost.refused(&["domain", "remove", "old.test", "--everything"]).contains("--yes"));
    let said = waypost.ok(&["domain", "remove", "old.test", "--everything", "--yes"]);
    assert!(said.contains("account me@old.test") && said.contains("DKIM key r1") && !order.exists(), "{said}");
    assert!(about_old().is_empty());
    assert!(!waypost.ok(&["key", "list"]).contains("old.test") && !waypost.ok(&["account", "list"]).contains("old.test"));
}

#[test]
fn setup_preflight_warns_and_continues() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let waypost = office(&lab);
    let _other = std::net::TcpListener::bind((lab.address(1), it::MX_PORT)).unwrap();
    let said = |domain: &str| waypost.ok(&["setup", domain, "--forward", "me=foo@far.test"]);
    let typo = said("exmple.test");
    assert!(typo.contains("exmple.test does not exist in DNS: check its spelling"), "{typo}");
    assert!(typo.contains(&format!("another program has port {} (ss -ltnp", it::MX_PORT)), "{typo}");
    assert!(typo.contains("outgoing port 2525: gmail.com cannot be found"), "{typo}");
    let moved = said("inbox.test");
    assert!(moved.contains("mail to inbox.test goes to mx.inbox.test today"), "{moved}");
    // A flag is applied or explained, and the checks come last.
    let again = waypost.ok(&["setup", "inbox.test", "--postmaster", "chief@far.test", "--hostname", "mx.other.test"]);
    assert!(
        again.contains("postmaster = \"chief@far.test\" at the top") && again.contains("write hostname = \"mx.other.test\" into"),
        "{again}"
    );
    let places = ["3. Send as", "Notes", "hostname stays"].map(|part| again.find(part).expect(part));
    assert!(places.is_sorted(), "{again}");
    assert!(std::fs::read_to_string(&waypost.config).unwrap().contains("postmaster = \"chief@far.test\""));
}

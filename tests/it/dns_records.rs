//! `waypost dns`: fills an empty zone by dynamic update until nothing is wrong, and finds each later damage.
//!
//! RFC 2136, RFC 8945. Invariant: Knot's own tool reads and damages the zone.

use it::{DigitalOcean, Dns, HTTPS_PORT, Lab, LabAuthority, MX_PORT, OCEAN_TOKEN, Sink, UPDATE_SECRET, Waypost, run_ok, wait_for};
use pg_lab::PgServer;
use serde_json::Value;

/// Everything that a plan can hold: addresses, a separate forwarding domain, TLSA, CAA, a relay, a name without mail.
fn office(lab: &Lab) -> Waypost {
    let waypost = Waypost::configured(lab, &options(lab));
    hosts(&waypost);
    waypost
}

fn options(lab: &Lab) -> String {
    let secret = lab.write("tsig.secret", &format!("{UPDATE_SECRET}\n"));
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let server = lab.address(53);
    format!(
        "[forward]\ndomain = \"fwd.example.test\"\n[acme]\nenabled = true\n\
         [dns]\naddresses = [\"192.0.2.10\", \"2001:db8::10\"]\ntlsa = true\nspf_includes = [\"relay.test\"]\nno_mail = [\"www.example.test\"]\n\
         provider = \"rfc2136\"\nupdate_server = \"{server}:5353\"\ntsig_name = \"lab\"\ntsig_secret_file = \"tsig.secret\"\n"
    )
}

fn hosts(waypost: &Waypost) {
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    for domain in ["example.test", "fwd.example.test"] {
        waypost.ok(&["key", "add", domain]);
    }
}

const RELAY: &str = "relay TXT \"v=spf1 ip4:198.51.100.0/24 -all\"\n";

/// The findings of `dns check` that are not ok, and its exit status.
fn check(waypost: &Waypost) -> (Vec<Value>, bool) {
    let output = waypost.command(&["--json", "dns", "check"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(said["ok"].as_bool().unwrap(), output.status.success());
    let findings = said["findings"].as_array().unwrap();
    (findings.iter().filter(|finding| finding["state"] != "ok").cloned().collect(), output.status.success())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// The data in the record's line.
fn data(record: &Value) -> String {
    let marker = format!(" IN {} ", text(record, "type"));
    text(record, "line").split_once(&marker).unwrap().1.to_owned()
}

fn damaged(record: &Value) -> String {
    match text(record, "type") {
        "A" => "198.51.100.99".into(),
        "AAAA" => "2001:db8::bad".into(),
        "MX" => "10 damaged.example.test.".into(),
        "CNAME" => "damaged.example.test.".into(),
        "SRV" => "0 1 4 damaged.example.test.".into(),
        "TLSA" => format!("3 1 1 {}", "00".repeat(32)),
        "CAA" => "0 issue \"damaged.test\"".into(),
        "TXT" => "\"damaged\"".into(),
        other => panic!("no damage for {other}"),
    }
}

#[test]
fn dns_apply_fills_an_empty_zone_and_dns_check_finds_each_damage() {
    let lab = Lab::new();
    let dns = Dns::start_for_updates(&lab, RELAY);
    let waypost = office(&lab);
    let (empty, is_good) = check(&waypost);
    assert!(!is_good && empty.iter().all(|finding| finding["state"] == "missing"), "{empty:#?}");
    assert!(waypost.refused(&["dns", "apply"]).contains("--yes"));
    let applied = waypost.ok(&["dns", "apply", "--yes"]);
    assert!(applied.contains("+ example.test.") && applied.contains("verified at the zone's servers"), "{applied}");
    assert_eq!(check(&waypost), (vec![], true), "{applied}");
    assert!(waypost.ok(&["dns", "apply"]).contains("nothing to change"));

    let plan = waypost.json(&["dns", "show"]);
    let in_zone: Vec<&Value> = plan.as_array().unwrap().iter().filter(|record| record["type"] != "PTR").collect();
    assert!(in_zone.len() > 25, "{} records", in_zone.len());
    for record in in_zone {
        let (name, kind, data) = (text(record, "name"), text(record, "type"), data(record));
        let add = |data: &str| format!("add {name} 60 {kind} {data}");
        let expect = |how: &str, states: &[&str], lines: &str| {
            dns.update("test.", lines);
            let (found, is_good) = check(&waypost);
            let [one] = found.as_slice() else { panic!("{how} {name} {kind}: {found:#?}") };
            assert!(text(one, "name") == name && text(one, "type") == kind && text(one, "value") == text(record, "value"), "{how} {one:#}");
            assert!(states.contains(&text(one, "state")), "{how} {one:#}");
            assert_eq!(is_good, text(one, "severity") != "required", "{how} {one:#}");
        };
        expect("without", &["missing", "differs"], &format!("del {name} {kind} {data}"));
        expect("damaged", &["missing", "differs"], &add(&damaged(record)));
        // One by one: until an update is complete, a signed node holds more than the CNAME, which must be alone (RFC 2136 s.3.4.2.2).
        dns.update("test.", &format!("del {name} {kind} {}", damaged(record)));
        dns.update("test.", &add(&data));
    }
    assert_eq!(check(&waypost), (vec![], true));
}

/// Two servers of different names over one database, each with an MX record and a certificate of its own.
#[test]
fn servers_that_share_the_mail_fill_one_zone_and_publish_one_policy() {
    let (lab, database) = (Lab::new(), PgServer::default());
    let dns = Dns::start_for_updates(&lab, RELAY);
    let node = |name: &str, host, address: &str| {
        let node = Waypost::node(&lab, (name, host), &database.url(), &options(&lab));
        let listen = vec![format!("{}:{HTTPS_PORT}", lab.address(host))];
        node.configure(|config| {
            config
                .set("hostname", format!("{name}.example.test"))
                .set("dns.addresses", vec![address.to_owned()])
                .set("listen.https", listen)
                .set("listen.http", Vec::<String>::new());
            config.remove("acme").remove("dns.tlsa").set("mta_sts.mode", "enforce")
        });
        node
    };
    let (mut a, mut b) = (node("a", 11, "192.0.2.1"), node("b", 12, "192.0.2.2"));
    hosts(&a);
    a.start();
    let policy = |of: &Waypost| {
        let to = format!("mta-sts.example.test:{HTTPS_PORT}:{}", of.address);
        let url = format!("https://mta-sts.example.test:{HTTPS_PORT}/.well-known/mta-sts.txt");
        run_ok("curl", &["-sk", "--resolve", &to, &url])
    };
    assert!(policy(&a).contains("mx: a.example.test\r\nmax_age"), "{}", policy(&a));
    b.start();
    wait_for("both to name both", || {
        [&a, &b].iter().all(|of| policy(of).contains("mx: a.example.test\r\nmx: b.example.test\r\nmax_age")).then_some(())
    });

    let applied = a.ok(&["dns", "apply", "--yes"]);
    assert!(applied.contains("MX     10 a.example.test.") && applied.contains("MX     10 b.example.test."), "{applied}");
    let further = b.ok(&["dns", "apply", "--yes"]);
    assert!(further.contains("+ b.example.test.") && !further.contains("- ") && !further.contains(" MX "), "{further}");
    for of in [&a, &b] {
        // The addresses are of no machine of the lab.
        let (wrong, _) = check(of);
        assert!(wrong.iter().all(|finding| text(finding, "type") == "PTR"), "{wrong:#?}");
    }
    let hosts = |of: &Waypost| {
        of.json(&["node", "list"]).as_array().unwrap().iter().map(|node| text(node, "hostname").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(hosts(&b), ["a.example.test", "b.example.test"]);
    let listed = b.ok(&["node", "list"]);
    assert!(listed.contains("a         a.example.test  active") && listed.contains("b (this)  b.example.test  active"), "{listed}");

    // The setup on the second one shows what both need.
    let set_up = b.json(&["setup", "example.test", "--forward", "me=foo@inbox.test", "--no-preflight"]);
    let shown = set_up["dns"].as_array().unwrap().iter();
    let mx: Vec<&str> =
        shown.filter(|record| record["name"] == "example.test." && record["kind"] == "MX").map(|record| text(record, "value")).collect();
    assert_eq!(mx, ["10 b.example.test.", "10 a.example.test."], "{set_up:#}");

    // One that is gone for good is no longer right.
    b.stop();
    a.ok(&["node", "remove", "b"]);
    wait_for("the policy without it", || (!policy(&a).contains("b.example.test")).then_some(()));
    let (extra, _) = check(&a);
    assert!(extra.iter().any(|finding| text(finding, "type") == "MX" && finding["state"] == "extra"), "{extra:#?}");
    a.ok(&["dns", "apply", "--yes"]);
    let left = run_ok("kdig", &["+short", "-p", "5353", &format!("@{}", dns.address), "example.test", "MX"]);
    assert_eq!(left.trim(), "10 a.example.test.");
    a.assert_no_bugs();
}

#[test]
fn records_of_others_are_replaced_only_if_named() {
    let lab = Lab::new();
    let dns = Dns::start_for_updates(
        &lab,
        &format!("{RELAY}example MX 5 old.test.\nexample TXT \"v=spf1 include:relay.test -all\"\nexample TXT \"site-verification=1\"\n"),
    );
    let waypost = office(&lab);
    let refused = waypost.refused(&["dns", "apply", "--yes"]);
    assert!(refused.contains("example.test. MX is left alone") && refused.contains("--replace example.test"), "{refused}");
    let (left, _) = check(&waypost);
    let left: Vec<String> = left.iter().map(|f| format!("{} {} {}", text(f, "name"), text(f, "type"), text(f, "state"))).collect();
    assert_eq!(left, ["example.test. MX differs", "example.test. TXT differs"]);

    let replaced = waypost.ok(&["dns", "apply", "--yes", "--replace", "example.test"]);
    assert!(replaced.contains("~ example.test.") && replaced.contains("replaces MX 5 old.test."), "{replaced}");
    assert_eq!(check(&waypost), (vec![], true));
    let texts = run_ok("kdig", &["+short", "-p", "5353", &format!("@{}", dns.address), "example.test", "TXT"]);
    assert!(texts.contains("site-verification=1") && texts.lines().count() == 2, "{texts}");

    // Our own record is changed without being named: the plan has changed.
    waypost.configure(|config| config.remove("dns.tlsa").set("dns.dmarc", "reject"));
    let moved = waypost.ok(&["dns", "apply", "--yes"]);
    assert!(moved.contains("~ _dmarc.example.test.") && moved.contains("- _25._tcp.mx.example.test."), "{moved}");
    assert_eq!(check(&waypost), (vec![], true));

    // A leftover beside ours.
    dns.update("test.", "add example.test. 60 MX 1 old.test.");
    let (extra, is_good) = check(&waypost);
    assert!(!is_good && extra.len() == 1 && extra[0]["state"] == "extra", "{extra:#?}");
    let shown = waypost.command(&["dns", "check"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("remove: example.test. MX 1 old.test.") && shown.contains("1 required record is wrong"), "{shown}");
}

#[test]
fn a_wrong_tsig_key_is_refused_and_not_printed() {
    let lab = Lab::new();
    let _dns = Dns::start_for_updates(&lab, RELAY);
    let waypost = office(&lab);
    let other = "bm90IHRoZSBzZWNyZXQgb2YgdGhpcyBsYWIgYXQgYWxsIQ==";
    std::fs::write(waypost.config.with_file_name("tsig.secret"), other).unwrap();
    let refused = waypost.refused(&["dns", "apply", "--yes"]);
    assert!(refused.contains("could not be added") && !refused.contains(other), "{refused}");
    let zone = waypost.ok(&["dns", "show", "example.test", "--format", "zone"]);
    assert!(zone.contains("example.test.") && zone.lines().all(|line| !line.contains("fwd.other")), "{zone}");
    assert!(waypost.refused(&["dns", "show", "other.test"]).contains("not hosted here"));
    assert!(waypost.refused(&["dns", "show", "--format", "nobody"]).contains("cloudflare"));
    let form = waypost.ok(&["dns", "show", "--format", "digitalocean"]);
    assert!(form.contains("Hostname  @") && form.contains("set by the hoster of the address: mx.example.test"), "{form}");
}

#[test]
fn authentication_refusals_trigger_a_dns_check_and_a_letter() {
    let lab = Lab::new();
    let sink = Sink::start(lab.address(2), MX_PORT);
    let strict = Sink::deciding(lab.address(3), MX_PORT, |_| Some(mail::Reply::new(550, (5, 7, 26), "this mail is not authenticated")));
    let records =
        format!("{RELAY}inbox MX 10 mx.inbox\nmx.inbox A {}\nstrict MX 10 mx.strict\nmx.strict A {}\n", lab.address(2), lab.address(3));
    let dns = Dns::start_for_updates(&lab, &records);
    let mut waypost = office(&lab);
    waypost.configure(|config| config.remove("acme").set("postmaster", "boss@inbox.test"));
    waypost.ok(&["dns", "apply", "--yes"]);
    dns.update("test.", "del example.test. TXT\nadd example.test. 60 TXT \"v=spf1 -all\"");
    let password = waypost.account("me@example.test");
    waypost.start();
    let send = |to: &str| {
        let mut talk = waypost.logged_in("me@example.test", &password);
        talk.taken("me@example.test", to, "From: me@example.test\r\nSubject: hello\r\n\r\nx\r\n");
    };
    send("you@strict.test");
    let letter = sink.wait_for("other servers refuse your mail").text();
    assert!(letter.contains("and 1 DNS record is wrong") && letter.contains("\nexample.test. TXT  differs"), "{letter}");
    assert!(letter.contains("  found     \"v=spf1 -all\""), "{letter}");
    send("her@strict.test");
    waypost.wait_for_empty_queue();
    send("boss@inbox.test");
    sink.wait_for("Subject: hello");
    assert_eq!(sink.messages().iter().filter(|m| m.text().contains("other servers refuse")).count(), 1, "once a day");
    assert!(strict.connections() > 0);
    waypost.assert_no_bugs();
}

#[test]
fn the_postmaster_gets_one_letter_about_a_lost_record() {
    let lab = Lab::new();
    let sink = Sink::start(lab.address(2), MX_PORT);
    let records = format!("{RELAY}inbox MX 10 mx.inbox\nmx.inbox A {}\n", lab.address(2));
    let dns = Dns::start_for_updates(&lab, &records);
    let mut waypost = office(&lab);
    waypost.configure(|config| config.remove("acme").set("postmaster", "boss@inbox.test").set("dns.check_every", 1));
    waypost.ok(&["dns", "apply", "--yes"]);
    waypost.start();
    let seen = waypost.data.join("dns-seen.json");
    wait_for("a first look", || std::fs::read_to_string(&seen).ok().filter(|text| text.contains("_dmarc.example.test.")));
    dns.update("test.", "del _dmarc.example.test. TXT\nadd _dmarc.example.test. 60 TXT \"v=DMARC1; p=\\200\"");
    let letter = sink.wait_for("DNS record has changed").text();
    assert!(letter.contains("Subject: Waypost: 1 DNS record has changed, and is required"), "{letter}");
    assert!(
        letter.contains("_dmarc.example.test. TXT  differs")
            && letter.contains("  fix       replace it with: _dmarc.example.test. 3600 IN TXT")
    );
    assert!(letter.contains("v=DMARC1; p=\\u{fffd}"), "{letter}");
    let looks = || waypost.log().matches("DNS compared").count();
    let now = looks();
    wait_for("two further looks", || (looks() >= now + 2).then_some(()));
    assert!(waypost.queued() == 0 && sink.messages().len() == 1, "one letter");
    waypost.assert_no_bugs();
}

#[test]
fn dns_apply_fills_an_empty_zone_at_digitalocean() {
    let lab = Lab::new();
    let dns = Dns::start_for_updates(&lab, RELAY);
    let authority = LabAuthority::new(&lab);
    let ocean = DigitalOcean::start(lab.address(60), &authority, &dns);
    let waypost = office(&lab);
    waypost.configure(|config| config.set("dns.provider", "digitalocean"));
    let apply = |token: &str, more: &[&str]| {
        let mut command = std::process::Command::new(it::binary());
        command.arg("--config").arg(&waypost.config).args(["dns", "apply", "--yes"]).args(more);
        command.env("WAYPOST_DNS_TOKEN", token).env("SSL_CERT_FILE", lab.path().join("authority.pem")).envs(ocean.variables());
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    let (is_done, said) = apply("dop_v1_wrong", &[]);
    assert!(!is_done && said.contains("the provider refuses the token") && !said.contains("dop_v1_wrong"), "{said}");
    let (is_done, said) = apply(OCEAN_TOKEN, &[]);
    assert!(is_done && said.contains("TLSA skipped: the provider does not support this type") && !said.contains(OCEAN_TOKEN), "{said}");
    let (found, _) = check(&waypost);
    let left: Vec<&str> = found.iter().map(|finding| text(finding, "type")).collect();
    assert_eq!(left, ["TLSA"], "{found:#?}");
    let mx = |ocean: &DigitalOcean| ocean.records().into_iter().filter(|record| record.starts_with("example MX ")).collect::<Vec<_>>();
    assert_eq!(mx(&ocean), ["example MX 10 mx.example.test."]);
    // A changed record replaces the old one: names come back without the final dot.
    waypost.configure(|config| config.set("hostname", "mail.example.test"));
    let (is_done, said) = apply(OCEAN_TOKEN, &[]);
    assert!(is_done, "{said}");
    assert_eq!(mx(&ocean), ["example MX 10 mail.example.test."], "{said}");
    assert!(ocean.records().iter().all(|record| !record.contains("mx.example.test")), "{:#?}", ocean.records());
    let (found, _) = check(&waypost);
    // PTR records are not kept there.
    assert!(found.iter().all(|finding| ["PTR", "TLSA"].contains(&text(finding, "type"))), "{found:#?}");
    // Records of others are replaced only if named.
    ocean.add(&serde_json::json!({ "type": "MX", "name": "example", "data": "test.", "priority": 5 }));
    let (is_done, said) = apply(OCEAN_TOKEN, &[]);
    assert!(!is_done && said.contains("did not write 5 test."), "{said}");
    let (is_done, said) = apply(OCEAN_TOKEN, &["--replace", "example.test"]);
    assert!(is_done, "{said}");
    assert_eq!(mx(&ocean), ["example MX 10 mail.example.test."]);
    let (complaints, asked) = ocean.complaints();
    assert!(complaints.is_empty() && asked > 50, "{asked}: {complaints:#?}");
}

#[test]
fn a_lapsed_registration_and_another_mx_are_told_apart() {
    let lab = Lab::new();
    let sink = Sink::start(lab.address(2), MX_PORT);
    let records = format!("{RELAY}inbox MX 10 mx.inbox\nmx.inbox A {}\n", lab.address(2));
    let dns = Dns::start_for_updates(&lab, &records);
    let mut waypost = office(&lab);
    waypost.configure(|config| config.remove("acme").set("postmaster", "boss@inbox.test").set("dns.check_every", 1));
    let password = waypost.account(it::OWNER);
    waypost.ok(&["account", "owner", it::OWNER]);
    for domain in ["lapsed.test", "moved.test"] {
        waypost.ok(&["domain", "add", "--bare", domain]);
    }
    waypost.ok(&["dns", "apply", "--yes"]);
    let plan = waypost.json(&["dns", "show"]);
    waypost.start();
    let seen = waypost.data.join("dns-seen.json");
    wait_for("a first look", || std::fs::read_to_string(&seen).ok().filter(|text| text.contains("_dmarc.lapsed.test.")));

    // The registry's zone, `test`, loses every name of the domain.
    let names = plan.as_array().unwrap().iter().map(|record| text(record, "name")).filter(|name| name.ends_with("lapsed.test."));
    dns.update("test.", &names.map(|name| format!("del {name}\n")).collect::<String>());
    let letter = sink.wait_for("Subject: Waypost: the domain lapsed.test does not exist any more").text();
    assert!(letter.contains("the servers of test. say that the domain does not exist"), "{letter}");
    assert!(letter.contains("renew lapsed.test at its registrar") && !letter.contains("_dmarc.lapsed.test"), "{letter}");

    dns.update("test.", "del moved.test. MX\nadd moved.test. 60 MX 10 mx.parking.test.");
    let letter = sink.wait_for("Subject: Waypost: mail for moved.test goes to another server").text();
    assert!(letter.contains("  found     10 mx.parking.test.") && letter.contains("waypost domain remove moved.test"), "{letter}");

    let (findings, _) = check(&waypost);
    for (name, fix) in [("lapsed.test.", "renew lapsed.test at its registrar"), ("moved.test.", "if nobody moved it")] {
        let finding = findings.iter().find(|finding| finding["name"] == name && finding["type"] == "MX").unwrap();
        assert!(text(finding, "fix").starts_with(fix), "{finding}");
    }
    let doctor = String::from_utf8_lossy(&waypost.command(&["doctor"]).stdout).into_owned();
    assert!(doctor.contains("renew lapsed.test at its registrar") && doctor.contains("if nobody moved it"), "{doctor}");

    // The owner's page, which checks when somebody looks.
    let visit = it::Visit::new(&lab, &waypost, "jar");
    assert_eq!(visit.log_in(it::OWNER, &password).status, 303);
    let told = |page: &str| {
        ["the domain does not exist", "renew lapsed.test at its registrar", "if nobody moved it"].iter().all(|words| page.contains(words))
    };
    it::wait_within(std::time::Duration::from_secs(120), "the findings on the page", || told(&visit.get("/").body).then_some(()));
    waypost.assert_no_bugs();
}

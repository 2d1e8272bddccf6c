//! `waypost explain` predicts what the server then does with the same input, and has no effect itself.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use it::{
    Delivered, Dns, Lab, LabAuthority, MX_PORT, PolicyAnswer, PolicyHost, Sink, Talk, TlsSender, Waypost, dmarc_record, domain,
    forwarding_zone, signers, sts_domain, tlsa, tlsa_digest, txt, wait_for,
};
use mail::{Fields, Reply, one_line_at_most};
use msgauth::{Algorithm, KeyPair, Signer, record};
use serde_json::Value;

/// What a client sends.
#[derive(Clone, Copy)]
struct Input<'a> {
    from: &'a str,
    to: &'a str,
    content: &'a str,
    login: bool,
}

fn from_outside<'a>(from: &'a str, to: &'a str, content: &'a str) -> Input<'a> {
    Input { from, to, content, login: false }
}

struct Scene {
    lab: Lab,
    waypost: Waypost,
    inbox: Sink,
    foreign: Sink,
    _full: Sink,
    signer: Signer,
    password: String,
    _dns: Dns,
}

impl Scene {
    fn start() -> Self {
        let lab = Lab::new();
        let mut waypost = Waypost::configured(&lab, "[forward]\ndomain = \"fwd.example.test\"\nmode = \"queue\"\n");
        for name in ["example.test", "second.test"] {
            waypost.ok(&["domain", "add", "--bare", name]);
        }
        let pair = KeyPair::generate(Algorithm::Ed25519).unwrap();
        let signer = Signer::new(Algorithm::Ed25519, &pair.private, "foreign.test", "s1").unwrap();
        let keys = waypost.keys("fwd.example.test") + &waypost.keys("example.test");
        let records = forwarding_zone(&lab)
            + &keys
            + &txt("s1._domainkey.foreign", &record(Algorithm::Ed25519, &pair.public))
            + &dmarc_record("lax", "p=quarantine", "mailto:dmarc@rua.test")
            + "list TXT \"v=spf1 include:_spf.list.test -all\"\n_spf.list TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n"
            + "closed MX 0 .\n"
            + &domain(&lab, "narrow", 4);
        let dns = Dns::start(&lab, &records);
        let inbox = Sink::start(lab.address(2), MX_PORT);
        let foreign = Sink::start(lab.address(3), MX_PORT);
        let full = Sink::deciding(lab.address(4), MX_PORT, |_| Some(Reply::new(452, (4, 2, 2), "over quota")));
        for (alias, target) in [
            ("me@example.test", "foo@inbox.test"),
            ("@second.test", "bar@inbox.test"),
            ("chain@example.test", "@second.test"),
            ("off@example.test", "foo@inbox.test"),
            ("paper@example.test", "foo@inbox.test"),
            ("full@example.test", "box@narrow.test"),
            ("closed@example.test", "box@closed.test"),
        ] {
            waypost.ok(&["alias", "add", alias, target]);
        }
        waypost.ok(&["alias", "disable", "off@example.test"]);
        waypost.ok(&["alias", "strict", "paper@example.test", "wrap"]);
        let password = waypost.account("me@example.test");
        waypost.start();
        Self { lab, waypost, inbox, foreign, _full: full, signer, password, _dns: dns }
    }

    fn client(&self) -> Ipv4Addr {
        self.lab.address(77)
    }

    fn explained(&self, input: Input<'_>) -> Value {
        let file = self.file("message.eml", input.content);
        let client = self.client().to_string();
        let mut arguments = vec!["--json", "explain", input.from, input.to, "--message", file.to_str().unwrap()];
        match input.login {
            true => arguments.extend(["--login", "me@example.test"]),
            false => arguments.extend(["--ip", &client, "--helo", "client.foreign.test"]),
        }
        let before = self.state();
        let output = self.waypost.command(&arguments);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
        assert_eq!(output.status.success(), answer["decision"] != "refused", "{answer}");
        assert_eq!(self.state(), before, "an explanation changes nothing");
        answer
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        self.lab.write(name, content)
    }

    /// Everything that mail leaves behind.
    fn state(&self) -> String {
        let totals = self.waypost.json(&["queue", "list"]);
        let held = self.waypost.json(&["held", "list"]);
        let files = std::fs::read_dir(self.waypost.data.join("content")).map_or(0, Iterator::count);
        format!("{} {} {files} {} {}", ids(&totals), ids(&held), self.inbox.connections(), self.foreign.connections())
    }

    fn send(&self, input: Input<'_>) -> String {
        if input.login {
            return self.waypost.logged_in("me@example.test", &self.password).message(input.from, input.to, input.content);
        }
        let mut talk = Talk::connect_from(self.client(), self.waypost.address, MX_PORT);
        talk.reply();
        talk.expect("EHLO client.foreign.test", "250");
        talk.message(input.from, input.to, input.content)
    }

    /// Explains, then sends: both must refuse with the same reply.
    fn refuses(&self, input: Input<'_>, reply: &str) -> Value {
        let answer = self.explained(input);
        assert_eq!(answer["decision"], "refused", "{answer}");
        let predicted = answer["reply"].as_str().unwrap().trim_end().to_owned();
        assert!(predicted.starts_with(reply), "wanted {reply}: {predicted}");
        assert_eq!(self.send(input).trim_end(), predicted);
        assert_eq!(answer["deliveries"], serde_json::json!([]));
        answer
    }

    /// Explains, then sends: what arrives at `host` must be what was explained.
    fn delivers(&self, input: Input<'_>, host: &Sink, address: Ipv4Addr) -> Value {
        pass_midnight();
        let answer = self.explained(input);
        assert_eq!(answer["decision"], "accepted", "{answer}");
        let before = host.messages().len();
        let reply = self.send(input);
        assert!(reply.starts_with("250 "), "{reply}");
        let explained = answer["deliveries"].as_array().unwrap();
        let arrived = wait_for("the messages", || Some(host.messages()).filter(|all| all.len() == before + explained.len()));
        for delivery in explained {
            let target = format!("<{}>", delivery["target"].as_str().unwrap());
            let message = arrived.iter().skip(before).find(|message| message.to.contains(&target));
            let message = message.unwrap_or_else(|| panic!("nothing arrived for {target}"));
            self.is_as_explained(delivery, message, address);
        }
        answer
    }

    fn is_as_explained(&self, delivery: &Value, message: &Delivered, address: Ipv4Addr) {
        assert_eq!(message.from, format!("<{}>", delivery["sender"].as_str().unwrap()), "{delivery}");
        let mut domains: Vec<&str> = list(&delivery["signatures"]).iter().map(|s| s["domain"].as_str().unwrap()).collect();
        domains.dedup();
        let signed = signers(&self.lab, &message.content);
        assert!(domains.iter().all(|domain| signed.iter().any(|signer| signer == domain)), "{domains:?} {signed:?}");
        let shown = |field: mail::Field<'_>| {
            one_line_at_most(&format!("{}: {}", String::from_utf8_lossy(field.name), field.unfolded().trim()), 600)
        };
        let fields: Vec<String> = Fields::new(&message.content).map(shown).collect();
        for field in list(&delivery["fields"]) {
            // Its ID and its time differ.
            let field = field.as_str().unwrap();
            let field = if field.starts_with("Date: ") { "Date: " } else { field.split(" id ").next().unwrap() };
            assert!(fields.iter().any(|arrived| arrived.starts_with(field)), "no {field} in {fields:#?}");
        }
        let host = &delivery["hosts"][0];
        assert_eq!((&host["port"], &host["addresses"][0]), (&MX_PORT.into(), &address.to_string().into()), "{delivery}");
    }
}

/// Return addresses have the day of their making (UTC): if it ends within a minute, waits for the next one.
fn pass_midnight() {
    while net::Clock::system().now_s().rem_euclid(86_400) >= 86_340 {
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn ids(list: &Value) -> String {
    let messages = list["messages"].as_array().or_else(|| list["items"].as_array());
    messages.into_iter().flatten().map(|message| format!("{} ", message["id"])).collect()
}

fn all_details(answer: &Value) -> String {
    list(&answer["steps"]).iter().flat_map(|step| list(&step["details"])).map(|detail| format!("{}\n", detail.as_str().unwrap())).collect()
}

fn plain(from: &str, subject: &str) -> String {
    format!("From: {from}\r\nTo: me@example.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\nthe body\r\n")
}

#[test]
fn refusals_are_predicted_with_the_same_reply() {
    let scene = Scene::start();
    let hers = plain("her@foreign.test", "hers");
    let of = |from, to| from_outside(from, to, &hers);
    scene.refuses(of("her@foreign.test", "nobody@example.test"), "550 5.1.1 ");
    let disabled = scene.refuses(of("her@foreign.test", "off@example.test"), "550 5.2.1 ");
    assert!(all_details(&disabled).contains("off@example.test leads nowhere: the address is disabled"), "{disabled}");
    let relayed = scene.refuses(of("her@foreign.test", "you@elsewhere.test"), "550 5.7.1 relaying denied");
    assert_eq!(list(&relayed["steps"]).last().unwrap()["stage"], "recipient", "{relayed}");
    scene.refuses(of("her@foreign.test", "SRS0=AAAA=BB=foreign.test=her@fwd.example.test"), "550 5.7.1 ");
    scene.refuses(of("her", "me@example.test").rejected_form(), "553 5.1.7 ");
    let forged = plain("me@example.test", "forged");
    scene.refuses(from_outside("her@foreign.test", "me@example.test", &forged), "550 5.7.1 mail from example.test must be submitted");
    let spoofed = scene.refuses(from_outside("x@list.test", "me@example.test", &hers), "550 5.7.1 the message fails DMARC");
    let details = all_details(&spoofed);
    for want in [
        "SPF of list.test passes for ",
        "in the record of _spf.list.test",
        "DKIM: no signature",
        "DMARC of foreign.test (policy reject) fails",
    ] {
        assert!(details.contains(want), "no {want} in {details}");
    }
    let nobodys = plain("x@void.test", "nobodys");
    scene.refuses(from_outside("x@void.test", "me@example.test", &nobodys), "550 5.7.26 neither SPF nor DKIM");
    let twice = format!("From: her@foreign.test\r\n{hers}");
    scene.refuses(from_outside("her@foreign.test", "me@example.test", &twice), "550 5.6.0 the message has more than one From");
    let looped = format!("Delivered-To: me@example.test\r\n{hers}");
    scene.refuses(from_outside("her@foreign.test", "me@example.test", &looped), "554 5.4.6 ");
    let letter = plain("her@foreign.test", "letter");
    scene.refuses(from_outside("her@foreign.test", "dmarc@example.test", &letter), "550 5.6.0 dmarc@example.test accepts DMARC");
    let mine = plain("me@example.test", "mine");
    scene.refuses(Input { from: "you@second.test", to: "her@foreign.test", content: &mine, login: true }, "553 5.7.1 ");
    scene.refuses(Input { from: "me@example.test", to: "her@foreign.test", content: &hers, login: true }, "550 5.7.1 ");
    scene.waypost.assert_no_bugs();
}

impl Input<'_> {
    /// An address whose domain is not fully qualified.
    fn rejected_form(self) -> Self {
        Self { from: "her@localhost", ..self }
    }
}

#[test]
fn what_leaves_is_predicted() {
    let scene = Scene::start();
    let (inbox, foreign) = (scene.lab.address(2), scene.lab.address(3));
    let hers = plain("her@foreign.test", "hers");
    let only_spf = scene.delivers(from_outside("her@foreign.test", "me@example.test", &hers), &scene.inbox, inbox);
    let first = &only_spf["deliveries"][0];
    let prediction = first["prediction"].as_str().unwrap();
    for want in ["DMARC of foreign.test fails there", "550 5.7.26", "sent again with From: \"her at foreign.test via example.test\" <SRS0="]
    {
        assert!(prediction.contains(want), "no {want} in {prediction}");
    }
    assert_eq!(first["hosts"][0]["tls"], "TLS if it offers it");
    let signed = scene.signer.sign(&[hers.as_bytes()]).unwrap() + &hers;
    let kept = scene.delivers(from_outside("her@foreign.test", "me+shop@example.test", &signed), &scene.inbox, inbox);
    assert!(
        all_details(&kept).contains("me+shop@example.test -> foo+shop@inbox.test  (alias me@example.test; the extension is kept)"),
        "{kept}"
    );
    let prediction = kept["deliveries"][0]["prediction"].as_str().unwrap();
    assert!(
        prediction.contains("by the original signature of foreign.test") && prediction.contains("SPF of fwd.example.test passes"),
        "{prediction}"
    );
    let chained = scene.delivers(from_outside("x@list.test", "chain@example.test", &plain("x@list.test", "chained")), &scene.inbox, inbox);
    assert!(all_details(&chained).contains("  chain@second.test -> bar@inbox.test  (catch-all @second.test)"), "{chained}");
    assert!(chained["deliveries"][0]["prediction"].as_str().unwrap().contains("list.test asks for no check"), "{chained}");
    let wrapped =
        scene.delivers(from_outside("her@foreign.test", "paper@example.test", &plain("her@foreign.test", "wrapped")), &scene.inbox, inbox);
    assert!(wrapped["deliveries"][0]["prediction"].as_str().unwrap().contains("by our signature of fwd.example.test"), "{wrapped}");
    let mine = plain("me@example.test", "mine");
    let own =
        scene.delivers(Input { from: "me@example.test", to: "you@foreign.test", content: &mine, login: true }, &scene.foreign, foreign);
    assert_eq!((&own["deliveries"][0]["flow"], &own["deliveries"][0]["sender"]), (&"own".into(), &"me@example.test".into()));
    let back = only_spf["deliveries"][0]["sender"].as_str().unwrap();
    let bounce = plain("mailer-daemon@inbox.test", "bounce");
    let dsn =
        scene.delivers(from_outside("", back, &bounce.replace("To: me@example.test", "To: her@foreign.test")), &scene.foreign, foreign);
    assert_eq!(dsn["deliveries"][0]["target"], "her@foreign.test", "{dsn}");
    scene.waypost.wait_for_empty_queue();
    scene.waypost.assert_no_bugs();
}

#[test]
fn held_and_waiting_mail_is_predicted() {
    let scene = Scene::start();
    let boss = plain("boss@lax.test", "boss");
    let input = from_outside("x@list.test", "me@example.test", &boss);
    let answer = scene.explained(input);
    assert_eq!((&answer["decision"], answer["deliveries"][0]["target"].as_str()), (&"held".into(), Some("foo@inbox.test")), "{answer}");
    assert!(scene.send(input).starts_with("250 "));
    let held = scene.waypost.ok(&["held", "list"]);
    assert!(held.contains(answer["reason"].as_str().unwrap()), "{held}");

    let hers = plain("her@foreign.test", "full");
    let full = from_outside("her@foreign.test", "full@example.test", &hers);
    assert_eq!(scene.explained(full)["deliveries"][0].get("paused"), None);
    assert!(scene.send(full).starts_with("250 "));
    wait_for("the pause", || scene.waypost.ok(&["queue", "paused"]).contains("box@narrow.test").then_some(()));
    let refused = scene.refuses(full, "450 4.2.1 ");
    assert!(all_details(&refused).contains("box@narrow.test: the mailbox is paused"), "{refused}");
    // An account's mail waits instead.
    let mine = plain("me@example.test", "mine");
    let own = scene.explained(Input { from: "me@example.test", to: "full@example.test", content: &mine, login: true });
    assert!(own["deliveries"][0]["paused"].as_str().unwrap().contains("the mailbox is paused"), "{own}");

    let closed = scene.explained(from_outside("her@foreign.test", "closed@example.test", &hers));
    assert!(closed["deliveries"][0]["trouble"].as_str().unwrap().contains("accepts no mail (null MX); mail to it fails"), "{closed}");
    scene.waypost.assert_no_bugs();
}

#[test]
fn an_explanation_needs_no_message_and_no_server() {
    let mut scene = Scene::start();
    pass_midnight();
    let text = scene.waypost.ok(&["explain", "x@list.test", "me@example.test"]);
    for want in [
        "SPF of list.test passes for 127.0.0.0",
        "me@example.test leads to foo@inbox.test",
        "decision    accepted",
        "to foo@inbox.test",
        "sender      SRS0=",
        "signed as   fwd.example.test (selector ",
        "adds        X-Forwarded-For: me@example.test foo@inbox.test",
        "next hop    the MX hosts of inbox.test",
        "no --ip was given",
        "no --message was given",
        "Nothing was sent.",
    ] {
        assert!(text.contains(want), "no {want:?} in\n{text}");
    }
    scene.waypost.stop();
    let offline = scene.waypost.ok(&["explain", "x@list.test", "me@example.test"]);
    // The ID differs, and only a running server knows networks.
    let is_same = |line: &&str| !line.contains(" id ") && !line.contains("smaller share");
    let lines = |text: &str| -> Vec<String> { text.lines().filter(is_same).map(ToOwned::to_owned).collect() };
    assert_eq!(lines(&text), lines(&offline));
}

#[test]
fn invalid_input_of_explain_is_refused() {
    let scene = Scene::start();
    let refused = |arguments: &[&str]| scene.waypost.refused(&[&["explain"], arguments].concat());
    assert!(refused(&["her", "me@example.test"]).contains("`her` is not an address"));
    assert!(refused(&["her@foreign.test", "me@example.test", "--ip", "300.1.1.1"]).contains("invalid value '300.1.1.1'"));
    assert!(refused(&["her@foreign.test", "me@example.test", "--helo", "a b"]).contains("is not a name that a client can send"));
    assert!(
        refused(&["a@foreign.test", "me@example.test", "--message", "/nonexistent/x.eml"]).contains("/nonexistent/x.eml cannot be read")
    );
    assert!(refused(&["a@foreign.test", "me@example.test", "--message", "/"]).contains("/ cannot be read"));
    assert!(refused(&["a@foreign.test", "me@example.test", "--message", "/dev/null"]).contains("/dev/null is empty"));
    assert!(refused(&["a@foreign.test", "me@example.test", "--login", "no@example.test"]).contains("there is no account no@example.test"));
    let huge = scene.lab.path().join("huge.eml");
    std::fs::File::create(&huge).unwrap().set_len(100_000_000).unwrap();
    let said = refused(&["a@foreign.test", "me@example.test", "--message", huge.to_str().unwrap()]);
    assert!(said.contains("is larger than 64.0 MiB"), "{said}");
    std::fs::File::create(&huge).unwrap().set_len(60_000_000).unwrap();
    let said = refused(&["a@foreign.test", "me@example.test", "--message", huge.to_str().unwrap()]);
    assert!(said.contains("larger than 52428800 octets") && said.contains("552 5.3.4"), "{said}");
    let odd = scene.file("odd.eml", "\0\u{1b}[2J\r\nFrom: \u{1b}]0;x\u{7}her@foreign.test\r\n\r\n\0");
    let output = scene.waypost.command(&["explain", "her@foreign.test", "me@example.test", "--message", odd.to_str().unwrap()]);
    assert!(!output.stdout.contains(&0x1b) && !output.stdout.contains(&0), "{:?}", String::from_utf8_lossy(&output.stdout));
    scene.waypost.assert_no_bugs();
}

#[test]
fn the_tls_that_a_host_must_offer_is_predicted() {
    let lab = Lab::new();
    let authority = LabAuthority::new(&lab);
    let (ee, sts) = (authority.issue(&["elsewhere.test"]), authority.issue(&["mx.sts.test", "mta-sts.sts.test"]));
    let records = domain(&lab, "ee", 13)
        + &tlsa("ee", &format!("3 1 1 {}", tlsa_digest(&ee, 0, 1)))
        + &sts_domain(&lab, "sts")
        + &domain(&lab, "plain", 14);
    let _hosts = (
        Sink::with_tls(lab.address(13), MX_PORT, &ee),
        Sink::with_tls(lab.address(11), MX_PORT, &sts),
        Sink::start(lab.address(14), MX_PORT),
    );
    let _policies = PolicyHost::start(lab.address(12), &sts, PolicyAnswer::policy("enforce", &["mx.sts.test"], 86_400));
    let sender = TlsSender::start(&lab, "here", &records, &[]);
    let tls = |name: &str| {
        let answer = sender.waypost.json(&["explain", "me@example.test", &format!("you@{name}.test"), "--login", "me@example.test"]);
        answer["deliveries"][0]["hosts"][0]["tls"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    assert_eq!(tls("ee"), "TLS with the key of its TLSA record (DANE)");
    assert_eq!(tls("sts"), "TLS with a certificate for its name (MTA-STS)");
    assert_eq!(tls("plain"), "TLS if it offers it");
    assert!(!sender.waypost.data.join("mta-sts.json").exists(), "what was fetched is kept nowhere");
    sender.delivers("you@ee.test", Some("dane"));
    sender.delivers("you@sts.test", Some("mta-sts"));
    sender.delivers("you@plain.test", None);
    sender.waypost.assert_no_bugs();
}

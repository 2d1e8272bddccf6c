//! Notices to the owner: over mail, a webhook and ntfy; and the addresses that a webhook must not reach (threats.md 95).

use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use it::{
    Dns, Lab, LabAuthority, MX_PORT, POLICY_PORT, Posted, ReportHost, SUBMISSION_PORT, Sink, Takes, Talk, Waypost, domain, python,
    wait_within, zone,
};
use mail::Reply;
use serde_json::{Value, json};

/// The key of the webhook.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Verifies a webhook with the reference library.
const VERIFY: &str = "
import sys, json, base64
from standardwebhooks import Webhook
request = json.load(sys.stdin)
try:
    Webhook(request['secret']).verify(base64.b64decode(request['body']), request['headers'])
    print('verified')
except Exception as error:
    print(type(error).__name__)
";

struct Scene {
    lab: Lab,
    waypost: Waypost,
    hook: ReportHost,
    ntfy: ReportHost,
    inbox: Sink,
    _dns: Dns,
}

impl Scene {
    /// A server with all channels. `options` are further options of `[notices]`, and further sections.
    fn start(options: &str) -> Self {
        let mut scene = Self::stopped(options);
        scene.waypost.start_hosting("foo@inbox.test");
        scene
    }

    fn stopped(options: &str) -> Self {
        let lab = Lab::new();
        let authority = LabAuthority::new(&lab);
        for (name, secret) in [("hook.key", SECRET), ("ntfy.token", "tk_lab")] {
            let path = lab.write(name, &format!("{secret}\n"));
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let records =
            zone(&lab) + &domain(&lab, "narrow", 4) + &format!("hooks.far A {}\nntfy.far A {}\n", lab.address(12), lab.address(13));
        let dns = Dns::start(&lab, &records);
        let takes = || Takes::With("200 OK");
        let hook = ReportHost::start(lab.address(12), &authority.issue(&["hooks.far.test"]), takes());
        let ntfy = ReportHost::start(lab.address(13), &authority.issue(&["ntfy.far.test"]), takes());
        let inbox = Sink::start(lab.address(2), MX_PORT);
        let waypost = Waypost::configured(
            &lab,
            &format!(
                "postmaster = \"me@example.test\"\n[tls]\nextra_authorities = \"authority.pem\"\n[notices]\n\
                 webhook = \"https://hooks.far.test:{POLICY_PORT}/waypost?x=1\"\nwebhook_secret_file = \"hook.key\"\n\
                 ntfy = \"https://ntfy.far.test:{POLICY_PORT}/topic\"\nntfy_token_file = \"ntfy.token\"\n{options}"
            ),
        );
        Self { lab, waypost, hook, ntfy, inbox, _dns: dns }
    }

    /// What is wrong with the configuration.
    fn faults(&self) -> String {
        let output = self.waypost.command(&["config", "check"]);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success(), "{said}");
        said
    }

    /// Waits for a webhook whose subject has this part.
    fn hooked(&self, subject: &str) -> (Posted, Value) {
        wait_within(std::time::Duration::from_secs(40), &format!("a webhook about {subject:?}: {}", self.waypost.log()), || {
            let read = |posted: Posted| {
                let body: Value = serde_json::from_slice(&posted.body).unwrap();
                (posted, body)
            };
            let is_wanted = |(_, body): &(Posted, Value)| body["data"]["subject"].as_str().is_some_and(|found| found.contains(subject));
            self.hook.posted().into_iter().map(read).find(is_wanted)
        })
    }
}

fn header(posted: &Posted, name: &str) -> String {
    let value = posted
        .head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")).then(|| line[name.len() + 2..].to_owned()));
    value.unwrap_or_else(|| panic!("no {name} in {}", posted.head))
}

fn verified(posted: &Posted, body: &[u8], secret: &str) -> String {
    let headers =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| (name.to_owned(), Value::String(header(posted, name))));
    let request = json!({ "secret": secret, "body": STANDARD.encode(body), "headers": serde_json::Map::from_iter(headers) });
    python(&["-c", VERIFY], &request.to_string()).trim().to_owned()
}

#[test]
fn a_test_notice_arrives_over_every_channel() {
    let scene = Scene::start("private_addresses = true\n");
    let answers = scene.waypost.json(&["notify", "test"]);
    let names: Vec<&str> = answers.as_array().unwrap().iter().map(|answer| answer["channel"].as_str().unwrap()).collect();
    assert_eq!(
        (names, answers.as_array().unwrap().iter().all(|answer| answer["ok"] == true)),
        (vec!["mail", "webhook", "ntfy"], true),
        "{answers}"
    );
    let letter = scene.inbox.wait_for("Subject: Waypost: a test");
    assert_eq!((letter.from.as_str(), letter.to.as_slice()), ("<>", &["<foo@inbox.test>".to_owned()][..]));

    let (posted, body) = scene.hooked("a test");
    assert!(posted.head.starts_with("POST /waypost?x=1 HTTP/1.1\r\n"), "{}", posted.head);
    assert_eq!(verified(&posted, &posted.body, SECRET), "verified");
    let changed = [&posted.body[..], b" "].concat();
    assert_eq!(verified(&posted, &changed, SECRET), "WebhookVerificationError");
    assert_eq!(verified(&posted, &posted.body, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "WebhookVerificationError");
    assert_eq!((&body["type"], &body["data"]["server"]), (&"notice.test".into(), &"mx.example.test".into()), "{body}");

    let pushed = scene.ntfy.posted().remove(0);
    assert!(pushed.head.starts_with("POST /topic HTTP/1.1\r\n"), "{}", pushed.head);
    assert_eq!(header(&pushed, "title"), "mx.example.test: a test");
    assert_eq!(
        [header(&pushed, "priority"), header(&pushed, "tags"), header(&pushed, "authorization")],
        ["default", "white_check_mark", "Bearer tk_lab"]
    );
    assert!(String::from_utf8_lossy(&pushed.body).starts_with("This is a test"), "{pushed:?}");

    scene.ntfy.takes(Takes::With("403 Forbidden"));
    let output = scene.waypost.command(&["notify", "test", "--channel", "ntfy"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("ntfy     failed: ntfy.far.test answers 403"), "{said}");
    scene.ntfy.takes(Takes::Talking(1 << 20));
    assert!(scene.waypost.ok(&["notify", "test", "--channel", "ntfy"]).contains("answers 200"));
    assert!(scene.waypost.refused(&["notify", "test", "--channel", "pigeon"]).contains("invalid value 'pigeon'"));
    scene.waypost.assert_no_bugs();
}

/// Logs in over submission from an address of another network.
fn log_in_from(source: [u8; 4], waypost: &Waypost, password: &str) {
    let mut talk = Talk::connect_from(source.into(), waypost.address, SUBMISSION_PORT);
    talk.reply();
    talk.expect("EHLO client.foreign.test", "250");
    talk.start_tls(&waypost.certificate());
    talk.expect("EHLO client.foreign.test", "250");
    talk.expect(&format!("AUTH PLAIN {}", it::base64(&format!("\0me@example.test\0{password}"))), "235");
}

#[test]
fn a_notice_is_tried_again_and_told_once() {
    let mut scene = Scene::start("private_addresses = true\n");
    scene.hook.takes(Takes::With("503 Service Unavailable"));
    let password = scene.waypost.account("me@example.test");
    drop(scene.waypost.logged_in("me@example.test", &password));
    log_in_from([127, 77, 0, 1], &scene.waypost, &password);
    scene.hooked("me@example.test has logged in from a new network");
    // What waits for its next attempt survives a restart.
    scene.waypost.wait_for_log("the notice was not accepted");
    scene.waypost.stop();
    let refused = scene.hook.posted().len();
    scene.hook.takes(Takes::With("204 No Content"));
    scene.waypost.start();
    let posted =
        wait_within(std::time::Duration::from_secs(40), "another attempt", || Some(scene.hook.posted()).filter(|all| all.len() > refused));
    let (first, last) = (&posted[0], &posted[refused]);
    assert!(
        posted.iter().all(|posted| header(posted, "webhook-id") == header(first, "webhook-id")),
        "the first login of an account is no news"
    );
    assert_eq!(verified(last, &last.body, SECRET), "verified");
    scene.waypost.wait_for_line(&["postmaster notified", "channel=\"webhook\""]);
    let letter = scene.inbox.wait_for("has logged in from a new network").text();
    assert!(letter.contains("waypost account passwd me@example.test --name"), "{letter}");
    drop(scene.waypost.logged_in("me@example.test", &password));
    scene.waypost.ok(&["notify", "test", "--channel", "webhook"]);
    let about_login = |posted: &&Posted| String::from_utf8_lossy(&posted.body).contains("new network");
    assert_eq!(scene.hook.posted().iter().filter(about_login).count(), refused + 1, "accepted once, and nothing about the last login");
    scene.waypost.assert_no_bugs();
}

#[test]
fn pauses_old_mail_and_first_senders_are_noticed() {
    let scene =
        Scene::start("private_addresses = true\npaused_for = \"1s\"\nqueue_age = \"1s\"\ndigest_every = \"1s\"\nnew_senders = true\n");
    let _full = Sink::deciding(scene.lab.address(4), MX_PORT, |_| Some(Reply::new(452, (4, 2, 2), "over quota")));
    for (alias, target) in [("@example.test", "bar@inbox.test"), ("full@example.test", "box@narrow.test")] {
        scene.waypost.ok(&["alias", "add", alias, target]);
    }
    let mut talk = Talk::greeted(scene.waypost.address, MX_PORT);
    talk.taken("her@foreign.test", "shop@example.test", "From: her@foreign.test\r\nSubject: hello\r\n\r\n");
    talk.taken("her@foreign.test", "full@example.test", "From: her@foreign.test\r\nSubject: much\r\n\r\n");
    let (_, paused) = scene.hooked("the mailbox is paused: box@narrow.test");
    assert!(paused["data"]["text"].as_str().unwrap().contains("waypost queue resume box@narrow.test"), "{paused}");
    let (_, first) = scene.hooked("first mail to shop@example.test, from her@foreign.test");
    assert_eq!((&first["type"], &first["data"]["urgent"]), (&"notice.digest".into(), &false.into()), "{first}");
    let (_, old) = scene.hooked("mail waits in the queue for long");
    assert!(old["data"]["text"].as_str().unwrap().contains("over quota"), "{old}");
    // An alias that existed is not new, and the same sender is not told twice.
    talk.taken("her@foreign.test", "me@example.test", "From: her@foreign.test\r\nSubject: one\r\n\r\n");
    talk.taken("her@foreign.test", "next@example.test", "From: her@foreign.test\r\nSubject: two\r\n\r\n");
    scene.hooked("first mail to next@example.test");
    let about = |what: &str| scene.hook.posted().iter().filter(|posted| String::from_utf8_lossy(&posted.body).contains(what)).count();
    assert_eq!((about("first mail to me@"), about("first mail to shop@")), (0, 1));
    scene.waypost.assert_no_bugs();
}

#[test]
fn a_notice_by_mail_passes_the_queue_on_a_route_of_its_own() {
    let mut scene = Scene::stopped(
        "private_addresses = true\nroute = \"smart.test\"\n[[route]]\nhost = \"smart.test\"\ndomains = [\"none.test\"]\nport = 2525\ntls = \"none\"\nverify = false\n",
    );
    let smart = Sink::start(scene.lab.address(5), MX_PORT);
    drop(scene._dns);
    let records = zone(&scene.lab) + &format!("smart A {}\n", scene.lab.address(5));
    scene._dns = Dns::start(&scene.lab, &records);
    // The mailbox of the postmaster is unreachable by its MX record.
    scene.waypost.start_hosting("foo@dead.test");
    let answers = scene.waypost.json(&["notify", "test", "--channel", "mail"]);
    assert!(answers[0]["answer"].as_str().unwrap().starts_with("smart.test said: 250"), "{answers}");
    let letter = smart.wait_for("Subject: Waypost: a test");
    assert_eq!((letter.from.as_str(), letter.to.as_slice()), ("<>", &["<foo@dead.test>".to_owned()][..]));
    assert_eq!(scene.waypost.queued(), 0);
    scene.waypost.assert_no_bugs();
}

#[test]
fn threat_95_webhooks_do_not_reach_private_addresses() {
    let mut scene = Scene::stopped("");
    for url in [
        "https://127.0.0.1/hook",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::1]:8443/",
        "https://10.1.2.3/",
        "http://hooks.far.test/",
        "https://me:secret@hooks.far.test/",
        "file:///etc/passwd",
    ] {
        for option in ["notices.webhook", "notices.ntfy"] {
            let before = std::fs::read(&scene.waypost.config).unwrap();
            scene.waypost.configure(|config| config.set(option, url));
            let refused = scene.faults();
            assert!(refused.contains("notices") || refused.contains("is not a URL"), "{url}: {refused}");
            std::fs::write(&scene.waypost.config, before).unwrap();
        }
    }
    // The name leads to a private address: known only at the connection.
    scene.waypost.start_hosting("foo@inbox.test");
    let output = scene.waypost.command(&["notify", "test"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    for want in ["webhook  failed: hooks.far.test has no public address", "ntfy     failed: ntfy.far.test has no public address"] {
        assert!(said.contains(want), "no {want} in {said}");
    }
    assert_eq!((scene.hook.connections(), scene.ntfy.connections()), (0, 0));
    scene.waypost.assert_no_bugs();
}

#[test]
fn faulty_notice_options_are_refused() {
    let scene = Scene::stopped("private_addresses = true\n");
    let refused = |option: &str, value: &str, want: &str| {
        let before = std::fs::read(&scene.waypost.config).unwrap();
        scene.waypost.configure(|config| config.set(option, value));
        let said = scene.faults();
        assert!(said.contains(want), "{option} = {value}: {said}");
        std::fs::write(&scene.waypost.config, before).unwrap();
    };
    refused("notices.route", "nowhere.test", "no [[route]] has host = \"nowhere.test\"");
    refused("notices.webhook_secret_file", "missing.key", "missing.key");
    let short = scene.lab.write("short.key", "whsec_c2hvcnQ=\n");
    std::fs::set_permissions(&short, std::fs::Permissions::from_mode(0o600)).unwrap();
    refused("notices.webhook_secret_file", "short.key", "does not hold whsec_");
    scene.lab.write("open.key", SECRET);
    refused("notices.webhook_secret_file", "open.key", "readable by other users");
}

//! Notices of several nodes: one of them sends, the same is told once, and another takes over where it ended.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use it::{
    Dns, Lab, LabAuthority, MX_PORT, POLICY_PORT, Posted, ReportHost, Sink, Takes, Talk, Waypost, domain, wait_for, wait_within, zone,
};
use mail::Reply;
use pg_lab::PgServer;
use serde_json::Value;

/// Some looks of a node, and some time for the attempts.
const TOLD_WITHIN: Duration = Duration::from_secs(40);

struct Scene {
    a: Waypost,
    b: Waypost,
    hook: ReportHost,
    inbox: Sink,
    _full: Sink,
    database: PgServer,
    _dns: Dns,
    _lab: Lab,
}

impl Scene {
    /// Two nodes whose notices go to the same postmaster and webhook; a has the duty. The spam filter of neither answers.
    fn start() -> Self {
        let (lab, database) = (Lab::new(), PgServer::default());
        let authority = LabAuthority::new(&lab);
        let key = lab.write("hook.key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let dns = Dns::start(&lab, &(zone(&lab) + &domain(&lab, "narrow", 4) + &format!("hooks.far A {}\n", lab.address(13))));
        let hook = ReportHost::start(lab.address(13), &authority.issue(&["hooks.far.test"]), Takes::With("200 OK"));
        let inbox = Sink::start(lab.address(2), MX_PORT);
        let full = Sink::deciding(lab.address(4), MX_PORT, |_| Some(Reply::new(452, (4, 2, 2), "over quota")));
        let options = format!(
            "postmaster = \"me@example.test\"\n[tls]\nextra_authorities = \"authority.pem\"\n[filter]\nkind = \"rspamd\"\n\
             address = \"127.0.0.1:1\"\n[notices]\nwebhook = \"https://hooks.far.test:{POLICY_PORT}/\"\nwebhook_secret_file = \"hook.key\"\n\
             private_addresses = true\npaused_for = \"1s\"\ndigest_every = \"1s\"\nnew_senders = true\n"
        );
        let node = |name, host| Waypost::node(&lab, (name, host), &database.url(), &options);
        let (mut a, mut b) = (node("a", 11), node("b", 12));
        a.start_hosting("foo@inbox.test");
        for (alias, target) in [("@example.test", "bar@inbox.test"), ("full@example.test", "box@narrow.test")] {
            a.ok(&["alias", "add", alias, target]);
        }
        wait_for("a to have the duty", || (owners(&database) == "a").then_some(()));
        b.start();
        Self { a, b, hook, inbox, _full: full, database, _dns: dns, _lab: lab }
    }

    /// What was posted about this, as header and body.
    fn about(&self, what: &str) -> Vec<(Posted, Value)> {
        let read = |posted: Posted| {
            let body: Value = serde_json::from_slice(&posted.body).unwrap();
            (posted, body)
        };
        let is_wanted =
            |(_, body): &(Posted, Value)| ["subject", "text"].iter().any(|part| body["data"][part].as_str().unwrap().contains(what));
        self.hook.posted().into_iter().map(read).filter(is_wanted).collect()
    }

    fn told(&self, what: &str) -> Value {
        let told = || self.about(what).into_iter().next().map(|(_, body)| body);
        wait_within(TOLD_WITHIN, &format!("a notice about {what:?}: {}{}", self.a.log(), self.b.log()), told)
    }
}

/// The node that has the duty of notices.
fn owners(database: &PgServer) -> String {
    database.sql("SELECT node.name FROM duty JOIN node ON node.stay = duty.owner WHERE duty.name = 'notices'")
}

fn send(over: &Waypost, to: &str) {
    let mut talk = Talk::greeted(over.address, MX_PORT);
    talk.taken("her@foreign.test", to, "From: her@foreign.test\r\nSubject: hello\r\n\r\n");
}

fn webhook_id(posted: &Posted) -> String {
    posted.head.lines().find(|line| line.to_ascii_lowercase().starts_with("webhook-id: ")).unwrap().to_owned()
}

#[test]
fn two_nodes_tell_the_same_once_and_another_goes_on_where_one_ended() {
    let mut scene = Scene::start();
    // What is about a node names it, and is told of each.
    for node in ["a", "b"] {
        let told = scene.told(&format!("node {node}: the spam filter does not answer"));
        assert_eq!(told["data"]["node"], node, "{told}");
    }
    // What is about all is told once, whichever node finds it.
    for node in [&scene.a, &scene.b] {
        send(node, "full@example.test");
        send(node, "shop@example.test");
        node.wait_for_line(&["stored a notice", "the mailbox is paused: box@narrow.test"]);
        node.wait_for_line(&["stored a notice", "first mail to shop@example.test"]);
    }
    scene.told("the mailbox is paused: box@narrow.test");
    scene.told("first mail to shop@example.test");
    send(&scene.b, "of-b@example.test");
    let of_b = scene.told("first mail to of-b@example.test");
    assert!(of_b["data"]["text"].as_str().unwrap().contains("This comes from node b."), "{of_b}");
    assert_eq!((scene.about("is paused: box@").len(), scene.about("first mail to shop@").len()), (1, 1));
    assert_eq!(owners(&scene.database), "a");

    // The node with the duty dies, with a notice that was not accepted yet: another sends that one, under the same ID.
    scene.hook.takes(Takes::With("503 Service Unavailable"));
    send(&scene.b, "late@example.test");
    scene.told("first mail to late@example.test");
    scene.a.wait_for_log("the notice was not accepted");
    scene.a.kill();
    scene.database.sql("UPDATE node SET lease_until = clock_timestamp() WHERE name = 'a'");
    scene.hook.takes(Takes::With("200 OK"));
    scene.b.wait_for_line(&["postmaster notified", "channel=\"webhook\"", "first mail to late@example.test"]);
    let late: Vec<String> = scene.about("first mail to late@").iter().map(|(posted, _)| webhook_id(posted)).collect();
    assert!(late.len() >= 2 && late.iter().all(|id| *id == late[0]), "{late:?}");
    assert_eq!(owners(&scene.database), "b");

    // And it knows what was told: a, which kept the pause over its end, finds it anew.
    let before = scene.a.log().matches("stored a notice").count();
    scene.a.start();
    wait_within(TOLD_WITHIN, "a to find the pause", || {
        let log = scene.a.log();
        log.lines().filter(|line| line.contains("stored a notice")).skip(before).find(|line| line.contains("box@narrow.test")).map(drop)
    });
    send(&scene.a, "last@example.test");
    scene.told("first mail to last@example.test");
    assert_eq!((scene.about("is paused: box@").len(), scene.about("first mail to shop@").len()), (1, 1));
    let letters = scene.inbox.messages().iter().filter(|letter| letter.text().contains("Subject: Waypost: the mailbox is paused")).count();
    assert_eq!(letters, 1);
    assert_eq!(scene.database.sql("SELECT count(*) FROM shared WHERE name LIKE 'notice/%'"), "0", "all are taken");
    scene.a.assert_no_bugs();
    scene.b.assert_no_bugs();
}

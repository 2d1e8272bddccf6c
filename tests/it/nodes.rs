//! `waypost node` and the health checks of load balancers: a drained server takes no new mail, delivers what it has, and says so.

use std::fs;

use it::{Balanced, Dns, HTTP_PORT, HTTPS_PORT, HaProxy, Lab, MX_PORT, SUBMISSION_PORT, Sink, Talk, Waypost, run, zone};

/// The port of the metrics in a lab.
const METRICS_PORT: u16 = 9419;

struct Scene {
    lab: Lab,
    waypost: Waypost,
    _dns: Dns,
}

/// A server with every kind of listener, whose alias leads to a host that is not there yet.
fn scene() -> Scene {
    let lab = Lab::new();
    let at = |port| format!("[\"{}:{port}\"]", lab.address(1));
    let listen = format!("[listen]\nhttp = {}\nhttps = {}\nmetrics = {}\n", at(HTTP_PORT), at(HTTPS_PORT), at(METRICS_PORT));
    let mut waypost = Waypost::configured(&lab, &listen);
    waypost.configure(|config| config.set("retry.waits_s", vec![1_i64]));
    let dns = Dns::start(&lab, &zone(&lab));
    waypost.start_hosting("foo@inbox.test");
    Scene { lab, waypost, _dns: dns }
}

/// The status that an address answers with; 0 if it does not answer.
fn status(url: &str, more: &[&str]) -> u16 {
    let mut all = vec!["-sk", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}"];
    all.extend(more);
    all.push(url);
    String::from_utf8(run("curl", &all).stdout).unwrap().parse().unwrap()
}

impl Scene {
    fn urls(&self, path: &str) -> [String; 3] {
        let address = self.waypost.address;
        [
            format!("http://{address}:{METRICS_PORT}{path}"),
            format!("http://{address}:{HTTP_PORT}{path}"),
            format!("https://{address}:{HTTPS_PORT}{path}"),
        ]
    }

    /// What all listeners say: alive, ready.
    fn health(&self) -> Vec<(u16, u16)> {
        let (live, ready) = (self.urls("/health/live"), self.urls("/health/ready"));
        live.iter().zip(&ready).map(|(live, ready)| (status(live, &[]), status(ready, &[]))).collect()
    }

    fn metric(&self, name: &str) -> String {
        let [url, ..] = self.urls("/metrics");
        let text = it::run_ok("curl", &["-s", "--noproxy", "*", &url]);
        text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
    }
}

const CONTENT: &str = "From: her@foreign.test\r\nSubject: hello\r\n\r\nthe body\r\n";

#[test]
fn a_drained_server_delivers_and_takes_nothing_until_it_is_resumed() {
    let mut scene = scene();
    let node = scene.waypost.json(&["node", "list"])[0].clone();
    assert_eq!(
        (node["name"].as_str(), node["state"].as_str(), node["this"].as_bool()),
        (Some("mx.example.test"), Some("active"), Some(true))
    );
    let mut open = Talk::greeted(scene.waypost.address, MX_PORT);
    open.taken("her@foreign.test", "me@example.test", CONTENT);

    scene.waypost.ok(&["node", "drain"]);
    for port in [MX_PORT, SUBMISSION_PORT] {
        let banner = Talk::connect(scene.waypost.address, port).reply();
        assert!(banner.starts_with("421 4.3.2"), "{banner}");
    }
    // The session from before ends at its next message.
    open.expect("MAIL FROM:<her@foreign.test>", "421 4.3.2");
    assert!(open.is_closed());
    assert_eq!(scene.health(), [(200, 503); 3]);
    assert_eq!((scene.metric("waypost_ready"), scene.metric("waypost_drained")), ("0.0".into(), "1.0".into()));
    assert!(scene.waypost.ok(&["status"]).contains("takes no new mail"));

    // What it has is delivered, now that its host is there.
    let inbox = Sink::start(scene.lab.address(2), MX_PORT);
    inbox.wait_for("hello");
    scene.waypost.wait_for_empty_queue();

    scene.waypost.stop();
    assert_eq!(scene.waypost.json(&["node", "list"])[0]["state"], "stopped");
    scene.waypost.start();
    scene.waypost.wait_for_log("this server is drained");
    assert!(Talk::connect(scene.waypost.address, MX_PORT).reply().starts_with("421 4.3.2"), "it stays drained over a restart");
    assert_eq!(scene.health(), [(200, 503); 3]);

    scene.waypost.ok(&["node", "resume", "MX.example.test"]);
    Talk::greeted(scene.waypost.address, MX_PORT).taken("her@foreign.test", "me@example.test", CONTENT);
    assert_eq!(scene.health(), [(200, 200); 3]);
    let log = scene.waypost.ok(&["log", "--kind", "server-changed", "--json"]);
    assert!(log.contains("is drained: it goes on delivering") && log.contains("takes new mail again"), "{log}");
    scene.waypost.assert_no_bugs();
}

#[test]
fn a_local_program_can_submit_while_the_server_is_drained() {
    let scene = scene();
    scene.waypost.ok(&["node", "drain"]);
    let sink = Sink::start(scene.lab.address(2), MX_PORT);
    let message = scene.lab.write("letter", "From: root@example.test\nTo: foo@inbox.test\nSubject: from cron\n\nthe body\n");
    let out = std::process::Command::new(it::binary())
        .args(["--config", scene.waypost.config.to_str().unwrap(), "sendmail", "-f", "root@example.test", "foo@inbox.test"])
        .stdin(fs::File::open(message).unwrap())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    sink.wait_for("from cron");
}

#[test]
fn wrong_nodes_are_refused_with_the_remedy() {
    let mut scene = scene();
    assert!(scene.waypost.refused(&["node", "drain", "other.test"]).contains("waypost node list"));
    assert!(scene.waypost.refused(&["node", "remove", "mx.example.test"]).contains("is running"));
    assert!(scene.waypost.ok(&["node", "resume"]).contains("was not drained"));
    scene.waypost.stop();
    assert!(scene.waypost.refused(&["node", "remove", "mx.example.test"]).contains("the only node"));
    // Without a server it says how the next one starts.
    scene.waypost.ok(&["node", "drain"]);
    assert_eq!(scene.waypost.json(&["node", "list"])[0]["drained"], true);
    scene.waypost.start();
    assert!(Talk::connect(scene.waypost.address, MX_PORT).reply().starts_with("421 4.3.2"));
}

#[test]
fn haproxy_stops_sending_to_a_drained_server_and_to_one_that_is_gone() {
    let mut scene = scene();
    let balancer = scene.lab.address(4);
    // No PROXY header here: the health check alone decides. It asks in HTTP/1.0, without a name.
    let server = format!("check port {METRICS_PORT}");
    let haproxy = HaProxy::start(
        &scene.lab,
        &[Balanced { name: "mx", address: balancer, port: MX_PORT, server: &server, more: "option httpchk GET /health/ready" }],
    );
    haproxy.wait_for("mx", "UP", "L7OK");
    scene.waypost.ok(&["node", "drain"]);
    haproxy.wait_for("mx", "DOWN", "L7STS");
    scene.waypost.ok(&["node", "resume"]);
    haproxy.wait_for("mx", "UP", "L7OK");
    scene.waypost.stop();
    haproxy.wait_for("mx", "DOWN", "L4CON");
    scene.waypost.start();
    haproxy.wait_for("mx", "UP", "L7OK");
}

#[test]
fn health_checks_are_two_paths_and_nothing_else() {
    let scene = scene();
    let [metrics, http, https] = scene.urls("/health/ready");
    for url in [&metrics, &http, &https] {
        assert_eq!((status(url, &["-I"]), status(url, &["-0", "--no-alpn", "-H", "Host:"])), (200, 200), "{url}");
        assert_ne!(status(&format!("{url}x"), &[]) / 100, 2, "{url}x");
    }
    // haproxy's default method; a form is no check.
    assert_eq!((status(&http, &["-X", "OPTIONS"]), status(&https, &["-H", "Host: anything.test"])), (200, 200));
    assert_ne!(status(&http, &["-d", "x"]), 200);
    assert!(!scene.waypost.log().contains("not ready"), "{}", scene.waypost.log());
}

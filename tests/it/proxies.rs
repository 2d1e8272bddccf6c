//! Load balancers: haproxy passes clients on by the PROXY protocol, and checks the server; strangers cannot pretend to be others.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use it::{
    Balanced, Dns, HTTPS_PORT, HaProxy, Lab, MX_PORT, Postfix, SUBMISSION_PORT, SUBMISSIONS_PORT, Sink, Talk, Waypost, base64,
    forwarding_zone, owned, run_ok,
};
use serde_json::Value;

/// The address from which list.test may send.
const SENDER: u8 = 77;
/// haproxy's addresses: each speaks one version.
const BALANCERS: [u8; 2] = [4, 5];
/// A named proxy that is a script of the test.
const SCRIPT: u8 = 6;

struct Scene {
    lab: Lab,
    inbox: Sink,
    waypost: Waypost,
    password: String,
    _dns: Dns,
}

/// A server behind load balancers, with an account; list.test sends from one address only.
fn scene(more: &str) -> Scene {
    let lab = Lab::new();
    let named: Vec<String> = BALANCERS.iter().chain(&[SCRIPT]).map(|host| format!("\"{}\"", lab.address(*host))).collect();
    let options = format!("[forward]\ndomain = \"fwd.example.test\"\nmode = \"queue\"\nunauthenticated = \"accept\"\n{more}");
    let mut waypost = Waypost::configured(&lab, &options);
    let list: toml::Value = format!("x = [{}]", named.join(", ")).parse::<toml::Table>().unwrap().remove("x").unwrap();
    waypost.configure(|config| config.set("listen.proxy_from", list));
    let zone = format!("{}list TXT \"v=spf1 ip4:{} -all\"\nlist MX 10 mx.inbox\n", forwarding_zone(&lab), lab.address(SENDER));
    let dns = Dns::start(&lab, &zone);
    let inbox = Sink::start(lab.address(2), MX_PORT);
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    let password = waypost.account("me@example.test");
    waypost.start();
    Scene { lab, inbox, waypost, password, _dns: dns }
}

impl Scene {
    fn balancers(&self, extra: &str) -> HaProxy {
        let [first, second] = BALANCERS.map(|host| self.lab.address(host));
        let version_2 = "send-proxy-v2 proxy-v2-options crc32c,unique-id check";
        let one = |name, address, port, server, more| Balanced { name, address, port, server, more };
        let checked = "option smtpchk EHLO balancer.test";
        HaProxy::start(
            &self.lab,
            &[
                one("mx1", first, MX_PORT, "send-proxy check", checked),
                one("mx2", second, MX_PORT, version_2, &format!("{checked}\n  unique-id-format %[uuid()]\n  {extra}")),
                one("submissions", second, SUBMISSIONS_PORT, "send-proxy-v2 check", ""),
                one(
                    "submission",
                    first,
                    SUBMISSION_PORT,
                    "send-proxy check check-send-proxy",
                    "option tcp-check\n  tcp-check expect string 220",
                ),
            ],
        )
    }

    /// What the history has about a kind of event.
    fn events(&self, kind: &str) -> Vec<Value> {
        let out = self.waypost.ok(&["log", "--kind", kind, "--json"]);
        out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// Sends octets from the named proxy that is a script; returns what the server says.
    fn scripted(&self, octets: &[u8]) -> String {
        let mut talk = Talk::connect_from(self.lab.address(SCRIPT), self.waypost.address, MX_PORT);
        talk.send(octets);
        talk.reply()
    }
}

fn greeted(client: Ipv4Addr, balancer: Ipv4Addr, port: u16) -> Talk {
    let mut talk = Talk::connect_from(client, balancer, port);
    let banner = talk.reply();
    assert!(banner.starts_with("220 mx.example.test"), "{banner}");
    talk.expect("EHLO client.list.test", "250");
    talk
}

/// A header of version 2 with this command, family and rest.
fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, family], &length, rest].concat()
}

#[test]
fn haproxy_passes_the_client_on_by_both_versions() {
    let scene = scene("");
    let haproxy = scene.balancers("");
    let (sender, other) = (scene.lab.address(SENDER), scene.lab.address(SENDER + 1));
    for (number, balancer) in BALANCERS.into_iter().enumerate() {
        haproxy.wait_for(&format!("mx{}", number + 1), "UP", "L7OK");
        for (client, spf) in [(sender, "pass"), (other, "fail")] {
            let subject = format!("by-{balancer}-{spf}");
            let content = format!("From: her@list.test\r\nSubject: {subject}\r\n\r\nthe body\r\n");
            greeted(client, scene.lab.address(balancer), MX_PORT).taken("her@list.test", "me@example.test", &content);
            let text = scene.inbox.wait_for(&subject).text();
            assert!(text.contains(&format!("[{client}]")) && text.contains(&format!("spf={spf}")), "{text}");
            assert!(!text.contains(&scene.lab.address(balancer).to_string()), "the balancer is not the client: {text}");
        }
    }
    let mut clients: Vec<_> = scene.events("message-accepted").iter().map(|event| event["client"].as_str().unwrap().to_owned()).collect();
    clients.sort();
    assert_eq!(clients, [&sender, &sender, &other, &other].map(ToString::to_string));
    haproxy.wait_for("submissions", "UP", "OK");
    haproxy.wait_for("submission", "UP", "L7OK");
    scene.waypost.assert_no_bugs();
}

#[test]
fn accounts_log_in_through_a_balancer_from_their_own_address() {
    let scene = scene("[limits]\nfailed_logins_per_client = 2\n");
    let _haproxy = scene.balancers("");
    let [first, second] = BALANCERS.map(|host| scene.lab.address(host));
    let log_in = |client: u8, password: &str, want: &str| {
        let mut talk = Talk::connect_from(scene.lab.address(client), second, SUBMISSIONS_PORT);
        talk.handshake(&scene.waypost.certificate()).unwrap();
        assert!(talk.reply().starts_with("220 "));
        talk.expect("EHLO client.test", "250");
        talk.expect(&format!("AUTH PLAIN {}", base64(&format!("\0me@example.test\0{password}"))), want);
        talk
    };
    // Guesses count for the one who guesses, not for the balancer that all others come through.
    log_in(80, "a guess", "535 5.7.8");
    log_in(80, "another", "535 5.7.8");
    log_in(80, "a third", "454 4.7.0");
    let mut talk = log_in(81, &scene.password, "235 2.7.0");
    talk.taken("me@example.test", "you@inbox.test", "From: me@example.test\r\nSubject: own\r\n\r\nthe body\r\n");
    let logins = scene.events("logged-in");
    assert_eq!(logins[0]["client"], scene.lab.address(81).to_string(), "{logins:?}");
    let mut talk = greeted(scene.lab.address(82), first, SUBMISSION_PORT);
    talk.start_tls(&scene.waypost.certificate());
    talk.expect("EHLO client.test", "250");
}

#[test]
fn sessions_are_counted_by_the_client_and_not_by_its_balancer() {
    let scene = scene("[limits]\nsessions_per_client = 2\n");
    let _haproxy = scene.balancers("");
    let balancer = scene.lab.address(BALANCERS[1]);
    let _open: Vec<Talk> = [90, 90, 91, 91].map(|client| greeted(scene.lab.address(client), balancer, MX_PORT)).into();
    let refused = Talk::connect_from(scene.lab.address(90), balancer, MX_PORT).reply();
    assert!(refused.starts_with("421 4.7.0"), "{refused}");
}

#[test]
fn a_stranger_cannot_pretend_to_be_another() {
    let scene = scene("");
    let stranger = scene.lab.address(66);
    let header = format!("PROXY TCP4 {} {} 1234 25\r\n", scene.lab.address(SENDER), scene.waypost.address);
    let binary =
        version_2(0x21, 0x11, &[&scene.lab.address(SENDER).octets()[..], &scene.waypost.address.octets(), &[1, 2, 0, 25]].concat());
    // After the banner it is an unknown command.
    let mut talk = Talk::connect_from(stranger, scene.waypost.address, MX_PORT);
    assert!(talk.reply().starts_with("220 "));
    talk.expect_raw(header.as_bytes(), "500 5.5.1");
    talk.expect("EHLO client.list.test", "250");
    let content = "From: her@list.test\r\nSubject: spoofed\r\n\r\nthe body\r\n";
    talk.taken("her@list.test", "me@example.test", content);
    let text = scene.inbox.wait_for("spoofed").text();
    assert!(text.contains(&format!("[{stranger}]")) && text.contains("spf=fail"), "{text}");
    // In octets it is no command either: no reply of the session may be positive before a correct one.
    let mut talk = Talk::connect_from(stranger, scene.waypost.address, MX_PORT);
    assert!(talk.reply().starts_with("220 "));
    talk.send(&binary);
    let refused = talk.reply();
    assert!(refused.starts_with("500 ") || refused.starts_with("421 ") || refused.starts_with("554 "), "{refused}");
    for event in scene.events("message-accepted") {
        assert_eq!(event["client"], stranger.to_string());
    }
}

#[test]
fn wrong_headers_of_a_named_proxy_get_no_reply_and_no_session() {
    let scene = scene("");
    let tcp4 = [&scene.lab.address(SENDER).octets()[..], &scene.waypost.address.octets(), &[1, 2, 0, 25]].concat();
    let banner = |header: &[u8]| scene.scripted(header);
    for header in [
        b"EHLO client.test\r\n".as_slice(),
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        &[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat(),
        &version_2(0x21, 0x11, &[0; 5000]),
        &version_2(0x21, 0x21, &tcp4),
        &version_2(0x21, 0x12, &tcp4),
        &version_2(0x31, 0x11, &tcp4),
        &version_2(0x21, 0x11, &[&tcp4[..], &[3, 0, 4, 1, 2, 3, 4]].concat()),
        &version_2(0x21, 0x11, &[&tcp4[..], &[2, 0, 9, b'x']].concat()),
    ] {
        assert_eq!(banner(header), "", "{:?}", String::from_utf8_lossy(header));
    }
    scene.waypost.wait_for_line(&["no valid PROXY header", &scene.lab.address(SCRIPT).to_string(), "checksum"]);
    // Cut off, and nothing at all: it is closed in time.
    let begin = Instant::now();
    assert_eq!((banner(b"PROXY TCP4 1.2.3."), banner(b"")), (String::new(), String::new()));
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    // Without a client the proxy is one itself; with one, and values after the addresses, the client counts.
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), version_2(0x20, 0, &[]), version_2(0x21, 0x11, &[&tcp4[..], &[2, 0, 1, b'x']].concat())] {
        assert!(banner(&header).starts_with("220 "), "{:?}", String::from_utf8_lossy(&header));
    }
    let refused = scene.events("proxy-refused");
    assert_eq!(refused.len(), 13, "{refused:?}");
    assert!(refused.iter().all(|event| event["client"] == scene.lab.address(SCRIPT).to_string()), "{refused:?}");
    scene.waypost.assert_no_bugs();
}

#[test]
fn postfix_sends_through_a_balancer() {
    let scene = scene("");
    let _haproxy = scene.balancers("");
    let [first, second] = BALANCERS.map(|host| scene.lab.address(host));
    for (number, balancer) in [(10, first), (11, second)] {
        let own = scene.lab.address(number);
        let main = format!("transport_maps = inline:{{ {{example.test = smtp:[{balancer}]:{MX_PORT}}} }}\nsmtp_bind_address = {own}");
        let postfix = Postfix::start(&scene.lab, number, "foreign.test", &["her"], &main, "");
        let content = format!("From: her@foreign.test\nSubject: by-postfix-{number}\n\nthe body\n");
        postfix.sendmail("her@foreign.test", &["me@example.test"], content.as_bytes());
        let text = scene.inbox.wait_for(&format!("by-postfix-{number}")).text();
        assert!(text.contains(&format!("[{own}]")), "{text}\n{}", postfix.log());
    }
}

#[test]
fn the_page_sees_the_client_behind_a_balancer() {
    let lab = Lab::new();
    let balancer = lab.address(BALANCERS[0]);
    let options = format!("[listen]\nproxy_from = [\"{balancer}\"]\nhttp = []\nhttps = [\"{}:{HTTPS_PORT}\"]\n", lab.address(1));
    let (waypost, password) = owned(&lab, &options);
    let check = "option httpchk GET /health/ready\n  http-check expect status 200";
    let server = "send-proxy-v2 check check-ssl verify none";
    let haproxy = HaProxy::start(&lab, &[Balanced { name: "https", address: balancer, port: HTTPS_PORT, server, more: check }]);
    haproxy.wait_for("https", "UP", "L7OK");
    let client = lab.address(80).to_string();
    let (url, to) =
        (format!("https://mx.example.test:{HTTPS_PORT}/login"), format!("mx.example.test:{HTTPS_PORT}:{balancer}:{HTTPS_PORT}"));
    let origin = format!("Origin: https://mx.example.test:{HTTPS_PORT}");
    let password = format!("password={password}");
    let mut all =
        vec!["-sSki", "--noproxy", "*", "--interface", &client, "--connect-to", &to, "-H", &origin, "-H", "Sec-Fetch-Site: same-origin"];
    all.extend(["--data-urlencode", "login=me@example.test", "--data-urlencode", &password, "--data-urlencode", "next=/account", &url]);
    let answer = run_ok("curl", &all);
    assert!(answer.contains("303"), "{answer}");
    let out = waypost.ok(&["log", "--kind", "owner-logged-in", "--json"]);
    assert!(out.contains(&format!("\"client\":\"{client}\"")), "{out}");
}

#[test]
fn the_servers_own_checks_pass_from_the_address_of_a_proxy() {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, "");
    // Its own connections to loopback come from this address.
    waypost.configure(|config| config.set("listen.proxy_from", vec!["127.0.0.1".to_owned()]));
    let _dns = Dns::start(&lab, &forwarding_zone(&lab));
    waypost.start_hosting("foo@inbox.test");
    let output = waypost.command(&["--json", "doctor", "--address", &waypost.address.to_string(), "--time-server", ""]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ports: Vec<&Value> = report["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == "port").collect();
    assert!(ports.len() == 3 && ports.iter().all(|port| port["severity"] == "good"), "{ports:#?}");
}

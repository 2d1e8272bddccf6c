//! Metrics: real mail, then the counters say exactly what happened, in both formats; Prometheus's own tools read them.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use it::{Dns, Lab, MX_PORT, Process, SUBMISSION_PORT, Sink, Talk, Waypost, base64, forwarding_zone, run, run_ok, wait_for};
use mail::Reply;

/// The port of the metrics in a lab.
const METRICS_PORT: u16 = 9419;

/// The port of Prometheus in a lab.
const PROMETHEUS_PORT: u16 = 9090;

struct Scene {
    lab: Lab,
    inbox: Sink,
    waypost: Waypost,
    password: String,
    _dns: Dns,
}

/// A server for example.test: me@ leads to foo@inbox.test, gone@ to a mailbox that does not exist. lax.test has p=quarantine, foreign.test p=reject.
fn scene() -> Scene {
    let lab = Lab::new();
    let listen = format!("[listen]\nmetrics = [\"{}:{METRICS_PORT}\"]\n", lab.address(1));
    let options = format!("[forward]\ndomain = \"fwd.example.test\"\nmode = \"queue\"\nunauthenticated = \"hold\"\n{listen}");
    let mut waypost = Waypost::configured(&lab, &options);
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let keys = waypost.keys("fwd.example.test") + &waypost.keys("example.test");
    let more =
        "_dmarc.lax TXT \"v=DMARC1; p=quarantine\"\nlist TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\nlist MX 10 mx.inbox\nfar MX 10 mx.inbox\n";
    let dns = Dns::start(&lab, &(forwarding_zone(&lab) + more + &keys));
    let no_such = |recipient: &str| recipient.contains("gone").then(|| Reply::new(550, (5, 1, 1), "no such user"));
    let inbox = Sink::deciding(lab.address(2), MX_PORT, no_such);
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.ok(&["alias", "add", "gone@example.test", "gone@inbox.test"]);
    waypost.ok(&["alias", "add", "off@example.test", "foo@inbox.test"]);
    waypost.ok(&["alias", "disable", "off@example.test"]);
    let password = waypost.account("me@example.test");
    waypost.start();
    Scene { lab, inbox, waypost, password, _dns: dns }
}

impl Scene {
    fn url(&self) -> String {
        format!("http://{}:{METRICS_PORT}/metrics", self.waypost.address)
    }

    /// A scrape with this Accept field; returns header section and body.
    fn scraped(&self, accept: &str) -> (String, String) {
        let text = run_ok("curl", &["-s", "-i", "-H", &format!("Accept: {accept}"), &self.url()]);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}"));
        (head.to_ascii_lowercase(), body.to_owned())
    }

    fn sent(&self, from: &str, author: &str, to: &str) -> String {
        let content = format!("From: {author}\r\nSubject: hello\r\n\r\nthe body\r\n");
        Talk::greeted(self.waypost.address, MX_PORT).message(from, to, &content)
    }

    /// Mail of every kind: 2 accepted and delivered, 1 accepted and failed with a DSN, 1 held, 1 refused, 1 submitted; 3 recipients and 1 login refused.
    fn mail(&self) {
        for _ in 0..2 {
            let reply = self.sent("her@list.test", "her@list.test", "me@example.test");
            assert!(reply.starts_with("250 2.0.0"), "{reply}");
        }
        assert!(self.sent("her@list.test", "her@list.test", "gone@example.test").starts_with("250 2.0.0"));
        assert!(self.sent("her@list.test", "boss@lax.test", "me@example.test").starts_with("250 2.0.0"));
        let refused = self.sent("her@list.test", "her@foreign.test", "me@example.test");
        assert!(refused.starts_with("550 5.7.1"), "{refused}");
        let mut talk = Talk::greeted(self.waypost.address, MX_PORT);
        talk.expect("MAIL FROM:<her@list.test>", "250");
        talk.expect("RCPT TO:<nobody@example.test>", "550 5.1.1");
        talk.expect("RCPT TO:<off@example.test>", "550 5.2.1");
        talk.expect("RCPT TO:<someone@elsewhere.test>", "550 5.7.1");
        let mut talk = Talk::greeted(self.waypost.address, SUBMISSION_PORT);
        talk.start_tls(&self.waypost.certificate());
        talk.expect("EHLO client.foreign.test", "250");
        talk.expect(&format!("AUTH PLAIN {}", base64("\0me@example.test\0wrong")), "535 5.7.8");
        let mut talk = self.waypost.logged_in("me@example.test", &self.password);
        talk.taken("me@example.test", "you@far.test", "From: me@example.test\r\nSubject: own\r\n\r\nthe body\r\n");
        // The fourth is the DSN about the failure.
        wait_for("four deliveries", || (self.inbox.messages().len() == 4).then_some(()));
    }
}

const TEXT: &str = "text/plain";
const OPEN: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

/// Samples of this metric that are not 0, without its name.
fn samples(text: &str, name: &str) -> Vec<String> {
    let of_it = |line: &str| line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' '])).map(ToOwned::to_owned);
    text.lines().filter_map(of_it).filter(|rest| !rest.ends_with(" 0") && !rest.ends_with(" 0.0")).collect()
}

fn assert_samples(text: &str, name: &str, want: &[&str]) {
    assert_eq!(samples(text, name), want, "{name}");
}

#[test]
fn counters_say_exactly_what_happened() {
    let scene = scene();
    scene.mail();
    let text = wait_for("the deliveries to be settled", || {
        let (_, text) = scene.scraped(TEXT);
        (samples(&text, "waypost_deliveries_total").len() == 4).then_some(text)
    });
    assert_samples(
        &text,
        "waypost_recipients_refused_total",
        &["{cause=\"unknown-address\"} 1", "{cause=\"address-disabled\"} 1", "{cause=\"policy\"} 1"],
    );
    assert_samples(
        &text,
        "waypost_messages_accepted_total",
        &["{how=\"queued\",flow=\"own\"} 1", "{how=\"queued\",flow=\"forward\"} 3", "{how=\"held\",flow=\"forward\"} 1"],
    );
    assert_samples(&text, "waypost_messages_refused_total", &["{cause=\"policy\"} 1"]);
    assert_samples(
        &text,
        "waypost_deliveries_total",
        &[
            "{result=\"delivered\",flow=\"own\"} 1",
            "{result=\"delivered\",flow=\"forward\"} 2",
            "{result=\"delivered\",flow=\"report\"} 1",
            "{result=\"failed\",flow=\"forward\"} 1",
        ],
    );
    assert_samples(&text, "waypost_delivery_troubles_total", &["{result=\"failed\",cause=\"unknown-address\"} 1"]);
    assert_samples(&text, "waypost_deliveries_tls_total", &["{version=\"none\",verified=\"none\"} 4"]);
    assert_samples(&text, "waypost_messages_received_tls_total", &["{version=\"1.3\"} 1", "{version=\"none\"} 4"]);
    assert_samples(&text, "waypost_logins_total", &["{result=\"accepted\"} 1", "{result=\"refused\"} 1"]);
    assert_samples(&text, "waypost_spf_total", &["{result=\"pass\"} 5"]);
    assert_samples(&text, "waypost_dmarc_total", &["{result=\"fail\"} 2", "{result=\"none\"} 3"]);
    assert_samples(&text, "waypost_accept_seconds_count", &[" 4"]);
    assert_samples(&text, "waypost_first_attempt_seconds_count", &[" 5"]);
    assert_samples(&text, "waypost_delivery_seconds_count", &[" 4"]);
    assert_samples(&text, "waypost_message_size_bytes_count", &[" 5"]);
    assert_samples(&text, "waypost_queue_held_recipients", &[" 1.0"]);
    assert_samples(&text, "waypost_bugs_caught_total", &[]);
    let commits = samples(&text, "waypost_store_commits_total");
    assert!(commits.len() == 1 && commits[0].starts_with("{result=\"committed\"} "), "{commits:?}");
    let (_, open) = scene.scraped(OPEN);
    for name in [
        "waypost_recipients_refused_total",
        "waypost_messages_accepted_total",
        "waypost_deliveries_total",
        "waypost_delivery_seconds_count",
    ] {
        assert_eq!(samples(&text, name), samples(&open, name), "{name}");
    }
    for private in ["her@", "example.test", "127.0.0.1", "hello"] {
        let labels = |line: &&str| !line.contains("certificate_expiry") && !line.starts_with('#');
        assert!(!text.lines().filter(labels).any(|line| line.contains(private)), "{private}");
    }
    scene.waypost.assert_no_bugs();
}

#[test]
fn both_formats_are_what_their_content_type_says() {
    let scene = scene();
    let (head, text) = scene.scraped(TEXT);
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    let mut promtool = Command::new("promtool");
    let mut child =
        promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    let (head, open) = scene.scraped(OPEN);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert!(open.ends_with("# EOF\n"));
    let judge = "import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as read; \
                 print(len(list(read(sys.stdin.read()))))";
    let families: usize = it::python(&["-c", judge], &open).trim().parse().unwrap();
    assert!(families > 40, "{families}");
    for (method, path, status) in [("GET", "/", "404"), ("POST", "/metrics", "405")] {
        let url = format!("http://{}:{METRICS_PORT}{path}", scene.waypost.address);
        assert_eq!(run_ok("curl", &["-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, &url]), status);
    }
}

#[test]
fn metrics_are_off_by_default() {
    let lab = Lab::new();
    let dns = Dns::start(&lab, &forwarding_zone(&lab));
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    assert!(!waypost.log().contains("kind=metrics"));
    assert!(!run("curl", &["-s", &format!("http://{}:{METRICS_PORT}/metrics", waypost.address)]).status.success());
    drop(dns);
}

/// A Prometheus that scrapes the scene's server.
fn prometheus(scene: &Scene) -> Process {
    let target = format!("{}:{METRICS_PORT}", scene.waypost.address);
    let rules = fs::canonicalize("../examples/prometheus/alerts.yml").unwrap();
    let config = scene.lab.write(
        "prometheus.yml",
        &format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: [\"{}\"]\nscrape_configs:\n- job_name: waypost\n  \
             static_configs: [{{targets: [\"{target}\"]}}]\n",
            rules.display()
        ),
    );
    let log = fs::File::create(scene.lab.path().join("prometheus.log")).unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", scene.lab.path().join("tsdb").display()));
    command.arg(format!("--web.listen-address={}:{PROMETHEUS_PORT}", scene.lab.address(9)));
    Process::start(command.stdout(Stdio::null()).stderr(log))
}

#[test]
fn prometheus_scrapes_and_answers_a_query() {
    let scene = scene();
    scene.mail();
    let _prometheus = prometheus(&scene);
    let asked = |query: &str| {
        let url = format!("http://{}:{PROMETHEUS_PORT}/api/v1/query", scene.lab.address(9));
        let output = run("curl", &["-s", "-G", "--data-urlencode", &format!("query={query}"), &url]);
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(answer["data"]["result"][0]["value"][1].as_str()?.to_owned())
    };
    for (query, value) in [
        ("up{job=\"waypost\"}", "1"),
        ("sum(waypost_messages_accepted_total)", "5"),
        ("sum(waypost_deliveries_total{result=\"failed\"})", "1"),
        ("histogram_quantile(0.9, sum by (le) (waypost_delivery_seconds_bucket)) < bool 60", "1"),
        ("count(waypost_build_info)", "1"),
    ] {
        wait_for(&format!("{query} to be {value}; it is {:?}", asked(query)), || (asked(query).as_deref() == Some(value)).then_some(()));
    }
    let dashboard: serde_json::Value = serde_json::from_str(include_str!("../../examples/grafana/waypost.json")).unwrap();
    let mut queries = Vec::new();
    collect(&dashboard, &mut queries);
    assert!(queries.len() > 40, "{queries:?}");
    for query in queries {
        let query = query.replace("$instance", ".+").replace("$__rate_interval", "1m");
        let url = format!("http://{}:{PROMETHEUS_PORT}/api/v1/query", scene.lab.address(9));
        let answer = run_ok("curl", &["-s", "-G", "--data-urlencode", &format!("query={query}"), &url]);
        assert!(answer.starts_with("{\"status\":\"success\""), "{query}: {answer}");
    }
}

/// Every query of a dashboard.
fn collect(value: &serde_json::Value, queries: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            queries.extend(members.get("expr").and_then(serde_json::Value::as_str).map(ToOwned::to_owned));
            members.values().for_each(|member| collect(member, queries));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, queries)),
        _ => {}
    }
}

/// The names of metrics in an expression of PromQL: what is followed by a selector or stands alone, but no function, label or keyword.
fn names(query: &str) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words =
        query.split(|c: char| !is_word(c)).filter(|word| word.starts_with("waypost_") || word.starts_with("process_") || *word == "up");
    words.map(ToOwned::to_owned).collect()
}

/// The labels of a metric, as its page has them; a test of the crate compares that with the source.
fn documented_labels(name: &str) -> Vec<&'static str> {
    let rows = include_str!("../../docs/metrics.md").lines().filter_map(|line| line.strip_prefix("| `"));
    let row = rows.map(|row| row.split('|').collect::<Vec<_>>()).find(|row| row[0].trim() == format!("{name}`"));
    row.map(|row| row[2].trim().split(", ").collect()).unwrap_or_default()
}

/// The labels that an expression selects or groups by.
fn labels(query: &str) -> Vec<String> {
    let lists = query
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
        .chain(query.split("by (").skip(1).filter_map(|rest| rest.split(')').next()));
    let of_list = |list: &str| {
        list.split(',').map(|item| item.split(['=', '!', '~']).next().unwrap_or_default().trim().to_owned()).collect::<Vec<_>>()
    };
    lists.flat_map(of_list).filter(|label| !label.is_empty()).collect()
}

#[test]
fn dashboard_and_alerts_name_what_there_is_and_the_dashboard_all_of_it() {
    let (scene, mut queries) = (scene(), Vec::new());
    let (_, text) = scene.scraped(TEXT);
    let families: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).filter_map(|rest| rest.split(' ').next()).collect();
    assert!(families.len() > 50, "{families:?}");
    let dashboard: serde_json::Value = serde_json::from_str(include_str!("../../examples/grafana/waypost.json")).unwrap();
    collect(&dashboard, &mut queries);
    let on_dashboard = queries.len();
    let alerts = fs::read_to_string("../examples/prometheus/alerts.yml").unwrap();
    queries.extend(
        alerts.split("expr: ").skip(1).map(|rest| rest.split(" labels: ").next().unwrap().split("for: ").next().unwrap().replace('|', " ")),
    );
    assert!(queries.len() > on_dashboard + 10, "{queries:?}");
    let family = |name: &str| -> String {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).filter(|base| families.contains(base));
        base.unwrap_or(name).to_owned()
    };
    let (mut shown, mut wrong) = (Vec::new(), Vec::new());
    for (number, query) in queries.iter().enumerate() {
        let named: Vec<String> = names(query).iter().map(|name| family(name)).collect();
        wrong.extend(
            named.iter().filter(|name| *name != "up" && !families.contains(&name.as_str())).map(|name| format!("{name} in {query}")),
        );
        // `instance` and `job` come from Prometheus, `le` is in every histogram.
        let known =
            |label: &str| ["instance", "job", "le"].contains(&label) || named.iter().any(|name| documented_labels(name).contains(&label));
        wrong.extend(labels(query).iter().filter(|label| !known(label)).map(|label| format!("label {label} in {query}")));
        if number < on_dashboard {
            shown.extend(named);
        }
    }
    assert!(wrong.is_empty(), "no such metric or label:\n{}", wrong.join("\n"));
    let missing: Vec<&&str> = families.iter().filter(|name| !shown.contains(&(**name).to_owned())).collect();
    assert!(missing.is_empty(), "not on the dashboard: {missing:?}");
    // Prometheus itself parses each expression, as a rule.
    let rule = |(number, query): (usize, &String)| {
        let query = query.replace("$instance", ".+").replace("$__rate_interval", "1m");
        format!("  - record: panel:{number}\n    expr: {}\n", serde_json::Value::String(query))
    };
    let rules: String = queries.iter().take(on_dashboard).enumerate().map(rule).collect();
    let rules = scene.lab.write("dashboard.yml", &format!("groups:\n- name: dashboard\n  rules:\n{rules}"));
    run_ok("promtool", &["check", "rules", rules.to_str().unwrap()]);
}

#[test]
fn alert_rules_are_valid_and_fire_when_they_should() {
    run_ok("promtool", &["check", "rules", "../examples/prometheus/alerts.yml"]);
    run_ok("promtool", &["test", "rules", "it/alerts.test.yml"]);
}

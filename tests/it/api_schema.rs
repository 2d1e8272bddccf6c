//! The HTTP API of a real server over HTTPS: schemathesis against its OpenAPI document, tokens, and requests of attackers.
//!
//! RFC 6750, RFC 9457, threats.md 90 to 94. Invariant: no request makes the server fail, and every answer is as the document says.

use it::{HTTPS_PORT, Lab, Waypost, python, run_ok};
use serde_json::{Value, json};

const ME: &str = "me@example.test";

/// What schemathesis calls: everything except streams without an end, orders at a CA, and what waits for DNS, which this lab does not have.
const RUN: &str = r#"
import os, sys, tempfile
from schemathesis.cli import schemathesis
# It keeps what it learns in the working directory.
os.chdir(tempfile.mkdtemp())
url, token, seed = sys.argv[1:4]
arguments = ["run", url + "/openapi.json", "--url", url.removesuffix("/api/v1"), "--header", "Authorization: Bearer " + token, "--header", "Host: mx.example.test",
    "--tls-verify", "false", "--seed", seed, "--max-examples", "4", "--phases", "examples,coverage,fuzzing",
    "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
    "--generation-database", "none", "--no-color", "--request-timeout", "20",
    "--exclude-path-regex", "(follow|/certificates/renew|/keys/test|/health|/messages|/explain|/tokens|/dns|/metrics|/reload)"]
try:
    schemathesis(arguments)
except SystemExit as end:
    print("exit", end.code)
"#;

fn serving(lab: &Lab) -> Waypost {
    let mut waypost = Waypost::configured(lab, "[client_config]\n[api]\npassword_managers = true\n");
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    waypost.ok(&["alias", "add", ME, "me@inbox.test"]);
    waypost.account(ME);
    waypost.start();
    waypost
}

fn token(waypost: &Waypost, arguments: &[&str]) -> String {
    let made = waypost.json(&[&["token", "add"], arguments].concat());
    made["token"].as_str().unwrap().to_owned()
}

/// Sends a request by curl. Returns the status and the body.
fn ask(waypost: &Waypost, path: &str, more: &[&str]) -> (u16, Value) {
    let to = format!("mx.example.test:{HTTPS_PORT}:{}:{HTTPS_PORT}", waypost.address);
    let url = format!("https://mx.example.test:{HTTPS_PORT}{path}");
    let mut all = vec!["-sSk", "--path-as-is", "--noproxy", "*", "--connect-to", &to, "-w", "\n%{http_code}"];
    all.extend(more);
    all.push(&url);
    let out = run_ok("curl", &all);
    let (body, status) = out.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

#[test]
fn schemathesis_finds_no_failure_and_no_violation() {
    let lab = Lab::new();
    let mut waypost = serving(&lab);
    let token = token(&waypost, &["schemathesis", "--scope", "admin"]);
    let url = format!("https://{}:{HTTPS_PORT}/api/v1", waypost.address);
    let out = python(&["-", &url, &token, "42"], RUN);
    assert!(out.contains("exit 0"), "{out}");
    waypost.assert_no_bugs();
    waypost.stop();
}

#[test]
fn tokens_open_the_api_and_wrong_ones_are_limited() {
    let lab = Lab::new();
    let waypost = serving(&lab);
    let reader = token(&waypost, &["grafana", "--scope", "read"]);
    let bearer = format!("Authorization: Bearer {reader}");
    let (status, aliases) = ask(&waypost, "/api/v1/aliases", &["-H", &bearer]);
    assert_eq!((status, &aliases["items"][0]["source"]), (200, &json!(ME)), "{aliases}");
    let json = ["-H", "Content-Type: application/json"];
    let new = r#"{"name":"x.test"}"#;
    assert_eq!(ask(&waypost, "/api/v1/domains", &[&["-H", &bearer, "-d", new][..], &json].concat()).0, 403);
    assert_eq!(ask(&waypost, "/api/v1/aliases", &[]).0, 401);
    assert_eq!(ask(&waypost, "/api/v1/..%2f..%2fetc%2fpasswd", &["-H", &bearer]).0, 404);
    let (rebound, _) = ask(&waypost, "/api/v1/aliases", &["-H", &bearer, "-H", "Host: rebound.test"]);
    assert_eq!(rebound, 421, "another host is not the server's");
    let both = ["-H", &bearer, "-H", "Transfer-Encoding: chunked", "-H", "Content-Length: 3", "-d", "{}"];
    assert_eq!(ask(&waypost, "/api/v1/domains", &both).0, 400);
    let large = lab.write("large.json", &"x".repeat(10 * 1024 * 1024));
    let file = format!("@{}", large.display());
    assert_eq!(ask(&waypost, "/api/v1/domains", &[&["-H", &bearer, "--data-binary", &file][..], &json].concat()).0, 413);
    let deep = lab.write("deep.json", &format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)));
    let admin = format!("Authorization: Bearer {}", token(&waypost, &["root", "--scope", "admin"]));
    let file = format!("@{}", deep.display());
    assert_eq!(ask(&waypost, "/api/v1/domains", &[&["-H", &admin, "--data-binary", &file][..], &json].concat()).0, 400);

    let guess = |n: u32| ask(&waypost, "/api/v1/status", &["-H", &format!("Authorization: Bearer wpt_{n}")]).0;
    let statuses: Vec<u16> = (0..100).map(guess).take_while(|status| *status == 401).collect();
    assert!(!statuses.is_empty() && statuses.len() < 100, "wrong tokens are refused, and then limited");
    assert_eq!(guess(100), 429);
    assert_eq!(ask(&waypost, "/api/v1/status", &["-H", &bearer]).0, 200, "a valid token still works");
    waypost.ok(&["token", "remove", "grafana"]);
    assert_ne!(ask(&waypost, "/api/v1/status", &["-H", &bearer]).0, 200);
}

/// What Bitwarden sends with the server URL https://mx.example.test/addy.
#[test]
fn bitwarden_makes_an_address_that_takes_mail() {
    let lab = Lab::new();
    let waypost = serving(&lab);
    let token = token(&waypost, &["bitwarden", "--scope", "aliases", "--account", ME]);
    let bearer = format!("Authorization: Bearer {token}");
    let body = r#"{"domain":"example.test","description":"Website: shop.test. Generated by Bitwarden."}"#;
    let fields = ["-H", &bearer, "-H", "Content-Type: application/json", "-H", "X-Requested-With: XMLHttpRequest", "-d", body];
    let (status, made) = ask(&waypost, "/addy/api/v1/aliases", &fields);
    let email = made["data"]["email"].as_str().unwrap_or_default();
    assert!(status == 201 && email.ends_with("@example.test"), "{status} {made}");
    let test = waypost.json(&["alias", "test", email]);
    assert_eq!(test["targets"], json!(["me@inbox.test"]), "{test}");
    assert!(waypost.ok(&["alias", "list"]).contains("Website: shop.test. Generated by Bitwarden."));
    let field = format!("Authentication: {token}");
    let note = ["-H", &field, "-H", "Content-Type: application/json", "-d", r#"{"note":"Generated by Bitwarden."}"#];
    let (status, made) = ask(&waypost, "/simplelogin/api/alias/random/new?hostname=shop.test", &note);
    assert!(status == 201 && made["alias"].as_str().is_some_and(|alias| alias.ends_with("@example.test")), "{status} {made}");
}

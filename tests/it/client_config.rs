//! Client configuration as fetched by Thunderbird, Outlook and Apple Mail; and the MTA-STS policy as fetched by a server.
//!
//! RFC 6186, RFC 8461. Invariant: other programs fetch everything, over HTTPS that trusts only the lab's authority.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use it::{DNS_PORT, Dns, HTTP_PORT, HTTPS_PORT, Lab, MX_PORT, Sink, Waypost, fed, run, run_ok};
use serde_json::{Value, json};

const ME: &str = "me@example.test";

/// Its mail goes to a mailbox that must stay secret.
const SECRET: &str = "secret.owner@gmail.com";

const OUTLOOK: &str = include_str!("outlook_autodiscover.xml");

struct Office {
    lab: Lab,
    waypost: Waypost,
    password: String,
    authority: PathBuf,
    records: Vec<(String, String, String)>,
}

impl Office {
    /// A server with a certificate for all names, issued by an authority; `extra` are further sections.
    fn open(extra: &str) -> Self {
        let lab = Lab::new();
        let now_s = net::Clock::system().now_s();
        let authority = net::Authority::new("lab", now_s).unwrap();
        let labels = ["mx.", "autoconfig.", "autodiscover.", "mta-sts.", ""];
        let issued = authority.issue(&labels.map(|label| format!("{label}example.test")), 30, now_s).unwrap();
        let root = lab.write("ca.pem", &authority.certificate);
        lab.write("pair/cert.pem", &issued.chain);
        let key = lab.write("pair/key.pem", &issued.key);
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let section = if extra.contains("[client_config]\n") { "" } else { "[client_config]\n" };
        let pair = "[[tls.pair]]\ncertificate = \"pair/cert.pem\"\nkey = \"pair/key.pem\"\n";
        let mut waypost = Waypost::configured(&lab, &format!("{section}{extra}{pair}"));
        let made = waypost.json(&["setup", "example.test", "--forward", &format!("{ME}={SECRET}")]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let records = made["dns"].as_array().unwrap().iter().map(|r| (text(&r["name"]), text(&r["kind"]), text(&r["value"]))).collect();
        let password = made["logins"][0]["password"].as_str().unwrap().to_owned();
        waypost.start();
        Self { lab, waypost, password, authority: root, records }
    }

    fn curl(&self, url: &str, more: &[&str]) -> String {
        let mut all = vec!["-sS".to_owned(), "--noproxy".into(), "*".into(), "--cacert".into(), self.authority.display().to_string()];
        for label in ["mx.", "autoconfig.", "autodiscover.", "mta-sts.", "www.", ""] {
            for port in [HTTP_PORT, HTTPS_PORT] {
                all.extend(["--resolve".into(), format!("{label}example.test:{port}:{}", self.waypost.address)]);
            }
        }
        all.extend(more.iter().map(|argument| (*argument).to_owned()));
        all.push(url.into());
        run_ok("curl", &all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn https(&self, host: &str, path: &str, more: &[&str]) -> String {
        self.curl(&format!("https://{host}:{HTTPS_PORT}{path}"), more)
    }

    fn outlook(&self, host: &str, path: &str, body: &str) -> String {
        self.https(host, path, &["-H", "Content-Type: text/xml", "-A", "Microsoft Office/16.0", "--data-binary", body])
    }
}

/// The servers in a document, parsed by Python: lists of element and text.
fn servers(xml: &str, of: &str) -> Vec<Vec<(String, String)>> {
    let script = "import json,sys,xml.etree.ElementTree as E\nr=E.fromstring(sys.stdin.buffer.read())\n\
                  t=lambda e:e.tag.split('}')[-1]\n\
                  print(json.dumps([[[t(c),c.text] for c in e] for e in r.iter() if t(e) in sys.argv[1].split(',')]))";
    serde_json::from_str(&fed("python3", &["-c", script, of], xml)).unwrap()
}

fn field<'a>(server: &'a [(String, String)], name: &str) -> &'a str {
    &server.iter().find(|(key, _)| key == name).unwrap_or_else(|| panic!("no {name} in {server:?}")).1
}

/// Submits with smtplib and the settings that a client received.
fn submit(office: &Office, (host, port, implicit): (&str, &str, bool), user: &str, subject: &str) {
    let script = "import smtplib,ssl,sys,socket\nhost,port,how,user,password,ca,address,subject=sys.argv[1:]\n\
                  real=socket.create_connection\n\
                  socket.create_connection=lambda to,*a,**k: real((address,to[1]),*a,**k)\n\
                  c=ssl.create_default_context(cafile=ca)\n\
                  s=smtplib.SMTP_SSL(host,int(port),context=c) if how=='tls' else smtplib.SMTP(host,int(port))\n\
                  how=='tls' or s.starttls(context=c)\ns.login(user,password)\n\
                  s.sendmail(user,'you@foreign.test','From: %s\\r\\nTo: you@foreign.test\\r\\nSubject: %s\\r\\n\\r\\nhello\\r\\n'%(user,subject))\ns.quit()";
    let (authority, address) = (office.authority.display().to_string(), office.waypost.address.to_string());
    let how = if implicit { "tls" } else { "starttls" };
    run_ok("python3", &["-c", script, host, port, how, user, &office.password, &authority, &address, subject]);
}

fn zone(lab: &Lab) -> String {
    format!("foreign MX 10 mx.foreign\nmx.foreign A {}\nmx.example A {}\n", lab.address(2), lab.address(1))
}

#[test]
fn autoconfig_settings_work() {
    let office = Office::open("[client_config]\nimap_host = \"imap.inbox.test\"\n");
    let _dns = Dns::start(&office.lab, &zone(&office.lab));
    let far = Sink::start(office.lab.address(2), MX_PORT);
    // In Thunderbird's order; it follows redirections.
    let paths = ["/mail/config-v1.1.xml?emailaddress=me%40example.test", "/.well-known/autoconfig/mail/config-v1.1.xml"];
    let urls = [
        format!("https://autoconfig.example.test:{HTTPS_PORT}{}", paths[0]),
        format!("https://example.test:{HTTPS_PORT}{}", paths[1]),
        format!("http://autoconfig.example.test:{HTTP_PORT}{}", paths[0]),
        format!("http://example.test:{HTTP_PORT}{}", paths[1]),
    ];
    let fetched = urls.map(|url| office.curl(&url, &["-f", "-L"]));
    assert!(fetched.iter().all(|xml| *xml == fetched[0]), "{fetched:?}");
    let file = office.lab.write("config.xml", &fetched[0]).display().to_string();
    run_ok("xmllint", &["--noout", "--nonet", &file]);
    let incoming = servers(&fetched[0], "incomingServer");
    assert_eq!(incoming.len(), 1);
    assert_eq!(
        (field(&incoming[0], "hostname"), field(&incoming[0], "port"), field(&incoming[0], "socketType")),
        ("imap.inbox.test", "993", "SSL")
    );
    let outgoing = servers(&fetched[0], "outgoingServer");
    let kinds: Vec<&str> = outgoing.iter().map(|server| field(server, "socketType")).collect();
    assert_eq!(kinds, ["SSL", "STARTTLS"]);
    for (server, kind) in outgoing.iter().zip(kinds) {
        assert_eq!((field(server, "hostname"), field(server, "authentication")), ("mx.example.test", "password-cleartext"));
        let user = field(server, "username").replace("%EMAILADDRESS%", ME);
        submit(&office, (field(server, "hostname"), field(server, "port"), kind == "SSL"), &user, &format!("thunderbird {kind}"));
        far.wait_for(&format!("Subject: thunderbird {kind}"));
    }
    office.waypost.assert_no_bugs();
}

#[test]
fn autodiscover_answers_outlook_and_refuses_hostile_xml() {
    let office = Office::open("");
    let _dns = Dns::start(&office.lab, &zone(&office.lab));
    let far = Sink::start(office.lab.address(2), MX_PORT);
    let body = OUTLOOK.replace("ADDRESS", ME);
    let reported = office.outlook("autodiscover.example.test", "/autodiscover/autodiscover.xml", &body);
    assert_eq!(office.outlook("example.test", "/Autodiscover/Autodiscover.xml", &body), reported);
    let protocols = servers(&reported, "Protocol");
    assert_eq!(
        protocols.iter().map(|p| (field(p, "Type"), field(p, "Encryption"))).collect::<Vec<_>>(),
        [("SMTP", "SSL"), ("SMTP", "TLS")]
    );
    submit(&office, (field(&protocols[0], "Server"), field(&protocols[0], "Port"), true), field(&protocols[0], "LoginName"), "outlook");
    far.wait_for("Subject: outlook");

    let entity = |declared: &str, address: &str| {
        body.replacen("<Autodiscover", &format!("<!DOCTYPE a [{declared}]><Autodiscover"), 1).replace(ME, address)
    };
    let bombs: String = (1..12).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
    for hostile in [
        entity("<!ENTITY x SYSTEM \"file:///etc/passwd\">", "&x;@example.test"),
        entity("<!ENTITY % x SYSTEM \"http://127.0.0.1/\"> %x;", ME),
        entity(&format!("<!ENTITY l0 \"ha\">{bombs}"), "&l11;@example.test"),
        "<Autodiscover>".repeat(2000),
        "not xml".into(),
    ] {
        let refused = office.outlook("autodiscover.example.test", "/autodiscover/autodiscover.xml", &hostile);
        assert!(refused.contains("<ErrorCode>600</ErrorCode>") && !refused.contains("root:") && !refused.contains("Protocol"), "{refused}");
    }
    let by_get = office.https("autodiscover.example.test", "/autodiscover/autodiscover.xml", &[]);
    assert!(by_get.contains("<ErrorCode>600</ErrorCode>"), "{by_get}");
    office.waypost.assert_no_bugs();
}

/// All answers for an address, the address itself replaced.
fn answers(office: &Office, address: &str) -> Vec<String> {
    let query = address.replace('@', "%40");
    let mut all = vec![
        office.https("autoconfig.example.test", &format!("/mail/config-v1.1.xml?emailaddress={query}"), &["-i"]),
        office.https("example.test", &format!("/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress={query}"), &["-i"]),
        office.outlook("autodiscover.example.test", "/autodiscover/autodiscover.xml", &OUTLOOK.replace("ADDRESS", address)),
    ];
    // Signatures change every second, and are not text.
    all.push(office.https(
        "autoconfig.example.test",
        &format!("/mobileconfig?emailaddress={query}"),
        &["-o", "/dev/null", "-w", "%{http_code}"],
    ));
    let without_date = |text: &String| text.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n");
    all.iter().map(|answer| without_date(answer).replace(address, "ADDRESS")).collect()
}

#[test]
fn client_configuration_reveals_no_addresses_or_targets() {
    let office = Office::open("");
    let of_me = answers(&office, ME);
    assert_eq!(of_me, answers(&office, "nobody@example.test"));
    assert_eq!(of_me[3], "404");
    assert!(of_me.iter().all(|answer| !answer.contains("gmail") && !answer.contains("secret.owner")), "{of_me:?}");
    // The option of one account is not public either.
    office.waypost.ok(&["account", "imap", ME, "imap.inbox.test"]);
    assert_eq!(answers(&office, ME), of_me);

    // For all accounts: public, and equal for all.
    office.waypost.configure(|config| config.set("client_config.imap_host", "imap.all.test"));
    office.waypost.ok(&["reload"]);
    let of_me = answers(&office, ME);
    assert_eq!(of_me, answers(&office, "nobody@example.test"));
    assert!(of_me[0].contains("imap.all.test") && of_me[3] == "200", "{of_me:?}");

    // Only if the operator allows it, and never the mailbox itself.
    office.waypost.configure(|config| config.remove("client_config.imap_host").set("client_config.reveal_provider", true));
    office.waypost.ok(&["reload"]);
    assert!(answers(&office, ME)[0].contains("imap.inbox.test"));
    office.waypost.ok(&["account", "imap", ME]);
    let of_me = answers(&office, ME);
    assert!(of_me[0].contains("imap.gmail.com") && of_me[2].contains("imap.gmail.com"), "{of_me:?}");
    assert!(of_me.iter().all(|answer| !answer.contains("secret.owner")), "{of_me:?}");

    // Hosts that are not ours.
    let url = format!("https://mx.example.test:{HTTPS_PORT}/mail/config-v1.1.xml");
    for host in ["autoconfig.other.test", "localhost"] {
        let code = office.curl(&url, &["-H", &format!("Host: {host}"), "-o", "/dev/null", "-w", "%{http_code}"]);
        assert_eq!(code, "421", "{host}");
    }
    office.waypost.ok(&["domain", "add", "--bare", "other.test"]);
    assert!(office.curl(&url, &["-f", "-H", "Host: autoconfig.other.test"]).contains("<domain>other.test</domain>"));
    office.waypost.assert_no_bugs();
}

/// The signed content, verified by openssl and parsed by plistlib.
fn opened(office: &Office, file: &str) -> Value {
    let authority = office.authority.display().to_string();
    for how in ["cms", "smime"] {
        run_ok(
            "openssl",
            &[how, "-verify", "-inform", "DER", "-in", file, "-CAfile", &authority, "-purpose", "any", "-out", &format!("{file}.{how}")],
        );
    }
    // Without the authority it is not trusted.
    assert!(!run("openssl", &["cms", "-verify", "-inform", "DER", "-in", file, "-purpose", "any"]).status.success());
    let read = run_ok(
        "python3",
        &["-c", "import json,plistlib,sys\nprint(json.dumps(plistlib.load(open(sys.argv[1],'rb'))))", &format!("{file}.cms")],
    );
    serde_json::from_str(&read).unwrap()
}

#[test]
fn a_mobileconfig_profile_is_signed_and_has_no_password() {
    let office = Office::open("[client_config]\nimap_host = \"imap.all.test\"\n");
    let file = office.lab.path().join("me.mobileconfig").display().to_string();
    let said = office.waypost.ok(&["account", "profile", ME, "--out", &file, "--name", "Me & <Co>"]);
    assert!(said.contains("imap.gmail.com as secret.owner@gmail.com"), "{said}");
    let plist = opened(&office, &file);
    assert_eq!(plist["PayloadType"], "Configuration");
    let mail = &plist["PayloadContent"][0];
    for (key, want) in [
        ("PayloadType", json!("com.apple.mail.managed")),
        ("EmailAccountType", json!("EmailTypeIMAP")),
        ("EmailAccountName", json!("Me & <Co>")),
        ("EmailAddress", json!(ME)),
        ("IncomingMailServerHostName", json!("imap.gmail.com")),
        ("IncomingMailServerPortNumber", json!(993)),
        ("IncomingMailServerUsername", json!(SECRET)),
        ("OutgoingMailServerHostName", json!("mx.example.test")),
        ("OutgoingMailServerPortNumber", json!(it::SUBMISSIONS_PORT)),
        ("OutgoingMailServerUseSSL", json!(true)),
        ("OutgoingMailServerUsername", json!(ME)),
    ] {
        assert_eq!(mail[key], want, "{key}");
    }
    assert!(
        !plist.to_string().contains(&office.password) && mail.get("IncomingPassword").is_none() && mail.get("OutgoingPassword").is_none()
    );
    assert_ne!(mail["PayloadUUID"], plist["PayloadUUID"]);
    // It is not overwritten, and other users cannot read it.
    assert!(office.waypost.refused(&["account", "profile", ME, "--out", &file]).contains("--out"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o077, 0);
    // With a custom host the profile asks for the user name.
    let other = office.lab.path().join("other.mobileconfig").display().to_string();
    office.waypost.ok(&["account", "profile", ME, "--out", &other, "--imap-host", "imap.inbox.test"]);
    let mail = opened(&office, &other)["PayloadContent"][0].clone();
    assert!(mail.get("IncomingMailServerUsername").is_none() && mail["IncomingMailServerHostName"] == "imap.inbox.test");

    // The public one.
    let public = office.lab.path().join("public.mobileconfig").display().to_string();
    let kind = office.https(
        "autoconfig.example.test",
        "/mobileconfig?emailaddress=nobody%40example.test",
        &["-f", "-o", &public, "-w", "%{content_type}"],
    );
    assert_eq!(kind, "application/x-apple-aspen-config");
    let plist = opened(&office, &public).to_string();
    assert!(plist.contains("imap.all.test") && plist.contains("nobody@example.test") && !plist.contains("gmail"), "{plist}");
}

#[test]
fn published_records_lead_clients_and_servers_here() {
    let office = Office::open("[mta_sts]\nmode = \"enforce\"\nmax_age = \"1d\"\n");
    let clients = ["SRV", "CNAME"];
    let wanted = |(name, kind, _): &&(String, String, String)| clients.contains(&kind.as_str()) || name.starts_with("_mta-sts");
    let lines: String = office.records.iter().filter(wanted).map(|(name, kind, value)| format!("{name} {kind} {value}\n")).collect();
    let dns = Dns::start(&office.lab, &(zone(&office.lab) + &lines));
    let far = Sink::start(office.lab.address(2), MX_PORT);
    let ask = |name: &str, kind: &str| {
        let server = format!("@{}", dns.address);
        run_ok("kdig", &[&server, "-p", &DNS_PORT.to_string(), "+short", name, kind]).trim().to_owned()
    };
    for denied in ["_imap", "_imaps", "_pop3", "_pop3s"] {
        assert_eq!(ask(&format!("{denied}._tcp.example.test"), "SRV"), "0 0 0 .");
    }
    let found = ask("_submissions._tcp.example.test", "SRV");
    let [priority, _, port, host] = found.split(' ').collect::<Vec<_>>()[..] else { panic!("{found}") };
    assert!(priority == "0" && ask("_submission._tcp.example.test", "SRV").starts_with("10 1 "));
    submit(&office, (host.trim_end_matches('.'), port, true), ME, "by srv");
    far.wait_for("Subject: by srv");

    let head = office.https("mta-sts.example.test", "/.well-known/mta-sts.txt", &["-f", "-i"]);
    assert!(head.contains("content-type: text/plain\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\nversion: STSv1\r\nmode: enforce\r\nmx: mx.example.test\r\nmax_age: 86400\r\n"), "{head}");
    for host in ["example.test", "autoconfig.example.test", "mx.example.test"] {
        assert_eq!(office.https(host, "/.well-known/mta-sts.txt", &["-o", "/dev/null", "-w", "%{http_code}"]), "404", "{host}");
    }
    // postfix-mta-sts-resolver: TXT record, certificate, content type and policy as it checks them.
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/it/sts_resolver.py");
    let mut command = Command::new("/usr/bin/python3");
    command.args([script, &dns.address.to_string(), &DNS_PORT.to_string(), "example.test"]);
    command.args([office.waypost.address.to_string(), HTTPS_PORT.to_string()]).env("SSL_CERT_FILE", &office.authority);
    command.env_remove("https_proxy").env_remove("HTTPS_PROXY").stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(found[0], "VALID", "{found}");
    assert_eq!(found[1][1], json!({ "version": "STSv1", "mode": "enforce", "mx": ["mx.example.test"], "max_age": 86400 }));
    let id = found[1][0].as_str().unwrap();
    assert!(ask("_mta-sts.example.test", "TXT").contains(&format!("id={id}")));
}

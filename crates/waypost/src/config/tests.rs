//! Valid and invalid configurations.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Config, parse, reference, template};

fn read(text: &str) -> Result<Config, String> {
    parse(Path::new("/etc/w.toml"), text).map_err(|e| e.to_string())
}

fn refused(text: &str) -> String {
    read(text).unwrap_err()
}

#[test]
fn hostname_alone_is_a_configuration() {
    let config = read("hostname = \"mx.example.com\"").unwrap();
    assert_eq!(config.settings.hostname.as_str(), "mx.example.com");
    assert_eq!(config.settings.limits.message_bytes, 50 << 20);
    assert_eq!(config.settings.limits.recipient_delay_ms, 0, "only where the operator asks for it");
    assert_eq!(config.settings.schedule, policy::Schedule::default());
    assert_eq!(config.listeners().len(), 6);
    assert_eq!(config.admin_socket(), Path::new("/var/lib/waypost/waypost.sock"));
    let relative =
        read("hostname = \"mx.example.com\"\ndata_dir = \"data\"\n[listen]\nsubmission = []\nmx = [\"127.0.0.1:2525\"]").unwrap();
    assert_eq!(relative.admin_socket(), Path::new("/etc/data/waypost.sock"));
    assert_eq!(relative.listeners().len(), 3);
}

#[test]
fn errors_name_file_line_and_column() {
    for (text, want) in [
        ("hostnam = \"mx.example.com\"", "/etc/w.toml:1:1: unknown key `hostnam`\n  hint: did you mean `hostname`?"),
        (
            "hostname = \"a.b\"\n[limits]\ncontents = 1",
            "/etc/w.toml:3:1: unknown key `contents`\n  hint: remove the line: limits.content_memory_bytes limits the memory of messages that are being \
             received, instead of their number",
        ),
        (
            "hostname = \"a.b\"\n[limits]\nmessage_byte = 1",
            "/etc/w.toml:3:1: unknown key `message_byte`\n  hint: did you mean `message_bytes`?",
        ),
        ("hostname = \"a.b\"\n[limitz]\n", "/etc/w.toml:2:2: unknown key `limitz`\n  hint: did you mean `limits`?"),
        ("hostname = \"a.b\"\nhostname = \"c.d\"", "/etc/w.toml:2:1: duplicate key"),
        ("hostname = \"a.b\"\n[listen]\nmx = [\n\"0.0.0.0:25\",\n\"nowhere\"]", "/etc/w.toml:5:1: \"nowhere\" is not an address and port"),
        ("hostname = \"a b\"", "/etc/w.toml:1:12: \"a b\" is not a domain"),
        ("hostname = \"a.b\"\n[limits]\nrecipients = 7", "/etc/w.toml:3:14: 7 is not between 100 and 100000"),
        ("hostname = \"a.b\"\n[limits]\nmessage_bytes = \"5 parsec\"", "/etc/w.toml:3:17: \"5 parsec\" is not a size"),
        ("hostname = \"a.b\"\ndata_dir = \"x", "/etc/w.toml:2:1"),
        ("", "/etc/w.toml:1:1: hostname is not set"),
        ("hostname = \"a.b\"\n[[route]]\nport = 25", "/etc/w.toml:2:1: this route has no host"),
        ("hostname = \"a.b\"\n[log]\nlevel = \"loud\"", "/etc/w.toml:3:9: \"loud\" is not a log level"),
        ("hostname = \"a.b\"\nrecipient_delimiter = \"x\"", "/etc/w.toml:2:23: \"x\" cannot begin"),
        ("hostname = \"a.b\"\n[log]\nlevel = \"info,mta=loud\"", "/etc/w.toml:3:9: \"info,mta=loud\" is not a log level"),
        ("hostname = \"a.b\"\n[filter]\naddress = \"nowhere\"", "/etc/w.toml:3:11: \"nowhere\" is not a filter's address such as"),
        ("hostname = \"a.b\"\n[filter]\nkind = \"milter\"", "/etc/w.toml:2:1: the milter has no address"),
        ("hostname = \"a.b\"\n[filter]\nhold_score = 16.5", "/etc/w.toml:3:14: hold_score is greater than reject_score, which is 15"),
        ("hostname = \"a.b\"\n[filter]\nreject_score = -1", "/etc/w.toml:3:16: -1 is not a score greater than 0"),
        ("hostname = \"a.b\"\n[acme]\nenabled = true\nchallenge = \"dns-01\"", "/etc/w.toml:2:1: dns-01 needs a program"),
        ("hostname = \"a.b\"\n[acme]\ndirectory = \"http://ca\"", "/etc/w.toml:2:1: acme.directory is not an https:// URL"),
        ("hostname = \"a.b\"\n[[tls.pair]]\nkey = \"k\"", "/etc/w.toml:2:1: this pair lacks its certificate"),
        ("hostname = \"a.b\"\n[retry]\nwaits_s = []", "/etc/w.toml:3:11: waits_s is empty"),
    ] {
        let error = refused(text);
        assert!(error.starts_with(want), "{text}\n{error}");
    }
}

#[test]
fn a_secret_readable_by_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "tanstaaf\n").unwrap();
    let text = "hostname = \"a.b\"\n[[route]]\nhost = \"smtp.example.net\"\nuser = \"me\"\npassword_file = \"secret\"";
    let load = || parse(&dir.path().join("w.toml"), text).map_err(|e| e.to_string());
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let error = load().unwrap_err();
    assert!(error.contains("w.toml:5:17: ") && error.contains("chmod 600") && !error.contains("tanstaaf"), "{error}");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let config = load().unwrap();
    assert_eq!(config.settings.delivery.routes[0].credentials.as_ref().unwrap().password, "tanstaaf");
    assert!(!format!("{config:?}").contains("tanstaaf"));
}

#[test]
fn a_password_is_never_sent_without_tls() {
    let text = "hostname = \"a.b\"\n[[route]]\nhost = \"smtp.example.net\"\ntls = \"none\"\nuser = \"me\"\npassword_file = \"/none\"";
    assert!(refused(text).contains("/etc/w.toml:2:1: this route sends its password without TLS"));
}

/// Returns a file with every option that has a default, and a few that have none.
fn full() -> String {
    let mut set = vec![
        ("", "hostname", "\"mx.example.com\"".to_owned()),
        ("", "postmaster", "\"me@example.com\"".to_owned()),
        ("[[route]]", "host", "\"smtp.example.net\"".to_owned()),
        ("[delivery]", "source", "\"192.0.2.1\"".to_owned()),
    ];
    for option in super::options::all() {
        if let Some(default) = option.default {
            set.push((option.section, option.name, default));
        }
    }
    template(&set).replace("# [[route]]", "[[route]]")
}

#[test]
fn the_template_is_a_valid_configuration() {
    let config = read(&full()).unwrap();
    assert_eq!(config.settings.delivery.routes.len(), 1);
    let least = template(&[("", "hostname", "\"mx.example.com\"".to_owned())]);
    assert!(read(&least).unwrap().settings.delivery.routes.is_empty());
}

#[test]
fn options_are_read_by_their_former_names() {
    let config = read(
        "hostname = \"a.b\"\n[forward]\nhello = \"fwd.example.com\"\ndeadline_s = 7\nreports_per_sender = 3\n[retry]\ndelay_report_s = \"4h\"\n\
         [delivery]\nkeep_s = 9\npolicy_port = 444\n[[route]]\nhost = \"smtp.example.net\"\nspf = \"spf.example.net\"\n\
         [dns]\nrelays = [\"spf.example.org\"]\nresolvers = []\nserver = \"192.0.2.53:53\"\n",
    )
    .unwrap();
    assert_eq!(config.file.forward.ehlo_name.as_ref().unwrap().0.as_str(), "fwd.example.com");
    assert_eq!((config.file.forward.cut_through_timeout_s.0, config.file.forward.dsns_per_sender.0), (7, 3));
    assert_eq!((config.file.delivery.idle_timeout_s.0, config.file.delivery.mta_sts_port.0), (9, 444));
    assert_eq!(config.file.retry.delay_dsn_after.unwrap().0, 4 * 3600);
    assert!(config.file.route[0].get_ref().spf_include.is_some() && config.file.dns.update_server.is_some());
    assert_eq!((config.file.dns.spf_includes.len(), config.file.dns.public_resolvers.len()), (1, 0));
    assert_eq!(config.notices.len(), 10, "{:?}", config.notices);
    assert_eq!(
        config.notices[0].to_string(),
        "/etc/w.toml:3:1: `hello` is now called `ehlo_name`\n  hint: rename it; the former name still works"
    );
    let former = super::options::all().iter().filter(|option| option.former.is_some()).count();
    assert_eq!(former, config.notices.len(), "each renamed option is tried here");
    assert!(read("hostname = \"a.b\"\n[forward]\nehlo_name = \"a.b\"").unwrap().notices.is_empty());
    let both = refused("hostname = \"a.b\"\n[forward]\nhello = \"c.d\"\nehlo_name = \"a.b\"");
    assert!(both.contains("duplicate key `ehlo_name`"), "{both}");
    assert!(refused("hostname = \"a.b\"\n[dns]\nservr = []").contains("did you mean `servers`?"));
}

#[test]
fn a_truncated_file_never_panics() {
    let full = full();
    for end in 0..=full.len() {
        let Some(text) = full.get(..end) else { continue };
        if let Err(error) = read(text) {
            let place = error.strip_prefix("/etc/w.toml:").and_then(|rest| rest.split(':').next());
            assert!(place.is_some_and(|line| line.parse::<usize>().is_ok()), "{error}");
        }
    }
}

#[test]
fn the_reference_has_every_option() {
    let reference = reference();
    for option in super::options::all() {
        assert!(reference.contains(&format!("| `{}` |", option.name)), "{}", option.name);
        assert!(!option.doc.is_empty() && !option.doc.contains("  "), "{option:?}");
    }
}

#[test]
fn certificate_options_are_read() {
    let text =
        "hostname = \"a.b\"\n[[tls.pair]]\ncertificate = \"c\"\nkey = \"/k\"\n[acme]\nenabled = true\nstaging = true\n[listen]\nhttp = []";
    let config = read(text).unwrap();
    let sources = config.certificate_sources();
    assert_eq!((sources.pairs[0].certificate.as_path(), sources.pairs[0].key.as_path()), (Path::new("/etc/c"), Path::new("/k")));
    let acme = config.acme().unwrap();
    assert_eq!(
        (acme.directory.as_str(), acme.challenge, acme.keep_key),
        (net::acme::LETS_ENCRYPT_STAGING, net::acme::Challenge::Http, true)
    );
    let [http, https] = config.web_addresses();
    assert!(http.list.is_empty() && http.must && https.list.len() == 2 && !https.must);
    assert!(config.owner_addresses().is_none());
    let alone = read("hostname = \"a.b\"\n[listen]\nadmin = [\"127.0.0.1:8443\"]").unwrap().owner_addresses().unwrap();
    assert!(alone.must && alone.list == ["127.0.0.1:8443".parse().unwrap()]);
    assert!(read("hostname = \"a.b\"").unwrap().acme().is_none());
}

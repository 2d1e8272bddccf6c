//! The configuration of a server in a lab, as a table of options.
//!
//! Invariant: options are set and removed by their names; no test edits the text of a configuration that is well-formed.

use std::net::Ipv4Addr;
use std::path::Path;

use toml::{Table, Value};

use crate::{DNS_PORT, HTTP_PORT, HTTPS_PORT, Lab, MX_PORT, POLICY_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};

/// Sections that need the HTTP and HTTPS ports.
const WEB_SECTIONS: [&str; 3] = ["acme", "client_config", "mta_sts"];

/// The options of a configuration file.
#[derive(Debug, Clone)]
pub struct Config(Table);

impl Config {
    /// A test's `options`, as TOML, and the lab's defaults for the rest: listeners, a certificate, the lab's DNS, and HTTP and HTTPS for sections
    /// that need them. Without a `[delivery]` section mail is delivered to loopback; without a `[forward]` section unauthenticated mail is
    /// accepted, and stored before it is passed on.
    pub fn new(lab: &Lab, options: &str) -> Self {
        let mut config = Self(parse(options));
        let address = lab.address(1);
        let has_web = WEB_SECTIONS.iter().any(|section| config.0.contains_key(*section));
        if !config.0.contains_key("delivery") {
            config.set("delivery.loopback", true).set("delivery.host_pause_s", 1);
        }
        if !config.0.contains_key("forward") {
            config.set("forward.mode", "queue").set("forward.unauthenticated", "accept");
        }
        config
            .set_default("hostname", "mx.example.test")
            .set_default("data_dir", "data")
            .set_default("listen.mx", at(address, MX_PORT))
            .set_default("listen.submission", at(address, SUBMISSION_PORT))
            .set_default("listen.submissions", at(address, SUBMISSIONS_PORT))
            .set_default("listen.http", if has_web { at(address, HTTP_PORT) } else { Vec::new() })
            .set_default("listen.https", if has_web { at(address, HTTPS_PORT) } else { Vec::new() })
            .set_default("tls.certificate", "cert.pem")
            .set_default("tls.key", "key.pem")
            .set_default("dns.servers", at(lab.address(53), DNS_PORT))
            .set_default("dns.validate", "off")
            .set_default("dns.port", i64::from(DNS_PORT))
            .set_default("dns.public_resolvers", Vec::<String>::new())
            .set_default("delivery.port", i64::from(MX_PORT))
            .set_default("delivery.mta_sts_port", i64::from(POLICY_PORT))
            .set_default("delivery.ipv6", false);
        config
    }

    /// Reads a configuration file.
    pub fn read(path: &Path) -> Self {
        Self(parse(&std::fs::read_to_string(path).expect("the configuration")))
    }

    /// Sets an option: `section.option`, or a name at the top.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        let (table, option) = self.table_of(name);
        table.insert(option.to_owned(), value.into());
        self
    }

    /// Sets an option unless it is set.
    fn set_default(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        let (table, option) = self.table_of(name);
        table.entry(option).or_insert_with(|| value.into());
        self
    }

    /// Removes an option or a section, which must be there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        let (table, option) = self.table_of(name);
        assert!(table.remove(option).is_some(), "{name} is not set");
        self
    }

    /// The value of an option, which must be set.
    pub fn get(&mut self, name: &str) -> &Value {
        let (table, option) = self.table_of(name);
        table.get(option).unwrap_or_else(|| panic!("{name} is not set"))
    }

    /// Writes the configuration file.
    pub fn write(&self, path: &Path) {
        let text = toml::to_string(&self.0).expect("TOML");
        std::fs::write(path, text).expect("the configuration");
    }

    fn table_of<'a>(&mut self, name: &'a str) -> (&mut Table, &'a str) {
        let Some((section, option)) = name.split_once('.') else { return (&mut self.0, name) };
        let table = self.0.entry(section).or_insert_with(|| Table::new().into());
        (table.as_table_mut().expect("a section"), option)
    }
}

fn parse(text: &str) -> Table {
    text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn at(address: Ipv4Addr, port: u16) -> Vec<String> {
    vec![format!("{address}:{port}")]
}

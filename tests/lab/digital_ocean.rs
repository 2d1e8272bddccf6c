//! A stand-in for DigitalOcean's API of domain records, behind a proxy, since clients have its address built in.
//!
//! It follows the published OpenAPI description of version 2, and two facts that only its examples show: names in answers have no final dot, and @ means
//! the domain, in values too. It is more lenient in one place: the description requires `flags` and `tag` for TXT, NS and SRV records, which have
//! neither. Its records are published in the lab's zone.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use serde_json::{Map, Value, json};

use crate::receivers::{Wire, server_config};
use crate::{Dns, LabAuthority, Script};

/// The port of the proxy.
const PROXY_PORT: u16 = 3128;

/// The API token.
pub const OCEAN_TOKEN: &str = "dop_v1_lab";

/// The stand-in.
#[derive(Debug)]
pub struct DigitalOcean {
    state: Arc<Mutex<State>>,
    address: Ipv4Addr,
    _script: Script,
}

#[derive(Debug)]
struct State {
    zone: String,
    server: Ipv4Addr,
    next_id: u64,
    records: Vec<Map<String, Value>>,
    /// The requests, one per line.
    asked: Vec<String>,
    /// The requests that violate the description.
    wrong: Vec<String>,
}

impl DigitalOcean {
    /// Hosts the zone `test`, which `dns` serves.
    pub fn start(address: Ipv4Addr, authority: &LabAuthority, dns: &Dns) -> Self {
        let config = server_config(&authority.issue(&["api.digitalocean.com"]));
        let state =
            State { zone: "test".into(), server: dns.address, next_id: 1000, records: Vec::new(), asked: Vec::new(), wrong: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let script = Script::start(address, PROXY_PORT, move |tcp| {
            // The connection ends when the client disconnects.
            let _ = serve(Wire::Plain(tcp), &config, &shared);
        });
        Self { state, address, _script: script }
    }

    /// The environment variables that direct a client to it.
    pub fn variables(&self) -> [(&'static str, String); 1] {
        [("HTTPS_PROXY", format!("http://{}:{PROXY_PORT}", self.address))]
    }

    /// The records as `name type value`, in order.
    pub fn records(&self) -> Vec<String> {
        let state = self.state.lock().expect("the state");
        let mut lines: Vec<String> =
            state.records.iter().map(|record| format!("{} {} {}", text(record, "name"), text(record, "type"), value(record))).collect();
        lines.sort();
        lines
    }

    /// The requests that violate the description, and the number of all requests.
    pub fn complaints(&self) -> (Vec<String>, usize) {
        let state = self.state.lock().expect("the state");
        (state.wrong.clone(), state.asked.len())
    }

    /// Adds a record, as if by hand.
    pub fn add(&self, record: &Value) {
        let mut state = self.state.lock().expect("the state");
        let (code, answer) = state.create(&record.to_string());
        assert_eq!(code, "201 Created", "{answer}");
    }
}

fn text<'a>(record: &'a Map<String, Value>, name: &str) -> &'a str {
    record.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(record: &Map<String, Value>, name: &str) -> u64 {
    record.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// The value in zone format, with the dots of the request.
fn value(record: &Map<String, Value>) -> String {
    let data = text(record, "data");
    match text(record, "type") {
        "MX" => format!("{} {data}", number(record, "priority")),
        "SRV" => format!("{} {} {} {data}", number(record, "priority"), number(record, "weight"), number(record, "port")),
        "CAA" => format!("{} {} \"{data}\"", number(record, "flags"), text(record, "tag")),
        "TXT" => data.as_bytes().chunks(250).map(|piece| format!("\"{}\"", String::from_utf8_lossy(piece))).collect::<Vec<_>>().join(" "),
        _ => data.to_owned(),
    }
}

fn serve(mut wire: Wire, config: &Arc<ServerConfig>, state: &Mutex<State>) -> io::Result<()> {
    let (head, _) = request(&mut wire)?;
    if !head.starts_with("CONNECT api.digitalocean.com:443 ") {
        return wire.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    }
    wire.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    let mut wire = wire.secured(config)?;
    loop {
        let (head, body) = request(&mut wire)?;
        let (code, answer) = state.lock().expect("the state").answer(&head, &body);
        let length = if code.starts_with("204") { String::new() } else { format!("Content-Length: {}\r\n", answer.len()) };
        wire.write_all(format!("HTTP/1.1 {code}\r\nContent-Type: application/json\r\n{length}\r\n{answer}").as_bytes())?;
        wire.flush()?;
    }
}

/// A header section and a body.
fn request(wire: &mut Wire) -> io::Result<(String, String)> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).into_owned();
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse().unwrap_or(0)));
            let end = end + 4 + length.unwrap_or(0usize);
            if read.len() >= end {
                let start = head.len() + 4;
                return Ok((head, String::from_utf8_lossy(&read[start..end]).into_owned()));
            }
        }
        let n = wire.read(&mut buffer)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read.extend_from_slice(&buffer[..n]);
    }
}

fn error(code: &'static str, id: &str, message: &str) -> (&'static str, String) {
    (code, json!({ "id": id, "message": message }).to_string())
}

impl State {
    fn answer(&mut self, head: &str, body: &str) -> (&'static str, String) {
        let line = head.lines().next().unwrap_or_default().to_owned();
        self.asked.push(line.clone());
        let has = |name: &str, value: &str| {
            head.lines().any(|line| line.split_once(": ").is_some_and(|(n, v)| n.eq_ignore_ascii_case(name) && v == value))
        };
        if !has("authorization", &format!("Bearer {OCEAN_TOKEN}")) {
            return error("401 Unauthorized", "Unauthorized", "Unable to authenticate you");
        }
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let Some(rest) = path.strip_prefix(&format!("/v2/domains/{}/records", self.zone)) else {
            return error("404 Not Found", "not_found", "The resource you were accessing could not be found.");
        };
        match (method, rest) {
            ("GET", "") => self.list(query),
            ("POST", "") if has("content-type", "application/json") => self.create(body),
            ("DELETE", id) => self.delete(id.trim_start_matches('/')),
            _ => {
                self.wrong.push(format!("{line}: not described"));
                error("404 Not Found", "not_found", "The resource you were accessing could not be found.")
            }
        }
    }

    fn list(&mut self, query: &str) -> (&'static str, String) {
        let (mut name, mut kind, mut per_page, mut page) = (None, None, 20, 1);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("name", value)) => name = Some(value.to_owned()),
                Some(("type", value)) => kind = Some(value.to_owned()),
                Some(("per_page", value)) => per_page = value.parse().unwrap_or(0),
                Some(("page", value)) => page = value.parse().unwrap_or(0),
                _ => self.wrong.push(format!("the parameter {pair} is not described")),
            }
        }
        if !(1..=200).contains(&per_page) || page == 0 {
            self.wrong.push(format!("per_page is 1 to 200, page at least 1: {query}"));
        }
        // The name is absolute.
        if name.as_ref().is_some_and(|name| *name != self.zone && !name.ends_with(&format!(".{}", self.zone))) {
            self.wrong.push(format!("the name is not fully qualified: {query}"));
        }
        let whole = |record: &Map<String, Value>| match text(record, "name") {
            "@" => self.zone.clone(),
            label => format!("{label}.{}", self.zone),
        };
        let is_asked = |record: &&Map<String, Value>| {
            name.as_ref().is_none_or(|name| whole(record) == *name) && kind.as_ref().is_none_or(|kind| text(record, "type") == kind)
        };
        let all: Vec<Value> = self.records.iter().filter(is_asked).map(|record| self.shown(record)).collect();
        let shown: Vec<Value> = all.iter().skip((page - 1) * per_page).take(per_page).cloned().collect();
        let has_more = page * per_page < all.len();
        let next = format!("https://api.digitalocean.com/v2/domains/{}/records?page={}", self.zone, page + 1);
        let pages = if has_more { json!({ "next": next, "last": next }) } else { json!({}) };
        ("200 OK", json!({ "domain_records": shown, "links": { "pages": pages }, "meta": { "total": all.len() } }).to_string())
    }

    /// All attributes, null if the type does not have them.
    fn shown(&self, record: &Map<String, Value>) -> Value {
        let mut shown = record.clone();
        for name in ["priority", "port", "weight", "flags", "tag"] {
            shown.entry(name).or_insert(Value::Null);
        }
        if ["CNAME", "MX", "SRV", "NS"].contains(&text(record, "type")) {
            let data = text(record, "data").trim_end_matches('.');
            let data = if data == self.zone { "@" } else { data };
            shown.insert("data".into(), data.into());
        }
        Value::Object(shown)
    }

    fn create(&mut self, body: &str) -> (&'static str, String) {
        let unprocessable = |what: &str| error("422 Unprocessable Entity", "unprocessable_entity", what);
        let Ok(Value::Object(mut record)) = serde_json::from_str::<Value>(body) else { return unprocessable("this is no object") };
        if let Err(what) = self.described(&record) {
            self.wrong.push(format!("{what}: {body}"));
            return unprocessable(&what);
        }
        self.next_id += 1;
        record.insert("id".into(), self.next_id.into());
        record.entry("ttl").or_insert(1800.into());
        self.publish("add", &record);
        let shown = self.shown(&record);
        self.records.push(record);
        ("201 Created", json!({ "domain_record": shown }).to_string())
    }

    /// Whether a request has all required attributes of its type, and no unknown ones.
    fn described(&self, record: &Map<String, Value>) -> Result<(), String> {
        let kind = text(record, "type");
        let required: &[&str] = match kind {
            "A" | "AAAA" | "CNAME" | "NS" | "TXT" => &["type", "name", "data"],
            "MX" => &["type", "data", "priority"],
            "SRV" => &["type", "name", "data", "priority", "port", "weight"],
            "CAA" => &["type", "name", "data", "flags", "tag"],
            _ => return Err(format!("{kind:?} is no type of record")),
        };
        if let Some(missing) = required.iter().find(|name| !record.contains_key(**name)) {
            return Err(format!("{missing} is missing"));
        }
        for (name, value) in record {
            let fits = match name.as_str() {
                "type" | "name" | "data" => value.is_string(),
                "tag" => value.is_null() || matches!(value.as_str(), Some("issue" | "issuewild" | "iodef")),
                "priority" | "port" | "weight" | "flags" => value.is_null() || value.as_u64().is_some_and(|n| n <= 65_535),
                "ttl" => value.as_u64().is_some_and(|n| n >= 30),
                _ => false,
            };
            if !fits {
                return Err(format!("{name} is not as described"));
            }
        }
        if ["CNAME", "MX", "SRV", "NS"].contains(&kind) && !text(record, "data").ends_with('.') && text(record, "data") != "@" {
            return Err("Data needs to end with a dot (.)".into());
        }
        let name = text(record, "name");
        if name.ends_with('.') || name == self.zone || name.ends_with(&format!(".{}", self.zone)) {
            return Err(format!("{name:?} is not a name within the domain"));
        }
        Ok(())
    }

    fn delete(&mut self, id: &str) -> (&'static str, String) {
        let Some(place) = self.records.iter().position(|record| Some(number(record, "id")) == id.parse().ok()) else {
            self.wrong.push(format!("there is no record {id}"));
            return error("404 Not Found", "not_found", "The resource you were accessing could not be found.");
        };
        let record = self.records.remove(place);
        self.publish("del", &record);
        ("204 No Content", String::new())
    }

    fn publish(&self, verb: &str, record: &Map<String, Value>) {
        let name = match text(record, "name") {
            "@" => format!("{}.", self.zone),
            label => format!("{label}.{}.", self.zone),
        };
        let ttl = if verb == "add" { format!(" {}", number(record, "ttl")) } else { String::new() };
        let line = format!("{verb} {name}{ttl} {} {}", text(record, "type"), value(record));
        crate::dns::update(self.server, &format!("{}.", self.zone), &line);
    }
}

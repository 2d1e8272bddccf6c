//! A browser without scripts: curl, with its cookies, and the forms of the owner's page.
//!
//! Invariant: it sends what a browser sends with a form (Origin, Sec-Fetch-Site), unless a test gives other fields.

use std::path::PathBuf;

use crate::{HTTPS_PORT, Lab, Waypost, run_ok};

/// The owner of [`owned`].
pub const OWNER: &str = "me@example.test";

/// A browser, with its cookies.
pub struct Visit<'a> {
    waypost: &'a Waypost,
    jar: PathBuf,
    host: &'static str,
    port: u16,
}

/// A response of the owner's page.
pub struct PageAnswer {
    /// The status.
    pub status: u16,
    /// Its first line and its fields.
    pub head: String,
    /// Its body.
    pub body: String,
}

impl PageAnswer {
    /// The value of a field of the head.
    pub fn field(&self, name: &str) -> Option<&str> {
        let find = |line: &str| line.split_once(": ").is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head.lines().find(|line| find(line)).and_then(|line| line.split_once(": ")).map(|(_, value)| value.trim())
    }

    /// Where a redirection leads.
    pub fn location(&self) -> &str {
        self.field("location").unwrap_or_else(|| panic!("no Location: {}", self.head))
    }

    /// The value of a hidden field of a form.
    pub fn hidden(&self, name: &str) -> String {
        let from = format!("name=\"{name}\" value=\"");
        let rest = self.body.split(&from).nth(1).unwrap_or_else(|| panic!("no field {name}: {}", self.body));
        rest.split('"').next().unwrap().to_owned()
    }
}

impl<'a> Visit<'a> {
    /// A browser with cookies of its own, kept in the file `name` of the lab.
    pub fn new(lab: &Lab, waypost: &'a Waypost, name: &str) -> Self {
        Self { waypost, jar: lab.path().join(name), host: "mx.example.test", port: HTTPS_PORT }
    }

    /// The same browser with another host and port in its URLs.
    pub fn at(self, host: &'static str, port: u16) -> Self {
        Self { host, port, ..self }
    }

    /// The origin of the page.
    pub fn origin(&self) -> String {
        format!("https://{}:{}", self.host, self.port)
    }

    /// A request with exactly these arguments of curl.
    pub fn ask(&self, path: &str, more: &[&str]) -> PageAnswer {
        let (jar, to) = (self.jar.display().to_string(), format!("{}:{}:{}:{}", self.host, self.port, self.waypost.address, self.port));
        let url = format!("{}{path}", self.origin());
        let mut all = vec!["-sSki", "--path-as-is", "--noproxy", "*", "--connect-to", &to, "-b", &jar, "-c", &jar, "-A", "Firefox <b>"];
        all.extend(more);
        all.push(&url);
        let out = run_ok("curl", &all).replace("HTTP/1.1 100 Continue\r\n\r\n", "");
        let (head, body) = out.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {out}"));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status: {head}"));
        PageAnswer { status, head: head.replace('\r', ""), body: body.to_owned() }
    }

    /// Gets a page.
    pub fn get(&self, path: &str) -> PageAnswer {
        self.ask(path, &[])
    }

    /// Sends a form of this server.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> PageAnswer {
        let origin = format!("Origin: {}", self.origin());
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut more = vec!["-X", "POST", "-H", &origin, "-H", "Sec-Fetch-Site: same-origin"];
        fields.iter().for_each(|field| more.extend(["--data-urlencode", field]));
        self.ask(path, &more)
    }

    /// The same with the token of the session.
    pub fn change(&self, path: &str, fields: &[(&str, &str)]) -> PageAnswer {
        let token = self.get("/account").hidden("csrf");
        self.post(path, &[fields, &[("csrf", &token)]].concat())
    }

    /// Sends the form of the login.
    pub fn log_in(&self, login: &str, password: &str) -> PageAnswer {
        self.post("/login", &[("login", login), ("password", password), ("next", "/account")])
    }

    /// Whether it is logged in.
    pub fn is_in(&self) -> bool {
        self.get("/account").status == 200
    }
}

/// A server with HTTPS, and the owner me@example.test; returns also the password.
pub fn owned(lab: &Lab, options: &str) -> (Waypost, String) {
    let section = if options.contains("[client_config]") { "" } else { "[client_config]\n" };
    let mut waypost = Waypost::configured(lab, &format!("{section}{options}"));
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let password = waypost.account(OWNER);
    waypost.ok(&["account", "owner", OWNER]);
    waypost.start();
    (waypost, password)
}

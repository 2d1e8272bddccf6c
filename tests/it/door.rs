//! Who gets in to the owner's page, over real HTTPS: login, second step, one-time links, sessions, and requests of attackers.
//!
//! threats.md 89 to 94, RFC 6238. Invariant: curl is the browser, and another implementation makes the codes.

use it::{HTTPS_PORT, Lab, Talk, Visit, Waypost, base64, fed, owned, set_clock, under_clock};

const ME: &str = "me@example.test";

#[test]
fn an_owner_logs_in_and_out() {
    let lab = Lab::new();
    let (mut waypost, password) = owned(&lab, "");
    let visit = Visit::new(&lab, &waypost, "jar");
    assert_eq!((visit.get("/").status, visit.get("/").location()), (303, "/login"));
    assert_eq!(visit.get("/mail?q=a b&x".replace(' ', "%20").as_str()).location(), "/login?next=%2Fmail%3Fq%3Da%2520b%26x");
    let form = visit.get("/login?next=//evil.test/");
    assert_eq!((form.status, form.hidden("next").as_str()), (200, "/"));
    for (name, value) in [
        ("content-security-policy", "frame-ancestors 'none'"),
        ("content-security-policy", "script-src 'self'"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-opener-policy", "same-origin"),
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
        ("strict-transport-security", "max-age="),
    ] {
        let field = form.field(name).unwrap_or_default();
        assert!(field.contains(value), "{name}: {field}");
    }
    // A link in a mail: the browser keeps the cookie back, and is led here once more.
    let linked = visit.ask("/account", &["-H", "Sec-Fetch-Site: cross-site", "-H", "Sec-Fetch-Mode: navigate"]);
    assert!(linked.status == 200 && linked.body.contains("http-equiv=\"refresh\" content=\"0; url=/account\""), "{}", linked.body);

    for (login, wrong) in [(ME, "wrong"), ("nobody@example.test", password.as_str()), (ME, ""), ("\" OR 1=1 --", "x")] {
        let answer = visit.log_in(login, wrong);
        assert!(answer.status == 403 && answer.field("set-cookie").is_none_or(|c| !c.starts_with("__Host-waypost=")), "{}", answer.head);
        assert!(answer.body.contains("Address or password are wrong"), "{}", answer.body);
    }
    let answer = visit.log_in("ME@example.test", &password);
    assert_eq!((answer.status, answer.location()), (303, "/account"), "{}", answer.body);
    let cookie = answer.field("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-waypost=") && !cookie.contains("Domain"), "{cookie}");
    for flag in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    let page = visit.get("/account");
    assert!(page.status == 200 && page.body.contains("Firefox &lt;b&gt;"), "{}", page.body);
    waypost.wait_for_line(&["owner logged in", ME]);
    assert!(waypost.ok(&["web", "sessions"]).contains(ME));

    waypost.stop();
    waypost.start();
    let visit = Visit::new(&lab, &waypost, "jar");
    assert!(visit.is_in(), "a session survives a restart");
    let token = visit.get("/account").hidden("csrf");
    assert_eq!(visit.post("/logout", &[("csrf", &token)]).location(), "/login");
    assert!(!visit.is_in());
    let again = Visit::new(&lab, &waypost, "jar");
    assert_eq!(again.get("/").location(), "/login");
}

#[test]
fn threat_89_forged_forms_are_refused() {
    let lab = Lab::new();
    let (waypost, password) = owned(&lab, "");
    let visit = Visit::new(&lab, &waypost, "jar");
    assert_eq!(visit.log_in(ME, &password).status, 303);
    let token = visit.get("/account").hidden("csrf");
    let data = format!("csrf={token}");
    let origin = format!("Origin: {}", visit.origin());
    let no_origin: &[&str] = &["-d", &data];
    for more in [
        no_origin,
        &["-d", &data, "-H", "Origin: https://evil.test"],
        &["-d", &data, "-H", "Origin: null"],
        &["-d", &data, "-H", "Origin: http://mx.example.test"],
        &["-d", &data, "-H", &origin, "-H", "Sec-Fetch-Site: cross-site"],
        &["-d", &data, "-H", &origin, "-H", "Sec-Fetch-Site: same-site"],
        &["-d", "", "-H", &origin],
        &["-d", "csrf=", "-H", &origin],
        &["-d", "csrf=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "-H", &origin],
        &["-d", &data, "-H", &origin, "-H", "Content-Type: text/plain", "-X", "DELETE", "-H", "X-CSRF-Token: x"],
    ] {
        for path in ["/logout", "/account/sessions/end", "/no/such/path"] {
            let answer = visit.ask(path, more);
            assert_eq!(answer.status, 403, "{path} {more:?}: {}", answer.body);
        }
    }
    assert!(visit.is_in(), "nothing was changed");
    // A form of another site could log a visitor in to the page of its owner.
    let login = format!("login={ME}&password={password}");
    assert_eq!(visit.ask("/login", &["-d", &login, "-H", "Origin: https://evil.test"]).status, 403);
    // The token of one session does not work in another.
    let other = Visit::new(&lab, &waypost, "other");
    assert_eq!(other.log_in(ME, &password).status, 303);
    assert_eq!(other.post("/logout", &[("csrf", &token)]).status, 403);
    assert_eq!(other.change("/account/sessions/end", &[]).status, 303);
    assert!(other.is_in() && !visit.is_in(), "logged out everywhere else");
}

#[test]
fn threat_94_guesses_are_limited_together_with_those_of_smtp() {
    let lab = Lab::new();
    let (waypost, password) = owned(&lab, "[limits]\nfailed_logins_per_client = 3\n");
    let visit = Visit::new(&lab, &waypost, "jar");
    for n in 0..3 {
        assert_eq!(visit.log_in(ME, &format!("guess {n}")).status, 403);
    }
    let answer = visit.log_in(ME, &password);
    assert_eq!((answer.status, answer.field("retry-after")), (429, Some("600")), "{}", answer.body);
    assert!(answer.body.contains("ten minutes"), "{}", answer.body);
    let mut talk = Talk::greeted(waypost.address, it::SUBMISSION_PORT);
    talk.start_tls(&waypost.certificate());
    talk.expect("EHLO client.foreign.test", "250");
    talk.expect(&format!("AUTH PLAIN {}", base64(&format!("\0{ME}\0{password}"))), "454 4.7.0");
}

/// The code of a secret, `steps` of 30 seconds from now.
fn code(secret: &str, steps: i64) -> String {
    let script = "import base64,hashlib,hmac,struct,sys,time\nkey=base64.b32decode(sys.argv[1].replace(' ',''))\n\
                  n=int(time.time())//30+int(sys.argv[2])\nd=hmac.new(key,struct.pack('>Q',n),hashlib.sha1).digest()\n\
                  o=d[19]&15\nprint('%06d'%((struct.unpack('>I',d[o:o+4])[0]&0x7fffffff)%1000000))";
    fed("python3", &["-c", script, secret, &steps.to_string()], "").trim().to_owned()
}

#[test]
fn a_second_step_is_asked_for_once_each() {
    let lab = Lab::new();
    let (waypost, password) = owned(&lab, "");
    let (visit, other) = (Visit::new(&lab, &waypost, "jar"), Visit::new(&lab, &waypost, "other"));
    assert_eq!((visit.log_in(ME, &password).status, other.log_in(ME, &password).status), (303, 303));
    let page = visit.get("/account/second-step");
    assert!(page.body.contains("<svg") && !page.body.contains("<?xml"), "{}", page.body);
    let secret = page.body.split("<bdi class=\"mono\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap().to_owned();
    let (csrf, sealed) = (page.hidden("csrf"), page.hidden("sealed"));
    assert_eq!(visit.post("/account/second-step", &[("csrf", &csrf), ("sealed", &sealed), ("code", "000000")]).status, 403);
    let first = code(&secret, 0);
    let on = visit.post("/account/second-step", &[("csrf", &csrf), ("sealed", &sealed), ("code", &first)]);
    assert_eq!(on.status, 200, "{}", on.body);
    let recovery: Vec<&str> = on.body.split("<li><bdi class=\"mono\">").skip(1).filter_map(|rest| rest.split('<').next()).collect();
    assert_eq!(recovery.len(), 10, "{}", on.body);
    assert!(visit.is_in() && !other.is_in(), "a session without the second step ends");

    let login = other.log_in(ME, &password);
    assert_eq!(login.location(), "/login/code");
    assert!(!other.is_in(), "the password alone is not enough");
    assert_eq!(other.get("/login/code").status, 200);
    for wrong in ["", "12345", "nonsense", first.as_str()] {
        assert_eq!(other.post("/login/code", &[("code", wrong)]).status, 403, "{wrong}");
    }
    let next = code(&secret, 1);
    assert_eq!(other.post("/login/code", &[("code", &next)]).location(), "/account");
    assert!(other.is_in());
    let third = Visit::new(&lab, &waypost, "third");
    assert_eq!(third.log_in(ME, &password).location(), "/login/code");
    assert_eq!(third.post("/login/code", &[("code", &next)]).status, 403, "a code counts once");
    assert_eq!(third.post("/login/code", &[("code", recovery[0])]).location(), "/account");
    assert!(third.get("/account").body.contains("9 recovery codes"));
    let fourth = Visit::new(&lab, &waypost, "fourth");
    fourth.log_in(ME, &password);
    assert_eq!(fourth.post("/login/code", &[("code", recovery[0])]).status, 403, "a recovery code counts once");
    let no_password = Visit::new(&lab, &waypost, "fifth");
    assert_eq!(no_password.post("/login/code", &[("code", recovery[1])]).location(), "/login");

    waypost.ok(&["web", "second-step", ME, "--remove"]);
    assert!(waypost.refused(&["web", "second-step", ME, "--remove"]).contains("has no second step"));
    assert_eq!(fourth.log_in(ME, &password).location(), "/account");
}

#[test]
fn a_change_of_who_gets_in_needs_a_fresh_proof_as_strong_as_the_login() {
    let lab = Lab::new();
    let (mut waypost, password) = owned(&lab, "");
    waypost.stop();
    let stamp = lab.write("clock", "+0");
    waypost.start_by(under_clock(&stamp));
    let later = |minutes: u32| set_clock(&stamp, &format!("+{minutes}m"));
    let visit = Visit::new(&lab, &waypost, "jar");
    visit.log_in(ME, &password);
    let page = visit.get("/account/second-step");
    let secret = page.body.split("<bdi class=\"mono\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap().to_owned();
    later(4);
    let on = [("sealed", page.hidden("sealed")), ("code", code(&secret, 8))];
    let on = visit.change("/account/second-step", &on.each_ref().map(|(name, value)| (*name, value.as_str())));
    assert_eq!(on.status, 200, "four minutes after the login: {}", on.body);
    let recovery: Vec<&str> = on.body.split("<li><bdi class=\"mono\">").skip(1).filter_map(|rest| rest.split('<').next()).collect();
    later(6);
    let is_asked = |path: &str, fields: &[(&str, &str)], from: &str| {
        let next = from.replace('/', "%2F").replace('@', "%40").replace('.', "%2E").replace('-', "%2D");
        assert_eq!(visit.change(path, fields).location(), format!("/account/confirm?next={next}"), "{path}");
    };
    let person = "/people/me@example.test";
    is_asked("/server/tokens", &[("name", "thief"), ("scope", "admin")], "/server");
    is_asked(&format!("{person}/passwords"), &[("name", "thief")], person);
    is_asked(&format!("{person}/passwords/remove"), &[("name", "first")], person);
    is_asked(&format!("{person}/invitation"), &[], person);
    is_asked("/account/passkeys", &[("name", "thief")], "/account");
    is_asked("/account/second-step", &[("code", "1")], "/account/second-step");
    is_asked("/account/second-step/remove", &[("code", recovery[1])], "/account");
    assert_eq!(waypost.json(&["token", "list"]).as_array().unwrap().len(), 0);
    // Whatever else the page can do needs no further proof.
    assert_eq!((visit.get("/server").status, visit.get("/account").status, visit.get("/people/me@example.test").status), (200, 200, 200));
    let confirm =
        |password: &str, code: &str| visit.change("/account/confirm", &[("password", password), ("code", code), ("next", "/server")]);
    assert_eq!(confirm(&password, "").status, 403, "with a second step, the password alone is not enough");
    assert_eq!(confirm("wrong", recovery[2]).status, 403);
    assert_eq!(visit.change("/server/tokens", &[("name", "thief"), ("scope", "admin")]).status, 303);
    assert_eq!(confirm(&password, recovery[3]).location(), "/server");
    assert_eq!(visit.change("/server/tokens", &[("name", "mine"), ("scope", "read")]).status, 200);
    // The visitor's own network is never locked out; the guesses are in the history as those of a login.
    let refused = waypost.ok(&["log", "--kind", "login-refused", "--json"]);
    assert_eq!(refused.lines().count(), 2, "{refused}");
    waypost.assert_no_bugs();
}

#[test]
fn links_work_once() {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, "[client_config]\n");
    waypost.start();
    let path = |waypost: &Waypost, arguments: &[&str]| {
        let made = waypost.json(arguments);
        let link = made["link"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        let path = link.strip_prefix(&format!("https://mx.example.test:{HTTPS_PORT}")).map(ToOwned::to_owned);
        path.unwrap_or_else(|| panic!("{link}"))
    };
    // Before there is an account, the operator sets up the server.
    let link = path(&waypost, &["web", "login-link"]);
    let operator = Visit::new(&lab, &waypost, "operator");
    assert_eq!(operator.post(&link, &[]).location(), "/");
    assert!(operator.get("/account").body.contains("operator"));

    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    waypost.account("you@example.test");
    assert!(waypost.refused(&["web", "login-link"]).contains("no account is an owner"));
    waypost.ok(&["account", "add", ME, "--owner"]);
    assert!(waypost.ok(&["web"]).contains(&format!("https://mx.example.test:{HTTPS_PORT}/")));
    let link = path(&waypost, &["web", "login-link"]);
    let visit = Visit::new(&lab, &waypost, "jar");
    for _ in 0..2 {
        let shown = visit.get(&link);
        assert!(shown.status == 200 && shown.body.contains(ME), "a preview does not use it up: {}", shown.body);
    }
    assert_eq!(visit.ask(&link, &["-d", "", "-H", "Origin: https://evil.test"]).status, 403);
    assert_eq!(visit.post(&link, &[]).location(), "/");
    assert!(visit.is_in());
    let late = Visit::new(&lab, &waypost, "late");
    assert_eq!((late.get(&link).status, late.post(&link, &[]).status), (404, 404));
    assert_eq!(late.get(&format!("/login/link/{}", "A".repeat(43))).status, 404);
    let token = path(&waypost, &["web", "login-link"]).rsplit('/').next().unwrap().to_owned();
    for file in ["waypost.db", "waypost.db-wal"] {
        let kept = std::fs::read(waypost.data.join(file)).unwrap();
        assert!(!kept.is_empty() && !String::from_utf8_lossy(&kept).contains(&token), "only its hash is kept");
    }

    let link = path(&waypost, &["web", "invite", "you@example.test"]);
    let guest = Visit::new(&lab, &waypost, "guest");
    assert!(guest.get(&link).body.contains("you@example.test"));
    assert_eq!(guest.post(&link, &[("password", "one"), ("again", "two")]).status, 422);
    assert_eq!(guest.post(&link, &[("password", "short"), ("again", "short")]).status, 400);
    let done = guest.post(&link, &[("password", "a long password"), ("again", "a long password")]);
    assert!(done.status == 200 && done.body.contains("mx.example.test") && !done.body.contains("a long password"), "{}", done.body);
    waypost.logged_in("you@example.test", "a long password");
    assert_eq!(guest.post(&link, &[("password", "another password"), ("again", "another password")]).status, 404);
    let link = path(&waypost, &["web", "invite", "you@example.test"]);
    let made = guest.post(&link, &[("generate", "yes")]);
    let password = made.body.split("<strong><bdi class=\"mono\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap().to_owned();
    waypost.logged_in("you@example.test", &password);
}

#[test]
fn an_account_that_is_no_owner_sees_its_own() {
    let lab = Lab::new();
    let (waypost, _) = owned(&lab, "");
    let password = waypost.account("you@example.test");
    waypost.ok(&["alias", "add", "you@example.test", "foo@inbox.test"]);
    waypost.ok(&["alias", "add", "shop@example.test", "you@example.test"]);
    waypost.ok(&["alias", "add", "secret@example.test", "me@elsewhere.test"]);
    let visit = Visit::new(&lab, &waypost, "jar");
    assert_eq!(visit.log_in("you@example.test", &password).status, 303);
    assert_eq!(visit.get("/").location(), "/aliases");
    for path in ["/server", "/mail", "/queue", "/held", "/reports", "/setup", "/people/me@example.test", "/events", "/no-such-page"] {
        let answer = visit.get(path);
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
    }
    assert!(!visit.get("/aliases").body.contains("secret@example.test"));
    assert_eq!(visit.change("/server/reload", &[]).status, 404);
    waypost.ok(&["account", "owner", "you@example.test"]);
    assert_ne!(visit.get("/mail").status, 303, "the session goes on with the new rights");
}

#[test]
fn a_session_ends_with_its_account_and_its_password() {
    let lab = Lab::new();
    let (waypost, password) = owned(&lab, "");
    let visit = Visit::new(&lab, &waypost, "jar");
    visit.log_in(ME, &password);
    waypost.ok(&["account", "passwd", ME, "--name", "laptop"]);
    assert!(visit.is_in(), "a further password ends nothing");
    let new = waypost.json(&["account", "passwd", ME, "--name", "first"])["password"].as_str().unwrap().to_owned();
    assert!(!visit.is_in());
    assert_eq!(visit.log_in(ME, &password).status, 403);
    assert_eq!(visit.log_in(ME, &new).status, 303);
    waypost.ok(&["account", "disable", ME]);
    assert!(!visit.is_in());
    assert_eq!(visit.log_in(ME, &new).status, 403);
    waypost.ok(&["account", "enable", ME]);
    assert!(!visit.is_in(), "an ended session stays ended");
    assert_eq!(visit.log_in(ME, &new).status, 303);
    waypost.ok(&["web", "sessions", "--end", ME]);
    assert!(!visit.is_in());
}

#[test]
fn threats_91_to_93_requests_to_the_page() {
    let lab = Lab::new();
    let (waypost, _) = owned(&lab, "");
    // threats.md 92: a name that an attacker's DNS leads here; 93: a path out of the directory.
    let visit = Visit::new(&lab, &waypost, "jar");
    for (host, status) in
        [("Host: evil.test", 421), ("Host: localhost", 421), ("Host: example.test", 404), ("Host: mx.example.test:99", 200)]
    {
        assert_eq!(visit.ask("/login", &["-H", host]).status, status, "{host}");
    }
    for method in ["GET", "POST", "PATCH", "DELETE"] {
        let foreign = visit.ask("/api/v1/aliases", &["-X", method, "-H", "Host: evil.test"]);
        assert_eq!(foreign.status, 421, "{method}: {}", foreign.body);
    }
    for path in ["/..%2fetc/passwd", "/assets/..%2f..%2fetc/passwd", "/assets/%2e%2e/login", "/a/..%5cb", "/%00"] {
        assert_eq!(visit.get(path).status, 404, "{path}");
    }
    // 91: where a body ends must be clear, and a large one is not taken.
    let origin = format!("Origin: {}", visit.origin());
    let both = visit.ask("/login", &["-H", &origin, "-H", "Content-Length: 5", "-H", "Transfer-Encoding: chunked", "-d", "0\r\n\r\n"]);
    assert_eq!(both.status, 400, "{}", both.body);
    let large = lab.write("large", &format!("password={}", "x".repeat(10_000_000))).display().to_string();
    assert_eq!(visit.ask("/login", &["-H", &origin, "--data-binary", &format!("@{large}")]).status, 413);
}

#[test]
fn the_page_is_only_where_it_is_to_be() {
    const ADMIN_PORT: u16 = 8443;
    let lab = Lab::new();
    let (mut waypost, password) = owned(&lab, "");
    waypost.stop();
    let at = format!("{}:{ADMIN_PORT}", waypost.address);
    waypost.configure(|config| config.set("listen.admin", vec![at]));
    waypost.start();
    let visit = Visit::new(&lab, &waypost, "jar");
    assert_eq!(visit.get("/login").status, 404, "not on the public port");
    assert!(visit.get("/").body.contains("is a mail server"));
    let inside = Visit::new(&lab, &waypost, "inside").at("mx.example.test", ADMIN_PORT);
    assert_eq!(inside.log_in(ME, &password).status, 303);
    assert!(inside.is_in());
    let tunnel = Visit::new(&lab, &waypost, "tunnel").at("localhost", ADMIN_PORT);
    assert_eq!(tunnel.log_in(ME, &password).status, 303, "behind an SSH tunnel");
    assert!(tunnel.get("/account").field("strict-transport-security").is_none());
    let evil = Visit::new(&lab, &waypost, "evil").at("evil.test", ADMIN_PORT);
    assert_eq!((evil.get("/login").status, evil.get("/.well-known/mta-sts.txt").status), (421, 421));
    waypost.stop();

    waypost.configure(|config| config.set("listen.admin", Vec::<String>::new()));
    waypost.start();
    assert_eq!(Visit::new(&lab, &waypost, "jar").get("/login").status, 404);
    assert!(waypost.ok(&["web"]).contains("off"));
    assert!(waypost.refused(&["web", "login-link"]).contains("the owner's page is off"));
}

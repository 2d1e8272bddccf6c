//! Trace fields and authentication results as other servers see them, compared with golden files.
//!
//! RFC 5321 s.4.4, RFC 8601.

use it::{Dns, Golden, Lab, MX_PORT, Sink, Talk, Waypost, binary, fed, forwarding_zone, python, rsa_key};

/// Signs standard input for foreign.test with the key in a file.
const SIGN: &str = "
import dkim, sys
message, key = sys.stdin.buffer.read(), open(sys.argv[1], 'rb').read()
field = dkim.sign(message, b'r', b'foreign.test', key, include_headers=[b'from', b'subject'])
sys.stdout.buffer.write(field + message)
";

/// The header section of a message, under a title.
fn section(title: &str, header: &str) -> String {
    format!("== {title}\n{header}\n\n")
}

fn header(sink: &Sink, subject: &str) -> String {
    let text = sink.wait_for(&format!("Subject: {subject}\r\n")).text();
    text.split("\r\n\r\n").next().unwrap_or_default().to_owned()
}

/// The first field of this name, unfolded lines included.
fn field(header: &str, name: &str) -> String {
    let start = header.find(&format!("{name}: ")).unwrap_or_else(|| panic!("no {name} in {header}"));
    let mut lines = header[start..].lines();
    let first = lines.next().unwrap_or_default();
    lines.take_while(|line| line.starts_with([' ', '\t'])).fold(first.to_owned(), |field, line| field + "\n" + line)
}

#[test]
fn trace_fields_match_their_golden() {
    let lab = Lab::numbered(12);
    let _dns = Dns::start(&lab, &forwarding_zone(&lab));
    let (inbox, far) = (Sink::start(lab.address(2), MX_PORT), Sink::start(lab.address(3), MX_PORT));
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let mut all = String::new();
    let letter = |from: &str, subject: &str| format!("From: <{from}>\r\nSubject: {subject}\r\n\r\nhello\r\n");
    let (her, me) = ("her@foreign.test", "me@example.test");

    let mut talk = Talk::connect(waypost.address, MX_PORT);
    talk.reply();
    talk.expect("HELO client.foreign.test", "250");
    talk.taken(her, me, &letter(her, "smtp"));
    all += &section("SMTP (HELO)", &header(&inbox, "smtp"));

    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.taken(her, me, &letter(her, "esmtp"));
    all += &section("ESMTP (EHLO)", &header(&inbox, "esmtp"));

    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.start_tls(&waypost.certificate());
    talk.expect("EHLO client.foreign.test", "250");
    talk.taken(her, me, &letter(her, "esmtps"));
    all += &section("ESMTPS (STARTTLS)", &header(&inbox, "esmtps"));

    let password = waypost.account(me);
    waypost.logged_in(me, &password).taken(me, her, &letter(me, "esmtpsa"));
    all += &section("ESMTPSA (submission)", &header(&far, "esmtpsa"));

    let config = waypost.config.display().to_string();
    let words = ["--config", &config, "sendmail", "-f", me, her];
    fed(&binary().display().to_string(), &words, &format!("From: {me}\nSubject: local\n\nhello\n"));
    all += &section("local (waypost sendmail)", &header(&far, "local"));

    Golden::new("trace-fields").of_lab(&lab).shape("6xxxxxxxxxxxx", "ID").dates().check(&all);
    waypost.assert_no_bugs();
}

#[test]
fn authentication_results_match_their_golden() {
    let lab = Lab::numbered(13);
    let (key, published) = rsa_key(&lab, "foreign.test", "r");
    let records = "soft TXT \"v=spf1 ~all\"\nlax TXT \"v=spf1 -all\"\n_dmarc.lax TXT \"v=DMARC1; p=none\"\n";
    let _dns = Dns::start(&lab, &(forwarding_zone(&lab) + records + &published));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let letter = |from: &str, subject: &str| format!("From: <{from}>\r\nSubject: {subject}\r\n\r\nhello\r\n");
    let signed = |message: &str| python(&["-c", SIGN, &key.display().to_string()], message);
    let her = "her@foreign.test";
    let cases = [
        ("SPF and DMARC pass", her, letter(her, "spf")),
        ("DKIM passes", her, signed(&letter(her, "dkim"))),
        ("DKIM fails: the body was changed", her, signed(&letter(her, "changed")).replace("hello", "goodbye")),
        ("SPF and DMARC fail, p=none", "boss@lax.test", letter("boss@lax.test", "lax")),
        ("SPF softfail, no DMARC record", "a@soft.test", letter("a@soft.test", "soft")),
        ("no records", "a@none.test", letter("a@none.test", "none")),
        ("a local part that must be quoted", "\"a b;c\"@soft.test", letter("a@soft.test", "quoted")),
        ("null reverse-path", "", letter("a@soft.test", "null")),
    ];
    let mut all = String::new();
    for (title, from, content) in cases {
        Talk::greeted(waypost.address, MX_PORT).taken(from, "me@example.test", &content);
        let subject = content.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default();
        all += &section(title, &field(&header(&inbox, subject), "Authentication-Results"));
    }
    Golden::new("authentication-results").of_lab(&lab).after("header.b=", "B").check(&all);
    waypost.assert_no_bugs();
}

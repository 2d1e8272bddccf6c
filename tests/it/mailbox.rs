//! Local mailboxes: delivery to Dovecot by LMTP, read by IMAP and POP3.

use it::{Dns, Dovecot, IMAP_PORT, Lab, MX_PORT, POP3_PORT, Sink, Talk, Waypost, python, wait_for};

/// Reads all messages of foo with both protocols, and prints them.
const READ: &str = "
import imaplib, poplib, sys
host, imap, pop = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
m = imaplib.IMAP4(host, imap); m.login('foo', 'letmein'); m.select('INBOX')
for n in m.search(None, 'ALL')[1][0].split(): print('IMAP', m.fetch(n, '(BODY.PEEK[])')[1][0][1].decode())
p = poplib.POP3(host, pop); p.user('foo'); p.pass_('letmein')
for n in range(1, p.stat()[0] + 1): print('POP3', b'\\n'.join(p.retr(n)[1]).decode())
";

fn mailboxes(dovecot: &Dovecot) -> String {
    python(&["-c", READ, &dovecot.address.to_string(), &IMAP_PORT.to_string(), &POP3_PORT.to_string()], "")
}

#[test]
fn a_message_by_lmtp_is_read_by_imap_and_pop3() {
    for mode in ["queue", "cut-through"] {
        let lab = Lab::new();
        let dovecot = Dovecot::start(&lab, 7);
        let _dns = Dns::start(&lab, &format!("inbox MX 10 mx.inbox\nmx.inbox A {}\n", lab.address(2)));
        let elsewhere = Sink::start(lab.address(2), MX_PORT);
        let route = format!("[[route]]\ndomains = [\"mailbox.test\"]\nsocket = \"{}\"\n", dovecot.socket.display());
        let forward = format!("[forward]\nmode = \"{mode}\"\nunauthenticated = \"accept\"\n");
        let waypost = Waypost::started(&lab, "foo@mailbox.test", &format!("{forward}{route}"));
        waypost.ok(&["alias", "add", "both@example.test", "foo@mailbox.test", "bar@inbox.test"]);
        let mut talk = Talk::greeted(waypost.address, MX_PORT);
        let letter = |subject: &str| format!("From: her@foreign.test\r\nSubject: {subject}\r\n\r\na line, and grüße\r\n");
        for (to, subject) in [("me@example.test", "to the mailbox"), ("both@example.test", "to both")] {
            let reply = talk.message("her@foreign.test", to, &letter(subject));
            assert!(reply.starts_with("250 2.0.0"), "{mode}: {reply}");
        }
        waypost.wait_for_empty_queue();
        let found = mailboxes(&dovecot);
        for (protocol, subject) in [("IMAP", "to the mailbox"), ("IMAP", "to both"), ("POP3", "to the mailbox"), ("POP3", "to both")] {
            let has =
                found.split("\nIMAP ").flat_map(|part| part.split("\nPOP3 ")).any(|part| part.contains(&format!("Subject: {subject}")));
            assert!(has && found.contains(protocol), "{mode}, {protocol}, {subject}: {found}");
        }
        assert!(
            found.contains("\na line, and grüße") && found.contains("Delivered-To: ") && found.matches("Subject: ").count() == 4,
            "{found}"
        );
        elsewhere.wait_for("Subject: to both");
        assert_eq!(elsewhere.messages().len(), 1);
        waypost.assert_no_bugs();
    }
}

#[test]
fn mail_is_deferred_while_the_lmtp_server_is_down() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, "");
    let socket = lab.path().join("dovecot/lmtp");
    let route = format!("[retry]\nwaits_s = [1]\n[[route]]\ndomains = [\"mailbox.test\"]\nsocket = \"{}\"\n", socket.display());
    let waypost = Waypost::started(&lab, "foo@mailbox.test", &route);
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.taken("her@foreign.test", "me@example.test", "From: her@foreign.test\r\nSubject: later\r\n\r\nx\r\n");
    let reason = waypost.wait_for_reason("cannot connect to");
    assert!(reason.contains("dovecot/lmtp"), "{reason}");
    let dovecot = Dovecot::start(&lab, 7);
    waypost.wait_for_empty_queue();
    wait_for("the message", || mailboxes(&dovecot).contains("Subject: later").then_some(()));
    waypost.assert_no_bugs();
}

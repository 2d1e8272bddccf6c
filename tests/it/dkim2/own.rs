//! Own mail: signed as the first hop, with hidden recipients in messages of their own.

use it::wait_for;
use mail_auth::AuthenticatedMessage;

use super::stage::*;

#[test]
fn own_mail_names_hidden_recipients_to_nobody() {
    let scene = scene("[submission]\ndkim2 = \"sign\"\n", |_| None);
    let password = scene.waypost.account(ME);
    let mut talk = scene.waypost.logged_in(ME, &password);
    talk.expect(&format!("MAIL FROM:<{ME}>"), "250");
    for to in ["a@inbox.test", "hidden@inbox.test", "b@inbox.test", "secret@inbox.test"] {
        talk.expect(&format!("RCPT TO:<{to}>"), "250");
    }
    talk.expect("DATA", "354");
    talk.send(format!("From: {ME}\r\nTo: A <a@inbox.test>\r\nCc: b@inbox.test\r\nSubject: own\r\n\r\nbody\r\n").as_bytes());
    talk.expect(".", "250");
    wait_for("three messages", || (scene.inbox.messages().len() == 3).then_some(()));
    let mut envelopes = Vec::new();
    for arrived in scene.inbox.messages() {
        assert_eq!(received_as(&scene.lab, &arrived), Ok(vec!["example.test".into()]), "{}", arrived.text());
        let message = AuthenticatedMessage::parse(&arrived.content).unwrap();
        let signature = format!("{:?}", message.dkim2_signatures()[0].header);
        for hidden in ["hidden@inbox.test", "secret@inbox.test"] {
            assert_eq!(signature.contains(hidden), arrived.to.iter().any(|to| to.contains(hidden)), "{signature}");
        }
        envelopes.push(arrived.to);
    }
    envelopes.sort();
    assert_eq!(envelopes, [vec!["<a@inbox.test>", "<b@inbox.test>"], vec!["<hidden@inbox.test>"], vec!["<secret@inbox.test>"]]);
    scene.ends_well();
}

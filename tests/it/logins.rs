//! Hostile logins: the numbers are those of the list of hostile inputs, the replies those that it names.

use it::{SUBMISSION_PORT, SUBMISSIONS_PORT, Talk};

use crate::hostile_in::Stage;

#[test]
fn threats_76_and_77_no_login_where_none_may_be() {
    let stage = Stage::new("");
    let mut talk = Talk::greeted(stage.waypost.address, SUBMISSION_PORT);
    talk.expect("AUTH PLAIN AGEAYg==", "538 5.7.11");
    talk.expect("MAIL FROM:<me@example.test>", "530 5.7.0");
    talk.start_tls(&stage.waypost.certificate());
    talk.expect("EHLO client.foreign.test", "250");
    talk.expect("MAIL FROM:<me@example.test>", "530 5.7.0");
    let mut talk = stage.greeted();
    talk.expect("AUTH PLAIN AGEAYg==", "502 5.5.1");
    stage.only_the_good_one(&mut talk);
}

#[test]
fn threats_78_to_80_and_83_logins() {
    let stage = Stage::new("");
    let password = stage.waypost.account("me@example.test");
    let plain = |text: &str| format!("AUTH PLAIN {}", it::base64(text));
    let mut talk = Talk::connect(stage.waypost.address, SUBMISSIONS_PORT);
    talk.handshake(&stage.waypost.certificate()).unwrap();
    assert!(talk.reply().starts_with("220"));
    talk.expect("EHLO client.foreign.test", "250");
    // 78
    talk.expect("AUTH PLAIN !!!", "501 5.5.2");
    talk.expect("AUTH LOGIN", "334");
    talk.expect("*", "501 5.7.0");
    talk.expect("AUTH PLAIN", "334");
    talk.expect(&"A".repeat(12_287), "500 5.5.6");
    // 79, and a wrong password and an unknown name, which sound alike
    let login = "me@example.test";
    let refused: Vec<String> = [
        format!("other@example.test\0{login}\0{password}"),
        format!("\0{login}\0"),
        format!("\0{login}\0{password}\0"),
        format!("\0{login}\0wrong"),
        "\0nobody@example.test\0wrong".to_owned(),
    ]
    .iter()
    .map(|text| talk.expect(&plain(text), "535 5.7.8"))
    .collect();
    assert!(refused.iter().all(|r| *r == refused[0]), "{refused:?}");
    // 80
    talk.expect("AUTH CRAM-MD5", "504 5.5.4");
    talk.expect(&plain(&format!("\0{login}\0{password}")), "235 2.7.0");
    talk.expect(&plain(&format!("\0{login}\0{password}")), "503 5.5.1");
    // 83
    talk.expect("MAIL FROM:<boss@example.test>", "553 5.7.1");
    let reply = talk.message(login, "foo@inbox.test", "From: boss@example.test\r\nSubject: not mine\r\n\r\nx\r\n");
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
    talk.expect("MAIL FROM:<me@example.test>", "250");
    talk.expect("AUTH LOGIN", "503 5.5.1");
    talk.expect("RSET", "250");
    talk.taken(login, "foo@inbox.test", "From: me@example.test\r\nSubject: mine\r\n\r\nx\r\n");
    stage.inbox.wait_for("Subject: mine");
    assert_eq!(stage.inbox.messages().len(), 1);
    stage.waypost.assert_no_bugs();
}

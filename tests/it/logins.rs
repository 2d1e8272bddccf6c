//! Hostile logins. Numbers and replies are those of the list of hostile inputs.

use std::net::Ipv4Addr;

use it::{InboundScene, SUBMISSION_PORT, SUBMISSIONS_PORT, Talk, base64, wait_for};

const ME: &str = "me@example.test";

fn plain(login: &str, password: &str) -> String {
    format!("AUTH PLAIN {}", base64(&format!("\0{login}\0{password}")))
}

/// A session over TLS from this address.
fn session(stage: &InboundScene, source: Ipv4Addr) -> Talk {
    let mut talk = Talk::connect_from(source, stage.waypost.address, SUBMISSIONS_PORT);
    talk.handshake(&stage.waypost.certificate()).unwrap();
    assert!(talk.reply().starts_with("220"));
    talk.expect("EHLO client.foreign.test", "250");
    talk
}

/// The reply to a login from this address.
fn attempt(stage: &InboundScene, source: Ipv4Addr, login: &str, password: &str) -> String {
    session(stage, source).say(&plain(login, password))
}

const HOME: Ipv4Addr = Ipv4Addr::new(127, 99, 1, 1);

#[test]
fn threats_76_and_77_no_login_where_none_may_be() {
    let stage = InboundScene::new("");
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
    let stage = InboundScene::new("");
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
    // 79, and the equal replies to a wrong password and an unknown name
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

#[test]
fn threats_82_one_client_guesses_a_few_times() {
    let stage = InboundScene::new("");
    let password = stage.waypost.account(ME);
    let stranger = Ipv4Addr::new(127, 77, 1, 1);
    assert!(attempt(&stage, HOME, ME, &password).starts_with("235"));
    for n in 0..10 {
        let login = if n % 2 == 0 { ME.to_owned() } else { format!("nobody{n}@example.test") };
        assert!(attempt(&stage, stranger, &login, &format!("guess{n}")).starts_with("535 5.7.8"));
    }
    let mut talk = session(&stage, stranger);
    talk.expect(&plain(ME, "guess10"), "454 4.7.0");
    // The right password is refused too, or guessing would succeed.
    talk.expect(&plain(ME, &password), "421 4.7.0");
    assert_eq!(talk.reply(), "", "closed");
    // Other networks, the owner's own network and local commands are not locked out.
    assert!(attempt(&stage, Ipv4Addr::new(127, 77, 1, 2), ME, &password).starts_with("235"));
    assert!(attempt(&stage, Ipv4Addr::new(127, 99, 200, 7), ME, &password).starts_with("235"));
    assert_eq!(stage.waypost.json(&["account", "list"])[0]["login"], ME);
    stage.waypost.assert_no_bugs();
}

#[test]
fn threats_82_many_clients_guess_at_one_account_a_few_times() {
    let mut stage = InboundScene::new("");
    let password = stage.waypost.account(ME);
    assert!(attempt(&stage, HOME, ME, &password).starts_with("235"));
    let stranger = |n: u8| Ipv4Addr::new(127, 60 + n, 1, 1);
    for login in [ME, "nobody@example.test"] {
        let replies: Vec<String> = (0..22).map(|n| attempt(&stage, stranger(n), login, &format!("guess{n}"))).collect();
        assert!(replies.iter().take(20).all(|r| r.starts_with("535 5.7.8")), "{login}: {replies:?}");
        assert!(replies.iter().skip(20).all(|r| r.starts_with("454 4.7.0")), "{login}: {replies:?}");
    }
    assert!(attempt(&stage, HOME, ME, &password).starts_with("235"));
    // The owner's network is known after a restart, too.
    wait_for("the login to be written down", || stage.waypost.json(&["account", "list"])[0]["last_login_ms"].as_i64());
    stage.waypost.stop();
    stage.waypost.start();
    for n in 0..22 {
        attempt(&stage, stranger(n), ME, &format!("guess{n}"));
    }
    assert!(attempt(&stage, stranger(30), ME, &password).starts_with("454"));
    assert!(attempt(&stage, HOME, ME, &password).starts_with("235"));
    stage.waypost.assert_no_bugs();
}

#[test]
fn a_client_with_an_old_password_is_not_throttled() {
    let stage = InboundScene::new("");
    let password = stage.waypost.account(ME);
    for _ in 0..30 {
        assert!(attempt(&stage, HOME, ME, "the old one").starts_with("535 5.7.8"));
    }
    assert!(attempt(&stage, HOME, ME, &password).starts_with("235"));
}

#[test]
fn threats_81_scram_that_is_altered() {
    let stage = InboundScene::new("[submission]\nchannel_binding = true\n");
    stage.waypost.account(ME);
    let first = base64(&format!("n,,n={ME},r=clientnonce"));
    for (finish, why) in [
        ("c=biws,r=othernonce,p=AAAA", "wrong nonce"),
        ("c=eSws,r=NONCE,p=AAAA", "another header than at first"),
        ("c=biws,r=NONCE,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "wrong proof"),
        ("", "nothing"),
    ] {
        let mut talk = session(&stage, HOME);
        let challenge = talk.expect(&format!("AUTH SCRAM-SHA-256 {first}"), "334 ");
        let nonce =
            it::unbase64(challenge.trim().trim_start_matches("334 ")).split(',').next().unwrap().trim_start_matches("r=").to_owned();
        let reply = talk.say(&base64(&finish.replace("NONCE", &nonce)));
        assert!(reply.starts_with("535 5.7.8"), "{why}: {reply}");
    }
    // The client claims that no channel binding was offered: a man in the middle removed the offer.
    session(&stage, HOME).expect(&format!("AUTH SCRAM-SHA-256 {}", base64(&format!("y,,n={ME},r=clientnonce"))), "535 5.7.8");
    // The first message of an unknown name gets the same kind of answer.
    let answer = |name: &str| {
        let mut talk = session(&stage, HOME);
        let challenge = talk.expect(&format!("AUTH SCRAM-SHA-256 {}", base64(&format!("n,,n={name},r=x"))), "334 ");
        it::unbase64(challenge.trim().trim_start_matches("334 "))
    };
    let shape = |answer: String| answer.split(',').map(|part| (part[..2].to_owned(), part.len())).collect::<Vec<_>>();
    assert_eq!(shape(answer(ME)), shape(answer("nobody@example.test")));
    let salt = |answer: String| answer.split(',').nth(1).unwrap().to_owned();
    assert_eq!(salt(answer("nobody@example.test")), salt(answer("nobody@example.test")), "the salt of nobody does not change");
    stage.waypost.assert_no_bugs();
}

#[test]
fn threats_84_an_account_over_its_limit_and_a_suspended_one() {
    let stage = InboundScene::new("");
    let password = stage.waypost.account(ME);
    stage.waypost.ok(&["account", "limits", ME, "--recipients-per-hour", "30", "--new-recipients-per-day", "3"]);
    let to = |n: usize| format!("RCPT TO:<foo{n}@inbox.test>");
    let mut talk = stage.waypost.logged_in(ME, &password);
    talk.expect(&format!("MAIL FROM:<{ME}>"), "250");
    for n in 0..3 {
        talk.expect(&to(n), "250");
    }
    talk.expect(&to(3), "451 4.7.1");
    talk.expect(&to(1), "250");
    // The owner is notified through the account's own forwarding.
    let letter = stage.inbox.wait_for("has sent to 3 new recipients today");
    assert!(letter.to.join(" ").contains("<foo@inbox.test>") && letter.text().contains("waypost account show"), "{}", letter.text());
    // Continued sending is stopped.
    for n in 4..26 {
        let mut talk = stage.waypost.logged_in(ME, &password);
        talk.expect(&format!("MAIL FROM:<{ME}>"), "250");
        talk.expect(&to(n), "451 4.7.1");
        if stage.waypost.json(&["account", "list"])[0]["suspended"].is_string() {
            break;
        }
    }
    assert!(attempt(&stage, HOME, ME, &password).starts_with("535 5.7.8"));
    let letter = stage.inbox.wait_for(&format!("{ME} is suspended"));
    assert!(letter.text().contains("waypost account resume"), "{}", letter.text());
    // An open session cannot send any more.
    talk.expect("RSET", "250");
    talk.expect(&format!("MAIL FROM:<{ME}>"), "550 5.7.1");
    stage.waypost.ok(&["account", "resume", ME]);
    assert!(attempt(&stage, HOME, ME, &password).starts_with("235"));
    // Maximum recipients per hour.
    stage.waypost.ok(&["account", "limits", ME, "--recipients-per-hour", "5", "--new-recipients-per-day", "1000"]);
    let mut talk = stage.waypost.logged_in(ME, &password);
    talk.expect(&format!("MAIL FROM:<{ME}>"), "250");
    let replies: Vec<String> = (0..6).map(|_| talk.say(&to(1))).collect();
    assert!(replies.iter().any(|r| r.starts_with("451 4.7.1")), "{replies:?}");
    stage.waypost.assert_no_bugs();
}

#[test]
fn auth_after_starttls_requires_ehlo() {
    let stage = InboundScene::new("");
    let password = stage.waypost.account(ME);
    let mut talk = Talk::greeted(stage.waypost.address, SUBMISSION_PORT);
    talk.start_tls(&stage.waypost.certificate());
    talk.expect(&plain(ME, &password), "503 5.5.1");
    talk.expect("EHLO client.foreign.test", "250");
    talk.expect(&plain(ME, &password), "235 2.7.0");
}

#[test]
fn an_account_may_send_as_its_aliases() {
    let stage = InboundScene::new("");
    let password = stage.waypost.account(ME);
    stage.waypost.ok(&["alias", "add", "info@example.test", ME]);
    stage.waypost.ok(&["alias", "add", "boss@example.test", "foo@inbox.test"]);
    let mut talk = stage.waypost.logged_in(ME, &password);
    talk.taken("info@example.test", "foo@inbox.test", "From: info@example.test\r\nSubject: as an alias\r\n\r\nx\r\n");
    talk.expect("MAIL FROM:<boss@example.test>", "553 5.7.1");
    stage.inbox.wait_for("Subject: as an alias");
}

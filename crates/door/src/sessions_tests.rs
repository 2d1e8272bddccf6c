//! How sessions begin and end.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use store::{AccountChange, LinkPurpose};

use super::*;
use crate::test_door::{TestDoor, password};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn new<'a>(login: &'a str, password: Option<&'a str>) -> NewSession<'a> {
    NewSession { login, password, client: CLIENT, browser: "Firefox\r\n on Linux" }
}

#[tokio::test]
async fn a_session_ends_by_time_and_survives_a_restart() {
    let test = TestDoor::open().await;
    let (door, clock) = (&test.door, &test.parts.clock);
    let token = door.begin(new("Me@x.test", Some("phone"))).await.unwrap();
    let guest = door.guest(&token).await.unwrap();
    assert_eq!((guest.login.as_str(), guest.is_owner), ("me@x.test", true));
    assert!(guest.csrf != token && door.guest("x").await.is_none() && door.guest(&"A".repeat(43)).await.is_none());
    for _ in 0..3 {
        clock.advance(Duration::from_secs(11 * 3600));
        assert!(door.guest(&token).await.is_some(), "a session in use goes on");
    }
    let again = Door::open(test.parts.clone()).await.unwrap();
    assert_eq!(again.guest(&token).await.unwrap().csrf, guest.csrf);
    assert_eq!(again.sessions(Some("me@x.test"))[0].browser, "Firefox on Linux");
    clock.advance(Duration::from_secs(12 * 3600));
    assert!(door.guest(&token).await.is_none() && door.sessions(None).is_empty());
    let token = door.begin(new("me@x.test", Some("phone"))).await.unwrap();
    for _ in 0..29 {
        for _ in 0..3 {
            clock.advance(Duration::from_secs(8 * 3600));
            assert!(door.guest(&token).await.is_some());
        }
    }
    clock.advance(Duration::from_secs(8 * 3600));
    assert!(door.guest(&token).await.is_some());
    clock.advance(Duration::from_secs(8 * 3600));
    door.guest(&token).await.unwrap();
    clock.advance(Duration::from_secs(8 * 3600));
    assert!(door.guest(&token).await.is_none(), "30 days are the most");
}

#[tokio::test]
async fn a_session_ends_with_its_account_or_its_password() {
    let test = TestDoor::open().await;
    let door = &test.door;
    let me = || "me@x.test".parse::<mail::Mailbox>().unwrap();
    let by_phone = door.begin(new("me@x.test", Some("phone"))).await.unwrap();
    let by_link = door.begin(new("me@x.test", None)).await.unwrap();
    test.change(AccountChange::PutPassword(me(), password("tablet", "three"))).await;
    assert!(door.guest(&by_phone).await.is_some() && door.guest(&by_link).await.is_some(), "a further password ends nothing");
    test.change(AccountChange::PutPassword(me(), password("laptop", "four"))).await;
    assert!(door.guest(&by_phone).await.is_some() && door.guest(&by_link).await.is_none());
    test.change(AccountChange::PutPassword(me(), password("phone", "five"))).await;
    assert!(door.guest(&by_phone).await.is_none());
    let token = door.begin(new("me@x.test", Some("phone"))).await.unwrap();
    test.change(AccountChange::SetOwner(me(), false)).await;
    assert!(!door.guest(&token).await.unwrap().is_owner);
    test.change(AccountChange::Enable(me(), false)).await;
    assert!(door.guest(&token).await.is_none());
    test.change(AccountChange::Enable(me(), true)).await;
    assert!(door.guest(&token).await.is_none(), "an ended session stays ended");
}

#[tokio::test]
async fn sessions_are_ended_by_name_and_bounded() {
    let test = TestDoor::open().await;
    let door = &test.door;
    let mut tokens = Vec::new();
    for _ in 0..40 {
        test.parts.clock.advance(Duration::from_secs(1));
        tokens.push(door.begin(new("me@x.test", Some("phone"))).await.unwrap());
    }
    assert_eq!(door.sessions(Some("me@x.test")).len(), PER_ACCOUNT_MAX);
    assert!(door.guest(&tokens[0]).await.is_none() && door.guest(&tokens[39]).await.is_some());
    let newest = door.sessions(None)[0].id.clone();
    assert_eq!(door.end(Some("you@x.test"), Some(&newest), None).await, 0, "another account cannot end it");
    assert_eq!(door.end(Some("me@x.test"), Some(&newest), None).await, 1);
    assert!(door.guest(&tokens[39]).await.is_none());
    let own = door.guest(&tokens[38]).await.unwrap().session;
    assert_eq!(door.end(Some("me@x.test"), None, Some(own)).await, PER_ACCOUNT_MAX - 2);
    assert!(door.guest(&tokens[38]).await.is_some());
    assert_eq!(Door::open(test.parts.clone()).await.unwrap().sessions(None).len(), 1);
}

#[tokio::test]
async fn a_link_works_once_and_for_its_time() {
    let test = TestDoor::open().await;
    let (door, clock) = (&test.door, &test.parts.clock);
    let made = door.make_link("operator", "me@x.test", LinkPurpose::Login).await.unwrap();
    let token = made.path.strip_prefix("/login/link/").unwrap();
    assert_eq!(door.take_link(token, LinkPurpose::Invitation).await.unwrap(), None, "a link is for one purpose");
    assert!(door.link(token, LinkPurpose::Login).await.unwrap().is_some(), "looking does not use it up");
    let (one, two) = tokio::join!(door.take_link(token, LinkPurpose::Login), door.take_link(token, LinkPurpose::Login));
    assert_eq!([one.unwrap(), two.unwrap()].iter().flatten().count(), 1);
    let late = door.make_link("operator", "me@x.test", LinkPurpose::Login).await.unwrap();
    clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(door.take_link(late.path.strip_prefix("/login/link/").unwrap(), LinkPurpose::Login).await.unwrap(), None);
    let operators = door.make_link("operator", "", LinkPurpose::Login).await.unwrap();
    let token = operators.path.strip_prefix("/login/link/").unwrap();
    assert_eq!(door.link(token, LinkPurpose::Login).await.unwrap(), None, "there is an owner");
    test.change(AccountChange::SetOwner("me@x.test".parse().unwrap(), false)).await;
    assert!(door.take_link(token, LinkPurpose::Login).await.unwrap().is_some());
    let cookie = door.begin(new("", None)).await.unwrap();
    assert_eq!(door.guest(&cookie).await.unwrap().login, "operator");
    clock.advance(Duration::from_secs(3600));
    assert!(door.guest(&cookie).await.is_none());
}

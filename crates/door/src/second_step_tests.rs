//! Codes: right, wrong, used, too many.

use std::time::Duration;

use super::*;
use crate::test_door::TestDoor;

fn me() -> Mailbox {
    "me@x.test".parse().unwrap()
}

/// The code of a secret, `steps` of 30 seconds from now.
fn code(test: &TestDoor, secret: &str, steps: i64) -> String {
    let totp = totp(&Secret::new(&secret.replace(' ', ""))).unwrap();
    let at_s = test.parts.clock.now_ms() / 1000 + 30 * steps;
    totp.generate(u64::try_from(at_s).unwrap()).to_string()
}

#[test]
fn codes_are_those_of_rfc6238() {
    // Appendix B with SHA-1, cut to six digits.
    let totp = Builder::new().with_secret(*b"12345678901234567890").build().unwrap();
    for (time_s, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
        assert_eq!(step_of(&totp, code, time_s * 1000), Some(time_s / 30));
        let (first, last) = code.split_at(3);
        assert_eq!(step_of(&totp, &format!("{first} {last}"), (time_s + 30) * 1000), Some(time_s / 30), "one step late");
        assert_eq!(step_of(&totp, code, (time_s + 90) * 1000), None);
    }
    for code in ["", "28708", "2870820", "28708a", "-28708", "٢٨٧٠٨٢"] {
        assert_eq!(step_of(&totp, code, 59_000), None, "{code}");
    }
}

#[tokio::test]
async fn a_code_counts_once() {
    let test = TestDoor::open().await;
    let door = &test.door;
    assert_eq!(door.second_step(&me()).await.unwrap(), None);
    let made = door.begin_second_step(&me(), "mx.x.test");
    assert!(made.url.starts_with("otpauth://totp/mx%2Ex%2Etest:me%40x%2Etest?secret="), "{}", made.url);
    let first = code(&test, &made.secret, 0);
    assert!(matches!(door.finish_second_step(&me(), "nonsense", &first).await, Err(CodeRefused::Wrong)));
    assert!(matches!(door.finish_second_step(&"you@x.test".parse().unwrap(), &made.sealed, &first).await, Err(CodeRefused::Wrong)));
    let recovery = door.finish_second_step(&me(), &made.sealed, &first).await.unwrap();
    assert_eq!((recovery.len(), door.second_step(&me()).await.unwrap().map(|step| (step.has_app, step.recovery))), (10, Some((true, 10))));
    assert!(matches!(door.check_code(&me(), &first).await, Err(CodeRefused::Wrong)), "the code of the setup is used");
    let next = code(&test, &made.secret, 1);
    assert!(door.check_code(&me(), &next).await.is_ok());
    assert!(matches!(door.check_code(&me(), &next).await, Err(CodeRefused::Wrong)), "replayed");
    assert!(door.check_code(&me(), &recovery[3].to_uppercase().replace('-', " ")).await.is_ok());
    assert!(matches!(door.check_code(&me(), &recovery[3]).await, Err(CodeRefused::Wrong)));
    assert_eq!(door.second_step(&me()).await.unwrap().map(|step| step.recovery), Some(9));
    assert!(door.remove_second_step("operator", &me()).await.unwrap() && !door.remove_second_step("operator", &me()).await.unwrap());
    assert!(matches!(door.check_code(&me(), &recovery[4]).await, Err(CodeRefused::Wrong)));
}

#[tokio::test]
async fn wrong_codes_are_limited() {
    let test = TestDoor::open().await;
    let door = &test.door;
    let made = door.begin_second_step(&me(), "mx.x.test");
    let recovery = door.finish_second_step(&me(), &made.sealed, &code(&test, &made.secret, 0)).await.unwrap();
    for _ in 0..WRONG_MAX {
        assert!(matches!(door.check_code(&me(), "000000x").await, Err(CodeRefused::Wrong)));
    }
    assert!(matches!(door.check_code(&me(), &recovery[0]).await, Err(CodeRefused::TooMany)));
    test.parts.clock.advance(Duration::from_secs(600));
    assert!(door.check_code(&me(), &recovery[0]).await.is_ok());
}

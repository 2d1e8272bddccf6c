//! Passkeys: an authenticator in software, and what a thief would try.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use net::digest_of;

use super::*;
use crate::CodeRefused;
use crate::test_door::TestDoor;

fn me() -> Mailbox {
    "me@x.test".parse().unwrap()
}

fn site() -> PasskeySite {
    PasskeySite { id: "mx.x.test".into(), origin: "https://mx.x.test".into() }
}

/// An authenticator with one passkey.
struct Authenticator {
    pair: EcdsaKeyPair,
    id: Vec<u8>,
    counter: u32,
    verifies: bool,
    origin: String,
}

/// What it answers, in base64url.
struct Answer {
    client_data: String,
    authenticator_data: String,
    signature: String,
    id: String,
}

impl Answer {
    fn as_sent(&self) -> PasskeyAnswer<'_> {
        PasskeyAnswer {
            id: &self.id,
            client_data: &self.client_data,
            authenticator_data: &self.authenticator_data,
            signature: &self.signature,
        }
    }
}

impl Authenticator {
    fn new(id: u8) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self { pair, id: vec![id; 16], counter: 1, verifies: true, origin: "https://mx.x.test".into() }
    }

    fn client_data(&self, kind: &str, challenge: &str) -> Vec<u8> {
        format!(r#"{{"type":"webauthn.{kind}","challenge":"{challenge}","origin":"{}"}}"#, self.origin).into_bytes()
    }

    fn data(&self, is_new: bool) -> Vec<u8> {
        let flags = 0x01 | if self.verifies { 0x04 } else { 0 } | if is_new { 0x40 } else { 0 };
        let mut octets = [&digest_of(b"mx.x.test")[..], &[flags], &self.counter.to_be_bytes()].concat();
        if is_new {
            octets.extend([0; 16]);
            octets.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
            octets.extend(&self.id);
        }
        octets
    }

    async fn add(&self, test: &TestDoor, login: &Mailbox, name: &str) -> Result<Option<Vec<String>>, PasskeyRefused> {
        let challenge = test.door.passkey_challenge(PasskeyPurpose::Add(login));
        let public: PublicKeyX509Der<'_> = self.pair.public_key().as_der().unwrap();
        let [client_data, data, key] = [self.client_data("create", &challenge), self.data(true), public.as_ref().to_vec()]
            .map(|octets| URL_SAFE_NO_PAD.encode(octets));
        let new = NewPasskey { name, client_data: &client_data, authenticator_data: &data, public_key: &key, algorithm: -7 };
        test.door.add_passkey(login, &site(), new).await
    }

    fn answer(&mut self, challenge: &str) -> Answer {
        self.counter += 1;
        let (client_data, data) = (self.client_data("get", challenge), self.data(false));
        let signed = [&data[..], &digest_of(&client_data)].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap();
        Answer {
            client_data: URL_SAFE_NO_PAD.encode(client_data),
            authenticator_data: URL_SAFE_NO_PAD.encode(data),
            signature: URL_SAFE_NO_PAD.encode(signature.as_ref()),
            id: URL_SAFE_NO_PAD.encode(&self.id),
        }
    }

    async fn log_in(&mut self, test: &TestDoor, purpose: PasskeyPurpose<'_>) -> Result<Passkey, PasskeyRefused> {
        let answer = self.answer(&test.door.passkey_challenge(purpose));
        test.door.use_passkey(purpose, &site(), answer.as_sent()).await
    }
}

#[tokio::test]
async fn a_passkey_logs_in_once_for_each_challenge() {
    let test = TestDoor::open().await;
    let mut phone = Authenticator::new(1);
    let codes = phone.add(&test, &me(), " phone\r\n ").await.unwrap().expect("the first second step makes recovery codes");
    assert_eq!(codes.len(), 10);
    assert!(matches!(phone.add(&test, &me(), "again").await, Err(PasskeyRefused::TooMany)));
    assert_eq!(Authenticator::new(2).add(&test, &me(), "").await.unwrap(), None);
    let names: Vec<String> = test.door.passkeys(&me()).await.unwrap().into_iter().map(|passkey| passkey.name).collect();
    assert_eq!(names, ["phone", "passkey"]);

    let used = phone.log_in(&test, PasskeyPurpose::Login).await.unwrap();
    assert_eq!((used.login.as_str(), used.name.as_str()), ("me@x.test", "phone"));
    assert!(phone.log_in(&test, PasskeyPurpose::Second(&me())).await.is_ok());
    let answer = phone.answer(&test.door.passkey_challenge(PasskeyPurpose::Login));
    assert!(test.door.use_passkey(PasskeyPurpose::Login, &site(), answer.as_sent()).await.is_ok());
    let replayed = test.door.use_passkey(PasskeyPurpose::Login, &site(), answer.as_sent()).await;
    assert!(matches!(replayed, Err(PasskeyRefused::Late)), "{replayed:?}");
    assert!(test.door.check_code(&me(), &codes[0]).await.is_ok(), "the phone is lost");
    assert!(matches!(test.door.check_code(&me(), "123456").await, Err(CodeRefused::Wrong)), "there is no app");
}

#[tokio::test]
async fn what_a_thief_sends_is_refused() {
    let test = TestDoor::open().await;
    let (mut phone, mut other) = (Authenticator::new(1), Authenticator::new(2));
    phone.add(&test, &me(), "phone").await.unwrap();
    let you: Mailbox = "you@x.test".parse().unwrap();
    assert!(matches!(phone.log_in(&test, PasskeyPurpose::Second(&you)).await, Err(PasskeyRefused::Wrong("it is not known here"))));
    assert!(matches!(other.log_in(&test, PasskeyPurpose::Login).await, Err(PasskeyRefused::Wrong("it is not known here"))));
    // The name of the right passkey with another key.
    other.id = phone.id.clone();
    assert!(matches!(other.log_in(&test, PasskeyPurpose::Login).await, Err(PasskeyRefused::Wrong("its signature is wrong"))));
    phone.origin = "https://evil.test".into();
    let foreign = phone.log_in(&test, PasskeyPurpose::Login).await;
    assert!(matches!(foreign, Err(PasskeyRefused::Wrong("the client data is of another origin"))), "{foreign:?}");
    phone.origin = "https://mx.x.test".into();
    phone.verifies = false;
    assert!(phone.log_in(&test, PasskeyPurpose::Second(&me())).await.is_ok(), "the password was right already");
    let found = phone.log_in(&test, PasskeyPurpose::Login).await;
    assert!(matches!(found, Err(PasskeyRefused::Wrong("the authenticator has not verified its user"))), "{found:?}");
    phone.verifies = true;
    // A challenge for another purpose.
    let answer = phone.answer(&test.door.passkey_challenge(PasskeyPurpose::Second(&me())));
    assert!(matches!(test.door.use_passkey(PasskeyPurpose::Login, &site(), answer.as_sent()).await, Err(PasskeyRefused::Late)));
    // A copy of the device has made fewer signatures.
    phone.counter = 1;
    assert!(matches!(phone.log_in(&test, PasskeyPurpose::Login).await, Err(PasskeyRefused::Copied)));
    phone.counter = 100;
    assert!(phone.log_in(&test, PasskeyPurpose::Login).await.is_ok());
}

#[tokio::test]
async fn what_is_removed_does_not_log_in() {
    let test = TestDoor::open().await;
    let (mut phone, key) = (Authenticator::new(1), Authenticator::new(2));
    phone.add(&test, &me(), "phone").await.unwrap();
    key.add(&test, &me(), "key").await.unwrap();
    let id = URL_SAFE_NO_PAD.encode(&phone.id);
    assert!(!test.door.remove_passkey(&"you@x.test".parse().unwrap(), &id).await.unwrap(), "of another account");
    assert!(test.door.remove_passkey(&me(), &id).await.unwrap() && !test.door.remove_passkey(&me(), &id).await.unwrap());
    assert!(phone.log_in(&test, PasskeyPurpose::Login).await.is_err());
    assert_eq!(test.door.second_step(&me()).await.unwrap().map(|step| (step.has_app, step.passkeys.len())), Some((false, 1)));
    assert!(test.door.remove_passkey(&me(), &URL_SAFE_NO_PAD.encode(&key.id)).await.unwrap());
    assert_eq!(test.door.second_step(&me()).await.unwrap(), None, "the recovery codes end with the last passkey");
    phone.add(&test, &me(), "phone").await.unwrap().expect("new recovery codes");
    assert!(test.door.remove_second_step("operator", &me()).await.unwrap());
    assert!(phone.log_in(&test, PasskeyPurpose::Login).await.is_err());
}

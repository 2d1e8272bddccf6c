//! Logins and return addresses: what a stranger must not be able to forge.
//!
//! RFC 4422 s.3, RFC 5802, RFC 4616.

use std::sync::LazyLock;

use mail::srs::{Hash, Reversed, Secret as SrsSecret, Srs};
use mail::{Domain, Mailbox};
use sasl::{Binding, BindingKind, Context, Exchange, Found, Mechanism, Need, ScramHash, ScramKeys, Secret, Step, scram_keys};

use crate::addresses::check_mailbox;
use crate::checks::{assert_one_line, choice, text};

const SALT: &[u8] = b"0123456789abcdef";
const ITERATIONS: u32 = 4096;
const PASSWORD: &str = "tanstaaftanstaaf";

/// Steps of one exchange; a longer one is a loop.
const STEPS_MAX: usize = 16;

static SHA1_KEYS: LazyLock<ScramKeys> = LazyLock::new(|| keys(ScramHash::Sha1));
static SHA256_KEYS: LazyLock<ScramKeys> = LazyLock::new(|| keys(ScramHash::Sha256));

fn keys(hash: ScramHash) -> ScramKeys {
    scram_keys(hash, PASSWORD, SALT, ITERATIONS).expect("keys of a password")
}

/// The first octet chooses the mechanism; a line is a response. An exchange ends within a few steps; only the user whose password the octets prove is
/// logged in, and nothing follows a refusal.
pub fn sasl_exchanges(data: &[u8]) {
    let (kind, rest) = choice(data);
    let mechanism = Mechanism::ALL[usize::from(kind & 15) % Mechanism::ALL.len()];
    let context = Context {
        hostname: "mail.x.test".into(),
        nonce: *b"0123456789abcdefghijklmn",
        bindings: vec![
            Binding { kind: BindingKind::Exporter, data: vec![1; 32] },
            Binding { kind: BindingKind::ServerEndPoint, data: vec![2; 32] },
        ],
        pepper: [9; 32],
        offers_plus: kind & 16 == 0,
    };
    let mut exchange = Exchange::new(mechanism, context);
    let mut responses = rest.split(|byte| *byte == b'\n');
    let mut step = if kind & 32 == 0 { exchange.start(responses.next()) } else { exchange.start(None) };
    for _ in 0..STEPS_MAX {
        step = match step {
            Step::Challenge(_) => match responses.next() {
                Some(response) => exchange.respond(response),
                None => return,
            },
            Step::Lookup(lookup) => {
                assert_one_line(&lookup.name);
                exchange.found(found(&lookup.name, lookup.need))
            }
            Step::Token(token) => exchange.token_checked((token.token.expose() == "token").then(|| "tim".to_owned())),
            Step::Proven(proven) => {
                assert_eq!(proven.name, "tim");
                return;
            }
            Step::Credentials(credentials) => {
                assert_one_line(&credentials.authcid);
                assert_one_line(&credentials.authzid);
                return;
            }
            Step::External { authzid } => return assert_one_line(&authzid),
            Step::Refused => {
                assert_eq!(exchange.respond(b"\0tim\0tanstaaf"), Step::Refused);
                assert_eq!(exchange.start(None), Step::Refused);
                return;
            }
        };
    }
    panic!("{mechanism:?} asks without end");
}

fn found(name: &str, need: Need) -> Found {
    if name != "tim" {
        return Found::NoSuchUser;
    }
    match need {
        Need::ScramSha256 => Found::Scram { salt: SALT.to_vec(), iterations: ITERATIONS, keys: vec![SHA256_KEYS.clone()] },
        Need::ScramSha1 => Found::Scram { salt: SALT.to_vec(), iterations: ITERATIONS, keys: vec![SHA1_KEYS.clone()] },
        Need::Secrets => Found::Secrets(vec![Secret::new(PASSWORD)]),
    }
}

/// The time of all runs: a day in 2026.
const NOW_S: i64 = 1_795_888_800;

/// Any address that can be rewritten leads back to itself, also in lower case, for as long as it is valid; the return address fits into a local part.
pub fn srs_addresses(data: &[u8]) {
    let text = text(data);
    let secret = |hash| SrsSecret { hash, key: b"a key of the fuzz targets".to_vec() };
    let domain = Domain::parse("fwd.example.test").expect("a domain");
    let Ok(sender) = Mailbox::parse(&text) else { return };
    for hash in [Hash::Sha256, Hash::Classic] {
        let srs = Srs { domain: domain.clone(), secrets: vec![secret(hash)], mac };
        let own = Mailbox { local: sender.local.clone(), domain: domain.clone() };
        if let Ok(Reversed::Address(mailbox)) = srs.reverse(&own, NOW_S) {
            check_mailbox(&mailbox);
        }
        let Some(rewritten) = srs.rewrite(&sender, NOW_S) else { continue };
        check_mailbox(&rewritten.address);
        assert!(rewritten.address.local.as_str().len() <= 64 && srs.owns(&rewritten.address), "{:?}", rewritten.address);
        let lower: Mailbox = rewritten.address.to_string().to_ascii_lowercase().parse().expect("an address in lower case");
        for (address, now_s) in [(&rewritten.address, NOW_S), (&lower, NOW_S + 20 * 86_400)] {
            let back = srs.reverse(address, now_s).unwrap_or_else(|error| panic!("{sender} became {address}: {error}"));
            check_reversed(&sender, rewritten.token.as_deref(), &back);
        }
        let late = srs.reverse(&rewritten.address, NOW_S + 40 * 86_400);
        assert!(late.is_err() || rewritten.address.local.as_str().starts_with("SRS1"), "{:?} is still valid", rewritten.address);
    }
}

fn check_reversed(sender: &Mailbox, token: Option<&str>, back: &Reversed) {
    // The address of a second forwarder leads to the first one.
    let is_of_second = sender.local.as_str().get(..4).is_some_and(|tag| tag.eq_ignore_ascii_case("SRS1"));
    match (back, token) {
        (Reversed::Token(found), Some(token)) => assert_eq!(found, token),
        (Reversed::Address(address), None) if is_of_second => check_mailbox(address),
        (Reversed::Address(address), None) => assert_eq!(address.to_string().to_lowercase(), sender.to_string().to_lowercase()),
        _ => panic!("{sender} became {back:?}"),
    }
}

/// Not a good code, but one of these octets: what is tested is what is made of it.
fn mac(secret: &SrsSecret, data: &[u8]) -> Vec<u8> {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let mut step = |byte: u8| {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        state.to_be_bytes()
    };
    for byte in secret.key.iter().chain(data) {
        let _ = step(*byte);
    }
    (0..4).flat_map(&mut step).collect()
}

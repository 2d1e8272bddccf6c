//! Measures the CPU time that a DKIM2 chain adds to a forward: `cargo run --release -p msgauth --example chain_cost`.
//!
//! Invariant: both rows run the same calls as the server, on the same message, in turn; the difference is what the chain costs.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

use std::sync::Arc;

use hickory_proto::op::Query;
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use mail::evidence::{ChainResult, DkimResult};
use msgauth::{
    Algorithm, Answering, ArrivedChain, Authenticator, ChainEnvelope, ChainSigner, Extension, HopSigners, Input, KeyPair, NextHop, Signer,
    SimulatedDns, record,
};

/// Rounds with a message of this many octets.
fn rounds(octets: usize) -> usize {
    ((2000 * (4 << 10)) / octets).clamp(20, 2000)
}

/// Answers every TXT query below a domain with the same key record.
#[derive(Debug)]
struct KeyZone(Vec<(String, String)>);

impl SimulatedDns for KeyZone {
    fn lookup(&self, name: Name, kind: RecordType) -> Answering {
        let asked = name.to_string().to_lowercase();
        let text = self.0.iter().find(|(known, _)| asked.trim_end_matches('.') == known).map(|(_, text)| text.clone());
        Box::pin(async move {
            let text = text.filter(|_| kind == RecordType::TXT).ok_or_else(|| NetError::from("no such name"))?;
            let strings: Vec<String> = text.as_bytes().chunks(250).map(|piece| String::from_utf8_lossy(piece).into_owned()).collect();
            let record = Record::from_rdata(name.clone(), 300, RData::TXT(TXT::new(strings)));
            Ok(Lookup::new_with_max_ttl(Query::query(name, kind), [record]))
        })
    }
}

fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

struct Bench {
    authenticator: Authenticator,
    ours: [Signer; 2],
    chain: ChainSigner,
    to: [String; 1],
    target: [String; 1],
}

const FIELDS: &[u8] =
    b"X-Forwarded-For: me@example.test foo@inbox.test\r\nX-Forwarded-To: foo@inbox.test\r\nDelivered-To: me@example.test\r\n";

impl Bench {
    /// What the server computes for one forward.
    async fn forward(&self, message: &[u8], with_chain: bool) {
        let client = "192.0.2.1".parse().unwrap();
        let input = Input { client, hello: "x.test", reverse_path: Some("her@foreign.test"), recipients: &self.to, message };
        let evidence = self.authenticator.evaluate(input).await;
        assert_eq!(evidence.dkim[0].result, DkimResult::Pass, "{evidence:?}");
        assert_eq!(evidence.dkim2.result == ChainResult::Pass, with_chain, "{evidence:?}");
        let leaves = [FIELDS, message].concat();
        let keys = self.authenticator.signers_keys(message).await;
        assert_eq!(self.authenticator.verify_dkim_with(&leaves, &keys).await[0].result, DkimResult::Pass);
        if with_chain {
            let envelope = ChainEnvelope { from: "her@foreign.test", to: &self.to };
            let arrived = ArrivedChain { authenticator: &self.authenticator, keys: &keys, envelope };
            let next = NextHop { envelope: ChainEnvelope { from: "SRS0=x@fwd.example.test", to: &self.target }, is_one_of_several: false };
            let signers = HopSigners { bridge: None, last: &self.chain };
            Extension::proven(arrived, &leaves, |extension| extension.sign_proven(signers, next)).unwrap().unwrap();
        }
        for signer in &self.ours {
            signer.sign(&[FIELDS, message]).unwrap();
        }
    }

    async fn measured(&self, message: &[u8], with_chain: bool) -> f64 {
        let (begun, rounds) = (cpu_ns(), rounds(message.len()));
        for _ in 0..rounds {
            self.forward(message, with_chain).await;
        }
        (cpu_ns() - begun) as f64 / rounds as f64 / 1e6
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (rsa, ed) = (KeyPair::generate(Algorithm::Rsa).unwrap(), KeyPair::generate(Algorithm::Ed25519).unwrap());
    let zone = KeyZone(vec![
        ("r1._domainkey.foreign.test".into(), record(Algorithm::Rsa, &rsa.public)),
        ("e1._domainkey.foreign.test".into(), record(Algorithm::Ed25519, &ed.public)),
    ]);
    let signer = |algorithm, pair: &KeyPair, domain, selector| Signer::new(algorithm, &pair.private, domain, selector).unwrap();
    for algorithm in [Algorithm::Ed25519, Algorithm::Rsa] {
        let (pair, selector) = if algorithm == Algorithm::Rsa { (&rsa, "r1") } else { (&ed, "e1") };
        let bench = Bench {
            authenticator: Authenticator::simulated(Arc::new(KeyZone(zone.0.clone()))).unwrap(),
            ours: [signer(Algorithm::Rsa, &rsa, "fwd.example.test", "r1"), signer(Algorithm::Ed25519, &ed, "fwd.example.test", "e1")],
            chain: ChainSigner::new(algorithm, &pair.private, "fwd.example.test", selector).unwrap(),
            to: ["me@example.test".into()],
            target: ["foo@inbox.test".into()],
        };
        for size in [1 << 10, 4 << 10, 64 << 10, 1 << 20] {
            let body = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n".repeat(size / 64);
            let plain = format!(
                "From: her@foreign.test\r\nTo: me@example.test\r\nSubject: x\r\nDate: Sun, 29 Nov 2026 01:02:03 +0000\r\nMessage-ID: <1@foreign.test>\r\n\r\n{body}"
            );
            let signed = signer(Algorithm::Rsa, &rsa, "foreign.test", "r1").sign(&[plain.as_bytes()]).unwrap() + &plain;
            let stranger = ChainSigner::new(algorithm, &pair.private, "foreign.test", selector).unwrap();
            let fields = stranger.originate(signed.as_bytes(), ChainEnvelope { from: "her@foreign.test", to: &bench.to }).unwrap();
            let chained = [fields.as_slice(), signed.as_bytes()].concat();
            let (mut without, mut with) = (0.0, 0.0);
            for _ in 0..3 {
                without += bench.measured(signed.as_bytes(), false).await / 3.0;
                with += bench.measured(&chained, true).await / 3.0;
            }
            println!(
                "{algorithm:?} {size:>8} octets: {without:.3} ms without a chain, {with:.3} ms with it: {:.3} ms more",
                with - without
            );
        }
    }
}

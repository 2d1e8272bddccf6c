//! Tests of verifiers of other programs: all were made by mkpasswd (libxcrypt) and doveadm (Dovecot 2.3).
//!
//! Invariant: a verifier matches its password only, and one that is expensive, damaged or truncated matches none.

use crate::password::{is_known, needs_rehash, verify};

/// Of the password `tanstaaf`.
const VERIFIERS: [&str; 32] = [
    "$y$j9T$ZFTvAYzUxyypMR7NhDAFa.$MWUd4w.vGMG5cF1th9DEgMDv/mcxsiNbDT88S1.7LK4",
    "$y$j75$TNbnCQhYMyUvi8Q9dGYqD1$IeDs.pa3LayI5qFPlQozjkjuhxIe56N.0jOhBF489f4",
    "{CRYPT}$y$j75$TNbnCQhYMyUvi8Q9dGYqD1$IeDs.pa3LayI5qFPlQozjkjuhxIe56N.0jOhBF489f4",
    "$6$hY0a3Ce5kBhGROnY$7TEXYYQDK8z52PzhBP4UEPwj3ivkou2tBB/hNgdpVc6eADLYWI.DBj2t0WokymrGSn4Cutdz/9wv9zH5/NxjK/",
    "$6$rounds=1000$KFuE1FSIu8NNU0ZM$/XFyDH3WBfB1jp1pdWh4DvFMlg4Ai85Jzt6CtqYn0E3s2lS1L0T..IYHNorndn4RCACt1z9Wy8OW4Pse58hDZ/",
    "$5$rounds=20000$PQl1bb4BujNVa4of$c0zBCXV5JKjt5Yx9pFHJSlOR30M5.Iz0OoQl2mwvlQ4",
    "$2b$05$pp8ezEMS4T2Uvt/Ir6MRxu6fv.xqh2KZXAyT75vwODxxWUvLtenAa",
    "$2a$05$IoAlMOgRG6tU7pVzH9VoWOifQP9um6X1xj3FOszSrC5/5Zl1vAfU2",
    "$1$49ihRFM8$QrNr3Np/64gL3YmcxHefE1",
    "{SHA512-CRYPT}$6$rounds=1000$4tntgkuunFEy3Cf0$D.IIGjctcvoO0pELHgvmxr2jlR7Elsz8zJQa7SDOIEZFC5nOz7vSHe84eB9H0PMJ1Zier.IkCOBpYp7YU8V.g/",
    "{SHA256-CRYPT}$5$rounds=1000$dJ0ZUDD84DVerEx3$APLp.NxH4cr5d8jtd9tPust6/vWx5yKIgWRJNDzNjo9",
    "{BLF-CRYPT}$2y$04$dWJUWdRht/SfdsuGuku3ZO8GTZOZr2Xn9JigPaj8gNd5SI48LPOiq",
    "{crypt}$2y$04$/i7/vZMYigIYPp2lpR1Fc.R7xUnIcR5HBtl58UqXzCYFRb8ALzmb2",
    "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$62Omu9Ns1SPMHjzhxnlg5Q$TH2kb9nCV9ZDY+SpeLUwQZFX2cvVTQPVq4peTbpcGuQ",
    "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$DapuaiMiXNUJCyhmlVts+g$Dk7F8tVQogpzss0sJO1/y+7eYmtOBjC7EJBAWWK6ox8",
    "{PLAIN}tanstaaf",
    "{cleartext}tanstaaf",
    "{SSHA}836MLsHQ3ee/4oQ8tuDdLCwab5n80io6",
    "{SSHA256}V+ynLMloKMalQAw4myxVo1eK8RJszLAvWJqDr7+4a7/R+cxf",
    "{SSHA512}xr9TF5Qa42nmDYHScHmtAr21q9KWqbthDo8ivw3VxSTYhlsDSNoedUvXryoVCorZoKbOKsryVT/0gw5mz5ItajyBwyY=",
    "{SHA}60cXn4M+9rlkPiIl1CM8mjjFKYE=",
    "{SHA1}60cXn4M+9rlkPiIl1CM8mjjFKYE=",
    "{SHA256}2OZJiX4f3IEocTIetqYiu1a2GovhuIBYRxZR+uXBLKo=",
    "{SHA512}7k4B2Jp+VfRq9eIRUB9fGp9ZeNyZPWiiDRYSh7oJALW7dmzxjah/z/nf+cj/MOzDknLTjla4zoq4EfWvmjU7oA==",
    "{SMD5}1HtxGtmSGO2bCIIecpeQB9Z1DEU=",
    "{PLAIN-MD5}b3aa0ba4e1f957e5f3ef356cfc147008",
    "{LDAP-MD5}s6oLpOH5V+Xz7zVs/BRwCA==",
    "{MD5-CRYPT}$1$IiiWmPOa$q.yfPNw3QA.bQw.H5C8As0",
    "{SSHA512.HEX}c6405e3c52ee8528cfbf34cd9124b3154241ad3555db18f777c2e532272cad51ae61f52b4224f05a7a2fe6595816022befcbce9f894a3ff4aca634584537844a680bce2d",
    "{SHA256.HEX}d8e649897e1fdc812871321eb6a622bb56b61a8be1b88058471651fae5c12caa",
    "{SCRAM-SHA-256}4096,gk8pcDDWIvdF5PavyTG4Og==,cOylp27WlEz3/11HP9NPyRBpFt7echm4VGgwDIiXM+U=,+gLiy0W3hcppO7q198v6Gs1zTdWYytnYWNBTee2nE34=",
    "{SCRAM-SHA-1}4096,LJdhPP23M8sUKbFi6BO2mw==,zcp/i+yXzeSuvNDPp4dKXAvV5Ac=,eK7r+mOutYz0bisuLJNr20IgRMY=",
];

#[test]
fn a_verifier_matches_its_password_only() {
    for verifier in VERIFIERS {
        assert!(is_known(verifier) && needs_rehash(verifier), "{verifier}");
        assert!(verify("tanstaaf", verifier), "{verifier}");
        for wrong in ["tanstaag", "Tanstaaf", "tanstaaf ", ""] {
            assert!(!verify(wrong, verifier), "{verifier} {wrong}");
        }
    }
}

#[test]
fn passwords_of_any_kind_are_compared() {
    let x80 = "x".repeat(80);
    for (password, verifier) in [
        (x80.as_str(), "$2a$05$vz8yhkkBD4v2cQuCeACXW.gv6hM1PgKH.zueOs1kIBC9s2MsYufsO"),
        ("pässwörd-that-is-longer-than-sixteen-octets", "$1$abcdefgh$TNx.K3gH760H5Q2ilZDti."),
        ("grüße, Welt", "$y$j75$y.XsDn9iD2cvxwxuBKpbB.$P9rKzFha2kPOtyZfsRkyEqnrkPEztyEOilQiXMa.2CC"),
        ("x", "$5$Vsh8LVAC7.Xu8bQY$ZylyzivR8xusjxIpYFyXfPUrcunKrSr0x2JbwMYVpqA"),
    ] {
        assert!(verify(password, verifier), "{verifier}");
        assert!(!verify("y", verifier), "{verifier}");
    }
    for verifier in VERIFIERS {
        assert!(!verify(&"x".repeat(1024), verifier), "{verifier}");
    }
}

#[test]
fn a_truncated_verifier_matches_no_password() {
    for verifier in VERIFIERS.into_iter().filter(|v| !v.starts_with("{PLAIN}") && !v.starts_with("{cleartext}")) {
        // Near the end a comparison could become one of two empty values.
        for end in (0..verifier.len()).filter(|end| end % 7 == 0 || verifier.len() - end < 90 && end % 3 == 0) {
            let cut = verifier.get(..end).unwrap();
            assert!(!is_known(cut) || !verify("tanstaaf", cut), "{cut}");
        }
    }
}

#[test]
fn an_expensive_or_unknown_verifier_matches_no_password() {
    let (hash, long) = ("c0zBCXV5JKjt5Yx9pFHJSlOR30M5.Iz0OoQl2mwvlQ4", "a".repeat(1025));
    for verifier in [
        format!("$5$rounds=1000001$salt${hash}"),
        format!("$5$rounds=999$salt${hash}"),
        format!("$5$rounds=$salt${hash}"),
        format!("$5$$${hash}"),
        format!("$5$salt${hash}$"),
        format!("$6$salt${hash}"),
        "$y$j9T$salt$".into(),
        "$y$j9T$salt$abcd".into(),
        format!("$y$jFT$salt${hash}"),
        format!("$y$jZT$salt${hash}"),
        format!("$y$j9zzzz$salt${hash}"),
        format!("$y$j953/2$salt${hash}"),
        format!("$y$/9T$salt${hash}"),
        format!("$y$.9T$salt${hash}"),
        "$y$jFT$PAOgMRLvFTHBzglzVwVhi.$E9DfF.fdFTwFcUNnXVXfCoj3YfRk194DcfbhT6OIkwB".into(),
        "$2b$15$pp8ezEMS4T2Uvt/Ir6MRxu6fv.xqh2KZXAyT75vwODxxWUvLtenAa".into(),
        "$2b$31$pp8ezEMS4T2Uvt/Ir6MRxu6fv.xqh2KZXAyT75vwODxxWUvLtenAa".into(),
        "$2b$99$pp8ezEMS4T2Uvt/Ir6MRxu6fv.xqh2KZXAyT75vwODxxWUvLtenAa".into(),
        "$2x$05$pp8ezEMS4T2Uvt/Ir6MRxu6fv.xqh2KZXAyT75vwODxxWUvLtenAa".into(),
        "$7$CU..../....WCUNCHjpHJ5VMuWyW/NoL/$JvzVaAj0PjyWLoVLMmXT/KN/bCD5p4xytA1Kx27vWq2".into(),
        "{ARGON2ID}$argon2id$v=19$m=1048576,t=4,p=1$/BHmgcKX6cH8dJc/fPEsrA$I/QbYzPaY6khA3cTa+K+9WuTiXzH+KZtBix+K9Oz5JE".into(),
        "$argon2id$v=19$m=65536,t=3,p=1$62Omu9Ns1SPMHjzhxnlg5Q".into(),
        "{SCRAM-SHA-256}9999999,gk8pcDDWIvdF5PavyTG4Og==,cOylp27WlEz3/11HP9NPyRBpFt7echm4VGgwDIiXM+U=,x".into(),
        "{SCRAM-SHA-256}4096,gk8pcDDWIvdF5PavyTG4Og==,,".into(),
        "{SSHA}".into(),
        "{SHA}".into(),
        "{SHA256}60cXn4M+9rlkPiIl1CM8mjjFKYE=".into(),
        "{SSHA}60cXn4M+9rlkPiIl1CM8mjjFKYE=".into(),
        "{PLAIN}".into(),
        "{CRYPT}ab0123456789.".into(),
        "{CRAM-MD5}bc85c9a3cb6b88ebf5a19a22a3604ef939585872c1ade1a2bf44087948a852f4".into(),
        "{PLAIN".into(),
        "tanstaaf".into(),
        format!("{{PLAIN}}{long}"),
    ] {
        assert!(!is_known(&verifier), "{verifier}");
        let password = verifier.rsplit('}').next().unwrap();
        assert!(!verify(if password.len() > 1024 { "" } else { password }, &verifier), "{verifier}");
    }
}

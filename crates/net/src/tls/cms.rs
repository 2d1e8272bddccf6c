//! Signs content with the server's certificate (CMS SignedData), so that clients know its origin.
//!
//! RFC 5652 s.5, RFC 5754 s.2, s.3. Invariant: the key never leaves rustls; the result holds the content.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, digest};
use cms::cert::x509::attr::{Attribute, AttributeValue};
use cms::cert::x509::der::asn1::{Any, Null, ObjectIdentifier, OctetString, OctetStringRef, SetOfVec, UtcTime};
use cms::cert::x509::der::{self, DateTime, Decode, Encode, Tag};
use cms::cert::x509::spki::AlgorithmIdentifierOwned;
use cms::cert::x509::{Certificate, time::Time};
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos};
use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;

const ID_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ID_SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
const ID_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const ID_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA256_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

/// A signature algorithm: its names in rustls and in CMS, and its digest.
struct SignatureKind {
    scheme: SignatureScheme,
    signature: ObjectIdentifier,
    digest: ObjectIdentifier,
    algorithm: &'static Algorithm,
}

const SIGNATURE_KINDS: [SignatureKind; 3] = [
    SignatureKind { scheme: SignatureScheme::ECDSA_NISTP256_SHA256, signature: ECDSA_SHA256, digest: ID_SHA256, algorithm: &SHA256 },
    SignatureKind { scheme: SignatureScheme::ECDSA_NISTP384_SHA384, signature: ECDSA_SHA384, digest: ID_SHA384, algorithm: &SHA384 },
    SignatureKind { scheme: SignatureScheme::RSA_PKCS1_SHA256, signature: SHA256_RSA, digest: ID_SHA256, algorithm: &SHA256 },
];

/// Signs the content; the result holds it and the chain (DER).
pub(super) fn signed(pair: &CertifiedKey, content: &[u8], now_s: i64) -> Result<Vec<u8>, String> {
    let found = SIGNATURE_KINDS.iter().find_map(|kind| pair.key.choose_scheme(&[kind.scheme]).map(|signer| (kind, signer)));
    let (kind, signer) = found.ok_or("only ECDSA (P-256, P-384) and RSA keys can sign profiles")?;
    let bad = |e: der::Error| format!("the certificate cannot be encoded: {e}");
    let chain: Vec<Certificate> = pair.cert.iter().map(|c| Certificate::from_der(c)).collect::<Result<_, _>>().map_err(bad)?;
    let leaf = chain.first().ok_or("there is no certificate")?;
    let sid = SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
        issuer: leaf.tbs_certificate.issuer.clone(),
        serial_number: leaf.tbs_certificate.serial_number.clone(),
    });
    let attributes = attributes(digest(kind.algorithm, content).as_ref(), now_s).map_err(bad)?;
    // The signature covers the set with its own tag, not with the one that it has in the structure (RFC 5652 s.5.4).
    let signature = signer.sign(&attributes.to_der().map_err(bad)?).map_err(|e| e.to_string())?;
    let assembled = || -> der::Result<Vec<u8>> {
        let digest_alg = AlgorithmIdentifierOwned { oid: kind.digest, parameters: None };
        let parameters = (kind.signature == SHA256_RSA).then(|| Any::encode_from(&Null)).transpose()?;
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid,
            digest_alg: digest_alg.clone(),
            signed_attrs: Some(attributes),
            signature_algorithm: AlgorithmIdentifierOwned { oid: kind.signature, parameters },
            signature: OctetString::new(signature)?,
            unsigned_attrs: None,
        };
        let data = SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::try_from(vec![digest_alg])?,
            encap_content_info: EncapsulatedContentInfo {
                econtent_type: ID_DATA,
                econtent: Some(Any::encode_from(&OctetStringRef::new(content)?)?),
            },
            certificates: Some(CertificateSet(SetOfVec::try_from(
                chain.into_iter().map(CertificateChoices::Certificate).collect::<Vec<_>>(),
            )?)),
            crls: None,
            signer_infos: SignerInfos(SetOfVec::try_from(vec![signer])?),
        };
        ContentInfo { content_type: ID_SIGNED_DATA, content: Any::encode_from(&data)? }.to_der()
    };
    assembled().map_err(bad)
}

/// The signed attributes: content type, digest, time.
fn attributes(digest: &[u8], now_s: i64) -> der::Result<SetOfVec<Attribute>> {
    let attribute = |oid, value: AttributeValue| Ok::<_, der::Error>(Attribute { oid, values: SetOfVec::try_from(vec![value])? });
    let since_1970 = std::time::Duration::from_secs(u64::try_from(now_s).unwrap_or(0));
    let time = DateTime::from_unix_duration(since_1970)?;
    let time = UtcTime::from_date_time(time).map(Time::UtcTime)?;
    SetOfVec::try_from(vec![
        attribute(CONTENT_TYPE, Any::encode_from(&ID_DATA)?)?,
        attribute(SIGNING_TIME, Any::encode_from(&time)?)?,
        attribute(MESSAGE_DIGEST, Any::new(Tag::OctetString, digest)?)?,
    ])
}

#[cfg(test)]
mod tests {
    use crate::{ServerTls, self_signed};
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    /// Makes a pair with openssl, signs with it, and verifies with openssl.
    fn verified(key: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        openssl(&[&["genpkey", "-out", &at("key.pem")], key].concat());
        let subject = ["-subj", "/CN=mx.example.test", "-addext", "subjectAltName=DNS:mx.example.test"];
        openssl(&[&["req", "-x509", "-key", &at("key.pem"), "-out", &at("cert.pem"), "-days", "2"], &subject[..]].concat());
        std::fs::set_permissions(at("key.pem"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let tls = ServerTls::load(at("cert.pem").as_ref(), at("key.pem").as_ref()).unwrap();
        let content = b"<plist/>\n";
        std::fs::write(at("signed"), tls.signed("mx.example.test", content).unwrap()).unwrap();
        for how in [&["cms", "-verify"][..], &["smime", "-verify"]] {
            let rest = ["-inform", "DER", "-in", &at("signed"), "-CAfile", &at("cert.pem"), "-purpose", "any", "-binary"];
            assert_eq!(openssl(&[how, &rest].concat()), content);
        }
    }

    #[test]
    fn openssl_verifies_ecdsa_and_rsa() {
        verified(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        verified(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
        verified(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    }

    #[test]
    fn a_self_signed_pair_signs() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = self_signed(&["mx.example.test".into()]).unwrap();
        let paths = [dir.path().join("cert.pem"), dir.path().join("key.pem")];
        std::fs::write(&paths[0], certificate).unwrap();
        std::fs::write(&paths[1], key).unwrap();
        std::fs::set_permissions(&paths[1], std::fs::Permissions::from_mode(0o600)).unwrap();
        let tls = ServerTls::load(&paths[0], &paths[1]).unwrap();
        assert!(tls.signed("mx.example.test", b"x").unwrap().len() > 400);
    }
}

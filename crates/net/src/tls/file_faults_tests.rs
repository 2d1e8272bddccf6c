//! Files made by OpenSSL, and the error for each.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::*;

struct OpensslFiles(tempfile::TempDir);

impl OpensslFiles {
    /// Runs the openssl commands of a tutorial, one a line, in a directory of its own.
    fn by(lines: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let output = Command::new("openssl").args(line.split_whitespace()).current_dir(dir.path()).output().unwrap();
            assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Self(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self) -> Result<ServerTls, TlsError> {
        for name in ["key.pem", "cert.pem"] {
            std::fs::set_permissions(self.file(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        ServerTls::load(&self.file("cert.pem"), &self.file("key.pem"))
    }

    fn refused(&self) -> String {
        let text = self.load().unwrap_err().to_string();
        assert!(!text.contains("Other") && !text.contains("Error") && !text.contains("base64"), "a raw type: {text}");
        text
    }

    /// Runs the command that a message suggests, with the passphrase that it would ask for.
    fn mend(&self, message: &str, more: &str) {
        let command = message.rsplit(": ").next().unwrap();
        let script = command.replace("openssl pkey", &format!("openssl pkey {more}"));
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

const KEY: &str = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem\n";

#[test]
fn a_version_1_certificate_is_named_and_the_suggested_command_fixes_it() {
    let made = OpensslFiles::by(&format!(
        "{KEY}req -new -key key.pem -subj /CN=mx.example.test -out request.pem
         x509 -req -in request.pem -signkey key.pem -days 365 -out cert.pem"
    ));
    let text = made.refused();
    assert!(text.contains("a version 1 certificate") && text.contains("-addext subjectAltName=DNS:mx.example.test"), "{text}");
    made.mend(&text, "");
    assert_eq!(made.load().unwrap().in_use()[0].leaf.names, ["mx.example.test"]);
}

#[test]
fn a_key_with_a_passphrase_is_named_and_the_suggested_command_fixes_it() {
    let certificate =
        "req -x509 -key plain.pem -days 9 -subj /CN=mx.example.test -addext subjectAltName=DNS:mx.example.test -out cert.pem\n";
    let plain = KEY.replace("key.pem", "plain.pem");
    for protect in [
        "pkcs8 -topk8 -in plain.pem -passout pass:secret -out key.pem",
        "rsa -in plain.pem -traditional -des3 -passout pass:secret -out key.pem",
        "rsa -in plain.pem -traditional -aes128 -passout pass:secret -out key.pem",
    ] {
        let made = OpensslFiles::by(&format!("{plain}{certificate}{protect}"));
        let text = made.refused();
        assert!(text.contains("protected by a passphrase"), "{protect}: {text}");
        made.mend(&text, "-passin pass:secret");
        made.load().unwrap();
    }
}

#[test]
fn each_unusable_file_is_named_by_its_kind() {
    let pair = format!("{KEY}req -x509 -key key.pem -days 9 -subj /CN=a.test -addext subjectAltName=DNS:a.test -out cert.pem\n");
    let other = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem";
    let der = "x509 -in cert.pem -outform der -out cert.pem";
    for (commands, expected) in [
        (format!("{pair}{other}"), "does not belong to the certificate"),
        (format!("{pair}{der}"), "-inform der"),
        (format!("{pair}genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out key.pem"), "RSA of at least 2048 bits"),
        (format!("{pair}pkey -in key.pem -out cert.pem"), "holds a key, not a certificate"),
        (format!("{pair}x509 -in cert.pem -out key.pem"), "holds no private key"),
    ] {
        let text = OpensslFiles::by(&commands).refused();
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let made = OpensslFiles::by(&pair);
    let whole = std::fs::read_to_string(made.file("cert.pem")).unwrap();
    std::fs::write(made.file("cert.pem"), whole.get(..whole.len() / 2).unwrap()).unwrap();
    assert!(made.refused().contains("truncated"));
    std::fs::write(made.file("cert.pem"), whole.replacen("MII", "M!!", 1)).unwrap();
    assert!(made.refused().contains("damaged"));
    let authority = self_signed_of("ca.test");
    std::fs::write(made.file("cert.pem"), format!("{authority}{whole}")).unwrap();
    assert!(made.refused().contains("(a.test): the server's own must be the first"));
}

fn self_signed_of(name: &str) -> String {
    crate::self_signed::self_signed(&[name.into()]).unwrap().0
}

#[test]
fn other_sources_replace_the_certificates_only_if_all_load() {
    let (good, bad) = (OpensslFiles::by(&pair_of("a.test")), OpensslFiles::by(&pair_of("b.test")));
    let tls = good.load().unwrap();
    bad.load().unwrap();
    let sources = CertificateSources {
        hostname: "b.test".into(),
        default: Some(PairFiles { certificate: bad.file("cert.pem"), key: bad.file("key.pem") }),
        ..CertificateSources::default()
    };
    let names = || tls.in_use()[0].leaf.names.clone();
    std::fs::write(bad.file("key.pem"), "").unwrap();
    assert!(tls.replace(&sources).is_err());
    assert_eq!(names(), ["a.test"]);
    let again = OpensslFiles::by(&pair_of("b.test"));
    std::fs::copy(again.file("key.pem"), bad.file("key.pem")).unwrap();
    std::fs::copy(again.file("cert.pem"), bad.file("cert.pem")).unwrap();
    tls.replace(&sources).unwrap();
    assert_eq!(names(), ["b.test"]);
}

fn pair_of(name: &str) -> String {
    format!("{KEY}req -x509 -key key.pem -days 9 -subj /CN={name} -addext subjectAltName=DNS:{name} -out cert.pem\n")
}

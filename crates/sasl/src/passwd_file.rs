//! Parses lines `user:hash[:...]`: Dovecot's passwd-file, /etc/shadow, htpasswd.
//!
//! Dovecot 2.3 passwd-file, shadow(5). Invariant: restrictions and lines without an account are returned with the reason; a bad line
//! does not affect others.

/// An account in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswdEntry {
    /// The line number, from 1.
    pub line: usize,
    /// The user, with or without a domain.
    pub user: String,
    /// The verifier of the password.
    pub verifier: String,
    /// Why the other program refuses its logins, or restricts where they come from.
    pub restriction: Option<String>,
}

/// A line without a usable account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswdFault {
    /// The line number, from 1.
    pub line: usize,
    /// The user, if there is one.
    pub user: String,
    /// The reason.
    pub why: String,
}

/// The content of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PasswdFile {
    /// The accounts, in the order of the lines.
    pub entries: Vec<PasswdEntry>,
    /// The other lines, except comments and empty lines.
    pub faults: Vec<PasswdFault>,
}

/// The index of Dovecot's extra fields, after user, password, uid, gid, gecos, home and shell.
const EXTRA: usize = 7;

/// The number of fields in /etc/shadow.
const SHADOW: usize = 9;

/// Parses a file. `today` is in days since 1970, as in /etc/shadow.
pub fn read(text: &str, today: i64) -> PasswdFile {
    let mut file = PasswdFile::default();
    for (n, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        // Dovecot ignores such lines.
        if line.trim().is_empty() || line.starts_with(['#', ':']) {
            continue;
        }
        let fields: Vec<&str> = line.trim_end_matches('\r').split(':').collect();
        let user = fields.first().map(|user| user.trim()).unwrap_or_default().to_owned();
        match entry(&fields, today) {
            Ok((verifier, restriction)) => file.entries.push(PasswdEntry { line: n + 1, user, verifier, restriction }),
            Err(why) => file.faults.push(PasswdFault { line: n + 1, user, why: why.to_owned() }),
        }
    }
    file
}

fn entry(fields: &[&str], today: i64) -> Result<(String, Option<String>), &'static str> {
    let password = fields.get(1).copied().unwrap_or_default();
    let extra = fields.get(EXTRA..).unwrap_or_default().join(":");
    let extra: Vec<(&str, &str)> =
        extra.split([' ', '\t']).map(|field| field.split_once('=').unwrap_or((field, ""))).filter(|(key, _)| !key.is_empty()).collect();
    let has = |wanted: &str| extra.iter().any(|(key, _)| *key == wanted);
    match password {
        _ if fields.iter().take(2).any(|field| field.contains('\u{fffd}')) => Err("the line is not UTF-8"),
        _ if fields.len() < 2 => Err("the line is not user:hash"),
        _ if has("nopassword") => Err("any password is accepted (nopassword); create the account with a password of its own"),
        "" => Err("no password"),
        "x" => Err("the password is in another file, /etc/shadow for system users"),
        locked if locked.starts_with(['*', '!']) => Err("the account is locked"),
        plain if is_cut_at_a_colon(plain, fields) => Err("the password has a colon, at which Dovecot ends it"),
        password => Ok((verifier(password), restriction(&extra, fields, today))),
    }
}

/// Converts the suffix of libpam-pwdfile, as Dovecot does: 34 is MD5 in hexadecimal digits.
fn verifier(password: &str) -> String {
    match password.strip_suffix("[34]") {
        Some(md5) if !password.starts_with(['{', '$']) => format!("{{PLAIN-MD5}}{md5}"),
        _ => password.to_owned(),
    }
}

/// Whether a plaintext password is followed by something other than a user or group id: Dovecot treats such a line as damaged.
fn is_cut_at_a_colon(password: &str, fields: &[&str]) -> bool {
    let scheme = password.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(scheme, _)| scheme.to_ascii_uppercase());
    let is_clear = scheme.is_some_and(|scheme| ["PLAIN", "CLEAR", "CLEARTEXT"].contains(&scheme.as_str()));
    let is_id = |field: &&str| field.is_empty() || field.bytes().all(|b| b.is_ascii_digit());
    is_clear && !fields.iter().skip(2).take(2).all(is_id)
}

fn restriction(extra: &[(&str, &str)], fields: &[&str], today: i64) -> Option<String> {
    let value = |wanted: &str| extra.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
    if fields.len() == SHADOW
        && let Some(day) = fields.get(EXTRA).and_then(|day| day.parse::<i64>().ok())
    {
        return (day <= today).then(|| "expired according to /etc/shadow".to_owned());
    }
    // The value does not matter: `nologin=no` disables the login too.
    for field in ["nologin", "fail", "noauthenticate"] {
        if value(field).is_some() {
            return Some(format!("Dovecot refuses its logins ({field})"));
        }
    }
    let nets = ["allow_nets", "allow_real_nets"].iter().find_map(|field| Some((field, value(field)?)));
    nets.map(|(field, nets)| format!("Dovecot accepts its logins from {} only ({field})", if nets.is_empty() { "nowhere" } else { nets }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (Vec<(String, String)>, Vec<usize>) {
        let file = read(text, 20_000);
        let entries = file.entries.into_iter().map(|entry| (entry.user, entry.verifier)).collect();
        (entries, file.faults.into_iter().map(|fault| fault.line).collect())
    }

    fn restriction(line: &str) -> Option<String> {
        read(line, 20_000).entries.remove(0).restriction
    }

    #[test]
    fn passwd_file_shadow_and_htpasswd_lines_are_parsed() {
        let text = "\u{feff}# users\nann@example.com:{SHA512-CRYPT}$6$salt$hash:1000:1000::/home/ann\r\nbob:$y$j9T$x$y:19000:0:99999\n\nroot:*:19000:\n\
            old:!$6$x$y:\nnone\nempty::1000\nsystem:x:1000\nmd5:5d41402abc4b2a76b9719d911017c592[34]:1000:1000\n:nobody\nbad\u{fffd}:$6$a$b\n";
        let entry = |user: &str, verifier: &str| (user.to_owned(), verifier.to_owned());
        let entries = vec![
            entry("ann@example.com", "{SHA512-CRYPT}$6$salt$hash"),
            entry("bob", "$y$j9T$x$y"),
            entry("md5", "{PLAIN-MD5}5d41402abc4b2a76b9719d911017c592"),
        ];
        assert_eq!(found(text), (entries, vec![5, 6, 7, 8, 9, 12]));
    }

    /// The results are those of `doveadm auth test` in Dovecot 2.3.19.
    #[test]
    fn extra_fields_of_dovecot_restrict_logins() {
        let extra = |fields: &str| restriction(&format!("ann:{{PLAIN}}secret:1000:1000::/home/ann::{fields}"));
        for fields in ["nologin", "nologin=y", "nologin=no", "userdb_mail=x nologin", "nologin reason=Moved", "fail", "noauthenticate"] {
            assert!(extra(fields).is_some_and(|why| why.contains("refuses")), "{fields}");
        }
        for (fields, nets) in [
            ("allow_nets=192.0.2.0/24,10.0.0.1", "192.0.2.0/24,10.0.0.1"),
            ("nodelay allow_nets=2001:db8::/32", "2001:db8::/32"),
            ("allow_real_nets=10.0.0.0/8", "10.0.0.0/8"),
            ("allow_nets=", "nowhere"),
        ] {
            assert!(extra(fields).is_some_and(|why| why.contains(nets)), "{fields}");
        }
        for fields in ["", "NOLOGIN", "nologin:allow_nets=10.0.0.0/8", "userdb_allow_nets=10.0.0.0/8 userdb_nologin=yes", "nodelay=y"] {
            assert_eq!(extra(fields), None, "{fields}");
        }
        assert_eq!(restriction("ann:{PLAIN}secret:1000:1000:nologin:/home/nologin:/sbin/nologin"), None);
        assert_eq!(found("ann:{PLAIN}:1000:1000::/home/x::nopassword").1, [1]);
    }

    #[test]
    fn a_plaintext_password_with_a_colon_is_reported() {
        assert_eq!(found("ann:{PLAIN}se::cret:1000:1000\nbob:{PLAIN}se:cret:1000:1000\neve:{PLAIN}secret::::::\n").1, [1, 2]);
        assert_eq!(found("ann:$6$salt$hash::vmail::/home\n").1, Vec::<usize>::new());
    }

    #[test]
    fn expired_shadow_accounts_are_restricted() {
        assert!(restriction("ann:$6$salt$hash:19000:0:99999:7::19999:").is_some());
        assert_eq!(restriction("ann:$6$salt$hash:19000:0:99999:7::20001:"), None);
        assert_eq!(restriction("ann:$6$salt$hash:19000:0:99999:7:::"), None);
    }
}

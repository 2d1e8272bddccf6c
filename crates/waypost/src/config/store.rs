//! The options about the store: which database it is, the password for it, and the name of this server beside others.
//!
//! Invariant: no error shows a password; options that only a PostgreSQL has are refused without one, so that mail is where the operator expects it.

use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::error::{self, ConfigError};
use super::load::Config;
use super::options::FileOptions;
use super::store_url::StoreFault;

/// Maximum length of the name of a node, in characters.
const NODE_MAX: usize = 63;

impl Config {
    /// Returns the name of this server among those that share its database.
    pub fn node_name(&self) -> String {
        let named = self.file.store.node.as_ref().map(|node| node.get_ref().clone());
        named.unwrap_or_else(|| self.settings.hostname.to_string())
    }

    /// Returns where the queue, the accounts and the aliases are, without a password.
    pub fn store_place(&self) -> String {
        match &self.file.store.url {
            Some(url) => format!("{} (node {})", url.get_ref().0, self.node_name()),
            None => format!("SQLite in {}", self.file.data_dir.display()),
        }
    }

    /// Returns whether other users can read the file with the password for the database.
    pub fn exposed_store_password(&self) -> Option<StoreFault> {
        self.file.store.password_file.as_ref().and_then(|file| exposed(file.get_ref()))
    }
}

/// Checks these options.
pub(super) fn check(path: &Path, text: &str, file: &FileOptions, errors: &mut Vec<ConfigError>) {
    let mut wrong = |span: Range<usize>, what: String, hint: &str| errors.push(error::at(path, text, span, what, Some(hint)));
    let store = &file.store;
    if let Some(url) = &store.url
        && let Err(fault) = url.get_ref().0.check()
    {
        wrong(url.span(), format!("store.url: {}", fault.what), &fault.hint);
    }
    if let Some(node) = &store.node
        && !is_node_name(node.get_ref())
    {
        let what = format!("{:?} is not the name of a node", mail::one_line_at_most(node.get_ref(), NODE_MAX));
        wrong(node.span(), what, "use 1 to 63 letters, digits, dots, hyphens and underscores, or remove the option to use hostname");
    }
    if let (Some(url), Some(file)) = (&store.url, &store.password_file)
        && url.get_ref().0.has_password()
    {
        wrong(file.span(), "store.url has a password, and store.password_file another one".into(), "remove the one in store.url");
    }
    if store.url.is_none() {
        let start = text.find("[store]").unwrap_or(0);
        let alone = [
            ("node", store.node.as_ref().map(toml::Spanned::span)),
            ("password_file", store.password_file.as_ref().map(toml::Spanned::span)),
            ("accept_loss", store.accept_loss.then_some(start..start)),
        ];
        for (name, span) in alone.into_iter().filter_map(|(name, span)| Some((name, span?))) {
            let what = format!("store.{name} is set, but store.url is not: the mail would be in data_dir, on this server alone");
            wrong(span, what, "add the address of the PostgreSQL: url = \"postgres://...\"; or remove this option");
        }
    }
    if let Some(file) = &store.password_file {
        check_password(file, &mut wrong);
    }
}

/// Whether an API and a command can name it, and a list can show it.
fn is_node_name(name: &str) -> bool {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    (1..=NODE_MAX).contains(&name.len()) && name.chars().all(is_usual) && !name.chars().all(|c| c == '.')
}

/// A file that this user may not read is judged by the server, which may.
fn check_password(file: &toml::Spanned<std::path::PathBuf>, wrong: &mut impl FnMut(Range<usize>, String, &str)) {
    let shown = file.get_ref().display();
    let only = "put the password for the database into it, and nothing else";
    match fs::read_to_string(file.get_ref()) {
        Ok(text) if text.trim().is_empty() => wrong(file.span(), format!("{shown} is empty"), only),
        Ok(text) if text.trim_end_matches(['\r', '\n']).contains('\n') => {
            wrong(file.span(), format!("{shown} has more than one line"), only);
        }
        Err(error) if error.kind() != ErrorKind::PermissionDenied => {
            let hint = format!("create it with the password in it: install -m 640 -g waypost /dev/stdin {shown}");
            wrong(file.span(), format!("{shown}: {error}"), &hint);
        }
        _ => {}
    }
}

/// Returns a notice if other users can read the password.
pub(super) fn notices(path: &Path, text: &str, file: &FileOptions) -> Vec<ConfigError> {
    let Some(password) = &file.store.password_file else { return Vec::new() };
    let exposed = exposed(password.get_ref()).into_iter();
    exposed.map(|fault| error::at(path, text, password.span(), fault.what, Some(&fault.hint))).collect()
}

/// The server's group may read it, which a directory of root needs.
fn exposed(path: &Path) -> Option<StoreFault> {
    let shown = path.display();
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o007 != 0).then(|| StoreFault {
        what: format!("{shown} is readable by other users (mode {mode:04o})"),
        hint: format!("run: chmod 640 {shown}; then change the password, since others may have seen it"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const URL: &str = "url = \"postgres://waypost@db.example/waypost?sslmode=disable\"";

    /// What is said about these options of `[store]`, in a directory where `password` has a password.
    fn said(options: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("password"), "canary\n").unwrap();
        fs::write(directory.path().join("empty"), "\n").unwrap();
        fs::write(directory.path().join("several"), "canary\nand a note\n").unwrap();
        let text = format!("hostname = \"a.b\"\n[store]\n{options}\n");
        let parsed = parse(&directory.path().join("w.toml"), &text);
        let said = parsed.map_or_else(|errors| errors.to_string(), |_| "OK".to_owned());
        assert!(!said.contains("canary"), "{said}");
        said.replace(&format!("{}/", directory.path().display()), "")
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_what_to_write() {
        assert_eq!(said(URL), "OK");
        for (url, place, remedy) in [
            ("", "w.toml:3:7: store.url: it is empty", "sslmode=verify-full"),
            ("mysql://me:canary@db/x", "w.toml:3:7: store.url: mysql:// is not PostgreSQL", "postgres://waypost@db.example.net"),
            ("host=db user=me password=canary", "w.toml:3:7: store.url: it is in the form KEY=VALUE", "postgres://waypost@"),
            ("db.example", "w.toml:3:7: store.url: it is no URL", "postgres://waypost@"),
            ("postgres://me@db/x?sslmod=require", "w.toml:3:7: store.url: ", "sslmod`"),
            ("postgres://me@db:543900/x", "w.toml:3:7: store.url: ", "port"),
            ("postgres:///x", "w.toml:3:7: store.url: it names no host", "%2Frun%2Fpostgresql"),
            ("postgres://me@db/x?sslmode=verify", "w.toml:3:7: store.url: sslmode=verify is not known", "verify-full"),
            ("postgres://me:can@ary@db/x", "w.toml:3:7: store.url: its user or password has a character", "@ as %40"),
            ("postgres://me:can/ary@db/x", "w.toml:3:7: store.url: its user or password has a character", "/ as %2F"),
            ("postgres://me:can?ary@db/x", "w.toml:3:7: store.url: its user or password has a character", "? as %3F"),
            ("postgres://me:100%@db/x", "w.toml:3:7: store.url: its user or password has a character", "% as %25"),
            ("postgres://me@db/x?password=can&ary=1", "w.toml:3:7: store.url: a parameter is wrong", "password_file"),
        ] {
            let said = said(&format!("url = {url:?}"));
            assert!(said.starts_with(place) && said.contains(remedy), "{url}\n{said}");
            assert!(!said.contains("can@ary") && !said.contains("ary"), "{said}");
        }
    }

    #[test]
    fn a_node_has_a_name_that_a_command_can_say() {
        for name in ["a", "mx-1.example_net", &"n".repeat(63)] {
            assert_eq!(said(&format!("{URL}\nnode = {name:?}")), "OK");
        }
        for name in ["", "..", "a b", "a/b", "ä", &"n".repeat(64)] {
            let said = said(&format!("{URL}\nnode = {name:?}"));
            assert!(said.contains("w.toml:4:8: ") && said.contains("use 1 to 63 letters"), "{said}");
        }
    }

    #[test]
    fn options_of_a_postgresql_need_its_address() {
        for option in ["node = \"a\"", "password_file = \"password\"", "accept_loss = true"] {
            let said = said(option);
            assert!(said.contains("is set, but store.url is not") && said.contains("url = \"postgres://"), "{said}");
        }
        assert_eq!(said("accept_loss = false"), "OK");
    }

    #[test]
    fn a_password_is_in_one_place_and_not_empty() {
        assert_eq!(said(&format!("{URL}\npassword_file = \"password\"")), "OK");
        for url in ["postgres://me:secret@db/x", "postgres://me@db/x?password=secret"] {
            let said = said(&format!("url = \"{url}\"\npassword_file = \"password\""));
            assert!(said.contains("w.toml:4:17: store.url has a password, and store.password_file another one"), "{said}");
        }
        let empty = said(&format!("{URL}\npassword_file = \"empty\""));
        assert!(empty.starts_with("w.toml:4:17: empty is empty\n  hint: put the password"), "{empty}");
        let several = said(&format!("{URL}\npassword_file = \"several\""));
        assert!(several.starts_with("w.toml:4:17: several has more than one line\n  hint: put the password"), "{several}");
        let missing = said(&format!("{URL}\npassword_file = \"none\""));
        assert!(missing.starts_with("w.toml:4:17: none: ") && missing.contains("install -m 640"), "{missing}");
    }

    #[test]
    fn a_password_that_others_can_read_is_a_notice() {
        let directory = tempfile::tempdir().unwrap();
        let password = directory.path().join("password");
        fs::write(&password, "canary\n").unwrap();
        let load = || {
            parse(&directory.path().join("w.toml"), &format!("hostname = \"a.b\"\n[store]\n{URL}\npassword_file = \"password\"")).unwrap()
        };
        for (mode, count) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
            fs::set_permissions(&password, fs::Permissions::from_mode(mode)).unwrap();
            let config = load();
            assert_eq!(config.notices.len(), count, "{mode:o}: {:?}", config.notices);
            assert!(config.notices.iter().all(|notice| notice.to_string().contains("chmod 640")), "{:?}", config.notices);
        }
        assert_eq!(load().store_place(), "postgres://waypost@db.example/waypost?sslmode=disable (node a.b)");
    }
}

//! Which paths need no session, and which an account that is not an owner may see.
//!
//! Invariant: what is not listed here is for owners.

use crate::visitor::Visitor;

/// What a path needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathKind {
    /// Nothing: assets and the look.
    Open,
    /// Nothing but a form of this server: the login.
    Entrance,
    /// A session.
    Inside,
}

/// Returns what a path needs.
pub(super) fn kind(path: &str) -> PathKind {
    let is_token = |rest: &str| !rest.is_empty() && !rest.contains('/');
    match path {
        "/preferences" => PathKind::Open,
        "/login" | "/login/code" | "/login/code/passkey" | "/login/passkey" => PathKind::Entrance,
        path if path.starts_with("/assets/") => PathKind::Open,
        path if path.strip_prefix("/login/link/").is_some_and(is_token) => PathKind::Entrance,
        path if path.strip_prefix("/invitation/").is_some_and(is_token) => PathKind::Entrance,
        _ => PathKind::Inside,
    }
}

/// Whether a visitor may see a path: owners all of them, others their own login, aliases and passwords.
pub(super) fn is_visible(path: &str, visitor: &Visitor) -> bool {
    const EXACT: [&str; 5] = ["/", "/aliases", "/people", "/logout", "/account"];
    let begins = |prefix: &str| path.starts_with(prefix);
    let is_own = || {
        let of = path.strip_prefix("/people/").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        percent_encoding::percent_decode_str(of).decode_utf8().is_ok_and(|login| login.eq_ignore_ascii_case(&visitor.login))
    };
    visitor.is_owner || kind(path) != PathKind::Inside || EXACT.contains(&path) || begins("/aliases/") || begins("/account/") || is_own()
}

/// Whether a request changes who gets in: second steps, passkeys, passwords, tokens, owners. It needs a fresh proof of who the visitor is, since whoever
/// found an open browser, or took its cookie, could stay for good.
pub(super) fn needs_proof(changes: bool, path: &str) -> bool {
    let of_person = || path.strip_prefix("/people/").and_then(|rest| rest.split_once('/')).map(|(_, what)| what);
    match path {
        "/account/second-step" => true,
        "/account/second-step/remove" | "/account/passkeys" | "/account/passkeys/remove" | "/server/tokens" | "/server/tokens/remove" => {
            changes
        }
        _ => changes && matches!(of_person(), Some("passwords" | "passwords/remove" | "invitation" | "owner")),
    }
}

/// Returns the page from which such a request comes.
pub(super) fn page_of(path: &str) -> String {
    match path {
        path if path.starts_with("/server/") => "/server".to_owned(),
        path if path.starts_with("/people/") => path.splitn(4, '/').take(3).collect::<Vec<_>>().join("/"),
        "/account/second-step" => path.to_owned(),
        _ => "/account".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_entrance_is_open() {
        for path in [
            "/assets/app.css",
            "/preferences",
            "/login",
            "/login/passkey",
            "/login/code",
            "/login/code/passkey",
            "/login/link/abc",
            "/invitation/abc",
        ] {
            assert_ne!(kind(path), PathKind::Inside, "{path}");
        }
        for path in [
            "/",
            "/mail",
            "/logout",
            "/account",
            "/login/",
            "/login/link/",
            "/login/link/a/b",
            "/welcome",
            "/invitation/",
            "/LOGIN",
            "/events",
        ] {
            assert_eq!(kind(path), PathKind::Inside, "{path}");
        }
    }

    #[test]
    fn others_than_owners_see_their_own() {
        let visitor = |is_owner| Visitor { login: "me@x.test".into(), is_owner, language: None, csrf: String::new() };
        for path in [
            "/",
            "/aliases",
            "/aliases/shop@x.test",
            "/people",
            "/people/me@x.test",
            "/people/ME%40x.test/passwords",
            "/account/sessions/end",
        ] {
            assert!(is_visible(path, &visitor(false)), "{path}");
        }
        for path in [
            "/mail",
            "/mail/6h22d211fvjnf",
            "/held",
            "/server",
            "/setup",
            "/queue",
            "/reports",
            "/people/you@x.test",
            "/people/me@x.testx",
            "/events",
            "/welcome",
            "/x",
        ] {
            assert!(!is_visible(path, &visitor(false)) && is_visible(path, &visitor(true)), "{path}");
        }
    }

    #[test]
    fn changes_of_who_gets_in_need_a_fresh_proof() {
        for (path, page) in [
            ("/account/passkeys", "/account"),
            ("/account/passkeys/remove", "/account"),
            ("/account/second-step", "/account/second-step"),
            ("/account/second-step/remove", "/account"),
            ("/server/tokens", "/server"),
            ("/server/tokens/remove", "/server"),
            ("/people/me@x.test/passwords", "/people/me@x.test"),
            ("/people/me@x.test/passwords/remove", "/people/me@x.test"),
            ("/people/me@x.test/invitation", "/people/me@x.test"),
            ("/people/me@x.test/owner", "/people/me@x.test"),
        ] {
            assert!(needs_proof(true, path), "{path}");
            assert_eq!(page_of(path), page, "{path}");
        }
        for path in
            ["/account", "/account/sessions/end", "/account/confirm", "/aliases", "/people/me@x.test/suspend", "/people", "/held/x/release"]
        {
            assert!(!needs_proof(true, path), "{path}");
        }
        assert!(needs_proof(false, "/account/second-step") && !needs_proof(false, "/server/tokens"), "the page of a secret needs one too");
    }
}

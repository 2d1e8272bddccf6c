//! Hostile names, subjects, replies and fields on every screen: shown as text, isolated, cut; never run, never a link.

#![allow(clippy::indexing_slicing, clippy::expect_used)]

mod fixture;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use fixture::{NOW_MS, Texts, api};
use http_body_util::BodyExt;
use net::Clock;
use owner_page::{LiveEvents, Parts, Visitor, router};
use tower::ServiceExt;

/// The screens that show what came from mail.
const SCREENS: [&str; 10] = [
    "/",
    "/mail",
    "/mail?show=waiting",
    "/mail?q=x",
    "/mail/6h22d211fvjnf",
    "/mail/6h22d211fvjn2",
    "/mail/6h22d211fvjn3",
    "/held",
    "/queue",
    "/no-such-screen",
];

fn corpus() -> Vec<String> {
    let mut texts: Vec<String> =
        include_str!("hostile/corpus.txt").lines().filter(|line| !line.starts_with("# ") && !line.is_empty()).map(unescaped).collect();
    texts.push("w".repeat(10_000));
    texts.push(format!("z{}algo", "\u{300}\u{489}".repeat(2000)));
    texts
}

/// `\u{202e}` in the file is that character.
fn unescaped(line: &str) -> String {
    let mut pieces = line.split("\\u{");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_once('}').expect("a code ends with a brace");
        out.push(u32::from_str_radix(code, 16).ok().and_then(char::from_u32).expect("a code point"));
        out.push_str(rest);
    }
    out
}

async fn screen(texts: Texts, is_empty: bool, path: &str, language: &str) -> (StatusCode, String) {
    let parts = Parts {
        api: api(texts, is_empty),
        clock: Clock::simulated(NOW_MS),
        live: LiveEvents::new(),
        hostname: "mx.example.com".into(),
        version: "0.1.0",
    };
    let visitor = Visitor { login: "ada@example.com".into(), is_owner: true, language: None, csrf: "token-of-the-session".into() };
    let request =
        Request::builder().uri(path).header("accept-language", language).extension(visitor).body(Body::empty()).expect("a request");
    let answer = router(parts).oneshot(request).await.expect("an answer");
    let policy = answer.headers().get("content-security-policy").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let status = answer.status();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

/// The tags of a page, with their attributes, as a browser would find them.
fn tags(html: &str) -> Vec<&str> {
    html.split('<').skip(1).filter_map(|piece| piece.split_once('>').map(|(tag, _)| tag)).collect()
}

#[tokio::test]
async fn hostile_texts_add_no_element_and_no_attribute() {
    let shape = |html: &str| -> std::collections::BTreeSet<String> {
        tags(html)
            .into_iter()
            .map(|tag| tag.split('"').step_by(2).collect::<Vec<_>>().join("\""))
            .map(|tag| tag.split_whitespace().map(|word| word.trim_end_matches(['=', '"'])).collect::<Vec<_>>().join(" "))
            .collect()
    };
    for path in SCREENS {
        let mut known = shape(&screen(Texts { hostile: None }, false, path, "en").await.1);
        // A text that is cut has the rest as its title.
        known.extend(
            ["bdi title", "bdi class title", "bdi", "bdi class", "li", "p class", "p", "blockquote", "/blockquote", "span class", "br"]
                .map(str::to_owned),
        );
        for hostile in corpus() {
            let (_, html) = screen(Texts { hostile: Some(hostile.clone()) }, false, path, "en").await;
            let foreign: Vec<String> = shape(&html).difference(&known).cloned().collect();
            assert!(foreign.is_empty(), "{path} with {:?}: {foreign:?}", hostile.chars().take(60).collect::<String>());
        }
    }
}

#[tokio::test]
async fn hostile_texts_are_visible_isolated_and_short() {
    for path in SCREENS {
        for hostile in corpus() {
            let (status, html) = screen(Texts { hostile: Some(hostile.clone()) }, false, path, "zh-CN").await;
            let shown = hostile.chars().take(60).collect::<String>();
            assert!(status.is_success() || path == "/no-such-screen", "{path} with {shown:?}: {status}");
            // A hidden field holds what the API named, as it is; a browser does not show it.
            let bare: String = html
                .split("value=\"")
                .enumerate()
                .map(|(n, piece)| if n == 0 { piece } else { piece.split_once('"').map_or("", |(_, rest)| rest) })
                .collect();
            let bare = bare.replace(['\u{2068}', '\u{2069}'], "");
            let moving =
                |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{0}' | '\u{1b}');
            assert!(!bare.contains(moving), "{path} with {shown:?}");
            assert!(html.len() < 200_000, "{path} with {shown:?}: {} octets", html.len());
            for link in tags(&html).into_iter().filter_map(|tag| tag.split("href=\"").nth(1)).filter_map(|rest| rest.split('"').next()) {
                assert!(
                    (link.starts_with('/') && !link.starts_with("//")) || link.starts_with('#'),
                    "{path} with {shown:?} links to {link}"
                );
            }
        }
    }
}

#[tokio::test]
async fn every_screen_has_words_when_there_is_nothing() {
    for (path, words) in
        [("/", "All is well."), ("/mail", "No mail yet."), ("/held", "Nothing is held."), ("/queue", "Nothing waits, nothing is paused.")]
    {
        let (status, html) = screen(Texts { hostile: None }, true, path, "en").await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(html.contains(words), "{path} lacks {words}");
    }
}

#[tokio::test]
async fn every_form_that_changes_something_has_the_token() {
    for path in SCREENS {
        let (_, html) = screen(Texts { hostile: None }, false, path, "en").await;
        for form in html.split("<form").skip(1).filter(|form| form.contains("method=\"post\"") && !form.contains("action=\"/preferences\""))
        {
            let form = form.split("</form>").next().unwrap_or_default();
            assert!(form.contains("name=\"csrf\" value=\"token-of-the-session\""), "{path}: {form}");
        }
    }
}

#[tokio::test]
async fn a_visitor_who_is_no_owner_sees_no_mail() {
    let parts = Parts {
        api: api(Texts { hostile: None }, false),
        clock: Clock::simulated(NOW_MS),
        live: LiveEvents::new(),
        hostname: "mx".into(),
        version: "0",
    };
    let visitor = Visitor { login: "bob@example.com".into(), is_owner: false, language: None, csrf: "t".into() };
    for path in ["/mail", "/mail/6h22d211fvjnf", "/held", "/queue"] {
        for visitor in [Some(visitor.clone()), None] {
            let mut request = Request::builder().uri(path).body(Body::empty()).expect("a request");
            let wanted = if visitor.is_some() { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
            request.extensions_mut().extend(
                visitor
                    .map(|visitor| {
                        let mut all = axum::http::Extensions::new();
                        all.insert(visitor);
                        all
                    })
                    .unwrap_or_default(),
            );
            let answer = router(parts.clone()).oneshot(request).await.expect("an answer");
            assert_eq!(answer.status(), wanted, "{path}");
        }
    }
}

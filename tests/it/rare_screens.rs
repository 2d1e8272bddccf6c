//! The screens of the owner's page that few see, in a real browser: the log of changes, tokens, an invitation, reports, passkeys, a passage for the lost.
//!
//! `PICTURES=DIRECTORY` keeps pictures of them, which no document shows.

use it::OWNER;
use serde_json::json;

use crate::browser::{DESKTOP, PHONE, browse};
use crate::reports_in::{report, row, scene_with, zipped};

#[test]
fn rarely_seen_screens_are_in_order() {
    let mut scene = scene_with("[client_config]\n");
    let password = scene.waypost.account(OWNER);
    scene.waypost.ok(&["account", "owner", OWNER]);
    scene.waypost.account("you@example.test");
    let rows = row("192.0.2.1", 40, "pass") + &row("192.0.2.1", 2, "fail") + &row("203.0.113.9", 7, "fail");
    for (id, rows) in [("id-1", rows), ("a-report-with-a-very-long-name-of-its-own@receiver.test", row("192.0.2.1", 5, "pass"))] {
        let reply = scene.send_signed("dmarc@example.test", &zipped(&report(id, "example.test", &rows)));
        assert!(reply.starts_with("250 2.0.0 report read"), "{reply}");
    }
    for (size, locale) in [(PHONE, "zh-CN"), (PHONE, "en-GB"), (DESKTOP, "en-GB")] {
        scene.waypost.ok(&["alias", "add", "shop@example.test", "foo@inbox.test", "--replace"]);
        scene.waypost.ok(&["alias", "disable", "shop@example.test"]);
        scene.waypost.ok(&["token", "add", &format!("grafana-{locale}-{}", size[0]), "--scope", "read", "--days", "365"]);
        let invited = scene.waypost.json(&["web", "invite", "you@example.test"])["link"].clone();
        let more =
            json!({ "login": OWNER, "password": password, "invited": invited, "locale": locale, "shots": std::env::var("PICTURES").ok() });
        browse(&scene.waypost, "rare.js", size, more);
    }
    scene.waypost.assert_no_bugs();
    scene.waypost.stop();
}

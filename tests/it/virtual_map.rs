//! One virtual file, read by Waypost and by Postfix with the same meaning.

use std::collections::BTreeSet;
use std::path::Path;

use directory::Target;
use it::{Dns, Lab, MX_PORT, Postfix, Sink, Talk, Waypost, postmap, wait_for};
use serde_json::Value;

/// All forms of virtual(5), and common variants. It hosts x.test, y.test and z.test.
const FILE: &str = "\
# A comment, then domains of the file's own.
x.test      anything
y.test      domain
z.test      domain

me@x.test   foo@inbox.test
team@x.test ann@inbox.test, bob@inbox.test
    carl@other.test,

  # a comment within an entry
\tdora@other.test
Mixed@X.test    Foo@Inbox.TEST
chain@x.test    chain2@x.test
chain2@x.test   chain@y.test
chain@y.test    end@inbox.test me@x.test
both@x.test     team@x.test, me@x.test
full+tag@x.test exact@inbox.test
full@x.test     bare@inbox.test
own+ext@y.test  nested+one@x.test
nested@x.test   deep@inbox.test
tagged@x.test   foo+fixed@inbox.test
dom@x.test      @other.test
\"two words\"@x.test  two@inbox.test
quoted@x.test   \"a b\"@inbox.test
# disabled-looking, and only a comment: lost@x.test a@inbox.test
here@y.test     me@x.test elsewhere@inbox.test
dup@x.test      first@inbox.test
@y.test         all@inbox.test
@z.test         @x.test
";

const RECIPIENTS: &[&str] = &[
    "me@x.test",
    "ME@X.TEST",
    "me+shop@x.test",
    "me+@x.test",
    "me+a+b@x.test",
    "team@x.test",
    "team+list@x.test",
    "mixed@x.test",
    "MIXED+Tag@x.test",
    "chain@x.test",
    "chain+go@x.test",
    "both@x.test",
    "both+both@x.test",
    "full@x.test",
    "full+tag@x.test",
    "FULL+TAG@x.test",
    "full+other@x.test",
    "own+ext@y.test",
    "own@y.test",
    "nested+one+two@x.test",
    "tagged+more@x.test",
    "dom@x.test",
    "dom+ext@x.test",
    "\"two words\"@x.test",
    "\"two words+z\"@x.test",
    "quoted@x.test",
    "quoted+x@x.test",
    "here@y.test",
    "here+x@y.test",
    "dup+d@x.test",
    "anybody@y.test",
    "any+body@y.test",
    "me@z.test",
    "me+shop@z.test",
    "team@z.test",
    "nobody@z.test",
    "nobody@x.test",
    "lost@x.test",
];

/// Both servers with one file. Postfix sends all mail for other domains to one sink.
struct Pair {
    waypost: Waypost,
    postfix: Postfix,
    sink: Sink,
    table: std::path::PathBuf,
    /// Answers `alias test` about the targets, which would otherwise wait for a silent name server each time.
    _dns: Dns,
    _lab: Lab,
}

fn pair() -> Pair {
    let lab = Lab::new();
    let table = lab.write("virtual", FILE);
    let dns = Dns::start(&lab, "");
    let waypost = Waypost::configured(&lab, "virtual_file = \"virtual\"\n");
    let sink = Sink::start(lab.address(2), MX_PORT);
    let map = format!("texthash:{}", table.display());
    let main = format!(
        "recipient_delimiter = +\nvirtual_alias_maps = {map}\nvirtual_alias_domains = {map}\ndefault_transport = smtp:[{}]:{MX_PORT}\n\
         append_dot_mydomain = no\n",
        lab.address(2)
    );
    let postfix = Postfix::start(&lab, 3, "relay.test", &[], &main, "");
    std::fs::set_permissions(&table, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    Pair { waypost, postfix, sink, table, _dns: dns, _lab: lab }
}

fn folded(address: &str) -> String {
    address.to_lowercase()
}

fn is_hosted(address: &str) -> bool {
    let domain = folded(address.rsplit('@').next().unwrap_or_default());
    ["x.test", "y.test", "z.test"].contains(&domain.as_str())
}

/// The targets that `waypost` shows.
fn ours(waypost: &Waypost, recipient: &str) -> BTreeSet<String> {
    let output = waypost.command(&["--json", "alias", "test", recipient]);
    let test: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{recipient}: {e}: {output:?}"));
    let targets: BTreeSet<String> = test["targets"].as_array().unwrap().iter().map(|t| folded(t.as_str().unwrap())).collect();
    assert_eq!(output.status.success(), !targets.is_empty(), "{recipient}");
    targets
}

/// Splits a value at commas and white space outside of quotes.
fn targets(value: &str) -> Vec<String> {
    let (mut all, mut one, mut quoted) = (Vec::new(), String::new(), false);
    for c in value.chars() {
        quoted ^= c == '"';
        if !quoted && (c == ',' || c.is_whitespace()) {
            all.push(std::mem::take(&mut one));
        } else {
            one.push(c);
        }
    }
    all.push(one);
    all.retain(|target| !target.is_empty());
    all
}

/// `local+ext` in its two parts; the quotes of a quoted local part stay around the first.
fn split(local: &str) -> Option<(String, String)> {
    let bare = local.trim_matches('"');
    let (user, ext) = bare.split_once('+')?;
    let user = if local.starts_with('"') { format!("\"{user}\"") } else { user.to_owned() };
    Some((user, format!("+{ext}")))
}

fn with_extension(target: &str, ext: &str) -> String {
    let (local, domain) = target.rsplit_once('@').unwrap();
    match local.strip_suffix('"') {
        Some(open) => format!("{open}{ext}\"@{domain}"),
        None => format!("{local}{ext}@{domain}"),
    }
}

/// The search of virtual(5), TABLE SEARCH ORDER and ADDRESS EXTENSION, with `postmap -q` only.
fn by_postmap(postfix: &Postfix, table: &Path, address: &str, depth: usize, out: &mut BTreeSet<String>) {
    assert!(depth < 20, "{address}");
    let query = |key: &str| postmap(&postfix.config, table, key);
    let (local, domain) = address.rsplit_once('@').unwrap();
    let (found, ext) = match (query(address), split(local)) {
        (Some(value), _) => (Some(value), String::new()),
        (None, Some((user, ext))) => (query(&format!("{user}@{domain}")), ext),
        (None, None) => (None, String::new()),
    };
    let (found, ext) = if found.is_some() { (found, ext) } else { (query(&format!("@{domain}")), String::new()) };
    let Some(value) = found else {
        if !is_hosted(address) {
            out.insert(folded(address));
        }
        return;
    };
    for target in targets(&value) {
        match target.strip_prefix('@') {
            Some(other) => by_postmap(postfix, table, &format!("{local}@{other}"), depth + 1, out),
            None => by_postmap(postfix, table, &with_extension(&target, &ext), depth + 1, out),
        }
    }
}

#[test]
fn keys_match_postmap() {
    let pair = pair();
    let read = directory::virtual_file::parse(FILE, None);
    assert_eq!((&read.warnings, &read.faults), (&vec![], &vec![]));
    let aliases = read.aliases.into_iter().map(|(alias, _)| alias).collect();
    let directory = directory::Directory::new(directory::Contents { aliases, ..directory::Contents::default() });
    let mut found = 0;
    let keys = FILE.lines().filter(|line| !line.starts_with([' ', '\t', '#'])).filter_map(|line| match line.strip_prefix('"') {
        Some(rest) => rest.split_once('"').map(|(quoted, rest)| format!("\"{quoted}\"{}", rest.split_whitespace().next().unwrap())),
        None => line.split_whitespace().next().map(ToOwned::to_owned),
    });
    for key in keys {
        let theirs = postmap(&pair.postfix.config, &pair.table, &key).unwrap_or_else(|| panic!("{key} is not in Postfix's table"));
        match directory.lookup(&key) {
            Some(alias) => {
                let theirs: Vec<Target> = targets(&theirs).iter().map(|target| target.parse().unwrap()).collect();
                assert_eq!(alias.targets, theirs, "{key}");
            }
            None => assert!(read.domains.iter().any(|domain| domain.to_string() == key), "{key}"),
        }
        found += 1;
    }
    assert_eq!(found, 22, "keys of the file");
    for missing in ["lost@x.test", "x", "me", "me+shop@x.test", "@x.test"] {
        assert_eq!(postmap(&pair.postfix.config, &pair.table, missing), None, "{missing}");
        assert!(directory.lookup(missing).is_none(), "{missing}");
    }
}

#[test]
fn expansions_match_postfix() {
    let pair = pair();
    for recipient in RECIPIENTS {
        let mut theirs = BTreeSet::new();
        by_postmap(&pair.postfix, &pair.table, recipient, 0, &mut theirs);
        assert_eq!(ours(&pair.waypost, recipient), theirs, "{recipient}");
    }
}

#[test]
fn a_running_postfix_delivers_to_the_same_mailboxes() {
    let pair = pair();
    let mut talk = Talk::greeted(pair.postfix.address, MX_PORT);
    for (number, recipient) in RECIPIENTS.iter().enumerate() {
        let ours = ours(&pair.waypost, recipient);
        let content = format!("From: her@foreign.test\r\nSubject: number {number}.\r\n\r\n\r\n");
        let reply = talk.message("her@foreign.test", recipient, &content);
        // We refuse an alias of an unknown address at once; Postfix sometimes later.
        assert!(reply.starts_with("250") || ours.is_empty(), "{recipient}: {reply}");
        talk.say("RSET");
        let delivered = || {
            let mine = pair.sink.messages().into_iter().filter(|m| m.text().contains(&format!("Subject: number {number}.\r\n")));
            mine.flat_map(|m| m.to).map(|to| folded(to.trim_matches(['<', '>']))).collect::<BTreeSet<String>>()
        };
        wait_for(&format!("mail to {recipient} at {ours:?}"), || (delivered().len() >= ours.len()).then_some(()));
        assert_eq!(delivered(), ours, "{recipient}");
    }
}

#[test]
fn import_and_export_are_lossless() {
    let pair = pair();
    let other = Lab::new();
    let _dns = Dns::start(&other, "");
    let imported = Waypost::configured(&other, "");
    imported.ok(&["alias", "import", "virtual", &pair.table.display().to_string()]);
    let text = imported.ok(&["alias", "export"]);
    let exported = other.write("exported", &text);
    for recipient in RECIPIENTS {
        let ours = ours(&imported, recipient);
        let mut theirs = BTreeSet::new();
        by_postmap(&pair.postfix, &exported, recipient, 0, &mut theirs);
        assert_eq!(ours, theirs, "{recipient}");
        theirs.clear();
        by_postmap(&pair.postfix, &pair.table, recipient, 0, &mut theirs);
        assert_eq!(ours, theirs, "{recipient}");
    }
    let third = Lab::new();
    let again = Waypost::configured(&third, "");
    again.ok(&["alias", "import", "virtual", &exported.display().to_string()]);
    assert_eq!(again.ok(&["alias", "export"]), text);
}

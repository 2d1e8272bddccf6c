//! Tests of virtual files.

use super::*;

#[test]
fn names_with_invisible_characters_are_faults() {
    let file = parse("\u{feff}me@x.test a@g.test\nyou\u{200b}@x.test b@g.test\nit@x.test c\u{ad}@g.test, d@g.test\n", None);
    let aliases: Vec<String> = file.aliases.iter().map(|(alias, _)| format!("{} {}", alias.source, alias.targets[0])).collect();
    assert_eq!(aliases, ["me@x.test a@g.test", "it@x.test d@g.test"], "a byte order mark at the start of a file is not part of a name");
    assert_eq!(file.faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
    assert!(file.faults.iter().zip(["U+200B", "U+00AD"]).all(|((_, text), c)| text.contains(c)), "{:?}", file.faults);
}

fn shown(text: &str) -> Vec<String> {
    let file = parse(text, None);
    let domains = file.domains.iter().map(|d| format!("domain {d}"));
    let aliases = file.aliases.iter().map(|(alias, line)| {
        let targets: Vec<_> = alias.targets.iter().map(Target::to_string).collect();
        let off = if alias.enabled { "" } else { "off " };
        format!("{line} {off}{} -> {}", alias.source, targets.join(" "))
    });
    let warnings = file.warnings.iter().map(|(line, _)| format!("warning {line}"));
    let faults = file.faults.iter().map(|(line, _)| format!("fault {line}"));
    domains.chain(aliases).chain(warnings).chain(faults).collect()
}

#[test]
fn entries_are_read_as_postmap_reads_them() {
    let text = "# c\n\nme@x.test a@g.test\n  # between\n\n\tb@g.test\nME@x.test dup@g.test\nx.test anything\nbare v@g.test\n\
        \"two words\"@x.test tw@g.test\n#foo@x.test h@g.test\n\"#foo\"@x.test h2@g.test\n@y.test @z.test\nk@x.test\n l@g.test";
    let want = [
        "domain x.test",
        "3 me@x.test -> a@g.test b@g.test",
        "10 \"two words\"@x.test -> tw@g.test",
        "12 #foo@x.test -> h2@g.test",
        "13 @y.test -> @z.test",
        "14 k@x.test -> l@g.test",
        "warning 7",
        "warning 9",
    ];
    assert_eq!(shown(text), want);
    assert_eq!(shown(&text.replace('\n', "\r\n")), want);
}

#[test]
fn targets_are_separated_by_commas_or_white_space() {
    let text = "a@x.test b@g.test c@g.test,d@g.test , \"e, f\"@g.test,,<g@g.test>,";
    assert_eq!(shown(text), ["1 a@x.test -> b@g.test c@g.test d@g.test \"e, f\"@g.test g@g.test"]);
    assert_eq!(shown("a@x.test b@g.test, @y.test"), ["1 a@x.test -> b@g.test", "warning 1"]);
    assert_eq!(shown("a@x.test @y.test, b@g.test"), ["1 a@x.test -> @y.test b@g.test", "warning 1"]);
}

#[test]
fn a_bad_line_is_a_fault_and_affects_no_good_one() {
    for (text, line) in [
        (" bad@x.test b@g.test", 1),
        ("\n\nbad@x.test", 3),
        ("bad@x.test  \n", 1),
        ("bad b@x.test d@g.test\nx..test v", 2),
        ("\"bad@x.test b@g.test", 1),
        ("bad@ b@g.test", 1),
        ("bad\u{fffd}@x.test b@g.test", 1),
    ] {
        let text = format!("{text}\ngood@x.test c@g.test");
        let file = parse(&text, None);
        let found: Vec<String> = file.aliases.iter().map(|(alias, _)| alias.source.to_string()).collect();
        let faults: Vec<usize> = file.faults.iter().map(|(line, _)| *line).collect();
        assert_eq!((found, faults), (vec!["good@x.test".to_owned()], vec![line]), "{text}");
    }
}

/// Mail to the address of a broken line must be deferred: neither the catch-all nor a permanent refusal may take it.
#[test]
fn an_address_without_a_usable_target_exists() {
    for value in ["root", "|/bin/sh", ":include:/etc/passwd", ",", "\"b@g.test", "bad@", "bad@x.test", "undisclosed:;"] {
        let file = parse(&format!("bad@x.test {value}\n@x.test all@g.test"), None);
        let broken: Vec<_> = file.aliases.iter().map(|(alias, line)| (alias.targets.len(), *line)).collect();
        assert_eq!((broken, file.faults.len()), (vec![(1, 2), (0, 1)], 1), "{value}");
    }
    assert_eq!(shown("a@x.test ,\na@x.test b@g.test"), ["2 a@x.test -> b@g.test", "fault 1"], "the usable line counts");
    assert_eq!(shown("a@x.test b@g.test root\n"), ["1 a@x.test -> b@g.test", "fault 1"]);
}

#[test]
fn an_origin_completes_names_without_a_domain() {
    let file = parse("a@x.test root\nann b@g.test\nann@x.test c@g.test\nbob d@g.test\n", Some(&"x.test".parse().unwrap()));
    let found: Vec<String> = file.aliases.iter().map(|(alias, line)| format!("{line} {} {}", alias.source, alias.targets[0])).collect();
    assert_eq!(found, ["1 a@x.test root@x.test", "3 ann@x.test c@g.test", "4 bob@x.test d@g.test"]);
    assert_eq!((file.faults, file.warnings.len()), (vec![], 1), "the key with a domain goes before the one without");
}

#[test]
fn a_copy_kept_in_the_mailbox_is_left_out() {
    assert_eq!(shown("self@x.test Self@X.test, z@g.test"), ["1 self@x.test -> z@g.test", "warning 1"]);
    assert_eq!(shown("@x.test @x.test"), ["1 @x.test -> ", "fault 1"]);
    assert_eq!(shown("*@x.test a@g.test"), ["1 *@x.test -> a@g.test", "warning 1"]);
}

#[test]
fn a_name_with_a_dot_only_at_its_end_is_no_domain() {
    assert_eq!((shown("x. any"), shown("x any")), (vec!["warning 1".to_owned()], vec!["warning 1".to_owned()]));
    assert_eq!(shown("x.test. any"), ["domain x.test"]);
}

#[test]
fn disabled_aliases_are_comments_to_postfix() {
    let text = "a@x.test b@g.test\n# disabled: c@x.test d@g.test\n e@g.test\n# disabled: for now\n# disabled: A@x.test f@g.test\n";
    assert_eq!(shown(text), ["1 a@x.test -> b@g.test e@g.test", "2 off c@x.test -> d@g.test", "warning 5"]);
}

#[test]
fn a_file_is_written_for_postfix() {
    let mut aliases: Vec<Alias> = parse("a@x.test b@g.test c@g.test\n@x.test @y.test\n\"#q\"@x.test b@g.test", None)
        .aliases
        .into_iter()
        .map(|(alias, _)| alias)
        .collect();
    aliases[1].enabled = false;
    aliases.push(Alias { source: "n@x.test".parse().unwrap(), targets: Vec::new(), enabled: true, origin: Origin::Database });
    let hold = AliasOptions::from(StrictDomain::Hold);
    let text = write(&["x.test".parse().unwrap()], &aliases, &[("a@x.test".to_owned(), hold.clone())].into());
    let want = "x.test domain\na@x.test b@g.test, c@g.test\n# disabled: @x.test @y.test\n\"#q\"@x.test b@g.test\n\
        # without a target: n@x.test\n# options: a@x.test {\"strict_domain\":\"hold\"}\n";
    assert_eq!(text, want);
    let read = [("a@x.test".parse().unwrap(), hold)];
    assert_eq!(parse(&text, None).alias_options, read);
    assert_eq!(parse("# strict: a@x.test hold\n", None).alias_options, read, "an export of an earlier version");
}

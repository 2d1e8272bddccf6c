//! Runs every target over its corpus and over seeded mutations of it, and compares the targets with the files of `fuzz/`.
//!
//! `FUZZ_SEED` and `FUZZ_INPUTS` (for each target) change the run; a failure names both, so that it can be repeated.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fuzz_targets::mutate::{Random, mutated};
use fuzz_targets::{TARGETS, Target};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

/// The inputs of a target, in the order of their names, which is the same everywhere.
fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(package().join("corpus").join(target.name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn holds(target: &Target, octets: &[u8], what: &str) -> Result<(), String> {
    let run = catch_unwind(AssertUnwindSafe(|| (target.run)(octets)));
    run.map_err(|_| format!("{} fails for {what}: {:?}", target.name, String::from_utf8_lossy(octets)))
}

/// One test for all targets of one part, so that a runner uses several cores.
fn smoke(part: usize) {
    const PARTS: usize = 4;
    let (seed, inputs) = (setting("FUZZ_SEED", 1), setting("FUZZ_INPUTS", 400));
    let mut faults = Vec::new();
    for target in TARGETS.iter().skip(part).step_by(PARTS) {
        let corpus = corpus(target);
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        faults.extend(corpus.iter().filter_map(|(path, octets)| holds(target, octets, &path.display().to_string()).err()));
        let octets: Vec<Vec<u8>> = corpus.into_iter().map(|(_, octets)| octets).collect();
        for number in 0..inputs {
            let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
            let input = mutated(&mut random, &octets);
            faults.extend(holds(target, &input, &format!("FUZZ_SEED={seed}, input {number}")).err());
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn properties_hold_for_mutations_of_the_corpus_1() {
    smoke(0);
}

#[test]
fn properties_hold_for_mutations_of_the_corpus_2() {
    smoke(1);
}

#[test]
fn properties_hold_for_mutations_of_the_corpus_3() {
    smoke(2);
}

#[test]
fn properties_hold_for_mutations_of_the_corpus_4() {
    smoke(3);
}

#[test]
fn every_target_has_a_corpus_and_a_program_of_the_fuzzer() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "a name stands twice");
    assert_eq!(names(&package().join("corpus")), targets);
    let fuzz = package().join("../../fuzz");
    assert_eq!(names(&fuzz.join("fuzz_targets")), targets);
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in &targets {
        let program = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("fuzz_targets::{name}(data)")), "{name}.rs runs another target");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml lacks {name}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), targets.len(), "fuzz/Cargo.toml has another program");
}

#[test]
fn a_mutation_is_repeated_by_its_seed() {
    let corpus = [b"EHLO x\r\n".to_vec(), b"MAIL FROM:<>\r\n".to_vec()];
    let inputs = |seed| (0..50).map(|_| seed).scan(Random::new(seed), |random, _| Some(mutated(random, &corpus))).collect::<Vec<_>>();
    assert_eq!(inputs(7), inputs(7));
    assert_ne!(inputs(7), inputs(8));
}

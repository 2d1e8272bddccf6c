//! The project's own commands: `cargo xtask ci` and its parts, `docs`, `book`, `fuzz`, `bench`.
//!
//! Invariant: what a machine has to check is checked here, so that a person and a build server run the same.

mod bench;
mod book;
mod checkout;
mod ci;
mod code_map;
mod crash;
mod deny;
mod doc_names;
mod docs;
mod fuzz;
mod limits;
mod machine;
mod simulate;
mod steps;
mod suites;
mod tools;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
The project's own commands.

  cargo xtask ci [--fast]          all checks: format, lints, build, tests, licences, book, generated documents, demo
                                   --fast: only what needs no other mail software; says what it left out
  cargo xtask prepare              only install the other mail software that the tests talk to, and fetch the suites
  cargo xtask suites               only fetch the public suites that the tests read
  cargo xtask deny                 only check licences, bans and sources of the dependencies
  cargo xtask docs [--check]       write the man pages, the configuration reference and the code map, or only compare them
  cargo xtask code-map             write only the code map and the limits; builds nothing
  cargo xtask book                 build the documents as a book in target/book, and check its links
  cargo xtask simulate [--seed N [--trace] | --seeds A-B | --minutes M]
                                   the mail flow on a simulated clock, network, DNS and disk; without options: the fixed seeds,
                                   then fresh ones for 2 minutes, and many nodes, as in ci
  cargo xtask simulate --nodes [--seed N [--trace] | --seeds A-B | --minutes M] [--together]
                                   many nodes over one PostgreSQL, whose clocks and faults a seed decides; without options: the
                                   fixed seeds
  cargo xtask fuzz [--minutes N] [TARGET...]
                                   run the targets of tests/fuzz_targets under libFuzzer, N minutes in all (60)
  cargo xtask bench [GROUP..] [OPTIONS]
                                   measure Waypost beside Postfix and older builds (docs/benchmarks.md); --help shows groups and
                                   options, `guesses`, `history` and `face` among them. Needs root
  cargo xtask crash [CAMPAIGN..] [OPTIONS]
                                   kill the server, cut its power, and make its system calls fail, under load; nothing acknowledged
                                   may be lost (docs/testing.md). --bounded: the part that `ci` runs. Needs root
";

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["ci"] => ci::run(ci::Extent::Everything),
        ["ci", "--fast"] => ci::run(ci::Extent::Fast),
        ["prepare"] => machine::prepare(),
        ["suites"] => suites::fetch(),
        ["deny"] => deny::check(),
        ["docs"] => docs::write(),
        ["docs", "--check"] => docs::check(),
        ["code-map"] => docs::write_code_map(),
        ["book"] => book::check(),
        ["simulate", options @ ..] => simulate::run(options),
        ["fuzz", options @ ..] => fuzz::run(&fuzz::Options::parse(options)?),
        ["bench", options @ ..] => bench::run(options),
        ["crash", options @ ..] => crash::run(options),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("no command `{}`\n\n{HELP}", other.join(" ")),
    }
}

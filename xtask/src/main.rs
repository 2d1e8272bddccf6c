//! The project's own commands: `cargo xtask ci` and its parts, `docs`, `book`, `bench`.
//!
//! Invariant: what a machine has to check is checked here, so that a person and a build server run the same.

mod bench;
mod bench_face;
mod book;
mod checkout;
mod ci;
mod code_map;
mod deny;
mod doc_names;
mod docs;
mod machine;
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
  cargo xtask code-map             write only the code map; builds nothing
  cargo xtask book                 build the documents as a book in target/book, and check its links
  cargo xtask bench [--rounds N] [--idle] [--full] [--submit] [--guesses] [--history] [--face]
                                   forward 10 KiB over 100 sessions beside Postfix, and print the ratios; --idle: also
                                   the memory of idle sessions; --full: instead, with SPF, DKIM, DMARC, return addresses
                                   and signatures, beside Postfix + OpenDKIM + postsrsd + an SPF daemon; --submit: instead, submission with
                                   TLS and a login, beside Postfix + Cyrus SASL; --guesses: instead, what 10,000 guesses from as
                                   many addresses do to honest sessions; --history: instead, what the history costs with 10,000,000
                                   events, and how fast it answers; --face: instead, what the owner's page and the API cost. Needs root and the bench harness (docs/testing.md)
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
        ["bench", options @ ..] => bench::run(&bench::Options::parse(options)?),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("no command `{}`\n\n{HELP}", other.join(" ")),
    }
}

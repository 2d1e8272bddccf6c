//! `load`: benchmarks and crash campaigns; `cargo xtask bench` and `cargo xtask crash` build it and run it.

#![allow(clippy::print_stderr)]

use std::process::ExitCode;

use clap::Parser;

/// Load for SMTP servers on loopback.
#[derive(Debug, Parser)]
#[command(name = "load", bin_name = "cargo xtask")]
enum Command {
    /// Measures Waypost beside other servers
    Bench(load::bench::Options),
    /// Kills, cuts the power, and makes system calls fail; requires that nothing acknowledged is lost
    Crash(load::crash::Options),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Bench(options) => load::bench::run(&options),
        Command::Crash(options) => load::crash::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

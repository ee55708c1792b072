//! The Tamis command line.

mod args;
mod commands;
mod exit;
mod input;
mod output;
mod source;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};

/// What is logged if nothing else is asked for.
const LOGGED: &str = "warn";

fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    let result = match &cli.command {
        Command::Inspect(args) => commands::inspect::run(args),
        Command::Filter(args) => commands::filter::run(args),
        Command::Eval(args) => commands::eval::run(args),
        Command::Rewrite(args) => commands::rewrite::run(args),
        Command::Match(args) => commands::matching::run(args),
        Command::Index(args) => commands::index::run(args),
        Command::Search(args) => commands::search::run(args),
        Command::Bench(args) => commands::bench::run(args),
        Command::Compile(args) => commands::compile::run(args),
        Command::Test(args) => commands::test::run(args),
        Command::Check(args) => commands::check::run(args),
        Command::Build(args) => commands::build::run(args),
        Command::Demo(args) => commands::demo::run(args),
    };
    exit::code(result)
}

/// Has what the libraries log go to standard error, as much of it as `TAMIS_LOG` says.
fn log() {
    let wanted = std::env::var("TAMIS_LOG").unwrap_or_else(|_| LOGGED.to_owned());
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|error| {
        output::note!("TAMIS_LOG is not used: {error}");
        EnvFilter::new(LOGGED)
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(output::coloured(&std::io::stderr()))
        .log_internal_errors(false)
        .without_time()
        .init();
}

//! The Tamis command line.

mod args;
mod commands;
mod exit;
mod input;
mod output;
mod source;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("TAMIS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
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

//! `tamis build`: a policy component from a Rust crate or a core module.

use anyhow::{Context, Result};
use tamis_runtime::{Limits, Policy, Runtime};

use crate::args::BuildArgs;
use crate::exit::Outcome;
use crate::output;

pub(crate) fn run(args: &BuildArgs) -> Result<Outcome> {
    let component = if args.source.is_dir() {
        tamis_build::build_crate(&args.source)?
    } else {
        let module = std::fs::read(&args.source).with_context(|| args.source.display().to_string())?;
        tamis_build::componentize(&module).with_context(|| args.source.display().to_string())?
    };
    // What does not load is of no use to anyone, so it is not written.
    let policy = Policy::load(&Runtime::shared()?, &component, &Limits::default())?;
    if let Some(folder) = args.output.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    output::replace_file(&args.output, &component)?;
    eprintln!("{}  {}  {} bytes", args.output.display(), policy.digest(), policy.component().len());
    Ok(Outcome::Done)
}

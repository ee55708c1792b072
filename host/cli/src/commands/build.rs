//! `tamis build`: a policy component from a Rust crate or a core module.

use anyhow::{Context, Result, bail};
use tamis_runtime::{Limits, Policy, Runtime};

use crate::args::BuildArgs;
use crate::exit::Outcome;
use crate::output;
use crate::source::WASM;

/// What follows [`WASM`] in a component.
const COMPONENT: &[u8] = b"\x0d\0\x01\0";

pub(crate) fn run(args: &BuildArgs) -> Result<Outcome> {
    let component = if args.source.is_dir() {
        tamis_build::build_crate(&args.source)?
    } else {
        let place = || args.source.display().to_string();
        let module = std::fs::read(&args.source).with_context(place)?;
        match module.strip_prefix(WASM) {
            None => {
                bail!("{}: the bytes are not WebAssembly; Cedar policies are for `tamis compile`", place())
            }
            Some(version) if version.starts_with(COMPONENT) => {
                bail!("{}: it is a component already", place())
            }
            Some(_) => tamis_build::componentize(&module).with_context(place)?,
        }
    };
    // What does not load is of no use to anyone, so it is not written.
    let policy = Policy::load(&Runtime::shared()?, &component, &Limits::default())?;
    if let Some(folder) = args.output.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    output::replace_file(&args.output, &component)?;
    output::note!("{}  {}  {} bytes", args.output.display(), policy.digest(), policy.component().len());
    Ok(Outcome::Done)
}

//! Cedar sources on the command line: read, compiled, and their problems shown.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use miette::{GraphicalReportHandler, GraphicalTheme};
use tamis_compiler::{Compiled, Named, Problem};
use tamis_runtime::Error;

use crate::output;

/// What to make of policies, and of questions, that do not conform to the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validation {
    /// Policies that do not are an error.
    Required,
    /// Policies that do not are reported and decide as Cedar decides: a rule fails where it meets a value of another type.
    Reported,
    /// As [`Self::Reported`], and so do questions about resources that the schema has no action for.
    NotOfQuestions,
}

/// Policies, and a schema if there is one, as texts with the names of their files.
pub(crate) struct Sources {
    policies: (String, String),
    schema: Option<(String, String)>,
}

/// How the names of files end that hold policies to compile.
const SOURCES: [&str; 2] = ["cedar", "json"];
/// How WebAssembly begins.
pub(crate) const WASM: &[u8] = b"\0asm";

/// Whether the file at `path` holds policies to compile, by its name.
pub(crate) fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|found| SOURCES.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

impl Sources {
    pub(crate) fn read(policies: &Path, schema: Option<&PathBuf>) -> Result<Self> {
        let text =
            |path: &Path| Ok::<_, anyhow::Error>((path.display().to_string(), crate::input::text(path)?));
        Ok(Self { policies: text(policies)?, schema: schema.map(|path| text(path)).transpose()? })
    }

    pub(crate) fn policies(&self) -> Named<'_> {
        Named { name: &self.policies.0, text: &self.policies.1 }
    }

    pub(crate) fn schema(&self) -> Option<Named<'_>> {
        self.schema.as_ref().map(|(name, text)| Named { name, text })
    }

    /// Compiles the policies; what the validator says goes to standard error.
    pub(crate) fn compile(&self, validation: Validation) -> Result<Compiled> {
        let stem = Path::new(&self.policies.0).file_stem().unwrap_or_default().to_string_lossy();
        let compile = match validation {
            Validation::Required | Validation::Reported => tamis_compiler::compile,
            Validation::NotOfQuestions => tamis_compiler::compile_for_any_chunk,
        };
        let mut compiled = compile(&stem, self.policies(), self.schema())?;
        let errors = compiled.validation.iter().any(|problem| !problem.is_warning());
        if errors && validation == Validation::Required {
            let problems = std::mem::take(&mut compiled.validation);
            return Err(tamis_compiler::Error::Source(tamis_compiler::Problems(problems)).into());
        }
        compiled.validation.iter().for_each(show);
        Ok(compiled)
    }
}

/// The bytes of the policy at `path`: a component, or policies that are compiled here.
pub(crate) fn component(path: &Path, schema: Option<&PathBuf>, validation: Validation) -> Result<Vec<u8>> {
    if is_source(path) {
        return Ok(Sources::read(path, schema)?.compile(validation)?.component);
    }
    let place = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(place)?;
    if !bytes.starts_with(WASM) {
        let message =
            "the bytes are not WebAssembly; Cedar policies are in files that end in `.cedar` or `.json`";
        return Err(Error::Artifact(message.to_owned())).with_context(place);
    }
    if let Some(schema) = schema {
        let schema = schema.display();
        output::note!("{schema} is not used: {} was compiled with what schema it has", place());
    }
    Ok(bytes)
}

/// Shows a problem on standard error, with the source line that it points at.
pub(crate) fn show(problem: &Problem) {
    let stderr = io::stderr();
    let theme = match (stderr.is_terminal(), output::coloured(&stderr)) {
        (_, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        (false, false) => GraphicalTheme::none(),
    };
    if problem.place().is_none() {
        output::note!("{}:", problem.source_name());
    }
    let mut text = String::new();
    match GraphicalReportHandler::new_themed(theme).with_width(110).render_report(&mut text, problem) {
        Ok(()) => output::note!("{}", text.trim_end()),
        Err(_) => output::note!("{problem:?}"),
    }
}

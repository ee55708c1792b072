//! The policy: a component, or source that is compiled here, replaced whenever its file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tamis_compiler::Named;
use tamis_runtime::{Error, Limits, PolicyHandle, Runtime, Watch};

use crate::config::PolicyConfig;

/// Loads the policy.
///
/// # Errors
/// If it cannot be read, compiled or loaded.
pub(crate) fn load(config: &PolicyConfig) -> Result<PolicyHandle, crate::Error> {
    let path = || config.path.display().to_string();
    let bytes = std::fs::read(&config.path).map_err(|source| crate::Error::Read { path: path(), source })?;
    let limits = Limits { deadline: config.deadline, ..Limits::default() };
    let handle = prepare(&config.path, config.schema.as_deref(), bytes)
        .and_then(|bytes| PolicyHandle::new(&Runtime::shared()?, &bytes, limits));
    handle.map_err(|source| crate::Error::Policy { path: path(), source })
}

/// Replaces the policy whenever its file changes, as long as this is kept.
///
/// # Errors
/// If its folder cannot be watched.
pub(crate) fn watch(handle: &Arc<PolicyHandle>, config: &PolicyConfig) -> Result<Watch, Error> {
    let (path, schema): (PathBuf, Option<PathBuf>) = (config.path.clone(), config.schema.clone());
    handle.watch_with(&config.path, move |bytes| prepare(&path, schema.as_deref(), bytes))
}

/// The component in a file, compiled if it is source.
fn prepare(path: &Path, schema: Option<&Path>, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    let source = path.extension().is_some_and(|end| end == "cedar" || end == "json");
    if !source {
        return Ok(bytes);
    }
    let text = String::from_utf8(bytes).map_err(|error| Error::Source(error.to_string()))?;
    let schema = schema.map(|path| {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Ok((name, text)),
            Err(error) => Err(Error::Host(format!("cannot read {name}: {error}"))),
        }
    });
    let schema = schema.transpose()?;
    let schema = schema.as_ref().map(|(name, text)| Named { name, text });
    let (stem, name) = (path.file_stem().unwrap_or_default().to_string_lossy(), path.display().to_string());
    let compiled = tamis_compiler::compile(&stem, Named { name: &name, text: &text }, schema)
        .map_err(|error| Error::Source(error.to_string()))?;
    if let Some(problem) = compiled.validation.iter().find(|problem| !problem.is_warning()) {
        return Err(Error::Source(format!("it does not conform to the schema: {problem}")));
    }
    Ok(compiled.component)
}

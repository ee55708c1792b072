//! What can be seen of a component without compiling or running it.

use tamis_contract::MANIFEST_SECTION;
use wasmparser::{Encoding, Parser, Payload};

use crate::error::{Error, excerpt};
use crate::policy::check_size;

/// What can be seen of a component without compiling or running it. It is what the bytes say, and nothing has checked it against what
/// the component says when it runs; [`crate::Policy::load`] does that, and refuses one that says something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The manifest that its compiler left in it, as JSON text; `None` if there is none.
    pub manifest: Option<String>,
    /// What it would import. A policy imports nothing.
    pub imports: Vec<String>,
}

impl Outline {
    /// Looks at the bytes of a component.
    ///
    /// # Errors
    /// [`Error::Artifact`] if they are no component.
    pub fn of(bytes: &[u8]) -> Result<Self, Error> {
        check_size(bytes.len() as u64)?;
        let broken =
            |error: &dyn std::fmt::Display| Error::Artifact(excerpt(&format!("it is not valid: {error}")));
        let mut outline = Self { manifest: None, imports: Vec::new() };
        // Modules and components inside have sections of their own.
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(|error| broken(&error))? {
                Payload::Version { encoding, .. } => {
                    if depth == 0 && encoding != Encoding::Component {
                        return Err(Error::Artifact("it is a core module, not a component".to_owned()));
                    }
                    depth += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 1 => {
                    for import in imports {
                        outline.imports.push(excerpt(import.map_err(|error| broken(&error))?.name.name));
                    }
                }
                Payload::CustomSection(section) if depth == 1 && section.name() == MANIFEST_SECTION => {
                    let text = std::str::from_utf8(section.data()).map_err(|error| broken(&error))?;
                    outline.manifest = Some(text.to_owned());
                }
                _ => {}
            }
        }
        Ok(outline)
    }
}

//! What a component may consist of, checked before it is compiled.
//!
//! Components can hold components and instantiate each several times, so that a kilobyte stands for millions of instances,
//! and the time that one function takes to compile grows with more than the square of its size, and the time of all with their number.
//! The compiler has no limit for any of these, and cannot be interrupted.

use wasmparser::{CanonicalFunction, Parser, Payload};

use crate::error::{Error, excerpt};

/// Components inside components. What turns a module into a component puts one inside, for its exports.
const MAX_DEPTH: usize = 2;
/// Components, and instantiations of components, in all. With the depth above they unfold into a few hundred instances at most.
const MAX_COMPONENTS: u32 = 16;
/// Bytes of one function's body. One of this size takes some tenths of a second to compile at worst, one of half a
/// megabyte takes minutes; compilers of policies split what is longer.
const MAX_FUNCTION: usize = 32 << 10;
/// Bytes of all functions' bodies. So much takes some seconds to compile at worst; compiled policies have 90 KB, those in Rust
/// not many more. What a policy knows is data.
const MAX_CODE: usize = 2 << 20;
/// Functions, each of which takes some time however short it is.
const MAX_FUNCTIONS: u32 = 20_000;

/// Functions that are made of core functions, and the other way round. The contract has six.
const MAX_CANONICAL: u32 = 100;

/// Refuses a component that unfolds into too many parts, or that would take too long to compile.
///
/// # Errors
/// [`Error::Artifact`], also for bytes that cannot be parsed.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Error> {
    let invalid =
        |error: wasmparser::BinaryReaderError| Error::Artifact(excerpt(&format!("it is not valid: {error}")));
    let (mut depth, mut components) = (0_usize, 0_u32);
    let (mut functions, mut code, mut canonical) = (0_u32, 0_usize, 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            Payload::ComponentSection { .. } => {
                depth += 1;
                components = components.saturating_add(1);
            }
            Payload::ModuleSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentInstanceSection(section) => {
                components = components.saturating_add(section.count())
            }
            Payload::ComponentCanonicalSection(section) => {
                canonical = canonical.saturating_add(section.count());
                for function in section {
                    // For a call from one component to another the compiler writes code of any size, which no check here has seen.
                    if matches!(function.map_err(invalid)?, CanonicalFunction::Lower { .. }) {
                        return Err(Error::Artifact("components in it call one another".to_owned()));
                    }
                }
            }
            Payload::CodeSectionStart { count, size, .. } => {
                functions = functions.saturating_add(count);
                code = code.saturating_add(size as usize);
            }
            Payload::CodeSectionEntry(body) if body.as_bytes().len() > MAX_FUNCTION => {
                let (offset, size) = (body.range().start, body.as_bytes().len());
                return Err(Error::Artifact(format!(
                    "the function at byte {offset} is {size} bytes long; at most {MAX_FUNCTION} are allowed"
                )));
            }
            _ => {}
        }
        if functions > MAX_FUNCTIONS || code > MAX_CODE {
            return Err(Error::Artifact(format!(
                "it has {functions} functions of {code} bytes; at most {MAX_FUNCTIONS} of {MAX_CODE} are allowed"
            )));
        }
        if canonical > MAX_CANONICAL {
            let message = format!("it lifts {canonical} functions; at most {MAX_CANONICAL} are allowed");
            return Err(Error::Artifact(message));
        }
        if depth > MAX_DEPTH || components > MAX_COMPONENTS {
            let message = format!(
                "components in it nest deeper than {MAX_DEPTH} levels, or are instantiated more than {MAX_COMPONENTS} times"
            );
            return Err(Error::Artifact(message));
        }
    }
    Ok(())
}

//! Compiles Cedar policies to policy components: one call, no toolchain, the same bytes for the same source on every machine.
//!
//! The way of a policy, module by module: the source is looked over before anything recurses along it (`scan`), parsed and validated
//! by Cedar's own crates (`front`, with the schema in `schema`), lowered to shared, folded expressions that know what they read (`lower`,
//! `ir`), made a rule with keys by which requests find it (`rules`), written as a program (`emit`) and linked with the engine that
//! runs it (`link`). `check` looks at what compiles but is probably not meant.
//!
//! ```
//! let source = tamis_compiler::Named {
//!     name: "policy.cedar",
//!     text: r#"permit(principal, action, resource) when { resource.tenant == principal.tenant };"#,
//! };
//! let compiled = tamis_compiler::compile("tenants", source, None)?;
//! assert_eq!(compiled.manifest.footprint[0].name, "tenant");
//! # Ok::<(), tamis_compiler::Error>(())
//! ```

mod arity;
mod branches;
mod check;
mod emit;
mod front;
mod ir;
mod link;
mod lower;
mod manifest;
mod problem;
mod rules;
mod scan;
mod schema;

use sha2::{Digest, Sha256};

pub use branches::{Branch, Branches};
pub use front::Named;
pub use link::LinkError;
pub use manifest::{FootprintAttribute, Manifest};
pub use problem::{Problem, Problems, SourceText};

/// Why policies could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policies or the schema are at fault.
    #[error(transparent)]
    Source(#[from] Problems),
    /// The engine in this program is.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// This machine is in the way.
    #[error("no thread to compile in: {0}")]
    Thread(String),
}

/// Compiled policies.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The component.
    pub component: Vec<u8>,
    /// The program that the engine runs in it.
    pub program: Vec<u8>,
    /// What the component says of itself.
    pub manifest: Manifest,
    /// What Cedar's validator says, errors and warnings; empty without a schema. It does not keep policies from being compiled, since
    /// what does not validate has a meaning all the same: the rule fails where it meets a value of another type.
    pub validation: Vec<Problem>,
}

/// Compiles policies, in Cedar's own syntax or its JSON form, with a schema in either syntax.
///
/// # Errors
/// For everything that is wrong with the source, all at once.
pub fn compile(name: &str, policies: Named<'_>, schema: Option<Named<'_>>) -> Result<Compiled, Error> {
    compile_for(name, policies, schema, false)
}

/// Compiles as [`compile`], for chunks that may be of any type of entity, and not only of those that the schema has actions for. Nothing
/// is known of their attributes before a chunk says of what type it is, so this decides as Cedar does on questions that do not
/// conform to the schema, and cannot narrow a search by an attribute.
///
/// # Errors
/// As [`compile`].
pub fn compile_for_any_chunk(
    name: &str,
    policies: Named<'_>,
    schema: Option<Named<'_>>,
) -> Result<Compiled, Error> {
    compile_for(name, policies, schema, true)
}

fn compile_for(
    name: &str,
    policies: Named<'_>,
    schema: Option<Named<'_>>,
    any_chunk: bool,
) -> Result<Compiled, Error> {
    on_large_stack(|| {
        let mut front = front::parse(policies, schema)?;
        if any_chunk {
            front.schema.allow_any_chunk();
        }
        let (ir, rules) = lower(&front)?;
        let manifest = Manifest {
            name: name.to_owned(),
            footprint: manifest::footprint(&ir, &front.schema),
            policies: manifest::policies(&front.policies),
            source_digest: digest(policies.text),
            schema_digest: schema.map(|schema| digest(schema.text)).unwrap_or_default(),
        };
        let program = emit::program(ir, &rules, &front.schema, &manifest);
        let component = link::component(&program, &manifest.to_json().to_string())?;
        Ok(Compiled { component, program, manifest, validation: front.validation })
    })
}

/// Looks for what is wrong with policies, and for what is probably not meant, without compiling them: the validator's errors and
/// warnings, and warnings about what matters to retrieval.
///
/// # Errors
/// If the source cannot be read or compiled at all.
pub fn check(policies: Named<'_>, schema: Option<Named<'_>>) -> Result<Vec<Problem>, Error> {
    on_large_stack(|| {
        let front = front::parse(policies, schema)?;
        let (ir, rules) = lower(&front)?;
        let mut problems = check::warnings(&front, &ir, &rules);
        problems.splice(0..0, front.validation);
        Ok(problems)
    })
}

/// The branches of policies, and a component that tells which of them a chunk reaches: for test coverage.
///
/// # Errors
/// As [`compile`].
pub fn branches(policies: Named<'_>, schema: Option<Named<'_>>) -> Result<Branches, Error> {
    on_large_stack(|| branches::build(&front::parse(policies, schema)?))
}

fn lower(front: &front::Front) -> Result<(ir::Ir, rules::Rules), Problems> {
    let (mut ir, mut rules) = (ir::Ir::default(), rules::Rules::default());
    let mut problems = Vec::new();
    for policy in &front.policies {
        if let Err(reason) = rules.add(&mut ir, &front.schema, policy) {
            problems.push(refused(front, policy, &reason));
        }
    }
    problems.extend(name_chunk(&mut ir, front).err());
    if problems.is_empty() { Ok((ir, rules)) } else { Err(Problems(problems)) }
}

fn name_chunk(ir: &mut ir::Ir, front: &front::Front) -> Result<(), Problem> {
    ir.name_chunk().map_err(|ir::TooMuch(reason)| {
        Problem::error(&front.source, format!("the policies cannot be compiled: {reason}"))
    })
}

fn refused(front: &front::Front, policy: &front::Parsed, reason: &ir::TooMuch) -> Problem {
    let message = format!("policy `{}` cannot be compiled: {}", policy.id, reason.0);
    Problem::error(&front.source, message).at(policy.place.0, policy.place.1)
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs `work` with room for the deepest source that `scan` lets pass.
fn on_large_stack<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("compile".to_owned()).stack_size(front::STACK);
        let thread = thread.spawn_scoped(scope, work).map_err(|error| Error::Thread(error.to_string()))?;
        thread.join().unwrap_or_else(|_| Err(Error::Thread("the compiler panicked".to_owned())))
    })
}

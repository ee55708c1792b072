//! From a policy crate, or any core module that implements the contract, to a policy component.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding};

/// The contract, so that a module without metadata can be given it.
const CONTRACT: &str = include_str!("../../../wit/policy.wit");
/// How the name of the section begins in which a module describes its interface.
const DESCRIPTION: &str = "component-type";
/// What a module exports that decides on batches.
const BATCH: &str = "tamis:policy/batch@0.1.0#filter-chunks";
const TARGET: &str = "wasm32-unknown-unknown";

/// Why no component could be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The bytes are not a core module that implements the contract.
    #[error("this module does not implement the policy contract: {0}")]
    Module(String),
    /// Cargo could not be run.
    #[error("cannot run `{program}`: {source}")]
    Run {
        /// What was to be run.
        program: String,
        /// Why it could not.
        source: std::io::Error,
    },
    /// Cargo ran and failed; its own output says why.
    #[error("`cargo build` failed in {}; if the target is missing, run `rustup target add {TARGET}`", .0.display())]
    Cargo(PathBuf),
    /// Cargo built no module.
    #[error("{} builds no module: its Cargo.toml needs `crate-type = [\"cdylib\"]` under [lib]", .0.display())]
    NoModule(PathBuf),
    /// The built module could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Makes a component from a core module.
///
/// A module that was built with the Rust SDK or with wit-bindgen carries a description of its interface. One that
/// does not is taken to implement the world `tamis:policy/policy`, or `tamis:policy/batch-policy` if it decides on batches.
///
/// # Errors
/// If `module` is not a core module, lacks an export of the contract, or imports anything.
pub fn componentize(module: &[u8]) -> Result<Vec<u8>, BuildError> {
    let error = |error: anyhow::Error| BuildError::Module(format!("{error:#}"));
    let mut module = module.to_vec();
    let (described, batches) = look(&module).map_err(|invalid| error(invalid.into()))?;
    if !described {
        let mut resolve = wit_parser::Resolve::default();
        let package = resolve.push_str("policy.wit", CONTRACT).map_err(error)?;
        let world = if batches { "batch-policy" } else { "policy" };
        let world = resolve.select_world(&[package], Some(world)).map_err(error)?;
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .map_err(error)?;
    }
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.encode())
        .map_err(error)
}

/// Whether a module describes its interface, and whether it decides on batches. Its data may hold any text.
fn look(module: &[u8]) -> Result<(bool, bool), wasmparser::BinaryReaderError> {
    let (mut described, mut batches) = (false, false);
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::CustomSection(section) => described |= section.name().starts_with(DESCRIPTION),
            Payload::ExportSection(exports) => {
                for export in exports {
                    batches |= export?.name == BATCH;
                }
            }
            _ => {}
        }
    }
    Ok((described, batches))
}

/// Builds the crate in `directory` for WebAssembly and makes a component of it. Cargo's own output goes to standard
/// error.
///
/// `TAMIS_CARGO` and `TAMIS_RUSTC` name another cargo and compiler than those on the path. Paths of this machine do not
/// reach the component.
///
/// # Errors
/// If cargo cannot be run or fails, if the crate is not a `cdylib`, or as [`componentize`].
pub fn build_crate(directory: &Path) -> Result<Vec<u8>, BuildError> {
    let cargo = Cargo::new(directory)?;
    let root = cargo.run(&["locate-project", "--workspace", "--message-format", "plain"], "")?;
    let root = String::from_utf8_lossy(&root);
    let root = Path::new(root.trim_end()).parent().unwrap_or(&cargo.directory);
    let build = ["build", "--release", "--lib", "--target", TARGET, "--message-format"];
    let output = cargo.run(&[&build[..], &["json-render-diagnostics"]].concat(), &flags(root))?;
    let path = built_module(&output).ok_or(BuildError::NoModule(cargo.directory))?;
    let module = std::fs::read(&path).map_err(|source| BuildError::Read { path, source })?;
    componentize(&module)
}

/// Cargo as it builds policies.
struct Cargo {
    program: String,
    /// Where it runs.
    directory: PathBuf,
}

impl Cargo {
    fn new(directory: &Path) -> Result<Self, BuildError> {
        let program = std::env::var("TAMIS_CARGO").unwrap_or_else(|_| "cargo".to_owned());
        match directory.canonicalize() {
            Ok(directory) => Ok(Self { program, directory }),
            Err(source) => Err(BuildError::Run { program, source }),
        }
    }

    /// What it writes to standard output.
    fn run(&self, arguments: &[&str], flags: &str) -> Result<Vec<u8>, BuildError> {
        let mut command = Command::new(&self.program);
        if let Ok(compiler) = std::env::var("TAMIS_RUSTC") {
            command.env("RUSTC", compiler);
        }
        // Set by a cargo that runs us; they would pin the toolchain of the host for the policy.
        for inherited in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTFLAGS"] {
            command.env_remove(inherited);
        }
        let output = command
            .args(arguments)
            .current_dir(&self.directory)
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|source| BuildError::Run { program: self.program.clone(), source })?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(BuildError::Cargo(self.directory.clone()))
        }
    }
}

/// Compiler flags that keep this machine's paths out of panic messages. They are the same for all crates of a workspace, so that one does
/// not build the dependencies of another anew.
fn flags(workspace: &Path) -> String {
    let home = std::env::var("CARGO_HOME").ok().map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let mut flags = vec![format!("--remap-path-prefix={}=policy", workspace.display())];
    // The SDK lies outside of it when it is a path dependency.
    for (depth, ancestor) in workspace.ancestors().skip(1).take(3).enumerate() {
        if ancestor.parent().is_some() {
            flags.insert(0, format!("--remap-path-prefix={}=up{}", ancestor.display(), depth + 1));
        }
    }
    if let Some(home) = home {
        flags.push(format!("--remap-path-prefix={}=cargo", home.display()));
    }
    flags.join("\u{1f}")
}

/// The last module that cargo reports: the crate's own, since dependencies come first.
fn built_module(messages: &[u8]) -> Option<PathBuf> {
    let messages = String::from_utf8_lossy(messages);
    messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let files = message.get("filenames")?.as_array()?;
        files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
    })
}

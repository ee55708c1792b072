//! One loaded policy: validated bytes, compiled once, ready to be instantiated.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use tamis_core::{Chunk, Decision, Manifest, Query, Request, Rewrite, Row, Type, input};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::batch;
use crate::coded::Coded;
use crate::contract::{self, Footprint};
use crate::engine::Runtime;
use crate::error::{Error, excerpt, panic_message};
use crate::frame::{self, Column};
use crate::instance::{Exports, Instance};
use crate::limits::{self, Left, Limits, StoreState, blame};
use crate::outline::Outline;
use crate::rewrites::Rewrites;
use crate::session::{Admission, Session};
use crate::structure;

/// Components larger than this are refused before anything reads them. Ten thousand compiled rules stay well below.
pub(crate) const MAX_BYTES: u64 = 16 << 20;

/// Both kinds of WebAssembly binary start with these four bytes.
const MAGIC: &[u8] = b"\0asm";
/// What follows in a core module: version 1, layer 0.
const CORE_MODULE: &[u8] = &[1, 0, 0, 0];

/// SHA-256 of a policy's bytes: its identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self:x}")
    }
}

impl fmt::LowerHex for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Something that a component wants from its host. A policy wants nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import(pub String);

/// Something of a chunk that is no attribute, and that not every table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Its id.
    Id,
    /// The folders and collections that it is in.
    Ancestors,
    /// Metadata whose names are data.
    Tags,
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id => "id",
            Self::Ancestors => "ancestors",
            Self::Tags => "tags",
        })
    }
}

/// A policy that loaded, passed validation and described itself. Cloning shares it; all threads may use it at once.
#[derive(Clone)]
pub struct Policy {
    shared: Arc<Shared>,
}

struct Shared {
    runtime: Runtime,
    exports: Exports,
    manifest: Manifest,
    /// What positions in the footprint stand for.
    footprint: Footprint,
    /// The columns of its frames, if it decides on batches.
    columns: Option<Vec<Column>>,
    digest: Digest,
    component: Box<[u8]>,
    limits: Limits,
    rewrites: Rewrites,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("name", &self.shared.manifest.name)
            .field("digest", &self.digest())
            .finish()
    }
}

impl Policy {
    /// Loads a component: checks that it is one, that it imports nothing and exports the contract, compiles it (or
    /// takes it from the cache), and lets it describe itself. Costs tens of milliseconds, or less than one from the cache.
    ///
    /// # Errors
    /// [`Error::Artifact`] for bytes that are no policy component, [`Error::Contract`] for a manifest that is not valid, or
    /// not the one that [`Outline`] shows, [`Error::Limit`] or [`Error::Trap`] if describing itself fails, [`Error::Host`] if `limits` do not fit the runtime.
    pub fn load(runtime: &Runtime, bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        if limits.fuel.is_some() && !runtime.has_fuel() {
            return Err(Error::Host("a fuel limit needs a runtime with fuel".to_owned()));
        }
        if limits.memory > runtime.most_memory() {
            let (wanted, most) = (limits.memory, runtime.most_memory());
            return Err(Error::Host(format!("a memory limit of {wanted} bytes: at most {most} can be had")));
        }
        let digest = Digest::of(bytes);
        let component = compile(runtime, bytes, &digest)?;
        let imports = imports(runtime, &component);
        if !imports.is_empty() {
            let names: Vec<String> = imports.iter().map(|Import(name)| format!("`{name}`")).collect();
            let names = excerpt(&names.join(", "));
            return Err(Error::Artifact(format!("it imports {names}; a policy imports nothing")));
        }
        let exports = Exports::of(runtime, &component)?;
        let (manifest, columns) = describe(exports.instantiate(StoreState::store(runtime, limits)?)?)?;
        check_shown(bytes, &manifest)?;
        let limits = limits.clone();
        Ok(Self {
            shared: Arc::new(Shared {
                runtime: runtime.clone(),
                exports,
                footprint: Footprint::new(&manifest.footprint),
                manifest,
                columns,
                digest,
                component: bytes.into(),
                limits,
                rewrites: Rewrites::default(),
            }),
        })
    }

    /// What the component in `bytes` would import, without running it.
    ///
    /// # Errors
    /// [`Error::Artifact`] if the bytes are no component.
    pub fn imports(runtime: &Runtime, bytes: &[u8]) -> Result<Vec<Import>, Error> {
        let component = compile(runtime, bytes, &Digest::of(bytes))?;
        Ok(imports(runtime, &component))
    }

    /// What the policy says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// The identity of its bytes.
    pub fn digest(&self) -> Digest {
        self.shared.digest
    }

    /// Its bytes.
    pub fn component(&self) -> &[u8] {
        &self.shared.component
    }

    /// What each of its gate calls may use up.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// A request that any number of gate calls are made for, in an instance of its own that no other request ever sees.
    pub fn session(&self, request: &Request) -> Session {
        Session::new(self, request)
    }

    /// Decides on `chunks`, in order, with reasons only if the policy does not decide on batches: see [`Session::filter`].
    ///
    /// # Errors
    /// If any chunk could not be decided on: then none was.
    pub fn filter(&self, request: &Request, chunks: &[Chunk]) -> Result<Vec<Decision>, Error> {
        self.session(request).filter(chunks)
    }

    /// Decides on `chunks`, in order, and says which rules decided: see [`Session::explain`].
    ///
    /// # Errors
    /// If any chunk could not be decided on: then none was.
    pub fn explain(&self, request: &Request, chunks: &[Chunk]) -> Result<Vec<Decision>, Error> {
        self.session(request).explain(chunks)
    }

    /// Narrows a search for everyone in the request.
    ///
    /// # Errors
    /// If the policy failed: then nothing may be searched.
    pub fn rewrite(&self, request: &Request, query: &Query) -> Result<Rewrite, Error> {
        let digested = self.rewrites().digest(request);
        match self.rewrites().get(digested, request, query) {
            Some(known) => Ok(known),
            None => self.session(request).rewrite_anew(digested, query),
        }
    }

    /// Decides which of `chunks` may be stored: those that carry the policy's footprint and that it allows under the
    /// action `index`.
    ///
    /// # Errors
    /// If any chunk could not be decided on: then none was.
    pub fn admit(&self, request: &Request, chunks: &[Chunk]) -> Result<Vec<Admission>, Error> {
        self.session(&request.clone().with_action(tamis_core::request::INDEX)).admit(chunks)
    }

    /// Codes chunks for [`Session::filter_coded`] of any number of requests.
    ///
    /// # Errors
    /// [`Error::Contract`] if the policy does not decide on batches, [`Error::Host`] if a chunk cannot be read.
    pub fn code(&self, chunks: &[impl Row]) -> Result<Coded, Error> {
        if !self.has_batch() {
            return Err(Error::Contract("it does not decide on batches".to_owned()));
        }
        Coded::new(self.digest(), self.columns(), batch::room(self.limits()), chunks)
            .map_err(batch::unreadable)
    }

    /// Whether it decides on batches: `filter` then gives no reasons.
    pub fn has_batch(&self) -> bool {
        self.shared.columns.is_some()
    }

    /// What it says that it goes by besides attributes. Where that is not known of a chunk, a rule that forbids because of it would forbid
    /// nothing. Only what was compiled from a text wants no more than it reads: nothing is said of policies in other languages, which want
    /// whatever they could look at.
    pub fn facts(&self) -> Vec<Fact> {
        let says = self.has_batch() && !self.manifest().source_digest.is_empty();
        let read = [
            (Fact::Id, self.reads_ids()),
            (Fact::Ancestors, self.reads_ancestors()),
            (Fact::Tags, self.reads_tags()),
        ];
        read.into_iter().filter(|(_, reads)| *reads && says).map(|(fact, _)| fact).collect()
    }

    /// Whether it may decide otherwise on a chunk because of its id. One that decides on batches says which columns it wants.
    pub fn reads_ids(&self) -> bool {
        self.wants(&Column::Id)
    }

    /// Whether it may decide otherwise on a chunk because of its entity type.
    pub fn reads_entity_types(&self) -> bool {
        self.wants(&Column::EntityType)
    }

    /// Whether it may decide otherwise on a chunk because of its ancestors.
    pub fn reads_ancestors(&self) -> bool {
        self.wants(&Column::Ancestors)
    }

    /// Whether it may decide otherwise on a chunk because of its tags.
    pub fn reads_tags(&self) -> bool {
        self.wants(&Column::Tags)
    }

    /// Whether a column that is no attribute matters to it. What does not decide on batches may read everything.
    fn wants(&self, column: &Column) -> bool {
        self.shared.columns.as_ref().is_none_or(|columns| columns.contains(column))
    }

    pub(crate) fn rewrites(&self) -> &Rewrites {
        &self.shared.rewrites
    }

    /// What positions in its footprint stand for.
    pub(crate) fn footprint(&self) -> &Footprint {
        &self.shared.footprint
    }

    /// The columns of its frames.
    pub(crate) fn columns(&self) -> &[Column] {
        self.shared.columns.as_deref().unwrap_or_default()
    }

    /// A new instance in a store of its own.
    pub(crate) fn instantiate(&self) -> Result<Instance, Error> {
        let Shared { runtime, exports, limits, .. } = &*self.shared;
        exports.instantiate(StoreState::store(runtime, limits)?)
    }

    /// A new instance, for a gate call that began in another one and has only so much left of its limits.
    pub(crate) fn instantiate_within(&self, left: &Left) -> Result<Instance, Error> {
        let Shared { runtime, exports, limits, .. } = &*self.shared;
        let mut store = StoreState::store(runtime, limits)?;
        limits::go_on(left, &mut store)?;
        exports.instantiate(store)
    }
}

/// Refuses a component of so many bytes if nobody should even read it.
pub(crate) fn check_size(bytes: u64) -> Result<(), Error> {
    if bytes > MAX_BYTES {
        return Err(Error::Artifact(format!("it is {bytes} bytes long; at most {MAX_BYTES} are allowed")));
    }
    Ok(())
}

/// Compiles `bytes`, or takes the result of an earlier compilation.
fn compile(runtime: &Runtime, bytes: &[u8], digest: &Digest) -> Result<Component, Error> {
    check_size(bytes.len() as u64)?;
    match bytes.strip_prefix(MAGIC) {
        None => return Err(Error::Artifact("the bytes are not WebAssembly".to_owned())),
        Some(rest) if rest.starts_with(CORE_MODULE) => {
            let hint = "it is a core module; `tamis build` makes components";
            return Err(Error::Artifact(hint.to_owned()));
        }
        Some(_) => {}
    }
    if let Some(component) = runtime.cache().and_then(|cache| cache.get(runtime.engine(), digest)) {
        return Ok(component);
    }
    structure::check(bytes)?;
    // What the compiler cannot cope with is the bytes' fault, and no reason to end the host's thread.
    let compiled = catch_unwind(AssertUnwindSafe(|| {
        Component::from_binary(runtime.engine(), bytes).map_err(|error| format!("{error:#}"))
    }));
    let component = compiled
        .unwrap_or_else(|panic| Err(panic_message(panic)))
        .map_err(|reason| Error::Artifact(excerpt(&format!("it is not valid: {reason}"))))?;
    if let Some(cache) = runtime.cache() {
        cache.put(runtime.engine(), digest, &component);
    }
    Ok(component)
}

fn imports(runtime: &Runtime, component: &Component) -> Vec<Import> {
    let component_type = component.component_type();
    let mut imports = Vec::new();
    for (name, item) in component_type.imports(runtime.engine()) {
        match item.ty {
            ComponentItem::ComponentInstance(instance) => {
                let exports =
                    instance.exports(runtime.engine()).map(|(member, _)| format!("{name}.{member}"));
                let before = imports.len();
                imports.extend(exports.map(Import));
                if imports.len() == before {
                    imports.push(Import(name.to_owned()));
                }
            }
            _ => imports.push(Import(name.to_owned())),
        }
    }
    imports
}

/// Refuses a component that shows another manifest to whoever looks at its bytes than it gives to those who run it.
fn check_shown(bytes: &[u8], manifest: &Manifest) -> Result<(), Error> {
    match Outline::of(bytes)?.manifest {
        Some(shown) if !input::parse_json(&shown).is_ok_and(|shown| spelled(shown) == manifest.to_json()) => {
            let section = tamis_contract::MANIFEST_SECTION;
            Err(Error::Contract(format!(
                "its section `{section}` shows something else than what it says of itself"
            )))
        }
        _ => Ok(()),
    }
}

/// A manifest with its types as this library spells them: the names in a record may have quotes.
fn spelled(mut manifest: Json) -> Json {
    let footprint = manifest.get_mut("footprint").and_then(Json::as_array_mut);
    for declared in footprint.into_iter().flatten().filter_map(|entry| entry.get_mut("type")) {
        if let Some(Ok(read)) = declared.as_str().map(str::parse::<Type>) {
            *declared = read.to_string().into();
        }
    }
    manifest
}

/// What a policy says of itself, and the columns of its frames.
fn describe(instance: Instance) -> Result<(Manifest, Option<Vec<Column>>), Error> {
    let Instance { mut store, gates, batch } = instance;
    let manifest = gates.call_describe(&mut store);
    let manifest = contract::manifest(manifest.map_err(|error| blame(&store, &error))?)?;
    let Some(batch) = batch else { return Ok((manifest, None)) };
    let columns = batch.call_columns(&mut store);
    let columns = columns.map_err(|error| blame(&store, &error))?;
    let columns = frame::columns(&columns, &manifest.footprint)?;
    Ok((manifest, Some(columns)))
}

//! Puts a program and the engine together to a component.
//!
//! The engine is a core module, `engine.wasm`, that `guest/engine` builds to. It is linked in rather than emitted: what a policy needs
//! at run time (sets, texts, extension values, frames) is the same for all policies and most of their size, it is written and tested as
//! Rust, and native tests run the very same code. Its bytes are in the tree so that compiling needs no toolchain and gives the
//! same bytes on every machine; a test builds it anew and compares.

use tamis_contract::MANIFEST_SECTION;
use tamis_engine::program::MAGIC;
use wasm_encoder::{
    ConstExpr, CustomSection, DataCountSection, DataSection, Encode, ExportKind, ExportSection,
    MemorySection, MemoryType, Module, RawSection,
};
use wasmparser::{DataKind, ExternalKind, Operator, Parser, Payload};

/// The engine, as `./run engine` builds it.
const ENGINE: &[u8] = include_bytes!("../engine.wasm");
/// The engine's two numbers for address and size of its program; exported under this name.
const PLACE: &str = "TAMIS_PROGRAM";
/// Memory that a policy has from the start for what it allocates, in bytes. Most requests need no more: a memory that grows, and is shrunk
/// for the next request, makes the system interrupt every other thread of the host.
const ROOM: u64 = 96 << 10;
/// Where the memory ends that the engine uses without allocating, by the name that linkers give it.
const END: &str = "__heap_base";
/// What a program's address is a multiple of.
const ALIGNED: u64 = 16;
/// Bytes in a page of memory.
const PAGE: u64 = 65_536;

/// Why the engine cannot be linked: never, unless the tree is damaged.
#[derive(Debug, thiserror::Error)]
#[error("the engine cannot be linked: {0}")]
pub struct LinkError(String);

fn broken(error: impl ToString) -> LinkError {
    LinkError(error.to_string())
}

/// A component that runs `program`, and says `manifest` of itself.
pub(crate) fn component(program: &[u8], manifest: &str) -> Result<Vec<u8>, LinkError> {
    let module = module(ENGINE, program)?;
    let mut component = tamis_build::componentize(&module).map_err(broken)?;
    drop_names(&mut component)?;
    let section = CustomSection { name: MANIFEST_SECTION.into(), data: manifest.as_bytes().into() };
    component.push(wasm_encoder::ComponentSectionId::CoreCustom as u8);
    section.encode(&mut component);
    Ok(component)
}

/// Removes the section with names of the component's parts, which nobody reads, from its end.
fn drop_names(component: &mut Vec<u8>) -> Result<(), LinkError> {
    let (mut depth, mut names) = (0_u32, None);
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(broken)? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(custom) if depth == 1 && custom.name() == "component-name" => {
                let end = usize::try_from(custom.range().end).map_err(broken)?;
                // Its number, then its size, name and content, as they were written.
                let mut section = vec![wasm_encoder::ComponentSectionId::CoreCustom as u8];
                CustomSection { name: custom.name().into(), data: custom.data().into() }.encode(&mut section);
                names = end.checked_sub(section.len()).map(|start| start..end);
            }
            _ => {}
        }
    }
    if let Some(range) = names {
        component.drain(range);
    }
    Ok(())
}

/// The engine with a program behind its memory.
fn module(engine: &[u8], program: &[u8]) -> Result<Vec<u8>, LinkError> {
    debug_assert!(program.starts_with(&MAGIC.to_le_bytes()));
    let found = find(engine)?;
    let address = u64::from(found.end).next_multiple_of(ALIGNED);
    let pages = (address + program.len() as u64 + ROOM).div_ceil(PAGE);
    let place =
        [address, program.len() as u64].map(|number| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    let mut linked = Module::new();
    for payload in Parser::new(0).parse_all(engine) {
        match payload.map_err(broken)? {
            Payload::MemorySection(_) => {
                let mut section = MemorySection::new();
                section.memory(MemoryType {
                    minimum: pages,
                    maximum: None,
                    memory64: false,
                    shared: false,
                    page_size_log2: None,
                });
                linked.section(&section);
            }
            Payload::ExportSection(exports) => {
                let mut section = ExportSection::new();
                for export in exports {
                    let export = export.map_err(broken)?;
                    if let Some(kind) = kind(export.kind).filter(|_| kept(export.name)) {
                        section.export(export.name, kind, export.index);
                    }
                }
                linked.section(&section);
            }
            Payload::DataCountSection { count, .. } => {
                linked.section(&DataCountSection { count: count + 2 });
            }
            Payload::DataSection(segments) => {
                let mut section = DataSection::new();
                for segment in segments {
                    let segment = segment.map_err(broken)?;
                    section.active(
                        0,
                        &ConstExpr::i32_const(offset(&segment.kind)?),
                        segment.data.iter().copied(),
                    );
                }
                // These come last, so they write over what the engine has there.
                section.active(0, &constant(found.place), place.concat());
                section.active(
                    0,
                    &constant(u32::try_from(address).unwrap_or(u32::MAX)),
                    program.iter().copied(),
                );
                linked.section(&section);
            }
            Payload::CustomSection(custom) if !custom.name().starts_with("component-type") => {}
            other => {
                if let Some((id, range)) = other.as_section() {
                    let inside = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                    let data = engine.get(inside(range.start)..inside(range.end));
                    let data = data.ok_or_else(|| broken("a section lies outside"))?;
                    linked.section(&RawSection { id, data });
                }
            }
        }
    }
    Ok(linked.finish())
}

/// What linking must know of the engine.
struct Found {
    /// The address of [`PLACE`].
    place: u32,
    /// Where the memory ends that it uses without allocating: see [`END`].
    end: u32,
}

fn find(engine: &[u8]) -> Result<Found, LinkError> {
    let (mut globals, mut place, mut end) = (Vec::new(), None, None);
    for payload in Parser::new(0).parse_all(engine) {
        match payload.map_err(broken)? {
            Payload::GlobalSection(section) => {
                for global in section {
                    let mut operators = global.map_err(broken)?.init_expr.get_operators_reader();
                    globals.push(operators.read().map_err(broken)?);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(broken)?;
                    match export.name {
                        PLACE if export.kind == ExternalKind::Global => place = Some(export.index),
                        END if export.kind == ExternalKind::Global => end = Some(export.index),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let address = |index: Option<u32>| match globals.get(index? as usize)? {
        Operator::I32Const { value } => Some(value.cast_unsigned()),
        _ => None,
    };
    match (address(place), address(end)) {
        (Some(place), Some(end)) => Ok(Found { place, end }),
        _ => Err(broken(format!("it does not export `{PLACE}` and `{END}`"))),
    }
}

/// Whether a policy exports it too: not what only linking needs.
fn kept(name: &str) -> bool {
    name != PLACE && !name.starts_with("__")
}

fn kind(kind: ExternalKind) -> Option<ExportKind> {
    match kind {
        ExternalKind::Func => Some(ExportKind::Func),
        ExternalKind::Memory => Some(ExportKind::Memory),
        ExternalKind::Global => Some(ExportKind::Global),
        ExternalKind::Table => Some(ExportKind::Table),
        _ => None,
    }
}

fn constant(number: u32) -> ConstExpr {
    ConstExpr::i32_const(number.cast_signed())
}

fn offset(kind: &DataKind<'_>) -> Result<i32, LinkError> {
    if let DataKind::Active { offset_expr, .. } = kind
        && let Operator::I32Const { value } = offset_expr.get_operators_reader().read().map_err(broken)?
    {
        return Ok(value);
    }
    Err(broken("its data does not lie at a constant address"))
}

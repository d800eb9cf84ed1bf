//! The cheap pass over a component before it is compiled: it refuses what would make compiling
//! dear (one function of 1 MB took 9.5 s and 800 MB) and what no plugin may use.

use lockkeeper_types::clean;
use wasmparser::{
    BinaryReaderError, CanonicalFunction, CanonicalOption, Encoding, Parser, Payload, TableInit,
};

use crate::Problem;

/// Bytes of a component. A Python plugin has 18 MB, a JavaScript one 12 MB.
pub(crate) const COMPONENT_BYTES: usize = 32 << 20;
const FUNCTION_BYTES: u64 = 256 << 10;
const LOCALS: u64 = 8_192;
const FUNCTIONS: u64 = 60_000;
const DEPTH: u64 = 8;
const CUSTOM_BYTES: u64 = 8 << 20;
const MEMORIES: u64 = 16;
const MEMORY_PAGES: u64 = 1_024;
const TABLES: u64 = 64;
const TABLE_ELEMENTS: u64 = 100_000;

/// Checks the outer shape of `bytes`.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Problem> {
    cap("bytes", COMPONENT_BYTES as u64, bytes.len() as u64)?;
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(Problem::NotComponent("a compiled artifact"));
    }
    if Parser::is_core_wasm(bytes) {
        return Err(Problem::NotComponent("a core module"));
    }
    if !Parser::is_component(bytes) {
        return Err(Problem::NotComponent("something else"));
    }
    let mut shape = Shape::default();
    for payload in Parser::new(0).parse_all(bytes) {
        shape.add(payload.map_err(malformed)?)?;
    }
    Ok(())
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "the shape of a function for `map_err`"
)]
fn malformed(error: BinaryReaderError) -> Problem {
    Problem::Malformed(clean(
        &format!("{} at byte {}", error.message(), error.offset()),
        300,
    ))
}

fn cap(what: &'static str, allowed: u64, found: u64) -> Result<(), Problem> {
    if found > allowed {
        return Err(Problem::TooLarge {
            what,
            allowed,
            found,
        });
    }
    Ok(())
}

/// What has been seen so far.
#[derive(Default)]
struct Shape {
    depth: u64,
    functions: u64,
    custom: u64,
    memories: u64,
    tables: u64,
}

impl Shape {
    fn add(&mut self, payload: Payload<'_>) -> Result<(), Problem> {
        match payload {
            Payload::Version { encoding, .. } => {
                self.depth += 1;
                if encoding == Encoding::Component {
                    cap("levels of nested components", DEPTH, self.depth)?;
                }
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::CodeSectionEntry(body) => {
                self.functions += 1;
                cap("functions", FUNCTIONS, self.functions)?;
                let range = body.range();
                let size = (range.end as u64).saturating_sub(range.start as u64);
                cap("bytes in one function", FUNCTION_BYTES, size)?;
                let mut locals = 0_u64;
                for group in body.get_locals_reader().map_err(malformed)? {
                    locals += u64::from(group.map_err(malformed)?.0);
                    cap("locals in one function", LOCALS, locals)?;
                }
            }
            Payload::CustomSection(section) => {
                self.custom += section.data().len() as u64;
                cap("bytes in custom sections", CUSTOM_BYTES, self.custom)?;
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory.map_err(malformed)?;
                    self.memories += 1;
                    cap("memories", MEMORIES, self.memories)?;
                    cap("pages of memory at its start", MEMORY_PAGES, memory.initial)?;
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    let table = table.map_err(malformed)?;
                    if matches!(table.init, TableInit::Expr(_)) {
                        return Err(Problem::Feature("tables with an initial value"));
                    }
                    self.tables += 1;
                    cap("tables", TABLES, self.tables)?;
                    cap(
                        "table elements at its start",
                        TABLE_ELEMENTS,
                        table.ty.initial,
                    )?;
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions {
                    canonical(&function.map_err(malformed)?)?;
                }
            }
            Payload::ComponentStartSection { .. } => {
                return Err(Problem::Feature("component start functions"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Refuses what of the canonical ABI plugins may not use: async, and strings that are not UTF-8,
/// whose transcoding has had memory errors in wasmtime (RUSTSEC-2026-0091).
fn canonical(function: &CanonicalFunction) -> Result<(), Problem> {
    let options = match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
            options
        }
        CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => return Ok(()),
        _ => return Err(Problem::Feature("asynchronous functions")),
    };
    for option in options {
        match option {
            CanonicalOption::Async | CanonicalOption::Callback(_) => {
                return Err(Problem::Feature("asynchronous functions"));
            }
            CanonicalOption::UTF16 | CanonicalOption::CompactUTF16 => {
                return Err(Problem::Feature("strings that are not UTF-8"));
            }
            CanonicalOption::Gc | CanonicalOption::CoreType(_) => {
                return Err(Problem::Feature("garbage-collected values"));
            }
            CanonicalOption::UTF8
            | CanonicalOption::Memory(_)
            | CanonicalOption::Realloc(_)
            | CanonicalOption::PostReturn(_) => {}
        }
    }
    Ok(())
}

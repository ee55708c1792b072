//! Reading policies, requests and lines of chunks, with errors that name the file and the place.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tamis_core::{Chunk, Filter, InputError, Request};
use tamis_runtime::{Cache, Limits, PolicyHandle, Runtime, RuntimeConfig};

use crate::args::{HostArgs, PolicyArgs};
use crate::output;
use crate::source::{self, Validation};

/// A longer line is refused before it is parsed: a chunk with 8 192 numbers and a page of text has some 200 KB.
const MAX_LINE: u64 = 16 << 20;

/// The runtime that the command line uses: with this user's cache of compiled policies.
pub(crate) fn runtime(args: &HostArgs) -> Result<Runtime> {
    let cache = if args.no_cache { None } else { cache() };
    Ok(Runtime::new(RuntimeConfig { fuel: false, cache })?)
}

fn cache() -> Option<Cache> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| std::env::home_dir().map(|home| home.join(".cache")))?;
    let folder = base.join("tamis").join("policies");
    Cache::open(&folder).map_err(|error| tracing::warn!(%error, "going on without a cache")).ok()
}

pub(crate) fn limits(args: &HostArgs) -> Limits {
    Limits { deadline: Duration::from_millis(args.deadline), ..Limits::default() }
}

/// Loads the policy that the arguments name.
pub(crate) fn policy(args: &PolicyArgs) -> Result<PolicyHandle> {
    policy_with(args, Validation::Required)
}

/// Loads the policy that the arguments name, compiled from its source if that is what they name.
pub(crate) fn policy_with(args: &PolicyArgs, validation: Validation) -> Result<PolicyHandle> {
    let bytes = source::component(&args.policy, args.schema.as_ref(), validation)?;
    let handle = PolicyHandle::new(&runtime(&args.host)?, &bytes, limits(&args.host));
    handle.with_context(|| args.policy.display().to_string())
}

/// Reads a whole text file.
pub(crate) fn text(path: &Path) -> Result<String> {
    let place = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(place)?;
    if bytes.starts_with(source::WASM) {
        bail!(
            "{}: it is WebAssembly; what is wanted here is text, such as the source that it was compiled from",
            place()
        );
    }
    let text = String::from_utf8(bytes).map_err(|error| not_utf8(&error)).with_context(place)?;
    Ok(unmarked(&text).to_owned())
}

fn not_utf8(error: &std::string::FromUtf8Error) -> InputError {
    InputError::new("", format!("is not UTF-8: {}", error.utf8_error()))
}

/// The text without the mark that some editors put in front of it.
fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Reads a request for the gates.
pub(crate) fn request(path: &Path) -> Result<Request> {
    Request::from_json(&text(path)?).with_context(|| path.display().to_string())
}

/// Reads a filter: alone, or inside the output of `rewrite --emit ast`.
pub(crate) fn filter(path: &Path) -> Result<Filter> {
    let json = tamis_core::input::parse_json(&text(path)?).with_context(|| path.display().to_string())?;
    let filter = json.get("filter").unwrap_or(&json);
    Filter::from_json_value(filter).with_context(|| path.display().to_string())
}

/// One line of a JSONL file, read or not.
pub(crate) struct Line<T> {
    /// From 1.
    pub(crate) number: usize,
    /// The text as it was.
    pub(crate) text: String,
    /// What it says.
    pub(crate) parsed: Result<T, InputError>,
}

/// The lines of a JSONL file, or of standard input. Empty lines are passed over.
pub(crate) struct Lines {
    reader: Box<dyn BufRead>,
    /// How errors call the file.
    pub(crate) name: String,
    number: usize,
}

impl Lines {
    pub(crate) fn open(path: Option<&PathBuf>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self {
                reader: Box::new(BufReader::new(io::stdin())),
                name: "standard input".to_owned(),
                number: 0,
            });
        };
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| name.clone())?;
        Ok(Self { reader: Box::new(BufReader::new(file)), name, number: 0 })
    }

    /// The next line that is not empty, read by `parse`; `None` at the end.
    pub(crate) fn next<T>(
        &mut self,
        parse: impl Fn(&str) -> Result<T, InputError>,
    ) -> Result<Option<Line<T>>> {
        loop {
            let mut bytes = Vec::new();
            let read = self.reader.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut bytes);
            let length = read.with_context(|| self.name.clone())?;
            if length == 0 {
                return Ok(None);
            }
            self.number += 1;
            if length as u64 > MAX_LINE {
                bail!("{}:{}: the line is longer than {MAX_LINE} bytes", self.name, self.number);
            }
            let number = self.number;
            let line = match String::from_utf8(bytes) {
                Ok(text) => {
                    let text = if number == 1 { unmarked(&text) } else { &text }.trim();
                    if text.is_empty() {
                        continue;
                    }
                    Line { number, parsed: parse(text), text: text.to_owned() }
                }
                Err(error) => Line { number, text: String::new(), parsed: Err(not_utf8(&error)) },
            };
            return Ok(Some(line));
        }
    }

    /// Up to `count` chunks.
    pub(crate) fn chunks(&mut self, count: usize) -> Result<Vec<Line<Chunk>>> {
        let mut lines = Vec::new();
        while lines.len() < count {
            match self.next(Chunk::from_json)? {
                Some(line) => lines.push(line),
                None => break,
            }
        }
        Ok(lines)
    }

    /// Every chunk of the file; lines that are none go to `unreadable`.
    pub(crate) fn all_chunks(&mut self, mut unreadable: impl FnMut(&str)) -> Result<Vec<Chunk>> {
        let mut chunks = Vec::new();
        while let Some(line) = self.next(Chunk::from_json)? {
            match line.parsed {
                Ok(chunk) => chunks.push(chunk),
                Err(error) => {
                    let error = output::printable(&error.to_string());
                    unreadable(&format!("{}:{}: {error}", self.name, line.number));
                }
            }
        }
        Ok(chunks)
    }
}

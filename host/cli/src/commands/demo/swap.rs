//! The policy file is overwritten again and again while threads search; then the same question is asked once more.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value as Json;
use tamis_retrieve::{Found, Question, Store, search};
use tamis_runtime::{Digest, PolicyHandle};

use super::corpus::{Asked, Person};
use super::{K, Workspace, by, show};
use crate::commands::bench::time;
use crate::commands::index::progress;
use crate::output::{self, bold, line};

/// Searching threads.
const THREADS: usize = 4;
/// How often the file is replaced. Odd, so that it ends on the new policy.
const SWAPS: usize = 101;
/// How long a new policy may take to be enforced before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the searching threads saw.
#[derive(Default)]
struct Seen {
    searches: usize,
    failed: usize,
    mixed: usize,
    slowest: Duration,
    generations: BTreeSet<u64>,
}

/// What is swapped, and what the searching threads work on.
pub(super) struct Swap<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) handle: &'a PolicyHandle,
    pub(super) people: &'a [Person],
    pub(super) asked: &'a Asked,
}

impl Swap<'_> {
    /// Swaps between the two policies, ends on the second, and asks again those whom it treats otherwise. `shown` is what
    /// everyone got under the first.
    pub(super) fn run(&self, [before, after]: [&[u8]; 2], shown: &[Found]) -> Result<()> {
        line(&bold("5. Swap: the policy file is replaced again and again while threads search"))?;
        let new = Digest::of(after);
        let stop = AtomicBool::new(false);
        let (seen, waits) = std::thread::scope(|scope| -> Result<(Vec<Seen>, Vec<Duration>)> {
            let threads: Vec<_> =
                (0..THREADS).map(|_| scope.spawn(|| self.search_until(&stop, new))).collect();
            let waits = self.swap_often([before, after]);
            stop.store(true, Ordering::Relaxed);
            let seen = threads.into_iter().map(|thread| match thread.join() {
                Ok(seen) => Ok(seen),
                Err(_) => bail!("a searching thread panicked"),
            });
            Ok((seen.collect::<Result<_>>()?, waits?))
        })?;
        report(&seen, &waits)?;
        let name = self.handle.current().policy().manifest().name.clone();
        line(&format!(
            "   Now `{name}` serves, which treats agents and minors apart. The same question again:"
        ))?;
        line("")?;
        let store = Store::open(&self.workspace.file("chunks.sqlite"))?;
        for (person, earlier) in self.people.iter().zip(shown).filter(|(person, _)| is_affected(person)) {
            show(&store, self.handle, person, self.asked, Some(earlier))?;
        }
        Ok(())
    }

    /// Replaces the file and waits each time until the new policy is enforced.
    fn swap_often(&self, [before, after]: [&[u8]; 2]) -> Result<Vec<Duration>> {
        let path = self.workspace.file("policy.wasm");
        let bar = progress("swapping", SWAPS);
        let mut waits = Vec::new();
        for swap in 0..SWAPS {
            let bytes = if swap % 2 == 0 { after } else { before };
            let wanted = Digest::of(bytes);
            let start = Instant::now();
            output::replace_file(&path, bytes)?;
            while self.handle.current().policy().digest() != wanted {
                if start.elapsed() > PATIENCE {
                    let error = self
                        .handle
                        .last_error()
                        .map_or_else(|| "no error".to_owned(), |error| error.to_string());
                    bail!("the new policy was not enforced within {} s: {error}", PATIENCE.as_secs());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            waits.push(start.elapsed());
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(waits)
    }

    fn search_until(&self, stop: &AtomicBool, new: Digest) -> Seen {
        let mut seen = Seen::default();
        let Ok(store) = Store::open(&self.workspace.file("chunks.sqlite")) else {
            return Seen { failed: 1, ..seen };
        };
        for person in self.people.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let start = Instant::now();
            let found = search(&store, self.handle, &Question::new(&person.request, by(self.asked), K));
            seen.slowest = seen.slowest.max(start.elapsed());
            seen.searches += 1;
            match found {
                Err(_) => seen.failed += 1,
                Ok(found) => {
                    seen.mixed += usize::from(!is_explained(&found, person, new));
                    seen.generations.insert(found.generation);
                }
            }
        }
        seen
    }
}

/// Whether one policy alone explains a result: the new one filters on `agent_usable` for agents and on `min_age` for
/// minors, the old one on neither; and under the new one no hit may offend.
fn is_explained(found: &Found, person: &Person, new: Digest) -> bool {
    let is_new = found.digest == new;
    let rule = if person.request.actors().is_empty() { "min_age" } else { "agent_usable" };
    let offends = |attributes: &tamis_core::Attributes| match rule {
        "min_age" => is_minor(person) && attributes.contains_key("min_age"),
        _ => attributes.get("agent_usable") != Some(&Json::Bool(true)),
    };
    let filtered = found.filter.to_string().contains(rule);
    filtered == is_new && !(is_new && found.hits.iter().any(|hit| offends(&hit.chunk.attributes)))
}

fn is_minor(person: &Person) -> bool {
    let subject = person.request.entities().get(person.request.subject());
    let age = subject.and_then(|entity| entity.attributes.get("age"));
    matches!(age, Some(tamis_core::Value::Long(age)) if *age < 18)
}

/// Whether the new policy treats someone otherwise than the old one.
fn is_affected(person: &Person) -> bool {
    !person.request.actors().is_empty() || is_minor(person)
}

fn report(seen: &[Seen], waits: &[Duration]) -> Result<()> {
    let sum = |count: fn(&Seen) -> usize| seen.iter().map(count).sum::<usize>();
    let generations: BTreeSet<u64> = seen.iter().flat_map(|seen| seen.generations.iter().copied()).collect();
    let slowest = seen.iter().map(|seen| seen.slowest).max().unwrap_or_default();
    let mut waits: Vec<f64> = waits.iter().map(|wait| wait.as_secs_f64() * 1e9).collect();
    // The first change is to a policy that no one has compiled yet; all later ones are in the cache.
    let compiled = if waits.is_empty() { f64::NAN } else { waits.remove(0) };
    waits.sort_by(f64::total_cmp);
    let median = waits.get(waits.len() / 2).copied().unwrap_or(f64::NAN);
    let mut table = output::Table::new([
        "searches",
        "failed",
        "mixed",
        "generations",
        "slowest search",
        "file change to enforced, new policy",
        "known policy (median)",
    ]);
    table.row([
        sum(|seen| seen.searches).to_string(),
        sum(|seen| seen.failed).to_string(),
        sum(|seen| seen.mixed).to_string(),
        generations.len().to_string(),
        time(slowest.as_secs_f64() * 1e9),
        time(compiled),
        time(median),
    ]);
    line(&table.text())?;
    line("")
}

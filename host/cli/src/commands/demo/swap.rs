//! The policy file is overwritten again and again while threads search; then the same question is asked once more.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tamis_core::EntityUid;
use tamis_retrieve::{Found, Question, Store, search};
use tamis_runtime::{Digest, PolicyHandle, Runtime};

use super::corpus::{Asked, Person};
use super::{K, POLICY_FILE, STORE, Workspace, by, compile, show};
use crate::commands::bench::time;
use crate::output::{self, bold, line, progress};

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
    pub(super) fn run(&self, policies: [&str; 2], shown: &[Found]) -> Result<()> {
        line(&bold("5. Swap: the policy file is edited again and again while threads search"))?;
        let policies =
            [(policies[0], self.expected(policies[0])?), (policies[1], self.expected(policies[1])?)];
        let stop = AtomicBool::new(false);
        let (seen, waits) = std::thread::scope(|scope| -> Result<(Vec<Seen>, Vec<Duration>)> {
            let threads: Vec<_> =
                (0..THREADS).map(|_| scope.spawn(|| self.search_until(&stop, &policies))).collect();
            let waits = self.swap_often(&policies);
            stop.store(true, Ordering::Relaxed);
            let seen = threads.into_iter().map(|thread| match thread.join() {
                Ok(seen) => Ok(seen),
                Err(_) => bail!("a searching thread panicked"),
            });
            Ok((seen.collect::<Result<_>>()?, waits?))
        })?;
        report(&seen, &waits)?;
        line(
            "   Now the policy with two rules more serves, which treats agents and minors apart. The same question again:",
        )?;
        line("")?;
        let store = Store::open(&self.workspace.file(STORE))?;
        for (person, earlier) in self.people.iter().zip(shown).filter(|(person, _)| is_affected(person)) {
            show(&store, self.handle, person, self.asked, Some(earlier))?;
        }
        Ok(())
    }

    /// What everyone gets under a policy that nobody replaces.
    fn expected(&self, source: &str) -> Result<Expected> {
        let component = compile(source)?;
        // Another runtime, so that the swaps do not find it compiled already.
        let limits = self.handle.current().policy().limits().clone();
        let handle = PolicyHandle::new(&Runtime::shared()?, &component, limits)?;
        let store = Store::open(&self.workspace.file(STORE))?;
        let mut hits = Vec::new();
        for person in self.people {
            hits.push(uids(&search(&store, &handle, &Question::new(&person.request, by(self.asked), K))?));
        }
        Ok(Expected { digest: Digest::of(&component), hits })
    }

    /// Replaces the file and waits each time until the new policy is enforced.
    fn swap_often(&self, policies: &[(&str, Expected); 2]) -> Result<Vec<Duration>> {
        let path = self.workspace.file(POLICY_FILE);
        let bar = progress("swapping", SWAPS);
        let mut waits = Vec::new();
        // It begins with the second, and so ends on it.
        for (source, Expected { digest: wanted, .. }) in policies.iter().cycle().skip(1).take(SWAPS) {
            let start = Instant::now();
            output::replace_file(&path, source.as_bytes())?;
            while self.handle.current().policy().digest() != *wanted {
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

    fn search_until(&self, stop: &AtomicBool, policies: &[(&str, Expected); 2]) -> Seen {
        let mut seen = Seen::default();
        let Ok(store) = Store::open(&self.workspace.file(STORE)) else {
            return Seen { failed: 1, ..seen };
        };
        for (number, person) in self.people.iter().enumerate().cycle() {
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
                    seen.mixed +=
                        usize::from(!policies.iter().any(|(_, expected)| expected.explains(&found, number)));
                    seen.generations.insert(found.generation);
                }
            }
        }
        seen
    }
}

/// What everyone gets under one policy.
struct Expected {
    digest: Digest,
    hits: Vec<Vec<EntityUid>>,
}

impl Expected {
    /// Whether this policy alone explains what the person with this number found.
    fn explains(&self, found: &Found, person: usize) -> bool {
        found.digest == self.digest && self.hits.get(person) == Some(&uids(found))
    }
}

fn uids(found: &Found) -> Vec<EntityUid> {
    found.hits.iter().map(|hit| hit.chunk.uid.clone()).collect()
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

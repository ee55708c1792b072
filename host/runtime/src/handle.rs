//! A policy that can be replaced while it serves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use tamis_core::{Chunk, Decision, EntityUid, Query, Request, Rewrite, request};

use crate::engine::Runtime;
use crate::error::{Error, panic_message};
use crate::limits::Limits;
use crate::policy::{Digest, Policy};
use crate::session::Admission;
use crate::watch::Watch;

/// A check that a new policy must pass before it serves: it gets the candidate and says what is wrong with it. One that
/// panics is not passed.
pub type SelfTest = Arc<dyn Fn(&Policy) -> Result<(), String> + Send + Sync>;

/// One immutable loaded policy, with its place in the order of those that served.
#[derive(Clone, Debug)]
pub struct Generation {
    number: u64,
    policy: Policy,
}

/// What a generation answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<T> {
    /// The number of the generation, from 1.
    pub generation: u64,
    /// The identity of its policy.
    pub digest: Digest,
    /// The answer.
    pub value: T,
}

/// A policy that can be replaced while other threads use it.
///
/// Every call runs from beginning to end on the generation that was current when it began. A replacement that does not
/// load or does not pass the self-test changes nothing.
pub struct PolicyHandle {
    runtime: Runtime,
    limits: Limits,
    self_test: Option<SelfTest>,
    current: ArcSwap<Generation>,
    last_error: ArcSwapOption<Error>,
    /// Held while a generation is replaced, so that numbers are given in the order in which they serve.
    replacing: Mutex<()>,
}

impl std::fmt::Debug for PolicyHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyHandle").field("current", &self.current.load()).finish_non_exhaustive()
    }
}

impl Generation {
    /// Its place in the order of those that served, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Marks `value` as the answer of this generation.
    pub fn answer<T>(&self, value: T) -> Answer<T> {
        Answer { generation: self.number, digest: self.policy.digest(), value }
    }
}

impl PolicyHandle {
    /// Loads the first generation.
    ///
    /// # Errors
    /// As [`Policy::load`], and [`Error::SelfTest`].
    pub fn new(runtime: &Runtime, bytes: &[u8], limits: Limits) -> Result<Self, Error> {
        Self::with_self_test(runtime, bytes, limits, None)
    }

    /// Loads the first generation, which like every later one must pass `self_test`.
    ///
    /// # Errors
    /// As [`Policy::load`], and [`Error::SelfTest`].
    pub fn with_self_test(
        runtime: &Runtime,
        bytes: &[u8],
        limits: Limits,
        self_test: Option<SelfTest>,
    ) -> Result<Self, Error> {
        let policy = load(runtime, bytes, &limits, self_test.as_ref())?;
        Ok(Self {
            runtime: runtime.clone(),
            limits,
            self_test,
            current: ArcSwap::from_pointee(Generation { number: 1, policy }),
            last_error: ArcSwapOption::empty(),
            replacing: Mutex::new(()),
        })
    }

    /// The generation that serves now. Whoever holds it can go on using it after it is replaced.
    pub fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// Replaces the policy. Calls in flight finish on the generation that they began with; calls that begin after this
    /// returns use the new one. The same bytes again change nothing.
    ///
    /// # Errors
    /// As [`Policy::load`], and [`Error::SelfTest`]; then the last good generation goes on serving and
    /// [`PolicyHandle::last_error`] shows the error.
    pub fn replace(&self, bytes: &[u8]) -> Result<Arc<Generation>, Error> {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let serving = self.current();
        if Digest::of(bytes) == serving.policy.digest() {
            self.last_error.store(None);
            return Ok(serving);
        }
        match load(&self.runtime, bytes, &self.limits, self.self_test.as_ref()) {
            Ok(policy) => {
                let generation = Arc::new(Generation { number: serving.number + 1, policy });
                self.current.store(Arc::clone(&generation));
                self.last_error.store(None);
                tracing::info!(generation = generation.number, digest = %generation.policy.digest(), "policy replaced");
                Ok(generation)
            }
            Err(error) => {
                self.report(error.clone());
                Err(error)
            }
        }
    }

    /// Replaces the policy whenever the file at `path` changes, until the returned guard is dropped. What the system does
    /// not tell of (another target of a link, another folder, a network file system) takes a second longer. A file that somebody writes
    /// is waited for, a second at most.
    ///
    /// # Errors
    /// [`Error::Host`] if the folder of `path` cannot be watched.
    pub fn watch(self: &Arc<Self>, path: &Path) -> Result<Watch, Error> {
        self.watch_with(path, Ok)
    }

    /// As [`Self::watch`], for a file that is no component yet: `prepare` makes one of its bytes, such as by compiling them, in the
    /// thread that watches. Half a text may be a policy that forbids less: whoever takes long to write one should write another file and
    /// move it into place.
    ///
    /// # Errors
    /// [`Error::Host`] if the folder of `path` cannot be watched.
    pub fn watch_with(
        self: &Arc<Self>,
        path: &Path,
        prepare: impl Fn(Vec<u8>) -> Result<Vec<u8>, Error> + Send + 'static,
    ) -> Result<Watch, Error> {
        Watch::start(Arc::clone(self), path, Box::new(prepare))
    }

    /// Why the last attempt to replace the policy failed; `None` after one that succeeded.
    pub fn last_error(&self) -> Option<Arc<Error>> {
        self.last_error.load_full()
    }

    /// Decides on `chunks` with the current generation, as [`Policy::filter`].
    ///
    /// # Errors
    /// If any chunk could not be decided on: then none was.
    pub fn filter(&self, request: &Request, chunks: &[Chunk]) -> Result<Answer<Vec<Decision>>, Error> {
        let generation = self.current();
        generation.policy.filter(request, chunks).map(|decisions| generation.answer(decisions))
    }

    /// Decides on `chunks` with the current generation and says which rules decided, as [`Policy::explain`].
    ///
    /// # Errors
    /// If any chunk could not be decided on: then none was.
    pub fn explain(&self, request: &Request, chunks: &[Chunk]) -> Result<Answer<Vec<Decision>>, Error> {
        let generation = self.current();
        generation.policy.explain(request, chunks).map(|decisions| generation.answer(decisions))
    }

    /// Narrows a search with the current generation, as [`Policy::rewrite`].
    ///
    /// # Errors
    /// If the policy failed: then nothing may be searched.
    pub fn rewrite(&self, request: &Request, query: &Query) -> Result<Answer<Rewrite>, Error> {
        let generation = self.current();
        generation.policy.rewrite(request, query).map(|rewrite| generation.answer(rewrite))
    }

    /// Decides which of `chunks` may be stored with the current generation, as [`Policy::admit`].
    ///
    /// # Errors
    /// If any chunk could not be decided on: then none was.
    pub fn admit(&self, request: &Request, chunks: &[Chunk]) -> Result<Answer<Vec<Admission>>, Error> {
        let generation = self.current();
        generation.policy.admit(request, chunks).map(|admissions| generation.answer(admissions))
    }

    /// Keeps an error of a replacement visible.
    pub(crate) fn report(&self, error: Error) {
        let serving = self.current.load().number;
        tracing::error!(%error, kind = error.kind(), serving, "policy not replaced; the last good one goes on");
        self.last_error.store(Some(Arc::new(error)));
    }
}

/// Loads a policy and makes it prove that it answers: to a stranger about an empty chunk without failing, and then to
/// the host's own test.
fn load(
    runtime: &Runtime,
    bytes: &[u8],
    limits: &Limits,
    self_test: Option<&SelfTest>,
) -> Result<Policy, Error> {
    let policy = Policy::load(runtime, bytes, limits)?;
    let stranger = Request::new(EntityUid::new("User", ""), request::RETRIEVE);
    let asked = [Chunk::new("")];
    let allowed =
        |decisions: Vec<Decision>| decisions.iter().map(|decision| decision.allow).collect::<Vec<_>>();
    if allowed(policy.filter(&stranger, &asked)?) != allowed(policy.explain(&stranger, &asked)?) {
        return Err(Error::Contract("it decides otherwise in a batch than on one chunk".to_owned()));
    }
    let query = Query { collection: String::new(), k: 1 };
    let rewrite = policy.rewrite(&stranger, &query)?;
    if policy.has_batch() && rewrite != policy.session(&stranger).rewrite_typed(&query)? {
        return Err(Error::Contract("it narrows a search otherwise for a prepared request".to_owned()));
    }
    if let Some(test) = self_test {
        let result = catch_unwind(AssertUnwindSafe(|| test(&policy)));
        result.unwrap_or_else(|panic| Err(panic_message(panic))).map_err(Error::SelfTest)?;
    }
    Ok(policy)
}

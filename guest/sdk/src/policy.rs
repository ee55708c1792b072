//! The trait that a policy author implements, and its way to the contract.

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::batch::{Batch, code};
use crate::bindings::tamis::policy::batch;
use crate::bindings::tamis::policy::gates::{Guest, PolicyError};
use crate::error::Error;
use crate::filter::Filter;
use crate::{Chunk, Decision, Manifest, Query, Request, Rewrite};

/// One access policy.
///
/// The three functions must agree: whatever `filter_chunk` allows, the filter of `rewrite_query` must match, and
/// neither may read an attribute that the manifest does not list.
pub trait Policy {
    /// What the policy is called, reads, and consists of.
    fn manifest() -> Manifest;

    /// May the principal do the request's action with this chunk?
    ///
    /// # Errors
    /// An error denies, and its text reaches the operator.
    fn filter_chunk(request: &Request, chunk: &Chunk) -> Result<Decision, Error>;

    /// Which chunks can the principal possibly be allowed? Without an implementation: all of them, and the filter
    /// gate does all the work.
    ///
    /// # Errors
    /// An error denies everything, and its text reaches the operator.
    fn rewrite_query(request: &Request, query: &Query) -> Result<Rewrite, Error> {
        let _ = (request, query);
        Ok(Rewrite::superset(Filter::always()))
    }
}

/// The decision that a host gets: an error becomes a denial that carries it.
pub fn decide<P: Policy>(request: &Request, chunk: &Chunk) -> Decision {
    P::filter_chunk(request, chunk)
        .unwrap_or_else(|error| Decision { errors: vec![failure::<P>(&error)], ..Decision::deny() })
}

/// The rewrite that a host gets: an error becomes a filter that matches nothing and carries it. What the filter gate
/// needs is the footprint.
pub fn rewrite<P: Policy>(request: &Request, query: &Query) -> Rewrite {
    let mut rewrite = P::rewrite_query(request, query).unwrap_or_else(|error| Rewrite {
        errors: vec![failure::<P>(&error)],
        ..Rewrite::superset(Filter::never())
    });
    rewrite.needs = P::manifest().footprint.into_iter().map(|entry| entry.attribute).collect();
    rewrite
}

fn failure<P: Policy>(error: &Error) -> PolicyError {
    PolicyError { policy: P::manifest().name, message: error.to_string() }
}

/// Carries a [`Policy`] to the generated export glue.
#[doc(hidden)]
pub struct Exported<P>(PhantomData<P>);

impl<P: Policy> Guest for Exported<P> {
    fn describe() -> Manifest {
        P::manifest()
    }

    fn filter_chunk(request: Request, chunk: Chunk) -> Decision {
        decide::<P>(&request, &chunk)
    }

    fn rewrite_query(request: Request, query: Query) -> Rewrite {
        rewrite::<P>(&request, &query)
    }
}

thread_local! {
    /// What this instance was told in batches. A component exports one policy, so there is one.
    static BATCH: RefCell<Option<Batch>> = const { RefCell::new(None) };
}

impl<P: Policy> Exported<P> {
    /// Lets `act` at what this instance was told. Bytes that no host sends end the call, which denies.
    #[allow(clippy::panic, reason = "a panic is how a policy gives up: the host denies")]
    fn with_batch<R>(act: impl FnOnce(&mut Batch) -> Result<R, tamis_contract::frame::FrameError>) -> R {
        let result =
            BATCH.with_borrow_mut(|batch| act(batch.get_or_insert_with(|| Batch::of(&P::manifest()))));
        result.unwrap_or_else(|error| panic!("{error}"))
    }
}

impl<P: Policy> batch::Guest for Exported<P> {
    fn columns() -> Vec<batch::Column> {
        crate::batch::columns(&P::manifest())
    }

    fn prepare(request: Vec<u8>) -> u32 {
        Self::with_batch(|batch| batch.prepare(&request))
    }

    fn filter_chunks(prepared: u32, frame: Vec<u8>) -> Vec<u8> {
        Self::with_batch(|batch| {
            batch.filter(prepared, &frame, |request, chunk| code(P::filter_chunk(request, chunk).as_ref()))
        })
    }

    fn rewrite_prepared(prepared: u32, query: Query) -> Vec<u8> {
        Self::with_batch(|batch| {
            crate::batch::rewrite(&P::manifest(), &rewrite::<P>(batch.request(prepared)?, &query))
        })
    }
}

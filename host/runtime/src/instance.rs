//! What a policy exports, found once, and instances of it.

use wasmtime::Store;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::contract::{batch, gates};
use crate::engine::Runtime;
use crate::error::{Error, excerpt};
use crate::limits::{StoreState, blame};

/// The optional interface, by the name that a component exports it under.
const BATCH: &str = "tamis:policy/batch@0.1.0";

/// A compiled policy whose exports have the types of the contract.
pub(crate) struct Exports {
    pre: InstancePre<StoreState>,
    gates: gates::GuestIndices,
    batch: Option<batch::GuestIndices>,
}

/// An instance of a policy in a store of its own.
pub(crate) struct Instance {
    pub(crate) store: Store<StoreState>,
    pub(crate) gates: gates::Guest,
    pub(crate) batch: Option<batch::Guest>,
}

impl Exports {
    /// Finds the exports of a component that imports nothing.
    ///
    /// # Errors
    /// [`Error::Artifact`] if it does not export `gates`, or exports anything of the contract with another type.
    pub(crate) fn of(runtime: &Runtime, component: &Component) -> Result<Self, Error> {
        let lacks = |name: &'static str| {
            move |error: wasmtime::Error| {
                Error::Artifact(excerpt(&format!("it does not export `tamis:policy/{name}`: {error:#}")))
            }
        };
        let pre =
            Linker::<StoreState>::new(runtime.engine()).instantiate_pre(component).map_err(lacks("gates"))?;
        let gates = gates::GuestIndices::new(&pre).map_err(lacks("gates"))?;
        let has_batch = component.get_export_index(None, BATCH).is_some();
        let batch = has_batch.then(|| batch::GuestIndices::new(&pre).map_err(lacks("batch"))).transpose()?;
        Ok(Self { pre, gates, batch })
    }

    /// A new instance in a store of its own.
    ///
    /// # Errors
    /// If it cannot be made within the store's limits, or an export has another type.
    pub(crate) fn instantiate(&self, mut store: Store<StoreState>) -> Result<Instance, Error> {
        let instance = self.pre.instantiate(&mut store).map_err(|error| blame(&store, &error))?;
        let gates = self.gates.load(&mut store, &instance);
        let batch = self.batch.as_ref().map(|batch| batch.load(&mut store, &instance)).transpose();
        match (gates, batch) {
            (Ok(gates), Ok(batch)) => Ok(Instance { store, gates, batch }),
            (Err(error), _) | (_, Err(error)) => Err(blame(&store, &error)),
        }
    }
}

impl Instance {
    /// The interface for batches, and the store to call it in.
    ///
    /// # Errors
    /// [`Error::Host`] if the policy has none, which its loading has found out.
    pub(crate) fn batch(&mut self) -> Result<(&batch::Guest, &mut Store<StoreState>), Error> {
        let Self { store, batch, .. } = self;
        let batch = batch.as_ref().ok_or_else(|| Error::Host("the policy has no batches".to_owned()))?;
        Ok((batch, store))
    }
}

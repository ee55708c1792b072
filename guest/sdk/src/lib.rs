//! Write Tamis policies in Rust: implement [`Policy`], export it with [`export_policy!`], build it with
//! `tamis build`.
//!
//! ```
//! use tamis_sdk::{Attribute, Chunk, Decision, Error, Manifest, Policy, Query, Request, Rewrite};
//!
//! const TENANT: Attribute = Attribute::new(&["tenant"], "String");
//!
//! struct SameTenant;
//!
//! impl Policy for SameTenant {
//!     fn manifest() -> Manifest {
//!         Manifest::of("same-tenant").reads(TENANT).rule("same-tenant")
//!     }
//!
//!     fn filter_chunk(request: &Request, chunk: &Chunk) -> Result<Decision, Error> {
//!         let tenant = request.principal()?.text("tenant")?;
//!         Ok(if chunk.read(TENANT)?.text()? == tenant {
//!             Decision::allow_by("same-tenant")
//!         } else {
//!             Decision::deny_by("same-tenant")
//!         })
//!     }
//!
//!     fn rewrite_query(request: &Request, _: &Query) -> Result<Rewrite, Error> {
//!         Ok(Rewrite::exact(TENANT.equals(request.principal()?.text("tenant")?)))
//!     }
//! }
//!
//! tamis_sdk::export_policy!(SameTenant);
//!
//! use tamis_sdk::testing::{ChunkBuilder, RequestBuilder};
//! let alice = RequestBuilder::user("alice").attribute("tenant", "acme").build();
//! let ours = ChunkBuilder::new("c1").attribute(TENANT, "acme").build();
//! let theirs = ChunkBuilder::new("c2").attribute(TENANT, "globex").build();
//! assert!(tamis_sdk::decide::<SameTenant>(&alice, &ours).allow);
//! assert!(!tamis_sdk::decide::<SameTenant>(&alice, &theirs).allow);
//! ```
//!
//! A policy sees nothing but its arguments: it has no clock, no files, no network. Whatever changes over time comes
//! with the request, as context.

#[doc(hidden)]
#[path = "bindings.rs"]
pub mod __bindings;
mod attribute;
mod batch;
mod decision;
mod error;
mod filter;
mod manifest;
mod policy;
mod request;
pub mod testing;
mod value;

use __bindings as bindings;
pub use attribute::Attribute;

pub use bindings::tamis::policy::gates::{
    Chunk, Decision, Entity, EntityUid, Manifest, Query, Request, Rewrite,
};
pub use error::Error;
pub use filter::{Filter, Literal};
pub use policy::{Policy, decide, rewrite};
pub use value::ValueRef;

#[doc(hidden)]
pub use bindings::__export_policy_component;
#[doc(hidden)]
pub use policy::Exported;

/// Exports a [`Policy`] from the component. Once per crate, in its root; only a build for WebAssembly exports anything.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type ExportedPolicy = $crate::Exported<$policy>;
    $crate::__export_policy_component!(ExportedPolicy with_types_in $crate::__bindings);
        };
    };
}

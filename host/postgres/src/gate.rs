//! One policy for one request: rows in, yes or no out.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use hashbrown::HashMap;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use tamis_core::request::{INDEX, RETRIEVE};
use tamis_core::{Request, Row};
use tamis_runtime::{Admission, Error, Policy, Session, Verdict};

use crate::error::Failure;
use crate::planned::Basis;
use crate::server::call::Call;
use crate::server::clock::Ticking;
use crate::server::process;
use crate::server::value::Kind;
use crate::shape::{self, Shape};
use crate::{request, serving};

/// Bytes of decisions that are remembered of one policy and request; past this all are forgotten.
const MAX_REMEMBERED: usize = 8 << 20;
/// What a remembered decision takes besides its key.
const ENTRY: usize = 48;
/// So many rows tell whether remembering is worth while.
const ENOUGH: u64 = 10_000;
/// Arguments before those of the row.
const FIRST: usize = 2;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// May this be read?
    Retrieve,
    /// May this be stored?
    Index,
}

/// What decisions are remembered by, besides the values of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) policy: String,
    pub(crate) action: Action,
    pub(crate) layout: String,
    pub(crate) kinds: Vec<Kind>,
}

/// A policy, prepared for a request and for rows of one layout.
pub(crate) struct Gate {
    name: String,
    policy: Policy,
    request: Request,
    action: Action,
    shape: Rc<Shape>,
    session: Option<Session>,
    remembered: HashMap<Box<[u8]>, bool>,
    bytes: usize,
    /// How often something was remembered, and how often not.
    found: u64,
    missed: u64,
}

impl Gate {
    pub(crate) fn new(place: &Place, policy: Policy, request: Request) -> Result<Self, Failure> {
        let request = request.with_action(match place.action {
            Action::Retrieve => RETRIEVE,
            Action::Index => INDEX,
        });
        let (name, action) = (place.policy.clone(), place.action);
        Ok(Self {
            name,
            shape: Rc::new(Shape::new(place, &policy)?),
            policy,
            request,
            action,
            session: None,
            remembered: HashMap::new(),
            bytes: 0,
            found: 0,
            missed: 0,
        })
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    fn decide(&mut self, row: &impl Row) -> Result<bool, Failure> {
        let decided = self.ask(row);
        decided.map_err(|error| {
            // After an error a session answers nothing more.
            self.session = None;
            // If the statement was cancelled, the server says so.
            process::check_interrupts();
            Failure::undecided(&self.name, &format!("{:x}", self.policy.digest()), &error)
        })
    }

    fn ask(&mut self, row: &impl Row) -> Result<bool, Error> {
        let session = self.session.get_or_insert_with(|| self.policy.session(&self.request));
        Ok(match self.action {
            // A row is shown whole or not at all.
            Action::Retrieve => session.verdict(row)? == Verdict::Allow,
            Action::Index => {
                let chunk = row.to_chunk(&self.policy.manifest().footprint);
                let chunk = chunk.map_err(|error| Error::Host(error.to_string()))?;
                matches!(session.admit(&[chunk])?.first(), Some(Admission::Admitted))
            }
        })
    }

    fn remembered(&mut self, key: &[u8]) -> Option<bool> {
        let known = self.remembered.get(key).copied();
        *if known.is_some() { &mut self.found } else { &mut self.missed } += 1;
        known
    }

    fn remember(&mut self, key: &[u8], allowed: bool) {
        // Where hardly two rows are alike, it takes longer than it saves.
        if self.missed > ENOUGH && self.found < self.missed / 4 {
            self.remembered = HashMap::new();
            return;
        }
        if self.bytes > MAX_REMEMBERED {
            self.remembered.clear();
            self.bytes = 0;
        }
        self.bytes += key.len() + ENTRY;
        self.remembered.insert(key.into(), allowed);
    }
}

/// A place in a statement where rows are decided on.
pub(crate) struct Site {
    /// Which request this is for, and which statement of the client's.
    serial: u64,
    began: i64,
    /// Whether the policy and the layout are the same for all rows.
    is_fixed: bool,
    /// None without a request.
    decider: Option<Decider>,
}

struct Decider {
    gate: Rc<RefCell<Gate>>,
    shape: Rc<Shape>,
    key: Vec<u8>,
    ticking: Ticking,
}

/// Whose policy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// The one that serves under the name that is the first argument.
    Serving,
    /// The one that a plan was made for, as the first argument says: its filter and its decisions are of one generation.
    Planned,
}

/// Decides on the row that the arguments are.
pub(crate) fn decide(call: Call<'_>, action: Action, chosen: Chosen) -> Result<bool, Failure> {
    let (serial, began) = (request::serial(), process::statement());
    let site = match call.kept() {
        // Where PL/pgSQL keeps an expression, a place outlives its statement.
        Some(site) if site.is_fixed && site.serial == serial && site.began == began => site,
        _ => call.keep(Site {
            serial,
            began,
            is_fixed: call.is_fixed(0) && call.is_fixed(1),
            decider: decider(call, action, chosen)?,
        }),
    };
    // No request, no rows.
    site.decider.as_mut().map_or(Ok(false), |decider| decider.decide(call))
}

fn decider(call: Call<'_>, action: Action, chosen: Chosen) -> Result<Option<Decider>, Failure> {
    if process::is_restricted() {
        let message = "rows that Tamis protects cannot be kept for others";
        return Err(Failure::new(PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED, message)
            .detail("A materialised view would show everybody what one request may read.")
            .hint(
                "Use a view with security_invoker, or refresh as a role that bypasses row-level security.",
            ));
    }
    if call.is_variadic() {
        return Err(shape::wrong("VARIADIC is not supported."));
    }
    let text = |number| call.argument(number, Kind::Text).text().map(Cow::into_owned);
    let name = text(0).ok_or_else(|| shape::wrong("The policy is NULL."))?;
    let basis = match chosen {
        Chosen::Serving => None,
        Chosen::Planned => Some(Basis::of_this_statement(&name)?),
    };
    let layout = text(1).ok_or_else(|| shape::wrong("The layout is NULL."))?;
    let kinds: Vec<Kind> = (FIRST..call.arguments()).map(|number| call.kind(number)).collect();
    let name = basis.as_ref().map_or(name, |basis| basis.policy.clone());
    let place = Place { policy: name, action, layout, kinds };
    let find = || match &basis {
        Some(basis) => serving::of_plan(basis),
        None => serving::policy(&place.policy).map(|served| served.policy),
    };
    let Some(gate) = request::gate(&place, find)? else { return Ok(None) };
    let shape = Rc::clone(&gate.borrow().shape);
    Ok(Some(Decider { gate, shape, key: Vec::new(), ticking: Ticking::start() }))
}

impl Decider {
    fn decide(&mut self, call: Call<'_>) -> Result<bool, Failure> {
        let value = |number: usize| call.argument(FIRST + number, self.shape.kind(number));
        let mut gate = self.gate.borrow_mut();
        if self.shape.remembers {
            self.key.clear();
            self.shape.tell_apart(value, &mut self.key);
            if let Some(allowed) = gate.remembered(&self.key) {
                return Ok(allowed);
            }
        }
        self.ticking.go_on();
        let allowed = self.shape.reader.read(value).map_or(Ok(false), |row| gate.decide(&row))?;
        if self.shape.remembers {
            gate.remember(&self.key, allowed);
        }
        Ok(allowed)
    }
}

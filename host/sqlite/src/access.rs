//! Who asks on a connection, and who may change that.

use std::fmt::Write as _;
use std::sync::Arc;

use tamis_core::Request;

use crate::error::Error;

/// Bytes of a ticket: nobody guesses 256 bits.
const TICKET: usize = 32;

/// Who asks on a connection.
///
/// Once a request is set the connection is locked for good: only who holds the ticket can set another, or end it. Every change gives out a
/// new ticket, so that one that was seen once is worth nothing later.
#[derive(Default)]
pub(crate) struct Access {
    ticket: Option<[u8; TICKET]>,
    request: Option<Arc<Request>>,
    /// Counts the changes.
    epoch: u64,
}

impl Access {
    /// Whether requests are served here, now or later, so that SQL is not an administrator's.
    pub(crate) fn is_locked(&self) -> bool {
        self.ticket.is_some()
    }

    /// The request, and the number of the change that set it.
    pub(crate) fn request(&self) -> Result<(Arc<Request>, u64), Error> {
        self.request.as_ref().map(|request| (Arc::clone(request), self.epoch)).ok_or(Error::NoRequest)
    }

    /// Whether the request is still the one that this change set.
    pub(crate) fn is_at(&self, epoch: u64) -> bool {
        self.epoch == epoch && self.request.is_some()
    }

    /// Locks the connection without a request.
    pub(crate) fn lock(&mut self) -> Result<String, Error> {
        self.check(None)?;
        self.change(None)
    }

    /// Sets the request. If it cannot be read there is none from now on: never that of whoever asked before.
    pub(crate) fn set(&mut self, json: Option<&str>, ticket: Option<&str>) -> Result<String, Error> {
        self.check(ticket)?;
        let unset = || Err(tamis_core::InputError::new("", "is NULL"));
        match json.map_or_else(unset, Request::from_json) {
            Ok(request) => self.change(Some(Arc::new(request))),
            Err(error) => {
                self.request = None;
                self.epoch += 1;
                Err(Error::Request(error))
            }
        }
    }

    /// Ends the request.
    pub(crate) fn end(&mut self, ticket: Option<&str>) -> Result<String, Error> {
        if !self.is_locked() {
            return Err(Error::Ticket);
        }
        self.check(ticket)?;
        self.change(None)
    }

    fn check(&self, ticket: Option<&str>) -> Result<(), Error> {
        match (&self.ticket, ticket) {
            (None, None) => Ok(()),
            (Some(held), Some(shown)) if same(held, shown) => Ok(()),
            _ => Err(Error::Ticket),
        }
    }

    fn change(&mut self, request: Option<Arc<Request>>) -> Result<String, Error> {
        // Whatever happens, the one before ends here.
        self.request = None;
        self.epoch += 1;
        let mut ticket = [0; TICKET];
        getrandom::fill(&mut ticket)
            .map_err(|error| Error::Argument(format!("the system gives no random numbers: {error}")))?;
        self.ticket = Some(ticket);
        self.request = request;
        Ok(hexadecimal(&ticket))
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Compares in a time that does not tell how much is right.
fn same(held: &[u8; TICKET], shown: &str) -> bool {
    let held = hexadecimal(held);
    held.len() == shown.len() && held.bytes().zip(shown.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = r#"{"subject":{"type":"User","id":"alice"},"action":{"name":"retrieve"}}"#;
    const BOB: &str = r#"{"subject":{"type":"User","id":"bob"},"action":{"name":"retrieve"}}"#;

    fn subject(access: &Access) -> Option<String> {
        access.request().ok().map(|(request, _)| request.subject().id.clone())
    }

    #[test]
    fn only_the_last_ticket_changes_the_request() {
        let mut access = Access::default();
        assert!(access.request().is_err() && !access.is_locked());
        let first = access.set(Some(ALICE), None).unwrap();
        assert!(access.is_locked());
        for ticket in [None, Some(""), Some("0"), Some(&*"0".repeat(64)), Some(&first[1..])] {
            assert!(matches!(access.set(Some(BOB), ticket), Err(Error::Ticket)), "{ticket:?}");
            assert!(matches!(access.end(ticket), Err(Error::Ticket)), "{ticket:?}");
            assert_eq!(subject(&access).as_deref(), Some("alice"));
        }
        let (_, epoch) = access.request().unwrap();
        let second = access.set(Some(BOB), Some(&first)).unwrap();
        assert_eq!(subject(&access).as_deref(), Some("bob"));
        assert!(!access.is_at(epoch));
        assert!(matches!(access.set(Some(ALICE), Some(&first)), Err(Error::Ticket)), "a ticket is used once");
        let third = access.end(Some(&second)).unwrap();
        assert!(access.request().is_err() && access.is_locked());
        assert!(matches!(access.lock(), Err(Error::Ticket)));
        access.set(Some(ALICE), Some(&third)).unwrap();
    }

    #[test]
    fn a_request_that_cannot_be_read_leaves_none() {
        let mut access = Access::default();
        let ticket = access.set(Some(ALICE), None).unwrap();
        for json in [None, Some(""), Some("{}"), Some("[]"), Some(r#"{"action":{"name":"retrieve"}}"#)] {
            assert!(matches!(access.set(json, Some(&ticket)), Err(Error::Request(_))), "{json:?}");
            assert!(access.request().is_err());
        }
        access.set(Some(ALICE), Some(&ticket)).unwrap();
    }

    #[test]
    fn a_ticket_is_for_connections_that_are_locked() {
        let mut access = Access::default();
        assert!(matches!(access.end(None), Err(Error::Ticket)));
        assert!(matches!(access.set(Some(ALICE), Some("x")), Err(Error::Ticket)));
        let ticket = access.lock().unwrap();
        assert!(access.is_locked() && access.request().is_err());
        access.set(Some(ALICE), Some(&ticket)).unwrap();
    }
}

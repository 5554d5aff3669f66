//! Bugs to order, for the tests of what catches them. Without the feature `count` there are none.

use crate::http1::Txn;

/// A bug in the request that asks for it, at the place of this name.
#[inline]
pub(crate) fn panic_if(t: &Txn, place: &[u8]) {
    if cfg!(feature = "count") && t.run.exchange.request.find(b"x-test-panic") == Some(place) {
        panic!("a test asked for this");
    }
}

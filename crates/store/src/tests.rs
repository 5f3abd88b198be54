//! What the tests of several modules share.

use crate::{Options, Store};

/// A fresh store; it goes with the first value.
pub(crate) fn store() -> (tempfile::TempDir, Store) {
    let temp = tempfile::tempdir().unwrap();
    let store = Store::open(&temp.path().join("store"), Options::default()).unwrap();
    (temp, store)
}

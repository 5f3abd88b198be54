//! The last act of a `--rm` container's supervisor.

use crate::{Engine, Result, Settings};

/// The hidden entry of our program that removes a `--rm` container; its arguments are
/// the store, the runtime directory and the container's id.
pub const REMOVE_ENTRY: &str = "__remove";

/// Removes an ended container and its anonymous volumes. The connections of its clients,
/// which wait for them to close, are this process's inheritance.
pub fn run_removal(settings: Settings, id: &str) -> Result<()> {
    let engine = Engine::open(settings)?;
    let record = engine.find(id)?;
    engine.take_away(&record, false, true)?;
    // Nothing is left to be seen of it: nobody needs to wait until its files are gone.
    sys::process::close_inherited(&[])?;
    engine.store().sweep();
    Ok(())
}

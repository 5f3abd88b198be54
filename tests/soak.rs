//! `scripts/soak`, shortly: what is done again and again leaves nothing, and a container
//! ends with its supervisor.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is meant"
)]

mod kit;

use kit::Shim;
use kit::bases::Base;

as_root_and_user! {

fn a_few_cycles_leave_nothing(shim: &Shim) {
    shim.has(&[Base::Busybox]);
    let said = shim.script("scripts/soak", &["20", "20"]).succeeded();
    assert!(said.ends_with("20 cycles and 20 killed supervisors left nothing."), "{said}");
}

}

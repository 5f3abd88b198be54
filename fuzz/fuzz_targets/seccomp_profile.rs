//! A profile of system calls, as a user passes it: it compiles to a program that the
//! kernel takes, or it is refused with a place in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::container::SeccompSource;

fuzz_target!(|text: String| {
    let lines = text.matches('\n').count() + 1;
    let source = SeccompSource {
        path: "profile.json".into(),
        text,
    };
    if let Err(error) = runtime::seccomp_profile::check(&source) {
        let (line, _) = error.position.unwrap_or((1, 1));
        assert!((1..=lines).contains(&line), "{error}");
    }
});

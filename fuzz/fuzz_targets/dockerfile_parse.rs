//! Any text is a Dockerfile, an `ONBUILD` trigger and a `.dockerignore`, if a wrong one,
//! and every complaint about it can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let mut sources = text::Sources::new();
    let file = sources.add("Dockerfile", input);
    let (_, diagnostics) = dockerfile::parse(file, input);
    text::render(&sources, &diagnostics, true);
    dockerfile::parse_trigger(file, input);
    let (ignore, _) = dockerfile::ignore::Ignore::parse(file, input);
    ignore.excludes("a/b/c");
    ignore.prunes("a/b");
});

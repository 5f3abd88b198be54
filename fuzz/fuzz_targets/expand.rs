//! Both dialects of `${…}` take any text, and place their errors inside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use text::expand::{self, Dockerfile};

fuzz_target!(|input: &str| {
    let lookup = |name: &str| (name.len() % 2 == 1).then(|| "a/b.c".to_owned());
    let results = [
        expand::compose(input, &lookup),
        Dockerfile::new('\\').word(input, &lookup),
        Dockerfile::new('`').word(input, &lookup),
        Dockerfile::heredoc().word(input, &lookup),
    ];
    for error in results.into_iter().filter_map(Result::err) {
        assert!(input.get(error.offset..error.end).is_some(), "{error:?}");
    }
});

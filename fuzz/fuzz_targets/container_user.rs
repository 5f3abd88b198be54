//! The passwd and group files of an image: any bytes give a user or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (String, String, String)| {
    let (passwd, group, user) = input;
    if let Ok(user) = runtime::identity::resolve_in(&passwd, &group, &user) {
        assert!(user.groups.contains(&user.gid));
        assert!(!user.home.is_empty());
    }
});

//! What a build on one machine does not show of others.

use crate::common::*;

/// Only there may the text stand, and what to do elsewhere.
const ONLY: [(&str, &str, &str); 3] = [
    ("AtomicU64", "src/atomic.rs", "32-bit machines may have none: use crate::atomic"),
    ("AtomicI64", "src/atomic.rs", "32-bit machines may have none: use crate::atomic"),
    ("allow(unsafe_code)", "src/os.rs", "only os may have unsafe code"),
];

#[test]
fn what_some_machines_lack_and_what_is_unsafe_is_used_in_one_place() {
    let mut directories = vec![source("src")];
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let lines = text.lines().filter(|line| line.contains("sync::atomic::") || line.contains("allow("));
                let lines = lines.collect::<String>();
                let wrong = ONLY.iter().find(|(what, place, _)| !path.ends_with(place) && lines.contains(what));
                assert_eq!(wrong, None, "{}", path.display());
            }
        }
    }
}

//! What a build on one machine does not show of others.

use crate::common::*;

fn each_source(directory: &Path, check: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_source(&path, check);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            check(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn no_atomic_number_of_64_bits_is_used_that_32_bit_machines_lack() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    each_source(&source, &mut |path, text| {
        let imports = text.lines().filter(|line| line.contains("sync::atomic::"));
        let wide = imports.filter(|line| line.contains("AtomicU64") || line.contains("AtomicI64"));
        let wide: Vec<&str> = wide.filter(|_| !path.ends_with("src/atomic.rs")).collect();
        assert!(wide.is_empty(), "{}: use crate::atomic instead of {wide:?}", path.display());
    });
}

#[test]
fn unsafe_code_is_in_os_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    each_source(&source, &mut |path, text| {
        let lifts = text.contains("allow(unsafe_code)");
        assert!(!lifts || path.ends_with("src/os.rs"), "{}: only os may have unsafe code", path.display());
    });
}

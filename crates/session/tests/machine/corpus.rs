//! The inputs that the fuzzer kept, and bytes from nowhere, with a stable compiler.

use std::path::Path;

use proptest::prelude::*;

#[test]
fn the_corpus_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/session_ops");
    let files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 15, "the corpus has gone: {}", files.len());
    for file in files {
        proxyd_session::fuzz::ops(&std::fs::read(&file).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_operations(data in prop::collection::vec(any::<u8>(), 0..2000)) {
        proxyd_session::fuzz::ops(&data);
    }
}

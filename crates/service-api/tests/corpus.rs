//! Requests, good ones and others, on every run of the tests.

use std::path::Path;

use proxyd_service_api::fuzz;

#[test]
fn requests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/service_api");
    let files = std::fs::read_dir(&folder).expect("the corpus is committed");
    let mut count = 0;
    for file in files {
        let path = file.expect("the folder can be listed").path();
        fuzz::requests(&std::fs::read(&path).expect("the file can be read"));
        count += 1;
    }
    assert!(count >= 8, "only {count} files in {}", folder.display());
}

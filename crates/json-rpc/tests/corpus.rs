//! Messages, good ones and others, on every run of the tests.

use std::path::Path;

use proxyd_json_rpc::fuzz;

#[test]
fn messages() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/json_rpc");
    let files = std::fs::read_dir(&folder).expect("the corpus is committed");
    let mut count = 0;
    for file in files {
        let path = file.expect("the folder can be listed").path();
        fuzz::messages(&std::fs::read(&path).expect("the file can be read"));
        count += 1;
    }
    assert!(count >= 8, "only {count} files in {}", folder.display());
}

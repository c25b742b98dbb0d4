//! Configurations that are read, and some that are not, on every run of the tests.

use std::path::Path;

use proxyd_config::fuzz;

#[test]
fn configurations() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/toml_config");
    let files = std::fs::read_dir(&folder).expect("the corpus is committed");
    let mut count = 0;
    for file in files {
        let path = file.expect("the folder can be listed").path();
        fuzz::toml(&std::fs::read(&path).expect("the file can be read"));
        count += 1;
    }
    assert!(count >= 8, "only {count} files in {}", folder.display());
}

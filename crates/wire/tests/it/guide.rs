//! The examples of `docs/PROTOCOL.md` are what the code reads.

use std::path::Path;

use proxyd_wire::{COMMANDS, Dialect, decode};

/// Where a client's line stands in the guide's examples.
const CLIENT: &str = "C ";

/// An example that the server would refuse helps nobody.
#[test]
fn every_line_of_a_client_in_the_guide_is_a_command() {
    let guide = file("docs/PROTOCOL.md");
    let lines: Vec<&str> = examples(&guide).collect();
    for line in &lines {
        let sent = line.replace("$sid", "orbat-3001-1734532800-k3n8");
        let dialect = if line.contains("$v1") { Dialect::V1 } else { Dialect::V2 };
        let read = decode(&sent.replace("$v1", "api-v2-9000-1734532800-k3n8"), dialect);
        assert!(read.is_ok(), "{line}: {read:?}");
    }
    let shown = |name: &str| lines.iter().any(|line| line.split('|').next() == Some(name));
    let missing: Vec<&str> = COMMANDS.iter().map(|c| c.name).filter(|name| !shown(name)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "commands without an example");
}

fn examples(guide: &str) -> impl Iterator<Item = &str> {
    guide.lines().filter_map(|line| line.strip_prefix(CLIENT))
}

fn file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

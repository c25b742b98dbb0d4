//! The files of the project: what git tracks, and nothing that lies about.

use crate::shell;

/// A tracked file.
pub(crate) struct File {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

impl File {
    /// `None` for what is not UTF-8: a corpus may hold anything.
    pub(crate) fn text(&self) -> Option<&str> {
        str::from_utf8(&self.bytes).ok()
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(crate) fn extension(&self) -> Option<&str> {
        self.name().rsplit_once('.').map(|(_, extension)| extension)
    }
}

/// Every tracked file that is there; one that was moved or removed but not yet committed is not.
pub(crate) fn files() -> Vec<File> {
    let mut git = std::process::Command::new("git");
    let listed = shell::output(git.args(["ls-files", "-z"]).current_dir(shell::root()))
        .expect("the rules of the tree need git and a work tree");
    let files: Vec<File> = listed
        .split_terminator('\0')
        .filter_map(|path| {
            let bytes = std::fs::read(shell::root().join(path)).ok()?;
            Some(File { path: path.to_owned(), bytes })
        })
        .collect();
    assert!(files.iter().any(|file| file.path == "Cargo.toml"), "git lists no root manifest");
    files
}

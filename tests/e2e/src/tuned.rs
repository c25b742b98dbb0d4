//! A proxyd with other settings than most tests have.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use crate::{Proxy, binary};

/// A proxy that is started through a script which edits its configuration first.
#[derive(Debug)]
pub struct Tuned {
    proxy: Proxy,
    _script: TempDir,
}

impl Tuned {
    /// Starts one with so many workers and these lines in its section `http`.
    pub fn start(workers: usize, http: &str) -> Self {
        Self::start_with(workers, http, "")
    }

    /// Starts one with so many workers, these lines in its section `http`, and more lines in its
    /// configuration.
    ///
    /// # Panics
    ///
    /// When the script cannot be written.
    pub fn start_with(workers: usize, http: &str, extra: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("proxyd");
        let text = format!(
            "#!/bin/sh\nsed -i -e 's/^workers = .*/workers = {workers}/' -e '/^\\[http\\]/a {http}' \"$3\"\n\
             exec {} \"$@\"\n",
            binary("proxyd").display()
        );
        fs::write(&script, text).expect("a file");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("our own file");
        Self { proxy: Proxy::start_program(&script, extra), _script: folder }
    }
}

impl Deref for Tuned {
    type Target = Proxy;

    fn deref(&self) -> &Proxy {
        &self.proxy
    }
}

impl DerefMut for Tuned {
    fn deref_mut(&mut self) -> &mut Proxy {
        &mut self.proxy
    }
}

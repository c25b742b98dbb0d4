//! Where proxyd makes files: folders that must be there, for it makes none.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{Config, ConfigError, value};

impl Config {
    /// Whether the files that proxyd makes can be made.
    pub(super) fn check_folders(&self) -> Result<(), ConfigError> {
        if self.store.is_dir() {
            let (store, file) = (self.store.display(), self.store.join("proxyd.db"));
            let message = format!("{store} is a folder: write a file in it, such as {file:?}");
            return Err(value("store.path", &message));
        }
        let registry = self.registry_socket.as_deref().map(|file| ("registry.socket", file));
        let always = [("store.path", &*self.store), ("admin.socket", &*self.admin_socket)];
        for (key, file) in always.into_iter().chain(registry) {
            if let Some(message) = trouble(folder_of(file)) {
                return Err(value(key, &message));
            }
        }
        Ok(())
    }
}

/// The folder that a file is in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    }
}

/// What is wrong with a folder, and the way out.
fn trouble(folder: &Path) -> Option<String> {
    let shown = folder.display();
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => None,
        Ok(_) => Some(format!("{shown} is no folder: write a path in one")),
        Err(error) if error.kind() == ErrorKind::NotFound => Some(format!(
            "the folder {shown} does not exist: make it, for the user that proxyd runs as, or \
             write another path"
        )),
        Err(error) => Some(format!(
            "cannot look into the folder {shown}: {error}; let the user that proxyd runs as into \
             it, or write another path"
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{load_text, without_place};

    #[test]
    fn folders_that_are_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display().to_string();
        std::fs::write(folder.path().join("file"), "").unwrap();
        #[rustfmt::skip]
        let table = [
            ("[store]\npath = \"@/proxyd.db\"\n",               ""),
            ("[store]\npath = \"proxyd.db\"\n",                 ""),
            ("[store]\npath = \"@/no/proxyd.db\"\n",            "store.path: the folder @/no does not exist: make it, for the user that proxyd runs as, or write another path"),
            ("[store]\npath = \"@/file/proxyd.db\"\n",          "store.path: @/file is no folder: write a path in one"),
            ("[store]\npath = \"@\"\n",                         "store.path: @ is a folder: write a file in it, such as \"@/proxyd.db\""),
            ("[admin]\nsocket = \"@/no/proxyd.sock\"\n",        "admin.socket: the folder @/no does not exist: make it"),
            ("[registry]\nsocket = \"@/no/registry.sock\"\n",   "registry.socket: the folder @/no does not exist: make it"),
        ];
        for (text, says) in table {
            let said = load_text(&text.replace('@', &at)).err().unwrap_or_default();
            let said = said.replace(&at, "@");
            let said = if said.is_empty() { "" } else { without_place(&said) };
            assert!(said.starts_with(says) && said.is_empty() == says.is_empty(), "{text}: {said}");
        }
    }
}

//! A path inside a package.

use std::fmt;

/// Longest path, in bytes. What lies below the folder of a version stays far from the system's 4096.
const PATH_BYTES_MAX: usize = 240;
/// Folders in each other.
const DEPTH_MAX: usize = 16;
/// What the deployment itself writes beside the files of a package begins so.
const RESERVED: &str = ".proxyd-";

/// Why a path may not be in a package. Reads on after the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing.
    #[error("is empty")]
    Empty,
    /// From the root.
    #[error("is absolute")]
    Absolute,
    /// Out of the folder.
    #[error("has `..` in it")]
    Parent,
    /// `.` or nothing between slashes: two spellings of one path.
    #[error("has `.` or nothing between slashes")]
    Spelling,
    /// Not UTF-8, a control character, or a backslash.
    #[error("has a character that may not be in a path")]
    Character,
    /// Longer than allowed.
    #[error("is longer than {PATH_BYTES_MAX} bytes or deeper than {DEPTH_MAX} folders")]
    TooLong,
    /// A name that is ours.
    #[error("begins with `{RESERVED}`, which is not for packages")]
    Reserved,
}

/// A path below the folder of a package, in the one way to spell it: `bin/web`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct EntryPath(Box<str>);

impl EntryPath {
    /// Reads a path as archives have them: one `./` may stand before it, one `/` after that of a
    /// folder.
    ///
    /// # Errors
    ///
    /// [`PathError`].
    pub fn read(bytes: &[u8]) -> Result<Self, PathError> {
        let text = str::from_utf8(bytes).map_err(|_| PathError::Character)?;
        if text.starts_with('/') {
            return Err(PathError::Absolute);
        }
        let text = text.strip_prefix("./").unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.contains(|c: char| c.is_control() || c == '\\') {
            return Err(PathError::Character);
        }
        if text.len() > PATH_BYTES_MAX || text.split('/').count() > DEPTH_MAX {
            return Err(PathError::TooLong);
        }
        for part in text.split('/') {
            match part {
                ".." => return Err(PathError::Parent),
                "." | "" => return Err(PathError::Spelling),
                part if part.starts_with(RESERVED) => return Err(PathError::Reserved),
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }

    /// The path.
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// The folders it lies in, the outermost last.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.as_str();
        std::iter::from_fn(move || {
            rest = rest.rsplit_once('/')?.0;
            Some(rest)
        })
    }
}

impl TryFrom<String> for EntryPath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        Self::read(text.as_bytes())
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_its_folder_and_has_one_spelling() {
        let long = "a".repeat(PATH_BYTES_MAX + 1);
        let deep = ["a"; DEPTH_MAX + 1].join("/");
        #[rustfmt::skip]
        let table: [(&[u8], Result<&str, PathError>); 19] = [
            (b"bin/web",            Ok("bin/web")),
            (b"./bin/web",          Ok("bin/web")),
            (b"bin/",               Ok("bin")),
            (b"a b/..c/d..",        Ok("a b/..c/d..")),
            (b"",                   Err(PathError::Empty)),
            (b"./",                 Err(PathError::Empty)),
            (b"/etc/passwd",        Err(PathError::Absolute)),
            (b".//etc/passwd",      Err(PathError::Spelling)),
            (b"..",                 Err(PathError::Parent)),
            (b"a/../../b",          Err(PathError::Parent)),
            (b"././a",              Err(PathError::Spelling)),
            (b"a//b",               Err(PathError::Spelling)),
            (b"a\\..\\b",           Err(PathError::Character)),
            (b"a\nb",               Err(PathError::Character)),
            (b"a\xff",              Err(PathError::Character)),
            (b"a\0b",               Err(PathError::Character)),
            (b"x/.proxyd-package",  Err(PathError::Reserved)),
            (long.as_bytes(),       Err(PathError::TooLong)),
            (deep.as_bytes(),       Err(PathError::TooLong)),
        ];
        for (bytes, wanted) in table {
            let read = EntryPath::read(bytes);
            assert_eq!(read.as_ref().map(EntryPath::as_str), wanted.as_ref().copied());
        }
        assert!(EntryPath::read(&long.as_bytes()[1..]).is_ok());
    }

    #[test]
    fn a_path_names_its_folders() {
        let path = EntryPath::read(b"a/b/c").unwrap();
        assert_eq!(path.folders().collect::<Vec<_>>(), ["a/b", "a"]);
    }
}

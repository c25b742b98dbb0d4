//! Randomness of the operating system, to seed the generators of the cores.

use std::io;

/// 32 bytes that nobody can guess.
///
/// # Errors
///
/// The operating system has none; nothing that hands out secrets may start then.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_seeds_are_alike() {
        assert_ne!(super::seed().unwrap(), super::seed().unwrap());
    }
}

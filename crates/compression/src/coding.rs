//! Which coding a client gets (RFC 9110, 12.5.3).

/// Items of `Accept-Encoding` that are read. No client sends as many; what comes after them
/// counts as not said.
const ITEMS_MAX: usize = 64;
/// One, in thousandths: a quality has at most three digits (RFC 9110, 12.4.2).
const FULL: u16 = 1000;

/// A content coding this crate can make. In the order in which they are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Brotli (RFC 7932).
    Br,
    /// Zstandard (RFC 8878), in a window every client must take (RFC 9659).
    Zstd,
    /// Gzip (RFC 1952).
    Gzip,
}

impl Coding {
    /// All of them, the one we like best first.
    pub const ALL: [Coding; 3] = [Coding::Br, Coding::Zstd, Coding::Gzip];

    /// As written in `Content-Encoding` (RFC 9110, 8.4.1).
    pub fn as_str(self) -> &'static str {
        match self {
            Coding::Br => "br",
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        }
    }
}

/// The coding for a client, from the values of all its `Accept-Encoding` lines (RFC 9110,
/// 12.5.3). `None`: send the response as it is.
///
/// The highest quality wins, and among equals the one we like best. `identity` wins only where
/// the client names it and ranks it strictly higher. A response that is not acceptable in any
/// form goes out as it is, which 12.5.3 allows. An item with a malformed quality is ignored.
pub fn negotiate<'a>(accept_encoding: impl Iterator<Item = &'a [u8]>) -> Option<Coding> {
    let mut said = Said::default();
    let items = accept_encoding.flat_map(|line| line.split(|b| *b == b','));
    for (name, quality) in items.take(ITEMS_MAX).filter_map(item) {
        said.hear(name, quality);
    }
    said.best()
}

/// Qualities a client gave, in thousandths.
#[derive(Default)]
struct Said {
    br: Option<u16>,
    zstd: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Said {
    /// What is said twice counts as it was said first.
    fn hear(&mut self, name: &[u8], quality: u16) {
        let slot = match name {
            b"*" => &mut self.any,
            _ if name.eq_ignore_ascii_case(b"br") => &mut self.br,
            _ if name.eq_ignore_ascii_case(b"zstd") => &mut self.zstd,
            _ if name.eq_ignore_ascii_case(b"gzip") => &mut self.gzip,
            // The same (RFC 9110, 8.4.1.3).
            _ if name.eq_ignore_ascii_case(b"x-gzip") => &mut self.gzip,
            _ if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
            _ => return,
        };
        slot.get_or_insert(quality);
    }

    fn best(&self) -> Option<Coding> {
        let mut best = (None, self.identity.unwrap_or(0).max(1));
        for coding in Coding::ALL {
            let quality = self.of(coding);
            let wins = if best.0.is_none() { quality >= best.1 } else { quality > best.1 };
            if wins {
                best = (Some(coding), quality);
            }
        }
        best.0
    }

    fn of(&self, coding: Coding) -> u16 {
        let said = match coding {
            Coding::Br => self.br,
            Coding::Zstd => self.zstd,
            Coding::Gzip => self.gzip,
        };
        said.or(self.any).unwrap_or(0)
    }
}

/// `gzip;q=0.5` as name and quality; `None` if it is to be ignored.
fn item(item: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = item.splitn(2, |b| *b == b';');
    let name = parts.next()?.trim_ascii();
    let quality = match parts.next() {
        None => FULL,
        Some(weight) => quality(weight)?,
    };
    (!name.is_empty()).then_some((name, quality))
}

/// `q=0.5`, in thousandths (RFC 9110, 12.4.2).
fn quality(weight: &[u8]) -> Option<u16> {
    let value = match weight.trim_ascii() {
        [b'q' | b'Q', b'=', value @ ..] => value,
        _ => return None,
    };
    let (whole, rest) = match value {
        [b'0', rest @ ..] => (0, rest),
        [b'1', rest @ ..] => (FULL, rest),
        _ => return None,
    };
    let digits = match rest {
        [] => rest,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut thousandths = whole;
    for (digit, worth) in digits.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths += u16::from(digit - b'0') * worth;
    }
    (thousandths <= FULL).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(lines: &[&str]) -> Option<Coding> {
        negotiate(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn negotiation() {
        use Coding::{Br, Gzip, Zstd};
        #[rustfmt::skip]
        let table: &[(&[&str], Option<Coding>)] = &[
            // As clients send it: Chrome, Firefox, Safari, curl --compressed, old curl, Python
            // requests, Go, Node's undici, okhttp, wget, media elements.
            (&["gzip, deflate, br, zstd"],           Some(Br)),
            (&["gzip, deflate, br"],                 Some(Br)),
            (&["deflate, gzip, br, zstd"],           Some(Br)),
            (&["deflate, gzip"],                     Some(Gzip)),
            (&["gzip, deflate"],                     Some(Gzip)),
            (&["gzip"],                              Some(Gzip)),
            (&["br, gzip, deflate"],                 Some(Br)),
            (&["gzip, zstd"],                        Some(Zstd)),
            (&["identity"],                          None),
            (&["identity;q=1, *;q=0"],               None),
            (&["gzip;q=1.0, deflate;q=0.6, identity;q=0.3"], Some(Gzip)),
            (&["gzip;q=1.0,deflate;q=0.6,identity;q=0.3,*;q=0"], Some(Gzip)),
            // Nothing said.
            (&[],                                    None),
            (&[""],                                  None),
            (&[",, ,"],                              None),
            (&["deflate, compress"],                 None),
            // Lines are one list.
            (&["gzip", "br"],                        Some(Br)),
            (&["br;q=0", "gzip"],                    Some(Gzip)),
            // Names.
            (&["x-gzip"],                            Some(Gzip)),
            (&["GZIP"],                              Some(Gzip)),
            (&["gzipped"],                           None),
            // Qualities.
            (&["br;q=0.5, gzip;q=0.8"],              Some(Gzip)),
            (&["br;q=0.8, gzip;q=0.8"],              Some(Br)),
            (&["gzip;q=0.001"],                      Some(Gzip)),
            (&["gzip;q=0"],                          None),
            (&["gzip;q=0.000"],                      None),
            (&["gzip ; q=0.5"],                      Some(Gzip)),
            (&["gzip;Q=1.000"],                      Some(Gzip)),
            (&["gzip;q=1., br;q=0."],                Some(Gzip)),
            // Anything.
            (&["*"],                                 Some(Br)),
            (&["*;q=0"],                             None),
            (&["*, br;q=0"],                         Some(Zstd)),
            (&["gzip, *;q=0"],                       Some(Gzip)),
            (&["*;q=0.5, gzip;q=0.7"],               Some(Gzip)),
            // Identity.
            (&["identity, gzip;q=0.5"],              None),
            (&["identity, gzip"],                    Some(Gzip)),
            (&["identity;q=0.5, gzip;q=0.5"],        Some(Gzip)),
            (&["identity;q=0.5, br;q=0.4, gzip;q=0.6"], Some(Gzip)),
            (&["identity;q=0"],                      None),
            (&["identity;q=0, gzip;q=0.1"],          Some(Gzip)),
            // Malformed qualities cost their item.
            (&["br;q=2, gzip"],                      Some(Gzip)),
            (&["br;q=1.001, gzip"],                  Some(Gzip)),
            (&["br;q=0.0001, gzip"],                 Some(Gzip)),
            (&["br;q=-1, gzip"],                     Some(Gzip)),
            (&["br;q=, gzip"],                       Some(Gzip)),
            (&["br;q, gzip"],                        Some(Gzip)),
            (&["br;, gzip"],                         Some(Gzip)),
            (&["br;q=x, gzip"],                      Some(Gzip)),
            (&["br;q=0.x, gzip"],                    Some(Gzip)),
            (&["br;q=0.5;q=1, gzip;q=0.1"],          Some(Gzip)),
            (&["br;q = 1, gzip"],                    Some(Gzip)),
            // Said twice.
            (&["gzip;q=0, gzip"],                    None),
        ];
        for (lines, want) in table {
            assert_eq!(of(lines), *want, "{lines:?}");
        }
    }

    #[test]
    fn only_so_many_items_are_read() {
        let line = format!("{}br", "x,".repeat(ITEMS_MAX - 1));
        assert_eq!(of(&[&line]), Some(Coding::Br));
        let line = format!("{}br", "x,".repeat(ITEMS_MAX));
        assert_eq!(of(&[&line]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_negotiated(lines: Vec<Vec<u8>>) {
            negotiate(lines.iter().map(Vec::as_slice));
        }

        #[test]
        fn the_highest_quality_wins(br in 0u16..=1000, zstd in 0u16..=1000, gzip in 0u16..=1000) {
            let q = |q: u16| format!("{}.{:03}", q / 1000, q % 1000);
            let line = format!("gzip;q={}, br;q={}, zstd;q={}", q(gzip), q(br), q(zstd));
            let best = br.max(zstd).max(gzip);
            let want = match best {
                0 => None,
                _ if br == best => Some(Coding::Br),
                _ if zstd == best => Some(Coding::Zstd),
                _ => Some(Coding::Gzip),
            };
            prop_assert_eq!(of(&[&line]), want);
        }
    }
}

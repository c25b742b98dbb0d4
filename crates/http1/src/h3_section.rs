//! In which order a field section of HTTP/3 names its fields, before anybody decodes it.
//!
//! Whoever decodes keeps the last of two `:path` and takes one that comes late; a request is then
//! something else to us than to a reader who keeps the first. Here the lines are walked as QPACK
//! writes them (RFC 9204, 4.5), which takes no table: a name that a client may use is in the static
//! table, in plain text, or in the one way in which Huffman's code writes it. What cannot be walked,
//! nobody can decode.

/// Walks one field section as it comes.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    state: State,
    of_trailers: bool,
    /// The pseudo fields that came, one bit each.
    seen: u8,
    /// Whether a field came that is none.
    regular: bool,
}

/// Why a field section is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The message is malformed.
    Malformed,
    /// It needs a dynamic table, and we announced none.
    Undecodable,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The required insert count, and the base.
    Count(Int),
    Base(Int),
    /// Between two lines.
    Line,
    Index(Int),
    NameIndex(Int),
    NameLength {
        huffman: bool,
        length: Int,
    },
    Name(Name),
    ValueLength {
        name: Kind,
        length: Int,
    },
    Value(u64),
    /// Not to be walked.
    Opaque,
}

/// The beginning of a name.
#[derive(Clone, Copy, Debug)]
struct Name {
    huffman: bool,
    left: u64,
    bytes: [u8; NAME_BYTES_MAX],
    len: usize,
}

/// The longest name of a pseudo field, and one more.
const NAME_BYTES_MAX: usize = 11;

/// A field, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Regular,
    /// The number of its bit.
    Pseudo(u8),
    /// Nobody's: of responses, or unknown.
    Foreign,
}

const METHOD: Kind = Kind::Pseudo(0);
const SCHEME: Kind = Kind::Pseudo(1);
const AUTHORITY: Kind = Kind::Pseudo(2);
const PATH: Kind = Kind::Pseudo(3);
const PROTOCOL: Kind = Kind::Pseudo(4);

/// The names as they are, and by the code of RFC 7541, appendix B.
const NAMES: [(&[u8], &[u8], Kind); 5] = [
    (b":method", &[0xb9, 0x49, 0x53, 0x39, 0xe4], METHOD),
    (b":scheme", &[0xb8, 0x82, 0x4e, 0x5a, 0x4b], SCHEME),
    (b":authority", &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f], AUTHORITY),
    (b":path", &[0xb9, 0x58, 0xd3, 0x3f], PATH),
    (b":protocol", &[0xb9, 0x5d, 0x87, 0x49, 0xc8, 0x7a, 0x3f], PROTOCOL),
];
/// The first bits of a name that begins with a colon, by that code.
const HUFFMAN_COLON: u8 = 0b101_1100;

impl Section {
    pub(crate) fn new(of_trailers: bool) -> Self {
        Self { state: State::Count(Int::new(8)), of_trailers, seen: 0, regular: false }
    }

    /// Takes the next bytes.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Result<(), Refused> {
        while let Some((byte, rest)) = bytes.split_first() {
            let byte = *byte;
            self.state = match self.state {
                State::Opaque => return Ok(()),
                State::Value(left) => {
                    let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(len..).unwrap_or_default();
                    match left - len as u64 {
                        0 => State::Line,
                        left => State::Value(left),
                    }
                }
                state => {
                    bytes = rest;
                    self.step(state, byte)?
                }
            };
        }
        Ok(())
    }

    fn step(&mut self, state: State, byte: u8) -> Result<State, Refused> {
        Ok(match state {
            State::Count(mut int) => match int.push(byte) {
                Some(0) => State::Base(Int::new(7)),
                Some(_) => return Err(Refused::Undecodable),
                None => int.or_opaque(State::Count(int)),
            },
            State::Base(mut int) => match int.push(byte) {
                Some(_) => State::Line,
                None => int.or_opaque(State::Base(int)),
            },
            State::Line => match byte {
                0b1100_0000.. => self.step(State::Index(Int::new(6)), byte)?,
                0b0101_0000..0b0110_0000 | 0b0111_0000..0b1000_0000 => {
                    self.step(State::NameIndex(Int::new(4)), byte)?
                }
                0b0010_0000..0b0100_0000 => {
                    let huffman = byte & 0b1000 != 0;
                    self.step(State::NameLength { huffman, length: Int::new(3) }, byte)?
                }
                // Of the dynamic table.
                _ => State::Opaque,
            },
            State::Index(mut int) => match int.push(byte) {
                // An authority without a value.
                Some(0) => return Err(Refused::Malformed),
                Some(index) => {
                    self.came(of_static(index))?;
                    State::Line
                }
                None => int.or_opaque(State::Index(int)),
            },
            State::NameIndex(mut int) => match int.push(byte) {
                Some(index) => State::ValueLength { name: of_static(index), length: Int::new(7) },
                None => int.or_opaque(State::NameIndex(int)),
            },
            State::NameLength { huffman, mut length } => match length.push(byte) {
                Some(0) => State::Opaque,
                Some(left) => {
                    State::Name(Name { huffman, left, bytes: [0; NAME_BYTES_MAX], len: 0 })
                }
                None => length.or_opaque(State::NameLength { huffman, length }),
            },
            State::Name(mut name) => {
                if let Some(slot) = name.bytes.get_mut(name.len) {
                    *slot = byte;
                    name.len += 1;
                }
                name.left -= 1;
                match name.left {
                    0 => State::ValueLength { name: name.kind(), length: Int::new(7) },
                    _ => State::Name(name),
                }
            }
            State::ValueLength { name, mut length } => match length.push(byte) {
                Some(0) if name != Kind::Regular => return Err(Refused::Malformed),
                Some(left) => {
                    self.came(name)?;
                    if left == 0 { State::Line } else { State::Value(left) }
                }
                None => length.or_opaque(State::ValueLength { name, length }),
            },
            State::Value(_) | State::Opaque => state,
        })
    }

    /// RFC 9114, 4.3: pseudo fields come first, once, and not in trailers.
    fn came(&mut self, kind: Kind) -> Result<(), Refused> {
        match kind {
            Kind::Regular => self.regular = true,
            Kind::Foreign => return Err(Refused::Malformed),
            Kind::Pseudo(bit) => {
                let bit = 1 << bit;
                if self.of_trailers || self.regular || self.seen & bit != 0 {
                    return Err(Refused::Malformed);
                }
                self.seen |= bit;
            }
        }
        Ok(())
    }
}

impl Name {
    fn kind(&self) -> Kind {
        let name = self.bytes.get(..self.len).unwrap_or_default();
        let found = NAMES.iter().find(|(plain, code, _)| {
            let pattern = if self.huffman { code } else { plain };
            *pattern == name
        });
        let first = name.first().copied().unwrap_or(0);
        let is_pseudo = if self.huffman { first >> 1 == HUFFMAN_COLON } else { first == b':' };
        match found {
            Some((_, _, kind)) => *kind,
            None if is_pseudo => Kind::Foreign,
            None => Kind::Regular,
        }
    }
}

/// An entry of the static table (RFC 9204, appendix A).
fn of_static(index: u64) -> Kind {
    match index {
        0 => AUTHORITY,
        1 => PATH,
        15..=21 => METHOD,
        22 | 23 => SCHEME,
        // `:status`.
        24..=28 | 63..=71 => Kind::Foreign,
        _ => Kind::Regular,
    }
}

/// An integer on its way (RFC 9204, 4.1.1), whose first byte has other bits before it.
#[derive(Clone, Copy, Debug)]
struct Int {
    value: u64,
    /// Bits of the first byte, until that has come.
    prefix: Option<u32>,
    /// How far the next bits are shifted.
    shift: u32,
}

impl Int {
    fn new(prefix: u32) -> Self {
        Self { value: 0, prefix: Some(prefix), shift: 0 }
    }

    fn push(&mut self, byte: u8) -> Option<u64> {
        if let Some(prefix) = self.prefix.take() {
            let mask = u8::MAX >> (8 - prefix);
            self.value = u64::from(byte & mask);
            return (byte & mask < mask).then_some(self.value);
        }
        if self.is_too_long() {
            return None;
        }
        self.value += u64::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        (byte & 0x80 == 0).then_some(self.value)
    }

    fn is_too_long(&self) -> bool {
        self.shift > 56
    }

    /// Longer than any integer may be, it cannot be walked.
    fn or_opaque(&self, state: State) -> State {
        if self.is_too_long() { State::Opaque } else { state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a section: `=17` an entry of the static table, `1=/x` its name with a value,
    /// `:path=/x` in plain text, `~b958d33f=/x` a name in Huffman's code.
    fn section(lines: &str) -> Vec<u8> {
        let mut out = vec![0, 0];
        for line in lines.split_whitespace() {
            let (name, value) = line.split_once('=').unwrap();
            if name.is_empty() {
                int(&mut out, 0b1100_0000, 6, value.parse().unwrap());
                continue;
            }
            if let Ok(index) = name.parse() {
                int(&mut out, 0b0101_0000, 4, index);
            } else if let Some(code) = name.strip_prefix('~') {
                let code: Vec<u8> = (0..code.len() / 2)
                    .map(|at| u8::from_str_radix(&code[2 * at..2 * at + 2], 16).unwrap())
                    .collect();
                int(&mut out, 0b0010_1000, 3, code.len());
                out.extend(code);
            } else {
                int(&mut out, 0b0010_0000, 3, name.len());
                out.extend(name.as_bytes());
            }
            int(&mut out, 0, 7, value.len());
            out.extend(value.as_bytes());
        }
        out
    }

    fn int(out: &mut Vec<u8>, flags: u8, prefix: u32, value: usize) {
        let mask = usize::from(u8::MAX >> (8 - prefix));
        if value < mask {
            return out.push(flags | value as u8);
        }
        out.push(flags | mask as u8);
        let mut rest = value - mask;
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    #[test]
    fn pseudo_fields_come_first_and_once() {
        use Refused::Malformed;
        let long = format!("=17 =23 0=a 1=/ {}=1 x={}", "n".repeat(300), "v".repeat(70_000));
        #[rustfmt::skip]
        let table = [
            // lines                                       refused         why
            ("=17 =23 0=a.test 1=/x accept=a",             Ok(()),         "as clients send it"),
            (":method=GET :scheme=https :authority=a :path=/ a=b", Ok(()), "in plain text"),
            ("~b9495339e4=GET ~b8824e5a4b=x ~b83b5339ec327d7f=a ~b958d33f=/ a=b", Ok(()), "in code"),
            ("=15 0=a :protocol=websocket =23 1=/",        Ok(()),         "an extended CONNECT"),
            (&long,                                        Ok(()),         "long names and values"),
            ("=17 =23 0=a 1=/x 1=/y",                      Err(Malformed), "twice"),
            ("=17 =23 0=a 1=/x :path=/y",                  Err(Malformed), "twice, in two ways"),
            ("=17 =23 0=a 1=/x ~b958d33f=/y",              Err(Malformed), "twice, once in code"),
            ("=17 =20 =23 0=a 1=/",                        Err(Malformed), "two methods"),
            ("=17 =23 a=b 1=/ 0=a",                        Err(Malformed), "after another field"),
            ("=17 =23 =72 1=/ 0=a",                        Err(Malformed), "after an indexed field"),
            ("=17 =23 0=a 1=/ =25",                        Err(Malformed), "of responses"),
            ("=17 =23 0=a 1=/ :status=200",                Err(Malformed), "of responses, in text"),
            ("=17 =23 0=a 1=/ :unknown=1",                 Err(Malformed), "unknown"),
            ("=17 =23 0=a 1=/ :authorities=1",             Err(Malformed), "longer than any"),
            ("=17 =23 0=a 1=",                             Err(Malformed), "empty"),
            ("=17 =23 0= 1=/",                             Err(Malformed), "an empty authority"),
            ("=17 =23 =0 1=/",                             Err(Malformed), "the same, indexed"),
            ("=17 =23 0=a 1=/ a=",                         Ok(()),         "an empty value"),
        ];
        for (lines, refused, why) in table {
            let bytes = section(lines);
            for piece in [1, 3, bytes.len()] {
                let mut walked = Section::new(false);
                let got = bytes.chunks(piece).try_for_each(|piece| walked.take(piece));
                assert_eq!(got, refused, "{lines}: {why}, in pieces of {piece}");
            }
        }
        assert_eq!(Section::new(true).take(&section("a=b")), Ok(()));
        assert_eq!(Section::new(true).take(&section("a=b 1=/")), Err(Malformed));
        assert_eq!(Section::new(true).take(&section("=25")), Err(Malformed));
    }

    #[test]
    fn a_dynamic_table_is_not_there() {
        let mut of_insert_count = section("=17");
        of_insert_count[0] = 2;
        let refused = Section::new(false).take(&of_insert_count);
        assert_eq!(refused, Err(Refused::Undecodable));
        // References into it, and integers without end: whoever decodes refuses them.
        for line in [0x80_u8, 0x10, 0x00, 0x40] {
            assert_eq!(Section::new(false).take(&[0, 0, line, 0xff, 0xff]), Ok(()));
        }
        assert_eq!(Section::new(false).take(&[0xff; 40]), Ok(()));
        assert_eq!(Section::new(false).take(&[&[0, 0][..], &[0xff; 40]].concat()), Ok(()));
    }
}

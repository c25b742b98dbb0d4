//! Archives that somebody made to hurt, and those that other programs make.

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::Header;

use super::*;
use crate::build::{Content, Source, build};

const MANIFEST: &[u8] = b"name: web\nversion: 1\n";

/// An entry as bytes that no library would write.
fn raw(name: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
    sized(name, kind, content.len() as u64, content)
}

fn sized(name: &[u8], kind: u8, size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(size);
    if matches!(kind, b'1' | b'2') {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// The entries every package has.
fn least() -> Vec<u8> {
    let mut tar = raw(b"manifest.yaml", b'0', MANIFEST);
    tar.extend(raw(b"scripts/start.sh", b'0', b"#!/bin/sh\n"));
    tar.extend(raw(b"scripts/stop.sh", b'0', b"#!/bin/sh\n"));
    tar
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn packed(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut tar = least();
    tar.extend(entries.concat());
    tar.extend([0; 1024]);
    gzip(&tar)
}

fn refusal(entries: &[Vec<u8>]) -> String {
    match inspect(&*packed(entries), &Limits::default()) {
        Ok(package) => format!("taken: {package:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_plain_archive_is_read_and_written_again_plainly() {
    let mut owned = Header::new_gnu();
    owned.set_path("bin/web").unwrap();
    owned.set_mode(0o6711);
    owned.set_uid(1000);
    owned.set_size(2);
    owned.set_cksum();
    let mut owned = owned.as_bytes().to_vec();
    owned.extend(b"hi");
    owned.resize(1024, 0);
    let mut out = Vec::new();
    let archive = packed(&[raw(b"./", b'5', b""), raw(b"./bin/", b'5', b""), owned]);
    let package = rewrite(&*archive, &Limits::default(), &mut out).unwrap();
    assert_eq!((package.files, package.bytes), (4, 2 + 20 + MANIFEST.len() as u64));
    assert_eq!(inspect(&*out, &Limits::default()).unwrap(), package);
    let mut tar = tar::Archive::new(GzDecoder::new(&*out));
    let written: Vec<_> = tar.entries().unwrap().map(|entry| told(&entry.unwrap())).collect();
    #[rustfmt::skip]
    assert_eq!(written, [
        ("manifest.yaml".to_owned(), 0o644, 0), ("scripts/start.sh".to_owned(), 0o755, 0),
        ("scripts/stop.sh".to_owned(), 0o755, 0), ("bin/".to_owned(), 0o755, 0),
        ("bin/web".to_owned(), 0o755, 0),
    ]);
}

fn told<R: Read>(entry: &Entry<'_, R>) -> (String, u32, u64) {
    let header = entry.header();
    let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
    (path, header.mode().unwrap(), header.uid().unwrap() + header.mtime().unwrap())
}

#[test]
fn hostile_entries_are_refused() {
    #[rustfmt::skip]
    let table = [
        // entries                                                         says
        (vec![raw(b"/etc/cron.d/x", b'0', b"")],                           "`/etc/cron.d/x` is absolute"),
        (vec![raw(b"../x", b'0', b"")],                                    "`../x` has `..` in it"),
        (vec![raw(b"bin/../../x", b'0', b"")],                             "`bin/../../x` has `..` in it"),
        (vec![raw(b"a\xff", b'0', b"")],                                   "`a\\xff` has a character"),
        (vec![raw(b"bin/x", b'1', b"")],                                   "`bin/x` is a hard link"),
        (vec![raw(b"bin/x", b'2', b"")],                                   "`bin/x` is a symbolic link"),
        (vec![raw(b"bin/x", b'3', b"")],                                   "`bin/x` is a device"),
        (vec![raw(b"bin/x", b'4', b"")],                                   "`bin/x` is a device"),
        (vec![raw(b"bin/x", b'6', b"")],                                   "`bin/x` is a pipe"),
        (vec![raw(b"bin/x", b'S', b"")],                                   "`bin/x` is a sparse file"),
        (vec![raw(b"bin/x", b'K', b"/etc/passwd\0")],                      "`bin/x` is of an unknown kind"),
        (vec![raw(b"x", b'0', b""), raw(b"x", b'0', b"")],                 "`x` is there twice"),
        (vec![raw(b"x", b'0', b""), raw(b"./x", b'0', b"")],               "`x` is there twice"),
        (vec![raw(b"x", b'0', b""), raw(b"x/y", b'0', b"")],               "`x` is there twice"),
        (vec![raw(b"x/y", b'0', b""), raw(b"x", b'0', b"")],               "`x` is there twice"),
        (vec![raw(b"scripts/start.sh", b'0', b"")],                        "`scripts/start.sh` is there twice"),
        (vec![raw(b"x/", b'0', b"")],                                      "a file named like a folder"),
        (vec![raw(b"x/", b'5', b"content")],                               "a folder with content"),
        (vec![raw(b"", b'0', b"")],                                        "is empty"),
        (vec![raw(b".proxyd-package", b'0', b"")],                         "which is not for packages"),
        (vec![raw(b"manifest.toml", b'0', b"name=\"a\"\nversion=\"1\"\n")], "a manifest.yaml and a manifest.toml"),
        (vec![raw(b"L", b'L', b"../x\0"), raw(b"x", b'0', b"")],           "`../x` has `..` in it"),
        (vec![raw(b"L", b'L', b"a\0"), raw(b"L", b'L', b"b\0")],           "two names for one entry"),
        (vec![raw(b"L", b'L', b"a\0")],                                    "a name without an entry"),
        (vec![raw(b"x", b'x', b"13 path=../x\n"), raw(b"x", b'0', b"")],   "`../x` has `..` in it"),
        (vec![raw(b"x", b'x', b"10 size=5\n"), raw(b"x", b'0', b"")],      "a size in an extended header"),
        (vec![raw(b"x", b'x', b"22 GNU.sparse.major=1\n"), raw(b"x", b'0', b"")], "a sparse file"),
        (vec![raw(b"x", b'g', b"10 path=x\n"), raw(b"x", b'0', b"")],      "one name for all entries"),
        (vec![raw(b"x", b'x', b"nonsense"), raw(b"x", b'0', b"")],         "broken"),
        (vec![sized(b"x", b'0', 1 << 40, b"short")],                       "broken"),
        (vec![sized(b"x", b'0', u64::MAX, b"short")],                      "broken"),
        (vec![raw(b"L", b'L', &[b'a'; 70_000])],                           "an extended header in bytes is more than 65536"),
        (vec![vec![0; 1024], raw(b"x", b'0', b"")],                        "something behind its end"),
    ];
    for (entries, says) in table {
        let said = refusal(&entries);
        assert!(said.contains(says), "wanted {says:?}: {said}");
    }
}

#[test]
fn what_tar_programs_write_is_taken() {
    let long = format!("lib/{}", "a".repeat(150));
    let pax = format!("{} path={long}\n", long.len() + 10);
    assert_eq!(pax.len(), long.len() + 10);
    #[rustfmt::skip]
    let table = [
        vec![raw(b"L", b'L', format!("{long}\0").as_bytes()), raw(b"lib/a", b'0', b"x")],
        vec![raw(b"x", b'x', pax.as_bytes()), raw(b"lib/a", b'0', b"x")],
        vec![raw(b"x", b'x', b"20 mtime=1700000.25\n"), raw(b"lib/a", b'0', b"x")],
        vec![raw(b"g", b'g', b"14 comment=ab\n"), raw(b"lib/a", b'0', b"x")],
        vec![raw(b"lib/a", 0, b"x")],
        vec![raw(b"lib/a", b'0', b"x"), raw(b"lib", b'5', b"")],
    ];
    for entries in table {
        assert!(inspect(&*packed(&entries), &Limits::default()).is_ok(), "{}", refusal(&entries));
    }
}

#[test]
fn whatever_is_missing_is_named() {
    let whole = [
        raw(
            b"manifest.yaml",
            b'0',
            b"name: web\nversion: 1\nhealth: { script: scripts/well.sh }\n",
        ),
        raw(b"scripts/start.sh", b'0', b""),
        raw(b"scripts/stop.sh", b'0', b""),
        raw(b"scripts/well.sh", b'0', b""),
    ];
    let says = ["no manifest.yaml", "`scripts/start.sh`", "`scripts/stop.sh`", "`scripts/well.sh`"];
    for (left_out, says) in says.into_iter().enumerate() {
        let mut some = whole.to_vec();
        some.remove(left_out);
        let error = inspect(&*gzip(&some.concat()), &Limits::default()).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    assert!(inspect(&*gzip(&whole.concat()), &Limits::default()).is_ok());
}

#[test]
fn bounds_are_held_at_the_bound_and_one_past_it() {
    // Three files and the folder of two of them.
    let archive = packed(&[]);
    let unpacked = least().len() as u64 + 1024;
    let at = Limits {
        packed_bytes_max: archive.len() as u64,
        unpacked_bytes_max: unpacked,
        entries_max: 4,
        ..Limits::default()
    };
    assert!(inspect(&*archive, &at).is_ok());
    let past = [
        (Limits { packed_bytes_max: at.packed_bytes_max - 1, ..at }, "its size in bytes"),
        (Limits { unpacked_bytes_max: unpacked - 1, ..at }, "the unpacked size in bytes"),
        (Limits { entries_max: 3, ..at }, "the number of files and folders"),
    ];
    for (limits, says) in past {
        let error = inspect(&*archive, &limits).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn bombs_are_refused_wherever_they_lie() {
    let zeros = vec![0; 32 << 20];
    for entries in [
        vec![raw(b"bin/x", b'0', &zeros)],
        // Skipped and not read: the entry before it names nothing that is kept.
        vec![raw(b"bin/x", b'2', &zeros)],
        vec![vec![0; 1024], zeros.clone()],
    ] {
        let said = refusal(&entries);
        let linked = said.contains("symbolic link");
        assert!(linked || said.contains("unpacks to more than 100 times its size"), "{said}");
    }
}

#[test]
fn what_is_no_archive_is_said_to_be_none() {
    let mut twice = packed(&[]);
    twice.extend(packed(&[]));
    let cut = packed(&[]);
    for bytes in [&b""[..], b"PK\x03\x04", &gzip(b"hello"), &twice, &cut[..cut.len() - 9]] {
        let error = inspect(bytes, &Limits::default()).unwrap_err();
        let known = matches!(error, PackageError::Malformed(_) | PackageError::NoManifest(_));
        assert!(known, "{error:?}");
    }
}

/// A name as somebody who means harm would choose it.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let parts: Vec<&'static [u8]> = vec![
        b"..",
        b".",
        b"",
        b"bin",
        b"x",
        b"\xff",
        b"\\",
        b"manifest.yaml",
        b"scripts",
        b"start.sh",
    ];
    let part = prop::sample::select(parts);
    prop::collection::vec(part, 1..6).prop_map(|parts| parts.join(&b'/'))
}

fn entry() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(&b"0012345567LKxgSVMD\0"[..]);
    let size = prop_oneof![Just(None), any::<u64>().prop_map(Some)];
    (name(), kind, prop::collection::vec(any::<u8>(), 0..600), size).prop_map(
        |(name, kind, content, size)| {
            sized(&name, kind, size.unwrap_or(content.len() as u64), &content)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever passes is harmless and reads the same again.
    #[test]
    fn what_passes_is_plain(entries in prop::collection::vec(entry(), 0..5)) {
        let mut out = Vec::new();
        if let Ok(package) = rewrite(&*packed(&entries), &Limits::default(), &mut out) {
            prop_assert_eq!(inspect(&*out, &Limits::default()).unwrap(), package);
            let mut tar = tar::Archive::new(GzDecoder::new(&*out));
            for entry in tar.entries().unwrap() {
                let entry = entry.unwrap();
                let kind = entry.header().entry_type();
                prop_assert!(matches!(kind, EntryType::Regular | EntryType::Directory));
                let path = entry.path().unwrap();
                prop_assert!(path.is_relative());
                prop_assert!(!path.components().any(|part| part.as_os_str() == ".."));
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let _ = inspect(&*bytes, &Limits::default());
        let _ = inspect(&*gzip(&bytes), &Limits::default());
    }

    #[test]
    fn a_broken_byte_never_makes_it_panic(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut tar = least();
        let at = at.index(tar.len());
        tar[at] = to;
        let _ = inspect(&*gzip(&tar), &Limits::default());
    }

    #[test]
    fn what_was_built_is_read(names in prop::collection::btree_set("[a-z]{1,120}", 0..8)) {
        let file = |path: &str, content: &[u8]| Source {
            path: EntryPath::read(path.as_bytes()).unwrap(),
            executable: false,
            content: Content::Bytes(content.to_vec()),
        };
        let mut files = vec![
            file("manifest.yaml", MANIFEST), file("scripts/start.sh", b""), file("scripts/stop.sh", b""),
        ];
        files.extend(names.iter().map(|name| file(&format!("lib/{name}"), name.as_bytes())));
        let mut out = Vec::new();
        let built = build(files, &Limits::default(), &mut out).unwrap();
        prop_assert_eq!(inspect(&*out, &Limits::default()).unwrap(), built);
    }
}

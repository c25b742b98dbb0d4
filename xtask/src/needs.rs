//! What has to be installed for the tests stands in the README and in what CI runs: both must name
//! the same, or one of them is wrong on a fresh machine.

use std::collections::BTreeSet;

use crate::shell::root;

/// Installed by CI, and not named by the README: the first two are for fuzzing alone, and the rest
/// comes with what the README names, or with every Debian.
const CI_ALONE: &[&str] = &["g++", "make", "python3", "python3-venv", "util-linux"];
/// The other way round: CI makes itself a folder with a `pip` in it.
const README_ALONE: &[&str] = &["python3-pip"];

const INSTALLERS: &[&str] = &["apt-get install", "pip install", "npm install"];

#[test]
fn the_readme_installs_what_ci_does() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect(path);
    let differences = differences(&read("README.md"), &read(".ci/run"));
    assert_eq!(differences, Vec::<String>::new());
}

#[test]
fn differences_are_seen() {
    let readme = "sh\napt-get install -y gcc dig python3-pip && pip install --user ws-py && \
                  npm install --prefix ~/node ws && cargo nextest run\n";
    let ci = "declare -A package=(\n  [cc]=gcc [c++]=g++\n  [dig]=dig\n)\n\
              echo \"please run: apt-get install ${missing[*]}\" >&2; exit 1;\n\
              apt-get install -y -qq --no-install-recommends python3-venv >/dev/null\n\
              \"$venv/bin/pip\" install --quiet ws-py==1.2\n\
              npm install --silent --prefix \"$node\" ws@8.1\n";
    #[rustfmt::skip]
    let table = [
        // in the README            in CI                      says
        (("", ""),                  ("", ""),                  None),
        (("gcc dig", "gcc"),        ("", ""),                  Some("dig is in .ci/run alone")),
        (("gcc dig", "gcc dig ip"), ("", ""),                  Some("ip is in README.md alone")),
        (("", ""),                  ("[dig]=dig", ""),         Some("dig is in README.md alone")),
        (("", ""),                  ("[dig]", "[ip]=ip [dig]"), Some("ip is in .ci/run alone")),
        (("ws-py", "ws-js"),        ("ws-py", "ws-js"),        None),
        (("", ""),                  ("ws-py==", "ws-rs=="),    Some("ws-py is in README.md alone, ws-rs is in .ci/run alone")),
        (("node ws", "node"),       ("", ""),                  Some("ws is in .ci/run alone")),
        (("", ""),                  ("[c++]=g++", ""),         None),
    ];
    for ((of_readme, readme_has), (of_ci, ci_has), says) in table {
        let (readme, ci) = (readme.replace(of_readme, readme_has), ci.replace(of_ci, ci_has));
        assert_eq!(differences(&readme, &ci).join(", "), says.unwrap_or_default(), "{readme}{ci}");
    }
}

fn differences(readme: &str, ci: &str) -> Vec<String> {
    let (readme, ci) = (installed(readme), installed(ci));
    let only = |of: &BTreeSet<String>, other: &BTreeSet<String>, known: &[&str], place: &str| {
        let only = of.difference(other).filter(|name| !known.contains(&name.as_str()));
        only.map(|name| format!("{name} is in {place} alone")).collect::<Vec<_>>()
    };
    let mut found = only(&readme, &ci, README_ALONE, "README.md");
    found.extend(only(&ci, &readme, CI_ALONE, ".ci/run"));
    found
}

/// Packages, without their versions: of commands that install them, and of the table of programs and
/// the packages that they are in.
fn installed(text: &str) -> BTreeSet<String> {
    let text = text.replace('"', "");
    let table = text.split_once("declare -A package=(").map_or("", |(_, rest)| rest);
    let table = table.split_once("\n)").map_or("", |(table, _)| table).split_whitespace();
    let mut all: BTreeSet<_> =
        table.filter_map(|entry| entry.split_once("]=")).map(|(_, of)| of.to_owned()).collect();
    for installer in INSTALLERS {
        let commands = text.split(installer).skip(1).filter_map(|rest| rest.lines().next());
        for command in commands {
            let ends = |word: &&str| !matches!(*word, "&&" | "||") && !word.starts_with('>');
            let mut words = command.split_whitespace().take_while(ends);
            while let Some(word) = words.next() {
                match word {
                    // Takes the next word along.
                    "--prefix" => drop(words.next()),
                    word if word.starts_with('-') || word.contains('$') => {}
                    word => {
                        let name = word.split(['@', '=']).next().unwrap_or(word);
                        all.insert(name.trim_end_matches(';').to_owned());
                    }
                }
            }
        }
    }
    all
}

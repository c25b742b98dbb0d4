//! Manifests, good and bad, in both spellings.

use super::*;

const YAML: &str = "\
name: web shop
version: 1.10
description: Sells
service:
  type: managed_process
  ports:
    - { name: http, port: 8080, protocol: http }
depends_on: [db]
requires:
  commands: [python3]
  libraries: [libssl.so.3]
health:
  script: scripts/health.sh
  interval: 5
  timeout: 1m
";

const TOML: &str = r#"
name = "web shop"
version = "1.10"
description = "Sells"
depends_on = ["db"]

[service]
type = "managed_process"
ports = [{ name = "http", port = 8080, protocol = "http" }]

[requires]
commands = ["python3"]
libraries = ["libssl.so.3"]

[health]
script = "scripts/health.sh"
interval = 5
timeout = "1m"
"#;

#[test]
fn both_spellings_say_the_same() {
    let yaml = Manifest::parse(Format::Yaml, YAML).unwrap();
    assert_eq!(yaml, Manifest::parse(Format::Toml, TOML).unwrap());
    assert_eq!(yaml.file(), "web_shop-1.10.tar.gz");
    assert_eq!(yaml.service.ports[0].port.get(), 8080);
    let health = yaml.health.unwrap();
    assert_eq!((health.interval.get(), health.timeout.get()), (5, 60));
}

#[test]
fn a_name_and_a_version_are_enough() {
    let least = Manifest::parse(Format::Yaml, "name: web\nversion: 1\n").unwrap();
    assert_eq!(least.folder(), "web-1");
    assert_eq!(least.health, None);
    let toml = "name = \"web\"\nversion = \"1\"\n[health]\nscript = \"h\"\n";
    let health = Manifest::parse(Format::Toml, toml).unwrap().health.unwrap();
    assert_eq!((health.interval.get(), health.timeout.get()), (2, 30));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    use Format::{Toml, Yaml};
    #[rustfmt::skip]
    let table = [
        // format, text                                                     says
        (Yaml, "name: web\n",                                               "missing field"),
        (Yaml, "name: web\nversion: 1\nhelth: x\n",                         "manifest.yaml:3:1: "),
        (Yaml, "name: web\nversion: '-'\n",                                 "manifest.yaml:2:10: version must begin"),
        (Yaml, "name: web\nversion: 1\nhealth:\n  script: ../x\n",          "manifest.yaml:4:11: has `..` in it"),
        (Yaml, "name: web\nversion: 1\nhealth:\n  script: x\n  timeout: 1h\n", "manifest.yaml:5:12: must be from 1"),
        (Yaml, "name: web\nversion: 1\nrequires:\n  commands:\n  - a;b\n",  "manifest.yaml:5:5: must be letters"),
        (Yaml, "name: web\nname: web\nversion: 1\n",                        "manifest.yaml:2:1: "),
        (Yaml, "name: [\n",                                                 "manifest.yaml:"),
        (Yaml, "",                                                          "manifest.yaml:1:1: "),
        (Toml, "name = \"web\"\n",                                          "missing field `version`"),
        (Toml, "name = \"web\"\nversion = 1\n",                             "manifest.toml:2:11: invalid type"),
        (Toml, "name = \"web\"\nversion = \"1\"\nhelth = 1\n",              "manifest.toml:3:1: unknown field `helth`"),
        (Toml, "name = \"web\"\nversion = \"..\"\n",                        "manifest.toml:2:11: version must begin"),
        (Toml, "name = ",                                                   "manifest.toml:1:"),
    ];
    for (format, text, says) in table {
        let error = Manifest::parse(format, text).unwrap_err().to_string();
        assert!(error.contains(says), "{text:?} says {error:?}, not {says:?}");
        assert!(!error.contains('\n'), "{error:?}");
    }
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = String::from("name: web\nversion: 1\na0: &a0 [x, x]\n");
    for level in 1..40 {
        let below = level - 1;
        text += &format!("a{level}: &a{level} [*a{below}, *a{below}]\n");
    }
    assert!(Manifest::parse(Format::Yaml, &text).is_err());
    let deep = format!("name: web\nversion: 1\ndepends_on: {}", "[".repeat(20_000));
    assert!(Manifest::parse(Format::Yaml, &deep).is_err());
}

#[test]
fn lists_are_as_long_as_the_bound_and_no_longer() {
    let manifest = |count| {
        let commands = vec!["sh"; count].join(", ");
        format!("name: web\nversion: 1\nrequires: {{ commands: [{commands}] }}\n")
    };
    assert!(Manifest::parse(Format::Yaml, &manifest(LIST_MAX)).is_ok());
    assert!(Manifest::parse(Format::Yaml, &manifest(LIST_MAX + 1)).is_err());
}

//! What is generated from the table of commands.

use std::fmt::Write as _;

use crate::command::{COMMANDS, Command, Speaks, usage};

/// The table of commands for the manual, in Markdown.
pub fn protocol_table() -> String {
    let mut out =
        String::from("| command | version | answer | what it does |\n| --- | --- | --- | --- |\n");
    for command in COMMANDS {
        let version = match command.speaks {
            Speaks::V1 => "v1",
            Speaks::V2 => "v2",
            Speaks::Both => "v1, v2",
            Speaks::Extension => "ours",
        };
        let form = usage(command).replace("usage: ", "").replace(' ', "\\|");
        let answer = command.answer.replace('|', "\\|");
        let about = command.about.replace('|', "\\|");
        // Writing into a String cannot fail.
        let _ = writeln!(out, "| `{form}` | {version} | `{answer}` | {about} |");
    }
    out
}

/// Words for the fuzzer, in libFuzzer's dictionary format.
pub fn fuzz_dictionary() -> String {
    let mut words: Vec<&str> = COMMANDS.iter().map(|command: &Command| command.name).collect();
    words.extend(["|", "ALL", "compressed", "from=r1", "r1", "r2", "null", "{}", "[]"]);
    words.extend([
        "http://",
        "errors<5%",
        "p99<200ms",
        "30s",
        "1h30m",
        "off",
        "tcp",
        "req:",
        "+",
        "-",
    ]);
    words.extend(["domains", "path", "backend_url", "priority", "routes,headers", "*.", "**."]);
    words.iter().fold(String::new(), |mut out, word| {
        let _ = writeln!(out, "\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""));
        out
    })
}

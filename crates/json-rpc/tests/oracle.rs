//! What plexus-registry 0.1.1 said to everything its clients ask, beside what we say to the same.
//!
//! `tests/peers/plexus/ask.py` recorded it from the published program. We may say more (reasons,
//! instances), never less; where we say something else on purpose, the table below has it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use runtime::Clock;
use serde_json::{Value, json};
use support::{Running, until};

const RECORDED: &str = include_str!("../../../tests/peers/plexus/answers.jsonl");

/// Where we differ: the place in what was asked and answered, theirs, ours.
///
/// The hub's errors hide what was wrong; what is documented and does not exist there exists here; a
/// number is JSON, so it parses; the schema names what there is and gives bounds that are true.
#[rustfmt::skip]
const DIFFERENT: &[(&str, &str, &str)] = &[
    (r#"{"method":"registry-hub.schema"} 1 params result content methods"#, "4 of them", "3 of them"),
    (r#"{"method":"registry-hub.schema"} 1 params result content methods 0 streaming"#, "true", "false"),
    (r#"{"method":"registry-hub.schema"} 1 params result content methods 2 name"#, r#""hashes""#, r#""schema""#),
    (r#"{"method":"registry-hub.call","params":{"method":"registry-hub.schema"}} 1 params result content methods"#, "4 of them", "3 of them"),
    (r#"{"method":"registry-hub.call","params":{"method":"registry-hub.schema"}} 1 params result content methods 0 streaming"#, "true", "false"),
    (r#"{"method":"registry-hub.call","params":{"method":"registry-hub.schema"}} 1 params result content methods 2 name"#, r#""hashes""#, r#""schema""#),
    (r#"{"method":"registry-hub.call","params":{"method":"registry-hub.schema"}} 1 params result content_type"#, r#""plexus.schema""#, r#""registry-hub.schema""#),
    (r#"{"method":"registry-hub.call","params":{"method":"registry-hub.schema"}} 1 params result metadata provenance 0"#, r#""plexus""#, r#""registry-hub""#),
    (r#"{"method":"registry-hub.call","params":{"method":"registry-hub.schema"}} 2 params result metadata provenance 0"#, r#""plexus""#, r#""registry-hub""#),
    (r#"{"method":"registry-hub.call","params":{"method":"registry-hub.hash"}} 1 params result content_type"#, r#""plexus.hash""#, r#""registry-hub.hash""#),
    (r#"{"method":"registry-hub.call","params":{"method":"registry-hub.hash"}} 1 params result metadata provenance 0"#, r#""plexus""#, r#""registry-hub""#),
    (r#"{"method":"registry-hub.call","params":{"method":"registry-hub.hash"}} 2 params result metadata provenance 0"#, r#""plexus""#, r#""registry-hub""#),
    (r#"{"method":"registry-hub.call","params":{"method":"registry.schema"}} 1 params result content methods"#, "8 of them", "7 of them"),
    (r#"{"method":"registry-hub.call","params":{"method":"registry.schema"}} 1 params result content methods 0 params properties port minimum"#, "0", "1"),
    (r#"{"method":"registry-hub.call","params":{"method":"registry.schema"}} 1 params result content methods 3 params properties port minimum"#, "0", "1"),
    (r#"{"method":"registry-hub.call","params":{"method":"registry.nothing","params":{}}} 0 error code"#, "-32603", "-32601"),
    (r#"{"method":"registry-hub.call","params":{"method":"registry.nothing","params":{}}} 0 error message"#, r#""Internal error""#, r#""Method not found""#),
    (r#"{"method":"registry-hub.call","params":{"method":"nowhere.list","params":{}}} 0 error code"#, "-32603", "-32601"),
    (r#"{"method":"registry-hub.call","params":{"method":"nowhere.list","params":{}}} 0 error message"#, r#""Internal error""#, r#""Method not found""#),
    (r#"{"method":"registry-hub.call","params":{"method":"registry.get","params":{}}} 0 error code"#, "-32603", "-32602"),
    (r#"{"method":"registry-hub.call","params":{"method":"registry.get","params":{}}} 0 error message"#, r#""Internal error""#, r#""Invalid params""#),
    (r#"{"method":"registry-hub.call","params":{}} 0 error code"#, "-32603", "-32602"),
    (r#"{"method":"registry-hub.call","params":{}} 0 error message"#, r#""Internal error""#, r#""Invalid params""#),
    (r#"{"method":"registry_get","params":{}} 0 error data"#, r#""missing field `name` at line 1 column 2""#, r#""name is missing""#),
    (r#"{"method":"registry_register","params":{"host":"h","name":"bad","port":70000}} 0 error data"#, r#""invalid value: integer `70000`, expected u16 at line 1 column 42""#, r#""port must be 1 to 65535""#),
    (r#"{"method":"registry_register","params":{"host":"h","name":"bad","port":"80"}} 0 error data"#, r#""invalid type: string \"80\", expected u16 at line 1 column 41""#, r#""port must be a whole number""#),
    (r#"{"method":"registry.list","params":{}} 0 error"#, r#"{"code":-32601,"message":"Method not found"}"#, "nothing"),
    (r#"{"method":"registry-hub.respond","params":{}} 0 error data"#, r#""missing field `request_id` at line 1 column 2""#, r#""no question of ours waits for an answer""#),
    ("1 0 error code", "-32700", "-32600"),
    ("1 0 error message", r#""Parse error""#, r#""Invalid request""#),
];

/// What differs from run to run is recorded by one of these.
const CHANGING: [&str; 4] = ["S", "T", "U", "H"];

/// Every place where ours lacks or contradicts theirs.
fn differences(place: &str, theirs: &Value, ours: Option<&Value>, found: &mut Vec<[String; 3]>) {
    match (theirs, ours) {
        (Value::String(text), Some(_)) if CHANGING.contains(&text.as_str()) => {}
        (Value::Object(theirs), Some(Value::Object(ours))) => {
            for (key, value) in theirs {
                differences(&format!("{place} {key}"), value, ours.get(key), found);
            }
        }
        (Value::Array(theirs), Some(Value::Array(ours))) => {
            if theirs.len() != ours.len() {
                let counts = [theirs, ours].map(|list| format!("{} of them", list.len()));
                found.push([place.to_owned(), counts[0].clone(), counts[1].clone()]);
            }
            for (index, (value, ours)) in theirs.iter().zip(ours).enumerate() {
                differences(&format!("{place} {index}"), value, Some(ours), found);
            }
        }
        (theirs, Some(ours)) if theirs == ours => {}
        (theirs, ours) => {
            let ours = ours.map_or_else(|| "nothing".to_owned(), Value::to_string);
            found.push([place.to_owned(), theirs.to_string(), ours]);
        }
    }
}

#[tokio::test]
async fn a_hub_of_the_published_program_and_ours_agree() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(|settings| {
        settings.hub = "registry-hub".into();
        settings.backends = Some(folder.path().join("backends.toml"));
    });
    let mut client = running.connect().await;
    let (mut found, clock) = (Vec::new(), Clock::system());
    for (id, line) in RECORDED.lines().enumerate() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let (asked, mut said) = (&recorded["ask"], recorded["say"].as_array().unwrap().clone());
        // It says `done` twice to those who do not go through the hub.
        said.dedup();
        let (text, message) = match asked {
            Value::Object(fields) => {
                let mut request = json!({"jsonrpc": "2.0", "id": id});
                request.as_object_mut().unwrap().extend(fields.clone());
                (asked.to_string(), request.to_string())
            }
            text => (text.as_str().unwrap().to_owned(), text.as_str().unwrap().to_owned()),
        };
        client.send(&message).await;
        for (index, theirs) in said.iter().enumerate() {
            let ours = client.next().await.unwrap();
            differences(&format!("{text} {index}"), theirs, Some(&ours), &mut found);
        }
        // The newest is listed first, and time counts in milliseconds.
        let answered = clock.now().wall;
        until("another millisecond", async || clock.now().wall > answered).await;
    }
    let found: Vec<_> = found.iter().map(|line| line.each_ref().map(String::as_str)).collect();
    let want: Vec<_> =
        DIFFERENT.iter().map(|(place, theirs, ours)| [*place, *theirs, *ours]).collect();
    assert_eq!(found, want, "{found:#?}");
    running.end().await;
}

//! A connection against a scripted peer, on a paused clock.

use tokio::io::duplex;

use super::*;
use crate::peer::play;

const LIMIT: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn answers_and_pushes_are_told_apart() {
    let (ours, theirs) = duplex(64);
    let mut connection = Connection::over(ours, LIMIT);
    let script = [
        ("PING|s", "EVENT|drained|{}\nPONG\n"),
        ("ACK", ""),
        ("MAINT_ENTER|s|ALL|", "ACK\nMAINT_OK|ALL\n"),
        ("MAINT_EXIT|s", "MAINT_OK\n"),
        ("NONSENSE", "ERROR|unknown command: NONSENSE\n"),
    ];
    let asking = async {
        let mut answers = Vec::new();
        for (line, _) in script {
            let said = connection.ask(line).await.unwrap();
            answers.push(said.map(|said| said.line().to_owned()));
        }
        let mut pushes = Vec::new();
        while let Some(said) = connection.next_push().await.unwrap() {
            pushes.push(said.line().to_owned());
        }
        (answers, pushes)
    };
    let ((answers, pushes), ()) = tokio::join!(asking, play(theirs, &script));
    let answers: Vec<_> = answers.iter().map(Option::as_deref).collect();
    let error = Some("ERROR|unknown command: NONSENSE");
    assert_eq!(answers, [Some("PONG"), None, Some("ACK"), Some("MAINT_OK"), error]);
    assert_eq!(pushes, ["EVENT|drained|{}", "MAINT_OK|ALL"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_late_is_never_taken_for_another() {
    let (ours, theirs) = duplex(64);
    let mut connection = Connection::over(ours, LIMIT);
    let error = connection.ask("PING|s").await.unwrap_err();
    assert_eq!(error.to_string(), "no answer within 5s");
    play(theirs, &[("PING|s", "PONG\n")]).await;
    assert!(matches!(connection.ask("STATS_GET|s").await, Err(ConnectionError::Lost)));
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_is_lost() {
    let (ours, theirs) = duplex(64);
    let mut connection = Connection::over(ours, LIMIT);
    drop(theirs);
    assert!(matches!(connection.ask("PING|s").await, Err(ConnectionError::Lost)));
}

#[tokio::test(start_paused = true)]
async fn who_is_no_registry_is_told_by_what_it_says() {
    #[rustfmt::skip]
    let table: &[(&str, Option<&str>)] = &[
        // said                                          shown, or lost
        ("HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n",  Some("HTTP/1.1 400 Bad Request")),
        ("SSH-2.0-OpenSSH_9.2\r\n",                       Some("SSH-2.0-OpenSSH_9.2")),
        ("-ERR unknown command\r\n",                      Some("-ERR unknown command")),
        ("220 mail.test ESMTP\r\n",                       Some("220 mail.test ESMTP")),
        ("<!DOCTYPE HTML>\n",                             Some("<!DOCTYPE HTML>")),
        ("login: ",                                       Some("login:")),
        ("FAILED|no such name\0",                         Some("FAILED|no such name\\0")),
        ("\u{15}\u{3}\u{3}\0\u{2}\u{2}2",                   Some("\\u{15}\\u{3}\\u{3}\\0\\u{2}\\u{2}2")),
        ("OK\n",                                          Some("OK")),
        ("ACK\n",                                         Some("ACK")),
        ("ACK|\n",                                        Some("ACK|")),
        ("ACK|a-1",                                       None),
        ("",                                              None),
    ];
    for (said, shown) in table {
        let (ours, theirs) = duplex(1024);
        let mut connection = Connection::over(ours, LIMIT);
        let registration = Registration::V2 {
            service: model::ServiceName::parse("a").unwrap(),
            instance: model::InstanceName::parse("b").unwrap(),
            maintenance_port: 0,
            metadata: Some("{}".into()),
        };
        let script = [("REGISTER|a|b|0|{}", *said)];
        let (registered, ()) =
            tokio::join!(connection.register(registration), play(theirs, &script));
        let error = registered.unwrap_err().to_string();
        let wanted = match shown {
            Some(shown) => {
                format!("the server does not speak the registry protocol: it said \"{shown}\"")
            }
            None => "the server closed the connection".to_owned(),
        };
        assert_eq!(error, wanted, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_command_is_one_line() {
    let (ours, _theirs) = duplex(64);
    let mut connection = Connection::over(ours, LIMIT);
    let injected = connection.ask("PING|s\nCLIENT_SHUTDOWN|s").await;
    assert!(matches!(injected, Err(ConnectionError::NotOneLine)));
}

#[tokio::test(start_paused = true)]
async fn pushes_are_bounded() {
    let (ours, theirs) = duplex(1 << 20);
    let mut connection = Connection::over(ours, LIMIT);
    let mut said: String =
        (0..=PUSHES_MAX).map(|number| format!("EVENT|drained|{number}\n")).collect();
    said.push_str("PONG\n");
    let script = [("PING|s", said.as_str())];
    let (answer, ()) = tokio::join!(connection.ask("PING|s"), play(theirs, &script));
    assert_eq!(answer.unwrap(), Some(Said::new("PONG")));
    let first = connection.next_push().await.unwrap();
    assert_eq!(first, Some(Said::new("EVENT|drained|1")), "the oldest went");
    assert_eq!(connection.pushes.len(), PUSHES_MAX - 1);
}

#[tokio::test(start_paused = true)]
async fn staging_stops_before_the_apply() {
    let (ours, theirs) = duplex(1024);
    let mut connection = Connection::over(ours, LIMIT);
    let mut desired = Desired::default();
    let spec = crate::route("a.example", "/", "http://b:1").unwrap();
    desired.routes.insert(spec.clone(), crate::RouteWish::default());
    let bulk = "ROUTE_ADD_BULK|s|[{\"domains\":[\"a.example\"],\"path\":\"/\",\
        \"backend_url\":\"http://b:1\",\"priority\":0}]";
    let script = [
        ("AUTH|t", "AUTH_OK\n"),
        ("REGISTER|a|b|0|{}", "ACK|s\n"),
        (bulk, "ROUTE_BULK_OK|[{\"route_id\":\"r4\",\"status\":\"ok\"}]\n"),
        ("CONFIG_VALIDATE|s", "OK\n"),
        ("AUTH|t", "ERROR|authentication failed\n"),
    ];
    let asking = async {
        connection.authenticate("t").await.unwrap();
        let registration = Registration::V2 {
            service: model::ServiceName::parse("a").unwrap(),
            instance: model::InstanceName::parse("b").unwrap(),
            maintenance_port: 0,
            metadata: Some("{}".into()),
        };
        let session = connection.register(registration).await.unwrap();
        let staged = connection.stage(&session, &desired).await.unwrap();
        (staged, connection.authenticate("t").await.unwrap_err())
    };
    let ((staged, refused), ()) = tokio::join!(asking, play(theirs, &script));
    assert_eq!(staged, [(RouteId(4), spec)]);
    assert_eq!(refused.to_string(), "AUTH: authentication failed");
}

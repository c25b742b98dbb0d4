//! `regctl apply`: a file of routes, shown, registered, and held until we are told to stop.

use std::io::{BufRead, IsTerminal, Read};
use std::path::Path;

use client::{Client, Event, Events, Said};
use model::{Registration, Request};

use crate::args::{ApplyArgs, Global};
use crate::events::{Stop, told};
use crate::failure::Failure;
use crate::manifest::Manifest;
use crate::output::Output;
use crate::plan::{Plan, counted};
use crate::reach::{admin, token};

/// A file of a hundred thousand routes has a third of this.
const FILE_BYTES_MAX: u64 = 64 << 20;

pub(crate) async fn run(global: &Global, args: &ApplyArgs, output: &Output) -> Result<(), Failure> {
    if global.session.is_some() || global.register.is_some() {
        let text = "apply registers what its file says: leave out --session and --register";
        return Err(Failure::Usage(text.to_owned()));
    }
    let manifest = load(&args.file)?;
    if args.dry_run {
        let plan = Plan::make(global, args.pin, &manifest).await?;
        return if output.is_json() {
            output.said(plan.diff())
        } else {
            output.write(&plan.shown())
        };
    }
    if !args.yes {
        can_ask(&args.file)?;
        let plan = Plan::make(global, args.pin, &manifest).await?;
        output.talk(plan.shown().trim_end());
        if !confirmed(output)? {
            return Err(Failure::Other("not confirmed; nothing was changed".to_owned()));
        }
    }
    if args.pin {
        pin(global, manifest, output).await
    } else {
        hold(global, manifest, args.retry, output).await
    }
}

fn load(path: &Path) -> Result<Manifest, Failure> {
    let wrong = |what: String| Failure::Usage(format!("{}: {what}", path.display()));
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
    };
    read.map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    Manifest::parse(&text).map_err(|error| Failure::Usage(format!("{}:{error}", path.display())))
}

fn can_ask(file: &Path) -> Result<(), Failure> {
    if file != Path::new("-") && std::io::stdin().is_terminal() {
        return Ok(());
    }
    let text = "there is no terminal to ask for confirmation: give --yes, or --dry-run to look";
    Err(Failure::Usage(text.to_owned()))
}

fn confirmed(output: &Output) -> Result<bool, Failure> {
    output.talk("apply this? [y/N]");
    let mut line = String::new();
    // A terminal gives at most a line, and no longer one than its own bound.
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::Other(format!("cannot read the answer: {error}")))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Registers, applies, and leaves the routes there.
async fn pin(global: &Global, manifest: Manifest, output: &Output) -> Result<(), Failure> {
    let mut connection = admin(global).await?;
    let name = format!("{}/{}", manifest.service, manifest.instance);
    let registration = Registration::V2 {
        service: manifest.service,
        instance: manifest.instance,
        maintenance_port: manifest.maintenance_port,
        metadata: Some(pinned(manifest.metadata)),
    };
    let session = connection.register(registration).await?;
    let routes = connection.stage(&session, &manifest.desired).await?;
    let said = connection.request(Some(session), Request::ConfigApply).await?;
    if let Some(reason) = said.as_ref().and_then(Said::error) {
        return Err(Failure::Refused(reason.to_owned()));
    }
    let routes = counted(routes.len());
    output.state("pinned", &format!("live with {routes} until removed: {name}"))
}

/// What the registry takes as the wish to be pinned: the first key, from an operator.
fn pinned(metadata: Option<String>) -> Box<str> {
    match metadata.as_deref().and_then(|json| json.strip_prefix('{')) {
        None | Some("}") => r#"{"pinned":true}"#.into(),
        Some(rest) => format!(r#"{{"pinned":true,{rest}"#).into(),
    }
}

/// Registers, applies, and stays until TERM or INT.
async fn hold(
    global: &Global,
    manifest: Manifest,
    retry: bool,
    output: &Output,
) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let address = global.registry()?;
    let mut builder = Client::builder(address.clone())
        .service(manifest.service.as_str())
        .instance(manifest.instance.as_str())
        .maintenance_port(manifest.maintenance_port)
        .subscribe_all();
    if let Some(metadata) = manifest.metadata {
        builder = builder.metadata(metadata);
    }
    if let Some(token) = token(global)? {
        builder = builder.token(token);
    }
    let started = builder.start();
    let (client, mut events) = started.map_err(|error| Failure::Usage(error.to_string()))?;
    let away = format!("cannot reach {address}");
    let held = tokio::select! {
        held = stay(&client, &mut events, manifest.desired, retry, output) => held,
        () = stop.asked() => Ok(()),
    };
    let said_goodbye = client.shutdown().await;
    held.map_err(|failure| match failure {
        Failure::Unreachable(reason) => Failure::Unreachable(format!("{away}: {reason}")),
        other => other,
    })?;
    if said_goodbye {
        output.state("ended", "said goodbye; the routes are gone")
    } else {
        let text = "the registry is away and took no goodbye: it keeps the routes for its grace";
        Err(Failure::Other(text.to_owned()))
    }
}

/// Comes back only with a failure.
async fn stay(
    client: &Client,
    events: &mut Events,
    desired: client::Desired,
    retry: bool,
    output: &Output,
) -> Result<(), Failure> {
    let mut is_live = false;
    let applying = client.apply(desired);
    tokio::pin!(applying);
    loop {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(Event::Lost { reason, .. }) if !is_live && !retry => {
                    return Err(Failure::Unreachable(reason.into()));
                }
                Some(event) => tell(&event, output)?,
                None => return Err(Failure::Other("the client ended by itself".to_owned())),
            },
            applied = &mut applying, if !is_live => {
                applied?;
                is_live = true;
            }
        }
    }
}

fn tell(event: &Event, output: &Output) -> Result<(), Failure> {
    match event {
        Event::Registered(session) => {
            output.state("registered", &format!("registered as session {}", session.redacted()))
        }
        Event::Resumed => output.state("resumed", "reconnected; nothing was lost"),
        Event::Applied { routes } => {
            let routes = counted(*routes);
            output.state("applied", &format!("live with {routes}; stop with Ctrl-C"))
        }
        Event::Refused(refusal) => {
            output.state("refused", &format!("the server refuses: {refusal}; trying again"))
        }
        Event::Lost { reason, retry_in } => {
            let wait = retry_in.as_secs_f64();
            output.state("lost", &format!("{reason}; trying again in {wait:.1} s"))
        }
        Event::Told(said) if output.is_json() => output.line(said),
        Event::Told(said) => {
            output.talk(&told(said));
            Ok(())
        }
        Event::Missed(count) => output.state("missed", &format!("{count} events were dropped")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_a_usage_error() {
        let failure = load(Path::new("/nowhere/routes.toml")).unwrap_err();
        assert_eq!(failure.code(), 2);
        assert!(failure.text().starts_with("/nowhere/routes.toml: "), "{}", failure.text());
    }

    #[test]
    fn pinning_is_the_first_thing_in_the_metadata() {
        let pinned = |metadata: Option<&str>| pinned(metadata.map(str::to_owned));
        assert_eq!(&*pinned(None), r#"{"pinned":true}"#);
        assert_eq!(&*pinned(Some("{}")), r#"{"pinned":true}"#);
        assert_eq!(&*pinned(Some(r#"{"v":"1"}"#)), r#"{"pinned":true,"v":"1"}"#);
    }
}

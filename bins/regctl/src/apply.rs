//! `regctl apply`: a file of routes, shown, registered, and held until we are told to stop.

use std::io::{BufRead, IsTerminal, Read};
use std::path::Path;

use client::{Client, Event, Events};
use model::{RouteId, RouteSpec, SessionId};

use crate::args::{ApplyArgs, Global};
use crate::events::Stop;
use crate::failure::Failure;
use crate::json::Json;
use crate::manifest::Manifest;
use crate::output::Output;
use crate::protocol::Line;
use crate::reach::{registered, token};
use crate::values::Identity;

/// A file of a hundred thousand routes has a third of this.
const FILE_BYTES_MAX: u64 = 64 << 20;

pub(crate) async fn run(global: &Global, args: &ApplyArgs, output: &Output) -> Result<(), Failure> {
    if args.pin {
        let text = "--pin is not supported yet: the registry has no command for routes that \
                    outlive their connection. Leave it out, and keep regctl running";
        return Err(Failure::Usage(text.to_owned()));
    }
    if global.session.is_some() || global.register.is_some() {
        let text = "apply registers what its file says: leave out --session and --register";
        return Err(Failure::Usage(text.to_owned()));
    }
    let manifest = load(&args.file)?;
    if args.dry_run {
        let plan = plan(global, &manifest).await?;
        return if output.is_json() {
            output.said(&plan.diff)
        } else {
            output.write(&plan.shown())
        };
    }
    if !args.yes {
        can_ask(&args.file)?;
        let plan = plan(global, &manifest).await?;
        output.talk(plan.shown().trim_end());
        if !confirmed(output)? {
            return Err(Failure::Other("not confirmed; nothing was changed".to_owned()));
        }
    }
    hold(global, manifest, args.retry, output).await
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

/// What an apply would do, found out in a session of another instance that never applies.
struct Plan {
    routes: Vec<(RouteId, RouteSpec)>,
    diff: client::Said,
}

impl Plan {
    fn shown(&self) -> String {
        let mut text = String::new();
        for (_, spec) in &self.routes {
            let domains: Vec<String> = spec.domains.iter().map(ToString::to_string).collect();
            let domains = domains.join(",");
            text += &format!("+ {domains} {} -> {}", spec.path, spec.backend);
            if spec.priority != 0 {
                text += &format!(" priority {}", spec.priority);
            }
            text.push('\n');
        }
        let json = Json::parse(self.diff.rest());
        let warnings = json.as_ref().and_then(|json| json.get("warnings"));
        for warning in warnings.map_or(&[][..], Json::elements) {
            text += &format!("! {}\n", warning.as_str().unwrap_or_default());
        }
        text + &format!("{} routes, valid\n", self.routes.len())
    }
}

async fn plan(global: &Global, manifest: &Manifest) -> Result<Plan, Failure> {
    // The same service, so that what its other instances own is no conflict.
    let instance = format!("{}.plan.{}", manifest.instance, std::process::id());
    let instance = model::InstanceName::parse(&instance)
        .map_err(|error| Failure::Usage(format!("instance {error}")))?;
    let identity = Identity { service: manifest.service.clone(), instance, port: 0 };
    let mut reached = registered(global, &identity).await?;
    let session = SessionId::parse(&reached.session)
        .map_err(|error| Failure::Other(format!("the session id {error}")))?;
    let staged = reached.connection.stage(&session, &manifest.desired).await;
    let planned = match staged {
        Ok(routes) => {
            reached.ask(&Line::new("CONFIG_DIFF", &[])).await.map(|diff| Plan { routes, diff })
        }
        Err(error) => Err(error.into()),
    };
    reached.leave().await;
    planned
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

/// Registers, applies, and stays until TERM or INT.
async fn hold(
    global: &Global,
    manifest: Manifest,
    retry: bool,
    output: &Output,
) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let mut builder = Client::builder(global.addr.clone())
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
    let held = tokio::select! {
        held = stay(&client, &mut events, manifest.desired, retry, output) => held,
        () = stop.asked() => Ok(()),
    };
    let said_goodbye = client.shutdown().await;
    held?;
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
            output.state("applied", &format!("live with {routes} routes; stop with Ctrl-C"))
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
            output.talk(&format!("the server said: {}", said.line()));
            Ok(())
        }
        Event::Missed(count) => output.state("missed", &format!("{count} events were dropped")),
    }
}

#[cfg(test)]
mod tests {
    use client::{Said, route};

    use super::*;

    #[test]
    fn a_plan_is_shown_with_its_warnings() {
        let first = route("a.example,b.example", "/", "http://b:1").unwrap();
        let mut second = route("a.example", "/x", "http://b:2").unwrap();
        second.priority = 10;
        let diff = r#"DIFF_OK|{"routes":{"added":["r1","r2"],"removed":[],"modified":[]},"warnings":["route r2 shadows r0"]}"#;
        let routes = vec![(RouteId(1), first), (RouteId(2), second)];
        let plan = Plan { routes, diff: Said::new(diff) };
        let shown = "+ a.example,b.example / -> http://b:1\n\
                     + a.example /x -> http://b:2 priority 10\n\
                     ! route r2 shadows r0\n\
                     2 routes, valid\n";
        assert_eq!(plan.shown(), shown);
    }

    #[test]
    fn a_file_that_is_not_there_is_a_usage_error() {
        let failure = load(Path::new("/nowhere/routes.toml")).unwrap_err();
        assert_eq!(failure.code(), 2);
        assert!(failure.text().starts_with("/nowhere/routes.toml: "), "{}", failure.text());
    }
}

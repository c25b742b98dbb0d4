//! Packages of services, made from folders, and brought to hosts by proxyd.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use package::{Limits, PackageError, build_folder};
use serde_json::{Value, json};

use crate::args::Global;
use crate::catalog::{ask_on, word};
use crate::failure::Failure;
use crate::output::Output;
use crate::reach::admin_within;

/// Shortest wait for news of a deployment: proxyd answers within 4 s (SPEC 2.1), also that there
/// are none.
const NEWS_MIN: Duration = Duration::from_secs(5);

/// Packages of services.
#[derive(Debug, Subcommand)]
pub(crate) enum Package {
    /// Pack a folder with a manifest, bin/ and scripts/ into one file.
    Build(Build),
    /// Have proxyd bring a package to a host, start it there, and go back if it is not well.
    Deploy(Deploy),
}

/// What is packed.
#[derive(Clone, Debug, Args)]
pub(crate) struct Build {
    /// The folder with the manifest in it.
    folder: PathBuf,
    /// Where the package goes; otherwise NAME-VERSION.tar.gz in the working directory.
    #[arg(short, long)]
    output: Option<PathBuf>,
}

/// What is deployed where.
#[derive(Clone, Debug, Args)]
pub(crate) struct Deploy {
    /// A file in the folder deploy_packages of proxyd: its name there, or its path.
    package: PathBuf,
    /// Which of deploy_hosts; may be left out if there is one.
    #[arg(long)]
    target: Option<String>,
}

pub(crate) async fn run(
    global: &Global,
    command: &Package,
    output: &Output,
) -> Result<(), Failure> {
    match command {
        Package::Build(args) => build(args, output),
        Package::Deploy(args) => deploy(global, args, output).await,
    }
}

fn build(build: &Build, output: &Output) -> Result<(), Failure> {
    let built = build_folder(&build.folder, build.output.as_deref(), &Limits::default());
    let built = built.map_err(not_built)?;
    for path in &built.not_executable {
        let shown = build.folder.join(path.as_str());
        let shown = shown.display();
        output.talk(&format!("warning: {path} is not executable: chmod +x {shown}, if it is run"));
    }
    let file = built.file.display().to_string();
    output.write(&if output.is_json() {
        format!("{}\n", json!({ "ok": true, "data": { "file": file } }))
    } else {
        format!("{file}\n")
    })
}

/// A file that does not say what it should is the fault of who wrote it.
fn not_built(error: PackageError) -> Failure {
    let text = error.to_string();
    match error {
        PackageError::Io(error) if error.kind() != ErrorKind::NotFound => Failure::Other(text),
        _ => Failure::Usage(text),
    }
}

/// proxyd carries it out; we ask how it goes on. If we are ended meanwhile, it is not.
async fn deploy(global: &Global, args: &Deploy, output: &Output) -> Result<(), Failure> {
    let package = named(&args.package)?;
    // One connection: after a restart of proxyd, the number would mean another deployment.
    let mut connection = admin_within(global, global.timeout.max(NEWS_MIN)).await?;
    let wanted = json!({ "package": package, "target": args.target });
    let begun = ask_on(&mut connection, "deploy", wanted).await?;
    let number = begun.get("deployment").cloned().unwrap_or_default();
    let mut known = 0;
    loop {
        let asked = json!({ "deployment": number, "after": known });
        let news = ask_on(&mut connection, "deployment", asked).await?;
        let steps = news.get("steps").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        known += steps.len();
        for step in steps {
            output.write(&shown(step, output.is_json()))?;
        }
        let Some(end) = news.get("end").filter(|end| !end.is_null()) else { continue };
        if end.get("ok") != Some(&Value::Bool(true)) {
            return Err(Failure::Other(word(end, "error")));
        }
        return match end.get("result") {
            Some(result) if output.is_json() => {
                output.write(&format!("{}\n", json!({ "ok": true, "data": result })))
            }
            // The last step has said it.
            Some(_) | None => Ok(()),
        };
    }
}

/// A name is one in proxyd's folder; a path is one of ours, and means the same to proxyd whole.
fn named(package: &Path) -> Result<String, Failure> {
    let is_path = package.components().count() > 1 || package.is_absolute();
    let meant = if is_path {
        package.canonicalize().map_err(|error| {
            let text = format!("{}: {error}", package.display());
            match error.kind() {
                ErrorKind::NotFound => Failure::NotFound(text),
                _ => Failure::Usage(text),
            }
        })?
    } else {
        package.to_owned()
    };
    let text = meant.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::Usage(format!("{}: the name is not UTF-8", meant.display())))
}

fn shown(step: &Value, is_json: bool) -> String {
    if is_json {
        return format!("{}\n", json!({ "event": "deployment_progress", "data": step }));
    }
    let percent = step.get("percent").and_then(Value::as_u64).unwrap_or_default();
    format!("{percent:>3} %  {:<12}  {}\n", word(step, "stage"), word(step, "message"))
}

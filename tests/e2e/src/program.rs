//! A program of somebody else's, run beside proxyd.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::wait_for;

/// A running program with everything it said. It and its children end with it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Starts a program in a process group of its own; `None` when it is not installed.
    pub fn start(command: &mut Command) -> Option<Self> {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.process_group(0).spawn().ok()?;
        let said = Arc::new(Mutex::new(String::new()));
        let out = child.stdout.take().map(|out| Box::new(out) as Box<dyn std::io::Read + Send>);
        let err = child.stderr.take().map(|err| Box::new(err) as Box<dyn std::io::Read + Send>);
        let mut readers = Vec::new();
        for stream in [out, err].into_iter().flatten() {
            let said = Arc::clone(&said);
            readers.push(thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let Ok(mut said) = said.lock() {
                        said.push_str(&line);
                        said.push('\n');
                    }
                }
            }));
        }
        Some(Self { child, said, readers })
    }

    /// Everything it said so far, on either stream.
    pub fn said(&self) -> String {
        self.said.lock().map(|said| said.clone()).unwrap_or_default()
    }

    /// Waits until it said `text`.
    ///
    /// # Panics
    ///
    /// When it does not, with what it said instead.
    pub fn wait_for(&mut self, text: &str) {
        wait_for(&format!("{text:?} from a program"), || {
            let said = self.said();
            if said.contains(text) {
                return Some(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                // What it said last may still be on its way.
                thread::sleep(std::time::Duration::from_millis(100));
                assert!(self.said().contains(text), "ended with {status}: {}", self.said());
                return Some(());
            }
            None
        });
    }

    /// Waits for its end, and for everything it says; nothing when it takes longer.
    #[expect(clippy::disallowed_methods, reason = "these tests run in real time")]
    pub fn end(&mut self, limit: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Ok(Some(status)) = self.child.try_wait() {
                // Its children would hold the pipes open.
                self.signal(9);
                self.readers.drain(..).for_each(|reader| drop(reader.join()));
                return Some(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Sends a signal to the program and its children.
    pub fn signal(&self, signal: i32) {
        let group = format!("kill -{signal} -- -{}", self.child.id());
        // dash has no word for a process group.
        let _ = Command::new("bash").args(["-c", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(9);
        let _ = self.child.wait();
    }
}

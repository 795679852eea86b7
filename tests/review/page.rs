//! `drumfs review` as a process, and requests to its page.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Running, drumfs};

/// A review that runs.
pub struct Page {
    running: Running,
    /// The address of the page.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The secret in it.
    pub token: String,
}

/// An answer of the page.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &value[..])
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

pub fn command(archive: &Path, store: &Path, more: &[&str]) -> Command {
    command_of("review", archive, store, more)
}

/// The same of another command that ends in the page.
pub fn command_of(name: &str, archive: &Path, store: &Path, more: &[&str]) -> Command {
    let mut command = drumfs();
    command.arg(name).arg(archive).arg("--store").arg(store).args(more).env("USER", "tester");
    command
}

impl Page {
    /// Starts it and waits for its address.
    pub fn open(archive: &Path, store: &Path, more: &[&str]) -> Self {
        Self::of(&mut command(archive, store, more))
    }

    /// The same of any command.
    pub fn of(command: &mut Command) -> Self {
        let mut running = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        let mut stdout = BufReader::new(running.0.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut said = String::new();
            running.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("no address: {said}");
        }
        let address = line.trim().to_owned();
        let (port, token) = address.strip_prefix("http://127.0.0.1:").unwrap().split_once('/').unwrap();
        let (port, token) = (port.parse().unwrap(), token.strip_suffix('/').unwrap().to_owned());
        running.0.stdout = Some(stdout.into_inner());
        Self { running, address, port, token }
    }

    /// Sends bytes as they are and reads the answer.
    pub fn send(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {line:?}")).parse().unwrap();
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let len = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, len)| len.parse().unwrap());
        let mut body = vec![0; len];
        reader.read_exact(&mut body).unwrap();
        Answer { status, headers, body }
    }

    /// A request below the secret with further header lines.
    pub fn get_with(&self, path: &str, headers: &str) -> Answer {
        let (port, token) = (self.port, &self.token);
        let head =
            format!("GET /{token}/{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{headers}\r\n");
        self.send(head.as_bytes())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, "")
    }

    /// Something that is done.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let (port, token, body) = (self.port, &self.token, body.to_string());
        let head = format!(
            "POST /{token}/{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.send(head.as_bytes())
    }

    /// Ctrl-C.
    pub fn end(self) -> Output {
        self.running.signal(libc::SIGINT);
        self.running.output()
    }
}

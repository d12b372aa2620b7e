//! `plimsoll check`: does what is installed answer?

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::files::print;
use crate::operator::Clock;
use crate::prometheus::{Config, Evaluation, Servers};
use crate::signal::Answer;
use crate::time::Span;

/// Time for the operator's answer, and for each wait within it.
const DEADLINE: Duration = Duration::from_secs(5);
/// An answer that says how the operator is takes a line or two.
const LONGEST_ANSWER: u64 = 16 << 10;
/// The namespace that asks a server which any may use.
const ANY_NAMESPACE: &str = "default";

/// What was found, or what is wrong.
type Found = Result<String, String>;

/// What to ask.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Check {
    /// Configuration file of the operator: each of its Prometheus servers must answer a query
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where an operator serves /readyz: it must be ready
    #[arg(long, value_name = "HOST:PORT")]
    operator: Option<String>,
}

impl Check {
    pub(super) fn execute(self) -> Result<(), String> {
        let (mut told, mut faults) = (String::new(), Vec::new());
        if let Some(address) = &self.operator {
            tell(&mut told, &mut faults, &format!("the operator at {address}"), readiness(address));
        }
        if let Some(path) = &self.config {
            let config = Config::read(path).map_err(|error| error.to_string())?;
            for (server, answer) in answers(config)? {
                tell(&mut told, &mut faults, &format!("Prometheus server {server:?}"), answer);
            }
        }
        print(&told)?;
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }
}

fn tell(told: &mut String, faults: &mut Vec<String>, who: &str, answer: Found) {
    match answer {
        Ok(words) => {
            // Writing to a string cannot fail.
            let _ = writeln!(told, "{who} {words}");
        }
        Err(fault) => faults.push(format!("{who}: {fault}")),
    }
}

/// Asks every server the simplest of questions.
fn answers(config: Config) -> Result<Vec<(String, Found)>, String> {
    let named: Vec<_> = config
        .prometheus
        .iter()
        .map(|server| {
            let allowed = server.allowed_namespaces.iter().flatten().next();
            (server.name.clone(), allowed.map_or(ANY_NAMESPACE, String::as_str).to_owned())
        })
        .collect();
    let servers = Servers::new(config).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime can be started: {error}"))?;
    let question = Evaluation {
        query: "vector(1)".to_owned(),
        freshness_query: None,
        max_age: Span::from_seconds(60),
        coverage: false,
        ask_age: false,
        newer_than: None,
    };
    Ok(runtime.block_on(async {
        let mut answers = Vec::new();
        for (name, namespace) in named {
            let begun = Instant::now();
            let reading = servers.evaluate(&name, &namespace, &question, Clock::wall().now()).await;
            let answer = match reading.answer {
                Answer::Value(_) => Ok(format!("answers queries ({} ms)", begun.elapsed().as_millis())),
                Answer::Failed(fault) => Err(fault.clone()),
                other => Err(format!("it answers vector(1) with {other:?}: is it a Prometheus server?")),
            };
            answers.push((name, answer));
        }
        answers
    }))
}

/// What `/readyz` says.
fn readiness(address: &str) -> Found {
    let answer = get(address, "/readyz")
        .map_err(|error| format!("it cannot be asked whether it is ready: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
    match head.split_whitespace().nth(1) {
        Some("200") => Ok("is ready".to_owned()),
        Some("503") => Err(format!("it is not ready: {}", body.trim())),
        _ => Err("what answers there is not Plimsoll; write the address of --listen".to_owned()),
    }
}

/// One request without keep-alive, so that the answer ends with the connection.
fn get(address: &str, path: &str) -> std::io::Result<String> {
    let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
    let found = address.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::NotFound)?;
    let until = Instant::now() + DEADLINE;
    let mut stream = TcpStream::connect_timeout(&found, DEADLINE)?;
    stream.set_write_timeout(Some(DEADLINE))?;
    // In one piece: a server may answer, and close, after the first.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let (mut answer, mut part) = (Vec::new(), [0; 1024]);
    let mut stream = stream.take(LONGEST_ANSWER);
    loop {
        let left =
            until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).ok_or_else(late)?;
        stream.get_ref().set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => return Ok(String::from_utf8_lossy(&answer).into_owned()),
            read => answer.extend_from_slice(part.get(..read).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    use super::*;

    /// A server that gives one answer to one connection.
    fn answering(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
            assert_eq!(lines.next().as_deref(), Some("GET /readyz HTTP/1.0"));
            assert!(lines.any(|line| line.is_empty()), "the question is not ended");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn readiness_is_what_the_operator_says() {
        for (answer, wanted) in [
            ("HTTP/1.0 200 OK\r\n\r\nok\n", Ok("is ready")),
            ("HTTP/1.0 503 Service Unavailable\r\nA: b\r\n\r\nstarting\n", Err("it is not ready: starting")),
            ("SSH-2.0\r\n", Err("what answers there is not Plimsoll; write the address of --listen")),
        ] {
            let said = readiness(&answering(answer));
            assert_eq!(said.as_deref().map_err(String::as_str), wanted);
        }
    }

    #[test]
    fn nobody_there_is_told_with_the_address() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let check = Check { config: None, operator: Some(closed.clone()) };
        let fault = check.execute().unwrap_err();
        assert!(fault.starts_with(&format!("the operator at {closed}: it cannot be asked")), "{fault}");
    }

    #[test]
    fn a_server_that_does_not_answer_is_named() {
        let answers = answers(Config::single("http://127.0.0.1:1")).unwrap();
        assert_eq!(answers.len(), 1);
        assert!(answers[0].0 == "main" && answers[0].1.is_err(), "{answers:?}");
    }
}

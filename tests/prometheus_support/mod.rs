//! A metrics server that does as a test tells it, and certificates for it.

#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use plimsoll::prometheus::{Config, Evaluation, ServerConfig, Servers};
use plimsoll::signal::{Answer, Reading};
use plimsoll::time::{Span, Time};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub(crate) mod certificates;
pub(crate) mod real;

/// A moment to ask for.
pub(crate) const NOON: Time = Time::from_millis(1_700_000_000_123);

/// What the server does with a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Sends these bytes and waits for the next request.
    Send(Vec<u8>),
    /// Sends these bytes after a while.
    SendAfter(Duration, Vec<u8>),
    /// Sends nothing and keeps the connection.
    Hang,
    /// Sends these bytes one by one, one every 50 ms.
    Drip(Vec<u8>),
    /// Sends these bytes, then fills the body for as long as anybody reads.
    Flood(Vec<u8>),
    /// Sends these bytes and closes the connection.
    Break(Vec<u8>),
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    /// By lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) form: BTreeMap<String, String>,
}

/// A server on a loopback port; gone when dropped.
pub(crate) struct Rogue {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) bytes_flooded: Arc<AtomicU64>,
    requests: Arc<Mutex<Vec<Request>>>,
    accepting: JoinHandle<()>,
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

type Script = dyn Fn(&Request) -> Act + Send + Sync;

impl Rogue {
    pub(crate) async fn start(script: impl Fn(&Request) -> Act + Send + Sync + 'static) -> Self {
        Self::start_with(None, script).await
    }

    pub(crate) async fn start_with(
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Request) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server =
            Visit { script: Arc::new(script), requests: Arc::default(), bytes_flooded: Arc::default() };
        let connections = Arc::new(AtomicUsize::new(0));
        let (requests, bytes_flooded, counter) =
            (server.requests.clone(), server.bytes_flooded.clone(), connections.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(welcome(stream, tls.clone(), server.clone()));
            }
        });
        Self { address, connections, bytes_flooded, requests, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The queries in the order in which they came.
    pub(crate) fn queries(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.form["query"].clone()).collect()
    }
}

#[derive(Clone)]
struct Visit {
    script: Arc<Script>,
    requests: Arc<Mutex<Vec<Request>>>,
    bytes_flooded: Arc<AtomicU64>,
}

async fn welcome(stream: TcpStream, tls: Option<TlsAcceptor>, visit: Visit) {
    match tls {
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                let _ = visit.serve(stream).await;
            }
        }
        None => drop(visit.serve(stream).await),
    }
}

impl Visit {
    /// Until the other side leaves, which is no fault here.
    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let request = match read_request(&mut stream, &mut buffer).await {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                // As HTTP servers do, in plain text.
                Err(_) => return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
            };
            let act = (self.script)(&request);
            self.requests.lock().unwrap().push(request);
            match act {
                Act::Send(bytes) => stream.write_all(&bytes).await?,
                Act::SendAfter(delay, bytes) => {
                    tokio::time::sleep(delay).await;
                    stream.write_all(&bytes).await?;
                }
                Act::Hang => std::future::pending().await,
                Act::Drip(bytes) => {
                    for byte in bytes {
                        stream.write_all(&[byte]).await?;
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
                Act::Flood(head) => {
                    stream.write_all(&head).await?;
                    let part = vec![b' '; 64 * 1024];
                    loop {
                        stream.write_all(&part).await?;
                        self.bytes_flooded.fetch_add(64 * 1024, Ordering::SeqCst);
                    }
                }
                Act::Break(bytes) => {
                    stream.write_all(&bytes).await?;
                    return stream.shutdown().await;
                }
            }
            stream.flush().await?;
        }
    }
}

async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<Request>> {
    loop {
        if let Some((request, length)) = parse_request(buffer) {
            buffer.drain(..length);
            return Ok(Some(request));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
        if !buffer.starts_with(b"POST") {
            return Err(std::io::Error::other("no HTTP request"));
        }
    }
}

fn parse_request(bytes: &[u8]) -> Option<(Request, usize)> {
    let head_length = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_length]).ok()?;
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let body = bytes.get(head_length..head_length + length)?;
    let form = body
        .split(|byte| *byte == b'&')
        .filter_map(|field| std::str::from_utf8(field).ok()?.split_once('='))
        .map(|(name, value)| (name.to_owned(), form_decoded(value)))
        .collect();
    Some((Request { line, headers, form }, head_length + length))
}

fn form_decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    String::from_utf8(decoded).unwrap()
}

/// An HTTP response with a status line's code and words.
pub(crate) fn response(status: &str, content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn json(status: &str, body: impl AsRef<[u8]>) -> Act {
    Act::Send(response(status, "application/json", body))
}

/// A successful answer with these values, one series each.
pub(crate) fn values(values: &[&str]) -> Vec<u8> {
    let series: Vec<String> =
        values.iter().map(|value| format!(r#"{{"metric":{{}},"value":[1700000000,"{value}"]}}"#)).collect();
    let body =
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#, series.join(","));
    response("200 OK", "application/json", body)
}

pub(crate) fn evaluation(query: &str) -> Evaluation {
    Evaluation {
        query: query.into(),
        freshness_query: None,
        max_age: Span::from_seconds(60),
        coverage: false,
        ask_age: true,
        newer_than: None,
    }
}

/// One server named `main`.
pub(crate) fn config(url: &str) -> ServerConfig {
    ServerConfig::new("main", url)
}

/// One server named `main` that has one second to answer.
pub(crate) fn hasty(url: &str) -> ServerConfig {
    ServerConfig { timeout_seconds: 1, ..config(url) }
}

pub(crate) fn servers(configs: impl IntoIterator<Item = ServerConfig>) -> Servers {
    install_tls_provider();
    Servers::new(Config { prometheus: configs.into_iter().collect() }).unwrap()
}

pub(crate) fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// The answer of the server `main` to a query that reads no samples.
pub(crate) async fn ask(servers: &Servers) -> Reading {
    ask_at(servers, NOON).await
}

pub(crate) async fn ask_at(servers: &Servers, at: Time) -> Reading {
    servers.evaluate("main", "shop", &evaluation("vector(1)"), at).await
}

/// The sentence of a failed reading.
pub(crate) fn sentence(reading: &Reading) -> &str {
    match &reading.answer {
        Answer::Failed(sentence) => sentence,
        other => panic!("{other:?} is no failure"),
    }
}

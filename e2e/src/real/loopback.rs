//! Ports on loopback that stay ours, and HTTP servers on them that can be stopped and started at will.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use axum::Router;
use tokio::net::TcpSocket;
use tokio::runtime;
use tokio::sync::oneshot;

/// A free loopback port that nobody else is given while this value lives.
///
/// It is bound but never listens: a connection to it is refused until the server it is meant for listens there.
#[derive(Debug)]
pub struct ReservedPort {
    address: SocketAddr,
    _socket: Option<TcpSocket>,
}

impl ReservedPort {
    /// Reserves a port that the system chooses.
    pub fn new() -> io::Result<Self> {
        Self::at(Ipv4Addr::LOCALHOST)
    }

    /// Reserves a port of another address of this machine, such as a bridge of the test's own.
    pub fn at(address: Ipv4Addr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((address, 0).into())?;
        let address = socket.local_addr()?;
        // Elsewhere a bound socket would keep the server itself from binding.
        Ok(Self { address, _socket: cfg!(target_os = "linux").then_some(socket) })
    }

    /// The port's number.
    pub const fn number(&self) -> u16 {
        self.address.port()
    }

    /// The port's address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// An HTTP server on a loopback port, in a thread with a clock of its own, so that neither a busy test nor a paused
/// clock holds it up.
///
/// Stopped, it refuses connections and has closed those it had; started again, it has the same address.
pub struct LoopbackServer {
    port: ReservedPort,
    routes: Arc<dyn Fn() -> Router + Send + Sync>,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl LoopbackServer {
    /// Starts a server of `routes`, which are built anew at each start.
    pub fn start(routes: impl Fn() -> Router + Send + Sync + 'static) -> io::Result<Self> {
        let server = Self { port: ReservedPort::new()?, routes: Arc::new(routes), running: Mutex::new(None) };
        server.resume()?;
        Ok(server)
    }

    /// Where the server listens, or will again.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Closes the port and every connection.
    pub fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { stop, thread }) = running {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// Listens again after [`stop`](Self::stop); does nothing if it runs.
    pub fn resume(&self) -> io::Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            *running = Some(Running::start(self.address(), Arc::clone(&self.routes))?);
        }
        Ok(())
    }
}

impl Running {
    fn start(address: SocketAddr, routes: Arc<dyn Fn() -> Router + Send + Sync>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let (stop, stopped) = oneshot::channel();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name("loopback-server".to_owned()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tokio::select! {
                    _ = axum::serve(listener, routes()) => (),
                    _ = stopped => (),
                }
            });
            // The runtime ends here, and with it every connection.
        })?;
        Ok(Self { stop, thread })
    }
}

impl Drop for LoopbackServer {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    #[test]
    fn a_reserved_port_refuses_connections_and_is_given_to_nobody_else() {
        let ports: Vec<ReservedPort> = (0..100).map(|_| ReservedPort::new().unwrap()).collect();
        for port in &ports {
            let refusal = TcpStream::connect(port.address()).unwrap_err();
            assert_eq!(refusal.kind(), io::ErrorKind::ConnectionRefused);
            assert_eq!(ports.iter().filter(|other| other.number() == port.number()).count(), 1);
        }
    }

    #[test]
    fn a_stopped_server_refuses_connections_closes_its_old_ones_and_comes_back_at_the_same_address() {
        let server = LoopbackServer::start(|| Router::new().route("/", get(async || "here"))).unwrap();
        let address = server.address();
        let mut open = TcpStream::connect(address).unwrap();
        open.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
        let mut answer = [0; 64];
        assert!(open.read(&mut answer).unwrap() > 0);

        server.stop();
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let mut rest = Vec::new();
        open.read_to_end(&mut rest).unwrap();

        server.resume().unwrap();
        assert_eq!(server.address(), address);
        assert!(TcpStream::connect(address).is_ok());
    }
}

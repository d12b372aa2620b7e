//! The real exporter of PostgreSQL's metrics.

use std::net::SocketAddr;

use super::loopback::ReservedPort;
use super::postgres::{Postgres, SUPERUSER};
use super::process::{Sandbox, ServerProcess, StartError};
use super::program::Program;

/// A running exporter; ended on drop. It holds a connection of its own.
#[derive(Debug)]
pub struct PostgresExporter {
    _server: ServerProcess,
    port: ReservedPort,
    _sandbox: Sandbox,
}

impl PostgresExporter {
    /// Starts an exporter of one server's metrics and waits until it answers.
    pub async fn start(postgres: &Postgres) -> Result<Self, StartError> {
        let program = Program::PostgresExporter.find()?;
        let port = ReservedPort::new().map_err(StartError::io("no free port"))?;
        let sandbox = Sandbox::new("postgres-exporter")?;
        let arguments = [format!("--web.listen-address={}", port.address()), "--log.level=warn".to_owned()];
        let source = postgres.connection_string(SUPERUSER, "postgres");
        let mut server = sandbox.start_with(&program, &arguments, &[("DATA_SOURCE_NAME", &source)])?;
        let client = super::loopback_client().map_err(StartError::io("no HTTP client"))?;
        let metrics = format!("http://{}/metrics", port.address());
        server
            .wait_until_ready(async || {
                let answer = client.get(&metrics).send().await.map_err(|error| error.to_string())?;
                let text = answer.text().await.map_err(|error| error.to_string())?;
                let up = text.lines().any(|line| line == "pg_up 1");
                if up { Ok(()) } else { Err("pg_up is not 1") }.map_err(str::to_owned)
            })
            .await?;
        Ok(Self { _server: server, port, _sandbox: sandbox })
    }

    /// Where it is scraped.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

//! Listens on loopback as an API server with a plant, and says how to reach it with `kubectl`.

use std::net::{Ipv4Addr, SocketAddr};

use e2e::apiserver::{ApiServer, Settings};
use e2e::plant::{Plant, PlantSettings};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let server = ApiServer::new(Settings::default());
    let _plant = Plant::start(&server, PlantSettings::default())?;
    let listening = server.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("kubeconfig");
    std::fs::write(&path, listening.kubeconfig())?;
    println!("kubectl --kubeconfig {} get all", path.display());
    tokio::signal::ctrl_c().await?;
    Ok(())
}

//! How long the double takes with many objects: `crowd [deployments] [replicas]`.

use std::time::Instant;

use e2e::apiserver::{ApiServer, Settings};
use e2e::plant::{Lasting, Plant, PlantSettings};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::json;
use tokio::time::Duration;

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument =
        |at: usize, default: u64| std::env::args().nth(at).map_or(Ok(default), |text| text.parse());
    let (count, replicas) = (argument(1, 1000)?, argument(2, 20)?);
    let server = ApiServer::new(Settings { history: 200_000, ..Settings::default() });
    let settings = PlantSettings {
        startup: Lasting::Between(Duration::from_secs(5), Duration::from_secs(30)),
        ..PlantSettings::default()
    };
    let _plant = Plant::start(&server, settings)?;
    let deployments = server.collection("apps", "v1", "deployments")?;
    let begun = Instant::now();
    for index in 0..count {
        let name = format!("web-{index}");
        let deployment = json!({
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": "c", "image": "i"}]},
                },
            },
        });
        deployments.create("default", deployment)?;
    }
    println!("{count} Deployments made: {:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_mins(1)).await;
    println!("all their pods ready: {:?}, {} writes", begun.elapsed(), server.revision());
    let begun = Instant::now();
    let pods: Api<Pod> = Api::all(server.client());
    let listed = pods.list(&ListParams::default()).await?;
    println!("{} pods listed and decoded: {:?}", listed.items.len(), begun.elapsed());
    Ok(())
}

//! A pause between watches that end at once. The watcher begins a watch that ended well anew without waiting; where a
//! server or proxy closes each one right away, that would be a loop without end, at the API server's cost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use kube::Client;
use kube::client::Body;
use tokio::time::{Instant, sleep_until};
use tower::{BoxError, service_fn};

/// The least time from the beginning of one watch to that of the next of the same kind.
const LEAST: Duration = Duration::from_secs(1);

/// The same client, whose watches begin at most once in [`LEAST`].
pub(super) fn paced(client: &Client) -> Client {
    let (sender, begun) = (client.clone(), Arc::new(Mutex::new(HashMap::new())));
    let service = service_fn(move |request: Request<Body>| {
        let (client, turn) = (sender.clone(), turn(&request, &begun));
        async move {
            if let Some(turn) = turn {
                sleep_until(turn).await;
            }
            client.send(request).await.map_err(BoxError::from)
        }
    });
    Client::new(service, client.default_namespace())
}

/// When a watch may begin; none for other requests.
fn turn(request: &Request<Body>, begun: &Mutex<HashMap<String, Instant>>) -> Option<Instant> {
    let query = request.uri().query().unwrap_or_default();
    if !query.split('&').any(|parameter| matches!(parameter, "watch=true" | "watch=1")) {
        return None;
    }
    let mut begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let turn = begun.get(request.uri().path()).map_or(now, |last| now.max(*last + LEAST));
    begun.insert(request.uri().path().to_owned(), turn);
    Some(turn)
}

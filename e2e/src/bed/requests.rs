//! What was asked of the double and by whom, as the real API server's audit log tells it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use futures::future::BoxFuture;
use http::{Request as HttpRequest, Response};
use tower::Service;

use crate::apiserver::{ApiService, ResourceRequest};
use crate::real::audit::Request;

/// The requests so far.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestLog(Arc<Mutex<Vec<Request>>>);

impl RequestLog {
    pub(super) fn requests(&self) -> Vec<Request> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, request: Request) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }
}

/// The double as one user sees it, with every request of the user noted.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    service: ApiService,
    user: String,
    log: RequestLog,
}

impl Recording {
    pub(super) fn new(service: ApiService, user: &str, log: RequestLog) -> Self {
        Self { service, user: user.to_owned(), log }
    }
}

impl Service<HttpRequest<kube::client::Body>> for Recording {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<HttpRequest<kube::client::Body>>::poll_ready(&mut self.service, context)
    }

    fn call(&mut self, request: HttpRequest<kube::client::Body>) -> Self::Future {
        let asked = ResourceRequest::parse(request.method(), request.uri());
        let (user, log) = (self.user.clone(), self.log.clone());
        let answer = self.service.call(request);
        Box::pin(async move {
            let response = answer.await?;
            if let Some(asked) = asked {
                log.note(as_audited(asked, user, response.status().as_u16()));
            }
            Ok(response)
        })
    }
}

fn as_audited(asked: ResourceRequest, user: String, code: u16) -> Request {
    let resource = if asked.subresource.is_empty() {
        asked.resource
    } else {
        format!("{}/{}", asked.resource, asked.subresource)
    };
    let verb = asked.verb.name().to_owned();
    Request { user, verb, resource, namespace: asked.namespace, name: asked.name, code }
}

//! Lists: filtered, paged, now or as of an earlier revision.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::json;

use super::cluster::Cluster;
use super::kinds::Kind;
use super::request::ResourceRequest;
use super::selector::Selector;
use super::status::Failure;
use super::store::{Key, Object};

/// A page of objects.
pub(crate) struct Page {
    pub(crate) objects: Vec<Object>,
    pub(crate) revision: u64,
    /// Where the next page begins; empty on the last.
    pub(crate) next: String,
    pub(crate) remaining: Option<usize>,
}

impl Cluster {
    /// The objects that `request` asks for.
    pub(crate) fn list(&self, kind: &Kind, request: &ResourceRequest) -> Result<Page, Failure> {
        let selector = selector_of(kind, request)?;
        let limit = request.number("limit")?.filter(|limit| *limit > 0);
        let (revision, after) = match request.parameter("continue") {
            "" => (self.list_revision(request)?, None),
            token => {
                let (revision, after) = read_token(token)?;
                (revision, Some(after))
            }
        };
        let namespace = namespace_of(kind, request);
        let all: Vec<(Key, Object)> = if revision == self.store.revision() {
            let objects = self.store.list(&kind.storage, namespace);
            objects.map(|(key, object)| (key.clone(), Arc::clone(object))).collect()
        } else {
            let past = self.store.list_at(&kind.storage, namespace, revision);
            past.map_err(|_| expired_page())?.into_iter().collect()
        };
        let is_wanted = |(key, object): &(Key, Object)| {
            after.as_ref().is_none_or(|after| key > after)
                && (request.name.is_empty() || key.1 == request.name)
                && selector.matches(&object.value)
        };
        let mut found: Vec<(Key, Object)> = all.into_iter().filter(is_wanted).collect();
        let mut page = Page { objects: Vec::new(), revision, next: String::new(), remaining: None };
        let size = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        if found.len() > size {
            let rest = found.split_off(size);
            page.next = found.last().map(|(key, _)| token(revision, key)).unwrap_or_default();
            // A server that filters does not know how many are left.
            page.remaining = selector.is_everything().then_some(rest.len());
        }
        page.objects = found.into_iter().map(|(_, object)| object).collect();
        Ok(page)
    }

    /// The revision that a list is to show. Anything "not older than" is answered with the newest state.
    fn list_revision(&self, request: &ResourceRequest) -> Result<u64, Failure> {
        let current = self.store.revision();
        let asked = parse_revision(request.parameter("resourceVersion"))
            .map_err(|problem| Failure::bad_request(format!("invalid resource version: {problem}")))?;
        if asked > current {
            return Err(Failure::revision_ahead(asked, current));
        }
        if request.parameter("resourceVersionMatch") == "Exact" && asked > 0 {
            Ok(asked)
        } else {
            Ok(current)
        }
    }
}

/// The namespace to look in; empty for all.
pub(crate) fn namespace_of<'a>(kind: &Kind, request: &'a ResourceRequest) -> &'a str {
    if kind.namespaced { &request.namespace } else { "" }
}

pub(crate) fn selector_of(kind: &Kind, request: &ResourceRequest) -> Result<Selector, Failure> {
    Selector::parse(request.parameter("labelSelector"), request.parameter("fieldSelector"), &kind.selectable)
}

/// A `resourceVersion` parameter; 0 if there is none.
pub(crate) fn parse_revision(text: &str) -> Result<u64, String> {
    let problem = || {
        format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        )
    };
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| problem()) }
}

fn expired_page() -> Failure {
    Failure::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    )
}

fn token(revision: u64, (namespace, name): &Key) -> String {
    let text = json!([revision, namespace, name]).to_string();
    text.bytes().fold(String::new(), |mut token, byte| {
        let _ = write!(token, "{byte:02x}");
        token
    })
}

fn read_token(token: &str) -> Result<(u64, Key), Failure> {
    let broken = || Failure::bad_request("invalid continue token: continue key is not valid");
    let byte = |at: usize| u8::from_str_radix(token.get(at..at.saturating_add(2))?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..token.len()).step_by(2).map(byte).collect();
    let (revision, namespace, name): (u64, String, String) =
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(broken)?;
    Ok((revision, (namespace, name)))
}

//! What a request asks for: the verb, the resource and the options, read from method and URL.

use std::collections::BTreeMap;

use http::{Method, Uri};

use super::incoming::FieldValidation;
use super::status::Failure;

/// What a request wants to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read many objects.
    List,
    /// Hear of changes.
    Watch,
    /// Make an object.
    Create,
    /// Replace an object.
    Update,
    /// Change parts of an object.
    Patch,
    /// Remove an object.
    Delete,
    /// Remove many objects.
    DeleteCollection,
}

impl Verb {
    /// The verb as RBAC rules name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// Whether a request with this verb may change what is stored.
    pub const fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

/// A request for a resource, as seen in its method and URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRequest {
    /// What to do.
    pub verb: Verb,
    /// API group; empty for core.
    pub group: String,
    /// API version, e.g. `v1`.
    pub version: String,
    /// Plural resource name, e.g. `deployments`.
    pub resource: String,
    /// `status`, `scale`, …; empty for the object itself.
    pub subresource: String,
    /// Empty for cluster-scoped resources and for all namespaces.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    /// Query parameters, decoded; of repeated ones the last.
    pub query: BTreeMap<String, String>,
}

impl ResourceRequest {
    /// Reads a request; none if the URL does not speak of a resource.
    pub fn parse(method: &Method, uri: &Uri) -> Option<Self> {
        let parts: Vec<String> = uri
            .path()
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| decode_percent(part, false))
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            // `namespaces/x` alone, or one of its subresources, is a namespace; more below it is inside of it.
            ["namespaces", namespace, inside @ ..]
                if inside.first().is_some_and(|first| !matches!(*first, "status" | "finalize")) =>
            {
                (*namespace, inside)
            }
            rest => ("", rest),
        };
        let (resource, name, subresource) = match rest {
            [resource] => (*resource, "", ""),
            [resource, name] => (*resource, *name, ""),
            [resource, name, subresource] => (*resource, *name, *subresource),
            _ => return None,
        };
        let query = parse_query(uri.query().unwrap_or_default());
        let verb = verb_of(method, !name.is_empty(), query.get("watch").map(String::as_str))?;
        Some(Self {
            verb,
            group: group.to_owned(),
            version: version.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            query,
        })
    }

    /// The query parameter; empty if there is none.
    pub fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.parameter(name), "true" | "1")
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.parameter("dryRun") == "All"
    }

    pub(crate) fn field_validation(&self) -> FieldValidation {
        match self.parameter("fieldValidation") {
            "Strict" => FieldValidation::Strict,
            "Ignore" => FieldValidation::Ignore,
            _ => FieldValidation::Warn,
        }
    }

    /// A number among the query parameters.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        match self.parameter(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Failure::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
            }),
        }
    }
}

fn verb_of(method: &Method, is_named: bool, watch: Option<&str>) -> Option<Verb> {
    let watches = matches!(watch, Some("true" | "1"));
    Some(match (method.as_str(), is_named) {
        ("GET" | "HEAD", true) if !watches => Verb::Get,
        ("GET" | "HEAD", false) if !watches => Verb::List,
        ("GET", _) => Verb::Watch,
        // A POST to a name is for its subresource.
        ("POST", _) => Verb::Create,
        ("PUT", true) => Verb::Update,
        ("PATCH", true) => Verb::Patch,
        ("DELETE", true) => Verb::Delete,
        ("DELETE", false) => Verb::DeleteCollection,
        _ => return None,
    })
}

pub(crate) fn parse_query(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_percent(name, true), decode_percent(value, true))
        })
        .collect()
}

fn decode_percent(text: &str, plus_is_space: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digits = rest.clone();
        let pair = (digits.next().and_then(hex), digits.next().and_then(hex));
        match (byte, pair) {
            (b'%', (Some(high), Some(low))) => {
                bytes.push(high.wrapping_shl(4) | low);
                rest = digits;
            }
            (b'+', _) if plus_is_space => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_read_as_requests() {
        for (method, url, expected) in [
            ("GET", "/api/v1/namespaces", Some("list v1 namespaces   ")),
            ("GET", "/api/v1/namespaces/shop", Some("get v1 namespaces  shop ")),
            ("PUT", "/api/v1/namespaces/shop/status", Some("update v1 namespaces  shop status")),
            ("GET", "/api/v1/namespaces/shop/pods?watch=1", Some("watch v1 pods shop  ")),
            ("GET", "/apis/apps/v1/deployments", Some("list apps/v1 deployments   ")),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/a/deployments/b/scale",
                Some("patch apps/v1 deployments a b scale"),
            ),
            (
                "DELETE",
                "/apis/apps/v1/namespaces/a/deployments",
                Some("deletecollection apps/v1 deployments a  "),
            ),
            ("POST", "/api/v1/namespaces/a/pods/b/eviction", Some("create v1 pods a b eviction")),
            ("GET", "/apis/apps/v1", None),
            ("GET", "/healthz", None),
        ] {
            let request = ResourceRequest::parse(&method.parse().unwrap(), &url.parse().unwrap());
            let text = request.map(|r| {
                let api =
                    if r.group.is_empty() { r.version.clone() } else { format!("{}/{}", r.group, r.version) };
                format!("{} {api} {} {} {} {}", r.verb.name(), r.resource, r.namespace, r.name, r.subresource)
            });
            assert_eq!(text.as_deref(), expected, "{method} {url}");
        }
    }

    #[test]
    fn query_parameters_are_decoded() {
        let query = parse_query("labelSelector=app%20in+%28web%29&limit=5&x");
        assert_eq!(query["labelSelector"], "app in (web)");
        assert_eq!(query["limit"], "5");
        assert_eq!(query["x"], "");
    }
}

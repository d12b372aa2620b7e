//! One form for the schemas of built-in kinds and of custom resources: what a field may hold, and how its lists and
//! maps are merged and owned.

pub(crate) mod builtin;
mod compile;
mod decode;
mod default;
mod validate;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use regex::Regex;
use serde_json::Value;

pub(crate) use compile::compile;
pub(crate) use decode::{Decoded, decode};
pub(crate) use default::apply_defaults;
pub(crate) use validate::validate;

/// The JSON type that a schema asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
    Any,
}

impl Type {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::IntOrString => "integer,string",
            Self::Any => "any",
        }
    }

    pub(crate) fn holds(self, value: &Value) -> bool {
        match self {
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::String => value.is_string(),
            Self::Integer => is_whole(value),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::IntOrString => value.is_string() || is_whole(value),
            Self::Any => true,
        }
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// How a list is merged and owned (`x-kubernetes-list-type`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    #[default]
    Atomic,
    Set,
    /// By the values of these fields.
    Map(Vec<String>),
}

/// Bounds on a value.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_items: Option<u64>,
    pub(crate) min_properties: Option<u64>,
    pub(crate) max_properties: Option<u64>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) format: Option<String>,
    pub(crate) values: Vec<Value>,
}

/// What one value may be.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) kind: Type,
    pub(crate) nullable: bool,
    pub(crate) properties: BTreeMap<String, Arc<Self>>,
    pub(crate) additional: Option<Arc<Self>>,
    pub(crate) items: Option<Arc<Self>>,
    pub(crate) required: Vec<String>,
    pub(crate) default: Option<Value>,
    pub(crate) keep_unknown: bool,
    pub(crate) embedded: bool,
    pub(crate) limits: Limits,
    pub(crate) all_of: Vec<Arc<Self>>,
    pub(crate) any_of: Vec<Arc<Self>>,
    pub(crate) one_of: Vec<Arc<Self>>,
    pub(crate) not: Option<Arc<Self>>,
    pub(crate) list: ListType,
    /// Replaced as a whole and owned as a whole (`x-kubernetes-map-type: atomic`).
    pub(crate) atomic: bool,
    /// The field by which a strategic merge patch finds a list's entries.
    pub(crate) merge_key: Option<String>,
    /// A strategic merge patch joins this list instead of replacing it.
    pub(crate) merge_list: bool,
}

/// The schema of what is not described.
static ANY: LazyLock<Schema> = LazyLock::new(Schema::any);

impl Schema {
    /// A schema that allows everything and knows nothing of its fields.
    pub(crate) fn any() -> Self {
        Self {
            kind: Type::Any,
            nullable: true,
            properties: BTreeMap::new(),
            additional: None,
            items: None,
            required: Vec::new(),
            default: None,
            keep_unknown: true,
            embedded: false,
            limits: Limits::default(),
            all_of: Vec::new(),
            any_of: Vec::new(),
            one_of: Vec::new(),
            not: None,
            list: ListType::Atomic,
            atomic: false,
            merge_key: None,
            merge_list: false,
        }
    }

    /// The schema of the field `name`, if it is declared or allowed.
    pub(crate) fn field(&self, name: &str) -> Option<&Arc<Self>> {
        self.properties.get(name).or(self.additional.as_ref())
    }

    /// The schema of the field `name`, or one that allows anything.
    pub(crate) fn field_or_any(&self, name: &str) -> &Self {
        self.field(name).map_or(&*ANY, |field| &**field)
    }

    /// The schema of a list's entries, or one that allows anything.
    pub(crate) fn items_or_any(&self) -> &Self {
        self.items.as_deref().unwrap_or(&ANY)
    }

    /// Whether the field is declared by name, rather than being a key of a map.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.properties.contains_key(name)
    }
}

//! `resource.Quantity` as users write it: `90`, `"0.05"`, `300m`, `1.5k`, `2Gi`, `1e3`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// Longest quantity accepted, in characters; bounds what the API server's validation may cost.
const MAX_LENGTH: usize = 32;

/// A number with Kubernetes' suffixes. Keeps the spelling it came with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Quantity(String);

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number: write for example 90, \"0.5\", 300m or 2k")]
pub struct QuantityError(String);

impl Quantity {
    /// The number meant; finite.
    pub fn value(&self) -> Result<f64, QuantityError> {
        parse(&self.0).ok_or_else(|| QuantityError(self.0.clone()))
    }

    /// A quantity spelled in the source, for defaults.
    pub(super) fn of(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let quantity = Self(text.to_owned());
        quantity.value()?;
        Ok(quantity)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrNumber;

        impl serde::de::Visitor<'_> for TextOrNumber {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number such as 90, \"0.5\" or 300m")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Quantity, E> {
                Ok(Quantity(text.to_owned()))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
        }

        deserializer.deserialize_any(TextOrNumber)
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": MAX_LENGTH,
            "pattern": "^[+-]?([0-9]+|[0-9]+\\.[0-9]*|\\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$",
        })
    }
}

fn parse(text: &str) -> Option<f64> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let digits = text.bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-')).count();
    let (number, suffix) = text.split_at_checked(digits)?;
    let scale = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024_f64,
        "Mi" => 1024_f64.powi(2),
        "Gi" => 1024_f64.powi(3),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        exponent if exponent.starts_with(['e', 'E']) => return finite(text.parse().ok()?),
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    // Division keeps 300m at exactly 0.3; multiplying by 1e-3 does not.
    finite(if scale < 1.0 { number / scale.recip().round() } else { number * scale })
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_mean_what_kubernetes_means_by_them() {
        for (text, value) in [
            ("90", 90.0),
            ("0.05", 0.05),
            ("300m", 0.3),
            ("1.5k", 1500.0),
            ("2Gi", 2_147_483_648.0),
            ("1e3", 1000.0),
            ("1E", 1e18),
            ("12E-1", 1.2),
            ("-5", -5.0),
            ("+5", 5.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("250n", 250e-9),
        ] {
            assert_eq!(Quantity(text.into()).value(), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_refused_with_an_example() {
        for text in [
            "",
            "m",
            "ninety",
            "1 k",
            "1kk",
            "NaN",
            "inf",
            "1e999",
            "--1",
            "0x10",
            "9999999999999999999999999999999999",
        ] {
            let error = text.parse::<Quantity>().unwrap_err();
            assert!(error.to_string().contains("write for example 90"), "{text}");
        }
    }

    #[test]
    fn yaml_may_leave_the_quotes_away() {
        for (yaml, value) in [("90", 90.0), ("\"90\"", 90.0), ("0.5", 0.5), ("300m", 0.3)] {
            let quantity: Quantity = serde_saphyr::from_str(yaml).unwrap();
            assert_eq!(quantity.value(), Ok(value), "{yaml}");
        }
    }
}

//! Points as a recording writes them: a number, `null` where one is missing, and a word for what JSON has no number for.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point that a metric store returned and that is not a number, such as 0 / 0.
const NOT_A_NUMBER: &str = "NaN";
const INFINITY: &str = "Infinity";
const NEGATIVE_INFINITY: &str = "-Infinity";

/// One point on the wire.
struct PointText(Option<f64>);

impl Serialize for PointText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_none(),
            Some(value) if value.is_nan() => serializer.serialize_str(NOT_A_NUMBER),
            Some(f64::INFINITY) => serializer.serialize_str(INFINITY),
            Some(f64::NEG_INFINITY) => serializer.serialize_str(NEGATIVE_INFINITY),
            Some(value) => serializer.serialize_f64(value),
        }
    }
}

impl<'de> Deserialize<'de> for PointText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PointVisitor).map(Self)
    }
}

struct PointVisitor;

impl Visitor<'_> for PointVisitor {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number, null, \"{NOT_A_NUMBER}\", \"{INFINITY}\" or \"{NEGATIVE_INFINITY}\"")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value as f64))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        match text {
            NOT_A_NUMBER => Ok(Some(f64::NAN)),
            INFINITY => Ok(Some(f64::INFINITY)),
            NEGATIVE_INFINITY => Ok(Some(f64::NEG_INFINITY)),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(&text.chars().take(60).collect::<String>()), &self)),
        }
    }
}

/// A list of points on the wire.
pub(super) struct PointList(pub(super) Vec<Option<f64>>);

impl<'de> Deserialize<'de> for PointList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;

        impl<'de> Visitor<'de> for ListVisitor {
            type Value = Vec<Option<f64>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of points")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut points = Vec::new();
                while let Some(PointText(point)) = list.next_element()? {
                    points.push(point);
                }
                Ok(points)
            }
        }

        deserializer.deserialize_seq(ListVisitor).map(Self)
    }
}

/// Reads a list of points.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Option<f64>>, D::Error> {
    PointList::deserialize(deserializer).map(|list| list.0)
}

/// Writes a list of points.
pub(super) fn serialize<S: Serializer>(points: &[Option<f64>], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(points.len()))?;
    for point in points {
        list.serialize_element(&PointText(*point))?;
    }
    list.end()
}

/// Such a list of somebody else's, to be written.
pub(super) struct PointSlice<'a>(pub(super) &'a [Option<f64>]);

impl Serialize for PointSlice<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, serializer)
    }
}

/// The same of a list that may be left out.
pub(super) mod optional {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::replay::points::PointList;

    /// Reads a list of points, or none.
    pub(in crate::replay) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Option<f64>>>, D::Error> {
        Option::<PointList>::deserialize(deserializer).map(|list| list.map(|list| list.0))
    }

    /// Writes a list of points, or `null`.
    #[allow(clippy::ref_option, reason = "serde hands over a reference to the field")]
    pub(in crate::replay) fn serialize<S: Serializer>(points: &Option<Vec<Option<f64>>>, serializer: S) -> Result<S::Ok, S::Error> {
        match points {
            None => serializer.serialize_none(),
            Some(points) => crate::replay::points::serialize(points, serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_has_no_number_for_is_read_back_as_it_was() {
        let points = [Some(1.5), None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY), Some(-3.0)];
        let mut text = Vec::new();
        serialize(&points, &mut serde_json::Serializer::new(&mut text)).unwrap();
        assert_eq!(String::from_utf8_lossy(&text), r#"[1.5,null,"NaN","Infinity","-Infinity",-3.0]"#);
        let read = serde_json::from_slice::<PointList>(&text).unwrap().0;
        let bits = |points: &[Option<f64>]| points.iter().map(|point| point.map(f64::to_bits)).collect::<Vec<_>>();
        assert_eq!(bits(&read), bits(&points));
        assert!(serde_json::from_str::<PointList>("[\"much\"]").is_err());
    }
}

//! Reading JSON as Kayenta reads it: unknown keys are ignored, `null` means absent, scalars are taken for texts and texts for numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use haldane_judges::document;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::refusal::Refusal;
use super::values::without_nulls;

/// Longest message about a value of the wrong type, in characters.
const MAX_MESSAGE: usize = 300;

/// Reads a document.
///
/// # Errors
/// [`Refusal`] with the pointer and the value of the first field that does not fit.
pub(crate) fn read<T: DeserializeOwned>(document: &Value) -> Result<T, Refusal> {
    document::read(without_nulls(document.clone())).map_err(|problem| {
        let message: String = problem.message.chars().take(MAX_MESSAGE).collect();
        Refusal::at(problem.pointer, message)
    })
}

/// What is read from an object, and not, as a derived `Deserialize` would have it too, from an array of its fields.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// A text; a number or a boolean is taken for its text, as Jackson does.
#[derive(Debug, Default)]
struct LenientText(String);

impl<'de> Deserialize<'de> for LenientText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LenientTextVisitor;
        impl Visitor<'_> for LenientTextVisitor {
            type Value = LenientText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<LenientText, E> {
                Ok(LenientText(text.to_owned()))
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<LenientText, E> {
                Ok(LenientText(value.to_string()))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<LenientText, E> {
                Ok(LenientText(value.to_string()))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<LenientText, E> {
                Ok(LenientText(value.to_string()))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<LenientText, E> {
                Ok(LenientText(value.to_string()))
            }
        }
        deserializer.deserialize_any(LenientTextVisitor)
    }
}

/// A number; a text that holds one is taken for it, as Jackson does.
#[derive(Debug, Clone, Copy)]
struct LenientNumber(f64);

impl<'de> Deserialize<'de> for LenientNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = LenientNumber;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<LenientNumber, E> {
                let number = text.trim().parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
                Ok(LenientNumber(number))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<LenientNumber, E> {
                Ok(LenientNumber(value as f64))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<LenientNumber, E> {
                Ok(LenientNumber(value as f64))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<LenientNumber, E> {
                Ok(LenientNumber(value))
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

pub(crate) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|object| object.0)
}

pub(crate) fn optional_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    object(deserializer).map(Some)
}

pub(crate) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Object<T>>::deserialize(deserializer)?.into_iter().map(|object| object.0).collect())
}

pub(crate) fn object_map<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error> {
    Ok(BTreeMap::<String, Object<T>>::deserialize(deserializer)?.into_iter().map(|(name, object)| (name, object.0)).collect())
}

pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    LenientText::deserialize(deserializer).map(|text| text.0)
}

pub(crate) fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    LenientText::deserialize(deserializer).map(|text| Some(text.0))
}

pub(crate) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Vec::<LenientText>::deserialize(deserializer)?.into_iter().map(|text| text.0).collect())
}

pub(crate) fn text_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(BTreeMap::<String, LenientText>::deserialize(deserializer)?.into_iter().map(|(name, text)| (name, text.0)).collect())
}

pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    LenientNumber::deserialize(deserializer).map(|number| number.0)
}

pub(crate) fn number_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
    Ok(BTreeMap::<String, LenientNumber>::deserialize(deserializer)?.into_iter().map(|(name, number)| (name, number.0)).collect())
}

/// A whole number; fractions are dropped, as Jackson does.
pub(crate) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = number(deserializer)?;
    if number.abs() < 9e15 { Ok(number as i64) } else { Err(de::Error::custom(format!("{number} is too large a number, or none"))) }
}

pub(crate) fn optional_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    whole(deserializer).map(Some)
}

//! Lists of metric set pairs: the series of both arms, as Kayenta writes them.

use std::collections::BTreeMap;

use haldane_judges::config::MAX_METRICS;
use serde_json::Value;

use crate::kayenta::wire::refusal::Refusal;
use crate::kayenta::wire::values::read_number;

/// One metric set pair.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MetricSetPair {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) control: PairSide,
    pub(crate) experiment: PairSide,
}

/// One side of a pair.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PairSide {
    pub(crate) values: Vec<f64>,
    /// When its first point is, in Unix seconds.
    pub(crate) start: Option<i64>,
    pub(crate) step_seconds: Option<u32>,
}

/// Reads a list of metric set pairs.
pub(crate) fn read_pairs(document: &Value) -> Result<Vec<MetricSetPair>, Refusal> {
    let pairs = document.as_array().ok_or_else(|| Refusal::at("/metricSetPairList", "is an array of metric set pairs"))?;
    if pairs.len() > MAX_METRICS {
        let message = format!("{} pairs are more than the {MAX_METRICS} that are judged at once", pairs.len());
        return Err(Refusal::at("/metricSetPairList", message));
    }
    pairs.iter().enumerate().map(|(i, pair)| read_pair(i, pair)).collect()
}

fn read_pair(i: usize, pair: &Value) -> Result<MetricSetPair, Refusal> {
    let wrong = |field: &str, what: &str| Refusal::at(format!("/metricSetPairList/{i}{field}"), what);
    if !pair.is_object() {
        return Err(wrong("", "is a metric set pair, with `name` and `values`"));
    }
    let name =
        pair["name"].as_str().filter(|name| !name.is_empty()).ok_or_else(|| wrong("/name", "is the name of a metric of the config"))?;
    for field in ["values", "scopes", "tags", "attributes"] {
        if !pair[field].is_null() && !pair[field].is_object() {
            return Err(wrong(&format!("/{field}"), "is an object"));
        }
    }
    if pair["id"].is_object() || pair["id"].is_array() {
        return Err(wrong("/id", "is a text"));
    }
    let arm = |arm: &str| {
        let values = match &pair["values"][arm] {
            Value::Null => Vec::new(),
            Value::Array(values) => values
                .iter()
                .enumerate()
                .map(|(j, value)| {
                    let at = format!("/values/{arm}/{j}");
                    read_number(value).ok_or_else(|| wrong(&at, "is a number, or \"NaN\", \"Infinity\" or \"-Infinity\""))
                })
                .collect::<Result<_, _>>()?,
            _ => return Err(wrong(&format!("/values/{arm}"), "is an array of numbers")),
        };
        let scope = &pair["scopes"][arm];
        let step = scope["stepMillis"].as_i64().map(|millis| millis / 1000);
        Ok(PairSide {
            values,
            start: scope["startTimeMillis"].as_i64().map(|millis| millis.div_euclid(1000)),
            step_seconds: step.and_then(|step| u32::try_from(step).ok()).filter(|step| *step > 0),
        })
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let tags = pair["tags"].as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    Ok(MetricSetPair {
        name: name.to_owned(),
        id: pair["id"].as_str().unwrap_or_default().to_owned(),
        tags: tags.map(|(name, value)| (name.clone(), text(value))).collect(),
        control: arm("control")?,
        experiment: arm("experiment")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_object_where_a_pair_has_one_is_refused_at_its_place() {
        for field in ["values", "scopes", "tags", "attributes"] {
            for value in [json!([null, null]), json!("AAA"), json!(0)] {
                let refusal = read_pairs(&json!([{ "name": "m" }, { "name": "m", field: value }])).unwrap_err();
                assert_eq!(refusal.message(), format!("/metricSetPairList/1/{field}: is an object"));
            }
            assert_eq!(read_pairs(&json!([{ "name": "m", field: null }])).unwrap().len(), 1);
        }
        assert_eq!(read_pairs(&json!([{ "name": "m", "id": {} }])).unwrap_err().message(), "/metricSetPairList/0/id: is a text");
    }
}

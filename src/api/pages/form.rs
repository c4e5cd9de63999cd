//! The form that judges two pasted columns or a CSV file, and what it sends.

use axum::Extension;
use axum::body::Body;
use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequest as _, Request, State};
use axum::response::{IntoResponse as _, Response};
use haldane_judges::config::Direction;
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::super::body::translate;
use super::super::judgements::answer;
use super::super::notice;
use super::super::problem::Problem;
use super::super::representation::Representation;
use super::super::state::SharedState;
use crate::access::Requester;
use crate::intake::OnRefusal;
use crate::pool;
use crate::server::body::ReceivedBody;

/// Most parts of a form that is read; the page's has seven.
const MOST_PARTS: usize = 50;

/// The form.
pub(super) fn form() -> Markup {
    html! {
        p { "Paste the points of a metric, oldest first, one a line; or choose (or drop) a CSV file with two columns of numbers, the baseline's and the canary's; of more, its first line names the two " code { "baseline" } " and " code { "canary" } "." }
        form method="post" action="/try" enctype="multipart/form-data" {
            label { "Baseline" textarea name="baseline" spellcheck="false" placeholder="101\n99\n104" {} }
            label { "Canary" textarea name="canary" spellcheck="false" placeholder="161\n158\n166" {} }
            label.wide { "CSV file" small { "instead of both" } input type="file" name="file" accept=".csv,.tsv,.txt,text/csv"; }
            div.row {
                label { "Metric" input name="name" value="latency"; }
                label { "Unit" input name="unit" placeholder="ms" size="8"; }
                label { "Worse is" select name="direction" { option value="increase" { "more" } option value="decrease" { "less" } option value="either" { "either" } } }
                label { "Step" input name="step" value="1m" size="8"; }
            }
            button type="submit" { "Judge" }
        }
    }
}

/// What the form says.
#[derive(Debug, Default)]
struct Fields {
    baseline: String,
    canary: String,
    file: String,
    name: String,
    unit: String,
    direction: String,
    step: String,
}

/// Judges what the form says, for a browser.
pub(crate) async fn judge(State(state): State<SharedState>, Extension(caller): Extension<Requester>, request: Request) -> Response {
    let judged = async {
        caller.may_use_config(None)?;
        let (parts, body) = request.into_parts();
        let ReceivedBody { bytes, place } = state.reader.read(&parts.headers, body, OnRefusal::ComesBack).await?;
        let size = bytes.len();
        // Read whole before, so that all of it is within the limits of bodies.
        let form = Multipart::from_request(Request::from_parts(parts, Body::from(bytes)), &()).await;
        let fields = read(form.map_err(|rejection| Problem::bad_request("invalid-form", rejection.body_text()))?).await?;
        let most = state.bodies.max_inline_points;
        let planner = SharedState::clone(&state);
        let plan = pool::unless_small(size, move || {
            let request = body_of(&fields, most)?;
            let request =
                translate(request, &planner.configs.current(), &planner.bodies, planner.executions.analyst().sources(), Timestamp::now())?;
            planner.executions.plan(request).map_err(|error| Problem::from(&error))
        });
        let plan = plan.await?;
        let deadline = state.executions.options().default_deadline;
        state.executions.run_to_end(plan, Some(place), deadline).await.map_err(|failure| Problem::from(&failure))
    };
    match judged.await {
        Ok(scorecard) => answer(scorecard, true, Representation::Html).await.into_response(),
        Err(problem) => notice::problem(problem),
    }
}

/// What the fields of a form say; others are passed over.
async fn read(mut form: Multipart) -> Result<Fields, Problem> {
    let broken = |error: MultipartError| Problem::bad_request("invalid-form", error.body_text());
    let mut fields = Fields::default();
    let mut parts = 0;
    while let Some(field) = form.next_field().await.map_err(broken)? {
        parts += 1;
        if parts > MOST_PARTS {
            return Err(Problem::bad_request(
                "invalid-form",
                format!("the form has more than {MOST_PARTS} fields; send those of the page"),
            ));
        }
        let place = match field.name() {
            Some("baseline") => &mut fields.baseline,
            Some("canary") => &mut fields.canary,
            Some("file") => &mut fields.file,
            Some("name") => &mut fields.name,
            Some("unit") => &mut fields.unit,
            Some("direction") => &mut fields.direction,
            Some("step") => &mut fields.step,
            _ => continue,
        };
        let bytes = field.bytes().await.map_err(broken)?;
        let text = String::from_utf8(bytes.into());
        *place = text.map_err(|_| Problem::bad_request("invalid-form", "a field is not UTF-8 text; save the file as UTF-8"))?;
    }
    Ok(fields)
}

/// The body of a judgement that the form stands for.
fn body_of(fields: &Fields, most: usize) -> Result<Value, Problem> {
    let (baseline, canary) = if fields.file.trim().is_empty() {
        (column(&fields.baseline, "Baseline", most)?, column(&fields.canary, "Canary", most)?)
    } else {
        columns(&fields.file, most)?
    };
    let name = Some(fields.name.trim()).filter(|name| !name.is_empty()).unwrap_or("metric");
    let direction: Direction = serde_json::from_value(json!(fields.direction)).unwrap_or(Direction::Increase);
    let mut metric = json!({ "name": name, "direction": direction });
    if !fields.unit.trim().is_empty() {
        metric["unit"] = json!(fields.unit.trim());
    }
    let step = Some(fields.step.trim()).filter(|step| !step.is_empty()).unwrap_or("1m");
    let mut samples = serde_json::Map::new();
    samples.insert(name.to_owned(), json!({ "baseline": baseline, "canary": canary }));
    Ok(json!({
        "config": { "name": "pasted", "metrics": [metric] },
        "window": { "step": step },
        "samples": samples,
    }))
}

/// A number as people paste it; `None` for a missing point.
fn number(text: &str) -> Result<Option<f64>, ()> {
    match text.trim() {
        "" | "NaN" | "nan" | "null" | "NA" | "-" => Ok(None),
        text => text.parse().map(Some).map_err(|_| ()),
    }
}

fn column(text: &str, what: &str, most: usize) -> Result<Vec<Option<f64>>, Problem> {
    // A list in one line has commas between its numbers; a number a line has them within.
    let is_list = text.trim().lines().count() == 1 && text.matches(',').count() > 1;
    if let Some(word) = text.split_whitespace().map(|word| word.trim_end_matches(',')).find(|word| !is_list && word.contains(',')) {
        let shown: String = word.chars().take(40).collect();
        return Err(Problem::invalid(
            "",
            format!("{what}: `{shown}` may be one number or several; write 1500 or 1.5, and one number a line"),
        ));
    }
    let words = text.trim().lines().flat_map(|line| line.split([',', ';', '\t', ' '])).filter(|word| !word.trim().is_empty());
    let mut points = Vec::new();
    for (i, word) in words.enumerate() {
        if i >= most {
            return Err(Problem::too_large(format!("{what} has more than {most} points; give fewer")));
        }
        let shown: String = word.chars().take(40).collect();
        let point = number(word);
        points.push(
            point.map_err(|()| Problem::invalid("", format!("{what}: `{shown}` (no. {}) is not a number; write it like 12.5", i + 1)))?,
        );
    }
    if points.is_empty() {
        return Err(Problem::invalid("", format!("{what} has no points; paste one number a line, or choose a CSV file")));
    }
    Ok(points)
}

type PastedColumns = (Vec<Option<f64>>, Vec<Option<f64>>);

/// The two columns that the first line names `baseline` and `canary`, or else the only two that hold numbers.
fn columns(text: &str, most: usize) -> Result<PastedColumns, Problem> {
    let first = text.lines().next().unwrap_or_default();
    let separator = [b';', b'\t'].into_iter().find(|byte| first.as_bytes().contains(byte)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| Problem::invalid("", format!("the file is no CSV: {error}")))?;
        if rows.len() > most {
            return Err(Problem::too_large(format!("the file has more than {most} lines; give fewer points")));
        }
        rows.push(row);
    }
    let is_number = |row: &csv::StringRecord, i: usize| row.get(i).is_some_and(|cell| matches!(number(cell), Ok(Some(_))));
    let width = rows.iter().map(csv::StringRecord::len).max().unwrap_or(0);
    let is_header = rows.first().is_some_and(|row| (0..width).all(|i| !is_number(row, i)));
    let body = &rows[usize::from(is_header)..];
    let numeric: Vec<usize> = (0..width)
        .filter(|i| body.iter().any(|row| is_number(row, *i)) && body.iter().all(|row| row.get(*i).is_none_or(|cell| number(cell).is_ok())))
        .collect();
    let named = |name: &str| {
        let names = rows.first().filter(|_| is_header)?.iter();
        names.zip(0..).find(|(found, i)| found.trim().eq_ignore_ascii_case(name) && numeric.contains(i)).map(|(_, i)| i)
    };
    let (baseline, canary) = match (named("baseline"), named("canary"), &numeric[..]) {
        (Some(baseline), Some(canary), _) | (_, _, &[baseline, canary]) => (baseline, canary),
        _ => {
            let message = format!(
                "the file has {} columns of numbers; give two, the baseline's and the canary's, or name two of them `baseline` and `canary` in \
                 the first line",
                numeric.len()
            );
            return Err(Problem::invalid("", message));
        }
    };
    let of = |i: usize| body.iter().map(|row| row.get(i).and_then(|cell| number(cell).ok().flatten())).collect();
    Ok((of(baseline), of(canary)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_column_is_numbers_between_lines_spaces_or_commas() {
        assert_eq!(column("1\n2.5\r\nNaN\n-3e2", "Baseline", 10).unwrap(), [Some(1.0), Some(2.5), None, Some(-300.0)]);
        assert_eq!(column(" 1, 2;3\t4 ", "Baseline", 10).unwrap().len(), 4);
        assert_eq!(column("1,2,3", "Baseline", 10).unwrap().len(), 3);
        assert_eq!(column("1,\n2,\n3", "Baseline", 10).unwrap().len(), 3);
        for (text, said) in [
            ("1,500\n1,600", "`1,500` may be"),
            ("1,5", "`1,5` may be"),
            ("", "no points"),
            ("1\ntwo", "`two` (no. 2)"),
            ("1 2 3 4 5 6 7 8 9 10 11", "more than 10"),
        ] {
            let problem = column(text, "Baseline", 10).unwrap_err();
            assert!(problem.detail.contains(said), "{}", problem.detail);
        }
    }

    #[test]
    fn a_file_gives_the_columns_it_names_or_its_only_two_of_numbers() {
        let some = |values: &[f64]| values.iter().map(|value| Some(*value)).collect::<Vec<_>>();
        let expected = (some(&[1.0, 3.0]), some(&[2.0, 4.0]));
        for file in [
            "baseline,canary\n1,2\n3,4\n",
            "1;2\n3;4",
            "time\tstable\tnew\n2026-01-01T00:00:00Z\t1\t2\n2026-01-01T00:01:00Z\t3\t4\n",
            "time,baseline,canary\n10,1,2\n20,3,4\n",
            "Canary,time, Baseline\n2,10,1\n4,20,3\n",
        ] {
            assert_eq!(columns(file, 10).unwrap(), expected, "{file}");
        }
        assert_eq!(columns("1,2\n,4\n5\n", 10).unwrap(), (vec![Some(1.0), None, Some(5.0)], vec![Some(2.0), Some(4.0), None]));
        for (file, said) in [
            ("a,b\nc,d\n", "0 columns"),
            ("1\n2\n", "1 columns"),
            ("1767225600,1,2\n1767225660,3,4\n", "3 columns"),
            ("1,5;2,5\n", "0 columns"),
            (&"1,2\n".repeat(20), "more than 10"),
        ] {
            assert!(columns(file, 10).unwrap_err().detail.contains(said), "{file}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_file_and_no_column_makes_it_panic(text in "\\PC{0,200}", lines in "([0-9a,;\"\n\t.-]){0,200}") {
            for text in [&text, &lines] {
                let _ = (columns(text, 50), column(text, "Canary", 50));
            }
        }
    }
}

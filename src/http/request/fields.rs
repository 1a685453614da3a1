//! Reading an object field by field, so that the caller hears of every fault at once.
//!
//! Every field is asked for first; only then is anything built of them:
//! ```
//! # use brune::{http::{Fields, NUMBERS, Problem}, json::Json};
//! struct Edit { key: String, value: Json, version: Option<i64> }
//!
//! fn edits(body: Json) -> Result<Vec<Edit>, Problem> {
//!     let mut fields = Fields::of(body)?;
//!     let edits = fields.objects("changes", 1_000, |change| {
//!         let key = change.string("key");
//!         let value = change.raw("value");
//!         let version = change.optional_integer("version", NUMBERS);
//!         Some(Edit { key: key?, value: value?, version })
//!     });
//!     fields.finish(|| edits)
//! }
//! ```
//! Fields that were not asked for are faults. `null` for an optional field is the same as leaving it out.

use std::ops::RangeInclusive;

use serde_json::json;

use crate::{
    http::problem::Problem,
    json::{FieldError, FieldErrors, StrictJson, field_error, integral},
};

/// Versions and revisions: what is positive and every JSON reader holds exactly.
pub const NUMBERS: RangeInclusive<i64> = 1..=(1 << 53) - 1;

/// An object being read. A required field that is missing or wrong is `None`, and a fault.
#[derive(Debug)]
pub struct Fields {
    members: Vec<(String, Option<StrictJson>)>,
    asked: Vec<&'static str>,
    pointer: String,
    faults: FieldErrors,
}

impl Fields {
    /// The fields of `json`, which must be an object.
    pub fn of(json: StrictJson) -> Result<Self, Problem> {
        Self::at(String::new(), json).map_err(Problem::malformed)
    }

    fn at(pointer: String, json: StrictJson) -> Result<Self, FieldError> {
        match json {
            StrictJson::Object(members) => {
                let members = members.into_iter().map(|(name, it)| (name, Some(it))).collect();
                Ok(Self { members, asked: Vec::new(), pointer, faults: FieldErrors::default() })
            }
            other => Err(wrong_type(pointer, "an object", &other)),
        }
    }

    /// Whether there is a field `name`, be it `null`. Does not count as asking for it.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(it, _)| it == name)
    }

    /// The field as it was sent; required.
    pub fn raw(&mut self, name: &'static str) -> Option<StrictJson> {
        let found = self.take(name);
        if found.is_none() {
            self.fault(name, "required", "is needed");
        }
        found
    }

    /// A text; required.
    pub fn string(&mut self, name: &'static str) -> Option<String> {
        let json = self.raw(name)?;
        self.read_string(name, json)
    }

    /// A text, if there is one.
    pub fn optional_string(&mut self, name: &'static str) -> Option<String> {
        let json = self.present(name)?;
        self.read_string(name, json)
    }

    /// An integer of `range`; required.
    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let json = self.raw(name)?;
        self.read_integer(name, &json, &range)
    }

    /// An integer of `range`, if there is one.
    pub fn optional_integer(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let json = self.present(name)?;
        self.read_integer(name, &json, &range)
    }

    /// `true` or `false`, if there is one.
    pub fn optional_bool(&mut self, name: &'static str) -> Option<bool> {
        match self.present(name)? {
            StrictJson::Bool(it) => Some(it),
            other => self.wrong(name, "a boolean", &other),
        }
    }

    /// A list; required.
    pub fn array(&mut self, name: &'static str) -> Option<Vec<StrictJson>> {
        let json = self.raw(name)?;
        self.read_array(name, json)
    }

    /// A list of at most `most` texts, if there is one.
    pub fn optional_strings(&mut self, name: &'static str, most: usize) -> Option<Vec<String>> {
        let json = self.present(name)?;
        let pointer = self.pointer_to(name);
        let items = self.read_array(name, json)?;
        let mut texts = Vec::new();
        for (index, item) in self.at_most(most, name, items)?.into_iter().enumerate() {
            match item {
                StrictJson::String(text) => texts.push(text),
                other => {
                    self.faults.push(wrong_type(
                        field_error::item(&pointer, index),
                        "a string",
                        &other,
                    ));
                }
            }
        }
        Some(texts)
    }

    /// A list of at most `most` objects, each read by `read`; required. `None` if it makes nothing of one. Of a longer
    /// list no item is read: its length is the one fault.
    pub fn objects<T>(
        &mut self,
        name: &'static str,
        most: usize,
        mut read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.array(name)?;
        let items = self.at_most(most, name, items)?;
        let pointer = self.pointer_to(name);
        let mut built = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            // Not `?` at once: the items after a faulty one are read as well.
            built.push(self.nested(field_error::item(&pointer, index), item, &mut read));
        }
        built.into_iter().collect()
    }

    /// An object, read by `read`; required.
    pub fn object<T>(
        &mut self,
        name: &'static str,
        read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let json = self.raw(name)?;
        self.nested(self.pointer_to(name), json, read)
    }

    /// Says that the field `name` is at fault in a way that only the caller knows.
    pub fn fault(&mut self, name: &str, code: &'static str, detail: impl Into<String>) {
        self.faults.push(FieldError::at(self.pointer_to(name), code, detail));
    }

    /// What `build` makes of the fields, or all that is wrong with them.
    pub fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, Problem> {
        let faults = self.close();
        if !faults.is_empty() {
            return Err(Problem::malformed(faults));
        }
        // Without a fault every required field was there, so this is only for a `build` that says no.
        let nothing =
            || Problem::malformed(FieldError::at("", "wrong_shape", "is not of a known shape"));
        build().ok_or_else(nothing)
    }

    fn nested<T>(
        &mut self,
        pointer: String,
        json: StrictJson,
        mut read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<T> {
        match Self::at(pointer, json) {
            Ok(mut fields) => {
                let built = read(&mut fields);
                self.faults.append(fields.close());
                built
            }
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    /// All faults, fields that nobody asked for included.
    fn close(mut self) -> FieldErrors {
        let allowed = self.asked.join(", ");
        for (name, _) in self.members.iter().filter(|(it, _)| !self.asked.contains(&it.as_str())) {
            let detail = format!("is not known here; known are {allowed}");
            self.faults.push(FieldError::at(
                field_error::below(&self.pointer, name),
                "unknown_field",
                detail,
            ));
        }
        self.faults
    }

    fn take(&mut self, name: &'static str) -> Option<StrictJson> {
        self.asked.push(name);
        self.members.iter_mut().find(|(it, _)| it == name)?.1.take()
    }

    fn present(&mut self, name: &'static str) -> Option<StrictJson> {
        self.take(name).filter(|it| *it != StrictJson::Null)
    }

    fn pointer_to(&self, name: &str) -> String {
        field_error::below(&self.pointer, name)
    }

    fn wrong<T>(&mut self, name: &str, expected: &str, found: &StrictJson) -> Option<T> {
        self.faults.push(wrong_type(self.pointer_to(name), expected, found));
        None
    }

    fn read_string(&mut self, name: &str, json: StrictJson) -> Option<String> {
        match json {
            StrictJson::String(text) => Some(text),
            other => self.wrong(name, "a string", &other),
        }
    }

    fn read_array(&mut self, name: &str, json: StrictJson) -> Option<Vec<StrictJson>> {
        match json {
            StrictJson::Array(items) => Some(items),
            other => self.wrong(name, "an array", &other),
        }
    }

    fn at_most(
        &mut self,
        most: usize,
        name: &str,
        items: Vec<StrictJson>,
    ) -> Option<Vec<StrictJson>> {
        if items.len() <= most {
            return Some(items);
        }
        let detail = format!("must have at most {most} items, and has {}", items.len());
        let fault = FieldError::at(self.pointer_to(name), "too_many_items", detail);
        self.faults.push(fault.with_constraint(json!({"max_items": most})));
        None
    }

    fn read_integer(
        &mut self,
        name: &str,
        json: &StrictJson,
        range: &RangeInclusive<i64>,
    ) -> Option<i64> {
        let StrictJson::Number(text) = json else { return self.wrong(name, "an integer", json) };
        let found = integral(text).filter(|it| range.contains(it));
        if found.is_none() {
            let (min, max) = (range.start(), range.end());
            let detail = format!("must be an integer from {min} to {max}");
            let rule = json!({"integer": true, "min": min, "max": max});
            let fault = FieldError::at(self.pointer_to(name), "out_of_range", detail);
            self.faults.push(fault.with_constraint(rule));
        }
        found
    }
}

fn wrong_type(pointer: String, expected: &str, found: &StrictJson) -> FieldError {
    let detail = format!("must be {expected}, and is {}", found.kind());
    FieldError::at(pointer, "wrong_type", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::tests::errors_of;

    #[derive(Debug, PartialEq)]
    struct Edit {
        key: String,
        value: StrictJson,
        version: Option<i64>,
    }

    fn read(text: &str) -> Result<(Option<String>, Vec<Edit>), Problem> {
        let mut fields = Fields::of(StrictJson::parse(text.as_bytes()).unwrap())?;
        let reason = fields.optional_string("reason");
        let changes = fields.objects("changes", 4, |change| {
            let key = change.string("key");
            let value = change.raw("value");
            let version = change.optional_integer("version", NUMBERS);
            Some(Edit { key: key?, value: value?, version })
        });
        fields.finish(|| Some((reason, changes?)))
    }

    fn faults(text: &str) -> Vec<(String, &'static str)> {
        errors_of(&read(text).unwrap_err())
    }

    #[test]
    fn a_sound_body_is_read() {
        let body = r#"{"reason":null,"changes":[{"key":"A","value":null,"version":3e0},{"value":1,"key":"B"}]}"#;
        let edit = |key: &str, value, version| Edit { key: key.into(), value, version };
        let expected = vec![
            edit("A", StrictJson::Null, Some(3)),
            edit("B", StrictJson::Number("1".into()), None),
        ];
        assert_eq!(read(body).unwrap(), (None, expected));
    }

    #[test]
    fn every_fault_is_told_with_its_pointer() {
        let body = r#"{"reason":7,"changes":[{"key":1,"x/y":2,"version":"3"},["A",1],{"value":1,"version":1.5}],"more":1}"#;
        let expected = [
            ("/reason", "wrong_type"),
            ("/changes/0/key", "wrong_type"),
            ("/changes/0/value", "required"),
            ("/changes/0/version", "wrong_type"),
            ("/changes/0/x~1y", "unknown_field"),
            ("/changes/1", "wrong_type"),
            ("/changes/2/key", "required"),
            ("/changes/2/version", "out_of_range"),
            ("/more", "unknown_field"),
        ];
        assert_eq!(faults(body), expected.map(|(at, code)| (at.to_owned(), code)));
    }

    #[test]
    fn a_list_that_is_too_long_is_one_fault_and_nothing_in_it_is_read() {
        let list = |length: usize| format!(r#"{{"changes":[{}]}}"#, vec!["7"; length].join(","));
        assert_eq!(faults(&list(4)).len(), 4);
        assert_eq!(faults(&list(5)), [("/changes".to_owned(), "too_many_items")]);
    }

    #[test]
    fn an_array_is_no_object() {
        assert_eq!(faults(r#"["r", []]"#), [(String::new(), "wrong_type")]);
        assert_eq!(faults(r#"{"changes":{}}"#), [("/changes".to_owned(), "wrong_type")]);
    }

    #[test]
    fn a_version_is_a_positive_integer_that_every_reader_holds() {
        let with = |version: &str| {
            read(&format!(r#"{{"changes":[{{"key":"A","value":1,"version":{version}}}]}}"#))
        };
        for fine in ["3", "3.0", "3e0", "30e-1"] {
            assert_eq!(with(fine).unwrap().1[0].version, Some(3), "{fine}");
        }
        assert!(with("9007199254740991").is_ok());
        for wrong in [
            "0",
            "-1",
            "1.5",
            "9007199254740992",
            "1e300",
            "1180591620717411303424",
            "true",
            "\"3\"",
            "[3]",
        ] {
            assert!(with(wrong).is_err(), "{wrong}");
        }
    }
}

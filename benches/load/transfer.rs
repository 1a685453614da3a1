//! Export and import of all settings, in each format.

use std::{fs, time::Instant};

use hyper::Method;
use serde_json::{Value, json};

use crate::{
    catalog,
    client::Client,
    program::Program,
    table::{Times, figure},
    world::{World, admin},
};

const SETTINGS: usize = 10_000;
const BAR_MS: f64 = 1_000.0;
const BAR_MB: f64 = 100.0;
/// Exports and imports of each format; every import changes every setting.
const TURNS: usize = 10;

/// The name and the media type of each format.
const FORMATS: [(&str, &str); 3] =
    [("json", "application/json"), ("yaml", "application/yaml"), ("env", "text/plain")];

pub(crate) async fn run(world: &mut World) {
    let file = world.scratch("catalog.toml");
    fs::write(&file, catalog::text(SETTINGS)).unwrap();
    world.database("transfer", &catalog::generated(SETTINGS)).await.close().await;
    let program = Program::start(&world.url("transfer"), Some(&file)).await;
    let mut service = Service { client: Client::of(program.address).await, token: admin() };
    let before = program.resident();
    let first = service.exports().await;
    service.import(FORMATS[0].1, other_values(&first[0])).await;
    let second = service.exports().await;
    for (at, (name, media_type)) in FORMATS.into_iter().enumerate() {
        let mut exported = Times::new();
        let mut imported = Times::new();
        for turn in 0..TURNS {
            let document = if turn % 2 == 0 { &first[at] } else { &second[at] };
            let started_at = Instant::now();
            service.import(media_type, document.clone()).await;
            imported.add(started_at.elapsed());
            let started_at = Instant::now();
            service.export(name).await;
            exported.add(started_at.elapsed());
        }
        let size = format!("{exported}, {} kB", first[at].len() / 1000);
        figure(&format!("export of {SETTINGS}, {name}"), exported.at(1.0), BAR_MS, "ms", &size);
        let more = imported.to_string();
        figure(&format!("import of {SETTINGS}, {name}"), imported.at(1.0), BAR_MS, "ms", &more);
    }
    match before.zip(program.peak()) {
        Some((before, peak)) => {
            figure("peak memory", peak, BAR_MB, "MB", &format!("{before:.1} before"));
        }
        None => println!("memory cannot be read here"),
    }
    program.stop().await;
}

/// A client of the program.
struct Service {
    client: Client,
    token: String,
}

impl Service {
    /// Returns the document of all settings in `format`.
    async fn export(&mut self, format: &str) -> String {
        let path = format!("/admin/config/export?format={format}");
        let answer = self.client.expect(Method::GET, &path, &self.token, String::new()).await;
        String::from_utf8(answer.to_vec()).unwrap()
    }

    /// Returns the documents of all formats.
    async fn exports(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for (name, _) in FORMATS {
            all.push(self.export(name).await);
        }
        all
    }

    /// Imports `document`.
    ///
    /// # Panics
    /// Not every setting was changed.
    async fn import(&mut self, media_type: &'static str, document: String) {
        let path = "/admin/config/import?reason=measuring&on_conflict=overwrite";
        let client = &mut self.client;
        let answer = client.expect_as(media_type, Method::POST, path, &self.token, document).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["changed"].as_array().unwrap().len(), SETTINGS);
    }
}

/// Returns `document` with another value for every setting.
fn other_values(document: &str) -> String {
    let mut document: Value = serde_json::from_str(document).unwrap();
    for value in document["settings"].as_object_mut().unwrap().values_mut() {
        *value = match value {
            Value::Number(_) => json!(31),
            Value::String(_) => json!("some other text"),
            Value::Bool(flag) => json!(!*flag),
            _ => json!(["three", "four", "five"]),
        };
    }
    document.to_string()
}

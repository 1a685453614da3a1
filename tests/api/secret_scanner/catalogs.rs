//! A catalog's defaults are published into the database, so they are looked at when it is read.

use brune::settings::{BRUN_E, Catalog};
use serde_json::json;

use super::{
    core,
    samples::{FORMS, MORE},
};

/// A catalog of one entry, which is on line 3.
fn catalog(entry: &str) -> String {
    format!("catalog = \"mine\"\ndescription = \"\"\n{entry}\n")
}

#[track_caller]
fn is_refused(text: &str, what: &str, name: &str, core: &str) {
    let actual = Catalog::parse(text).unwrap_err().of_file("mine.toml");
    let expected = format!("mine.toml:4: A: {what} looks like {name}; secrets are never stored");
    assert!(actual.contains(&expected), "{actual}");
    assert!(
        !actual.contains(&core[..16]) && !actual.contains(&core[..16].to_uppercase()),
        "{actual}"
    );
}

#[test]
fn a_default_that_looks_like_a_secret_is_rejected_with_its_line() {
    let rest = "category = \"c\"\napplies = \"hot\"\ndescription = \"d\"";
    for form in FORMS.iter().chain(&MORE) {
        let core = core();
        let text = json!(form.of(&core));
        let setting = |words: &str| catalog(&format!("[[setting]]\nkey = \"A\"\n{words}\n{rest}"));
        let string = setting(&format!("type = \"string\"\ndefault = {text}"));
        is_refused(&string, "default", form.name, &core);
        let list = setting(&format!("type = \"string_array\"\ndefault = [\"x\", {text}]"));
        is_refused(&list, "default", form.name, &core);
        let choice = setting(&format!(
            "type = \"string\"\ndefault = \"x\"\nconstraints = {{ enum = [\"x\", {text}] }}"
        ));
        is_refused(&choice, "enum", form.name, &core);
        let environment =
            format!("[[environment]]\nkey = \"A\"\ntype = \"string\"\ndefault = {text}");
        let environment = catalog(&format!("{environment}\ndescription = \"d\""));
        is_refused(&environment, "default", form.name, &core);
        let words = format!("[[secret]]\nkey = \"A\"\nrequired = \"never\"\ndescription = {text}");
        is_refused(&catalog(&words), "description", form.name, &core);
    }
}

#[test]
fn the_bundled_catalogs_pass() {
    let others = ["config/mcp-gateway.toml", "config/nexus.toml"];
    let others = others.map(|path| std::fs::read_to_string(path).unwrap());
    for text in others.iter().map(String::as_str).chain([BRUN_E]) {
        Catalog::parse(text).unwrap();
    }
}

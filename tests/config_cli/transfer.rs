//! `export` and `import`.

use serde_json::Value;

use crate::service::Service;

const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";

#[tokio::test]
async fn an_export_is_imported_unchanged_in_every_format() {
    let service = Service::start().await;
    for file in ["all.json", "all.yaml", ".env.exported"] {
        service.config(&["export", file]).ends(0, "exported the settings at revision 1");
        let plan = service.config(&["import", file, "--dry-run"]).ends(0, "");
        let rows = plan.rows();
        assert!(rows.len() == 9 && rows.iter().all(|row| row[1] == "same"), "{file}: {rows:?}");
        service.config(&["import", file, "-r", "as it is", "-y"]).ends(0, "no changes");
    }
    let output = service.config(&["export"]).json();
    assert_eq!(output["settings"][COOLDOWN], 30);
}

#[tokio::test]
async fn an_existing_file_is_overwritten_only_with_force() {
    let service = Service::start().await;
    service.room.write("kept.json", "mine");
    service.config(&["export", "kept.json"]).ends(2, "already exists; use --force");
    assert_eq!(service.room.read("kept.json"), "mine");
    service.config(&["export", "kept.json", "--force"]).ends(0, "");
    assert!(serde_json::from_str::<Value>(&service.room.read("kept.json")).is_ok());
    service.config(&["export", "kept.txt"]).ends(2, "has no known extension; use --format");
    service.config(&["export", "no/such/dir.json"]).ends(2, "cannot write");
}

#[tokio::test]
async fn an_import_is_planned_then_confirmed_then_applied() {
    let service = Service::start().await;
    service.room.write("new.yaml", "format_version: 1\nsettings:\n  BRUNE_COOLDOWN_MINUTES: 45\n");
    let import = |more: &[&str]| service.config(&[&["import", "new.yaml"], more].concat());
    let plan = import(&["--dry-run"]).ends(0, "");
    assert_eq!(plan.rows(), [[COOLDOWN, "change", "30", "45", "-"]]);
    import(&[]).ends(2, "--reason is required without --dry-run");
    import(&["-r", "from staging"]).ends(2, "confirmation requires a terminal; use --yes");
    assert_eq!(service.config(&["get", COOLDOWN]).out, "30\n");
    import(&["-r", "from staging", "-y"]).ends(0, "1 setting changed, revision 2");
    let trace = service.config(&["history", COOLDOWN]);
    assert_eq!(trace.rows()[0][2..], ["ada", "import", COOLDOWN, "30 → 45", "from staging"]);
}

#[tokio::test]
async fn a_later_local_change_is_a_conflict_until_it_is_resolved() {
    let service = Service::start().await;
    service.config(&["export", "old.json"]).ends(0, "");
    service.config(&["set", COOLDOWN, "60", "-r", "meanwhile"]).ends(0, "");
    let import = |more: &[&str]| {
        service.config(&[&["import", "old.json", "-r", "as it was", "-y"], more].concat())
    };
    import(&[]).ends(4, "the settings changed after the export").ends_with_key();
    import(&["--on-conflict", "skip"]).ends(0, "0 settings changed");
    assert_eq!(service.config(&["get", COOLDOWN]).out, "60\n");
    let reply = import(&["--on-conflict", "overwrite", "-o", "json"]).json();
    assert_eq!(reply["changed"][0]["key"], COOLDOWN);
    assert_eq!(service.config(&["get", COOLDOWN]).out, "30\n");
}

impl crate::service::Run {
    fn ends_with_key(&self) {
        assert!(self.err.contains("BRUNE_COOLDOWN_MINUTES changed here by ada at "), "{self:#?}");
    }
}

#[tokio::test]
async fn a_dotenv_file_is_imported_without_its_secrets() {
    let service = Service::start().await;
    service.room.write(
        "old.env",
        "# ours\nexport BRUNE_COOLDOWN_MINUTES=45\nJWT_SECRET='do not tell'\n\
         BRUNE_ELIGIBILITY_ALLOWED_LEVELS='mid,senior'\n",
    );
    let import = ["import", "old.env", "-r", "moving in", "--yes"];
    let outcome = service.config(&import).ends(0, "2 settings changed");
    assert!(outcome.rows().iter().any(|row| row[..2] == ["JWT_SECRET", "locked"]), "{outcome:#?}");
    assert!(!format!("{outcome:?}").contains("do not tell"));
    assert_eq!(service.config(&["get", COOLDOWN]).out, "45\n");
}

#[tokio::test]
async fn an_invalid_document_changes_nothing_and_reports_every_error() {
    let service = Service::start().await;
    service.room.write(
        "bad.json",
        r#"{"format_version": 1, "settings": {"BRUNE_COOLDOWN_MINUTES": 900, "NOPE": 1}}"#,
    );
    let output = service.config(&["import", "bad.json", "-r", "will not do", "-y"]);
    output
        .ends(1, "BRUNE_COOLDOWN_MINUTES must be between")
        .ends(1, "NOPE the catalog declares no");
    service.room.write("new.json", r#"{"format_version": 2, "settings": {}}"#);
    let newer = service.config(&["import", "new.json", "--dry-run"]).ends(1, "");
    assert!(newer.err.starts_with("brune: /format_version is 2, and"), "{newer:#?}");
    assert_eq!(newer.err.lines().count(), 1, "{newer:#?}");
    service.room.write("bad.env", "BRUNE_COOLDOWN_MINUTES=1\nBRUNE_COOLDOWN_MINUTES=2\n");
    service.config(&["import", "bad.env", "--dry-run"]).ends(1, "line 2");
    service.config(&["import", "none.json", "--dry-run"]).ends(2, "cannot read none.json");
    assert_eq!(service.config(&["history"]).rows().len(), 9, "only what was seeded");
}

#[tokio::test]
async fn a_dry_run_has_the_exit_code_of_the_real_run() {
    let service = Service::start().await;
    service.config(&["export", "old.json"]).ends(0, "");
    service.config(&["set", COOLDOWN, "60", "-r", "meanwhile"]).ends(0, "");
    service.room.write("unknown.env", "BRUNE_COOLDOWN_MINUTES=45\nAPP_NAME=shop\n");
    service.room.write("invalid.env", "BRUNE_COOLDOWN_MINUTES=900\n");
    service.room.write("broken.env", "BRUNE_COOLDOWN_MINUTES=900\nnonsense\n");
    service.room.write("fine.env", "BRUNE_COOLDOWN_MINUTES=60\n");
    service.room.write("both.env", "BRUNE_COOLDOWN_MINUTES=900\nAPP_NAME=shop\n");
    for (file, more, code, words) in [
        ("unknown.env", vec![], 1, "APP_NAME the catalog declares no"),
        ("invalid.env", vec!["--skip-unknown"], 1, "BRUNE_COOLDOWN_MINUTES must be between"),
        ("both.env", vec!["--skip-unknown"], 1, "fix the document:\n  BRUNE_COOLDOWN_MINUTES"),
        ("broken.env", vec![], 1, "line 2: "),
        ("old.json", vec![], 4, "the settings changed after the export"),
        ("old.json", vec!["--on-conflict", "skip"], 0, ""),
        ("fine.env", vec![], 0, ""),
    ] {
        let dry = [&["import", file, "--dry-run"], &more[..]].concat();
        let dry = service.config(&dry).ends(code, words);
        let real = [&["import", file, "-r", "for real", "-y"], &more[..]].concat();
        let real = service.config(&real).ends(code, words);
        let dry = dry.err;
        let real = real.err;
        let expected = real.replace("nothing was imported", "the import would be rejected");
        assert_eq!(dry, expected, "{file}");
        assert_eq!(dry.contains("the import would be rejected"), code != 0 && file != "broken.env");
    }
}

#[tokio::test]
async fn unknown_keys_are_skipped_on_request() {
    let service = Service::start().await;
    service.room.write(
        "whole.env",
        "APP_NAME=shop\nBRUNE_LISTEN=127.0.0.1:8080\nBRUNE_COOLDOWN_MINUTES=45\nAPI_KEY=sk_live_4eC39HqLyjWDarjtT1zdp7dc\n",
    );
    let import = ["import", "whole.env", "-r", "moving in", "-y"];
    service.config(&import).ends(1, "or use --skip-unknown to leave out unknown keys");
    let outcome = service.config(&[&import[..], &["--skip-unknown"]].concat());
    let outcome = outcome.ends(0, "1 setting changed");
    let rows = outcome.rows().into_iter().filter(|row| row.len() > 1);
    let rows: Vec<_> = rows.map(|row| row[..2].join(" ")).collect();
    for row in ["APP_NAME unknown", "API_KEY unknown", "BRUNE_LISTEN locked"] {
        assert!(rows.iter().any(|cells| cells == row), "{outcome:#?}");
    }
    assert!(!format!("{outcome:?}").contains("sk_live"), "{outcome:#?}");
}

//! Numbers as flags: their type on the wire is that of the declaration, not of the value.

use serde_json::json;

use crate::{
    ofrep::{FLAGS, of},
    support::{TestApp, user},
};

/// A catalog with a number that may have a fraction, beside one that may not.
const WITH_A_FRACTION: &str = r#"
catalog = "tariffs"
description = "A rate and a limit."

[[setting]]
key = "RATE"
category = "billing"
type = "number"
default = 5.5
applies = "hot"
description = "Percent."

[[setting]]
key = "LIMIT"
category = "billing"
type = "number"
default = 6
applies = "hot"
description = "A whole number."
constraints = { integer = true }
"#;

#[tokio::test]
async fn a_decimal_flag_is_written_with_a_fraction() {
    let app = TestApp::with_catalog(WITH_A_FRACTION).await;
    for (version, value, written) in [(1, 6.0, "6.0"), (2, 5.5, "5.5"), (3, 0.0, "0.0")] {
        app.instance.change(&[("RATE", json!(value), version)]).await.ok();
        app.instance.wait_for_revision(version + 1).await;
        let flag = of(&app.instance, "RATE").send().await.text;
        assert!(flag.contains(&format!("\"value\":{written},")), "{flag}");
        let page = app.instance.post(FLAGS).bearer(&user("ana")).send().await.text;
        assert!(page.contains(&format!("\"key\":\"RATE\",\"value\":{written},")), "{page}");
        assert!(page.contains("\"key\":\"LIMIT\",\"value\":6,"), "{page}");
    }
    for (version, value) in [(4, 9_007_199_254_740_991_i64), (5, -3)] {
        app.instance.change(&[("RATE", json!(value), version)]).await.ok();
        app.instance.wait_for_revision(version + 1).await;
        let flag = of(&app.instance, "RATE").send().await.text;
        assert!(flag.contains(&format!("\"value\":{value}.0,")), "{flag}");
    }
}

//! Numbers as flags: their type on the wire is that of the declaration, not of the value.

use serde_json::json;

use crate::{
    ofrep::{FLAGS, of},
    support::{TestApp, decimal_catalog::DECIMAL_CATALOG, user},
};

#[tokio::test]
async fn a_decimal_flag_is_written_with_a_fraction() {
    let app = TestApp::with_catalog(DECIMAL_CATALOG).await;
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

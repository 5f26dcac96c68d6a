//! The templates of binary sensors, with words that devices say.
use serde_json::{Value, json};

use super::api::Api;

/// What a component's template makes of a payload, as Home Assistant gives it to templates.
async fn shown(api: &Api, component: &Value, payload: &str) -> String {
    let mut variables = json!({"value": payload});
    if let Ok(json) = serde_json::from_str::<Value>(payload) {
        variables["value_json"] = json;
    }
    let template = component["value_template"].as_str().unwrap();
    api.render(template, variables).await
}

pub async fn words_are_understood(api: &Api, components: &Value) {
    for (key, shows) in [
        (
            "status_sipserver",
            &[
                ("up", "true"),
                ("UP", "true"),
                ("all_up", "true"),
                ("some_up", "true"),
                ("none_up", "false"),
                ("down", "false"),
                ("OFF", "false"),
                ("unknown", "None"),
                ("", "None"),
                ("7", "None"),
                (r#"["up","off"]"#, "true"),
                (r#"["down","off"]"#, "false"),
                ("[]", "None"),
            ][..],
        ),
        (
            "status_mr_audio",
            &[
                ("all_up", "false"),
                ("up", "false"),
                ("off", "false"),
                ("some_up", "true"),
                ("ALL_DOWN", "true"),
                ("none_up", "true"),
                ("down", "true"),
                ("unknown", "None"),
                (r#"["up","down"]"#, "true"),
            ],
        ),
        (
            "calendar_status",
            &[
                ("ONLINE", "true"),
                ("online", "true"),
                ("REGISTERED", "true"),
                ("UNREGISTERED", "false"),
                ("NOT_REGISTERED", "false"),
                ("OFFLINE", "false"),
                ("DISABLED", "false"),
                ("none", "None"),
            ],
        ),
        (
            "time_server",
            &[("TIMESERVER_UP", "true"), ("TIMESERVER_DOWN", "false")],
        ),
        (
            "sip_registration",
            &[
                (r#"[{"address":"a","state":"UP"}]"#, "true"),
                (r#"[{"address":"a","state":"DOWN"}]"#, "false"),
                (
                    r#"[{"address":"a","state":"registered"},{"address":"b","state":"down"}]"#,
                    "false",
                ),
                (
                    r#"[{"address":"a","state":"UP"},{"address":"","state":"DOWN"}]"#,
                    "true",
                ),
                (r#"[{"address":"0.0.0.0","state":"DOWN"}]"#, "None"),
                (r#"[{"address":"a"}]"#, "false"),
                (r#"[7,{"address":7},null]"#, "None"),
                ("[]", "None"),
                ("none", "None"),
            ],
        ),
    ] {
        for (payload, wanted) in shows {
            let shown = shown(api, &components[key], payload).await;
            assert_eq!(shown, *wanted, "{key} {payload}");
        }
    }
}

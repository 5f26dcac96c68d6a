//! The models: their names and cameras.

use super::super::Model;
use super::*;

#[test]
fn every_model_gives_its_name_and_has_a_camera() {
    for model in Model::ALL {
        let mut room = Room::with(Options {
            model: Some(model),
            ..Options::default()
        });
        assert_eq!(room.get("system")["model"], model.name());
        let all = room.get("cameras/near/all");
        let all = all.as_array().unwrap();
        let numbers: Vec<_> = all
            .iter()
            .map(|entry| entry["cameraIndex"].as_i64().unwrap())
            .collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13], "{model}");
        let selected: Vec<_> = all
            .iter()
            .filter(|entry| entry["selected"] == true)
            .collect();
        assert_eq!(selected.len(), 1, "{model}");
        assert_eq!(selected[0]["connected"], true, "{model}");
        assert_eq!(
            *selected[0],
            room.get("cameras/near/selectedpeople"),
            "{model}"
        );
        assert_eq!(model.short().parse(), Ok(model));
    }
}

#[test]
fn version_5_is_not_for_the_older_models() {
    let without: Vec<_> = Model::ALL
        .into_iter()
        .filter(|model| !model.runs(Firmware::V5_0))
        .collect();
    assert_eq!(without, [Model::X30, Model::X50, Model::X70, Model::G7500]);
    for firmware in Firmware::ALL {
        assert!(Model::usual(firmware).runs(firmware), "{firmware}");
    }
}

#[test]
fn activating_a_source_selects_it() {
    let mut room = Room::new(Firmware::V4_6_2);
    let activate = json!({"action": "activate"});
    assert_eq!(room.get("cameras/near/selectedpeople")["cameraIndex"], 3);
    assert_eq!(room.status("POST", "cameras/near/1", &activate), 200);
    assert_eq!(room.get("cameras/near/selectedpeople")["cameraIndex"], 1);
    assert_eq!(room.status("POST", "cameras/near/6", &activate), 200);
    assert_eq!(room.get("cameras/near/selectedcontent")["cameraIndex"], 6);
    assert_eq!(room.get("cameras/near/selectedpeople")["cameraIndex"], 1);
    // There is no number 8.
    assert_eq!(room.status("POST", "cameras/near/8", &activate), 404);
    assert_eq!(room.status("GET", "cameras/near/14", &Value::Null), 404);
}

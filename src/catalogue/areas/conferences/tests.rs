use super::*;

#[test]
fn a_ringing_call_is_not_counted_but_can_be_answered() {
    let list = json!([{
        "id": "PENDING",
        "connections": [{"id": "3", "state": "RINGING", "incoming": true}],
    }]);
    assert_eq!(count(&list), 0);
    let steps = to_ringing(&list, commands::ANSWER_CONNECTION).unwrap();
    assert_eq!(steps[0].params, [("conn_id", "3".to_owned())]);
    assert!(to_ringing(&json!([]), commands::ANSWER_CONNECTION).is_err());
}

#[test]
fn hanging_up_everything_names_every_conference() {
    let list = json!([{"id": "0"}, {"id": "1"}]);
    let steps = hang_up_all(Step::to(commands::HANG_UP_CONFERENCE), &list).unwrap();
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[1].params, [("conf_id", "1".to_owned())]);
}

use serde_json::json;

use super::*;
use crate::shapes;

fn check(operation: &str, input: &Value) -> Result<(), Refusal> {
    let members = shapes::input(operation).expect("an operation");
    validate(input.as_object().expect("an object"), members)
}

fn message(operation: &str, input: &Value) -> String {
    check(operation, input).expect_err("refused").message
}

/// A `StartSession` with one member set, by its path (`a.b`).
fn start(path: &str, value: Value) -> Value {
    let mut input =
        json!({"WorkGroup": "spark-35", "EngineConfiguration": {}, "ClientRequestToken": "t".repeat(36)});
    let mut place = &mut input;
    for name in path.split('.') {
        place = &mut place[name];
    }
    *place = value;
    input
}

fn text(length: usize) -> Value {
    Value::String("a".repeat(length))
}

fn role(length: usize) -> Value {
    let start = "arn:aws:iam::123456789012:role/";
    Value::String(format!("{start}{}", "a".repeat(length - start.len())))
}

/// Path, a value at each edge, and values past it.
type Bounds = Vec<(&'static str, Vec<Value>, Vec<Value>)>;

fn plain_bounds() -> Bounds {
    vec![
        ("Description", vec![text(1), text(1024), json!("ü".repeat(1024))], vec![text(0), text(1025)]),
        (
            "WorkGroup",
            vec![text(1), text(128), json!("a.B_9-")],
            vec![text(0), text(129), json!("a b"), json!("ä"), json!("a\n")],
        ),
        (
            "ExecutionRole",
            vec![role(33), role(2048), json!("arn:aws-cn:iam::123456789012:role/path/name")],
            vec![
                text(19),
                role(2049),
                json!("arn:aws:iam::12345678901:role/name"),
                json!("arn:aws:iam::123456789012:user/name"),
            ],
        ),
        ("NotebookVersion", vec![text(1), text(128)], vec![text(0), text(129)]),
        ("SessionIdleTimeoutInMinutes", vec![json!(1), json!(480)], vec![json!(0), json!(481)]),
        ("ClientRequestToken", vec![text(32), text(128)], vec![text(31), text(129)]),
        (
            "Tags",
            vec![
                json!([]),
                json!([{"Key": "a".repeat(128), "Value": "a".repeat(256)}]),
                json!([{"Key": "a", "Value": ""}]),
            ],
            vec![
                json!([{"Key": "", "Value": ""}]),
                json!([{"Key": "a".repeat(129)}]),
                json!([{"Key": "a", "Value": "a".repeat(257)}]),
            ],
        ),
        ("CopyWorkGroupTags", vec![json!(true), json!(false)], vec![]),
    ]
}

fn engine_bounds() -> Bounds {
    vec![
        ("EngineConfiguration.CoordinatorDpuSize", vec![json!(1)], vec![json!(0), json!(2)]),
        ("EngineConfiguration.DefaultExecutorDpuSize", vec![json!(1)], vec![json!(0), json!(2)]),
        (
            "EngineConfiguration.MaxConcurrentDpus",
            vec![json!(2), json!(5000)],
            vec![json!(1), json!(5001), json!(-20)],
        ),
        (
            "EngineConfiguration.SparkProperties",
            vec![
                json!({}),
                json!({"a".repeat(255): "a".repeat(51200)}),
                json!({"spark.x\t": ""}),
                json!({"😀": ""}),
            ],
            vec![
                json!({"": "x"}),
                json!({"a".repeat(256): "x"}),
                json!({"a": "a".repeat(51201)}),
                json!({"a\u{1}": "x"}),
            ],
        ),
        (
            "EngineConfiguration.AdditionalConfigs",
            vec![json!({"NotebookId": "n"})],
            vec![json!({"": "x"}), json!({"a": "a".repeat(51201)})],
        ),
        (
            "EngineConfiguration.Classifications",
            vec![json!([]), json!([{"Name": "a".repeat(128), "Properties": {"a": "b"}}])],
            vec![
                json!([{"Name": ""}]),
                json!([{"Name": "a".repeat(129)}]),
                json!([{"Name": "a", "Properties": {"": "b"}}]),
            ],
        ),
    ]
}

fn monitoring_bounds() -> Bounds {
    let location = |length: usize| json!(format!("s3://bucket/{}", "a".repeat(length - 12)));
    let group = |length: usize| json!({"Enabled": true, "LogGroup": "a".repeat(length)});
    let prefix = |prefix: &str| json!({"Enabled": true, "LogStreamNamePrefix": prefix});
    let key = |key: &str| json!({"Enabled": true, "KmsKey": key});
    vec![
        (
            "MonitoringConfiguration.CloudWatchLoggingConfiguration",
            vec![
                json!({"Enabled": false}),
                json!({"Enabled": true, "LogTypes": {"SPARK_DRIVER": ["STDOUT", "STDERR"]}}),
                group(1),
                group(512),
                prefix("a b/c"),
            ],
            vec![
                json!({}),
                group(0),
                group(513),
                json!({"Enabled": true, "LogGroup": "/${workgroup}"}),
                prefix(""),
                prefix("a:b"),
                prefix(&"a".repeat(513)),
            ],
        ),
        (
            "MonitoringConfiguration.ManagedLoggingConfiguration",
            vec![
                key("alias/a"),
                key("12345678-1234-1234-1234-123456789abc"),
                key("arn:aws:kms:eu-west-1:123456789012:key/a"),
            ],
            vec![
                json!({"KmsKey": "alias/a"}),
                key(""),
                key("key"),
                key("arn:aws:kms:eu-west-1:12345678901:key/a"),
            ],
        ),
        (
            "MonitoringConfiguration.S3LoggingConfiguration",
            vec![
                json!({"Enabled": true, "LogLocation": location(1024)}),
                json!({"Enabled": true, "LogLocation": "s3://b1"}),
                key("alias/a"),
            ],
            vec![
                json!({"LogLocation": "s3://b1"}),
                json!({"Enabled": true, "LogLocation": location(1025)}),
                json!({"Enabled": true, "LogLocation": "s3://B/"}),
                json!({"Enabled": true, "LogLocation": "https://b1"}),
                key("key"),
            ],
        ),
    ]
}

#[test]
fn a_start_is_accepted_at_the_edge_of_every_bound_and_refused_past_it() {
    for (path, edges, past) in [plain_bounds(), engine_bounds(), monitoring_bounds()].concat() {
        for value in edges {
            assert_eq!(check("StartSession", &start(path, value.clone())), Ok(()), "{path}: {value}");
        }
        for value in past {
            let error = check("StartSession", &start(path, value.clone()));
            let code = error.map_err(|refusal| refusal.code);
            assert_eq!(code, Err("InvalidRequestException".to_owned()), "{path}: {value}");
        }
    }
}

#[test]
fn the_other_operations_have_their_bounds() {
    for operation in ["GetSession", "GetSessionStatus", "TerminateSession"] {
        for (value, accepted) in
            [(text(1), true), (text(256), true), (text(0), false), (text(257), false), (Value::Null, false)]
        {
            assert_eq!(check(operation, &json!({"SessionId": value})).is_ok(), accepted, "{operation}");
        }
    }
    for (member, value, accepted) in [
        ("MaxResults", json!(1), true),
        ("MaxResults", json!(100), true),
        ("MaxResults", json!(0), false),
        ("MaxResults", json!(101), false),
        ("NextToken", text(0), true),
        ("NextToken", text(2048), true),
        ("NextToken", text(2049), false),
        ("StateFilter", json!("DEGRADED"), true),
        ("StateFilter", json!("STOPPED"), false),
        ("WorkGroup", json!("a/b"), false),
    ] {
        let mut input = json!({"WorkGroup": "spark-35"});
        input[member] = value.clone();
        assert_eq!(check("ListSessions", &input).is_ok(), accepted, "{member}: {value}");
    }
    assert!(check("GetWorkGroup", &json!({"WorkGroup": text(128)})).is_ok());
    assert!(check("GetWorkGroup", &json!({})).is_err());
}

#[test]
fn messages_have_the_shape_of_athenas() {
    assert_eq!(
        message("StartSession", &start("ClientRequestToken", text(31))),
        "1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint: \
         Member must have length greater than or equal to 32"
    );
    assert_eq!(
        message("StartSession", &json!({})),
        "2 validation errors detected: Value at 'workGroup' failed to satisfy constraint: Member must not be null; \
         Value at 'engineConfiguration' failed to satisfy constraint: Member must not be null"
    );
    assert_eq!(
        message("StartSession", &start("Tags", json!([{"Key": "a"}, {"Key": ""}]))),
        "1 validation error detected: Value at 'tags.2.member.key' failed to satisfy constraint: \
         Member must have length greater than or equal to 1"
    );
    assert_eq!(
        message(
            "StartSession",
            &start("EngineConfiguration.SparkProperties", json!({"a": "a".repeat(51201)}))
        ),
        "1 validation error detected: Value at 'engineConfiguration.sparkProperties' failed to satisfy constraint: \
         Map value must satisfy constraint: [Member must have length less than or equal to 51200]"
    );
    assert_eq!(
        message("StartSession", &start("WorkGroup", json!("a b"))),
        "1 validation error detected: Value at 'workGroup' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: [a-zA-Z0-9._-]{1,128}"
    );
}

#[test]
fn a_wrong_json_type_cannot_be_read_at_all() {
    for (path, value) in [
        ("WorkGroup", json!(1)),
        ("EngineConfiguration", json!([])),
        ("EngineConfiguration.MaxConcurrentDpus", json!("20")),
        ("EngineConfiguration.MaxConcurrentDpus", json!(2.5)),
        ("EngineConfiguration.SparkProperties", json!({"a": 1})),
        ("EngineConfiguration.Classifications", json!({})),
        ("CopyWorkGroupTags", json!("true")),
        ("Tags", json!(["a"])),
    ] {
        let refusal = check("StartSession", &start(path, value)).expect_err("refused");
        assert_eq!(refusal.code, "SerializationException", "{path}");
    }
}

#[test]
fn unknown_members_are_ignored_and_null_is_absence() {
    assert_eq!(check("StartSession", &start("Surprise", json!([1]))), Ok(()));
    assert_eq!(check("StartSession", &start("Description", Value::Null)), Ok(()));
    assert!(check("StartSession", &start("WorkGroup", Value::Null)).is_err());
}

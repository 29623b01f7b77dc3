//! What is made from the code and must not change unseen: the bytes of StartSession, which no release may change, and the CRD.

use athena_operator::api::{self, AthenaSession};
use athena_operator::session::request::start_session;

const UID: &str = "8f3f1f6e-8b0e-4b60-9d5c-6a4c1b0c7f11";

fn golden(name: &str) -> (AthenaSession, String) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let manifest = std::fs::read_to_string(format!("{folder}/{name}.yaml")).expect("the manifest is there");
    let mut object: AthenaSession = serde_saphyr::from_str(&manifest).expect("an AthenaSession");
    object.metadata.uid = Some(UID.into());
    object.metadata.namespace = Some("team".into());
    let body = std::fs::read_to_string(format!("{folder}/{name}.json")).expect("the body is there");
    (object, body.replace("<namespace>", "team"))
}

#[test]
fn the_bytes_of_start_session_are_those_of_every_release() {
    for name in ["minimal", "every-field"] {
        let (object, expected) = golden(name);
        let (token, body) = start_session(&object, 0);
        assert_eq!(token, UID);
        assert_eq!(String::from_utf8(body).expect("JSON"), expected.replace("<uid>", UID), "{name}");

        let (token, body) = start_session(&object, 3);
        assert_eq!(token, format!("{UID}-3"));
        assert_eq!(
            String::from_utf8(body).expect("JSON"),
            expected.replace("<uid>", &token),
            "{name}, attempt 3"
        );
    }
}

#[test]
fn fields_that_may_change_do_not_reach_the_request() {
    let (object, _) = golden("every-field");
    let mut changed = object.clone();
    changed.spec.deletion_policy = api::DeletionPolicy::Retain;
    changed.metadata.generation = Some(7);
    changed.metadata.labels = Some([("a".into(), "b".into())].into());
    assert_eq!(start_session(&object, 0), start_session(&changed, 0));
}

#[test]
fn the_crd_in_the_repository_is_the_one_of_the_code() {
    let written = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/crds/athenasessions.athena-operator.io.yaml"
    ))
    .expect("the CRD is there");
    let made = serde_saphyr::to_string(&api::crd()).expect("YAML");
    assert!(written == made, "crds/ is stale: run `make generate`");
}

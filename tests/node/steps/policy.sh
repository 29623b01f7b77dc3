# shellcheck shell=bash
# The chart's ValidatingAdmissionPolicy: what its rules do not list is refused when it is applied, and Athena is never asked.

step_policy() {
    local role=arn:aws:iam::000000000000:role
    emulator_forget
    operator_namespace athena-operator
    namespace team
    namespace others
    cat >"$work/policy.yaml" <<Y
policy:
  enabled: true
  rules:
    - namespaces: [team]
      workGroups: [spark-35]
      executionRoles: ["$role/team"]
Y
    holds 'install with the policy' helm_install "$helm4" athena-operator --values "$work/policy.yaml"
    eventually 60 'the API server applies the policy' dry_run_refused
    holds 'what the rules list is admitted' session team allowed spark-35 "executionRole: \"$role/team\""
    refused 'another work group is refused' 'spec.workGroup' session team other-work-group pyspark-3
    refused 'another execution role is refused' 'spec.executionRole' session team other-role spark-35 "executionRole: \"$role/admin\""
    refused 'a namespace without a rule is refused' 'namespace others' session others anywhere spark-35
    holds 'the admitted one can take work' available team
    holds 'there is no object but the admitted one' one_object
    holds 'it has started the only session, and no other was asked for' only_start
    leave team others
    holds uninstall helm_uninstall "$helm4" athena-operator
    gone athena-operator
}

# A policy is applied some moments after it was made.
dry_run_refused() { ! kubectl create --dry-run=server --namespace others --filename examples/spark-35-minimal.yaml; }
one_object() { [[ $(kubectl get athenasessions --all-namespaces --output json | jq '.items | length') == 1 ]]; }
only_start() {
    emulator_get calls | jq --exit-status --arg uid "$(kubectl get athenasession allowed --namespace team --output jsonpath='{.metadata.uid}')" \
        '[.[] | select(.operation == "StartSession") | .token] | . == [$uid] or error(tostring)'
}

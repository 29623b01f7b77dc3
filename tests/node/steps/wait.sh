# shellcheck shell=bash
# What Helm 4 and kubectl wait for: helm install --wait of a chart that holds sessions, and a condition that an edit has made stale.

step_wait() {
    local sessions=tests/node/sessions began took
    emulator_forget
    operator_namespace athena-operator
    namespace team
    holds 'install of the operator' helm_install "$helm4" athena-operator

    emulator_config '.creating = "15s"'
    began=$SECONDS
    holds 'helm install --wait of a session that takes 15 s to start' \
        "$helm4" install starting "$sessions" --namespace team --set sessions.slow.workGroup=spark-35 --wait --timeout 120s
    took=$((SECONDS - began))
    [[ $(kubectl get athenasession slow --namespace team --output jsonpath='{.status.state}') == IDLE ]] || fail 'it returned before the session was IDLE'
    ((took >= 15)) || fail "it returned after $took s"
    say "ok: it waited for the session, and returned after $took s, when it was IDLE"
    emulator_config '.creating = "1s"'

    emulator_put faults <<<'[{"operation": "StartSession", "kind": {"fail": {"status": 400, "code": "InvalidRequestException", "message": "1 validation error detected: no such value"}}}]'
    began=$SECONDS
    refused 'helm install --wait of a session whose start is refused fails' 'refused|Failed|failed' \
        "$helm4" install failing "$sessions" --namespace team --set sessions.refused.workGroup=spark-35 --wait --timeout 120s
    took=$((SECONDS - began))
    ((took < 60)) || fail "it waited for its timeout: $took s"
    say "ok: it ended $took s after it began, and not after its timeout of 120 s"
    emulator_put faults <<<'[]'
    holds 'uninstall of the refused session' "$helm4" uninstall failing --namespace team --wait --timeout 60s

    stale_condition
    holds 'uninstall of the session that started' "$helm4" uninstall starting --namespace team --wait --timeout 60s
    leave team
    holds 'uninstall of the operator' helm_uninstall "$helm4" athena-operator
    gone athena-operator
}

operator_away() { [[ -z $(kubectl get pods --namespace athena-operator --selector app.kubernetes.io/component=operator --output name) ]]; }

# With the operator away, the condition of before the edit stays: nobody may take it for a verdict on what the object says now.
stale_condition() {
    holds 'Ready is met' kubectl wait --for=condition=Ready athenasession/slow --namespace team --timeout=10s
    kubectl scale deployment athena-operator --namespace athena-operator --replicas=0 >/dev/null
    eventually 60 'the operator is away' operator_away
    kubectl patch athenasession slow --namespace team --type merge --patch '{"spec":{"activeDeadlineSeconds":36000}}' >/dev/null
    [[ $(kubectl get athenasession slow --namespace team --output json | jq --raw-output '.status.conditions[] | select(.type == "Ready") | .status') == True ]] ||
        fail 'the stale condition is not True, which makes the next check empty'
    refused 'kubectl wait is not met by the stale condition' 'timed out' kubectl wait --for=condition=Ready athenasession/slow --namespace team --timeout=5s
    kubectl scale deployment athena-operator --namespace athena-operator --replicas=1 >/dev/null
    holds 'it is met once the operator has seen the edit' kubectl wait --for=condition=Ready athenasession/slow --namespace team --timeout=60s
}

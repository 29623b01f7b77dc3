# shellcheck shell=bash
# A release from install to reinstall, under each Helm, while sessions live: none of them is restarted or ended.

step_lifecycle() {
    lifecycle "$helm3"
    lifecycle "$helm4"
}

lifecycle() {
    local helm=$1 release=(athena-operator --namespace athena-operator) alive
    title "lifecycle with $("$helm" version --short)"
    emulator_forget
    operator_namespace athena-operator
    namespace team
    holds install helm_install "$helm" athena-operator
    holds 'helm test' "$helm" test "${release[@]}" --timeout 60s
    restricted
    rights
    session team spark spark-35
    session team pyspark pyspark-3
    holds 'the sessions can take work' available team
    alive=$(sessions team)
    holds 'each object has started one session' undisturbed team "$alive"

    holds upgrade "$helm" upgrade "${release[@]}" "$chart" --reuse-values --set replicaCount=2 --set logging.format=text --wait --timeout 90s
    holds 'the Deployment is what the new values say' kubectl wait deployment athena-operator --namespace athena-operator \
        --for=jsonpath='{.status.availableReplicas}'=2 --timeout=60s
    holds 'no session is disturbed by the upgrade' undisturbed team "$alive"
    session team after-upgrade spark-35
    holds 'a session is started after the upgrade' available team
    alive=$(sessions team)

    holds rollback "$helm" rollback "${release[@]}" 1 --wait --timeout 90s
    holds 'the Deployment is what it was' kubectl wait deployment athena-operator --namespace athena-operator \
        --for=jsonpath='{.status.availableReplicas}'=1 --timeout=60s
    holds 'no session is disturbed by the rollback' undisturbed team "$alive"

    holds uninstall helm_uninstall "$helm" athena-operator
    eventually 60 'of the release, only the CRD stays' only_the_crd_stays
    holds 'no session is disturbed by the uninstall' undisturbed team "$alive"
    session team meanwhile spark-35

    # In a pod the API server is reached directly; the emulator speaks plain HTTP.
    holds 'reinstall, with a proxy for HTTPS that is not there' helm_install "$helm" athena-operator \
        --set 'extraEnv[0].name=HTTPS_PROXY,extraEnv[0].value=http://127.0.0.1:9'
    holds 'an object made in between gets its session' available team
    alive=$(jq --compact-output --argjson old "$alive" '. + $old' <<<"$(sessions team)")
    holds 'no session is disturbed by the reinstall' undisturbed team "$alive"
    holds 'helm test again' "$helm" test "${release[@]}" --timeout 60s

    leave team
    holds 'the last uninstall' helm_uninstall "$helm" athena-operator
    gone athena-operator
}

# Helm leaves the pods of helm test.
only_the_crd_stays() {
    kubectl get crd "$crd" || return 1
    local left
    left=$(kubectl get all,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets --namespace athena-operator \
        --selector 'app.kubernetes.io/instance=athena-operator,app.kubernetes.io/component!=test' --output name
        kubectl get clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings \
        --selector app.kubernetes.io/instance=athena-operator --output name)
    [[ -z $left ]] || { echo "$left"; return 1; }
}

# restricted: the namespace only takes pods of the restricted Pod Security Standard, so that one runs there proves most of it.
restricted() {
    local pod
    pod=$(kubectl get pods --namespace athena-operator --selector app.kubernetes.io/component=operator --field-selector status.phase=Running --output json)
    holds 'the pod runs in a restricted namespace, as 65532, with a read-only root' jq --exit-status '.items[0].spec |
        .containers[0].securityContext.readOnlyRootFilesystem and .securityContext.runAsUser == 65532 and .securityContext.runAsNonRoot or error(tostring)' <<<"$pod"
    holds 'its only token is the projected one' jq --exit-status '.items[0].spec |
        .serviceAccountName == "athena-operator" and .automountServiceAccountToken == false and
        ([.volumes[]?.projected.sources[]? | select(.serviceAccountToken)] | length) == 1 and
        ([.volumes[]?.name | select(startswith("kube-api-access"))] == []) or error(tostring)' <<<"$pod"
    holds 'there is no token in a Secret' no_token_secret
}
no_token_secret() {
    kubectl get secrets --namespace athena-operator --output json |
        jq --exit-status '[.items[] | select(.type == "kubernetes.io/service-account-token")] | . == [] or error(tostring)'
}

# rules SERVICE-ACCOUNT: what it may do in the namespace, one right a line.
rules() {
    kubectl create --validate=false --filename - --output json --as "system:serviceaccount:athena-operator:$1" <<'Y' | jq --raw-output "$flat" | sort -u
{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "athena-operator"}}
Y
}
# A rule as one line for each verb of each resource, or URL.
# shellcheck disable=SC2016
flat='(.status.resourceRules // .rules)[] | . as $rule | .verbs[] as $verb | .apiGroups[] as $group | .resources[] as $resource | ($rule.resourceNames // [""])[] as $name |
    "\($verb) \($resource).\($group) \($name)"'

# rights: the service account has the rights that the release's roles give, and beyond them those of any service account.
rights() {
    kubectl create serviceaccount nobody --namespace athena-operator >/dev/null
    local roles
    roles=$(kubectl get rolebindings,clusterrolebindings --namespace athena-operator --output json | jq --raw-output '.items[] |
        select(any(.subjects[]?; .kind == "ServiceAccount" and .name == "athena-operator" and .namespace == "athena-operator")) | "\(.roleRef.kind)/\(.roleRef.name)"' | sort -u)
    # shellcheck disable=SC2086
    kubectl get $roles --namespace athena-operator --output json | jq --raw-output "(.items // [.])[] | $flat" | sort -u >"$work/given"
    comm -23 <(rules athena-operator) <(rules nobody) >"$work/had"
    holds "its rights are those of $(echo "$roles" | tr '\n' ' ')and no others ($(wc -l <"$work/had"))" diff "$work/given" "$work/had"
    holds 'it may not read a Secret' refused_right get secrets
    holds 'it may not write a spec by update' refused_right update athenasessions.athena-operator.io
    kubectl delete serviceaccount nobody --namespace athena-operator >/dev/null
}
refused_right() { [[ $(kubectl auth can-i "$1" "$2" --namespace athena-operator --as system:serviceaccount:athena-operator:athena-operator) == no ]]; }

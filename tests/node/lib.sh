# shellcheck shell=bash
# What the steps share: what to print, how to wait, the emulator's control API, and what must hold of sessions.

crd=athenasessions.athena-operator.io
emulator_namespace=athena-emulator
control=/api/v1/namespaces/$emulator_namespace/services/athena-emulator:http/proxy/_emulator
operator_archive=${OPERATOR_ARCHIVE:-target/image/athena-operator.tar}
emulator_archive=${EMULATOR_ARCHIVE:-target/image/athena-emulator.tar}
chart=charts/athena-operator

title() { printf '\n== %s\n' "$*"; }
say() { printf '   %s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# holds TEXT COMMAND...: what the text says is so, since the command succeeds.
holds() {
    local text=$1 output
    shift
    output=$("$@" 2>&1) || fail "$text"$'\n'"$output"
    say "ok: $text"
}

# refused TEXT PATTERN COMMAND...: the command fails and tells why.
refused() {
    local text=$1 pattern=$2 output
    shift 2
    if output=$("$@" 2>&1); then fail "$text: the command succeeded"$'\n'"$output"; fi
    [[ $output =~ $pattern ]] || fail "$text: what it says does not match $pattern"$'\n'"$output"
    say "ok: $text"
}

# eventually SECONDS TEXT COMMAND...: it becomes so in time.
eventually() {
    local end=$((SECONDS + $1)) text=$2 output
    shift 2
    until output=$("$@" 2>&1); do
        ((SECONDS < end)) || fail "in time: $text"$'\n'"$output"
        sleep 0.5
    done
    say "ok: $text"
}

require() {
    local tool
    : "${KUBECONFIG:?must name the kubeconfig of a cluster that may be spoilt}"
    : "${NODE_IMAGE_LOAD:?must be a command that loads the archive whose path is put after it, such as: kind load image-archive}"
    for tool in kubectl jq tar; do command -v "$tool" >/dev/null || fail "$tool is missing"; done
    helm3=${HELM3:?must be the path of helm 3} helm4=${HELM4:?must be the path of helm 4}
    [[ $("$helm3" version --short) == v3.* ]] || fail "HELM3 is $("$helm3" version --short)"
    [[ $("$helm4" version --short) == v4.* ]] || fail "HELM4 is $("$helm4" version --short)"
    if kubectl get crd "$crd" >/dev/null 2>&1; then fail "the cluster has $crd already: give one that has not seen the operator"; fi
}

# namespace NAME: makes it, with the restricted Pod Security Standard.
namespace() {
    kubectl create namespace "$1" >/dev/null
    kubectl label namespace "$1" pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/enforce-version=latest \
        athena-operator.io/node-test=true >/dev/null
}

emulator_get() { kubectl get --raw "$control/$1"; }
emulator_put() { kubectl replace --raw "$control/$1" --filename - >/dev/null; }
emulator_forget() { kubectl delete --raw "$control/calls" >/dev/null; }
# emulator_config FILTER: changes its configuration by a filter of jq.
emulator_config() { emulator_get config | jq "$1" | emulator_put config; }
# no_calls FILTER: none in the journal is one that the filter selects.
no_calls() { emulator_get calls | jq --exit-status "[.[] | select($1)] | . == [] or error(tostring)"; }

# sessions NAMESPACE: name and session id of its objects.
sessions() { kubectl get athenasessions --namespace "$1" --output json | jq --compact-output '[.items[] | {(.metadata.name): .status.sessionId}] | add // {}'; }

# undisturbed NAMESPACE SESSIONS: the objects have the sessions that they had, which live; in the journal each object has started one session, and none of
# these was asked to end. (`helm test` asks that of a session that there is not.)
undisturbed() {
    local now
    now=$(sessions "$1")
    [[ $now == "$2" ]] || { echo "was $2, is $now"; return 1; }
    emulator_get sessions | jq --exit-status --argjson ids "$2" \
        '[.[] | select(.live) | .session_id] as $live | [$ids[] | select(IN($live[]) | not)] | . == [] or error("not alive: \(.)")' || return 1
    started_once "$1" || return 1
    emulator_get calls | jq --exit-status --argjson ids "$2" \
        '[.[] | select(.operation == "TerminateSession" and (.session_id | IN($ids[])))] | . == [] or error("asked to end: \(.)")'
}

# started_once NAMESPACE: each object has started one session, by one call that succeeded.
started_once() {
    local uids
    uids=$(kubectl get athenasessions --namespace "$1" --output json | jq '[.items[].metadata.uid] | sort')
    emulator_get calls | jq --exit-status --argjson uids "$uids" \
        '[.[] | select(.operation == "StartSession" and .outcome == "ok") | .token | select(IN($uids[]))] | sort | . == $uids or error("starts: \(.), objects: \($uids)")'
}

available() { kubectl wait --for=condition=Available athenasession --all --namespace "$1" --timeout=60s; }

# session NAMESPACE NAME WORK-GROUP [MORE-OF-SPEC]: applies an object.
session() {
    kubectl apply --filename - >/dev/null <<Y
apiVersion: athena-operator.io/v1alpha1
kind: AthenaSession
metadata: {namespace: $1, name: $2}
spec: {workGroup: $3${4:+, $4}}
Y
}

# leave NAMESPACE...: deletes its objects, which ends their sessions, and then the namespaces.
leave() {
    local each
    for each; do
        holds "deleting the objects of $each returns" kubectl delete athenasessions --all --namespace "$each" --timeout=60s
    done
    holds 'no session lives any more' none_alive
    kubectl delete namespace "$@" --timeout=60s >/dev/null
}
none_alive() { emulator_get sessions | jq --exit-status '[.[] | select(.live)] | . == [] or error(tostring)'; }

# operator_namespace NAME [ACCESS-KEY]: makes the namespace of a release, with the Secret that the preset values name.
operator_namespace() {
    local key=${2:-test}
    namespace "$1"
    kubectl create secret generic aws --namespace "$1" --from-literal="AWS_ACCESS_KEY_ID=$key" --from-literal="AWS_SECRET_ACCESS_KEY=$key" >/dev/null
}

# helm_install HELM NAMESPACE [FLAG...], helm_uninstall HELM NAMESPACE: the release athena-operator.
helm_install() {
    "$1" install athena-operator "$chart" --namespace "$2" --values "$work/preset.yaml" --set aws.region=eu-west-1 --wait --timeout 90s "${@:3}"
}
helm_uninstall() { "$1" uninstall athena-operator --namespace "$2" --wait --timeout 60s; }

# gone NAMESPACE...: removes what is left of uninstalled releases.
gone() {
    kubectl delete crd "$crd" --timeout=30s >/dev/null
    kubectl delete namespace "$@" --timeout=60s >/dev/null
}

diagnose() {
    {
        title 'what the cluster looks like'
        kubectl get pods,athenasessions --all-namespaces --output wide
        kubectl get events --all-namespaces --sort-by=.lastTimestamp | tail -n 30
        kubectl get pods --all-namespaces --selector app.kubernetes.io/name=athena-operator --no-headers --output custom-columns=:.metadata.namespace,:.metadata.name |
            while read -r namespace pod; do kubectl logs --namespace "$namespace" "$pod" --tail=40 --prefix; done
        emulator_get calls | jq --compact-output '.[] | del(.request)' | tail -n 20
    } >&2 || true
}

# tidy: removes all that a step may have left. Its operator ends what it can; then it goes, and so do the finalizers that nobody removes any more.
tidy() {
    local namespaces namespace name
    namespaces=$(kubectl get namespaces --selector athena-operator.io/node-test --output jsonpath='{.items[*].metadata.name}')
    for namespace in $namespaces; do
        kubectl delete athenasessions --all --namespace "$namespace" --timeout=20s
    done
    for namespace in $namespaces; do
        for name in $("$helm4" list --namespace "$namespace" --all --short); do
            "$helm4" uninstall "$name" --namespace "$namespace" --no-hooks --wait --timeout 60s
        done
    done
    kubectl get athenasessions --all-namespaces --no-headers --output custom-columns=:.metadata.namespace,:.metadata.name |
        while read -r namespace name; do
            kubectl patch athenasession "$name" --namespace "$namespace" --type merge --patch '{"metadata":{"finalizers":null}}'
        done
    # shellcheck disable=SC2086
    kubectl delete namespace $namespaces --ignore-not-found --timeout=120s
    kubectl delete crd "$crd" --ignore-not-found --timeout=60s
} >/dev/null 2>&1

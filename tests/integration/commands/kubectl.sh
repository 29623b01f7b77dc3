#!/bin/sh
# kubectl in a cluster without a node: what the kubelet would answer is read from the operator's process. Everything else is left to the real kubectl.
set -u

# The real kubectl finds the pod and its container: what it is given is right as far as the API server can tell. Of a pod without a node it gets no lines.
logs() {
    "$REAL_KUBECTL" logs "$@" && cat "$LOG"
}

# The same, of which the API server says that there is no node.
execute() {
    said=$("$REAL_KUBECTL" exec "$@" 2>&1 </dev/null)
    case $said in
    *'does not have a host assigned'*) ;;
    *) printf '%s\n' "$said" >&2 && exit 1 ;;
    esac
    while [ "$1" != -- ]; do shift; done
    [ "$2" = /athena-operator ] || { printf 'the image has no %s\n' "$2" >&2 && exit 127; }
    shift 2
    exec "$OPERATOR" "$@"
}

# proxy PATH: what the operator answers to a request that passes through the API server and a port of a Service.
proxy() {
    service=${1#/api/v1/namespaces/*/services/}
    namespace=${1#/api/v1/namespaces/}
    namespace=${namespace%%/*}
    path=${service#*/proxy}
    service=${service%%/*}
    ports=$("$REAL_KUBECTL" get service "${service%:*}" -n "$namespace" -o 'jsonpath={.spec.ports[*].port}') || exit
    case " $ports " in
    *" ${service#*:} "*) exec "$REAL_KUBECTL" get --raw "$path" --server "$OPERATOR_URL" ;;
    *) printf 'the service has the ports %s\n' "$ports" >&2 && exit 1 ;;
    esac
}

case "$*" in
'logs '*' --previous'*) LOG=$PREVIOUS_LOG ;;
*) LOG=$OPERATOR_LOG ;;
esac
case "$*" in
'logs '*) shift && logs "$@" ;;
'exec '*) shift && execute "$@" ;;
'get --raw /api/v1/namespaces/'*/proxy/*) proxy "$3" ;;
*) exec "$REAL_KUBECTL" "$@" ;;
esac

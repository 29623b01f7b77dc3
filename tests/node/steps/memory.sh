# shellcheck shell=bash
# What the operator takes of the node, for the chart's requests and limits.

step_memory() {
    local index
    operator_namespace athena-operator
    namespace team
    holds install helm_install "$helm4" athena-operator
    memory 'at rest, without sessions'
    for index in $(seq 100); do session team "s$index" spark-35; done
    holds '100 sessions can take work' kubectl wait --for=condition=Available athenasession --all --namespace team --timeout=180s
    memory 'with 100 sessions'
    leave team
    holds uninstall helm_uninstall "$helm4" athena-operator
    gone athena-operator
}

# memory WHEN: the container's working set, as the kubelet has measured it from now on, is below what the chart requests.
memory() {
    local bytes requested since
    since=$(date +%s%3N)
    eventually 90 "the kubelet tells the operator's memory" working_set "$since"
    bytes=$(working_set "$since")
    requested=$(kubectl get deployment athena-operator --namespace athena-operator --output jsonpath='{.spec.template.spec.containers[0].resources.requests.memory}')
    say "$1: $((bytes / 1048576)) MiB; the chart requests $requested"
    ((bytes < ${requested%Mi} * 1048576)) || fail 'it takes more than it requests'
}

# working_set SINCE: in bytes, measured after that time in milliseconds.
working_set() {
    local node
    for node in $(kubectl get nodes --output jsonpath='{.items[*].metadata.name}'); do
        kubectl get --raw "/api/v1/nodes/$node/proxy/metrics/resource"
    done | awk -v since="$1" '/^container_memory_working_set_bytes\{container="operator"/ && $3 >= since {printf "%.0f\n", $2; found = 1} END {exit !found}'
}

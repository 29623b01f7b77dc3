# shellcheck shell=bash
# Two releases in a cluster, each for its own namespace and with its own AWS identity. Every call in the journal tells by whose keys it was made.

step_releases() {
    local colour alive_blue alive_green
    emulator_forget
    for colour in blue green; do
        operator_namespace "operator-$colour" "$colour"
        namespace "team-$colour"
    done
    holds 'install of the first' install_colour blue true
    holds 'install of the second, without the CRD' install_colour green false
    for colour in blue green; do
        session "team-$colour" one spark-35
        session "team-$colour" two pyspark-3
    done
    for colour in blue green; do
        holds "the sessions of $colour can take work" available "team-$colour"
        holds "each object of $colour has started one session" started_once "team-$colour"
        holds "every call for $colour is made by its own operator" own_calls "$colour"
        holds "the operator of $colour has no ClusterRole" no_cluster_role "$colour"
    done
    alive_blue=$(sessions team-blue)
    holds 'deleting the objects of green returns' kubectl delete athenasessions --all --namespace team-green --timeout=60s
    holds 'uninstall of the second' helm_uninstall "$helm4" operator-green
    holds 'the CRD stays' kubectl get crd "$crd"
    holds 'no session of blue was ended' no_calls '.operation == "TerminateSession" and .access_key_id == "blue"'
    [[ $(sessions team-blue) == "$alive_blue" ]] || fail "sessions of blue: were $alive_blue, are $(sessions team-blue)"
    session team-blue three spark-35
    holds 'blue goes on working' available team-blue
    session team-green waiting spark-35
    holds 'reinstall of the second' install_colour green false
    holds 'green works again' available team-green
    alive_green=$(sessions team-green)
    holds 'uninstall of the first, which made the CRD' helm_uninstall "$helm4" operator-blue
    holds 'the CRD stays' kubectl get crd "$crd"
    [[ $(sessions team-green) == "$alive_green" ]] || fail "sessions of green: were $alive_green, are $(sessions team-green)"
    for colour in blue green; do holds "every call for $colour was made by its own operator" own_calls "$colour"; done
    holds 'reinstall of the first' install_colour blue true
    leave team-blue team-green
    for colour in blue green; do helm_uninstall "$helm4" "operator-$colour" >/dev/null; done
    gone operator-blue operator-green
}

install_colour() { helm_install "$helm4" "operator-$1" --set "watch.namespaces={team-$1}" --set "crds.enabled=$2"; }

# own_calls COLOUR: each of its objects was started, and every call about them and their sessions carries its keys.
own_calls() {
    local uids
    uids=$(kubectl get athenasessions --namespace "team-$1" --output json | jq '[.items[].metadata.uid]')
    emulator_get calls | jq --exit-status --arg colour "$1" --argjson uids "$uids" '
        [.[] | select(.token | IN($uids[]))] as $starts |
        [$starts[].session_id | strings] as $ids |
        ($starts + [.[] | select(.session_id | IN($ids[]))]) as $calls |
        ($ids | length) == ($uids | length) and ($calls | all(.access_key_id == $colour)) or error($calls | tostring)'
}

no_cluster_role() {
    local roles
    roles=$("$helm4" get manifest athena-operator --namespace "operator-$1" | kubectl create --dry-run=client --output name --filename -) || return 1
    ! grep -i clusterrole <<<"$roles"
}

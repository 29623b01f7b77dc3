# shellcheck shell=bash
# The README's way with Helm, its commands as they stand there. Only image, endpoint and credentials are preset, by a helm that is found before the real one.

step_readme() {
    local before each
    before=$(kubectl get namespaces --output name | sort)
    cat >"$work/readme.yaml" <<Y
image: {pullPolicy: Never}
aws: {endpointUrl: "http://athena-emulator.$emulator_namespace.svc:4566", stsEndpointUrl: "http://athena-emulator.$emulator_namespace.svc:4566"}
extraEnv: [{name: AWS_ACCESS_KEY_ID, value: test}, {name: AWS_SECRET_ACCESS_KEY, value: test}]
Y
    mkdir "$work/bin"
    cat >"$work/bin/helm" <<X
#!/bin/sh
case \$1 in
    install | upgrade) exec "$helm4" "\$@" --values "$work/readme.yaml" ;;
    *) exec "$helm4" "\$@" ;;
esac
X
    chmod +x "$work/bin/helm"
    commands README.md >"$work/commands"
    [[ -s $work/commands ]] || fail 'README.md has no commands between <!-- e2e: helm --> and <!-- end e2e -->'
    sed 's/^/   $ /' "$work/commands"
    holds 'the commands succeed' env PATH="$work/bin:$PATH" bash -euo pipefail "$work/commands"
    holds 'there is a session' [ -n "$(kubectl get athenasessions --all-namespaces --output name)" ]
    holds 'it can take work' kubectl wait --for=condition=Available athenasession --all --all-namespaces --timeout=60s
    for each in $(kubectl get athenasessions --all-namespaces --output jsonpath='{.items[*].metadata.namespace}'); do
        kubectl delete athenasessions --all --namespace "$each" --timeout=60s >/dev/null
    done
    holds 'no session lives any more' none_alive
    "$helm4" list --all-namespaces --output json | jq --raw-output '.[] | "\(.name) \(.namespace)"' | while read -r each namespace; do
        "$helm4" uninstall "$each" --namespace "$namespace" --wait --timeout 60s >/dev/null
    done
    kubectl delete crd "$crd" --timeout=30s >/dev/null
    kubectl get namespaces --output name | sort | comm -13 <(echo "$before") - | xargs --no-run-if-empty kubectl delete --timeout=60s >/dev/null
}

# commands FILE: what follows the prompts in the marked part, with continued lines and here-documents; the output that is shown there is left out.
commands() {
    awk '
        /^<!-- end e2e -->/ { inside = 0 }
        inside && until != "" { print; if ($0 == until) until = ""; next }
        inside && continued { print; continued = /\\$/; next }
        inside && sub(/^\$ /, "") {
            print
            continued = /\\$/
            if (match($0, /<<.?[A-Z]+/)) { until = substr($0, RSTART, RLENGTH); gsub(/[^A-Z]/, "", until) }
        }
        /^<!-- e2e: helm -->/ { inside = 1 }' "$1"
}

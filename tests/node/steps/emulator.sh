# shellcheck shell=bash
# The emulator of Athena, as a pod, and the values that lead the chart to it.

step_emulator() {
    namespace "$emulator_namespace"
    kubectl apply --namespace "$emulator_namespace" --filename tests/node/emulator.yaml >/dev/null
    holds 'the emulator answers' kubectl rollout status deployment/athena-emulator --namespace "$emulator_namespace" --timeout=60s
    cat >"$work/preset.yaml" <<Y
image: {pullPolicy: Never}
aws: {endpointUrl: "http://athena-emulator.$emulator_namespace.svc:4566", stsEndpointUrl: "http://athena-emulator.$emulator_namespace.svc:4566", credentialsSecret: aws}
test: {workGroups: [spark-35, pyspark-3]}
Y
}

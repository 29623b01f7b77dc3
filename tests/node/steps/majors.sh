# shellcheck shell=bash
# A release that Helm 3 has made passes into Helm 4's hands while sessions live.

step_majors() {
    local release=(athena-operator --namespace athena-operator) alive
    emulator_forget
    operator_namespace athena-operator
    namespace team
    holds 'install by Helm 3' helm_install "$helm3" athena-operator
    session team spark spark-35
    holds 'the session can take work' available team
    alive=$(sessions team)
    holds 'upgrade by Helm 4' "$helm4" upgrade "${release[@]}" "$chart" --reuse-values --set logging.format=text --wait --timeout 90s
    holds 'helm test by Helm 4' "$helm4" test "${release[@]}" --timeout 60s
    holds 'uninstall by Helm 3' helm_uninstall "$helm3" athena-operator
    holds 'reinstall by Helm 4' helm_install "$helm4" athena-operator
    holds 'no session is disturbed' undisturbed team "$alive"
    leave team
    holds 'uninstall by Helm 4' helm_uninstall "$helm4" athena-operator
    gone athena-operator
}

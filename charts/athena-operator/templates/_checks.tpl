{{/* What the schema cannot say, or not in words that help. */}}
{{- define "athena-operator.checks" -}}
{{- $values := .Values }}
{{- if and (not $values.aws.region) (not $values.aws.inheritRegion) }}
{{- fail "aws.region must be set, such as --set aws.region=eu-west-1; or set aws.inheritRegion=true if the pod gets AWS_REGION in another way (EKS gives it with IRSA and Pod Identity)" }}
{{- end }}
{{- if and $values.aws.region $values.aws.inheritRegion }}
{{- fail "aws.region and aws.inheritRegion exclude each other: set one of them" }}
{{- end }}
{{- if and $values.aws.roleArn (not $values.serviceAccount.create) }}
{{- fail "aws.roleArn needs serviceAccount.create=true: it is an annotation of the service account; annotate yours and leave aws.roleArn empty" }}
{{- end }}
{{- if and $values.aws.fipsEndpoint (or $values.aws.endpointUrl $values.aws.stsEndpointUrl) }}
{{- fail "aws.fipsEndpoint excludes aws.endpointUrl and aws.stsEndpointUrl: the AWS SDK refuses every call with both; set the URLs of FIPS endpoints and leave aws.fipsEndpoint false" }}
{{- end }}
{{- $grace := trimSuffix "s" $values.shutdownGrace | int }}
{{- if lt (int $values.terminationGracePeriodSeconds) (add $grace 5 | int) }}
{{- fail (printf "terminationGracePeriodSeconds must be at least %d: five more than shutdownGrace, in which the operator gives its lease back" (add $grace 5)) }}
{{- end }}
{{- if and (not $values.leaderElection.enabled) (eq (default "" $values.strategy.type) "RollingUpdate") }}
{{- fail "strategy.type must be Recreate with leaderElection.enabled=false: a rolling update runs two processes at once, and one may leave a session running after its object is gone" }}
{{- end }}
{{- if and $values.hostNetwork (not $values.hostUsers) }}
{{- fail "hostUsers must be true with hostNetwork=true: Kubernetes refuses a pod with the node's network and a user namespace of its own" }}
{{- end }}
{{- if and (has "Deny" $values.policy.validationActions) (has "Warn" $values.policy.validationActions) }}
{{- fail "policy.validationActions must not hold both Deny and Warn, which Kubernetes refuses: a denial tells as much as a warning" }}
{{- end }}
{{- if not (regexMatch "^[a-z]" (include "athena-operator.fullname" .)) }}
{{- fail (printf "fullnameOverride must be set, such as --set fullnameOverride=%s: the name of a Service, which is made of the release's name %q, must begin with a letter" .Chart.Name .Release.Name) }}
{{- end }}
{{- $own := list }}
{{- range concat (include "athena-operator.operatorEnv" . | fromYamlArray) (include "athena-operator.awsEnv" . | fromYamlArray) }}
{{- $own = append $own .name }}
{{- end }}
{{- range $values.extraEnv }}
{{- if has .name $own }}
{{- fail (printf "extraEnv must not hold %s, which the chart sets: use the value for it, or the flag in extraArgs" .name) }}
{{- end }}
{{- end }}
{{- end }}

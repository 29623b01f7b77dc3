{{/* Environment of `athena-operator run`. Variables, since a flag of extraArgs wins over one and must not be given twice. */}}
{{- define "athena-operator.operatorEnv" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- with .Values.watch.namespaces }}
- name: ATHENA_OPERATOR_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
- name: ATHENA_OPERATOR_LISTEN
  value: {{ printf "%s:%d" .Values.metrics.bindAddress (int .Values.metrics.port) | quote }}
- name: ATHENA_OPERATOR_LOG
  value: {{ .Values.logging.level | quote }}
- name: ATHENA_OPERATOR_LOG_FORMAT
  value: {{ .Values.logging.format | quote }}
- name: ATHENA_OPERATOR_CONCURRENCY
  value: {{ int .Values.concurrency | quote }}
- name: ATHENA_OPERATOR_ATHENA_TIMEOUT
  value: {{ .Values.athenaTimeout | quote }}
- name: ATHENA_OPERATOR_KUBERNETES_TIMEOUT
  value: {{ .Values.kubernetesTimeout | quote }}
- name: ATHENA_OPERATOR_ATHENA_RATE
  value: {{ .Values.awsRateLimits.callsPerSecond | toString | quote }}
- name: ATHENA_OPERATOR_ATHENA_BURST
  value: {{ int .Values.awsRateLimits.burst | quote }}
- name: ATHENA_OPERATOR_OBSERVE_INTERVAL
  value: {{ .Values.observeInterval | quote }}
- name: ATHENA_OPERATOR_TRANSITION_INTERVAL
  value: {{ .Values.transitionInterval | quote }}
- name: ATHENA_OPERATOR_SHUTDOWN_GRACE
  value: {{ .Values.shutdownGrace | quote }}
- name: ATHENA_OPERATOR_LEADER_ELECTION
  value: {{ .Values.leaderElection.enabled | quote }}
{{- if .Values.leaderElection.enabled }}
- name: ATHENA_OPERATOR_LEASE_NAME
  value: {{ include "athena-operator.leaseName" . | quote }}
{{- with .Values.leaderElection.namespace }}
- name: ATHENA_OPERATOR_LEASE_NAMESPACE
  value: {{ . | quote }}
{{- end }}
- name: ATHENA_OPERATOR_LEASE_DURATION
  value: {{ .Values.leaderElection.leaseDuration | quote }}
{{- end }}
{{- end }}

{{/* How AWS is reached. */}}
{{- define "athena-operator.awsEnv" -}}
{{- $env := list }}
{{- with .Values.aws.region }}
{{- $env = append $env (dict "name" "AWS_REGION" "value" .) }}
{{- end }}
{{- with .Values.aws.endpointUrl }}
{{- $env = append $env (dict "name" "AWS_ENDPOINT_URL_ATHENA" "value" .) }}
{{- end }}
{{- with .Values.aws.stsEndpointUrl }}
{{- $env = append $env (dict "name" "AWS_ENDPOINT_URL_STS" "value" .) }}
{{- end }}
{{- if .Values.aws.fipsEndpoint }}
{{- $env = append $env (dict "name" "AWS_USE_FIPS_ENDPOINT" "value" "true") }}
{{- end }}
{{- with .Values.aws.credentialsSecret }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
{{- $env = append $env (dict "name" . "valueFrom" (dict "secretKeyRef" (dict "name" $.Values.aws.credentialsSecret "key" .))) }}
{{- end }}
{{- $token := dict "name" . "key" "AWS_SESSION_TOKEN" "optional" true }}
{{- $env = append $env (dict "name" "AWS_SESSION_TOKEN" "valueFrom" (dict "secretKeyRef" $token)) }}
{{- end }}
{{- toYaml $env }}
{{- end }}

{{/* What the operator and the test pods have in common. */}}
{{- define "athena-operator.commonEnv" -}}
{{- concat (include "athena-operator.awsEnv" . | fromYamlArray) .Values.extraEnv | toYaml }}
{{- end }}

{{/* Where and how a pod of the release runs. */}}
{{- define "athena-operator.placement" -}}
serviceAccountName: {{ include "athena-operator.serviceAccountName" . | toYaml }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with concat .Values.imagePullSecrets .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if not .Values.hostUsers }}
hostUsers: false
{{- end }}
{{- if .Values.hostNetwork }}
hostNetwork: true
{{- end }}
dnsPolicy: {{ default (ternary "ClusterFirstWithHostNet" "ClusterFirst" .Values.hostNetwork) .Values.dnsPolicy }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default .Values.global.priorityClassName .Values.priorityClassName }}
priorityClassName: {{ . | toYaml }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . | toYaml }}
{{- end }}
{{- with .Values.schedulerName }}
schedulerName: {{ . | toYaml }}
{{- end }}
{{- with default .Values.global.nodeSelector .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default .Values.global.tolerations .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default .Values.global.affinity .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* An HTTP probe. Arguments: path, probe. */}}
{{- define "athena-operator.probe" -}}
httpGet:
  path: {{ .path }}
  port: metrics
periodSeconds: {{ int .probe.periodSeconds }}
timeoutSeconds: {{ int .probe.timeoutSeconds }}
failureThreshold: {{ int .probe.failureThreshold }}
{{- end }}

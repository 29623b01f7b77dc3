{{- define "athena-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters, so that a suffix still fits the 63 of a Service. A dot, which a release's name may have, does not fit one at all. */}}
{{- define "athena-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $release := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $release .Values.fullnameOverride | replace "." "-" | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "athena-operator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* The name of a cluster-scoped object. A namespace has no dot, so two releases never have the same one. Arguments: root, suffix. */}}
{{- define "athena-operator.clusterName" -}}
{{- include "athena-operator.fullname" .root }}{{ .suffix }}.{{ include "athena-operator.namespace" .root }}
{{- end }}

{{- define "athena-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "athena-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* In a namespace that is not the release's, leases of releases of one name may meet. */}}
{{- define "athena-operator.leaseName" -}}
{{- $own := include "athena-operator.fullname" . }}
{{- $shared := include "athena-operator.clusterName" (dict "root" . "suffix" "") }}
{{- default (ternary $shared $own (ne (include "athena-operator.leaseNamespace" .) (include "athena-operator.namespace" .))) .Values.leaderElection.leaseName }}
{{- end }}

{{- define "athena-operator.leaseNamespace" -}}
{{- default (include "athena-operator.namespace" .) .Values.leaderElection.namespace }}
{{- end }}

{{/* The job of the metrics, which the monitors set and the alerts select. */}}
{{- define "athena-operator.job" -}}
{{- include "athena-operator.clusterName" (dict "root" . "suffix" "") }}
{{- end }}

{{- define "athena-operator.image" -}}
{{- $image := .Values.image }}
{{- $registry := default $image.registry .Values.global.imageRegistry }}
{{- with $registry }}{{ . }}/{{ end }}{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* What all objects of the release carry. */}}
{{- define "athena-operator.releaseLabels" -}}
app.kubernetes.io/name: {{ include "athena-operator.name" . | toYaml }}
app.kubernetes.io/instance: {{ .Release.Name | trunc 63 | trimSuffix "-" | toYaml }}
{{- end }}

{{/* What only the operator's pods carry; a Deployment's selector can never be changed. */}}
{{- define "athena-operator.selectorLabels" -}}
{{ include "athena-operator.releaseLabels" . }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "athena-operator.labels" -}}
{{ include "athena-operator.releaseLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: athena-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Metadata of an object. Arguments: root, suffix; cluster (whether it is cluster-scoped), namespace, name, component, labels, annotations. */}}
{{- define "athena-operator.metadata" -}}
{{- $labels := include "athena-operator.labels" .root | fromYaml }}
{{- $labels = merge (dict) (dict "app.kubernetes.io/component" (default "operator" .component)) $labels (default dict .labels) .root.Values.commonLabels }}
{{- $annotations := merge (dict) (default dict .annotations) .root.Values.commonAnnotations }}
{{- $suffix := default "" .suffix }}
{{- if .cluster -}}
name: {{ default (include "athena-operator.clusterName" (dict "root" .root "suffix" $suffix)) .name | toYaml }}
{{- else -}}
name: {{ default (printf "%s%s" (include "athena-operator.fullname" .root) $suffix) .name | toYaml }}
namespace: {{ default (include "athena-operator.namespace" .root) .namespace | toYaml }}
{{- end }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* All that the operator asks of the API server, besides its Lease. */}}
{{- define "athena-operator.rules" -}}
- apiGroups: [athena-operator.io]
  resources: [athenasessions]
  # patch: the finalizer; delete: ttlSecondsAfterFinished.
  verbs: [get, list, watch, patch, delete]
- apiGroups: [athena-operator.io]
  resources: [athenasessions/status]
  # patch: where the object cannot be read.
  verbs: [patch, update]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- define "athena-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "athena-operator.serviceAccountName" . | toYaml }}
  namespace: {{ include "athena-operator.namespace" . | toYaml }}
{{- end }}

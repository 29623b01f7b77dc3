{{/* An endpoint of a ServiceMonitor or PodMonitor. Arguments: root, monitor. */}}
{{- define "athena-operator.endpoint" -}}
port: metrics
path: /metrics
# A metric's label `namespace` is that of the AthenaSessions, and not the operator's own.
honorLabels: true
{{- with .monitor.interval }}
interval: {{ . }}
{{- end }}
{{- with .monitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
relabelings:
  - targetLabel: job
    replacement: {{ include "athena-operator.job" .root | toYaml }}
  {{- with .monitor.relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

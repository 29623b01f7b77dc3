{{/* CEL: whether a value fits a list of patterns, of which a `*` at the end stands for anything. Arguments: patterns, value, as CEL. */}}
{{- define "athena-operator.fits" -}}
{{ .patterns }}.exists(p, p == {{ .value }} || p.endsWith('*') && {{ .value }}.startsWith(p.substring(0, size(p) - 1)))
{{- end }}

{{/* CEL: what the rule that holds has at a key. Each list has elements of one type, as CEL asks. Arguments: rules, key, default. */}}
{{- define "athena-operator.column" -}}
{{- $column := list }}
{{- range .rules }}
{{- $column = append $column (default $.default (get . $.key)) }}
{{- end }}
{{- toJson $column }}[variables.rule]
{{- end }}

{{/* Name of the operator as the API server authenticates it. */}}
{{- define "athena-operator.user" -}}
system:serviceaccount:{{ include "athena-operator.namespace" . }}:{{ include "athena-operator.serviceAccountName" . }}
{{- end }}

{{/* CEL: whether the object has the operator's finalizer. Argument: `object` or `oldObject`. */}}
{{- define "athena-operator.held" -}}
{{ . }}.metadata.?finalizers.orValue([]).exists(name, name == 'athena-operator.io/session')
{{- end }}

{{/* CEL: whether the request may start a session, or have one live longer. */}}
{{- define "athena-operator.spends" -}}
request.operation == 'CREATE' ||
!has(object.metadata.deletionTimestamp) && !object.?spec.?suspend.orValue(false) && (
oldObject.?spec.?suspend.orValue(false) ||
object.?spec.?restartPolicy != oldObject.?spec.?restartPolicy ||
object.?spec.?maxRestarts != oldObject.?spec.?maxRestarts ||
object.?spec.?activeDeadlineSeconds != oldObject.?spec.?activeDeadlineSeconds)
{{- end }}

{{/* CEL: whether the request turns `deletionPolicy: Retain` on. */}}
{{- define "athena-operator.retains" -}}
object.?spec.?deletionPolicy == optional.of('Retain') &&
(request.operation == 'CREATE' || oldObject.?spec.?deletionPolicy != optional.of('Retain'))
{{- end }}

{{/* CEL: whether somebody else than the operator removes its finalizer. */}}
{{- define "athena-operator.releases" -}}
request.operation == 'UPDATE' && request.userInfo.?username != optional.of('{{ include "athena-operator.user" . }}') &&
{{ include "athena-operator.held" "oldObject" }} && !{{ include "athena-operator.held" "object" }}
{{- end }}

{{/* A validation of certain requests. Arguments: field, requests, holds, must, cure; field and cure are texts, the others CEL. */}}
{{- define "athena-operator.validation" -}}
- expression: >-
    !{{ .requests }} || {{ .holds }}
  messageExpression: >-
    '`{{ .field }}` must ' + {{ .must }} + variables.where + ': {{ .cure }}'
  message: the policy for AthenaSessions of this namespace does not allow `{{ .field }}` as it is
  reason: Forbidden
{{- end }}

{{/* A validation that an optional field fits the patterns of a variable. Arguments: field, optional (the same as CEL), variable, none (what the field must where there is no pattern), cure. */}}
{{- define "athena-operator.listed" -}}
{{- $value := printf "object.%s" .optional }}
{{- $list := printf "variables.%s" .variable }}
{{- $holds := printf "variables.rule < 0 || !%s.hasValue() || %s" $value (include "athena-operator.fits" (dict "patterns" $list "value" (printf "%s.value()" $value))) }}
{{- $must := printf "(size(%s) == 0 ? '%s' : 'be one of ' + %s.join(', '))" $list (default "not be set" .none) $list }}
{{- include "athena-operator.validation" (dict "field" .field "requests" "variables.spends" "holds" $holds "must" $must "cure" .cure) }}
{{- end }}

{{/* A validation that an optional number is set and not larger than a maximum. Arguments: field, required and max (variables), cure. */}}
{{- define "athena-operator.bounded" -}}
{{- $value := printf "object.spec.?%s" (replace "." ".?" .field) }}
{{- $max := printf "variables.%s" .max }}
{{- $free := printf "%s.hasValue() ? %s == 0 || %s.value() <= %s" $value $max $value $max }}
{{- $holds := printf "variables.rule < 0 || (%s : !variables.%s && %s == 0)" $free .required $max }}
{{- $must := printf "(%s == 0 ? 'be set' : 'be set to at most ' + string(%s))" $max $max }}
{{- include "athena-operator.validation" (dict "field" (printf "spec.%s" .field) "requests" "variables.spends" "holds" $holds "must" $must "cure" .cure) }}
{{- end }}

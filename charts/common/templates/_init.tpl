{{/*
What must be settled before anything is rendered: merged values, names, labels, and refusals.
Every template file of a chart begins with common.init, since the order of files is not ours.
*/}}

{{/* For charts without a service: the defaults of `global`. Doing it twice changes nothing. */}}
{{- define "common.init" -}}
{{- if hasKey .Values "common" -}}
{{- $_ := set . "Values" (merge (dict "global" .Values.common.global) (omit .Values "common" "global")) -}}
{{- end -}}
{{- end -}}

{{/*
For charts of a service: all of this library's defaults under the chart's own values, and a refusal
of everything that it would be wrong to render.
*/}}
{{- define "common.init.service" -}}
{{- if hasKey .Values "common" -}}
{{- $_ := set . "Values" (mergeOverwrite (deepCopy .Values.common) (omit .Values "common" "global")) -}}
{{- end -}}
{{- if and (ne .Release.Name .Chart.Name) (not (hasPrefix (printf "%s-" .Chart.Name) .Release.Name)) -}}
{{- fail (printf "name the release %s (the primary) or %s-… (a second one, such as %s-canary), not %s" .Chart.Name .Chart.Name .Chart.Name .Release.Name) -}}
{{- end -}}
{{- if has (trimPrefix (printf "%s-" .Chart.Name) .Release.Name) (list "migrate" "test" "prometheus-adapter" "routing") -}}
{{- fail (printf "the release name %s is taken by what the primary release brings: choose another, such as %s-canary" .Release.Name .Chart.Name) -}}
{{- end -}}
{{- if not (or .Values.image.tag .Values.image.digest) -}}
{{- fail "give image.digest or image.tag: what runs is never left to chance" -}}
{{- end -}}
{{- if eq (toString .Values.image.tag) "latest" -}}
{{- fail "image.tag latest names no release: give image.digest or another tag" -}}
{{- end -}}
{{- include "common.refuseDevelopment" . -}}
{{- end -}}

{{/* Outside development, nothing of development: neither its servers nor secrets among the values. */}}
{{- define "common.refuseDevelopment" -}}
{{- if ne .Values.global.environment "development" -}}
{{- range $name, $peer := .Values.global.peers -}}
{{- if eq (default "" $peer.namespace) "twelvefold-backing" -}}
{{- fail (printf "global.peers.%s is the development server: say in a site file where yours is (charts/site.example.yaml)" $name) -}}
{{- end -}}
{{- end -}}
{{- if or (dig "data" (dict) (default (dict) .Values.secret)) (dig "secret" "data" (dict) (default (dict) .Values.migrations)) -}}
{{- fail "secrets among the values are for development: name an existingSecret" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The release's name names what each release has of its own. */}}
{{- define "common.fullname" -}}
{{- .Release.Name -}}
{{- end -}}

{{/* "true" for the release that is named after its service; it alone has what both share. */}}
{{- define "common.isPrimary" -}}
{{- if eq .Release.Name .Chart.Name -}}true{{- end -}}
{{- end -}}

{{/* The subset of the mesh that this release's pods are. */}}
{{- define "common.subset" -}}
{{- ternary "v1" "v2" (eq .Release.Name .Chart.Name) -}}
{{- end -}}

{{- define "common.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}{{ with $image.tag }}:{{ include "common.scalar" . }}{{ end }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ include "common.scalar" $image.tag }}
{{- end -}}
{{- end -}}

{{/* What the release calls itself in logs, spans and labels. */}}
{{- define "common.version" -}}
{{- if .Values.image.tag -}}
{{- include "common.scalar" .Values.image.tag -}}
{{- else -}}
{{- .Values.image.digest | replace ":" "-" | trunc 19 -}}
{{- end -}}
{{- end -}}

{{/* `iss` of the tokens that users issues. */}}
{{- define "common.issuer" -}}
{{- if .Values.global.tokens.issuer -}}
{{- .Values.global.tokens.issuer -}}
{{- else if eq .Values.global.environment "development" -}}
twelvefold
{{- else -}}
https://{{ .Values.global.host }}
{{- end -}}
{{- end -}}

{{/* Every issuer whose tokens count, as a list in JSON: the one above first. */}}
{{- define "common.issuers" -}}
{{- prepend .Values.global.tokens.acceptedIssuers (include "common.issuer" .) | uniq | toJson -}}
{{- end -}}

{{/* Of every object of the service. */}}
{{- define "common.labels" -}}
{{ include "common.selector" . }}
{{ include "common.descriptiveLabels" . }}
{{- end -}}

{{/* For objects that are no pods of the service: their name must not be its. */}}
{{- define "common.labelsOf" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{ include "common.descriptiveLabels" .root }}
{{- end -}}

{{- define "common.descriptiveLabels" -}}
{{ include "common.podLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Of pods too: nothing that another version of the chart would restart them for. */}}
{{- define "common.podLabels" -}}
app.kubernetes.io/part-of: twelvefold
{{- if .Values.image }}
app.kubernetes.io/version: {{ include "common.version" . | quote }}
{{- end }}
{{- end -}}

{{/* Selects the pods of this release. Never a version: a Deployment's selector cannot change. */}}
{{- define "common.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* A number of a values file is a float to Helm, which would print 25000000 as 2.5e+07. */}}
{{- define "common.scalar" -}}
{{- if and (kindIs "float64" .) (eq . (float64 (int64 .))) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/*
Merged values, names, labels, and checks that come before rendering. Every template file of a chart
starts with common.init, because Helm chooses the order of files.
*/}}

{{/* For charts without a service: applies the defaults of `global`. Idempotent. */}}
{{- define "common.init" -}}
{{- if hasKey .Values "common" -}}
{{- $_ := set . "Values" (merge (dict "global" .Values.common.global) (omit .Values "common" "global")) -}}
{{- end -}}
{{- include "common.locateS3" . -}}
{{- end -}}

{{/*
For charts of a service: merges the chart's values over this library's defaults, and rejects invalid
combinations.
*/}}
{{- define "common.init.service" -}}
{{- if hasKey .Values "common" -}}
{{- $_ := set . "Values" (mergeOverwrite (deepCopy .Values.common) (omit .Values "common" "global")) -}}
{{- end -}}
{{- include "common.locateS3" . -}}
{{- include "common.selectFeatures" . -}}
{{- if and (ne .Release.Name .Chart.Name) (not (hasPrefix (printf "%s-" .Chart.Name) .Release.Name)) -}}
{{- fail (printf "name the release %s (the primary) or %s-… (another release, such as %s-canary), not %s" .Chart.Name .Chart.Name .Chart.Name .Release.Name) -}}
{{- end -}}
{{- if has (trimPrefix (printf "%s-" .Chart.Name) .Release.Name) (list "migrate" "test" "prometheus-adapter" "routing") -}}
{{- fail (printf "the release name %s conflicts with objects of the primary release: choose another, such as %s-canary" .Release.Name .Chart.Name) -}}
{{- end -}}
{{- if not (or .Values.image.tag .Values.image.digest) -}}
{{- fail "give image.digest or image.tag: the version must be explicit" -}}
{{- end -}}
{{- if eq (toString .Values.image.tag) "latest" -}}
{{- fail "image.tag latest identifies no release: give image.digest or another tag" -}}
{{- end -}}
{{- if and .Values.global.rolloutController (ne .Release.Name .Chart.Name) -}}
{{- fail (printf "global.rolloutController is %s, which starts the canary itself: %s is the only release of %s" .Values.global.rolloutController .Chart.Name .Chart.Name) -}}
{{- end -}}
{{- include "common.refuseDevelopment" . -}}
{{- include "common.requireSite" . -}}
{{- include "common.requireEntrance" . -}}
{{- include "common.requireTrustedProxies" . -}}
{{- end -}}

{{/* The name of the release's own objects. */}}
{{- define "common.fullname" -}}
{{- .Release.Name -}}
{{- end -}}

{{/* "true" for the release named after its service, which creates the shared objects. */}}
{{- define "common.isPrimary" -}}
{{- if eq .Release.Name .Chart.Name -}}true{{- end -}}
{{- end -}}

{{/* The mesh subset of this release's pods. */}}
{{- define "common.subset" -}}
{{- ternary "v1" "v2" (eq .Release.Name .Chart.Name) -}}
{{- end -}}

{{- define "common.image" -}}
{{- $image := .Values.image -}}
{{- $repository := include "common.repository" . -}}
{{- if $image.digest -}}
{{ $repository }}{{ with $image.tag }}:{{ include "common.scalar" . }}{{ end }}@{{ $image.digest }}
{{- else -}}
{{ $repository }}:{{ include "common.scalar" $image.tag }}
{{- end -}}
{{- end -}}

{{/* The repository of the image, in the registry of `global.imageRegistry` if that is set. */}}
{{- define "common.repository" -}}
{{- $path := .Values.image.repository -}}
{{- with .Values.global.imageRegistry -}}
{{- $parts := splitList "/" $path -}}
{{- /* The first part is a registry if it is a host name (distribution/reference). */ -}}
{{- if and (gt (len $parts) 1) (regexMatch "[.:]|^localhost$" (first $parts)) -}}
{{- $path = rest $parts | join "/" -}}
{{- end -}}
{{- $path = printf "%s/%s" (trimSuffix "/" .) $path -}}
{{- end -}}
{{- $path -}}
{{- end -}}

{{/* The version in logs, spans and labels. */}}
{{- define "common.version" -}}
{{- if .Values.image.tag -}}
{{- include "common.scalar" .Values.image.tag -}}
{{- else -}}
{{- .Values.image.digest | replace ":" "-" | trunc 19 -}}
{{- end -}}
{{- end -}}

{{/* Every host name of the public API as a JSON list; the canonical one comes first. */}}
{{- define "common.hosts" -}}
{{- prepend .Values.global.additionalHosts .Values.global.host | uniq | toJson -}}
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

{{/* All accepted issuers as a JSON list; the one above comes first. */}}
{{- define "common.issuers" -}}
{{- prepend .Values.global.tokens.acceptedIssuers (include "common.issuer" .) | uniq | toJson -}}
{{- end -}}

{{/* Labels of every object of the service. */}}
{{- define "common.labels" -}}
{{ include "common.selector" . }}
{{ include "common.descriptiveLabels" . }}
{{- end -}}

{{/* Labels of objects other than the service's pods, whose name must differ from the service's. */}}
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

{{/* Labels of pods too, without any that change with the chart's version and would restart pods. */}}
{{- define "common.podLabels" -}}
app.kubernetes.io/part-of: twelvefold
{{- if .Values.image }}
app.kubernetes.io/version: {{ include "common.version" . | quote }}
{{- end }}
{{- with .Values.global.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Annotations of every object: for those with annotations of their own, and for those without. */}}
{{- define "common.annotations" -}}
{{- with .Values.global.annotations }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{- define "common.onlyAnnotations" -}}
{{- include "common.annotationsWith" (dict "root" . "own" dict) }}
{{- end -}}

{{/* The same with annotations from values. Takes root and own, a map that may be empty. */}}
{{- define "common.annotationsWith" -}}
{{- with merge dict .own .root.Values.global.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Selects the pods of this release, without the version, because a selector cannot change. */}}
{{- define "common.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Formats a number: Helm reads numbers as floats and would print 25000000 as 2.5e+07. */}}
{{- define "common.scalar" -}}
{{- if and (kindIs "float64" .) (eq . (float64 (int64 .))) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

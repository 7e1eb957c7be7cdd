{{/*
Routes of one host: for each class of requests one by canary header, one by experiment header, one for
all others. With Flagger there is one, which leaves the destination to Flagger's VirtualService.
Takes root, name, hosts, gateways, exportTo, port and classes (name, match, retries, endless: without a
timeout, which is the mesh's default). A class
without a match is the catch-all and comes last.
*/}}
{{- define "routing.virtualservice" -}}
{{- $root := .root -}}
{{- $canary := $root.Values.canary -}}
{{- $hasCanary := include "routing.hasCanary" $root -}}
{{- /* A controller begins with all requests at v1. */ -}}
{{- $weight := include "common.isArgo" $root | empty | ternary $canary.weight 0 | int -}}
{{- $host := include "routing.host" (dict "root" $root "name" $root.Chart.Name) -}}
{{- $port := .port }}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "common.labels" $root | nindent 4 }}
  {{- include "common.onlyAnnotations" $root | nindent 2 }}
spec:
  hosts: {{ .hosts | toJson }}
  gateways: {{ .gateways | toJson }}
  exportTo: {{ prepend (.exportTo | default list) "." | uniq | toJson }}
  http:
    {{- range $class := .classes }}
    {{- if $hasCanary }}
    - name: {{ $class.name }}-canary
      match: {{ include "routing.matches" (dict "class" $class "header" "canary" "value" $canary.header) }}
      route:
        - destination: {host: {{ $host }}, subset: v2, port: {number: {{ $port }}}}
      {{- include "routing.conduct" (dict "root" $root "class" $class) | nindent 6 }}
    - name: {{ $class.name }}-experiment
      match: {{ include "routing.matches" (dict "class" $class "header" "experiment" "value" $canary.experiment) }}
      route:
        - {weight: 50, destination: {host: {{ $host }}, subset: v1, port: {number: {{ $port }}}}}
        - {weight: 50, destination: {host: {{ $host }}, subset: v2, port: {number: {{ $port }}}}}
      {{- include "routing.conduct" (dict "root" $root "class" $class) | nindent 6 }}
    {{- end }}
    - name: {{ $class.name }}
      {{- with $class.match }}
      match: {{ toJson . }}
      {{- end }}
      {{- if eq $root.Values.global.rolloutController "flagger" }}
      delegate: {name: {{ $root.Chart.Name }}, namespace: {{ $root.Release.Namespace }}}
      {{- else }}
      route:
        {{- if $hasCanary }}
        - {weight: {{ sub 100 $weight }}, destination: {host: {{ $host }}, subset: v1, port: {number: {{ $port }}}}}
        - {weight: {{ $weight }}, destination: {host: {{ $host }}, subset: v2, port: {number: {{ $port }}}}}
        {{- else }}
        - destination: {host: {{ $host }}, subset: v1, port: {number: {{ $port }}}}
        {{- end }}
      {{- end }}
      {{- include "routing.conduct" (dict "root" $root "class" $class) | nindent 6 }}
    {{- end }}
{{- end -}}

{{/* The matches of a class, each with one more header. */}}
{{- define "routing.matches" -}}
{{- $header := dict .header (dict "exact" .value) -}}
{{- $matches := list -}}
{{- range .class.match | default (list (dict)) -}}
{{- $matches = append $matches (merge (dict "headers" (merge (deepCopy $header) (.headers | default dict))) .) -}}
{{- end -}}
{{- toJson $matches -}}
{{- end -}}

{{/*
Timeouts and retries. A read may be retried after any failure, an idempotent write only if it did not
reach a process, and all other requests never.
*/}}
{{- define "routing.conduct" -}}
{{- $values := .root.Values -}}
headers: {response: {remove: [x-envoy-upstream-service-time]}}
{{- if not .class.endless }}
timeout: {{ $values.timeouts.request }}
{{- end }}
{{- if and (eq .class.retries "reads") $values.retries.reads }}
retries:
  attempts: {{ $values.retries.reads }}
  perTryTimeout: {{ $values.timeouts.tryOfRead }}
  retryOn: connect-failure,refused-stream,reset
{{- else if and (eq .class.retries "keyed") $values.retries.keyed }}
retries:
  attempts: {{ $values.retries.keyed }}
  retryOn: connect-failure,refused-stream,reset-before-request
{{- else }}
retries: {attempts: 0}
{{- end }}
{{- end -}}

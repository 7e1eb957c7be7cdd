{{/*
HTTPRoutes of the Gateway API. Weights go to Services there, so that each release has one of its own
(charts/common). A rule wins by the longest path and then by the number of headers, not by its place.
*/}}

{{/* Clients' requests, from the Gateways of the site. Takes the root. */}}
{{- define "routing.publicHttpRoute" -}}
{{- $all := list -}}
{{- range .Values.public.prefixes -}}
{{- $all = append $all (dict "path" (dict "type" "PathPrefix" "value" (trimSuffix "/" .))) -}}
{{- end -}}
{{- range .Values.public.paths -}}
{{- $all = append $all (dict "path" (dict "type" "Exact" "value" .)) -}}
{{- end -}}
{{- $streams := list -}}
{{- range .Values.public.streams -}}
{{- $streams = append $streams (dict "path" (dict "type" "PathPrefix" "value" .) "method" "GET") -}}
{{- end -}}
{{- $classes := list (dict "match" $all "timeout" .Values.timeouts.request) -}}
{{- with $streams -}}
{{- $classes = prepend $classes (dict "match" . "timeout" "0s") -}}
{{- end }}
{{ include "routing.httproute" (dict
  "root" .
  "name" (printf "%s-public" .Chart.Name)
  "parents" .Values.global.gatewayApi.parents
  "hosts" (include "common.hosts" . | fromJsonArray)
  "port" 8000
  "filters" .Values.httpRoute.filters
  "classes" $classes) }}
{{- with .Values.global.gatewayApi.httpListener }}
{{- $parents := list -}}
{{- range $.Values.global.gatewayApi.parents -}}
{{- $parents = append $parents (merge (dict "sectionName" $.Values.global.gatewayApi.httpListener) (omit . "sectionName" "port")) -}}
{{- end }}
---
{{ include "routing.httprouteHead" (dict "root" $ "name" (printf "%s-redirect" $.Chart.Name)) }}
spec:
  parentRefs: {{ uniq $parents | toJson }}
  hostnames: {{ include "common.hosts" $ }}
  rules:
    - matches: {{ toJson $all }}
      filters:
        - {type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}
{{- end }}
{{- end -}}

{{/* Calls within the mesh, at the waypoint of the Service. Takes root and port. */}}
{{- define "routing.internalHttpRoute" -}}
{{- $parent := dict "group" "" "kind" "Service" "name" .root.Chart.Name "port" .port }}
{{ include "routing.httproute" (dict
  "root" .root
  "name" .root.Chart.Name
  "parents" (list $parent)
  "port" .port
  "classes" (list (dict "match" (list (dict "path" (dict "type" "PathPrefix" "value" "/"))) "timeout" .root.Values.timeouts.request))) }}
{{- end -}}

{{- define "routing.httprouteHead" -}}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "common.labels" .root | nindent 4 }}
  {{- include "common.onlyAnnotations" .root | nindent 2 }}
{{- end -}}

{{/* Takes root, name, parents, hosts, port, filters and classes (match, timeout). */}}
{{- define "routing.httproute" -}}
{{- $root := .root -}}
{{- $canary := $root.Values.canary -}}
{{- $service := $root.Chart.Name -}}
{{- $weights := ternary (list (sub 100 (int $canary.weight)) (int $canary.weight)) (list 100 0) $canary.enabled -}}
{{- $rules := list -}}
{{- range $class := .classes -}}
{{- if $canary.enabled -}}
{{- $rules = append $rules (dict "class" $class "header" "canary" "value" $canary.header "weights" (list 0 100)) -}}
{{- $rules = append $rules (dict "class" $class "header" "experiment" "value" $canary.experiment "weights" (list 50 50)) -}}
{{- end -}}
{{- $rules = append $rules (dict "class" $class "weights" $weights) -}}
{{- end }}
---
{{ include "routing.httprouteHead" . }}
spec:
  parentRefs: {{ toJson .parents }}
  {{- with .hosts }}
  hostnames: {{ toJson . }}
  {{- end }}
  rules:
    {{- range $rule := $rules }}
    - matches:
        {{- range $rule.class.match }}
        - {{ include "routing.httpMatch" (dict "match" . "rule" $rule) }}
        {{- end }}
      {{- with $.filters }}
      filters: {{ toJson . }}
      {{- end }}
      timeouts: {request: {{ $rule.class.timeout }}}
      backendRefs:
        - {name: {{ $service }}-v1, port: {{ $.port }}, weight: {{ first $rule.weights }}}
        {{- if $canary.enabled }}
        - {name: {{ $service }}-v2, port: {{ $.port }}, weight: {{ last $rule.weights }}}
        {{- end }}
    {{- end }}
{{- end -}}

{{- define "routing.httpMatch" -}}
{{- if .rule.header -}}
{{- merge (dict "headers" (list (dict "name" .rule.header "value" .rule.value))) .match | toJson -}}
{{- else -}}
{{- toJson .match -}}
{{- end -}}
{{- end -}}

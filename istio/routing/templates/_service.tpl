{{/*
Every object of a service's routing, by what the service has: `public` in its values, an internal port
in global.peers. Takes root, `first`: classes of public requests that come before the others, and
`internal`: the classes of internal requests.
*/}}
{{- define "routing.service" -}}
{{- $root := .root -}}
{{- include "routing.init" $root -}}
{{- $gateway := list $root.Values.global.peers.gateway.namespace -}}
{{- $internal := (get $root.Values.global.peers $root.Chart.Name).port -}}
{{- $public := not (empty $root.Values.public) -}}
{{- $isSidecar := include "common.isSidecar" $root -}}
{{- $isFlagger := eq $root.Values.global.rolloutController "flagger" -}}
{{- if and (include "common.isMeshed" $root) (or $public $internal) }}
{{- if not $isFlagger }}
{{ include "routing.destinationrules" (dict "root" $root "exportTo" (ternary $gateway list $public)) }}
{{- else if $public }}
{{ include "routing.canary" (dict "root" $root "port" 8000 "portName" "http") }}
{{- else }}
{{ include "routing.canary" (dict "root" $root "port" $internal "portName" "internal") }}
{{- end }}
{{- end }}
{{- if include "routing.hasPublicHttpRoutes" $root }}
{{ include "routing.publicHttpRoute" $root }}
{{- else if $public }}
{{ include "routing.publicRoutes" (dict "root" $root "first" (.first | default list) "exportTo" $gateway) }}
{{- end }}
{{- /* A Canary has one port: with Flagger the internal calls of a public service go to the primary. */}}
{{- if and $isSidecar $internal (not (and $isFlagger $public)) }}
{{ include "routing.internalRoutes" (dict "root" $root "port" $internal "classes" .internal) }}
{{- else if and $root.Values.global.mesh.waypoint $internal }}
{{ include "routing.internalHttpRoute" (dict "root" $root "port" $internal) }}
{{- end }}
{{- if $isSidecar }}
{{ include "routing.authorizationpolicy" (dict "root" $root "rules" (include "routing.rules" $root | trim)) }}
{{ include "routing.sidecar" $root }}
{{- else if include "common.isAmbient" $root }}
{{ include "routing.ambientPolicies" (dict "root" $root) }}
{{- end }}
{{- end -}}

{{/* Calls of other services to the internal port, which sidecars route. Takes root, port and classes. */}}
{{- define "routing.internalRoutes" -}}
{{- $root := .root -}}
{{- $isFlagger := eq $root.Values.global.rolloutController "flagger" }}
{{- $reads := list (dict "method" (dict "regex" "GET|HEAD")) }}
{{- $keyed := list (dict "method" (dict "exact" "POST") "headers" (dict "idempotency-key" (dict "regex" ".+"))) }}
{{ include "routing.virtualservice" (dict
  "root" $root
  "name" (ternary (printf "%s-routes" $root.Chart.Name) $root.Chart.Name $isFlagger)
  "hosts" (list (include "routing.host" (dict "root" $root "name" $root.Chart.Name)))
  "gateways" (list "mesh")
  "port" .port
  "classes" (.classes | default (list
    (dict "name" "reads" "match" $reads "retries" "reads")
    (dict "name" "keyed" "match" $keyed "retries" "keyed")
    (dict "name" "rest" "retries" "never")))) }}
{{- end -}}

{{/* The public paths behind the gateway. Takes root, first and exportTo. */}}
{{- define "routing.publicRoutes" -}}
{{- $root := .root -}}
{{- $reads := dict "regex" "GET|HEAD" }}
{{- $all := list }}
{{- $read := list }}
{{- $keyed := list }}
{{- range $root.Values.public.prefixes }}
{{- $all = append $all (dict "uri" (dict "prefix" .)) }}
{{- $read = append $read (dict "uri" (dict "prefix" .) "method" $reads) }}
{{- end }}
{{- range $root.Values.public.paths }}
{{- $all = append $all (dict "uri" (dict "exact" .)) }}
{{- $read = append $read (dict "uri" (dict "exact" .) "method" $reads) }}
{{- end }}
{{- range $root.Values.public.keyed }}
{{- $keyed = append $keyed (dict "uri" (dict "prefix" .) "method" (dict "exact" "POST") "headers" (dict "idempotency-key" (dict "regex" ".+"))) }}
{{- end }}
{{- include "routing.virtualservice" (dict
  "root" $root
  "name" (printf "%s-public" $root.Chart.Name)
  "hosts" (include "common.hosts" $root | fromJsonArray)
  "gateways" (list (printf "%s/%s" $root.Release.Namespace $root.Values.global.mesh.gateway))
  "exportTo" .exportTo
  "port" 8000
  "classes" (concat .first (list
    (dict "name" "reads" "match" $read "retries" "reads")
    (dict "name" "keyed" "match" $keyed "retries" "keyed")
    (dict "name" "rest" "match" $all "retries" "never")))) }}
{{- end -}}

{{/* Who may call what: clients through the gateway, with and without a token, and other services. */}}
{{- define "routing.rules" -}}
{{- with .Values.public }}
{{- range .anonymous }}
- from:
    - source: {principals: [{{ include "routing.gatewayPrincipal" $ }}]}
  to:
    - operation:
        ports: ["8000"]
        methods: {{ toJson .methods }}
        paths: {{ toJson .paths }}
{{- end }}
{{- if .preflight }}
- from:
    - source: {principals: [{{ include "routing.gatewayPrincipal" $ }}]}
  to:
    - operation: {ports: ["8000"], methods: [OPTIONS], paths: [/api/*]}
{{- end }}
- from:
    - source:
        principals: [{{ include "routing.gatewayPrincipal" $ }}]
        requestPrincipals:
          {{- range $issuer := include "common.issuers" $ | fromJsonArray }}
          - {{ printf "%s/*" $issuer | quote }}
          {{- end }}
  to:
    - operation: {ports: ["8000"], paths: [/api/*]}
  when:
    - key: request.auth.audiences
      values: [{{ $.Values.global.tokens.audience | quote }}]
{{- end }}
{{ include "routing.internalRule" . }}
{{- end -}}

{{/* What a site must describe, and what has no place outside development. */}}

{{/* Outside development, rejects development servers, places of a laptop and secrets in values. */}}
{{- define "common.refuseDevelopment" -}}
{{- if ne .Values.global.environment "development" -}}
{{- range $name, $_ := .Values.global.peers -}}
{{- range include "common.locations" (dict "root" $ "name" $name) | fromJsonArray -}}
{{- if and (kindIs "map" .) (eq (get . "namespace") "twelvefold-backing") -}}
{{- fail (printf "global.peers.%s is the development server: set yours in a site file (charts/site.example.yaml)" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $url := dict "endpoint" .Values.global.s3.endpoint "publicEndpoint" .Values.global.s3.publicEndpoint -}}
{{- if regexMatch "^https?://(localhost|127\\.|\\[::1\\])" (lower $url) -}}
{{- fail (printf "global.s3.%s is %s, a place on each machine of its own: name your object store, or leave it empty for AWS" $name $url) -}}
{{- end -}}
{{- end -}}
{{- range prepend .Values.global.additionalHosts .Values.global.host -}}
{{- if regexMatch "(^|\\.)localhost$" (lower .) -}}
{{- fail (printf "global.host %s is each client's own machine: name the host of the public API" .) -}}
{{- end -}}
{{- end -}}
{{- if eq .Release.Namespace "default" -}}
{{- fail "the namespace default has no policies of its own: release into another (-n twelvefold), which charts/platform creates" -}}
{{- end -}}
{{- if or (dig "data" (dict) (default (dict) .Values.secret)) (dig "secret" "data" (dict) (default (dict) .Values.migrations)) -}}
{{- fail "secrets in values are for development only: set secret.existingSecret" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Rejects values without the host of the API or without a server that the service calls. */}}
{{- define "common.requireSite" -}}
{{- if not .Values.global.host -}}
{{- fail "global.host is empty: name the host of the public API in a site file (charts/site.example.yaml)" -}}
{{- end -}}
{{- range $name, $_ := .Values.calls -}}
{{- $peer := index $.Values.global.peers $name -}}
{{- if not $peer -}}
{{- fail (printf "calls names %s, and global.peers has no %s: describe it there (charts/common/README.md)" $name $name) -}}
{{- end -}}
{{- if and (hasKey $peer "host") (not $peer.host) (not $peer.optional) -}}
{{- fail (printf "global.peers.%s.host is empty: name your server and its networks in a site file (charts/site.example.yaml)" $name) -}}
{{- end -}}
{{- end -}}
{{- if and (hasKey (.Values.calls | default dict) "s3") (not .Values.global.s3.bucket) -}}
{{- fail "global.s3.bucket is empty: name the bucket of images in a site file (charts/site.example.yaml)" -}}
{{- end -}}
{{- end -}}

{{/* Derives the peer `s3` from `global.s3`, unless it names a host itself. Idempotent. */}}
{{- define "common.locateS3" -}}
{{- $peer := .Values.global.peers.s3 -}}
{{- $s3 := .Values.global.s3 -}}
{{- if and $peer (not $peer.host) (or $s3.endpoint $s3.region) -}}
{{- $url := urlParse ($s3.endpoint | default (printf "https://s3.%s.amazonaws.com" $s3.region)) -}}
{{- $isTls := eq $url.scheme "https" -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $_ := set $peer "host" (regexReplaceAll ":[0-9]+$" $url.host "") -}}
{{- $_ := set $peer "port" (int ($port | default (ternary "443" "80" $isTls))) -}}
{{- $_ := set $peer "tls" $isTls -}}
{{- end -}}
{{- end -}}

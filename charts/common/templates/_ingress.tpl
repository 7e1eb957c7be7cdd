{{/* What of the host an Ingress leads to this service: the longest path wins between services. */}}
{{- define "common.ingress" -}}
{{- with .Values.ingress }}
{{- if .enabled }}
{{- if and .cors.origins $.Values.config.HTTP_CORS_ORIGINS }}
{{- fail "ingress.cors.origins and HTTP_CORS_ORIGINS: both add CORS headers; choose one" }}
{{- end }}
{{- $isNginx := eq .profile "ingress-nginx" }}
{{- if and .cors.origins (not $isNginx) }}
{{- fail "ingress.cors.origins needs ingress.profile: a plain Ingress knows no CORS; set HTTP_CORS_ORIGINS, by which the API does it" }}
{{- end }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ $.Chart.Name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "common.labels" $ | nindent 4 }}
  annotations:
    {{- include "common.annotations" $ | nindent 4 }}
    {{- with .clusterIssuer }}
    cert-manager.io/cluster-issuer: {{ . }}
    {{- end }}
    {{- if $isNginx }}
    nginx.ingress.kubernetes.io/force-ssl-redirect: "true"
    # Uploads are streamed, and event streams stay open.
    nginx.ingress.kubernetes.io/proxy-request-buffering: "off"
    nginx.ingress.kubernetes.io/proxy-buffering: "off"
    nginx.ingress.kubernetes.io/proxy-read-timeout: "60"
    # One MiB more than the largest image: it is the API that answers 413, as a problem.
    nginx.ingress.kubernetes.io/proxy-body-size: {{ $.Values.config.IMAGES_MAX_BYTES | default 10485760 | int64 | add 1048576 | quote }}
    # A retried POST could have a second effect.
    nginx.ingress.kubernetes.io/proxy-next-upstream: error timeout
    nginx.ingress.kubernetes.io/proxy-next-upstream-tries: "3"
    {{- with .rateLimit.requestsPerSecond }}
    nginx.ingress.kubernetes.io/limit-rps: {{ . | quote }}
    {{- end }}
    {{- with .rateLimit.connections }}
    nginx.ingress.kubernetes.io/limit-connections: {{ . | quote }}
    {{- end }}
    {{- if .cors.origins }}
    nginx.ingress.kubernetes.io/enable-cors: "true"
    nginx.ingress.kubernetes.io/cors-allow-origin: {{ join ", " .cors.origins | quote }}
    nginx.ingress.kubernetes.io/cors-allow-methods: {{ join ", " .cors.methods | quote }}
    nginx.ingress.kubernetes.io/cors-allow-headers: {{ join ", " .cors.headers | quote }}
    nginx.ingress.kubernetes.io/cors-expose-headers: {{ join ", " .cors.exposed | quote }}
    nginx.ingress.kubernetes.io/cors-allow-credentials: "false"
    nginx.ingress.kubernetes.io/cors-max-age: "600"
    {{- end }}
    {{- end }}
    {{- with .annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- $paths := .paths }}
spec:
  {{- with .className }}
  ingressClassName: {{ . }}
  {{- end }}
  tls:
    - hosts: {{ include "common.hosts" $ }}
      secretName: {{ .tlsSecret }}
  rules:
    {{- range $host := include "common.hosts" $ | fromJsonArray }}
    - host: {{ $host | quote }}
      http:
        paths:
          {{- range $paths }}
          - path: {{ . }}
            pathType: Prefix
            backend: {service: {name: {{ $.Chart.Name }}, port: {name: http}}}
          {{- end }}
    {{- end }}
{{- end }}
{{- end }}
{{- end -}}

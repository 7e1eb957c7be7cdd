{{/* Objects that both releases of a service use and the primary creates. */}}
{{- define "common.serviceAccountName" -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is off: name an existing account in serviceAccount.name" -}}
{{- end -}}
{{- .Values.serviceAccount.name | default .Chart.Name -}}
{{- end -}}

{{/* The account of a hook: its own, or the existing one. Takes root and suffix. */}}
{{- define "common.hookAccountName" -}}
{{- if .root.Values.serviceAccount.create -}}
{{ include "common.fullname" .root }}-{{ .suffix }}
{{- else -}}
{{- include "common.serviceAccountName" .root -}}
{{- end -}}
{{- end -}}

{{- define "common.serviceaccount" -}}
{{- if .Values.serviceAccount.create }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "common.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
  {{- include "common.annotationsWith" (dict "root" . "own" .Values.serviceAccount.annotations) | nindent 2 }}
automountServiceAccountToken: false
{{- end }}
{{- end -}}

{{/* Objects of `extra.manifests`, as the site gives them. */}}
{{- define "common.extraManifests" -}}
{{- range .Values.extra.manifests }}
---
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}

{{- define "common.ipFamilies" -}}
{{- with .Values.global.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.global.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end -}}

{{/* The public and internal ports; the management port is reached by pod address only. */}}
{{- define "common.k8sservice" -}}
{{- $ports := omit .Values.ports "management" }}
{{- /* Flagger makes the Service, and two for the copies of the Deployment. */}}
{{- if and $ports (not (include "common.isFlagger" .)) }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .Chart.Name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
    {{- include "common.waypointLabels" . | nindent 4 }}
  {{- include "common.annotationsWith" (dict "root" . "own" .Values.service.annotations) | nindent 2 }}
spec:
  type: ClusterIP
  {{- include "common.ipFamilies" . | nindent 2 }}
  # Selects both releases; the mesh chooses between them.
  selector:
    app.kubernetes.io/name: {{ .Chart.Name }}
  ports:
    {{- range $name, $port := $ports }}
    - {name: {{ $name }}, port: {{ $port }}, targetPort: {{ $name }}, protocol: TCP, appProtocol: http}
    {{- end }}
    {{- if hasKey $ports "http" }}
    # The port of HTTP in addition. The one above keeps its name: a renamed port has no endpoints for
    # a moment.
    - {name: http-80, port: 80, targetPort: http, protocol: TCP, appProtocol: http}
    {{- end }}
{{- end }}
{{- end -}}

{{- define "common.podmonitor" -}}
{{- if .Values.monitoring.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ .Chart.Name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
    {{- with .Values.monitoring.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- include "common.onlyAnnotations" . | nindent 2 }}
spec:
  selector:
    matchLabels:
      app.kubernetes.io/name: {{ .Chart.Name }}
  jobLabel: app.kubernetes.io/name
  podTargetLabels: [version, app.kubernetes.io/version, app.kubernetes.io/part-of]
  podMetricsEndpoints:
    - port: management
      path: /metrics
      interval: 30s
      scrapeTimeout: 10s
{{- end }}
{{- end -}}

{{/* The groups of every file, unchanged: promtool checks what is deployed. */}}
{{- define "common.prometheusrule" -}}
{{- $groups := list -}}
{{- range $path, $_ := .Files.Glob "files/rules/*.yaml" -}}
{{- $groups = concat $groups ($.Files.Get $path | fromYaml).groups -}}
{{- end -}}
{{- if and .Values.monitoring.enabled $groups }}
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {{ .Chart.Name }}
  namespace: {{ .Namespace | default .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
    {{- with .Values.monitoring.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- include "common.onlyAnnotations" . | nindent 2 }}
spec:
  groups:
    {{- toYaml $groups | nindent 4 }}
{{- end }}
{{- end -}}

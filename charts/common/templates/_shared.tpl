{{/* Objects that both releases of a service use and the primary creates. */}}
{{- define "common.serviceaccount" -}}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .Chart.Name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
  {{- with .Values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end -}}

{{/* The public and internal ports; the management port is reached by pod address only. */}}
{{- define "common.k8sservice" -}}
{{- $ports := omit .Values.ports "management" }}
{{- if $ports }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .Chart.Name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
spec:
  type: ClusterIP
  # Selects both releases; the mesh chooses between them.
  selector:
    app.kubernetes.io/name: {{ .Chart.Name }}
  ports:
    {{- range $name, $port := $ports }}
    - {name: {{ $name }}, port: {{ $port }}, targetPort: {{ $name }}, protocol: TCP, appProtocol: http}
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
spec:
  groups:
    {{- toYaml $groups | nindent 4 }}
{{- end }}
{{- end -}}
